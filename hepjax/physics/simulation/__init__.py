"""Pythia 8 and FastJet → jets in files of the public layout; the optional extra `sim` provides both."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.physics.simulation.conditions import PUBLIC, Calorimeter, Conditions, Detector
from hepjax.physics.simulation.files import Layout, Rows, jet_writer, write_jets
from hepjax.physics.simulation.run import simulate, simulate_files
from hepjax.physics.simulation.run_events import jets_of_events
from hepjax.registry import submodule

__all__ = [
    "PUBLIC",
    "Calorimeter",
    "Conditions",
    "Detector",
    "Layout",
    "Rows",
    "jet_writer",
    "jets_of_events",
    "simulate",
    "simulate_files",
    "write_jets",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
