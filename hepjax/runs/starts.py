"""What a training takes over from a trained network: parameters, running averages, and the scaling of the inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.models.transfer import Transfer, apply_transfer
from hepjax.types import Scaling

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax

    from hepjax.inputs.jet_hashes import TrainedJets
    from hepjax.models import Model
    from hepjax.types import PyTree


class Start(NamedTuple):
    """A trained network to start from."""

    plan: Transfer
    scaling: Scaling
    """Of its inputs: the columns that the network itself sees, (S,); S is 0 where the new network sees others."""
    record: dict[str, str]
    """What experiment.json says of it: its folder, and the checksum of its parameters."""
    trained: TrainedJets | None = None
    """The jets that it has learned from, to be recognized; None where they are not known."""


def own_columns(network: Model) -> tuple[str, ...]:
    """Returns the columns that a network sees, which come first among those that are scaled.

    >>> from hepjax.models import MLP
    >>> own_columns(MLP(features=("j_mass", "j_pt")))
    ('j_mass', 'j_pt')
    """
    columns: tuple[str, ...] = getattr(network, "features", ()) or getattr(network, "columns", ())
    return columns


def keep_scaling(start: Start | None, fitted: Scaling) -> Scaling:
    """Returns the scaling of a training: that which the network to start from has learned with.

    Args:
      start: the network; None leaves the fitted scaling.
      fitted: on the jets to train on; it stays for columns that only neighbors, pairs or images are made of.

    >>> known = Start(Transfer({}, {}, (), ()), Scaling(np.array([5.0]), np.array([2.0])), {})
    >>> keep_scaling(known, Scaling(np.zeros(2), np.ones(2))).mean.tolist()
    [5.0, 0.0]
    """
    if start is None:
        return fitted
    return Scaling(*(np.concatenate([a, b[len(a) :]]) for a, b in zip(start.scaling, fitted, strict=True)))


def draw_from(
    start: Start | None, draw: Callable[[jax.Array], tuple[PyTree, PyTree]]
) -> Callable[[jax.Array], tuple[Any, Any]]:
    """Returns the function that draws a training's parameters and other variables, but for what it takes over.

    Args:
      start: the network; None draws all.
      draw: key → parameters and other variables.
    """
    if start is None:
        return draw
    plan = start.plan
    return lambda key: apply_transfer(plan, *draw(key))
