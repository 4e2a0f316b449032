"""Preparation of the 16 observables for generators: twelve independent, nearly normal numbers in each class.

Four of the 16 are functions of the others: D2(1, 1) is D2 at β = 1, C2 is C1 · D2 at each β, and D2(1, 2) follows from
D2 and C1 (arXiv:1409.6298, eq. 11 and 20). A density of all 16 would be infinite. Generators therefore learn twelve
coordinates, none of which is nearly determined by the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.data import datasets
from hepjax.errors import InputError
from hepjax.numerics import safe_divide
from hepjax.tasks.generation.distributions import TAIL, fit_distribution, share_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hepjax.tasks.generation.distributions import Distribution

    Floats = NDArray[np.float64]

FEWEST_JETS = 50
"""The smallest number of jets of a class for a fit of its distributions."""
COORDINATES = 12
"""The number of independent coordinates of the 16 observables."""
WHOLE = 1
"""The index of the coordinate that is a number of particles."""

_OF_TWO, _OF_THREE = (3, 4, 6), (7, 8, 9, 10, 11)  # coordinates of jets with two particles, or three, after mMDT
_QUANTILES = 200


class Preparation(NamedTuple):
    """Statistics of each of C classes in the training split."""

    distributions: tuple[tuple[Distribution, ...], ...]
    """The distributions of the 12 coordinates, for each of C classes."""
    mean: Floats
    """(C, 12) means of the normal scores."""
    factor: Floats
    """(C, 12, 12) lower triangles whose product with their transpose is the covariance of the normal scores."""
    low: Floats
    """(C, 16) smallest observables."""
    high: Floats
    """(C, 16) largest observables."""
    classes: tuple[str, ...]
    """The names of the classes."""
    reference: Floats
    """(C, 12, Q) quantiles of the prepared training split."""
    generated: Floats
    """(C, 12, Q) quantiles of generated numbers; initially those of the training split."""


def to_coordinates(x: Any) -> Floats:
    """Converts the 16 observables to twelve independent coordinates.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.

    Returns:
      (N, 12) float64: mass in GeV, number of particles, Σ z ln z, C1 at β = 0, C1(1)² / (C1(0) C1(2)), which is at
      most 1, C1(2) / mass² in GeV⁻², D2, M2 and N2 at β = 1 and 2. Undefined coordinates are NaN: C1(2) is 0 for jets
      with one particle after mMDT, D2(1) for jets with two particles, which leaves further coordinates undefined.

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
    """Converts coordinates back to the 16 observables; inverse of `to_coordinates`.

    Args:
      y: (N, 12) coordinates.

    Returns:
      (N, 16) float64 observables, in the order of `hls4ml.STANDARD_FEATURES`.

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
    """Fits the distributions of each class on the training split.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.
      labels: (N,) indices into `classes`.
      classes: names of the C classes.
      seed: seed of the random numbers that smear shared values.

    Returns:
      The preparation.

    Raises:
      InputError: a class has fewer than 50 jets, or an observable is not finite.
    """
    x, labels = check_observables(x), np.asarray(labels)
    return fit_coordinates(to_coordinates(x), x, labels, classes, seed=seed)


def fit_coordinates(y: Floats, x: Any, labels: Any, classes: Sequence[str], *, seed: int = 0) -> Preparation:
    """Fits the distributions of each class to coordinates, whatever their precision.

    Args:
      y: (N, 12) coordinates of the training split.
      x: (N, 16) observables, whose range is kept.
      labels: (N,) indices into `classes`.
      classes: names of the C classes.
      seed: seed of the random numbers that smear shared values.

    Returns:
      The preparation.

    Raises:
      InputError: a class has fewer than 50 jets.
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(labels, minlength=len(classes))
    few = [f"{counts[c]} of {name}" for c, name in enumerate(classes) if counts[c] < FEWEST_JETS]
    if few:
        raise InputError(
            f"classes: expected {FEWEST_JETS} jets or more of each to learn from, found {', '.join(few)}; "
            "give more jets, or leave the class out"
        )
    parts = [np.asarray(y[labels == c], np.float64) for c in range(len(classes))]
    distributions = tuple(
        tuple(fit_distribution(column, rng, whole=f == WHOLE) for f, column in enumerate(part.T)) for part in parts
    )
    scores = [_normal_scores(of_class, part, rng) for of_class, part in zip(distributions, parts, strict=True)]
    mean, factor = map(np.stack, zip(*(_moments_of_normal_scores(y, rng) for y in scores), strict=True))
    low, high = (np.stack([end(x[labels == c], axis=0) for c in range(len(classes))]) for end in (np.min, np.max))
    white = [whiten(y, m, f, rng.normal(size=y.shape)) for y, m, f in zip(scores, mean, factor, strict=True)]
    reference = np.stack([_coordinate_quantiles(z) for z in white])
    return Preparation(distributions, mean, factor, low, high, tuple(classes), reference, reference)


def prepare(preparation: Preparation, x: Any, labels: Any, *, seed: int = 0) -> NDArray[np.float32]:
    """Converts observables to nearly normal numbers with mean 0 and unit covariance in each class, for a generator.

    Each coordinate is replaced by its normal score, Φ⁻¹ of its cumulative distribution. A value shared by many jets,
    such as a mass of 0 or a number of particles, becomes a random score of its range. Values beyond the training split
    are set to its edge. A linear map then removes the mean and covariance of the class, and undefined coordinates
    become normal numbers. A normal distribution of these numbers therefore has the spectra and correlations of the
    class, which makes it the baseline of a generator.

    Args:
      preparation: statistics of the training split.
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.
      labels: (N,) class indices.
      seed: seed of the random numbers.

    Returns:
      (N, 12) float32 numbers.

    Raises:
      InputError: an observable is not finite, or a class does not exist.
    """
    x, labels, rng = check_observables(x), _checked_preparation_labels(labels, preparation), np.random.default_rng(seed)
    y, out = to_coordinates(x), np.zeros((len(x), COORDINATES), np.float32)
    for c, distributions in enumerate(preparation.distributions):
        rows = labels == c
        scores = _normal_scores(distributions, y[rows], rng)
        out[rows] = whiten(scores, preparation.mean[c], preparation.factor[c], rng.normal(size=scores.shape))
    return out


def restore_observables(preparation: Preparation, z: Any, labels: Any) -> NDArray[np.float32]:
    """Converts generated numbers to observables in their units and within the range of the class.

    Args:
      preparation: statistics of the training split.
      z: (N, 12) numbers, distributed like those of `prepare`.
      labels: (N,) class indices.

    Returns:
      (N, 16) float32, in the order of `hls4ml.STANDARD_FEATURES`; numbers of particles are integers.

    Raises:
      InputError: a number is not finite, because the generator diverged; or a class does not exist.
    """
    from scipy.special import ndtr

    z, labels = _checked_preparation_sample(z), _checked_preparation_labels(labels, preparation)
    out = np.zeros((len(z), len(datasets.get("hls4ml").features)), np.float32)
    for c, distributions in enumerate(preparation.distributions):
        rows = labels == c
        steps = zip(z[rows].T, preparation.reference[c], preparation.generated[c], strict=True)
        moved = np.stack(
            [column + np.interp(column, quantiles, target - quantiles) for column, target, quantiles in steps], axis=1
        )
        shares = ndtr(moved @ preparation.factor[c].T + preparation.mean[c])
        columns = [np.interp(u, d.shares, d.values) for d, u in zip(distributions, shares.T, strict=True)]
        columns[WHOLE] = np.floor(columns[WHOLE])
        x = from_coordinates(np.stack(columns, axis=1))
        out[rows] = np.clip(x, preparation.low[c], preparation.high[c])
    return out


def calibrate(preparation: Preparation, z: Any, labels: Any) -> Preparation:
    """Calibrates `restore_observables` so that the quantiles of generated numbers agree with the training split.

    A generator may reproduce correlations well and still be wrong by some percent in each number. Its quantiles are
    therefore moved to those of the training split; tails move with the outermost quantiles. The first number is the
    mass, whose spectrum is then exact; each further number is the part of an observable that is independent of the
    previous ones.

    Args:
      preparation: statistics of the training split.
      z: (N, 12) generated numbers, with many jets of each class.
      labels: (N,) class indices.

    Returns:
      The preparation for this generator.

    Raises:
      InputError: there are fewer jets of a class than quantiles, 200; or for the reasons of `restore_observables`.
    """
    z, labels = _checked_preparation_sample(z), _checked_preparation_labels(labels, preparation)
    generated = np.zeros_like(preparation.generated)
    for c, name in enumerate(preparation.classes):
        sample = z[labels == c]
        if len(sample) < _QUANTILES:
            raise InputError(f"z: expected {_QUANTILES} jets or more of {name}, found {len(sample)}; make more")
        generated[c] = _coordinate_quantiles(sample)
    return preparation._replace(generated=generated)


def choose_classes(labels: Any, classes: Sequence[str], chosen: Sequence[str]) -> NDArray[np.int64]:
    """Converts labels to indices into the chosen classes.

    Args:
      labels: (N,) indices into `classes`; None is refused.
      classes: the names of the classes in the files.
      chosen: names of the classes to generate; their order is that of the new labels.

    Returns:
      (N,) indices into `chosen`; -1 for all other jets.

    Raises:
      InputError: the jets have no labels, or a chosen class has no jets.

    >>> choose_classes(np.array([0, 1, 2, 2]), ("g", "q", "w"), ("w", "g")).tolist()
    [1, -1, 0, 0]
    """
    if labels is None:
        raise InputError("labels: a generator of each class needs jets with labels, found none; give other files")
    indices = np.asarray(labels)
    present = [name for i, name in enumerate(classes) if (indices == i).any()]
    for name in chosen:
        if name not in present:
            raise InputError(f"classes: {name} is not in the files, which hold {', '.join(present)}; choose of these")
    new_indices = np.full(len(classes), -1)
    new_indices[[classes.index(name) for name in chosen]] = np.arange(len(chosen))
    new_labels: NDArray[np.int64] = new_indices[indices]
    return new_labels


def _normal_scores(distributions: Sequence[Distribution], y: Floats, rng: np.random.Generator) -> Floats:
    """Converts (n, 12) coordinates of one class to normal scores; NaN stays NaN."""
    from scipy.special import ndtri

    spread = y + np.where(np.arange(y.shape[1]) == WHOLE, rng.uniform(size=(len(y), 1)), 0)
    shares = [
        share_below(d.values, d.shares, column, rng.uniform(size=len(y)))
        for d, column in zip(distributions, spread.T, strict=True)
    ]
    return np.where(np.isnan(y), np.nan, ndtri(np.clip(np.stack(shares, axis=1), TAIL, 1 - TAIL)))


def _moments_of_normal_scores(scores: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Estimates the (12,) mean and the Cholesky factor of the covariance of normal scores, first without NaN rows."""
    complete = scores[np.isfinite(scores).all(axis=1)]
    size = scores.shape[1]
    mean: Floats = np.zeros(size)
    factor: Floats = np.eye(size)
    for part in (complete, scores):
        filled = whiten(part, mean, factor, rng.normal(size=part.shape)) @ factor.T + mean
        if len(part) > size:
            mean = np.asarray(filled.mean(axis=0), np.float64)
            factor = np.asarray(np.linalg.cholesky(np.cov(filled.T) + 1e-6 * np.eye(size)), np.float64)
    return mean, factor


def whiten(scores: Any, mean: Any, factor: Any, normal: Any) -> Any:
    """Converts normal scores to numbers of mean 0 and unit covariance; works with NumPy and JAX.

    Args:
      scores: (n, F) normal scores, NaN where a coordinate is undefined.
      mean: (F,) or (n, F) their means.
      factor: (F, F) or (n, F, F) lower triangles, as in `Preparation`.
      normal: (n, F) normal numbers, which replace NaN.

    Returns:
      (n, F) numbers.

    >>> whiten(np.array([[3.0, np.nan]]), np.ones(2), np.array([[2.0, 0.0], [1.0, 1.0]]), np.full((1, 2), 0.5)).tolist()
    [[1.0, 0.5]]
    """
    xp: Any = scores.__array_namespace__()
    columns: list[Any] = []
    for f in range(scores.shape[1]):
        known = sum(factor[..., f, j] * column for j, column in enumerate(columns))
        column = (scores[:, f] - mean[..., f] - known) / factor[..., f, f]
        columns.append(xp.where(xp.isnan(column), normal[:, f], column))
    return xp.stack(columns, axis=1)


def _coordinate_quantiles(z: Floats) -> Floats:
    """Computes the (12, Q) rising quantiles of each column."""
    return np.asarray(np.quantile(z, (np.arange(_QUANTILES) + 0.5) / _QUANTILES, axis=0).T, np.float64)


def _checked_preparation_sample(z: Any) -> Floats:
    sample = np.asarray(z, np.float64)
    wrong = ~np.isfinite(sample).all(axis=1)
    if wrong.any():
        raise InputError(
            f"generation exploded: {wrong.sum()} of {len(sample)} jets are not finite; train longer, or with a lower "
            "learning rate"
        )
    return sample


def _checked_preparation_labels(labels: Any, preparation: Preparation) -> NDArray[np.integer[Any]]:
    indices = np.asarray(labels)
    if indices.dtype.kind not in "iu" or (
        indices.size and not 0 <= indices.min() <= indices.max() < len(preparation.classes)
    ):
        raise InputError(
            f"labels: expected whole numbers from 0 to {len(preparation.classes) - 1}, the classes "
            f"{', '.join(preparation.classes)}, found others"
        )
    return indices


def check_observables(x: Any) -> Floats:
    """Refuses observables of another number or that are not finite, and returns them.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.

    Raises:
      InputError: tells what is wrong.
    """
    observables = np.asarray(x, np.float64)
    columns = len(datasets.get("hls4ml").features)
    if observables.ndim != 2 or observables.shape[1] != columns:
        raise InputError(
            f"x: expected (N, {columns}), the observables of STANDARD_FEATURES, found shape {observables.shape}"
        )
    wrong = ~np.isfinite(observables).all(axis=1)
    if wrong.any():
        raise InputError(f"x: {wrong.sum()} of {len(observables)} jets have observables that are not finite; drop them")
    return observables
