"""Checks that turn what the user gives into plain float64 arrays, or say in one line what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.types import Scores

_ROW_SUM_TOLERANCE = 0.02  # a softmax in bfloat16 adds up to 1 within about 0.01


class Checked(NamedTuple):
    """Scores that are known to be sound."""

    p: NDArray[np.float64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: tuple[str, ...]


def checked(scores: Scores) -> Checked:
    """The same scores in NumPy, once they are known to be sound."""
    classes = tuple(scores.classes)
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise InputError(f"classes: expected two or more different names, found {classes}")
    p = _numbers(scores.scores, "scores")
    if p.ndim != 2 or p.shape[1] != len(classes):
        raise InputError(f"scores: expected shape (N, {len(classes)}), one column per class, found {p.shape}")
    if p.shape[0] == 0:
        raise InputError("scores: expected one jet or more, found none")
    _finite(p, "scores")
    sums = p.sum(axis=1)
    wrong = (p < 0).any(axis=1) | (np.abs(sums - 1) > _ROW_SUM_TOLERANCE)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"scores: expected probabilities that add up to 1 in each row, found {wrong.sum()} rows that do not, "
            f"first row {row} with sum {sums[row]:.4g} and minimum {p[row].min():.4g}; apply a softmax to logits"
        )
    weights = checked_weights(scores.weights, p.shape[0])
    return Checked(p, _checked_labels(scores.labels, p.shape[0], len(classes)), weights, classes)


def checked_weights(weights: Any, n: int) -> NDArray[np.float64]:
    """(n,) float64 non-negative, finite weights whose sum is positive; None gives ones."""
    if weights is None:
        return np.ones(n)
    w = _numbers(weights, "weights")
    if w.shape != (n,):
        raise InputError(f"weights: expected shape ({n},), one weight per jet, found {w.shape}")
    _finite(w, "weights")
    if (w < 0).any():
        raise InputError(f"weights: expected none below 0, found {(w < 0).sum()}, first at row {np.argmax(w < 0)}")
    if w.size and not w.any():
        raise InputError("weights: expected a positive sum, found all 0; give one jet or more a weight")
    return w


def checked_scores(scores: Any) -> NDArray[np.float64]:
    """(N,) float64 finite scores, N at least 1."""
    s = _numbers(scores, "scores")
    if s.ndim != 1 or s.size == 0:
        raise InputError(f"scores: expected shape (N,) with one jet or more, found {s.shape}")
    _finite(s, "scores")
    return s


def checked_flags(is_signal: Any, n: int) -> NDArray[np.bool_]:
    """(n,) bool; accepts zeros and ones of any kind."""
    flags = np.asarray(is_signal)
    if flags.shape != (n,):
        raise InputError(f"is_signal: expected shape ({n},), one flag per jet, found {flags.shape}")
    if flags.dtype != np.bool_ and not np.isin(flags, (0, 1)).all():
        raise InputError(
            "is_signal: expected True and False, or 1 and 0, found other values; compare labels to a class"
        )
    return flags.astype(np.bool_)


def _checked_labels(labels: Any, n: int, classes: int) -> NDArray[np.int64]:
    y = np.asarray(labels)
    if y.shape != (n,):
        raise InputError(f"labels: expected shape ({n},), one class index per jet, found {y.shape}")
    if y.dtype.kind not in "iu":
        raise InputError(f"labels: expected integer class indices, found dtype {y.dtype}; convert one-hot with argmax")
    wrong = (y < 0) | (y >= classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"labels: expected indices from 0 to {classes - 1}, found {y[row]} at row {row}")
    return y.astype(np.int64)


def _numbers(values: Any, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected an array of real numbers, found {type(values).__name__}") from None


def _finite(values: NDArray[np.float64], name: str) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argwhere(bad)[0, 0])
        raise InputError(
            f"{name}: expected finite numbers, found {bad.sum()} NaN or infinite, first at row {row}; "
            "check the model's output"
        )
