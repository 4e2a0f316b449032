"""The 16 observables as a generator learns them: fewer, without edges, and nearly normal in each class.

Four of the 16 are functions of the others: D2(1, 1) is D2 at β = 1, C2 is C1 · D2 at each β, and D2(1, 2) follows from
D2 and C1 (arXiv:1409.6298, eq. 11 and 20). A density of all 16 would be infinite, so twelve are learnt, in coordinates
in which nothing else is nearly fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.data import datasets
from hepjax.errors import InputError
from hepjax.numerics import safe_divide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_JETS = 50
"""Of a class, to fit its distributions on."""
COORDINATES = 12
"""What is learnt of the 16 observables."""

_WHOLE = 1  # the coordinate that is a number of particles
_OF_TWO, _OF_THREE = (3, 4, 6), (7, 8, 9, 10, 11)  # coordinates of jets with two particles, or three, after mMDT
_COMMON = 1e-3  # a value that so many of the jets share, and five or more, is spread by random numbers; and 0
_KNOTS = 1000
_QUANTILES = 200
_TAIL = 2e-5  # of a distribution, at either end, is cut off: normal scores stay below 4.2


class Distribution(NamedTuple):
    """A cumulative distribution, linear between K knots; a value that many jets share has two."""

    values: Floats
    """(K,) rising."""
    shares: Floats
    """(K,) of the jets below, rising strictly."""


class Preparation(NamedTuple):
    """What the training part says of each of C classes."""

    distributions: tuple[tuple[Distribution, ...], ...]
    """C times 12."""
    mean: Floats
    """(C, 12) of the normal scores."""
    factor: Floats
    """(C, 12, 12) lower triangles whose product with their transpose is the covariance of the normal scores."""
    low: Floats
    """(C, 16) the smallest observables."""
    high: Floats
    """(C, 16) the largest."""
    classes: tuple[str, ...]
    """Their names."""
    known: Floats
    """(C, 12, Q) quantiles of what `prepare` makes of the training part."""
    made: Floats
    """(C, 12, Q) quantiles of what a generator makes; at first the same."""


def to_coordinates(x: Any) -> Floats:
    """The 16 observables as twelve numbers, of which none follows from the others.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.

    Returns:
      (N, 12) float64: mass in GeV, number of particles, Σ z ln z, C1 at β = 0, C1(1)² / (C1(0) C1(2)), which is 1 at
      most, C1(2) / mass² in GeV⁻², D2, M2 and N2 at β = 1 and 2. NaN where a number means nothing: C1(2) is 0 for jets
      of which mMDT leaves one particle, D2(1) for those of two; so are then others.

    >>> to_coordinates(np.ones((1, 16))).shape
    (1, 12)
    """
    x = np.asarray(x, np.float64)
    zlogz, c0, c1, c2, _, _, d1, d2, _, _, m1, m2, n1, n2, mass, number = x.T
    edge, angle = safe_divide(c1**2, c0 * c2), safe_divide(c2, mass**2)
    out = np.stack([mass, number, zlogz, c0, edge, angle, d1, d2, m1, m2, n1, n2], axis=1)
    out[np.ix_(angle == 0, _OF_TWO)] = np.nan
    out[np.ix_((angle == 0) | (d1 == 0), _OF_THREE)] = np.nan
    return out


def from_coordinates(y: Any) -> Floats:
    """The 16 observables of `to_coordinates`.

    Args:
      y: (N, 12).

    Returns:
      (N, 16) float64, in the order of `hls4ml.STANDARD_FEATURES`.

    >>> x = np.array([[-2, 0.4, 0.1, 0.03, 0.12, 0.03, 1.2, 1, 1.2, 0.0, 0.1, 0.1, 0.3, 0.3, 80, 40]])
    >>> x[:, 9] = 1.2 * 0.1**3 / 0.03**1.5
    >>> bool(np.allclose(from_coordinates(to_coordinates(x)), x))
    True
    """
    y = np.array(y, np.float64)
    y[np.ix_(y[:, 5] == 0, _OF_TWO)] = 0
    y[np.ix_(y[:, 6] == 0, _OF_THREE)] = 0
    mass, number, zlogz, c0, edge, angle, d1, d2, m1, m2, n1, n2 = y.T
    c2 = angle * mass**2
    c1 = np.sqrt(edge * c0 * c2)
    mixed = d1 * safe_divide(c1**2, c2) ** 1.5
    return np.stack([zlogz, c0, c1, c2, c1 * d1, c2 * d2, d1, d2, d1, mixed, m1, m2, n1, n2, mass, number], axis=1)


def fit_preparation(x: Any, labels: Any, classes: Sequence[str], *, seed: int = 0) -> Preparation:
    """Learns each class's distributions from the training part.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.
      labels: (N,) indices into `classes`.
      classes: C names.
      seed: of the random numbers that spread shared values.

    Returns:
      The preparation.

    Raises:
      InputError: a class has fewer than 50 jets, or an observable is not finite.
    """
    x, labels, rng = _checked(x), np.asarray(labels), np.random.default_rng(seed)
    counts = np.bincount(labels, minlength=len(classes))
    few = [f"{counts[c]} of {name}" for c, name in enumerate(classes) if counts[c] < FEWEST_JETS]
    if few:
        raise InputError(
            f"classes: expected {FEWEST_JETS} jets or more of each to learn from, found {', '.join(few)}; "
            "give more jets, or leave the class out"
        )
    parts = [x[labels == c] for c in range(len(classes))]
    distributions = tuple(
        tuple(_distribution(column, f == _WHOLE, rng) for f, column in enumerate(to_coordinates(part).T))
        for part in parts
    )
    scores = [_scores(own, to_coordinates(part), rng) for own, part in zip(distributions, parts, strict=True)]
    mean, factor = map(np.stack, zip(*(_moments(y, rng) for y in scores), strict=True))
    low, high = (np.stack([end(part, axis=0) for part in parts]) for end in (np.min, np.max))
    white = [_whitened(y, m, f, rng) for y, m, f in zip(scores, mean, factor, strict=True)]
    known = np.stack([_quantiles(z) for z in white])
    return Preparation(distributions, mean, factor, low, high, tuple(classes), known, known)


def prepare(preparation: Preparation, x: Any, labels: Any, *, seed: int = 0) -> NDArray[np.float32]:
    """The numbers that a generator learns: of each class, mean 0, unit covariance, and each nearly normal.

    Each coordinate is replaced by its normal score, Φ⁻¹ of its cumulative distribution; a value that many jets share,
    such as a mass of 0 or a number of particles, by a random one of the scores that belong to it. What lies outside of
    the training part counts as its edge. A linear map then takes the class's mean and covariance away, and what means
    nothing becomes a normal number. So a normal distribution here is one with the class's own spectra and correlations,
    which is the baseline of a generator.

    Args:
      preparation: of the training part.
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.
      labels: (N,) classes.
      seed: of the random numbers.

    Returns:
      (N, 12) float32.

    Raises:
      InputError: an observable is not finite, or there is no such class.
    """
    x, labels, rng = _checked(x), _known(labels, preparation), np.random.default_rng(seed)
    y, out = to_coordinates(x), np.zeros((len(x), COORDINATES), np.float32)
    for c, own in enumerate(preparation.distributions):
        rows = labels == c
        out[rows] = _whitened(_scores(own, y[rows], rng), preparation.mean[c], preparation.factor[c], rng)
    return out


def restore(preparation: Preparation, z: Any, labels: Any) -> NDArray[np.float32]:
    """The way back: what a generator has made, in the observables' own units and within the range of the class.

    Args:
      preparation: of the training part.
      z: (N, 12) as `prepare` gives them.
      labels: (N,) classes.

    Returns:
      (N, 16) float32, in the order of `hls4ml.STANDARD_FEATURES`; numbers of particles are whole.

    Raises:
      InputError: a number is not finite, which means that the generator has exploded; or there is no such class.
    """
    from scipy.special import ndtr

    z, labels = _finite(z), _known(labels, preparation)
    out = np.zeros((len(z), len(datasets.get("hls4ml").features)), np.float32)
    for c, own in enumerate(preparation.distributions):
        rows = labels == c
        steps = zip(z[rows].T, preparation.known[c], preparation.made[c], strict=True)
        moved = np.stack([column + np.interp(column, made, known - made) for column, known, made in steps], axis=1)
        shares = ndtr(moved @ preparation.factor[c].T + preparation.mean[c])
        columns = [np.interp(u, one.shares, one.values) for one, u in zip(own, shares.T, strict=True)]
        columns[_WHOLE] = np.floor(columns[_WHOLE])
        x = from_coordinates(np.stack(columns, axis=1))
        out[rows] = np.clip(x, preparation.low[c], preparation.high[c])
    return out


def calibrate(preparation: Preparation, z: Any, labels: Any) -> Preparation:
    """Lets `restore` move each of a generator's numbers to where the training part has it.

    A generator that knows well how observables hang together may be off by some percent in each of its numbers. So
    their quantiles are moved to where they should be; tails move as the outermost quantiles do. The first number is the
    mass, whose spectrum so is right; the others are what is not known of an observable from those before it.

    Args:
      preparation: of the training part.
      z: (N, 12) what the generator makes, many of each class.
      labels: (N,) classes.

    Returns:
      The preparation for this generator.

    Raises:
      InputError: fewer jets of a class than it has quantiles, 200; or as `restore`.
    """
    z, labels = _finite(z), _known(labels, preparation)
    made = np.zeros_like(preparation.made)
    for c, name in enumerate(preparation.classes):
        own = z[labels == c]
        if len(own) < _QUANTILES:
            raise InputError(f"z: expected {_QUANTILES} jets or more of {name}, found {len(own)}; make more")
        made[c] = _quantiles(own)
    return preparation._replace(made=made)


def choose_classes(labels: Any, classes: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    """The labels of jets among the classes that are wanted.

    Args:
      labels: (N,) indices into `classes`; None is refused.
      classes: the names of the classes in the files.
      wanted: those to generate; their order is that of the new labels.

    Returns:
      (N,) indices into `wanted`; -1 for all other jets.

    Raises:
      InputError: the jets have no labels, or none is of a class that is wanted.

    >>> choose_classes(np.array([0, 1, 2, 2]), ("g", "q", "w"), ("w", "g")).tolist()
    [1, -1, 0, 0]
    """
    if labels is None:
        raise InputError("labels: a generator of each class needs jets with labels, found none; give other files")
    found = np.asarray(labels)
    there = [name for i, name in enumerate(classes) if (found == i).any()]
    for name in wanted:
        if name not in there:
            raise InputError(f"classes: {name} is not in the files, which hold {', '.join(there)}; choose of these")
    places = np.full(len(classes), -1)
    places[[classes.index(name) for name in wanted]] = np.arange(len(wanted))
    chosen: NDArray[np.int64] = places[found]
    return chosen


def _distribution(x: Floats, whole: bool, rng: np.random.Generator) -> Distribution:
    x = x[np.isfinite(x)] if np.isfinite(x).any() else np.zeros(1)
    n = len(x)
    x = np.sort(x + rng.uniform(size=n) if whole else x)
    values, first, count = np.unique(x, return_index=True, return_counts=True)
    common = (count >= max(5, _COMMON * n)) | (values == 0)
    places = np.unique(np.linspace(0, n - 1, min(_KNOTS, n)).round().astype(np.int64))
    places = places[~np.isin(x[places], values[common])]
    knots = np.concatenate([x[places], values[common], values[common]])
    ends = [(first[common] + _TAIL) / n, (first[common] + count[common]) / n]
    shares = np.concatenate([(places + 0.5) / n, *ends])
    order = np.lexsort((shares, knots))
    return Distribution(knots[order], shares[order])


def _scores(own: Sequence[Distribution], y: Floats, rng: np.random.Generator) -> Floats:
    """(n, 12) coordinates of one class → their normal scores; NaN stays."""
    from scipy.special import ndtri

    spread = y + np.where(np.arange(y.shape[1]) == _WHOLE, rng.uniform(size=(len(y), 1)), 0)
    shares = [_share(one, column, rng.uniform(size=len(y))) for one, column in zip(own, spread.T, strict=True)]
    return np.where(np.isnan(y), np.nan, ndtri(np.clip(np.stack(shares, axis=1), _TAIL, 1 - _TAIL)))


def _moments(scores: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(12,) mean, and the lower triangle of the covariance, of normal scores; first of those that are whole."""
    whole = scores[np.isfinite(scores).all(axis=1)]
    size = scores.shape[1]
    mean: Floats = np.zeros(size)
    factor: Floats = np.eye(size)
    for part in (whole, scores):
        filled = _whitened(part, mean, factor, rng) @ factor.T + mean
        if len(part) > size:
            mean = np.asarray(filled.mean(axis=0), np.float64)
            factor = np.asarray(np.linalg.cholesky(np.cov(filled.T) + 1e-6 * np.eye(size)), np.float64)
    return mean, factor


def _whitened(scores: Floats, mean: Floats, factor: Floats, rng: np.random.Generator) -> Floats:
    """(n, 12) numbers of unit covariance; where a score is NaN, a normal one."""
    out = rng.normal(size=scores.shape)
    for f in range(scores.shape[1]):
        own = (scores[:, f] - mean[f] - out[:, :f] @ factor[f, :f]) / factor[f, f]
        out[:, f] = np.where(np.isnan(own), out[:, f], own)
    return out


def _share(one: Distribution, x: Floats, uniform: Floats) -> Floats:
    """(n,) the share of jets below each value; a random one where many jets share it."""
    last = len(one.values) - 1
    left, right = (np.searchsorted(one.values, x, side) for side in ("left", "right"))
    low, high = one.shares[left.clip(max=last)], one.shares[(right - 1).clip(0)]
    before, after = (left - 1).clip(0), left.clip(max=last)
    step = one.values[after] - one.values[before]
    inside = safe_divide(x - one.values[before], step)
    between = one.shares[before] + inside * (one.shares[after] - one.shares[before])
    shares = np.where(right > left, low + uniform * (high - low), np.where(step == 0, one.shares[before], between))
    return np.asarray(shares, np.float64)


def _quantiles(z: Floats) -> Floats:
    """(12, Q) of each column, rising."""
    return np.asarray(np.quantile(z, (np.arange(_QUANTILES) + 0.5) / _QUANTILES, axis=0).T, np.float64)


def _finite(z: Any) -> Floats:
    found = np.asarray(z, np.float64)
    wrong = ~np.isfinite(found).all(axis=1)
    if wrong.any():
        raise InputError(
            f"generation exploded: {wrong.sum()} of {len(found)} jets are not finite; train longer, or with a lower "
            "learning rate"
        )
    return found


def _known(labels: Any, preparation: Preparation) -> NDArray[np.integer[Any]]:
    found = np.asarray(labels)
    if found.dtype.kind not in "iu" or (found.size and not 0 <= found.min() <= found.max() < len(preparation.classes)):
        raise InputError(
            f"labels: expected whole numbers from 0 to {len(preparation.classes) - 1}, the classes "
            f"{', '.join(preparation.classes)}, found others"
        )
    return found


def _checked(x: Any) -> Floats:
    found = np.asarray(x, np.float64)
    wanted = len(datasets.get("hls4ml").features)
    if found.ndim != 2 or found.shape[1] != wanted:
        raise InputError(f"x: expected (N, {wanted}), the observables of STANDARD_FEATURES, found shape {found.shape}")
    wrong = ~np.isfinite(found).all(axis=1)
    if wrong.any():
        raise InputError(f"x: {wrong.sum()} of {len(found)} jets have observables that are not finite; drop them")
    return found
