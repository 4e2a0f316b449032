"""Pictures of anomaly scores, and what the page of a run and a model card say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import report
from hepjax.report import Picture, Section, Summary, Table
from hepjax.tasks.anomaly import merit_figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.figure import Figure

    from hepjax.tasks.anomaly.options import AnomalyOptions
    from hepjax.tasks.task_types import Predictions, Results

_DPI = 70
_HEAD = ["Score", "AUC", "Rejection at 0.3", "Rejection at 0.5"]
_WORDS = {
    "reconstruction_error": "the mean squared difference of what the network sees and what it gives back",
    "latent_distance": "the squared Mahalanobis distance of the code from those of the training jets",
    "both": "the sum of -ln p of these two under the background hypothesis, p from the validation jets",
    "kl_divergence": "that of the code's distribution from the prior, in nats",
    "negative_elbo": "the bound on -ln p of the jet that was minimized, in nats",
}


def anomaly_pictures(task: AnomalyOptions, predictions: Predictions) -> dict[str, Figure]:
    """Draws the pictures of a run folder.

    Args:
      task: the options.
      predictions: with targets.

    Returns:
      File name → figure: ROC curves where there are anomalies, and the distributions of scores.
    """
    targets = np.asarray(predictions.targets, np.int32)
    names = (*task.background, *task.anomalies) or ("all jets",)
    values = dict(zip(predictions.columns, predictions.values.T, strict=True))
    drawn = {"scores.png": report.anomaly_spectra_figure(values, targets, names)}
    if scores := merit_figures.scores_of(task, predictions):
        drawn["roc.png"] = report.anomaly_roc_figure(
            {kind: {name.replace("_", " "): score for name, score in of.items()} for kind, of in scores.items()}
        )
    return drawn


def anomaly_sections(task: AnomalyOptions, results: Results) -> Iterator[Section]:
    """Yields the sections of a page.

    Args:
      task: the options.
      results: of the run.
    """
    metrics = results.metrics
    certainty = "those of several trainings" if "spread" in metrics else "68 % intervals"
    words = f"{_anomaly_training_text(task)} Errors are {certainty}; bounds are at 95 % confidence."
    tables = [
        Table(f"{report.class_label(kind) if '+' not in kind else kind} against the background", _HEAD, rows)
        for kind, rows in _anomaly_table_rows(metrics)
    ]
    yield Section("Figures of merit", words if tables else f"{words} There were no anomalies to measure.", (), tables)
    if results.test is None or results.test.targets is None:
        return
    captions = {
        "roc.png": "ROC curves of the scores, for each kind of anomalies",
        "scores.png": "Distributions of the scores, for each class",
    }
    drawn = anomaly_pictures(task, results.test)
    shown = [Picture(report.png(drawn[name], _DPI), c, c, wide=True) for name, c in captions.items() if name in drawn]
    yield Section("Scores", "Of the test jets.", shown)


def anomaly_summary(metrics: Mapping[str, Any]) -> Summary:
    """Returns what stands at the top of a page.

    Args:
      metrics: what metrics.json holds.
    """
    sentences, cards = [], []
    for kind, of_kind in metrics["anomalies"].items():
        aucs = {column: values["auc"] for column, values in of_kind.items() if values["auc"] is not None}
        if aucs:
            best = max(aucs, key=lambda column: aucs[column])
            sentences.append((f" The AUC of {kind} is ", f"{aucs[best]:.3f}", f", by {best.replace('_', ' ')}."))
            cards.append((f"AUC, {kind}", f"{aucs[best]:.3f}", best.replace("_", " ")))
    cards.append(("Loss", f"{metrics['loss']:.4f}", "of background test jets"))
    jets = sum(metrics["test_jets"].values())
    return Summary(sentences, [*cards, ("Test jets", f"{jets:,}", "")])


def anomaly_card(task: AnomalyOptions, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns paragraphs of a model card.

    Args:
      task: the options.
      record: what experiment.json holds.
      metrics: what metrics.json holds.
    """
    columns = [str(name) for name in record.get("outputs") or ()]
    meanings = "\n".join(f"- `{name}`: {_WORDS[name]}." for name in columns)
    merits = [report.anomaly_table(of_kind) for of_kind in merit_figures.join_anomaly_figures(metrics).values()]
    titled = [f"{kind} against the background:\n\n{t}" for kind, t in zip(metrics["anomalies"], merits, strict=True)]
    return {
        "Output": [
            f"`{task.layout.exported}`, (N, {len(columns)}) float32, larger for jets less like the background:",
            meanings,
            _anomaly_training_text(task),
        ],
        "Figures of merit": [
            f"Loss of background jets of the test part: {metrics['loss']:.4f}.",
            *(titled or ["There were no anomalies to measure."]),
        ],
        "Limits": [
            (
                "- Scores say how unlike the training background a jet is, not what it is: other energies, jet radii, "
                "detectors, pile-up or generators look like anomalies too.\n"
                "- Measure thresholds on background jets of your own, with `hepjax predict`.\n"
                "- A missing number is not refused: replace or leave out jets with NaN before."
            )
        ],
    }


def _anomaly_training_text(task: AnomalyOptions) -> str:
    of = f"jets of {', '.join(task.background)}" if task.background else "all jets"
    share = f", with {100 * task.contamination:g} % of unmarked anomalies among them" if task.contamination else ""
    return f"The network has learned {of}{share}."


def _anomaly_table_rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, list[list[Any]]]]:
    for kind, of_kind in merit_figures.join_anomaly_figures(metrics).items():
        lines = report.anomaly_table(of_kind).splitlines()[2:]
        yield kind, [[cell.strip().replace("_", " ") for cell in line.strip("|").split("|")] for line in lines]
