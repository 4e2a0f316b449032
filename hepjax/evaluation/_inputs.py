"""Checks that turn what the user gives into plain float64 arrays, or say in one line what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.types import Scores

_ROW_SUM_TOLERANCE = 0.02  # a softmax in bfloat16 adds up to 1 within about 0.01


_BLOCK = 2**18
"""Rows that are looked at at once: ten million scores are not copied."""


class Checked(NamedTuple):
    """Scores that are known to be sound."""

    p: NDArray[np.floating[Any]]
    """(N, C) in float32 if they were given so, otherwise in float64."""
    labels: NDArray[np.integer[Any]]
    weights: NDArray[np.float64] | None
    """None is 1 for each."""
    classes: tuple[str, ...]

    @property
    def effective(self) -> NDArray[np.float64]:
        """(C,) the effective number of jets of each class, (Σw)²/Σw²; 0 where it has none."""
        n = len(self.classes)
        if self.weights is None:
            return np.bincount(self.labels, minlength=n).astype(np.float64)
        sums, squares = (np.bincount(self.labels, w, n) for w in (self.weights, self.weights**2))
        return np.divide(sums**2, squares, out=np.zeros(n), where=squares > 0)


def checked(scores: Scores) -> Checked:
    """The same scores in NumPy, once they are known to be sound."""
    classes = tuple(scores.classes)
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise InputError(f"classes: expected two or more different names, found {classes}")
    p = _numbers(scores.scores, "scores", single=True)
    if p.ndim != 2 or p.shape[1] != len(classes):
        raise InputError(f"scores: expected shape (N, {len(classes)}), one column per class, found {p.shape}")
    if p.shape[0] == 0:
        raise InputError("scores: expected one jet or more, found none")
    for start in range(0, len(p), _BLOCK):
        _check_rows(p[start : start + _BLOCK], start)
    weights = None if scores.weights is None else checked_weights(scores.weights, p.shape[0])
    return Checked(p, _checked_labels(scores.labels, p.shape[0], len(classes)), weights, classes)


def _check_rows(p: NDArray[np.floating[Any]], start: int) -> None:
    _finite(p, "scores", start)
    sums = p.sum(axis=1, dtype=np.float64)
    wrong = (p < 0).any(axis=1) | (np.abs(sums - 1) > _ROW_SUM_TOLERANCE)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"scores: expected probabilities that add up to 1 in each row, found row {start + row} with sum "
            f"{sums[row]:.4g} and minimum {p[row].min():.4g}; apply a softmax to logits"
        )


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


def _checked_labels(labels: Any, n: int, classes: int) -> NDArray[np.integer[Any]]:
    y = np.asarray(labels)
    if y.shape != (n,):
        raise InputError(f"labels: expected shape ({n},), one class index per jet, found {y.shape}")
    if y.dtype.kind not in "iu":
        raise InputError(f"labels: expected integer class indices, found dtype {y.dtype}; convert one-hot with argmax")
    wrong = (y < 0) | (y >= classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"labels: expected indices from 0 to {classes - 1}, found {y[row]} at row {row}")
    return y.astype(np.int64) if y.dtype.itemsize < 4 or y.dtype.kind == "u" else y


def _numbers(values: Any, name: str, *, single: bool = False) -> NDArray[Any]:
    """In float64; `single` leaves float32 as it is."""
    try:
        found = np.asarray(values)
        return found if single and found.dtype == np.float32 else found.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected an array of real numbers, found {type(values).__name__}") from None


def _finite(values: NDArray[np.floating[Any]], name: str, start: int = 0) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row = start + int(np.argwhere(bad)[0, 0])
        raise InputError(
            f"{name}: expected finite numbers, found {bad.sum()} NaN or infinite, first at row {row}; "
            "check the model's output"
        )
