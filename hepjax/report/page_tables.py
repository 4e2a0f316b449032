"""The numbers and notes of the page's tables; the templates beside this file lay them out."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.report.number_text import MISSING, find_nested_value, is_number, number_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Table(NamedTuple):
    """A table for a section of the page.

    A cell is text; a number; None, shown as a dash; or a number with the ends of its interval, (value, low, high).
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """The first cell of each names its row."""
    note: str = ""


class MeritColumn(NamedTuple):
    """A column of the table of figures of merit."""

    key: str
    title: str
    form: str
    name: str
    place: int = 0
    """The number of the column in the table, by which the page's script sorts."""


class MeritGroup(NamedTuple):
    """Columns under a common title, which may be empty."""

    title: str
    columns: Sequence[MeritColumn]


_GROUPS = (
    MeritGroup("", [MeritColumn("auc", "AUC", "{:.4f}", "area under the ROC curve")]),
    MeritGroup(
        "Signal efficiency at background efficiency",
        [
            MeritColumn(f"tpr_at_fpr_{rate}", text, "{:.3f}", f"signal efficiency at a background efficiency of {text}")
            for rate, text in (("0.1", "10%"), ("0.01", "1%"))
        ],
    ),
    MeritGroup(
        "Background rejection at signal efficiency",
        [
            MeritColumn(
                f"background_rejection_at_{rate}",
                text,
                "{:,.1f}",
                f"background rejection at a signal efficiency of {text}",
            )
            for rate, text in (("0.3", "30%"), ("0.5", "50%"), ("0.8", "80%"))
        ],
    ),
    MeritGroup(
        "", [MeritColumn("max_significance_improvement", "Best gain", "{:.2f}", "largest gain in significance")]
    ),
)


def uncertainty_note(metrics: Mapping[str, Any]) -> str:
    """Returns a note on the second number of each cell.

    >>> uncertainty_note({"intervals": {"accuracy": [0.6, 0.7]}})
    'Below each number: its 68% interval.'
    """
    if metrics.get("intervals"):
        return "Below each number: its 68% interval."
    if metrics.get("spread"):
        return f"Below each number: the standard deviation over {len(metrics.get('members') or ()) or 'the'} trainings."
    return "How sure these numbers are is not known: no intervals were computed for this run."


def merit_columns(metrics: Mapping[str, Any]) -> tuple[dict[str, str], list[MeritGroup]]:
    """Chooses the columns of the table of figures of merit: those that metrics have.

    Args:
      metrics: the content of metrics.json.

    Returns:
      Keys and titles of the numbers of jets, and the figures of merit.

    >>> merit_columns({"classes": {"q": {"auc": 0.9}}, "jets": {"q": 10}})[0]
    {'jets': 'Jets'}
    """
    keys = {key for figures in metrics["classes"].values() for key in figures or {}}
    titles = {"jets": "Jets", "effective_jets": "Effective jets"}
    counts = {key: title for key, title in titles.items() if _has_jet_counts(metrics, key)}
    place, groups = itertools.count(1 + len(counts)), []
    for title, known in _GROUPS:
        if columns := [column._replace(place=next(place)) for column in known if column.key in keys]:
            groups.append(MeritGroup(title, columns))
    return counts, groups


def merit_note(metrics: Mapping[str, Any]) -> str:
    """Returns the note below the table of figures of merit, which explains only what is in it."""
    keys = {key for figures in metrics["classes"].values() for key in figures or {}}
    bounds = metrics.get("bounds") or {}
    sentences = [uncertainty_note(metrics)]
    if any(
        is_number(bound) and find_nested_value(metrics, "classes", name, key) is None
        for name, of_class in bounds.items()
        for key, bound in (of_class or {}).items()
    ):
        sentences.append(
            "A rejection with “>” is a lower bound at 95% confidence: too few background jets pass that cut to quote a "
            "number."
        )
    if any(
        value is None and find_nested_value(bounds, name, key) is None
        for name, figures in metrics["classes"].items()
        for key, value in (figures or {}).items()
    ):
        sentences.append("A dash: too few jets to say anything.")
    if any(key.startswith("background_rejection") for key in keys):
        sentences.append("Background rejection is one over the background efficiency.")
    if "max_significance_improvement" in keys:
        sentences.append(
            "The best gain in significance is the largest signal efficiency over the root of background efficiency; "
            "that fluctuations help to choose its cut is allowed for."
        )
    return " ".join(sentences)


def table_quantity(metrics: Mapping[str, Any], *keys: str) -> tuple[Any, Any, Any]:
    """Returns a figure of merit, its interval and its spread; each is None where metrics do not have it.

    >>> table_quantity({"loss": 0.5, "intervals": {"loss": [0.4, 0.6]}}, "loss")
    (0.5, [0.4, 0.6], None)
    """
    return (
        find_nested_value(metrics, *keys),
        find_nested_value(metrics, "intervals", *keys),
        find_nested_value(metrics, "spread", *keys),
    )


def working_point_goal(point: Mapping[str, Any]) -> str:
    """Returns what a working point was chosen for.

    >>> working_point_goal({"wanted_mistag_rate": 0.01})
    'mistag rate 0.01'
    """
    keys = ((f"wanted_{key}", key.replace("_", " ")) for key in ("efficiency", "mistag_rate"))
    return (
        ", ".join(f"{text} {number_text(point[key], '{:g}')}" for key, text in keys if point.get(key) is not None)
        or MISSING
    )


def table_mean_auc(metrics: Mapping[str, Any]) -> float | None:
    """Returns the mean AUC of all classes; None where one has none.

    >>> table_mean_auc({"classes": {"q": {"auc": 0.75}, "t": {"auc": 0.25}}})
    0.5
    """
    aucs = [find_nested_value(figures, "auc") for figures in (metrics.get("classes") or {}).values()]
    return sum(aucs) / len(aucs) if aucs and all(map(is_number, aucs)) else None


def _has_jet_counts(metrics: Mapping[str, Any], key: str) -> bool:
    """Returns whether metrics have these numbers of jets; effective ones count where weights make them differ."""
    counts, jets = metrics.get(key) or {}, metrics.get("jets") or {}
    alike = all(is_number(n) and is_number(jets.get(name)) and abs(n - jets[name]) < 0.5 for name, n in counts.items())
    return bool(counts) and (counts is jets or not alike)
