"""Pythia 8 and FastJet → jets in files of the public layout. The optional extra `sim` provides both."""

from __future__ import annotations

from hepjax.simulation.files import jet_writer, write_jets
from hepjax.simulation.run import simulate

__all__ = ["jet_writer", "simulate", "write_jets"]
