"""From a trained tagger to firmware: a small MLP as ONNX, and that by hls4ml (arXiv:1804.06913) as C++ for an FPGA.

    pip install "hls4ml>=1.3" qonnx "hepjax[export]"    # and g++
    python experiments/hls4ml_mlp.py

hls4ml makes C++ with numbers of fixed point, compiles it with g++, and answers jets as the FPGA would; a synthesis
needs the vendor's tools, and is not done here. Exported are scaling and logits: the table that hls4ml has for the
softmax is wrong by up to 0.36 in its default size.

Expected in 15 seconds on the sample that comes with hepjax: with sixteen bits behind the point, probabilities
differ from ONNX Runtime's by less than 0.005, and 99 % of the jets or more keep their class. Found (on an
earlier sample): 0.0016, 99.9 %.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import hls4ml
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import tyro
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.cleanup import cleanup_model
from rich.console import Console

import hepjax
from hepjax import export
from hepjax.inputs import pipelines
from hepjax.models import MLP
from hepjax.runs import stored, train
from hepjax.runs.options import Experiment


@dataclasses.dataclass(frozen=True)
class Firmware:
    """Trains a small MLP, converts it, and compares."""

    hidden: tuple[int, ...] = (16, 8)
    """Widths of the hidden layers."""
    precision: str = "ap_fixed<32,16>"
    """hls4ml's numbers: bits in all, and those before the point; jets of 1,600 GeV need 12 of these."""
    epochs: int = 30
    """At most."""
    out: Path = Path("runs/hls4ml-mlp")
    """A new folder for the trained tagger, logits.onnx and the firmware."""


def fixed_batch(data: bytes) -> Any:
    """The model for one jet at a time, as hls4ml wants it."""
    model = onnx.load_from_string(data)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return cleanup_model(ModelWrapper(model))


def run(options: Firmware) -> dict[str, float]:
    """Trains, converts, compiles; returns how far the answers differ."""
    folder, _ = train.run(Experiment(model=MLP(hidden=options.hidden), out=options.out, epochs=options.epochs))
    network, *_ = stored.networks_of(stored.open_run(folder))
    apply = pipelines.make_apply(network.pipeline, network.scaling)

    def logits(features: jax.Array) -> jax.Array:
        return apply(network.params, network.model_state, features, jnp.ones(features.shape[0], bool), None)[0]

    path = folder / "logits.onnx"
    path.write_bytes(export.to_onnx(logits, network.pipeline.example, {}))
    model = fixed_batch(path.read_bytes())
    config = hls4ml.utils.config_from_onnx_model(
        model, granularity="model", backend="Vitis", default_precision=options.precision
    )
    firmware = hls4ml.converters.convert_from_onnx_model(
        model, hls_config=config, backend="Vitis", output_dir=str(folder / "firmware"), project_name="tagger"
    )
    firmware.compile()
    jets = np.ascontiguousarray(network.pipeline.load(hepjax.read_jets(), slice(1000)))
    run_onnx = export.read_onnx(path).predict
    wanted, compiled = (np.asarray(jax.nn.softmax(x)) for x in (run_onnx(jets), firmware.predict(jets)))
    return {
        "largest difference": float(np.abs(wanted - compiled).max()),
        "same class": float((wanted.argmax(1) == compiled.argmax(1)).mean()),
    }


if __name__ == "__main__":
    Console().print(run(tyro.cli(Firmware, description=__doc__)))
