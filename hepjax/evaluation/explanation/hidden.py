"""Hidden features of a network, and their correlation with observables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import linen as nn

from hepjax.errors import InputError
from hepjax.evaluation.explanation._ranks import ranks
from hepjax.numerics import weighted_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from hepjax.types import PyTree

_CONSTANT = 1e-7
"""The ratio of deviation to mean below which a feature is constant up to rounding."""


def is_hidden_activation(module: nn.Module) -> bool:
    """Selects the default layers of `hidden_features`: all activations of hepjax networks, and recurrent layers.

    >>> is_hidden_activation(nn.Dense(3))
    False
    """
    return isinstance(module, nn.RNN) or type(module).__name__ == "Activate"


def hidden_features(
    network: nn.Module,
    params: PyTree,
    model_state: PyTree,
    inputs: Any,
    layers: Callable[[nn.Module], bool] = is_hidden_activation,
) -> dict[str, np.ndarray]:
    """Computes the output of each hidden layer for each jet; the last layer is the input of the classifier.

    Outputs per particle, edge or pixel are averaged over the jet.

    Args:
      network: any Flax module that takes these inputs.

      params: parameters of the network.
      model_state: other variables of the network.
      inputs: an array (N, ...), `Sequences`, or a `GraphsTuple` of N graphs, padding graphs included.
      layers: predicate that selects the modules whose outputs are returned.

    Returns:
      A mapping from layer name to (N, width) features, in the order of the network.

    Raises:
      InputError: the network has no such layer, or a graph's layers cannot be told apart by their sizes.

    >>> from hepjax.models import MLP, initialize
    >>> x = np.ones((7, 16), np.float32)
    >>> hidden = hidden_features(MLP(), *initialize(MLP(), jax.random.key(0), x), x)
    >>> {name: values.shape for name, values in hidden.items()}
    {'Activate_0': (7, 64), 'Activate_1': (7, 32), 'Activate_2': (7, 32)}
    """
    names: list[str] = []

    def is_captured(module: nn.Module, method: str) -> bool:
        return method.startswith("__call__") and layers(module)

    def run(inputs: Any) -> list[jax.Array]:
        _, variables = network.apply(
            {"params": params, **model_state},
            inputs,
            train=False,
            mutable=["intermediates"],
            capture_intermediates=is_captured,
        )
        outputs = _flatten_hidden_outputs(variables.get("intermediates", {}))
        names[:] = outputs
        return list(outputs.values())

    values = jax.device_get(jax.jit(run)(inputs))
    if not values:
        raise InputError(f"network: {type(network).__name__} has no hidden layer; say with layers= what to look at")
    return {name: _mean_outputs_per_jet(x, inputs) for name, x in zip(names, values, strict=True)}


def pearson(hidden: np.ndarray, observables: np.ndarray) -> NDArray[np.float64]:
    """Computes Pearson's correlation of each hidden feature with each observable.

    Args:
      hidden: (N, H) hidden features.
      observables: (N, K) observables.

    Returns:
      (H, K) correlations from -1 to 1; NaN if either quantity is constant over the jets, such as an inactive unit.

    Raises:
      InputError: the shapes do not fit, there are fewer than two jets, or a number is not finite.

    >>> pearson(np.array([[1.0, 7.0], [2.0, 7.0]]), np.array([[5.0], [3.0]])).tolist()
    [[-1.0], [nan]]
    """
    a, b = (
        _standardize_columns(_checked_feature_table(x, name))
        for x, name in ((hidden, "hidden"), (observables, "observables"))
    )
    if len(a) != len(b):
        raise InputError(f"observables: expected those of {len(a)} jets, as hidden has, found {len(b)}")
    return np.clip(a.T @ b / len(a), -1, 1)


def spearman(hidden: np.ndarray, observables: np.ndarray) -> NDArray[np.float64]:
    """Computes Spearman's correlation, which is Pearson's of the ranks and detects any monotonic dependence.

    Args:
      hidden: (N, H) hidden features.
      observables: (N, K) observables.

    Returns:
      (H, K) correlations, as `pearson` returns them.

    Raises:
      InputError: for the reasons of `pearson`.

    >>> spearman(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [10.0], [1000.0]])).round(6).tolist()
    [[1.0]]
    """
    pair = (_checked_feature_table(x, name) for x, name in ((hidden, "hidden"), (observables, "observables")))
    return pearson(*(np.stack([ranks(column) for column in x.T], axis=1) for x in pair))


def _flatten_hidden_outputs(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, jax.Array]:
    """Maps paths to the last output of each layer; `message_relevance` handles messages between particles."""
    outputs: dict[str, jax.Array] = {}
    for name, branch in tree.items():
        if isinstance(branch, tuple):
            if not name.startswith("messages"):
                outputs["/".join((*path, name)).removesuffix("/__call__")] = branch[-1]
        else:
            outputs.update(_flatten_hidden_outputs(branch, (*path, name)))
    return outputs


def _mean_outputs_per_jet(x: np.ndarray, inputs: Any) -> np.ndarray:
    """Averages outputs over the particles, pixels, nodes or edges of each jet, to (N, width)."""
    if hasattr(inputs, "n_node"):
        return _mean_outputs_per_graph(x, inputs)
    if hasattr(inputs, "mask") and x.ndim == 3 and x.shape[:2] == inputs.mask.shape:
        means: np.ndarray = weighted_mean(x, np.asarray(inputs.mask)[..., None], axis=1)
    else:
        means = x.mean(axis=tuple(range(1, x.ndim - 1)))
    return means


def _mean_outputs_per_graph(x: np.ndarray, graph: Any) -> np.ndarray:
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


def _checked_feature_table(x: Any, name: str) -> NDArray[np.float64]:
    table = np.asarray(x, np.float64)
    if table.ndim != 2 or len(table) < 2:
        raise InputError(f"{name}: expected (N, columns) of two jets or more, found shape {table.shape}")
    bad = ~np.isfinite(table).all(axis=0)
    if bad.any():
        raise InputError(f"{name}: expected finite numbers, found others in column {np.argmax(bad)}; remove those jets")
    return table


def _standardize_columns(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scales columns to mean 0 and deviation 1; constant columns become NaN."""
    mean, std = x.mean(axis=0), x.std(axis=0)
    scaled: NDArray[np.float64] = (x - mean) / np.where(std > _CONSTANT * np.abs(mean), std, np.nan)
    return scaled
