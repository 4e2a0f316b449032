"""How narrow a peak is, and where: the smallest window that holds a share of the jets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation.bootstrap import REPLICATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Peak(NamedTuple):
    """The smallest window of some values; numbers, or arrays of those of many samples."""

    low: Any
    high: Any
    width: Any
    """high - low, in the unit of the values."""
    place: Any
    """The median of the values in the window."""


def peak(values: Any, share: float) -> Peak:
    """The smallest interval that holds at least a share of the values.

    Args:
      values: (N,) such as masses in GeV.
      share: above 0 and up to 1; arXiv:1903.09644 takes 0.4 for groomed masses.

    Returns:
      The interval, its width and its median; of several as small, the lowest.

    Raises:
      InputError: there are no values, one is not finite, or the share is out of range.

    >>> peak([1.0, 79.0, 80.0, 82.0, 200.0], share=0.6)
    Peak(low=79.0, high=82.0, width=3.0, place=80.0)
    """
    rising = np.sort(_checked(values, share))
    return Peak(*(float(x[0]) for x in _of_sorted(rising[None], share)))


def bootstrap_peaks(values: Any, share: float, *, seed: int = 0) -> Peak:
    """The peaks of 200 samples of as many values, drawn with replacement: their spread is the error of `peak`.

    The same seed draws the same rows, so that the difference of two groomers of the same jets, sample by sample, has an
    error of its own, smaller than that of either.

    Args:
      values: (N,) such as masses in GeV.
      share: as in `peak`.
      seed: of the samples.

    Returns:
      The peaks; each field is (200,).

    Raises:
      InputError: as `peak`.

    Reference: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 6.

    >>> found = bootstrap_peaks(np.random.default_rng(0).normal(80, 10, 1000), share=0.4)
    >>> bool(abs(found.width.mean() - 10.5) < 1), bool(0.2 < found.width.std() < 1)
    (True, True)
    """
    x, rng = _checked(values, share), np.random.default_rng(seed)
    samples = [_of_sorted(np.sort(x[rng.integers(0, x.size, x.size)])[None], share) for _ in range(REPLICATES)]
    return Peak(*(np.concatenate(column) for column in zip(*samples, strict=True)))


def peak_figures(
    values: Any, background: Any, shares: Sequence[float] = (0.4, 0.68), *, seed: int = 0
) -> dict[str, dict[str, tuple[float, float]]]:
    """A peak's width and place, and what of a background lies in its window, with standard errors.

    Args:
      values: (N,) of signal, such as masses in GeV.
      background: (B,) of background, in the same unit.
      shares: of the signal in the window; see `peak`.
      seed: of the bootstrap.

    Returns:
      For each share, as "40%": `width` and `place` in the unit of the values, `background` as a share of all B, each as
      (value, error). The last error is the binomial one, of a window that is given.

    Raises:
      InputError: as `peak`; there is no background, or it is not finite.

    >>> found = peak_figures([79.0, 80.0, 82.0], [20.0, 30.0, 79.5, 90.0], shares=[0.6])["60%"]
    >>> found["width"][0], found["place"][0], found["background"]
    (1.0, 79.5, (0.25, 0.21650635094610965))
    """
    found = {}
    for share in shares:
        one, drawn, other = peak(values, share), bootstrap_peaks(values, share, seed=seed), _checked(background, share)
        inside = float(np.mean((other >= one.low) & (other <= one.high)))
        found[f"{share:.0%}"] = {
            "width": (one.width, float(drawn.width.std())),
            "place": (one.place, float(drawn.place.std())),
            "background": (inside, math.sqrt(inside * (1 - inside) / other.size)),
        }
    return found


def _of_sorted(rising: NDArray[np.float64], share: float) -> Peak:
    """Of each row, which is sorted."""
    held = math.ceil(share * rising.shape[1] - 1e-9)
    widths = rising[:, held - 1 :] - rising[:, : rising.shape[1] - held + 1]
    first = widths.argmin(axis=1)[:, None]
    inside = np.take_along_axis(rising, first + np.arange(held), axis=1)
    low, high = inside[:, 0], inside[:, -1]
    return Peak(low, high, high - low, np.median(inside, axis=1))


def _checked(values: Any, share: float) -> NDArray[np.float64]:
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not x.size:
        raise InputError(f"values: expected the shape (N,) with one value or more, found {x.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"values: {np.sum(~np.isfinite(x))} of {x.size} are NaN or infinite; drop them")
    if not 0 < share <= 1:
        raise InputError(f"share: expected a number above 0 and up to 1, found {share:g}")
    return x
