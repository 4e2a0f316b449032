"""A run as one page of HTML: it holds all that it shows, needs no network, and works without its script."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.evaluation.calibration import reliability
from hepjax.report import page_tables
from hepjax.report.labels import class_label
from hepjax.report.number_text import (
    SAMPLE,
    calibration_sentence,
    certainty_sentence,
    find_nested_value,
    is_number,
    number_text,
    trained_on_sentence,
    uncertainty_text,
)
from hepjax.report.page_charts import history_charts, reliability_chart, roc_chart
from hepjax.report.page_record import describe_run
from hepjax.report.rendering import Picture, render_template
from hepjax.report.summary import Summary
from hepjax.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hepjax.report.charts import Chart
    from hepjax.report.page_tables import Table
    from hepjax.types import Epoch, Scores

PAPERS = ("#ffffff", "#14181d")
"""The color below the lines of charts, in the light and in the dark."""


class Section(NamedTuple):
    """A further section of the page."""

    title: str
    words: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


class _SectionView(NamedTuple):
    """A section as `templates/page.html.jinja` shows it."""

    key: str
    """Its id on the page."""
    title: str
    template: str = ""
    """The template of a section that is not words, charts, pictures and tables."""
    words: str = ""
    charts: Sequence[Chart] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


def page(
    name: str,
    record: Mapping[str, Any],
    metrics: Mapping[str, Any],
    history: Sequence[Epoch] = (),
    scores: Scores | None = None,
    sections: Sequence[Section] = (),
    *,
    summary: Summary | None = None,
    made: dt.datetime | None = None,
) -> str:
    """Makes a page of HTML of a run: its model, data, figures of merit, their uncertainties, and how to repeat it.

    Args:
      name: the name of the run, such as its folder.
      record: the content of experiment.json.
      metrics: the content of metrics.json; what an older hepjax did not write is left out.
      history: the epochs.
      scores: class probabilities of the test jets; without them there are no ROC curves and no calibration.
      sections: further sections, shown before how to repeat the run.
      summary: the sentences and numbers that stand first; None makes those of a classifier from the metrics.
      made: when the page was made; None is now.

    Returns:
      The text of the page, to be written in UTF-8. Whatever comes from files is escaped.

    Raises:
      InputError: the scores are not valid, or a picture is no PNG.

    >>> record = {"experiment": {"model": {"name": "mlp"}, "seed": 0}, "classes": ["q", "t"], "command": "hepjax train"}
    >>> text = page("runs/mlp-1", record, {"accuracy": 0.75, "loss": 0.6, "classes": {}})
    >>> "<h1>runs/mlp-1</h1>" in text, "https:" in text
    (True, False)
    """
    from markupsafe import Markup

    if summary is None:
        summary = Summary(list(_result_sentences(metrics)), list(_headline_numbers(record, metrics)))
    style, script = (_page_asset(file) for file in ("page.css", "page.js"))
    text = render_template(
        "page.html.jinja",
        name=name,
        record=record,
        metrics=metrics,
        made=dt.datetime.now().astimezone() if made is None else made,
        version=__version__,
        run=describe_run(record, metrics),
        sample=SAMPLE,
        results=summary.sentences,
        cards=summary.cards,
        verdict=_page_verdict(metrics),
        trained_on=trained_on_sentence(metrics),
        certainty=certainty_sentence(metrics),
        classes=list(metrics.get("jets") or metrics.get("classes") or record.get("classes") or ()),
        sections=[section for section in _page_sections(metrics, history, scores, sections) if any(section[2:])],
        papers=PAPERS,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(style),  # noqa: S704 -- with the script the only text that is not escaped: a file of this package
        script=Markup(script),  # noqa: S704
    )
    return text.encode("utf-8", "replace").decode("utf-8")  # the name of a file may hold what is no text


def _page_sections(
    metrics: Mapping[str, Any], history: Sequence[Epoch], scores: Scores | None, further: Sequence[Section]
) -> Iterator[_SectionView]:
    """Yields all sections in their order; those with a title only have nothing to show."""

    def tables_of(*keys: str) -> str:
        return f"{keys[0]}.html.jinja" if any(metrics.get(key) for key in keys[1:]) else ""

    yield _SectionView("summary", "Summary", "summary.html.jinja")
    yield _SectionView("merit", "Figures of merit", tables_of("merit", "classes"))
    roc = roc_chart(scores) if scores is not None else None
    yield _SectionView("curves", "ROC curves", charts=[roc] if roc else [])
    yield _SectionView("confusion", "Confusion", tables_of("confusion", "confusion", "pairwise_auc"))
    yield _SectionView("points", "Working points", tables_of("points", "working_points"))
    charts = [reliability_chart(reliability(scores))] if scores is not None else []
    yield _SectionView("calibration", "Calibration", words=calibration_sentence(metrics), charts=charts)
    yield _SectionView("members", "Trainings", tables_of("members", "members"))
    charts = history_charts(history)
    words = "The history is that of the training with the lowest validation loss."
    yield _SectionView("history", "History", words=words if charts and metrics.get("members") else "", charts=charts)
    for i, section in enumerate(further, 1):
        words, pictures, tables = section[1:]
        yield _SectionView(f"section-{i}", section.title, "", words, (), pictures, tables)
    yield _SectionView("repeat", "How to repeat it", "repeat.html.jinja")


def _result_sentences(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields sentences on how good the tagger is: the text before a number, the number, and the text after it."""
    jets, classes, accuracy = metrics.get("jets") or {}, metrics.get("classes") or {}, metrics.get("accuracy")
    if is_number(accuracy):
        interval = uncertainty_text(metrics, "accuracy", "{:.1%}")
        target = f"right one of {len(classes)} classes" if classes else "right class"
        sample = f"{sum(jets.values()):,} test jets" if jets else "the test jets"
        yield f"The tagger names the {target} for ", f"{accuracy:.1%}", f" of {sample}{interval and f' ({interval})'}."
    aucs = {name: value for name, figures in classes.items() if is_number(value := find_nested_value(figures, "auc"))}
    if len(aucs) > 1:
        best, worst = max(aucs, key=aucs.__getitem__), min(aucs, key=aucs.__getitem__)
        ends = (f"{aucs[name]:.3f} for {class_label(name)}" for name in (worst, best))
        yield " The mean AUC is ", f"{sum(aucs.values()) / len(aucs):.3f}", f", from {' to '.join(ends)}."


def _headline_numbers(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields the numbers that stand first, each with a title and a smaller line below it."""
    jets, parameters = metrics.get("jets") or {}, find_nested_value(record, "cost", "parameters")
    if is_number(metrics.get("accuracy")):
        yield "Accuracy", f"{metrics['accuracy']:.1%}", _headline_uncertainty(metrics, "accuracy", "{:.1%}")
    if (mean := page_tables.table_mean_auc(metrics)) is not None:
        yield "Mean AUC", f"{mean:.4f}", f"over {len(metrics['classes'])} classes"
    if is_number(metrics.get("loss")):
        yield "Loss", f"{metrics['loss']:.4f}", _headline_uncertainty(metrics, "loss", "{:.3f}") or "cross-entropy"
    if is_number(error := find_nested_value(metrics, "calibration", "expected_calibration_error")):
        yield "Calibration error", f"{error:.4f}", "expected, 0 is best"
    if jets:
        yield "Test jets", f"{sum(jets.values()):,}", f"of {len(jets)} classes"
    if is_number(parameters):
        cost = find_nested_value(record, "cost", "flop_per_jet")
        yield "Parameters", number_text(parameters), f"{number_text(cost)} FLOP a jet" if is_number(cost) else ""


def _headline_uncertainty(metrics: Mapping[str, Any], key: str, form: str) -> str:
    return uncertainty_text(metrics, key, form).removeprefix("68% interval ").removesuffix(" from training to training")


def _page_verdict(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Returns how the training went, and its kind for a badge; of many trainings the words do not begin with a kind."""
    verdict = metrics.get("verdict") or {}
    kind, words = str(verdict.get("kind", "")), str(verdict.get("words", ""))
    begins = words.lower().startswith(f"{kind}: ".lower())
    words = words[len(kind) + 2 :] if begins else words
    return {"badge": kind.capitalize() if begins else "", "words": words[:1].upper() + words[1:]}


def _page_asset(name: str) -> str:
    return resources.files("hepjax.report").joinpath(name).read_text(encoding="utf-8")
