"""Weights that give the jets of every class the same spectrum, in bins of jet columns."""

from __future__ import annotations

import itertools
from math import inf, isnan, prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.choices import Spectrum
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hepjax.types import Dataset

MOST_FACTOR = 100.0
"""The most that a jet of an average weight counts, in units of the mean: emptier bins count less than they should."""
MOST_BINS = 100_000
"""The most bins of a grid."""


class Factors(NamedTuple):
    """Factors on the weights of jets, of C classes in B bins."""

    factors: np.ndarray
    """(C, B) float64; all classes get the same sum of weights in each bin. 0 in bins that do not count."""
    empty: np.ndarray
    """(C, B) bool, where a class has no weight although another has some: no class counts there."""
    limited: np.ndarray
    """(B,) bool, where the spectrum is lower than it was meant, so that no jet counts too much."""


def parse_bins(words: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Reads columns and the edges of their bins: a name, its edges, the next name.

    Args:
      words: such as those of `--reweight`.

    Returns:
      Column → edges.

    Raises:
      InputError: an edge comes first, a column is there twice, or for the reasons of `bin_problems`.

    >>> parse_bins(["jet_pt", "500", "1000", "jet_mass", "0", "100", "inf"])
    {'jet_pt': (500.0, 1000.0), 'jet_mass': (0.0, 100.0, inf)}
    """
    bins: dict[str, tuple[float, ...]] = {}
    for word in words:
        edge = _number(word)
        if edge is None:
            if word in bins:
                raise InputError(f"column {word} is there twice; give all its edges at once")
            bins[word] = ()
        elif not bins:
            raise InputError(f"expected the name of a column before its edges, found {word}; give COLUMN EDGE EDGE …")
        else:
            bins[next(reversed(bins))] += (edge,)
    for problem in bin_problems(bins):
        raise InputError(problem)
    return bins


def bin_problems(bins: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is wrong with the edges of bins.

    >>> list(bin_problems({"jet_pt": (500.0, 400.0)}))
    ['jet_pt: expected two rising edges of bins or more, found 500 400']
    """
    for name, edges in bins.items():
        good = isinstance(edges, tuple | list) and len(edges) >= 2 and all(isinstance(x, int | float) for x in edges)
        if not good or any(isnan(x) for x in edges) or not all(a < b for a, b in itertools.pairwise(edges)):
            given = " ".join(f"{x:g}" if isinstance(x, int | float) else repr(x) for x in edges) if edges else "none"
            yield f"{name}: expected two rising edges of bins or more, found {given}"
            return
    if (count := count_bins(bins)) > MOST_BINS:
        yield f"expected at most {MOST_BINS:,} bins, found {count:,}; give fewer edges"


def reweighting_problems(dataset: Dataset) -> Iterator[str]:
    """Yields what is wrong with the reweighting of a dataset.

    >>> from hepjax.types import Dataset, Reweighting
    >>> list(reweighting_problems(Dataset("toy", reweighting=Reweighting({"jet_pt": (500.0, 1000.0)}, "w"))))
    ['reweighting is to w, expected flat, mean or a class']
    """
    if dataset.reweighting is None:
        return
    bins, to, factors = dataset.reweighting
    for problem in bin_problems(bins):
        yield f"reweighting: {problem}"
        return
    if to not in (*dataset.classes, *(each.value for each in Spectrum)):
        yield f"reweighting is to {to}, expected {', '.join(each.value for each in Spectrum)} or a class"
    for name, each in factors.items():
        if name not in dataset.classes:
            yield f"reweighting has factors of {name}, which is no class"
        elif len(each) != count_bins(bins) or not all(0 <= x < inf for x in each) or not any(each):
            yield f"reweighting: expected {count_bins(bins)} factors of 0 or more of {name}, found others"


def count_bins(bins: Mapping[str, Sequence[float]]) -> int:
    """Counts the bins of a grid; without a column there is one.

    >>> count_bins({"jet_pt": (0, 1, 2), "jet_mass": (0, 1, 2, 3)}), count_bins({})
    (6, 1)
    """
    return prod(len(edges) - 1 for edges in bins.values())


def bin_numbers(values: np.ndarray, bins: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Finds the bin of each jet.

    Args:
      values: (n, F) the columns of `bins`, in their order.
      bins: column → rising edges; each bin holds its lower edge, the last its upper one too.

    Returns:
      (n,) int64, the last column fastest; -1 outside.

    >>> bin_numbers(np.array([[0.0], [1.0], [2.0], [3.0]]), {"jet_pt": (0, 1, 2)}).tolist()
    [0, 1, 1, -1]
    """
    numbers, inside = np.zeros(len(values), np.int64), np.ones(len(values), bool)
    for column, edges in zip(np.asarray(values, np.float64).T, bins.values(), strict=True):
        place = np.searchsorted(edges, column, side="right") - 1
        place = np.where(column == edges[-1], len(edges) - 2, place)
        inside &= (place >= 0) & (place < len(edges) - 1)
        numbers = numbers * (len(edges) - 1) + place
    return np.where(inside, numbers, -1)


def spectrum_factors(sums: np.ndarray, to: Spectrum | int) -> Factors:
    """Computes the factors that give all classes the same spectrum.

    A bin counts where every class has a positive sum of weights. There, the wanted spectrum is divided by that of each
    class. Where this would make jets count more than `MOST_FACTOR` times the mean of their class, the spectrum is
    lowered for all classes alike, so that spectra stay equal.

    Args:
      sums: (C, B) the sums of weights of the training jets, of classes that have jets.
      to: the spectrum; or the number of the class whose spectrum it is.

    Returns:
      The factors. The sum of weights of each class is 1 with them, or 0 where no bin counts.

    >>> spectrum_factors(np.array([[3.0, 1.0], [2.0, 2.0]]), Spectrum.FLAT).factors.round(3).tolist()
    [[0.167, 0.5], [0.25, 0.25]]
    """
    positive = np.maximum(sums, 0.0)
    common = (positive > 0).all(axis=0)
    totals = np.where(common, positive, 0).sum(axis=1, keepdims=True)
    shares = np.divide(np.where(common, positive, 0), totals, out=np.zeros_like(positive), where=totals > 0)
    wanted = {Spectrum.FLAT: common.astype(np.float64), Spectrum.MEAN: shares.mean(axis=0)}
    spectrum = wanted[to] if isinstance(to, Spectrum) else shares[to]
    spectrum = spectrum / (spectrum.sum() or 1)
    lowered = np.minimum(spectrum, MOST_FACTOR * shares.min(axis=0))
    target = lowered / (lowered.sum() or 1)
    factors = np.divide(target, positive, out=np.zeros_like(positive), where=common)
    return Factors(factors, (positive == 0) & (positive > 0).any(axis=0), lowered < spectrum * (1 - 1e-9))


def bin_text(number: int, bins: Mapping[str, Sequence[float]]) -> str:
    """Names a bin in a message.

    >>> bin_text(3, {"jet_pt": (0, 1, 2), "jet_mass": (0, 50, inf)})
    'jet_pt 1 to 2, jet_mass 50 to inf'
    """
    words = []
    for name, edges in reversed(tuple(bins.items())):
        number, place = divmod(number, len(edges) - 1)
        words.append(f"{name} {edges[place]:g} to {edges[place + 1]:g}")
    return ", ".join(reversed(words))


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
