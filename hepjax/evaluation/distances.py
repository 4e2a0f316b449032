"""Wasserstein distances between samples, and the distance expected between samples of one distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import checked_weights
from hepjax.evaluation.intervals import REPLICATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DIVISIONS = 50
"""The number of random divisions of two simulated samples for the floor, which fixes its mean to about 5 %."""

_CELLS = 500  # cells of equally many values, and as many cells of equal width; values of a cell are drawn together


class Distance(NamedTuple):
    """A distance between two samples, in the unit of their values."""

    distance: float
    uncertainty: float
    """The standard deviation of the distance, from both samples."""


class FloorComparison(NamedTuple):
    """A distance and its floor, which is the distance between two samples of the same distribution."""

    generated: Distance
    """The distance between a generated and a simulated sample."""
    floor: Distance
    """The mean distance between simulated samples of the same sizes, and its standard deviation for one pair."""

    @property
    def ratio(self) -> float:
        """The distance over its floor; a value near 1 means that no difference is visible."""
        return self.generated.distance / self.floor.distance if self.floor.distance else float("nan")


def wasserstein(a: Any, b: Any, a_weights: Any = None, b_weights: Any = None) -> float:
    """Computes the Wasserstein-1 distance of two samples of a number: the area between their cumulative distributions.

    It is exact and equals the mean distance by which values must move to turn one sample into the other.

    Args:
      a: (N,) values.
      b: (M,) values, in the same unit.
      a_weights: (N,) non-negative weights of a; None means 1 for each.
      b_weights: (M,) non-negative weights of b; None means 1 for each.

    Returns:
      W1 in the unit of the values.

    Raises:
      InputError: a sample is empty or not finite, or weights do not fit it.

    Reference: for jets R. Kansal et al., arXiv:2106.11535, section 4, and arXiv:2211.10295.

    >>> wasserstein([0.0, 1.0], [2.0, 3.0]), wasserstein([0.0], [0.0, 1.0], b_weights=[3, 1])
    (2.0, 0.25)
    """
    _, steps, shares, others = _merge_samples(a, b, a_weights, b_weights)
    return _area_between_distributions(np.cumsum(shares / shares.sum() - others / others.sum()), steps)


def wasserstein_distance(a: Any, b: Any, a_weights: Any = None, b_weights: Any = None, *, seed: int = 0) -> Distance:
    """Computes `wasserstein` with its standard deviation, from the Poisson bootstrap of both samples.

    In each of 200 samples, the number of times that a value counts is a Poisson number of mean 1. Of more than 1000
    values, neighbors are drawn together.

    Args:
      a: (N,) values.
      b: (M,) values, in the same unit.
      a_weights: (N,) non-negative weights of a; None means 1 for each.
      b_weights: (M,) non-negative weights of b; None means 1 for each.
      seed: seed of the bootstrap.

    Returns:
      W1 and its standard deviation. Samples of one distribution have a positive W1 too: see `compare_to_floor`.

    Raises:
      InputError: for the reasons of `wasserstein`.

    >>> rng = np.random.default_rng(0)
    >>> w1 = wasserstein_distance(rng.normal(0, 1, 1000), rng.normal(1, 1, 1000))
    >>> round(w1.distance, 1), round(w1.uncertainty, 2)
    (1.0, 0.04)
    """
    values, steps, *both = _merge_samples(a, b, a_weights, b_weights)
    first = _starts_of_value_cells(values)
    widths = np.append(values[first[1:]], values[-1]) - values[first]
    rng = np.random.default_rng(seed)
    cumulative = []
    for weights in both:
        sums, squares = (np.add.reduceat(weights**power, first) for power in (1, 2))
        size = np.divide(squares, sums, out=np.ones_like(sums), where=sums > 0)
        counts = size * rng.poisson(sums / size, (REPLICATES, len(sums)))
        cumulative.append(np.cumsum(counts, axis=1) / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300))
    scatter = np.std(np.abs(cumulative[0] - cumulative[1]) @ widths)
    shares, others = both
    return Distance(
        _area_between_distributions(np.cumsum(shares / shares.sum() - others / others.sum()), steps), float(scatter)
    )


def wasserstein_floor(truth: Any, other: Any, *, seed: int = 0) -> Distance:
    """Estimates the W1 of two simulated samples of these sizes, below which generator and simulation agree.

    A single pair would scatter by a third. Both samples are therefore merged and divided at random 50 times.

    Args:
      truth: (N,) simulated values.
      other: (M,) simulated values, independent of them.
      seed: seed of the divisions.

    Returns:
      The mean of W1, and its standard deviation from pair to pair.

    Raises:
      InputError: for the reasons of `wasserstein`.

    >>> rng = np.random.default_rng(0)
    >>> floor = wasserstein_floor(rng.normal(0, 1, 1000), rng.normal(0, 1, 1000))
    >>> 0.03 < floor.distance < 0.06
    True
    """
    _, steps, of_truth, of_other = _merge_samples(truth, other, None, None)
    rng, distances = np.random.default_rng(seed), []
    share = of_truth / of_truth.sum() - of_other / of_other.sum()
    for _ in range(DIVISIONS):
        rng.shuffle(share)
        distances.append(_area_between_distributions(np.cumsum(share), steps))
    return Distance(float(np.mean(distances)), float(np.std(distances)))


def compare_to_floor(generated: Any, truth: Any, other: Any, *, seed: int = 0) -> FloorComparison:
    """Compares the distance between generated and simulated values with that between two simulated samples.

    Args:
      generated: (N,) values.
      truth: (M,) simulated values that the generator was not trained on.
      other: (N,) further simulated values, independent of `truth` and as many as the generated ones.
      seed: seed of the bootstrap and of the divisions.

    Returns:
      The distance and its floor.

    Raises:
      InputError: the sizes of `generated` and `other` differ, or as `wasserstein`.

    >>> rng = np.random.default_rng(0)
    >>> comparison = compare_to_floor(*(rng.normal(mean, 1, 1000) for mean in (0.2, 0, 0)))
    >>> 2 < comparison.ratio < 4
    True
    """
    return compare_each_to_floor({"": generated}, truth, other, seed=seed)[""]


def compare_each_to_floor(
    generated: Mapping[str, Any], truth: Any, other: Any, *, seed: int = 0
) -> dict[str, FloorComparison]:
    """Applies `compare_to_floor` to several generators, which share one floor.

    Args:
      generated: mapping from generator to (N,) values.
      truth: (M,) simulated values that no generator was trained on.
      other: (N,) further simulated values.
      seed: seed of the bootstrap and of the divisions.

    Returns:
      A mapping from generator to the distance and its floor.

    Raises:
      InputError: for the reasons of `compare_to_floor`.

    >>> of = compare_each_to_floor({"a": [0.0, 1.0], "b": [1.0, 2.0]}, [0.0, 1.0], [1.0, 0.0])
    >>> of["a"].generated.distance, of["b"].generated.distance, of["a"].floor == of["b"].floor
    (0.0, 1.0, True)
    """
    floor = wasserstein_floor(truth, other, seed=seed)
    for values in generated.values():
        if np.size(values) != np.size(other):
            raise InputError(
                f"other: expected as many values as are generated, {np.size(values)}, found {np.size(other)}; "
                "the floor depends on their number"
            )
    return {name: FloorComparison(wasserstein_distance(x, truth, seed=seed), floor) for name, x in generated.items()}


def distances_by_class(
    generated: Mapping[str, Any],
    truth: tuple[Any, Any],
    other: tuple[Any, Any],
    names: Sequence[str],
    classes: Sequence[str],
    *,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, FloorComparison]]]:
    """Applies `compare_each_to_floor` to every observable, for each class and for all jets together.

    Args:
      generated: mapping from generator to (N, F) observables of jets with the classes of `other`.
      truth: (M, F) observables of simulated jets that no generator was trained on, and their (M,) class indices.
      other: (N, F) observables of further simulated jets, and their (N,) class indices.
      names: names of the F observables.
      classes: names of the classes, in the order of their indices.
      seed: seed of the bootstrap and of the divisions.

    Returns:
      A mapping from "all" and each class to observable to generator to the distance and its floor.

    Raises:
      InputError: a class is missing in a sample, or for the reasons of `compare_to_floor`.

    >>> x, y = np.arange(8.0).reshape(4, 2), np.array([0, 0, 1, 1])
    >>> distances = distances_by_class({"same": x}, (x, y), (x, y), ["j_pt", "j_mass"], ["q", "t"])
    >>> [*distances], distances["t"]["j_pt"]["same"].generated.distance
    (['all', 'q', 't'], 0.0)
    """
    (x, y), (more, kinds) = ((np.asarray(a), np.asarray(b)) for a, b in (truth, other))
    for c, name in enumerate(classes):
        if not ((y == c).any() and (kinds == c).any()):
            raise InputError(f"labels: there is no jet of class {name} in a simulated sample; give more jets")
    rows = {"all": (y >= 0, kinds >= 0), **{name: (y == c, kinds == c) for c, name in enumerate(classes)}}
    return {
        name: {
            key: compare_each_to_floor(
                {generator: np.asarray(z)[b, f] for generator, z in generated.items()}, x[a, f], more[b, f], seed=seed
            )
            for f, key in enumerate(names)
        }
        for name, (a, b) in rows.items()
    }


def _merge_samples(a: Any, b: Any, a_weights: Any, b_weights: Any) -> tuple[Floats, Floats, Floats, Floats]:
    """Returns (N + M,) rising values, (N + M - 1,) steps between them, and (N + M,) weights in a and in b."""
    samples = [_checked_distance_sample(values, name) for name, values in (("a", a), ("b", b))]
    weights = [checked_weights(w, len(x)) for w, x in zip((a_weights, b_weights), samples, strict=True)]
    values = np.concatenate(samples)
    order = np.argsort(values, kind="stable")
    in_a = np.concatenate([weights[0], np.zeros(len(samples[1]))])[order]
    in_b = np.concatenate([np.zeros(len(samples[0])), weights[1]])[order]
    rising = values[order]
    return rising, np.diff(rising), in_a, in_b


def _area_between_distributions(difference: Floats, steps: Floats) -> float:
    """Computes ∫ |F - G| dx from (K,) F - G at rising values and the (K - 1,) steps between them."""
    return float(np.abs(difference[:-1]) @ steps)


def _starts_of_value_cells(values: Floats) -> NDArray[np.int64]:
    """Returns the first index of each cell of rising values; cells hold few values and are narrow."""
    if len(values) <= 2 * _CELLS:
        return np.arange(len(values))
    by_rank = np.linspace(0, len(values), _CELLS, endpoint=False).astype(np.int64)
    by_value = np.searchsorted(values, np.linspace(values[0], values[-1], _CELLS, endpoint=False))
    return np.union1d(by_rank, by_value)


def _checked_distance_sample(values: Any, name: str) -> Floats:
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not x.size:
        raise InputError(f"{name}: expected the shape (N,) with one value or more, found {x.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"{name}: {np.sum(~np.isfinite(x))} of {x.size} values are NaN or infinite; drop them")
    return x
