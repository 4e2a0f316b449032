"""Pictures of a regression, and what the page of a run and a model card say of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import report
from hepjax.choices import RegressionLoss
from hepjax.errors import InputError
from hepjax.evaluation import explanation
from hepjax.report import Picture, Section, Summary, Table
from hepjax.tasks.regression import merit_figures
from hepjax.tasks.task_types import Predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.figure import Figure

    from hepjax.tasks.regression.options import RegressionOptions
    from hepjax.tasks.task_types import Case, Results

_DPI = 70
_REPEATS = 5
_ROWS = (
    ("bias", "Bias: median of predicted - true"),
    ("resolution", "Resolution: half of the central 68 % of predicted - true"),
    ("relative_bias", "Bias of predicted / true"),
    ("relative_resolution", "Resolution of predicted / true"),
    ("root_mean_squared_error", "Root mean squared error"),
    ("truth_spread", "The same of predicting the mean"),
    ("mean_absolute_error", "Mean absolute error"),
    ("explained_variance", "Explained variance"),
    ("loss", "Loss, in units of the spread of the truth"),
    ("pull_mean", "Mean of the pulls"),
    ("pull_resolution", "Half of the central 68 % of the pulls"),
    ("coverage_68", "Truths within one width"),
    ("coverage_95", "Truths within two widths"),
)

log = logging.getLogger("hepjax")


def regression_pictures(task: RegressionOptions, predictions: Predictions) -> dict[str, Figure]:
    """Draws the pictures of a run folder.

    Args:
      task: the options.
      predictions: with targets.

    Returns:
      File name → figure.
    """
    estimates = merit_figures.regression_estimates(task, predictions)
    drawn = {
        "response.png": report.response_figure(estimates),
        "predicted_against_true.png": report.predicted_against_true_figure(estimates),
    }
    for name in task.target:
        bins, relative = merit_figures.residuals_in_bins(task, predictions, name)
        drawn[f"resolution_{name}.png"] = report.residuals_in_bins_figure(bins, relative=relative)
    if estimates.widths is not None:
        drawn["pulls.png"] = report.pulls_figure(estimates)
    if estimates.quantiles is not None:
        drawn["coverage.png"] = report.coverage_figure(estimates)
    return drawn


def regression_sections(task: RegressionOptions, results: Results) -> Iterator[Section]:
    """Yields the sections of a page.

    Args:
      task: the options.
      results: of the run.
    """
    metrics = results.metrics
    yield Section("Figures of merit", _regression_certainty_text(metrics), (), list(_regression_merit_tables(metrics)))
    if results.sizes:
        members = [metrics["members"][f"size-{size}"] for size in results.sizes]
        words = "How good the model gets with more jets to learn from: where it still falls, more would help."
        curve = report.regression_curve_figure(results.sizes, members)
        yield Section("Learning curve", words, (_regression_picture(curve, "Loss and resolution on the test jets"),))
    if "bias_and_variance" in metrics:
        yield _regression_bias_and_variance(metrics["bias_and_variance"])
    if results.test is None or results.test.targets is None:
        return
    captions = {
        "response.png": "How predictions are distributed about the truth",
        "predicted_against_true.png": "Predicted over true values",
        "pulls.png": "Pulls of the learned widths, beside a unit Gaussian",
        "coverage.png": "Share of truths below each learned quantile",
    }
    drawn = regression_pictures(task, results.test)
    first = [_regression_picture(drawn[name], words, wide=True) for name, words in captions.items() if name in drawn]
    yield Section("Response", "Of the test jets.", first)
    rest = [
        _regression_picture(drawn[f"resolution_{name}.png"], f"Bias and resolution of {name}", wide=True)
        for name in task.target
    ]
    yield Section("Bias and resolution in bins", "Bars are 68 % intervals, by bootstrap.", rest)
    try:
        case = results.read_case()
    except InputError as error:
        log.warning("nothing of what the network looks at: %s", error)
        yield Section("What the network looks at", f"Not shown, for the jets could not be read: {error}.")
        return
    yield from _regression_importance(task, case)


def regression_summary(metrics: Mapping[str, Any]) -> Summary:
    """Returns what stands at the top of a page.

    Args:
      metrics: what metrics.json holds.
    """
    sentences, cards = [], []
    for name, merit in metrics["targets"].items():
        ratio = merit["relative_resolution"]
        words = f"{merit['resolution']:.4g}" if ratio is None else f"{ratio:.2%} of the truth"
        sentences.append((f" The resolution of {name} is ", words, f", with a bias of {merit['bias']:.3g}."))
        below = "half of the central 68 %" if ratio is None else words
        cards.append((f"Resolution of {name}", f"{merit['resolution']:.4g}", below))
        error, spread = merit["root_mean_squared_error"], merit["truth_spread"]
        cards.append((f"RMSE of {name}", f"{error:.4g}", f"{spread:.4g} by predicting the mean"))
    cards.append(("Loss", f"{metrics['loss']:.4f}", "in units of the spread"))
    if "test_jets" in metrics:
        cards.append(("Test jets", f"{metrics['test_jets']:,}", ""))
    return Summary(sentences, cards)


def regression_card(
    task: RegressionOptions, record: Mapping[str, Any], metrics: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Returns paragraphs of a model card.

    Args:
      task: the options.
      record: what experiment.json holds.
      metrics: what metrics.json holds.
    """
    units = (record.get("dataset") or {}).get("units", {})
    targets = ", ".join(f"{name} [{units[name]}]" if units.get(name) else name for name in task.target)
    kind = {
        RegressionLoss.GAUSSIAN: "The values of the targets, then the width (standard deviation) of each.",
        RegressionLoss.QUANTILES: f"Of each target the quantiles at {', '.join(map(str, task.quantiles))}.",
    }.get(task.loss, "The values of the targets.")
    columns = record.get("outputs") or task.target
    lines = ["On the test part; ± is half of the interval that holds 68 % of bootstrap samples."]
    intervals = (metrics.get("intervals") or {}).get("targets") or {}
    for name, merit in metrics["targets"].items():
        parts = []
        for key, _ in _ROWS[:7]:
            if merit.get(key) is not None:
                near = (intervals.get(name) or {}).get(key)
                half = f" ± {(near[1] - near[0]) / 2:.2g}" if near else ""
                parts.append(f"{key.replace('_', ' ')} {merit[key]:.4g}{half}")
        lines.append(f"- {name}: {', '.join(parts)}.")
    return {
        "Output": [
            f"`{task.layout.values}`, (N, {len(columns)}) float32, in this order: {', '.join(columns)}.",
            f"{kind} Targets: {targets}. Scaling is inside: the values are in the targets' units.",
        ],
        "Figures of merit": ["\n".join(lines)],
        "Limits": [
            (
                "- Its figures of merit hold for jets like those of its test part, with the targets' values among "
                "those that it was trained on: beyond them it does not extrapolate.\n"
                "- Other energies, jet radii, detectors, pile-up or generators change its inputs; measure it on your "
                "jets with `hepjax evaluate` first.\n"
                "- A missing number is not refused: replace or leave out jets with NaN before."
            )
        ],
    }


def _regression_merit_tables(metrics: Mapping[str, Any]) -> Iterator[Table]:
    intervals = (metrics.get("intervals") or {}).get("targets") or {}
    for name, merit in metrics["targets"].items():
        rows: list[list[Any]] = []
        for key, title in _ROWS:
            if merit.get(key) is not None:
                near = (intervals.get(name) or {}).get(key)
                rows.append([title, _rounded_regression_figure(merit[key], *(near or ()))])
        rows += [[f"Truths below the quantile {level}", share] for level, share in merit.get("coverage", {}).items()]
        yield Table(name, ["Figure of merit", "Value, with its 68% interval"], rows)


def _rounded_regression_figure(value: float, *ends: float) -> Any:
    numbers = tuple(float(f"{x:.4g}") for x in (value, *ends))
    return numbers if ends else numbers[0]


def _regression_certainty_text(metrics: Mapping[str, Any]) -> str:
    if "spread" in metrics:
        return "Intervals are those of several trainings."
    return "68 % intervals by bootstrap: what other samples of test jets as large as this one would have given."


def _regression_bias_and_variance(parts: Mapping[str, float]) -> Section:
    rows = [
        ["Mean squared error of a member", parts["squared_error"]],
        ["Bias² and noise, which no averaging removes", parts["bias_and_noise"]],
        ["Variance from one training to the next", parts["variance"]],
    ]
    table = Table("Squared error of the test jets, in units of the spread of the truth", ["Part", "Value"], rows)
    return Section("Bias and variance", f"What the scatter of {parts['members']:.0f} trainings costs.", (), (table,))


def _regression_importance(task: RegressionOptions, case: Case) -> Iterator[Section]:
    """Measures how much the error grows when a column is shuffled among jets."""
    if case.pipeline.images:
        return
    inputs = case.pipeline.load(case.jets, slice(None))
    spread = np.std(case.targets, axis=0, dtype=np.float64)
    truth = np.asarray(case.targets, np.float64) / np.where(spread > 0, spread, 1)

    def minus_error(predicted: np.ndarray, rows: np.ndarray) -> float:
        values = merit_figures.regression_estimates(task, Predictions(predicted, case.targets, case.outputs)).predicted
        residual = values / np.where(spread > 0, spread, 1) - truth
        return -float(np.sqrt(np.mean(residual[rows] ** 2)))

    importance = explanation.permutation_importance(
        case.predict, inputs, np.arange(len(truth)), minus_error, repeats=_REPEATS
    )
    columns = case.pipeline.columns
    order = np.argsort(-importance.mean)
    rows = [[columns[i], importance.mean[i], importance.std[i]] for i in order]
    note = f"The error is {-importance.score:.4f} spreads with all columns; {_REPEATS} shuffles each."
    caption = "How much the root mean squared error grows when a column is shuffled among jets"
    figure = report.importance_figure(importance.mean, importance.std, columns)
    words = f"Asked of {len(truth):,} test jets" + (f" of {case.member}." if case.member else ".")
    head = ["Column", "Growth of the error", "Standard deviation"]
    table = Table("Permutation importance", head, rows, note)
    yield Section("What the network looks at", words, (_regression_picture(figure, caption),), (table,))


def _regression_picture(figure: Any, caption: str, *, wide: bool = False) -> Picture:
    return Picture(report.png(figure, _DPI), caption, caption, wide)
