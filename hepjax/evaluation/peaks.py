"""Widths and positions of peaks, from the smallest window that holds a share of the jets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation.intervals import REPLICATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Peak(NamedTuple):
    """The smallest window around a peak; fields are numbers, or arrays over many samples."""

    low: Any
    high: Any
    width: Any
    """high - low, in the unit of the values."""
    place: Any
    """The median of the values in the window."""


def peak(values: Any, share: float) -> Peak:
    """Finds the smallest interval that holds at least a share of the values.

    Args:
      values: (N,) values such as masses in GeV.
      share: share of the values, above 0 and up to 1; arXiv:1903.09644 uses 0.4 for groomed masses.

    Returns:
      The interval, its width and its median; the lowest of several intervals of equal width.

    Raises:
      InputError: there are no values, a value is not finite, or the share is out of range.

    >>> peak([1.0, 79.0, 80.0, 82.0, 200.0], share=0.6)
    Peak(low=79.0, high=82.0, width=3.0, place=80.0)
    """
    rising = np.sort(_checked_peak_values(values, share))
    return Peak(*(float(x[0]) for x in _peaks_of_sorted_rows(rising[None], share)))


def bootstrap_peaks(values: Any, share: float, *, seed: int = 0) -> Peak:
    """Finds the peaks of 200 bootstrap samples, whose spread is the error of `peak`.

    The same seed draws the same rows. The difference of two groomers of the same jets, sample by sample, therefore has
    a smaller error than either of them.

    Args:
      values: (N,) values such as masses in GeV.
      share: share of the values, as in `peak`.
      seed: seed of the samples.

    Returns:
      The peaks; each field is (200,).

    Raises:
      InputError: for the reasons of `peak`.

    Reference: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 6.

    >>> peaks = bootstrap_peaks(np.random.default_rng(0).normal(80, 10, 1000), share=0.4)
    >>> bool(abs(peaks.width.mean() - 10.5) < 1), bool(0.2 < peaks.width.std() < 1)
    (True, True)
    """
    x, rng = _checked_peak_values(values, share), np.random.default_rng(seed)
    samples = [
        _peaks_of_sorted_rows(np.sort(x[rng.integers(0, x.size, x.size)])[None], share) for _ in range(REPLICATES)
    ]
    return Peak(*(np.concatenate(column) for column in zip(*samples, strict=True)))


def peak_figures(
    values: Any, background: Any, shares: Sequence[float] = (0.4, 0.68), *, seed: int = 0
) -> dict[str, dict[str, tuple[float, float]]]:
    """Computes the width and position of a peak and the background share in its window, with standard errors.

    Args:
      values: (N,) values of signal, such as masses in GeV.
      background: (B,) values of background, in the same unit.
      shares: shares of the signal in the window; see `peak`.
      seed: seed of the bootstrap.

    Returns:
      For each share, with a key such as "40%": `width` and `place` in the unit of the values, `background` as a share
      of all B, each as (value, error). The error of `background` is binomial, for a fixed window.

    Raises:
      InputError: for the reasons of `peak`; there is no background, or it is not finite.

    >>> figures = peak_figures([79.0, 80.0, 82.0], [20.0, 30.0, 79.5, 90.0], shares=[0.6])["60%"]
    >>> figures["width"][0], figures["place"][0], figures["background"]
    (1.0, 79.5, (0.25, 0.21650635094610965))
    """
    figures = {}
    for share in shares:
        window, samples = peak(values, share), bootstrap_peaks(values, share, seed=seed)
        rest = _checked_peak_values(background, share)
        inside = float(np.mean((rest >= window.low) & (rest <= window.high)))
        figures[f"{share:.0%}"] = {
            "width": (window.width, float(samples.width.std())),
            "place": (window.place, float(samples.place.std())),
            "background": (inside, math.sqrt(inside * (1 - inside) / rest.size)),
        }
    return figures


def _peaks_of_sorted_rows(rising: NDArray[np.float64], share: float) -> Peak:
    """Finds the peak of each row of rising values."""
    count = math.ceil(share * rising.shape[1] - 1e-9)
    widths = rising[:, count - 1 :] - rising[:, : rising.shape[1] - count + 1]
    first = widths.argmin(axis=1)[:, None]
    inside = np.take_along_axis(rising, first + np.arange(count), axis=1)
    low, high = inside[:, 0], inside[:, -1]
    return Peak(low, high, high - low, np.median(inside, axis=1))


def _checked_peak_values(values: Any, share: float) -> NDArray[np.float64]:
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not x.size:
        raise InputError(f"values: expected the shape (N,) with one value or more, found {x.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"values: {np.sum(~np.isfinite(x))} of {x.size} are NaN or infinite; drop them")
    if not 0 < share <= 1:
        raise InputError(f"share: expected a number above 0 and up to 1, found {share:g}")
    return x
