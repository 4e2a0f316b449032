"""Single validation jets that carry most of the loss by which the best epoch is chosen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import runtime
from hepjax.data import file_and_row
from hepjax.tasks import packing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.inputs.load_subsets import Splits, Subset
    from hepjax.runs.setup import TrainingSetup
    from hepjax.tasks import Task
    from hepjax.types import Ensemble

log = logging.getLogger("hepjax")

_SHARE = 0.5
"""The part of the validation loss that no jet should carry alone."""
_FEW = 100
"""Of fewer validation jets one may well carry so much."""


def find_dominating_jets(
    task: Task, jets: Splits, setup: TrainingSetup, ensemble: Ensemble, members: Sequence[int]
) -> list[str]:
    """Finds trainings of whose validation loss one jet carries more than half at the best epoch, and warns of them.

    Args:
      task: that was learned.
      jets: what was trained and validated on.
      setup: of the trainings.
      ensemble: at their end.
      members: the trainings to look at.

    Returns:
      For each such training a sentence that names the jet.
    """
    targets, weights, rows = (
        np.concatenate([runtime.gather(getattr(part, name)) for part in jets[:3]])
        for name in ("targets", "weights", "rows")
    )
    parts = np.repeat(np.arange(3), jets.counts)
    subsets: Sequence[Subset] = jets[:3]
    predicted, doubts = setup.predict(ensemble.best, "val"), []
    for i in members:
        member, name = setup.members[i], setup.members[i].name
        outputs, statistics = packing.unpack_statistics_of_outputs(
            jnp.asarray(predicted[i]), task.outputs(jets.dataset), task.statistics_names
        )
        share = share_of_each(losses_of_jets(task, outputs, targets[member.val], statistics), weights[member.val])
        if len(share) >= _FEW and share.max() > _SHARE:
            jet = member.val[np.argmax(share)]
            files, row = subsets[parts[jet]].jets, int(rows[jet])
            file, row = ("jets", row) if files is None else file_and_row(files, row)
            of_member = f" of {name}" if name else ""
            doubts.append(
                f"one of {len(share):,} validation jets{of_member} carries {share.max():.0%} of the "
                f"validation loss, by which the best epoch was chosen: {file}, row {row}"
            )
            log.warning("%s; correct it or leave it out", doubts[-1])
    return doubts


def losses_of_jets(task: Task, outputs: jax.Array, targets: np.ndarray, statistics: dict[str, jax.Array]) -> np.ndarray:
    """Computes the loss of each jet alone.

    Args:
      task: that is learned.
      outputs: (n, C) of the network.
      targets: (n,) or (n, D).
      statistics: of the task, a row for each jet.

    Returns:
      (n,) float64.
    """

    def loss_of_one(*row: Any) -> jax.Array:
        output, target, known = jax.tree.map(lambda x: x[None], row)
        return task.mean_loss(output, target, jnp.ones(1), known)

    return np.asarray(jax.jit(jax.vmap(loss_of_one))(outputs, targets, statistics), np.float64)


def share_of_each(losses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Computes the part of the sum of absolute weighted losses that each jet carries; 0 where all losses are 0.

    >>> share_of_each(np.array([1.0, 3.0]), np.ones(2)).tolist()
    [0.25, 0.75]
    """
    sizes: np.ndarray = np.abs(losses * weights)
    return np.asarray(sizes / (sizes.sum() or 1))
