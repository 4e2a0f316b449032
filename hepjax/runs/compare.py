"""Trained taggers side by side, on the same jets."""

from __future__ import annotations

import logging
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax import evaluation
from hepjax.runs import train, predictions
from hepjax.inputs import subsets
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hepjax.runs.predictions import Predictions

log = logging.getLogger("hepjax")


class Comparison(NamedTuple):
    """What several taggers say of the same jets."""

    metrics: list[dict[str, Any]]
    """Of each tagger the figures of merit with their intervals."""
    differences: list[dict[str, Any]]
    """What each tagger but the first has more than the first; see `evaluation.compare_scores`."""
    jets: int
    """How many jets they were measured on."""


def compare(sources: Sequence[Path], data: Sequence[Path] = ()) -> Comparison:
    """Compares taggers on the same jets.

    Args:
      sources: two or more run folders, folders that `hepjax evaluate` made, or, with `data`, exported files.
      data: files of labelled jets, to be answered anew; none takes the jets that are in the test parts of all runs.

    Returns:
      The comparison.

    Raises:
      InputError: there are fewer than two, or they have no test jets in common.
    """
    if len(sources) < 2:
        raise InputError(f"hepjax compare: expected two runs or more, found {len(sources)}")
    if data:
        log.info("answering %s", subsets.names(data))
        found = [train.answers(source, data) for source in sources]
    else:
        found = _common([_tested(source) for source in sources], sources)
    scores = [one.measured() for one in found]
    metrics = [evaluation.measure(one) for one in scores]
    return Comparison(metrics, [evaluation.compare_scores(scores[0], one) for one in scores[1:]], len(found[0].scores))


def _tested(source: Path) -> Predictions:
    path = source / "test.h5" if source.is_dir() else source
    if not path.is_file():
        raise InputError(f"{source}: has no test.h5, the answers to its test jets; give --data, or train again")
    found = predictions.read_predictions(path)
    if found.rows is None:
        raise InputError(f"{source}: does not say which jets its scores are of; give --data and the taggers themselves")
    return found


def _common(found: Sequence[Predictions], sources: Sequence[Path]) -> list[Predictions]:
    """The answers to the jets that all have answered, in one order; that they are the same jets is looked at."""
    rows = [np.asarray(one.rows) for one in found]
    shared = reduce(np.intersect1d, rows)
    chosen = [
        _take(one, np.argsort(r)[np.searchsorted(np.sort(r), shared)]) for one, r in zip(found, rows, strict=True)
    ]
    for one, source in zip(chosen[1:], sources[1:], strict=True):
        if not len(shared) or not _same(chosen[0], one):
            raise InputError(f"{source}: its test jets are not those of {sources[0]}; give files for both by --data")
    most = max(map(len, rows))
    if len(shared) < most:
        log.warning("%d jets are in all test parts, of up to %d; --data compares on other files", len(shared), most)
    return chosen


def _take(one: Predictions, places: np.ndarray) -> Predictions:
    return one._replace(
        scores=one.scores[places],
        labels=None if one.labels is None else one.labels[places],
        rows=None if one.rows is None else one.rows[places],
        observables={name: values[places] for name, values in one.observables.items()},
        weights=None if one.weights is None else one.weights[places],
    )


def _same(a: Predictions, b: Predictions) -> bool:
    same = (
        a.classes == b.classes
        and np.array_equal(np.asarray(a.labels), np.asarray(b.labels))
        and a.observables.keys() == b.observables.keys()
    )
    return same and all(np.array_equal(a.observables[name], b.observables[name]) for name in a.observables)
