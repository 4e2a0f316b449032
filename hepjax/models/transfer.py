"""Parameters of a trained network as the start of another one: which of them fit, and which are its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
from flax import traverse_util

from hepjax.models.layers.norms import count_as_settled

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hepjax.types import PyTree

    Path = tuple[str, ...]

_SHOWN = 5


class Transfer(NamedTuple):
    """What a network takes over from a trained one."""

    params: dict[Path, Any]
    """Path of a parameter → its values, for those that are taken over."""
    variables: dict[Path, Any]
    """The same of its other variables, such as running averages."""
    drawn: tuple[Path, ...]
    """The paths of the parameters that are drawn anew."""
    misfits: tuple[str, ...]
    """Those of them that are not the head's, and what the trained network has in their place."""


def paths_of_head(shapes: PyTree, with_one_more_output: PyTree) -> frozenset[tuple[str, ...]]:
    """Finds the parameters of a network's head: those whose shapes depend on the number of its outputs.

    Args:
      shapes: the parameters of the network, or their shapes.
      with_one_more_output: the same of the same network with one more output.

    Returns:
      Their paths; none of a network whose shapes do not depend on it, such as an autoencoder.

    >>> import numpy as np
    >>> layers = lambda outputs: {"Dense_0": {"bias": np.zeros(8)}, "Dense_1": {"bias": np.zeros(outputs)}}
    >>> paths_of_head(layers(5), layers(6))
    frozenset({('Dense_1', 'bias')})
    """
    one, more = (_flat(tree) for tree in (shapes, with_one_more_output))
    return frozenset(path for path, leaf in one.items() if path not in more or leaf.shape != more[path].shape)


def plan_transfer(
    trained: tuple[PyTree, PyTree], shapes: tuple[PyTree, PyTree], head: Collection[tuple[str, ...]]
) -> Transfer:
    """Decides what a network takes over from a trained one: layers whose arrays all have its shapes, but for the head.

    Args:
      trained: parameters and other variables of the trained network.
      shapes: those of the new one, or their shapes.
      head: the paths of the parameters that are drawn anew whether they fit or not; none keeps the head too.

    Returns:
      The plan.

    >>> import numpy as np
    >>> known = {"a": {"kernel": np.ones((2, 3))}, "b": {"kernel": np.ones((3, 1))}}
    >>> plan_transfer((known, {}), ({"a": {"kernel": np.zeros((4, 3))}, "b": known["b"]}, {}), ()).misfits
    ('a/kernel (4, 3), not (2, 3)',)
    """
    known, wanted = _flat(trained[0]), _flat(shapes[0])
    wrong = [path for path, leaf in wanted.items() if path not in head and not _fits(known, path, leaf)]
    anew = {path[:-1] for path in (*wrong, *head)}
    drawn = tuple(path for path in wanted if path[:-1] in anew)
    misfits = [
        f"{'/'.join(path)} {wanted[path].shape}"
        + (f", not {known[path].shape}" if path in known else ", which it lacks")
        for path in wrong
    ]
    misfits += [f"no {'/'.join(path)} {leaf.shape}" for path, leaf in known.items() if path not in wanted]
    averages, others = _flat(trained[1]), _flat(shapes[1])
    taken = {path: known[path] for path in wanted if path[:-1] not in anew}
    variables = {  # a layer's averages belong to its parameters
        path: averages[path] for path, leaf in others.items() if path[1:-1] not in anew and _fits(averages, path, leaf)
    }
    return Transfer(taken, variables, drawn, tuple(misfits))


def apply_transfer(plan: Transfer, params: PyTree, variables: PyTree) -> tuple[PyTree, PyTree]:
    """Puts what is taken over into parameters and other variables as they were drawn.

    Args:
      plan: from `plan_transfer`.
      params: of the new network; others among them stay.
      variables: of the new network.

    Returns:
      Parameters and other variables of the same structure, those that are taken over with their dtypes as before.
    """
    start, state = ({**_flat(tree)} for tree in (params, variables))
    start |= {path: jnp.asarray(values, start[path].dtype) for path, values in plan.params.items()}
    state |= {path: jnp.asarray(values, state[path].dtype) for path, values in plan.variables.items()}
    settled = {path[1:-1] for path in plan.variables}
    return traverse_util.unflatten_dict(start), count_as_settled(traverse_util.unflatten_dict(state), settled)


def misfits_text(misfits: Collection[str]) -> str:
    """Lists what does not fit, the first few by name.

    >>> misfits_text(["a (2,), not (3,)"] * 7).endswith("and 2 more")
    True
    """
    shown = "; ".join([*misfits][:_SHOWN])
    return shown + (f" and {len(misfits) - _SHOWN} more" if len(misfits) > _SHOWN else "")


def _flat(tree: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    flat: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(dict(tree))
    return flat


def _fits(known: Mapping[tuple[str, ...], Any], path: tuple[str, ...], leaf: Any) -> bool:
    return path in known and known[path].shape == leaf.shape
