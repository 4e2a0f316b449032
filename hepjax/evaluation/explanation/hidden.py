"""What a network has made of a jet: its hidden features, and which observables they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import linen as nn

from hepjax.errors import InputError
from hepjax.evaluation.explanation._ranks import ranks
from hepjax.numerics import weighted_mean
from hepjax.types import Sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from hepjax.types import PyTree

_CONSTANT = 1e-7
"""A deviation below this share of the mean is rounding."""


def activations(module: nn.Module) -> bool:
    """The layers that `hidden_features` looks at: every activation of a network of hepjax, and recurrent layers.

    >>> activations(nn.Dense(3))
    False
    """
    return isinstance(module, nn.RNN) or type(module).__name__ == "Activate"


def hidden_features(
    network: nn.Module,
    params: PyTree,
    model_state: PyTree,
    inputs: Any,
    layers: Callable[[nn.Module], bool] = activations,
) -> dict[str, np.ndarray]:
    """What each hidden layer holds of each jet; the last is what the classes are read from.

    Layers that hold something for each particle, edge or pixel are averaged over those of the jet.

    Args:
      network: any Flax module that takes these inputs.
      params: its parameters.
      model_state: its other variables.
      inputs: an array (N, ...), `Sequences`, or a `GraphsTuple` of N graphs, padding graphs included.
      layers: which modules to look at, by their outputs.

    Returns:
      Name of the layer → (N, width), in the order of the network.

    Raises:
      InputError: the network has no such layer, or a graph's layers cannot be told apart by their sizes.

    >>> from hepjax.models import MLP, initialize
    >>> x = np.ones((7, 16), np.float32)
    >>> found = hidden_features(MLP(), *initialize(MLP(), jax.random.key(0), x), x)
    >>> {name: values.shape for name, values in found.items()}
    {'Activate_0': (7, 64), 'Activate_1': (7, 32), 'Activate_2': (7, 32)}
    """
    names: list[str] = []

    def wanted(module: nn.Module, method: str) -> bool:
        return method.startswith("__call__") and layers(module)

    def run(inputs: Any) -> list[jax.Array]:
        _, seen = network.apply(
            {"params": params, **model_state},
            inputs,
            train=False,
            mutable=["intermediates"],
            capture_intermediates=wanted,
        )
        found = _flat(seen.get("intermediates", {}))
        names[:] = found
        return list(found.values())

    values = jax.device_get(jax.jit(run)(inputs))
    if not values:
        raise InputError(f"network: {type(network).__name__} has no hidden layer; say with layers= what to look at")
    return {name: _per_jet(x, inputs) for name, x in zip(names, values, strict=True)}


def pearson(hidden: np.ndarray, observables: np.ndarray) -> NDArray[np.float64]:
    """Pearson's correlation of each hidden feature with each observable.

    Args:
      hidden: (N, H).
      observables: (N, K).

    Returns:
      (H, K) from -1 to 1; NaN where one of both is constant over the jets, as a unit is that never fires.

    Raises:
      InputError: the shapes do not fit, there are fewer than two jets, or a number is not finite.

    >>> pearson(np.array([[1.0, 7.0], [2.0, 7.0]]), np.array([[5.0], [3.0]])).tolist()
    [[-1.0], [nan]]
    """
    a, b = (_standardised(_checked(x, name)) for x, name in ((hidden, "hidden"), (observables, "observables")))
    if len(a) != len(b):
        raise InputError(f"observables: expected those of {len(a)} jets, as hidden has, found {len(b)}")
    return np.clip(a.T @ b / len(a), -1, 1)


def spearman(hidden: np.ndarray, observables: np.ndarray) -> NDArray[np.float64]:
    """Spearman's correlation: Pearson's of the ranks, which sees any rising or falling dependence.

    Args:
      hidden: (N, H).
      observables: (N, K).

    Returns:
      As `pearson`.

    Raises:
      InputError: as `pearson`.

    >>> spearman(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [10.0], [1000.0]])).round(6).tolist()
    [[1.0]]
    """
    pair = (_checked(x, name) for x, name in ((hidden, "hidden"), (observables, "observables")))
    return pearson(*(np.stack([ranks(column) for column in x.T], axis=1) for x in pair))


def _flat(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, jax.Array]:
    """Paths → what was seen last there; messages between particles are for `message_relevance`."""
    found: dict[str, jax.Array] = {}
    for name, branch in tree.items():
        if isinstance(branch, tuple):
            if not name.startswith("messages"):
                found["/".join((*path, name)).removesuffix("/__call__")] = branch[-1]
        else:
            found.update(_flat(branch, (*path, name)))
    return found


def _per_jet(x: np.ndarray, inputs: Any) -> np.ndarray:
    """(N, width)."""
    if hasattr(inputs, "n_node"):
        return _per_graph(x, inputs)
    if isinstance(inputs, Sequences) and x.ndim == 3 and x.shape[:2] == inputs.mask.shape:
        found: np.ndarray = weighted_mean(x, np.asarray(inputs.mask)[..., None], axis=1)
    else:
        found = x.mean(axis=tuple(range(1, x.ndim - 1)))
    return found


def _per_graph(x: np.ndarray, graph: Any) -> np.ndarray:
    n_node = np.asarray(graph.n_node)
    of_nodes = np.repeat(np.arange(len(n_node)), n_node)
    of_edges = of_nodes[np.asarray(graph.receivers)]
    sizes = [len(n_node), len(of_nodes), len(of_edges)]
    if len(set(sizes)) < 3:
        raise InputError(
            f"inputs: expected different numbers of graphs, nodes and edges, to tell layers apart, found {sizes}; "
            "give another number of jets"
        )
    if len(x) == len(n_node):
        return x
    owner = of_nodes if len(x) == len(of_nodes) else of_edges
    sums, counts = np.zeros((len(n_node), x.shape[1]), x.dtype), np.bincount(owner, minlength=len(n_node))
    np.add.at(sums, owner, x)
    return np.asarray(sums / np.maximum(counts, 1)[:, None].astype(x.dtype))


def _checked(x: Any, name: str) -> NDArray[np.float64]:
    found = np.asarray(x, np.float64)
    if found.ndim != 2 or len(found) < 2:
        raise InputError(f"{name}: expected (N, columns) of two jets or more, found shape {found.shape}")
    bad = ~np.isfinite(found).all(axis=0)
    if bad.any():
        raise InputError(f"{name}: expected finite numbers, found others in column {np.argmax(bad)}; remove those jets")
    return found


def _standardised(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean 0 and deviation 1; NaN for constants."""
    mean, std = x.mean(axis=0), x.std(axis=0)
    scaled: NDArray[np.float64] = (x - mean) / np.where(std > _CONSTANT * np.abs(mean), std, np.nan)
    return scaled
