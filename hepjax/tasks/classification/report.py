"""Sections of a run's page about a classification: cuts, rates in bins, jets, and what the network looks at."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import evaluation, report
from hepjax.choices import Role
from hepjax.errors import InputError
from hepjax.report import Picture, Section, Table, class_label
from hepjax.tasks.classification import explanation
from hepjax.tasks.classification.scores import scores_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepjax.tasks.task_types import Predictions, Results
    from hepjax.types import Dataset, Scores

EFFICIENCY = 0.5
"""The signal efficiency of the cuts that are looked at in bins."""
_DPI = 70
_FEWEST = 20
"""Jets below which no efficiency is drawn in bins."""

log = logging.getLogger("hepjax")


def classification_sections(results: Results) -> Iterator[Section]:
    """Yields the sections of a page.

    Args:
      results: of the run.
    """
    metrics, test = results.metrics, results.test
    if results.sizes:
        yield _learning_curve_section(results)
    if "bias_and_variance" in metrics:
        yield _bias_and_variance_section(metrics["bias_and_variance"])
    if test is None:
        return
    scores = scores_of(test)
    if remarks := evaluation.remarks(scores):
        yield Section("To be kept in mind", ". ".join(f"{words[0].upper()}{words[1:]}" for words in remarks) + ".")
    yield _performance_section(scores)
    yield from _rates_in_bins_section(scores, test, results.dataset)
    try:
        case = results.read_case()
    except InputError as error:
        log.warning("no pictures of jets, and nothing of what the network looks at: %s", error)
        yield Section("Jets", f"Not shown, for the jets could not be read: {error}.")
        return
    yield from explanation.explanation_sections(case)


def _performance_section(scores: Scores) -> Section:
    return Section(
        "Rejection and significance",
        "Bands are 68 % intervals; the thin lines are lower bounds at 95 % confidence.",
        (
            _classification_picture(
                report.rejection_figure(scores), "Background rejection of each class over its efficiency"
            ),
            _classification_picture(
                report.significance_figure(scores),
                "Significance improvement: efficiency over the root of the mistag rate",
            ),
        ),
    )


def _rates_in_bins_section(scores: Scores, test: Predictions, dataset: Dataset) -> Iterator[Section]:
    counts = np.bincount(np.asarray(scores.labels), minlength=len(scores.classes))
    names = [name for name, n in zip(scores.classes, counts, strict=True) if n >= _FEWEST]
    if not test.observables or len(names) < 2:
        return
    observables = dict(test.observables)
    pt, mass = (dataset.roles.get(role, "") for role in (Role.JET_PT, Role.JET_MASS))
    bins = int(np.clip(min(counts[counts >= _FEWEST]) / _FEWEST, 3, 8))
    edges = {name: evaluation.bin_edges(values, bins) for name, values in observables.items()}
    cut = f"the cut on a class's probability that keeps {EFFICIENCY:.0%} of its jets"
    yield Section(
        "Efficiency and mistag rate in bins",
        f"What share of the jets of each true class passes {cut}, with 68 % intervals.",
        [
            _classification_picture(
                report.rates_figure(scores, name, observables, EFFICIENCY, edges),
                f"The cut on the {class_label(name)} probability",
                wide=True,
            )
            for name in names
        ],
        [_rates_in_bins_table(scores, name, pt, observables[pt], edges[pt]) for name in names if pt in edges],
    )
    if mass in observables:
        yield Section(
            "Mass sculpting",
            "The mass of the background before and after a cut: a tagger that has learned the mass leaves a peak where "
            "the signal has its own. The Jensen-Shannon divergence stands beside what chance alone would give.",
            [
                _classification_picture(
                    report.sculpting_figure(scores, name, observables[mass], mass),
                    f"All other jets, cut on the {class_label(name)} probability",
                )
                for name in names
            ],
        )


def _rates_in_bins_table(scores: Scores, name: str, observable: str, values: np.ndarray, edges: np.ndarray) -> Table:
    selected = evaluation.selection(scores, name, EFFICIENCY)
    rates = evaluation.class_rates_in_bins(scores, selected, values, edges)
    rows = [
        [f"{edges[i]:.4g} to {edges[i + 1]:.4g}"]
        + [
            tuple(np.round((each.rate[i], each.low[i], each.high[i]), 3)) if each.jets[i] else None
            for each in rates.values()
        ]
        for i in range(len(edges) - 1)
    ]
    label = report.column_label(observable).replace("$p_T$", "pT")
    return Table(f"Cut on {class_label(name)}, in bins of {label}", [label, *map(class_label, rates)], rows)


def _learning_curve_section(results: Results) -> Section:
    members = [results.metrics["members"][f"size-{size}"] for size in results.sizes]
    figure = report.learning_curve_figure(results.sizes, members)
    words = "How good the tagger gets with more jets to learn from: a curve that still rises says that more would help."
    return Section("Learning curve", words, [_classification_picture(figure, "Loss and AUC on the same test jets")])


def _bias_and_variance_section(parts: dict[str, float]) -> Section:
    rows = [
        ["Mean Brier score of a member", parts["brier"]],
        ["Bias² and noise, which no averaging removes", parts["bias_and_noise"]],
        ["Variance from one training to the next", parts["variance"]],
    ]
    table = Table("Brier score of the test jets", ["Part", "Value"], rows)
    return Section("Bias and variance", f"What the scatter of {parts['members']:.0f} trainings costs.", (), (table,))


def _classification_picture(figure: Any, caption: str, *, wide: bool = False) -> Picture:
    return Picture(report.png(figure, _DPI), caption, caption, wide)
