"""Efficiencies and mistag rates over pT, η, mass or any observable, and what a cut does to a mass spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._inputs import checked, checked_weights
from hepjax.evaluation.intervals import ONE_SIGMA, binomial_interval, effective_trials

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.types import Scores

    Floats = NDArray[np.float64]

BINS = 8
"""Bins where no edges are given."""
MASS_BINS = 40
"""Those of a spectrum."""

_SAMPLES = 200


class Binned(NamedTuple):
    """A rate in B bins of an observable."""

    edges: Floats
    """(B + 1,) of the bins, in the observable's unit; the last bin holds its upper edge."""
    rate: Floats
    """(B,) the weighted share of jets that are selected; NaN in an empty bin, as are the next two."""
    low: Floats
    """(B,) its Clopper-Pearson interval, of effective counts for weighted jets."""
    high: Floats
    """(B,)."""
    jets: Floats
    """(B,) how many jets there are, selected or not; of weighted ones the effective number."""
    sums: Floats
    """(B,) the sums of their weights."""
    below: float
    """The sum of the weights of jets below the first edge, which are in no bin."""
    above: float
    """Above the last."""


class Sculpting(NamedTuple):
    """What a selection does to a spectrum."""

    divergence: float
    """Jensen-Shannon divergence of the selected jets' spectrum from that of all, in bits: 0 the same, 1 disjoint."""
    expected: float
    """Its mean for a selection that does not look at the observable and takes as many jets: the floor."""
    spread: float
    """The standard deviation of that."""
    edges: Floats
    """(B + 1,) of the bins."""
    before: Floats
    """(B,) sums of weights of all jets."""
    after: Floats
    """(B,) of the selected ones."""
    outside: tuple[float, float]
    """Shares of all jets below and above the bins; in the divergence these are two bins more."""


def bin_edges(values: Any, bins: int = BINS) -> Floats:
    """Edges of bins that hold about equally many jets.

    Args:
      values: (N,) an observable.
      bins: how many; fewer come out where many jets have the same value, as of a multiplicity.

    Returns:
      (B + 1,) rising, from the smallest to the largest value; half a unit about a single one.

    Raises:
      InputError: for values that are not finite, or no jets or bins.

    >>> bin_edges([1, 2, 3, 4, 5], bins=2).tolist(), bin_edges([3, 3]).tolist()
    ([1.0, 3.0, 5.0], [2.5, 3.5])
    """
    if bins < 1:
        raise InputError(f"bins: expected one or more, found {bins}")
    found = _checked_values(values)
    if not found.size:
        raise InputError("values: expected one jet or more, found none; give edges")
    edges = np.unique(np.quantile(found, np.linspace(0, 1, bins + 1)))
    return edges if edges.size > 1 else edges[0] + np.array([-0.5, 0.5])


def rate_in_bins(
    selected: Any, values: Any, edges: Any = None, weights: Any = None, level: float = ONE_SIGMA
) -> Binned:
    """How large a share of jets a selection takes, in bins of an observable.

    Args:
      selected: (N,) bool.
      values: (N,) the observable.
      edges: (B + 1,) rising, in the observable's unit; None is `bin_edges`.
      weights: (N,) non-negative; None is 1 for each.
      level: confidence of the intervals.

    Returns:
      The rate in each bin: the efficiency, or of background jets the mistag rate.

    Raises:
      InputError: for arrays that do not fit each other, values that are not finite, or edges that do not rise.

    >>> found = rate_in_bins([True, False, True, True], [1.0, 2.0, 5.0, 30.0], edges=[0, 3, 6, 9])
    >>> found.rate.tolist(), found.jets.tolist(), found.below, found.above
    ([0.5, 1.0, nan], [2.0, 1.0, 0.0], 0.0, 1.0)
    """
    observed = _checked_values(values)
    taken = _checked_flags(selected, observed.size)
    limits = bin_edges(observed) if edges is None else _checked_edges(edges)
    w = None if weights is None else checked_weights(weights, observed.size)
    return _rates(taken, _places(observed, limits), limits, w, level)


def class_rates_in_bins(
    scores: Scores, selected: Any, values: Any, edges: Any = None, level: float = ONE_SIGMA
) -> dict[str, Binned]:
    """The efficiency and the mistag rates of a selection in bins of an observable, class by class.

    Args:
      scores: class probabilities, labels and weights.
      selected: (N,) bool, such as by `hepjax.evaluation.selection`: one cut for all bins.
      values: (N,) the observable.
      edges: (B + 1,) rising; None is `bin_edges` of all jets.
      level: confidence of the intervals.

    Returns:
      True class to the share of its jets that are selected. A class without jets has NaN in all bins.

    Raises:
      InputError: for scores that are not sound, or as `rate_in_bins`.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
    >>> jets = Scores(p, np.array([0, 0, 1]), None, ("q", "t"))
    >>> found = class_rates_in_bins(jets, p[:, 0] >= 0.5, [400, 900, 500], edges=[0, 600, 1000])
    >>> found["q"].rate.tolist(), found["t"].rate.tolist()
    ([1.0, 0.0], [0.0, nan])
    """
    found = checked(scores)
    observed = _checked_values(values, len(found.labels))
    taken = _checked_flags(selected, observed.size)
    limits = bin_edges(observed) if edges is None else _checked_edges(edges)
    places = _places(observed, limits)
    rates = {}
    for c, name in enumerate(found.classes):
        rows = found.labels == c
        rates[name] = _rates(
            taken[rows], places[rows], limits, None if found.weights is None else found.weights[rows], level
        )
    return rates


def jensen_shannon(first: Any, second: Any) -> Any:
    """The Jensen-Shannon divergence of two histograms, in bits.

    Args:
      first: (…, B) counts or sums of weights, not negative; each histogram is divided by its sum.
      second: (…, B); broadcasts.

    Returns:
      (…) float64 from 0, for the same shape, to 1, for no bin in common; NaN where a histogram is empty. Its root is a
      metric, which scipy calls the distance.

    Raises:
      InputError: for counts that are negative or not finite.

    Reference: J. Lin, IEEE Trans. Inf. Theory 37 (1991) 145, equation 3.1.

    >>> float(jensen_shannon([1, 1], [2, 2])), float(jensen_shannon([1, 0], [0, 5]))
    (0.0, 1.0)
    """
    from scipy.special import rel_entr

    p, q = (np.asarray(x, dtype=np.float64) for x in (first, second))
    for name, some in (("first", p), ("second", q)):
        if not np.isfinite(some).all() or (some < 0).any():
            raise InputError(f"{name}: expected finite counts of 0 or more, found others")
    with np.errstate(invalid="ignore"):
        p, q = (x / x.sum(axis=-1, keepdims=True) for x in (p, q))
    both = (p + q) / 2
    bits = (rel_entr(p, both) + rel_entr(q, both)).sum(axis=-1) / (2 * np.log(2))
    return np.clip(bits, 0, 1)[()]


def sculpting(selected: Any, values: Any, edges: Any = None, weights: Any = None, *, seed: int = 0) -> Sculpting | None:
    """How far a selection bends the spectrum of the background, as a cut on a score that knows the mass does.

    Give background jets only. The selected jets' spectrum is compared with that of all background jets; other papers
    compare it with that of the rejected ones, which for small mistag rates is nearly the same. Few selected jets differ
    from all by chance alone; 200 random selections of the same size say by how much.

    Args:
      selected: (N,) bool.
      values: (N,) the observable, such as the mass in GeV.
      edges: (B + 1,) rising; None is 40 bins of equally many jets.
      weights: (N,) non-negative; None is 1 for each.
      seed: of the random selections.

    Returns:
      The divergence, what chance alone gives, and both spectra; None where nothing, or next to nothing of the
      weight, is selected.

    Raises:
      InputError: as `rate_in_bins`.

    Reference: ATL-PHYS-PUB-2018-014; G. Kasieczka, D. Shih, arXiv:2001.05310.

    >>> mass = np.arange(2000) % 100
    >>> found = sculpting(mass > 49, mass, edges=[0, 50, 100])
    >>> round(found.divergence, 3), found.expected < 0.01, found.before.tolist(), found.after.tolist()
    (0.311, True, [1000.0, 1000.0], [0.0, 1000.0])
    """
    observed = _checked_values(values)
    taken = _checked_flags(selected, observed.size)
    if not observed.size:
        return None
    w = checked_weights(weights, observed.size)
    limits = bin_edges(observed, MASS_BINS) if edges is None else _checked_edges(edges)
    places, cells = _places(observed, limits), limits.size + 1
    before, after, squares = (_sums(places, cells, x) for x in (w, w * taken, w**2))
    if not after.any():
        return None
    drawn = _random_selections(before, squares, after.sum() / before.sum(), seed)
    drawn = drawn[drawn.any(axis=1)]
    if not len(drawn):
        return None
    chance = jensen_shannon(drawn, before)
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


def _random_selections(sums: Floats, squares: Floats, rate: float, seed: int) -> Floats:
    """(200, B) sums of the weights of jets that are taken at random, at this rate."""
    size = np.divide(squares, sums, out=np.ones_like(sums), where=squares > 0)
    jets = np.ceil(sums / size - 1e-9).astype(np.int64)
    drawn = np.random.default_rng(seed).binomial(jets, min(rate, 1.0), (_SAMPLES, len(sums)))
    return np.asarray(drawn * np.divide(sums, jets, out=np.zeros_like(sums), where=jets > 0))


def _rates(taken: NDArray[np.bool_], places: NDArray[np.intp], edges: Floats, w: Floats | None, level: float) -> Binned:
    cells = edges.size + 1
    if w is None:
        total, passed = _sums(places, cells), _sums(places[taken], cells)
        squares, passed_squares = total, passed
    else:
        each = (w, w**2, w * taken, w**2 * taken)
        total, squares, passed, passed_squares = (_sums(places, cells, x) for x in each)
    with np.errstate(invalid="ignore"):
        rate = np.minimum(passed / total, 1)
        jets = np.divide(total**2, squares, out=np.zeros(cells), where=squares > 0)
    trials = effective_trials(passed, passed_squares, total, squares)
    low, high = binomial_interval(np.where(total > 0, rate, 0) * trials, trials, level)
    inside = slice(1, -1)
    return Binned(
        edges, rate[inside], low[inside], high[inside], jets[inside], total[inside], float(total[0]), float(total[-1])
    )


def _sums(places: NDArray[np.intp], cells: int, each: Floats | None = None) -> Floats:
    return np.bincount(places, each, cells).astype(np.float64)


def _places(values: Floats, edges: Floats) -> NDArray[np.intp]:
    """0 for a value below the first edge, then 1 to B for its bin, B + 1 above the last edge."""
    places = np.searchsorted(edges, values, side="right")
    return np.asarray(np.where(values == edges[-1], edges.size - 1, places), dtype=np.intp)


def _checked_values(values: Any, n: int | None = None) -> Floats:
    try:
        found = np.asarray(values).astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise InputError(f"values: expected real numbers, found {type(values).__name__}") from None
    if found.ndim != 1 or (n is not None and found.size != n):
        raise InputError(f"values: expected shape ({'N' if n is None else n},), one for each jet, found {found.shape}")
    bad = ~np.isfinite(found)
    if bad.any():
        raise InputError(
            f"values: expected finite numbers, found {bad.sum()} NaN or infinite, first at row {np.argmax(bad)}; "
            "leave these jets out"
        )
    return found


def _checked_flags(selected: Any, n: int) -> NDArray[np.bool_]:
    flags = np.asarray(selected)
    if flags.shape != (n,) or (flags.dtype != np.bool_ and n):
        raise InputError(
            f"selected: expected shape ({n},) of True and False, one for each jet, found {flags.shape} of {flags.dtype}"
        )
    return flags.astype(np.bool_)


def _checked_edges(edges: Any) -> Floats:
    found = np.asarray(edges, dtype=np.float64)
    if found.ndim != 1 or found.size < 2 or not np.isfinite(found).all() or (np.diff(found) <= 0).any():
        raise InputError(f"edges: expected two or more rising numbers, found {edges}")
    return found
