"""Tables that compare taggers, and the learning curve of a tagger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.report.labels import class_label
from hepjax.report.number_text import MISSING
from hepjax.report.style import line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.evaluation import Difference

    Row = tuple[str, tuple[str, ...], str, bool]
    """Title, keys of the figure in metrics, its format, and whether differences of it are ratios."""

_REJECTION = "1/ε_B at ε_S 50%"
_SURE = 0.0027
"""A difference is called significant below this p-value: three standard deviations of a Gaussian."""


def comparison_table(
    names: Sequence[str], metrics: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]], jets: int
) -> Table:
    """Makes a rich table of the figures of merit of several taggers on the same jets.

    Args:
      names: the names of the taggers.
      metrics: the figures of merit of each, from `evaluation.measure`.
      differences: the differences of each but the first, from `evaluation.compare_scores`.
      jets: the number of test jets.

    Returns:
      A table with a column a tagger: the figure, and below it the difference to the first; those of three standard
      deviations or more have a star.

    >>> from hepjax.evaluation import Difference
    >>> metrics = [{"accuracy": 0.7, "loss": 0.9, "classes": {"t": {"auc": 0.9}}} for _ in range(2)]
    >>> equal = Difference(0.0, 0.01, 1.0)
    >>> table = comparison_table(["a", "b"], metrics, [{"accuracy": equal, "loss": equal, "classes": {"t": {}}}], 10)
    >>> table.row_count, len(table.columns)
    (3, 3)
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption=f"{jets:,} jets; below each figure its difference to the first tagger, rejections as a ratio; "
        f"> is a 95 % bound; * p < {_SURE}, for one comparison",
    )
    table.add_column("")
    for name in names:
        table.add_column(Text(name), justify="right")
    for title, form, figures, row_differences in _comparison_rows(metrics, differences):
        ratio = title.endswith(_REJECTION)
        cells = [
            _comparison_cell(figure, form, difference, ratio=ratio)
            for figure, difference in zip(figures, [None, *row_differences], strict=True)
        ]
        table.add_row(title, *cells)
    return table


def anomaly_comparison_table(
    names: Sequence[str], metrics: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]], jets: int
) -> Table:
    """Makes a rich table of the anomaly scores of several models on the same jets.

    Args:
      names: of the models.
      metrics: of each, as in metrics.json.
      differences: of each but the first, to the first.
      jets: the number of test jets.

    Returns:
      A table with a column a model and rows for the loss, and of each kind of anomalies and score AUC and rejection.

    >>> figures = {"loss": 0.5, "anomalies": {"t": {"both": {"auc": 0.9, "background_rejection_at_0.5": None}}}}
    >>> none = {"loss": None, "anomalies": {}}
    >>> anomaly_comparison_table(["a", "b"], [figures, figures], [none], 10).row_count
    2
    """
    rows: list[Row] = [("Loss of background", ("loss",), "{:.4f}", False)]
    scores = {(kind, score): None for each in metrics for kind, of in each["anomalies"].items() for score in of}
    for kind, score in scores:
        title = f"{' + '.join(map(class_label, kind.split('+')))}, {score.replace('_', ' ')}"
        rows.append((f"{title}: AUC", ("anomalies", kind, score, "auc"), "{:.4f}", False))
        rejection = ("anomalies", kind, score, "background_rejection_at_0.5")
        rows.append((f"{title}: {_REJECTION}", rejection, "{:,.1f}", True))
    return _table(names, metrics, differences, rows, f"{jets:,} jets")


def generation_comparison_table(
    names: Sequence[str],
    metrics: Sequence[Mapping[str, Any]],
    differences: Sequence[Mapping[str, Any]],
    jets: int,
    loss: str,
) -> Table:
    """Makes a rich table of several generators, compared with the same simulated jets.

    Args:
      names: of the generators.
      metrics: of each, as in metrics.json.
      differences: of each but the first, to the first.
      jets: the number of test jets.
      loss: what the loss is called.

    Returns:
      A table with a column a generator and rows for the loss, and the distance in each column of jets.

    >>> row = {"distance": 1.2, "uncertainty": 0.3}
    >>> figures = {"loss": 12.5, "distances": {"all": {"j_mass": row}}}
    >>> generation_comparison_table(["a"], [figures], [], 10, "-ln p, nats").row_count
    2
    """
    near = [
        {
            "loss": (each.get("intervals") or {}).get("loss"),
            "distances": {name: _around(row) for name, row in each["distances"].get("all", {}).items()},
        }
        for each in metrics
    ]
    plain = [
        {
            "loss": each["loss"],
            "distances": {name: row["distance"] for name, row in each["distances"].get("all", {}).items()},
            "intervals": intervals,
        }
        for each, intervals in zip(metrics, near, strict=True)
    ]
    changes = [each | {"distances": each["distances"].get("all", {})} for each in map(dict, differences)]
    rows: list[Row] = [(loss, ("loss",), "{:.4f}", False)]
    columns = {name: None for each in plain for name in each["distances"]}
    rows += [(f"W1 of {name}", ("distances", name), "{:.4g}", False) for name in columns]
    return _table(names, plain, changes, rows, f"{jets:,} jets; W1 is the Wasserstein-1 distance to simulated jets")


def _around(row: Mapping[str, float]) -> list[float]:
    return [row["distance"] - row["uncertainty"], row["distance"] + row["uncertainty"]]


def _table(
    names: Sequence[str],
    metrics: Sequence[Mapping[str, Any]],
    differences: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    words: str,
) -> Table:
    """Makes a table of figures with their intervals, and below each its difference to the first, without empty rows."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    caption = (
        f"{words}; ± is half of the 68 % interval; below each figure its difference to the first, rejections as a "
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=f"{caption}ratio; * p < {_SURE}, for one comparison")
    table.add_column("")
    for name in names:
        table.add_column(Text(name), justify="right")
    for title, path, form, ratio in rows:
        figures = [_look_up(each, path) for each in metrics]
        if all(figure is None for figure in figures):
            continue
        near = [_look_up(each.get("intervals") or {}, path) for each in metrics]
        texts = [_with_interval(*pair, form) for pair in zip(figures, near, strict=True)]
        changes = [None, *(_look_up(each, path) for each in differences)]
        cells = [_comparison_cell(text, form, change, ratio=ratio) for text, change in zip(texts, changes, strict=True)]
        table.add_row(title, *cells)
    return table


def _look_up(tree: Any, path: Sequence[str]) -> Any:
    """Returns what lies in nested mappings; None where there is nothing."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _with_interval(figure: float | None, near: Sequence[float] | None, form: str) -> str:
    if figure is None:
        return MISSING
    return form.format(figure) if near is None else f"{form.format(figure)} ± {(near[1] - near[0]) / 2:.2g}"


def comparison_numbers(
    names: Sequence[str], metrics: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]], jets: int
) -> dict[str, Any]:
    """Returns the numbers of `comparison_table`, ready for `json.dump`.

    Args:
      names: the names of the taggers.
      metrics: the figures of merit of each.
      differences: the differences of each but the first.
      jets: the number of test jets.

    Returns:
      jets; and taggers, a list of name, metrics and, but for the first, `difference` with value, error and p.

    >>> comparison_numbers(["a"], [{"accuracy": 0.7}], [], 10)
    {'jets': 10, 'taggers': [{'name': 'a', 'metrics': {'accuracy': 0.7}}]}
    """
    taggers: list[dict[str, Any]] = [
        {"name": name, "metrics": dict(figures)} for name, figures in zip(names, metrics, strict=True)
    ]
    for tagger, difference in zip(taggers[1:], differences, strict=True):
        tagger["difference"] = _comparison_to_json(difference)
    return {"jets": jets, "taggers": taggers}


def learning_curve_figure(sizes: Sequence[int], metrics: Sequence[Mapping[str, Any]], label: str = "") -> Figure:
    """Draws the loss and AUC of a tagger over the number of its training jets.

    Args:
      sizes: the number of training jets of each training.
      metrics: the figures of merit of each, from `evaluation.measure`; bars are its 68 % intervals.
      label: text above the axes.

    Returns:
      The figure: the loss above, the AUC of each class below.

    >>> metrics = [{"loss": 0.9, "classes": {"t": {"auc": 0.9}}}, {"loss": 0.8, "classes": {"t": {"auc": 0.92}}}]
    >>> learning_curve_figure([100, 200], metrics).axes[1].get_xlabel()
    'Training jets'
    """
    order = np.argsort(sizes)
    x, ordered = np.asarray(sizes)[order], [metrics[i] for i in order]
    with style():
        figure = new_figure(9, 9.5)
        panels = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.6])
        panels[0].errorbar(
            x,
            *_learning_curve_bars([(figures["loss"], figures.get("intervals", {}).get("loss")) for figures in ordered]),
            fmt="o-",
        )
        panels[0].set_ylabel("Test loss")
        for i, name in enumerate(ordered[0]["classes"]):
            intervals = [
                figures.get("intervals", {}).get("classes", {}).get(name, {}).get("auc") for figures in ordered
            ]
            values = [figures["classes"][name]["auc"] for figures in ordered]
            bars = _learning_curve_bars(list(zip(values, intervals, strict=True)))
            panels[1].errorbar(x, *bars, fmt="o-", color=line_color(i), label=class_label(name))
        panels[1].set(xlabel="Training jets", ylabel="AUC against all others", xscale="log")
        panels[1].legend(loc="lower right")
        put_figure_label(panels[0], label)
    return figure


def _learning_curve_bars(
    quantities: Sequence[tuple[float | None, Sequence[float] | None]],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns values and the distances to the ends of their intervals below and above; NaN is not drawn."""
    values = np.array([np.nan if value is None else value for value, _ in quantities])
    ends = np.array([interval or (np.nan, np.nan) for _, interval in quantities])
    return values, np.nan_to_num(np.abs(ends.T - values))


def _comparison_rows(
    metrics: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, list[Any], list[Difference | None]]]:
    """Returns the title, format, figures and differences of each row."""
    lines: list[tuple[str, str, list[Any], list[Difference | None]]] = [
        (key.capitalize(), "{:.4f}", [tagger[key] for tagger in metrics], [tagger[key] for tagger in differences])
        for key in ("accuracy", "loss")
    ]
    for key, title, form in (
        ("auc", "AUC", "{:.4f}"),
        ("background_rejection_at_0.5", _REJECTION, "{:,.1f}"),
    ):
        for name in metrics[0]["classes"]:
            figures = [
                tagger["classes"][name].get(key) or _rejection_bound_text(tagger, name, key) for tagger in metrics
            ]
            row_differences = [tagger["classes"][name].get(key) for tagger in differences]
            if any(figure is not None for figure in figures):
                lines.append((f"{class_label(name)} {title}", form, figures, row_differences))
    return lines


def _rejection_bound_text(metrics: Mapping[str, Any], name: str, key: str) -> str | None:
    """Returns the text of the lower bound of a rejection that rests on too few jets."""
    bound = metrics.get("bounds", {}).get(name, {}).get(key)
    return None if bound is None else f"> {bound:,.1f}"


def _comparison_cell(figure: float | str | None, form: str, difference: Difference | None, *, ratio: bool) -> str:
    words = figure if isinstance(figure, str) else MISSING if figure is None else form.format(figure)
    if difference is None:
        return words
    change = "{:.2f}x ± {:.2f}" if ratio else "{:+.4f} ± {:.4f}"
    return f"{words}\n{change.format(*difference[:2])}{' *' if difference.p < _SURE else ''}"


def _comparison_to_json(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _comparison_to_json(value) for key, value in tree.items()}
    return tree if tree is None else tree._asdict()
