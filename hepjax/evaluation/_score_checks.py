"""Checks that turn user input into plain float64 arrays, or raise an error that says in one line what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hepjax.types import Scores

_ROW_SUM_TOLERANCE = 0.02  # a softmax in bfloat16 adds up to 1 within about 0.01


_BLOCK = 2**18
"""Number of rows checked at a time, so that ten million scores are not copied."""


class CheckedScores(NamedTuple):
    """Class scores that passed all checks."""

    p: NDArray[np.floating[Any]]
    """(N, C) class probabilities, float32 if the input was float32, otherwise float64."""
    labels: NDArray[np.integer[Any]]
    weights: NDArray[np.float64] | None
    """(N,) jet weights; None means weight 1 for each jet."""
    classes: tuple[str, ...]

    @property
    def effective(self) -> NDArray[np.float64]:
        """Returns the (C,) effective numbers of jets of the classes, (Σw)²/Σw²; 0 for a class without jets."""
        n = len(self.classes)
        if self.weights is None:
            return np.bincount(self.labels, minlength=n).astype(np.float64)
        sums, squares = (np.bincount(self.labels, w, n) for w in (self.weights, self.weights**2))
        return np.divide(sums**2, squares, out=np.zeros(n), where=squares > 0)


def checked_class_scores(scores: Scores) -> CheckedScores:
    """Checks class scores, labels and weights, and returns them as NumPy arrays."""
    classes = tuple(scores.classes)
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise InputError(f"classes: expected two or more different names, found {classes}")
    p = _real_array(scores.scores, "scores", single=True)
    if p.ndim != 2 or p.shape[1] != len(classes):
        raise InputError(f"scores: expected shape (N, {len(classes)}), one column per class, found {p.shape}")
    if p.shape[0] == 0:
        raise InputError("scores: expected one jet or more, found none")
    for start in range(0, len(p), _BLOCK):
        _check_score_rows(p[start : start + _BLOCK], start)
    weights = None if scores.weights is None else checked_weights(scores.weights, p.shape[0], signed=True)
    labels = _checked_labels(scores.labels, p.shape[0], len(classes))
    if weights is not None and (weights < 0).any():
        check_positive_sums(weights, labels, classes)
    return CheckedScores(p, labels, weights, classes)


def _check_score_rows(p: NDArray[np.floating[Any]], start: int) -> None:
    _require_finite_scores(p, "scores", start)
    sums = p.sum(axis=1, dtype=np.float64)
    wrong = (p < 0).any(axis=1) | (np.abs(sums - 1) > _ROW_SUM_TOLERANCE)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"scores: expected probabilities that add up to 1 in each row, found row {start + row} with sum "
            f"{sums[row]:.4g} and minimum {p[row].min():.4g}; apply a softmax to logits"
        )


def check_positive_sums(weights: NDArray[np.float64], groups: NDArray[Any], names: Sequence[str]) -> None:
    """Refuses groups of jets that have weights, but all together none above 0: they have no rates."""
    for group, name in enumerate(names):
        of_group = weights[groups == group]
        if of_group.any() and not of_group.sum() > 0:
            raise InputError(
                f"weights: expected a positive sum for the jets of {name}, found {of_group.sum():g}; give more jets, "
                "or leave negative weights out"
            )


def checked_weights(weights: Any, n: int, *, signed: bool = False) -> NDArray[np.float64]:
    """Returns (n,) float64 weights that are finite and have a positive sum; None gives ones.

    They are not negative either, unless they are `signed`.
    """
    if weights is None:
        return np.ones(n)
    w = finite_weights(weights, n)
    if not signed and (w < 0).any():
        raise InputError(f"weights: expected none below 0, found {(w < 0).sum()}, first at row {np.argmax(w < 0)}")
    if w.size and not w.sum() > 0:
        raise InputError(f"weights: expected a positive sum, found {w.sum():g}; give more jets, or no negative weights")
    return w


def finite_weights(weights: Any, n: int) -> NDArray[np.float64]:
    """Returns (n,) float64 weights that are finite and not all 0."""
    w = _real_array(weights, "weights")
    if w.shape != (n,):
        raise InputError(f"weights: expected shape ({n},), one weight per jet, found {w.shape}")
    _require_finite_scores(w, "weights")
    if w.size and not w.any():
        raise InputError("weights: expected a positive sum, found all 0; give one jet or more a weight")
    return w


def checked_scores(scores: Any) -> NDArray[np.float64]:
    """Returns (N,) finite float64 scores of one jet or more."""
    s = _real_array(scores, "scores")
    if s.ndim != 1 or s.size == 0:
        raise InputError(f"scores: expected shape (N,) with one jet or more, found {s.shape}")
    _require_finite_scores(s, "scores")
    return s


def checked_flags(is_signal: Any, n: int) -> NDArray[np.bool_]:
    """Returns (n,) bool flags; accepts zeros and ones of any type."""
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


def _real_array(values: Any, name: str, *, single: bool = False) -> NDArray[Any]:
    """Converts values to a float64 array; `single` keeps float32."""
    try:
        array = np.asarray(values)
        return array if single and array.dtype == np.float32 else array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected an array of real numbers, found {type(values).__name__}") from None


def _require_finite_scores(values: NDArray[np.floating[Any]], name: str, start: int = 0) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row = start + int(np.argwhere(bad)[0, 0])
        raise InputError(
            f"{name}: expected finite numbers, found {bad.sum()} NaN or infinite, first at row {row}; "
            "check the model's output"
        )
