"""Statistics of training targets travel with the outputs of a network, so that each member of an ensemble has its own.

They lie in `model_state`, as running averages do, and are thereby saved, restored and mapped over members. The outputs
carry them along as further columns, the same in each row: losses and predictions are then functions of rows alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepjax.models import Apply
    from hepjax.types import PyTree

STATISTICS = "statistics"
"""Where they lie among the other variables of a model."""


def add_target_statistics(model_state: PyTree, statistics: Mapping[str, Any]) -> PyTree:
    """Returns the variables of a model with statistics among them, where there are some.

    Args:
      model_state: a dict of variables.
      statistics: name → (S,) or, of M members, (M, S) float32.

    >>> add_target_statistics({}, {"mean": np.zeros(1)})
    {'statistics': {'mean': array([0.])}}
    """
    return {**model_state, STATISTICS: dict(statistics)} if statistics else model_state


def add_references(model_state: PyTree, references: Mapping[str, Any]) -> PyTree:
    """Returns the variables of a trained model with what was computed after the training beside its statistics.

    Args:
      model_state: a dict of variables.
      references: name → array of any shape.

    >>> add_references({"statistics": {"mean": 1}}, {"codes": 2})
    {'statistics': {'mean': 1, 'codes': 2}}
    """
    return add_target_statistics(model_state, {**model_state.get(STATISTICS, {}), **references})


def split_target_statistics(model_state: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Takes the variables of a model and the statistics apart.

    Args:
      model_state: from `add_target_statistics`.

    Returns:
      The variables, and the statistics; {} where there are none.

    >>> split_target_statistics({"statistics": {"mean": 1}, "batch_stats": 2})
    ({'batch_stats': 2}, {'mean': 1})
    """
    rest = {name: value for name, value in model_state.items() if name != STATISTICS}
    return rest, dict(model_state.get(STATISTICS, {}))


def blank_target_statistics(names: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns a template of statistics of any length, to restore a checkpoint into.

    >>> blank_target_statistics(["mean"])
    {'mean': array([], dtype=float32)}
    """
    return {name: np.empty(0, np.float32) for name in names}


def pack_outputs(apply: Apply) -> Apply:
    """Makes a function of a model return the statistics as further columns of its outputs.

    Args:
      apply: (params, model_state, inputs, mask, key) → (outputs (B, O), model_state).

    Returns:
      The same function, of a `model_state` with statistics, whose outputs are (B, O + all their numbers).
    """

    def packed(
        params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        rest, statistics = split_target_statistics(model_state)
        outputs, rest = apply(params, rest, inputs, mask, key)
        return pack_statistics_in_outputs(outputs, statistics), add_target_statistics(rest, statistics)

    return packed


def pack_statistics_in_outputs(outputs: jax.Array, statistics: Mapping[str, Any]) -> jax.Array:
    """Appends statistics to each row of outputs.

    Args:
      outputs: (B, O).
      statistics: name → (S,).

    Returns:
      (B, O + all their numbers), by the order of names.

    >>> pack_statistics_in_outputs(jnp.ones((2, 1)), {"mean": jnp.array([5.0])}).tolist()
    [[1.0, 5.0], [1.0, 5.0]]
    """
    if not statistics:
        return outputs
    row = jnp.concatenate([jnp.ravel(statistics[name]) for name in sorted(statistics)])
    return jnp.concatenate([outputs, jnp.broadcast_to(row, (outputs.shape[0], row.size))], axis=1)


def unpack_statistics_of_outputs(
    packed: Any, outputs: int, names: Sequence[str]
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Takes outputs and statistics apart.

    Args:
      packed: (B, O + S · names) from `pack_statistics_in_outputs`.
      outputs: O.
      names: of the statistics, which all have one length S.

    Returns:
      (B, O) outputs, and name → (B, S), a row for each.

    >>> plain, statistics = unpack_statistics_of_outputs(jnp.array([[1.0, 5.0, 2.0]]), 1, ("width", "mean"))
    >>> plain.tolist(), statistics["mean"].tolist(), statistics["width"].tolist()
    ([[1.0]], [[5.0]], [[2.0]])
    """
    if not names:
        return packed, {}
    parts = jnp.split(packed[:, outputs:], len(names), axis=1)
    return packed[:, :outputs], dict(zip(sorted(names), parts, strict=True))
