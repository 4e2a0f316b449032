"""Jet substructure: computes 53 observables of jets from their particles, compiled and batched in JAX.

The single-jet functions are pure and take one jet; use `jax.vmap` for several jets.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.physics.substructure.clustering import (
    Algorithm,
    History,
    cluster,
    e_scheme,
    exclusive_slots,
    subjets,
    winner_take_all,
)
from hepjax.physics.substructure.correlators import (
    Correlators,
    energy_correlators,
    momentum_fractions,
    pairwise_angles,
    ratios,
    zlogz,
)
from hepjax.physics.substructure.extended_jets import with_observables, write_with_observables
from hepjax.physics.substructure.grooming import prune, pruned, pruning, pruning_radius, soft_drop, trim, trimmed
from hepjax.physics.substructure.jets import OBSERVABLES, from_jets, jet_observables, substructure, survivors
from hepjax.physics.substructure.subjettiness import n_subjettiness, winner_take_all_axes
from hepjax.physics.substructure.trees import jet_tree, jet_trees, soft_dropped
from hepjax.registry import submodule

__all__ = [
    "OBSERVABLES",
    "Algorithm",
    "Correlators",
    "History",
    "cluster",
    "e_scheme",
    "energy_correlators",
    "exclusive_slots",
    "from_jets",
    "jet_observables",
    "jet_tree",
    "jet_trees",
    "momentum_fractions",
    "n_subjettiness",
    "pairwise_angles",
    "prune",
    "pruned",
    "pruning",
    "pruning_radius",
    "ratios",
    "soft_drop",
    "soft_dropped",
    "subjets",
    "substructure",
    "survivors",
    "trim",
    "trimmed",
    "winner_take_all",
    "winner_take_all_axes",
    "with_observables",
    "write_with_observables",
    "zlogz",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
