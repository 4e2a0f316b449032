"""Model input → streams of batches of few fixed shapes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.inputs.batching.arrays import batches, eval_batches, fill_up
from hepjax.inputs.batching.ensemble_windows import Shared, member_rows, member_windows, share
from hepjax.inputs.batching.lengths import Buckets, by_length, choose_buckets, even_buckets
from hepjax.inputs.batching.splits import Split, check_classes, log_left_out, split
from hepjax.inputs.batching.stream import Block, draw, draw_order, prefetch, stream_windows
from hepjax.inputs.batching.windows import make_windows, steps_of
from hepjax.registry import submodule

__all__ = [
    "Block",
    "Buckets",
    "Shared",
    "Split",
    "batches",
    "by_length",
    "check_classes",
    "choose_buckets",
    "draw",
    "draw_order",
    "eval_batches",
    "even_buckets",
    "fill_up",
    "log_left_out",
    "make_windows",
    "member_rows",
    "member_windows",
    "prefetch",
    "share",
    "split",
    "steps_of",
    "stream_windows",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
