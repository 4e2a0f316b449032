"""The public HLS4ML LHC jet dataset (arXiv:1908.05318) as Parquet files of Hugging Face.

The record is `fastmachinelearning/hls4ml_lhc_jets_150p`.
"""

from __future__ import annotations

import dataclasses

from hepjax.data.datasets import register
from hepjax.data.datasets.hls4ml import HLS4ML
from hepjax.types import Index

HLS4ML_PARQUET = register(
    "hls4ml-parquet", dataclasses.replace(HLS4ML, name="hls4ml-parquet", labels=Index("label"), images=())
)
