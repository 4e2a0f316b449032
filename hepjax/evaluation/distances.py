"""How far two samples of a quantity lie apart, and how far they would if they were of one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._inputs import checked_weights
from hepjax.evaluation.bootstrap import REPLICATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DIVISIONS = 50
"""In how many ways two simulated samples are divided anew for the floor; its mean is then known to 5 % or so."""

_CELLS = 500  # of as many values each, and as many again of equal width: a cell's values are drawn together


class Distance(NamedTuple):
    """A distance of two samples, in the unit of their values."""

    distance: float
    uncertainty: float
    """Its standard deviation, from both samples."""


class Beside(NamedTuple):
    """A distance, beside that of two samples of one kind."""

    found: Distance
    """Of a generated sample to the simulated one."""
    floor: Distance
    """The mean over pairs of simulated samples of the same sizes, and the scatter of one pair."""

    @property
    def ratio(self) -> float:
        """The first over the second; about 1 is as good as can be told."""
        return self.found.distance / self.floor.distance if self.floor.distance else float("nan")


def wasserstein(a: Any, b: Any, a_weights: Any = None, b_weights: Any = None) -> float:
    """The Wasserstein-1 distance of two samples of a number: the area between their cumulative distributions.

    It is exact, and says how far values must be moved on average to turn one sample into the other.

    Args:
      a: (N,) values.
      b: (M,) values, in the same unit.
      a_weights: (N,) non-negative weights; None is 1 for each.
      b_weights: (M,) the same for b.

    Returns:
      W1 in the unit of the values.

    Raises:
      InputError: a sample is empty or not finite, or weights do not fit it.

    Reference: for jets R. Kansal et al., arXiv:2106.11535, section 4, and arXiv:2211.10295.

    >>> wasserstein([0.0, 1.0], [2.0, 3.0]), wasserstein([0.0], [0.0, 1.0], b_weights=[3, 1])
    (2.0, 0.25)
    """
    _, steps, shares, others = _sorted(a, b, a_weights, b_weights)
    return _area(np.cumsum(shares / shares.sum() - others / others.sum()), steps)


def wasserstein_distance(a: Any, b: Any, a_weights: Any = None, b_weights: Any = None, *, seed: int = 0) -> Distance:
    """`wasserstein` with its standard deviation, by the Poisson bootstrap of both samples.

    In each of 200 samples every value counts as often as a Poisson number of mean 1 says. Values that lie next to each
    other, of more than 1000, are drawn together.

    Args:
      a: (N,) values.
      b: (M,) values, in the same unit.
      a_weights: (N,) non-negative weights; None is 1 for each.
      b_weights: (M,) the same for b.
      seed: of the bootstrap.

    Returns:
      W1 and its standard deviation. Samples of one kind have a positive W1 too: see `beside_floor`.

    Raises:
      InputError: as `wasserstein`.

    >>> rng = np.random.default_rng(0)
    >>> found = wasserstein_distance(rng.normal(0, 1, 1000), rng.normal(1, 1, 1000))
    >>> round(found.distance, 1), round(found.uncertainty, 2)
    (1.0, 0.04)
    """
    values, steps, *each = _sorted(a, b, a_weights, b_weights)
    first = _cuts(values)
    widths = np.append(values[first[1:]], values[-1]) - values[first]
    rng = np.random.default_rng(seed)
    drawn = []
    for weights in each:
        sums, squares = (np.add.reduceat(weights**power, first) for power in (1, 2))
        size = np.divide(squares, sums, out=np.ones_like(sums), where=sums > 0)
        counts = size * rng.poisson(sums / size, (REPLICATES, len(sums)))
        drawn.append(np.cumsum(counts, axis=1) / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300))
    scatter = np.std(np.abs(drawn[0] - drawn[1]) @ widths)
    shares, others = each
    return Distance(_area(np.cumsum(shares / shares.sum() - others / others.sum()), steps), float(scatter))


def wasserstein_floor(truth: Any, other: Any, *, seed: int = 0) -> Distance:
    """W1 of two simulated samples of these sizes: below it no generator can be told from the simulation.

    One pair would scatter by a third. So both samples are put together and divided anew 50 times, at random.

    Args:
      truth: (N,) simulated values.
      other: (M,) simulated values, independent of them.
      seed: of the divisions.

    Returns:
      The mean of W1, and its standard deviation from pair to pair.

    Raises:
      InputError: as `wasserstein`.

    >>> rng = np.random.default_rng(0)
    >>> floor = wasserstein_floor(rng.normal(0, 1, 1000), rng.normal(0, 1, 1000))
    >>> 0.03 < floor.distance < 0.06
    True
    """
    _, steps, of_truth, of_other = _sorted(truth, other, None, None)
    rng, found = np.random.default_rng(seed), []
    share = of_truth / of_truth.sum() - of_other / of_other.sum()
    for _ in range(DIVISIONS):
        rng.shuffle(share)
        found.append(_area(np.cumsum(share), steps))
    return Distance(float(np.mean(found)), float(np.std(found)))


def beside_floor(generated: Any, truth: Any, other: Any, *, seed: int = 0) -> Beside:
    """How far generated values lie from simulated ones, beside how far simulated ones lie from each other.

    Args:
      generated: (N,) values.
      truth: (M,) simulated values that the generator has not learnt from.
      other: (N,) simulated values more, as many as there are generated ones and independent of `truth`.
      seed: of the bootstrap and of the divisions.

    Returns:
      Both distances.

    Raises:
      InputError: the sizes of `generated` and `other` differ, or as `wasserstein`.

    >>> rng = np.random.default_rng(0)
    >>> found = beside_floor(*(rng.normal(mean, 1, 1000) for mean in (0.2, 0, 0)))
    >>> 2 < found.ratio < 4
    True
    """
    return each_beside_floor({"": generated}, truth, other, seed=seed)[""]


def each_beside_floor(generated: Mapping[str, Any], truth: Any, other: Any, *, seed: int = 0) -> dict[str, Beside]:
    """`beside_floor` for several generators, whose floor is the same.

    Args:
      generated: generator → (N,) values.
      truth: (M,) simulated values that none has learnt from.
      other: (N,) simulated values more.
      seed: of the bootstrap and of the divisions.

    Returns:
      Generator → both distances.

    Raises:
      InputError: as `beside_floor`.

    >>> found = each_beside_floor({"a": [0.0, 1.0], "b": [1.0, 2.0]}, [0.0, 1.0], [1.0, 0.0])
    >>> found["a"].found.distance, found["b"].found.distance, found["a"].floor == found["b"].floor
    (0.0, 1.0, True)
    """
    floor = wasserstein_floor(truth, other, seed=seed)
    for values in generated.values():
        if np.size(values) != np.size(other):
            raise InputError(
                f"other: expected as many values as are generated, {np.size(values)}, found {np.size(other)}; "
                "the floor depends on their number"
            )
    return {name: Beside(wasserstein_distance(x, truth, seed=seed), floor) for name, x in generated.items()}


def distances_by_class(
    made: Mapping[str, Any],
    truth: tuple[Any, Any],
    other: tuple[Any, Any],
    names: Sequence[str],
    classes: Sequence[str],
    *,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, Beside]]]:
    """`each_beside_floor` for every observable, of each class and of all together.

    Args:
      made: generator → (N, F) observables of jets with the classes of `other`.
      truth: (M, F) observables of simulated jets that none has learnt from, and their (M,) class indices.
      other: (N, F) those of other simulated jets, and their (N,) class indices.
      names: of the F observables.
      classes: whose indices the labels are.
      seed: of the bootstrap and of the divisions.

    Returns:
      "all" and each class → observable → generator → both distances.

    Raises:
      InputError: a class is missing in a sample, or as `beside_floor`.

    >>> x, y = np.arange(8.0).reshape(4, 2), np.array([0, 0, 1, 1])
    >>> found = distances_by_class({"same": x}, (x, y), (x, y), ["j_pt", "j_mass"], ["q", "t"])
    >>> [*found], found["t"]["j_pt"]["same"].found.distance
    (['all', 'q', 't'], 0.0)
    """
    (x, y), (more, kinds) = ((np.asarray(a), np.asarray(b)) for a, b in (truth, other))
    for c, name in enumerate(classes):
        if not ((y == c).any() and (kinds == c).any()):
            raise InputError(f"labels: there is no jet of class {name} in a simulated sample; give more jets")
    rows = {"all": (y >= 0, kinds >= 0), **{name: (y == c, kinds == c) for c, name in enumerate(classes)}}
    return {
        name: {
            key: each_beside_floor(
                {generator: np.asarray(z)[b, f] for generator, z in made.items()}, x[a, f], more[b, f], seed=seed
            )
            for f, key in enumerate(names)
        }
        for name, (a, b) in rows.items()
    }


def _sorted(a: Any, b: Any, a_weights: Any, b_weights: Any) -> tuple[Floats, Floats, Floats, Floats]:
    """(N + M,) all values in rising order; (N + M - 1,) their steps; (N + M,) the weight of each in a, and in b."""
    samples = [_checked(values, name) for name, values in (("a", a), ("b", b))]
    weights = [checked_weights(w, len(x)) for w, x in zip((a_weights, b_weights), samples, strict=True)]
    values = np.concatenate(samples)
    order = np.argsort(values, kind="stable")
    in_a = np.concatenate([weights[0], np.zeros(len(samples[1]))])[order]
    in_b = np.concatenate([np.zeros(len(samples[0])), weights[1]])[order]
    rising = values[order]
    return rising, np.diff(rising), in_a, in_b


def _area(difference: Floats, steps: Floats) -> float:
    """∫ |F - G| dx, from (K,) F - G at rising values and the (K - 1,) steps between them."""
    return float(np.abs(difference[:-1]) @ steps)


def _cuts(values: Floats) -> NDArray[np.int64]:
    """The first places of cells of rising values: few values each, and narrow."""
    if len(values) <= 2 * _CELLS:
        return np.arange(len(values))
    by_rank = np.linspace(0, len(values), _CELLS, endpoint=False).astype(np.int64)
    by_value = np.searchsorted(values, np.linspace(values[0], values[-1], _CELLS, endpoint=False))
    return np.union1d(by_rank, by_value)


def _checked(values: Any, name: str) -> Floats:
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not x.size:
        raise InputError(f"{name}: expected the shape (N,) with one value or more, found {x.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"{name}: {np.sum(~np.isfinite(x))} of {x.size} values are NaN or infinite; drop them")
    return x
