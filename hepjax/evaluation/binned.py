"""Efficiencies and mistag rates as functions of an observable, and the effect of a cut on a mass spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import checked_class_scores, checked_weights
from hepjax.evaluation.intervals import ONE_SIGMA, binomial_interval, effective_trials

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.types import Scores

    Floats = NDArray[np.float64]

BINS = 8
"""The default number of bins."""
MASS_BINS = 40
"""The default number of bins of a mass spectrum."""

_SAMPLES = 200


class Binned(NamedTuple):
    """A rate in B bins of an observable."""

    edges: Floats
    """(B + 1,) of the bins, in the observable's unit; the last bin holds its upper edge."""
    rate: Floats
    """(B,) the weighted share of jets that are selected; NaN in an empty bin, as are the next two."""
    low: Floats
    """(B,) lower ends of the Clopper-Pearson intervals of the rate, from effective counts for weighted jets."""
    high: Floats
    """(B,) upper ends of the intervals."""
    jets: Floats
    """(B,) numbers of jets, selected or not; for weighted jets the effective numbers."""
    sums: Floats
    """(B,) sums of the weights of these jets."""
    below: float
    """The sum of the weights of the jets below the first edge, which are in no bin."""
    above: float
    """The sum of the weights of the jets above the last edge."""


class Sculpting(NamedTuple):
    """The effect of a selection on a spectrum."""

    divergence: float
    """The Jensen-Shannon divergence between the spectra of selected and of all jets, in bits: 0 equal, 1 disjoint."""
    expected: float
    """The mean divergence of random selections of as many jets, which is the floor."""
    spread: float
    """The standard deviation of the divergence of random selections."""
    edges: Floats
    """(B + 1,) bin edges."""
    before: Floats
    """(B,) sums of weights of all jets."""
    after: Floats
    """(B,) sums of weights of the selected jets."""
    outside: tuple[float, float]
    """The shares of all jets below and above the bins; the divergence counts these as two more bins."""


def bin_edges(values: Any, bins: int = BINS) -> Floats:
    """Returns the edges of bins that hold about equally many jets.

    Args:
      values: (N,) values of an observable.
      bins: number of bins; the result has fewer where many jets share a value, as for a multiplicity.

    Returns:
      (B + 1,) rising edges from the smallest to the largest value; half a unit on either side of a single value.

    Raises:
      InputError: values are not finite, or there are no jets or no bins.

    >>> bin_edges([1, 2, 3, 4, 5], bins=2).tolist(), bin_edges([3, 3]).tolist()
    ([1.0, 3.0, 5.0], [2.5, 3.5])
    """
    if bins < 1:
        raise InputError(f"bins: expected one or more, found {bins}")
    observed = _checked_observable(values)
    if not observed.size:
        raise InputError("values: expected one jet or more, found none; give edges")
    edges = np.unique(np.quantile(observed, np.linspace(0, 1, bins + 1)))
    return edges if edges.size > 1 else edges[0] + np.array([-0.5, 0.5])


def rate_in_bins(
    selected: Any, values: Any, edges: Any = None, weights: Any = None, level: float = ONE_SIGMA
) -> Binned:
    """Computes the share of jets that a selection takes, in bins of an observable.

    Args:
      selected: (N,) bool, True for the selected jets.
      values: (N,) values of the observable.
      edges: (B + 1,) rising bin edges, in the observable's unit; None uses `bin_edges`.
      weights: (N,) jet weights; None means 1 for each jet. Bins where they add up to 0 or less have no rate.
      level: confidence level of the intervals.

    Returns:
      The rate in each bin: the efficiency, or the mistag rate if the jets are background.

    Raises:
      InputError: the arrays have different lengths, values are not finite, or edges do not rise.

    >>> binned = rate_in_bins([True, False, True, True], [1.0, 2.0, 5.0, 30.0], edges=[0, 3, 6, 9])
    >>> binned.rate.tolist(), binned.jets.tolist(), binned.below, binned.above
    ([0.5, 1.0, nan], [2.0, 1.0, 0.0], 0.0, 1.0)
    """
    observed = _checked_observable(values)
    taken = _checked_selection(selected, observed.size)
    limits = bin_edges(observed) if edges is None else _checked_bin_edges(edges)
    w = None if weights is None else checked_weights(weights, observed.size, signed=True)
    return _rates_in_bins(taken, _observable_bin_numbers(observed, limits), limits, w, level)


def class_rates_in_bins(
    scores: Scores, selected: Any, values: Any, edges: Any = None, level: float = ONE_SIGMA
) -> dict[str, Binned]:
    """Computes the efficiency and the mistag rates of a selection in bins of an observable, class by class.

    Args:
      scores: class probabilities, labels and weights.
      selected: (N,) bool, such as from `hepjax.evaluation.selection`: one cut for all bins.
      values: (N,) values of the observable.
      edges: (B + 1,) rising bin edges; None uses `bin_edges` of all jets.
      level: confidence level of the intervals.

    Returns:
      A mapping from true class to the share of its jets that are selected; NaN in all bins of a class without jets.

    Raises:
      InputError: the scores are not valid, or for the reasons of `rate_in_bins`.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
    >>> jets = Scores(p, np.array([0, 0, 1]), None, ("q", "t"))
    >>> rates = class_rates_in_bins(jets, p[:, 0] >= 0.5, [400, 900, 500], edges=[0, 600, 1000])
    >>> rates["q"].rate.tolist(), rates["t"].rate.tolist()
    ([1.0, 0.0], [0.0, nan])
    """
    checked = checked_class_scores(scores)
    observed = _checked_observable(values, len(checked.labels))
    taken = _checked_selection(selected, observed.size)
    limits = bin_edges(observed) if edges is None else _checked_bin_edges(edges)
    places = _observable_bin_numbers(observed, limits)
    rates = {}
    for c, name in enumerate(checked.classes):
        rows = checked.labels == c
        weights = None if checked.weights is None else checked.weights[rows]
        rates[name] = _rates_in_bins(taken[rows], places[rows], limits, weights, level)
    return rates


def jensen_shannon(first: Any, second: Any) -> Any:
    """Computes the Jensen-Shannon divergence of two histograms, in bits.

    Args:
      first: (…, B) non-negative counts or sums of weights; each histogram is divided by its sum.
      second: (…, B) counts or sums of weights; broadcasts against `first`.

    Returns:
      (…) float64 from 0, for equal shapes, to 1, for no bin in common; NaN where a histogram is empty. Its square root
      is a metric, which scipy calls the Jensen-Shannon distance.

    Raises:
      InputError: counts are negative or not finite.

    Reference: J. Lin, IEEE Trans. Inf. Theory 37 (1991) 145, equation 3.1.

    >>> float(jensen_shannon([1, 1], [2, 2])), float(jensen_shannon([1, 0], [0, 5]))
    (0.0, 1.0)
    """
    from scipy.special import rel_entr

    p, q = (np.asarray(x, dtype=np.float64) for x in (first, second))
    for name, histogram in (("first", p), ("second", q)):
        if not np.isfinite(histogram).all() or (histogram < 0).any():
            raise InputError(f"{name}: expected finite counts of 0 or more, found others")
    with np.errstate(invalid="ignore"):
        p, q = (x / x.sum(axis=-1, keepdims=True) for x in (p, q))
    both = (p + q) / 2
    bits = (rel_entr(p, both) + rel_entr(q, both)).sum(axis=-1) / (2 * np.log(2))
    return np.clip(bits, 0, 1)[()]


def sculpting(selected: Any, values: Any, edges: Any = None, weights: Any = None, *, seed: int = 0) -> Sculpting | None:
    """Measures how far a selection distorts the spectrum of the background, as a cut on a mass-dependent score does.

    Pass background jets only. The spectrum of the selected jets is compared with that of all background jets; some
    papers compare it with that of the rejected jets, which is nearly the same at small mistag rates. A few selected
    jets differ from all jets by chance alone; 200 random selections of the same size give the size of this effect.

    Args:
      selected: (N,) bool, True for the selected jets.
      values: (N,) values of the observable, such as the mass in GeV.
      edges: (B + 1,) rising bin edges; None uses 40 bins of equally many jets.
      weights: (N,) jet weights; None means 1 for each jet. Bins where they add up to less than 0 count as empty.
      seed: seed of the random selections.

    Returns:
      The divergence, its value for random selections, and both spectra; None where no jets, or almost none of the
      weight, are selected.

    Raises:
      InputError: for the reasons of `rate_in_bins`.

    Reference: ATL-PHYS-PUB-2018-014; G. Kasieczka, D. Shih, arXiv:2001.05310.

    >>> mass = np.arange(2000) % 100
    >>> effect = sculpting(mass > 49, mass, edges=[0, 50, 100])
    >>> round(effect.divergence, 3), effect.expected < 0.01, effect.before.tolist(), effect.after.tolist()
    (0.311, True, [1000.0, 1000.0], [0.0, 1000.0])
    """
    observed = _checked_observable(values)
    taken = _checked_selection(selected, observed.size)
    if not observed.size:
        return None
    w = checked_weights(weights, observed.size, signed=True)
    limits = bin_edges(observed, MASS_BINS) if edges is None else _checked_bin_edges(edges)
    places, cells = _observable_bin_numbers(observed, limits), limits.size + 1
    before, after, squares = (np.maximum(_weight_sums_in_bins(places, cells, x), 0) for x in (w, w * taken, w**2))
    if not after.any():
        return None
    random_sums = _random_selections_in_bins(before, squares, after.sum() / before.sum(), seed)
    random_sums = random_sums[random_sums.any(axis=1)]
    if not len(random_sums):
        return None
    chance = jensen_shannon(random_sums, before)
    outside = float(before[0] / before.sum()), float(before[-1] / before.sum())
    return Sculpting(
        float(jensen_shannon(after, before)),
        float(np.mean(chance)),
        float(np.std(chance)),
        limits,
        before[1:-1],
        after[1:-1],
        outside,
    )


def _random_selections_in_bins(sums: Floats, squares: Floats, rate: float, seed: int) -> Floats:
    """Returns (200, B) sums of weights of jets selected at random with probability `rate`."""
    size = np.divide(squares, sums, out=np.ones_like(sums), where=(squares > 0) & (sums > 0))
    jets = np.ceil(sums / size - 1e-9).astype(np.int64)
    selected = np.random.default_rng(seed).binomial(jets, min(rate, 1.0), (_SAMPLES, len(sums)))
    return np.asarray(selected * np.divide(sums, jets, out=np.zeros_like(sums), where=jets > 0))


def _rates_in_bins(
    taken: NDArray[np.bool_], places: NDArray[np.intp], edges: Floats, w: Floats | None, level: float
) -> Binned:
    cells = edges.size + 1
    if w is None:
        total, passed = _weight_sums_in_bins(places, cells), _weight_sums_in_bins(places[taken], cells)
        squares, passed_squares = total, passed
    else:
        each = (w, w**2, w * taken, w**2 * taken)
        total, squares, passed, passed_squares = (_weight_sums_in_bins(places, cells, x) for x in each)
    with np.errstate(invalid="ignore"):
        rate = np.where(total > 0, np.clip(passed / total, 0, 1), np.nan)
        jets = np.divide(total**2, squares, out=np.zeros(cells), where=squares > 0)
    trials = effective_trials(passed, passed_squares, total, squares)
    low, high = binomial_interval(np.where(total > 0, rate, 0) * trials, trials, level)
    inside = slice(1, -1)
    return Binned(
        edges, rate[inside], low[inside], high[inside], jets[inside], total[inside], float(total[0]), float(total[-1])
    )


def _weight_sums_in_bins(places: NDArray[np.intp], cells: int, each: Floats | None = None) -> Floats:
    return np.bincount(places, each, cells).astype(np.float64)


def _observable_bin_numbers(values: Floats, edges: Floats) -> NDArray[np.intp]:
    """Returns bin numbers: 0 below the first edge, 1 to B inside the bins, B + 1 above the last edge."""
    places = np.searchsorted(edges, values, side="right")
    return np.asarray(np.where(values == edges[-1], edges.size - 1, places), dtype=np.intp)


def _checked_observable(values: Any, n: int | None = None) -> Floats:
    try:
        array = np.asarray(values).astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise InputError(f"values: expected real numbers, found {type(values).__name__}") from None
    if array.ndim != 1 or (n is not None and array.size != n):
        raise InputError(f"values: expected shape ({'N' if n is None else n},), one for each jet, found {array.shape}")
    bad = ~np.isfinite(array)
    if bad.any():
        raise InputError(
            f"values: expected finite numbers, found {bad.sum()} NaN or infinite, first at row {np.argmax(bad)}; "
            "leave these jets out"
        )
    return array


def _checked_selection(selected: Any, n: int) -> NDArray[np.bool_]:
    flags = np.asarray(selected)
    if flags.shape != (n,) or (flags.dtype != np.bool_ and n):
        raise InputError(
            f"selected: expected shape ({n},) of True and False, one for each jet, found {flags.shape} of {flags.dtype}"
        )
    return flags.astype(np.bool_)


def _checked_bin_edges(edges: Any) -> Floats:
    rising = np.asarray(edges, dtype=np.float64)
    if rising.ndim != 1 or rising.size < 2 or not np.isfinite(rising).all() or (np.diff(rising) <= 0).any():
        raise InputError(f"edges: expected two or more rising numbers, found {edges}")
    return rising
