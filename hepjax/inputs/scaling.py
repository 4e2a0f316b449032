"""Standardization by statistics of the training part, which single absurd values do not change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import runtime
from hepjax.errors import InputError
from hepjax.types import Moments, Scaling

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hepjax.types import Array

FAR = 1e4
"""Values more standard deviations than this from the mean say nothing, and count as the mean. Heavy tails of real jets,
such as squared masses of particles, reach 1e2."""
_SUSPECT = 1e3
"""Values as many times as far from the median as 99 % of those that differ from it may lie far outside."""
_CONSTANT = 1e3
"""The distance from the median, in units of it or of 1, that is ordinary in a column that is nearly always the same."""
_SAMPLE = 2048
"""Rows, evenly spaced, whose quantiles stand for those of a part."""
_FEW = 300
"""Parts of fewer rows are judged by those of others, or together: of more, up to 1 % may be absurd."""
_FEWEST = 10
"""Fewer values than this have no quantile."""
_GROUP = 64
"""Rows whose extremes are taken together, which is some ten times as fast as one by one."""


def fit_scaling(x: np.ndarray, mask: np.ndarray | None = None) -> Scaling:
    """Computes mean and standard deviation of each feature, to be fitted on the training part only.

    Args:
      x: (..., F) features.
      mask: (...) bool, the rows that count; None is all. Padding never counts.

    Returns:
      (F,) mean and (F,) standard deviation, float32, computed in float64; the deviation of a constant feature is 1.
      Values more than `FAR` deviations of the others from their mean do not count.

    Raises:
      InputError: no row counts.

    >>> fit_scaling(np.array([[1.0, 5.0], [3.0, 5.0]]))
    Scaling(mean=array([2., 5.], dtype=float32), std=array([1., 1.], dtype=float32))
    """
    return scaling_of([moments(x, mask)])


def moments(x: np.ndarray, mask: np.ndarray | None = None) -> Moments:
    """Computes what a part of the data adds to its mean and standard deviation.

    Args:
      x: (..., F) features.
      mask: (...) bool, the rows that count; None is all.

    Returns:
      Their number, mean and squares, in float64, and the values that may lie far outside, which are not among them;
      of few rows all may.

    >>> moments(np.arange(300.0)[:, None])
    Moments(rows=300, mean=array([149.5]), squares=array([2249975.]))
    """
    rows = x.reshape(-1, x.shape[-1]) if mask is None else x[mask]
    if len(rows) < _FEW:
        columns = np.repeat(np.arange(rows.shape[1]), len(rows))
        suspects = np.stack([columns, rows.T.ravel()], axis=1)
        return Moments(len(rows), np.zeros(x.shape[-1]), np.zeros(x.shape[-1]), suspects)
    return _moments_of_rows(rows)


def _moments_of_rows(rows: np.ndarray) -> Moments:
    low, high = _usual_ranges(rows)
    least, most = extremes(rows)
    strange = np.flatnonzero((least < low) | (most > high)).tolist()
    mean, squares = _mean_and_squares(rows)
    suspects = []
    for column in strange:
        values = rows[:, column]
        far = (values < low[column]) | (values > high[column])
        suspects += [(column, float(value)) for value in values[far]]
        mean[column : column + 1], squares[column : column + 1] = _mean_and_squares(values[~far, None])
    return Moments(len(rows), mean, squares, np.array(suspects) if suspects else ())


def scaling_of(parts: Iterable[Moments]) -> Scaling:
    """Combines the scaling of all data from the moments of its parts, as if it were one.

    Args:
      parts: one or more.

    Returns:
      As `fit_scaling`.

    Raises:
      InputError: no row counts.

    >>> scaling_of([moments(np.array([[1.0]])), moments(np.array([[3.0]]))])
    Scaling(mean=array([2.], dtype=float32), std=array([1.], dtype=float32))
    """
    parts = _pool_small_parts(parts)
    if sum(part.rows for part in parts) == 0:
        raise InputError("scaling: no rows to fit on; the training part is empty or wholly masked")
    columns = range(len(parts[0].mean))
    summaries = [(_counts(part), part.mean, part.squares) for part in parts]
    mean, std = _combine(summaries)
    suspects = np.concatenate([np.reshape(part.suspects, (-1, 2)) for part in parts])
    if len(suspects):
        places = suspects[:, 0].astype(int)
        width = np.where(_constant(mean, std), _CONSTANT * np.maximum(np.abs(mean), 1), std)
        near = np.abs(suspects[:, 1] - mean[places]) <= FAR * width[places]
        kept = [suspects[near & (places == column), 1:] for column in columns]
        means, squares = (np.concatenate(x) for x in zip(*map(_mean_and_squares, kept), strict=True))
        mean, std = _combine([*summaries, (np.array([*map(len, kept)]), means, squares)])
    return Scaling(mean.astype(np.float32), np.where(_constant(mean, std), 1.0, std).astype(np.float32))


def moments_of_all_processes(parts: Sequence[Moments]) -> list[Moments]:
    """Gathers the moments of all processes in each of them.

    Args:
      parts: one or more of this process.

    Returns:
      Those of the first process, then those of the others.
    """
    rows = runtime.gather(np.array([[part.rows, *part.mean, *part.squares] for part in parts]))
    before = int(runtime.gather(np.array([len(parts)]))[: runtime.process()[0]].sum())
    numbered = [np.insert(np.reshape(part.suspects, (-1, 2)), 0, before + i, 1) for i, part in enumerate(parts)]
    suspects = runtime.gather(np.concatenate(numbered))
    means, squares = np.split(rows[:, 1:], 2, axis=1)
    return [Moments(rows[i, 0], means[i], squares[i], suspects[suspects[:, 0] == i, 1:]) for i in range(len(rows))]


def apply_scaling(scaling: Scaling, x: Any, mask: Array | None = None) -> Any:
    """Standardizes: (x − mean) / std, and 0 where masked or far outside.

    Args:
      scaling: what `fit_scaling` gave.
      x: (..., F) features, NumPy or JAX.
      mask: (...) bool, False for padding; None is all True.

    Returns:
      (..., F), of the kind and dtype of x.

    >>> apply_scaling(Scaling(np.array([2.0]), np.array([4.0])), np.array([[4.0], [-2.0], [1e11]])).tolist()
    [[0.5], [-1.0], [0.0]]
    """
    xp = x.__array_namespace__()
    scaled = xp.astype((replace_far(scaling, x) - scaling.mean) / scaling.std, x.dtype)
    return scaled if mask is None else xp.where(mask[..., None], scaled, xp.zeros_like(scaled))


def replace_far(scaling: Scaling, x: Any) -> Any:
    """Replaces values far outside the training part's by its mean, as if they were missing; all others stay.

    Args:
      scaling: what `fit_scaling` gave.
      x: (..., F) features, NumPy or JAX.

    Returns:
      (..., F), of the kind and dtype of x.

    >>> replace_far(Scaling(np.array([2.0]), np.array([4.0])), np.array([[7.0], [1e11]])).tolist()
    [[7.0], [2.0]]
    """
    xp = x.__array_namespace__()
    return xp.where(is_far(scaling, x), xp.astype(xp.asarray(scaling.mean), x.dtype), x)


def is_far(scaling: Scaling, x: Any) -> Any:
    """Tests which values lie more than `FAR` standard deviations from the mean.

    Args:
      scaling: what `fit_scaling` gave.
      x: (..., F) features, NumPy or JAX.

    Returns:
      (..., F) bool.

    >>> is_far(Scaling(np.array([2.0]), np.array([4.0])), np.array([[7.0], [1e11]])).tolist()
    [[False], [True]]
    """
    return abs(x - scaling.mean) > FAR * scaling.std


def extremes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the (F,) smallest and largest values of (..., F) features, at least one row of them.

    >>> extremes(np.array([[1.0, 5.0], [3.0, 4.0]]))
    (array([1., 4.]), array([3., 5.]))
    """
    rows = x.reshape(-1, x.shape[-1])
    whole = len(rows) // _GROUP * _GROUP
    parts = [rows[whole:]]
    if whole:
        groups = rows[:whole].reshape(-1, _GROUP * x.shape[-1])
        parts += [groups.min(axis=0).reshape(_GROUP, -1), groups.max(axis=0).reshape(_GROUP, -1)]
    few = np.concatenate(parts)
    return few.min(axis=0), few.max(axis=0)


def _usual_ranges(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The (F,) bounds of what certainly does not lie far outside; nothing can be said of very few rows."""
    if len(rows) < _FEWEST:
        return np.full(rows.shape[1], -np.inf), np.full(rows.shape[1], np.inf)
    sample = rows[:: -(-len(rows) // _SAMPLE)].astype(np.float64)
    median = np.median(sample, axis=0)
    width = _CONSTANT * np.maximum(np.abs(median), 1)
    distance = np.sort(np.abs(sample - median), axis=0)
    different = np.sum(distance > 0, axis=0)
    place = len(sample) - different + (0.99 * different).astype(int) - 1
    width = np.where(different >= _FEWEST, np.take_along_axis(distance, place[None], axis=0)[0], width)
    return median - _SUSPECT * width, median + _SUSPECT * width


def _pool_small_parts(parts: Iterable[Moments]) -> list[Moments]:
    """Puts the rows of parts that have few together, where no part has more."""
    parts = list(parts)
    parts = [part for part in parts if part.rows] or parts
    if any(part.rows >= _FEW or not len(part.suspects) for part in parts):
        return parts
    tables = [np.asarray(part.suspects)[:, 1].reshape(len(part.mean), -1).T for part in parts]
    return [_moments_of_rows(np.concatenate(tables))]


def _mean_and_squares(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(rows) == 0:
        return np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    return rows.mean(axis=0, dtype=np.float64), len(rows) * rows.var(axis=0, dtype=np.float64)


def _counts(part: Moments) -> np.ndarray:
    """The (F,) numbers of values in mean and squares."""
    columns = np.reshape(part.suspects, (-1, 2))[:, 0].astype(int)
    return part.rows - np.bincount(columns, minlength=len(part.mean))


def _combine(summaries: Sequence[tuple[Array, Array, Array]]) -> tuple[np.ndarray, np.ndarray]:
    """The (F,) means and standard deviations of all parts together, from counts, means and squares of each."""
    counts, means, squares = (np.stack(x) for x in zip(*summaries, strict=True))
    total = np.maximum(counts.sum(axis=0), 1)
    share = counts / total
    mean = (share * means).sum(axis=0)
    return mean, np.sqrt(squares.sum(axis=0) / total + (share * (means - mean) ** 2).sum(axis=0))


def _constant(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Rounding gives a constant feature a tiny width; dividing by it would blow noise up to size one."""
    return np.asarray(std <= 1e-7 * np.abs(mean))
