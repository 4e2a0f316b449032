"""Finds jets that are unlike the background, by autoencoders that have learned the background alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule
from hepjax.tasks.anomaly.task import Anomaly
from hepjax.tasks.registry import register

__all__ = ["Anomaly"]

register("anomaly", Anomaly)

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
