"""The weights of jets: those of the files, and those that are learned with, by which classes have equal spectra."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import runtime
from hepjax.choices import Spectrum
from hepjax.data import reweighting as spectra
from hepjax.errors import InputError
from hepjax.inputs.columns import read_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hepjax.inputs.batching import Block
    from hepjax.inputs.load_subsets import Splits, Subset
    from hepjax.types import Reweighting

log = logging.getLogger("hepjax")


def weight_figures(splits: Splits) -> dict[str, float]:
    """Tells how far the event weights of files leave jets their statistical power, and warns of negative ones.

    Args:
      splits: the jets.

    Returns:
      `jets`; `effective`, (Σw)²/Σw², how many jets of one weight are worth as much; `negative`, the share of jets with
      a negative weight. {} where the files have no weights.
    """
    parts = [part for part in splits[:3] if part.known_weights is not None]
    if not parts:
        return {}
    sums = np.zeros(4)
    for part in parts:
        w = part.event_weights.astype(np.float64)
        sums += runtime.gather(np.array([[len(w), w.sum(), (w**2).sum(), (w < 0).sum()]])).sum(axis=0)
    jets, total, squares, negative = sums.tolist()
    figures = {"jets": jets, "effective": total**2 / squares if squares else 0.0, "negative": negative / jets}
    if negative:
        log.warning(
            "%.1f%% of %d jets have negative weights: all together are worth %d jets of weight 1",
            *(100 * figures["negative"], jets, figures["effective"]),
        )
    return figures


def reweighted(
    splits: Splits,
    reweighting: Reweighting,
    groups: Mapping[str, np.ndarray],
    names: Sequence[str],
    *,
    tested_too: bool = False,
) -> tuple[Splits, dict[str, float]]:
    """Multiplies the weights that are learned with, so that all classes have one spectrum in the training jets.

    Those by which jets are measured stay those of the files.

    Args:
      splits: the jets.
      reweighting: columns, bins and spectrum; without a column, classes only get equal sums of weights.
      groups: subset → (n,) the number of the class of each jet of this process.
      names: of the classes.
      tested_too: test jets are learned from as well, as those of folds are.

    Returns:
      The splits, and figures of the training jets: the shares of `outside` and `unmatched` jets, and the number that
      are `effective`.

    Raises:
      InputError: the files lack a column, the spectrum is of no class, or no bin has jets of every class.
    """
    learned = splits._fields[: 3 if tested_too else 2]
    places = {name: _bins_of_jets(getattr(splits, name), reweighting) for name in learned}
    counted = learned if tested_too else learned[:1]
    sums = _spectra(splits, {name: places[name] for name in counted}, groups, len(names), reweighting)
    present = sum(runtime.gather(np.bincount(groups[name], minlength=len(names))[None]).sum(axis=0) for name in counted)
    factors = _factors(sums, np.flatnonzero(present), reweighting, names)
    of_jets = {name: factors[groups[name], np.maximum(places[name], 0)] * (places[name] >= 0) for name in learned}
    weights = {name: getattr(splits, name).weights * factor for name, factor in of_jets.items()}
    totals = np.zeros(5)
    for name in counted:
        w, outside = weights[name], places[name] < 0
        unmatched = ~outside & (of_jets[name] == 0)
        of_part = [len(w), w.sum(), (w**2).sum(), outside.sum(), unmatched.sum()]
        totals += runtime.gather(np.array([of_part], np.float64)).sum(axis=0)
    jets, total, squares, outside_bins, lost = totals.tolist()
    if not total > 0:
        raise InputError(f"--reweight: the weights of all training jets add up to {total:g} then; give other bins")
    figures = {"outside": outside_bins / jets, "unmatched": lost / jets, "effective_training": total**2 / squares}
    log.info(
        "training jets reweighted to %s%s; worth %d of %d jets",
        _words(reweighting),
        f": {figures['outside']:.1%} lie outside of the bins and do not count" if reweighting.bins else "",
        *(figures["effective_training"], jets),
    )
    changed: dict[str, Any] = {
        name: _with_weights(getattr(splits, name), (w * (jets / total)).astype(np.float32))
        for name, w in weights.items()
    }
    return splits._replace(**changed), figures


def _words(reweighting: Reweighting) -> str:
    if not reweighting.bins:
        return "equal sums of weights of all classes"
    of_class = reweighting.to not in {each.value for each in Spectrum}
    spectrum = f"the spectrum of {reweighting.to}" if of_class else f"the {reweighting.to} spectrum"
    return f"{'given factors' if reweighting.factors else spectrum} in {' and '.join(reweighting.bins)}"


def _bins_of_jets(subset: Subset, reweighting: Reweighting) -> np.ndarray:
    """(n,) the bin of each jet, -1 outside."""
    names = tuple(reweighting.bins)
    if not names:
        return np.zeros(len(subset.rows), np.int64)
    if subset.jets is None or (missing := [name for name in names if name not in subset.jets.observable_names]):
        lacking = ", ".join(names if subset.jets is None else missing)
        raise InputError(f"--reweight: expected jet columns of the files, found {lacking}; hepjax info lists them")
    return spectra.bin_numbers(read_columns(subset.jets, subset.rows, names), reweighting.bins)


def _spectra(
    splits: Splits,
    places: Mapping[str, np.ndarray],
    groups: Mapping[str, np.ndarray],
    classes: int,
    reweighting: Reweighting,
) -> np.ndarray:
    """(C, B) the sums of weights of all processes."""
    bins = spectra.count_bins(reweighting.bins)
    sums = np.zeros(classes * bins)
    for name, place in places.items():
        inside = place >= 0
        cells = groups[name][inside] * bins + place[inside]
        weights = getattr(splits, name).weights[inside].astype(np.float64)
        sums += runtime.gather(np.bincount(cells, weights, classes * bins)[None]).sum(axis=0)
    return sums.reshape(classes, bins)


def _factors(sums: np.ndarray, present: np.ndarray, reweighting: Reweighting, names: Sequence[str]) -> np.ndarray:
    """(C, B) the factors on weights; rows of classes that are not present are 0."""
    if reweighting.factors:
        return np.array([reweighting.factors.get(name, np.zeros(sums.shape[1])) for name in names])
    found = spectra.spectrum_factors(sums[present], _target(reweighting, names, present))
    if len(lacking := np.flatnonzero(found.empty.any(axis=0))) and reweighting.bins:
        of_first = ", ".join(names[present[c]] for c in np.flatnonzero(found.empty[:, lacking[0]]))
        log.warning(
            "--reweight: %s has no weight in the bin %s%s: no training jet counts there",
            *(of_first, spectra.bin_text(int(lacking[0]), reweighting.bins)),
            f", and a class has none in {len(lacking) - 1} other bins" if len(lacking) > 1 else "",
        )
    if found.limited.any():
        log.warning(
            "--reweight: %d of %d bins count less than the spectrum says, so that no jet counts more than %g times the "
            "mean; give wider bins, or fewer",
            *(found.limited.sum(), sums.shape[1], spectra.MOST_FACTOR),
        )
    if not found.factors.any():
        where = (
            "no bin has training jets of every class" if reweighting.bins else "a class has no positive sum of weights"
        )
        raise InputError(f"--{'reweight' if reweighting.bins else 'balance'}: {where}; give other bins, or more jets")
    factors = np.zeros_like(sums)
    factors[present] = found.factors
    return factors


def _target(reweighting: Reweighting, names: Sequence[str], present: np.ndarray) -> Spectrum | int:
    """The spectrum, or the place of its class among those that are present."""
    kinds = {each.value: each for each in Spectrum}
    of_classes = {names[c]: place for place, c in enumerate(present.tolist())} if len(names) > 1 else {}
    allowed: dict[str, Any] = ({**kinds, **of_classes}) if of_classes else {Spectrum.FLAT.value: Spectrum.FLAT}
    if reweighting.to not in allowed:
        raise InputError(f"--reweight-to: expected {' or '.join(allowed)}, found {reweighting.to}")
    target: Spectrum | int = allowed[reweighting.to]
    return target


def _with_weights(subset: Subset, weights: np.ndarray) -> Subset:
    """The same jets, learned from with other weights and measured with their own."""

    def blocks(seeds: Sequence[int]) -> Iterator[Block]:
        return ((places, batch._replace(weights=weights[places])) for places, batch in subset.blocks(seeds))

    data = None if subset.data is None else subset.data._replace(weights=weights)
    return subset._replace(weights=weights, data=data, blocks=blocks, measured=subset.weights)
