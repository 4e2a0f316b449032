"""A run as one page of HTML: it holds all that it shows, needs no network, and works without its script."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import struct
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.errors import InputError
from hepjax.evaluation.calibration import reliability
from hepjax.report.names import drawn
from hepjax.report.page_figures import history_charts, reliability_chart, roc_chart
from hepjax.report.page_markup import (
    Html,
    Table,
    find,
    is_number,
    join,
    number,
    plain_table,
    tag,
)
from hepjax.report.page_repeat import data_words, model_words, option_words, repeat
from hepjax.report.page_tables import (
    confusion_table,
    interval_words,
    mean_auc,
    member_table,
    merit_table,
    pair_table,
    working_points,
)
from hepjax.report.style import colour
from hepjax.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hepjax.report.summary import Summary
    from hepjax.types import Epoch, Scores

PAPER = ("#ffffff", "#14181d")
"""What lies under the lines of charts, in the light and in the dark."""

_PNG = b"\x89PNG\r\n\x1a\n"


class Picture(NamedTuple):
    """A picture for the page."""

    png: bytes
    caption: str
    alt: str
    """What it shows, for those who cannot see it."""
    wide: bool = False
    """Whether it has many panels, and takes the whole width."""


class Section(NamedTuple):
    """A further section of the page."""

    title: str
    words: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


class _Part(NamedTuple):
    key: str
    """Its id on the page."""
    title: str
    inside: Html


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
    """A run as one page of HTML: what was trained on which data, how good it is, how sure, and how to repeat it.

    Args:
      name: of the run, such as its folder.
      record: what is in its experiment.json.
      metrics: what is in its metrics.json; what an older hepjax did not write is left out.
      history: its epochs.
      scores: of the test jets; without them there are no ROC curves and no calibration.
      sections: what else is to be shown, before how to repeat the run.
      summary: what stands first; None is what a classifier's metrics give.
      made: when the page was made; None is now.

    Returns:
      The text of the page, to be written in UTF-8. Whatever comes from files is escaped.

    Raises:
      InputError: for scores that are not sound, or a picture that is no PNG.

    >>> record = {"experiment": {"model": {"name": "mlp"}, "seed": 0}, "classes": ["q", "t"], "command": "hepjax train"}
    >>> text = page("runs/mlp-1", record, {"accuracy": 0.75, "loss": 0.6, "classes": {}})
    >>> "<h1>runs/mlp-1</h1>" in text, "https:" in text
    (True, False)
    """
    made = dt.datetime.now().astimezone() if made is None else made
    parts = [
        part
        for part in (
            _summary(record, metrics, summary),
            *_measured(record, metrics, scores),
            *_trained(metrics, history),
            *(_further(section, i) for i, section in enumerate(sections, 1)),
            _Part("repeat", "How to repeat it", repeat(record, metrics, made)),
        )
        if part.inside
    ]
    style, script = (Html(_asset(file)) for file in ("page.css", "page.js"))
    # No network, and no script but this one, whatever stands in the files that the page is made of.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"hepjax {__version__}"),
        tag("title", f"{name}: hepjax report"),
        tag("link", rel="icon", href="data:,"),
        tag("style", _palette(), style),
    )
    body = tag("body", *_body(name, record, _result(metrics, summary), parts), tag("script", script))
    text = "<!DOCTYPE html>\n" + tag("html", head, "\n", body, lang="en") + "\n"
    return text.encode("utf-8", "replace").decode("utf-8")  # a file's name may hold what is no text


def _body(name: str, record: Mapping[str, Any], result: Iterator[Html], parts: Sequence[_Part]) -> Iterator[Html]:
    yield tag("a", "Skip to the content", href="#content", class_="skip")
    yield tag(
        "header",
        tag("p", "hepjax", tag("span", " report"), class_="brand"),
        tag("button", "Dark", type="button", id="theme", aria_pressed="false", aria_label="Dark colours", hidden=True),
        class_="banner",
    )
    links = [tag("li", tag("a", part.title, href=f"#{part.key}")) for part in parts]
    yield tag("nav", tag("ul", *links), aria_label="On this page")
    intro = tag(
        "div",
        tag("p", model_words(record), class_="eyebrow"),
        tag("h1", name, class_="long" if len(name) > 30 else None),
        *(tag("p", words, class_="lede") for words in result),
        class_="intro",
    )
    shown = [
        tag(
            "section",
            tag("h2", part.title, id=f"{part.key}-heading"),
            part.inside,
            id=part.key,
            aria_labelledby=f"{part.key}-heading",
        )
        for part in parts
    ]
    yield tag("main", intro, *shown, id="content", tabindex="-1")
    yield tag("footer", tag("p", f"Made by hepjax {__version__}. This page holds all that it shows and loads nothing."))
    yield tag("p", class_="unseen", id="said", role="status")


def _result(metrics: Mapping[str, Any], summary: Summary | None) -> Iterator[Html]:
    """How good, in a sentence."""
    if summary is not None:
        if summary.sentences:
            yield join(*(x for before, number, after in summary.sentences for x in (before, tag("strong", number), after)))
        return
    jets, classes = metrics.get("jets") or {}, metrics.get("classes") or {}
    accuracy, aucs = metrics.get("accuracy"), {name: find(found, "auc") for name, found in classes.items()}
    known = {name: value for name, value in aucs.items() if is_number(value)}
    words: list[Any] = []
    if is_number(accuracy):
        sure = interval_words(metrics, "accuracy", "{:.1%}")
        where = f" of {sum(jets.values()):,} test jets" if jets else " of the test jets"
        of = f"right one of {len(classes)} classes" if classes else "right class"
        words += [f"The tagger names the {of} for ", tag("strong", f"{accuracy:.1%}"), where]
        words.append(f" ({sure})." if sure else ".")
    if len(known) > 1:
        best, worst = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
        mean = sum(known.values()) / len(known)
        words += [" The mean AUC is ", tag("strong", f"{mean:.3f}"), f", from {known[worst]:.3f} for {drawn(worst)}"]
        words.append(f" to {known[best]:.3f} for {drawn(best)}.")
    if words:
        yield join(*words)


def _summary(record: Mapping[str, Any], metrics: Mapping[str, Any], summary: Summary | None) -> _Part:
    verdict = metrics.get("verdict") or {}
    kind, words = str(verdict.get("kind", "")), str(verdict.get("words", ""))
    badge = ""
    if words:
        # The words begin with the kind, but for many trainings.
        start = f"{kind}: "
        said = words[len(start) :] if words.lower().startswith(start.lower()) else words
        shown = tag("strong", kind.capitalize(), class_="badge") if said != words else ""
        badge = tag("p", shown, " " if shown else "", said[:1].upper() + said[1:], class_="verdict")
    cards = [
        tag("div", tag("dt", title), tag("dd", value, tag("small", small)))
        for title, value, small in (_cards(record, metrics) if summary is None else summary.cards)
    ]
    facts = [tag("div", tag("dt", title), tag("dd", *inside)) for title, *inside in _facts(record, metrics)]
    return _Part(
        "summary",
        "Summary",
        join(tag("dl", *cards, class_="cards"), badge, tag("dl", *facts, class_="facts") if facts else ""),
    )


def _cards(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    jets, cost = metrics.get("jets") or {}, record.get("cost") or {}
    if is_number(metrics.get("accuracy")):
        yield "Accuracy", f"{metrics['accuracy']:.1%}", _below(metrics, "accuracy", "{:.1%}")
    if (mean := mean_auc(metrics)) is not None:
        yield "Mean AUC", f"{mean:.4f}", f"over {len(metrics['classes'])} classes"
    if is_number(metrics.get("loss")):
        yield "Loss", f"{metrics['loss']:.4f}", _below(metrics, "loss", "{:.3f}") or "cross-entropy"
    error = find(metrics, "calibration", "expected_calibration_error")
    if is_number(error):
        yield "Calibration error", f"{error:.4f}", "expected, 0 is best"
    if jets:
        yield "Test jets", f"{sum(jets.values()):,}", f"of {len(jets)} classes"
    if is_number(cost.get("parameters")):
        flop = cost.get("flop_per_jet")
        yield "Parameters", number(cost["parameters"]), f"{number(flop)} FLOP a jet" if is_number(flop) else ""


def _below(metrics: Mapping[str, Any], key: str, form: str) -> str:
    return interval_words(metrics, key, form).removeprefix("68% interval ").removesuffix(" from training to training")


def _facts(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Which model, on which data, how sure, and where to read on."""
    yield "Model", model_words(record), tag("small", option_words(record))
    yield "Data", data_words(record)
    members = metrics.get("members") or {}
    if metrics.get("intervals") and members:
        spread = interval_words({"spread": metrics.get("spread")}, "accuracy", "{:.1%}")
        yield "How sure", "68% intervals" + (f"; the accuracy scatters by {spread}." if spread else ".")
    elif metrics.get("intervals"):
        sure = "68% intervals by bootstrap: what other samples of test jets as large as this one would have given."
        yield "How sure", f"{sure} The scatter from training to training is not in them."
    elif metrics.get("spread"):
        yield "How sure", f"The standard deviation over {len(members)} trainings."
    else:
        yield "How sure", "Not known: this run has neither intervals nor several trainings."
    yield "To repeat", tag("a", "The command, the options and the versions", href="#repeat"), " are at the end."


def _measured(record: Mapping[str, Any], metrics: Mapping[str, Any], scores: Scores | None) -> Iterator[_Part]:
    yield _Part("merit", "Figures of merit", merit_table(metrics))
    curves = roc_chart(scores) if scores is not None else Html()
    yield _Part("curves", "ROC curves", curves)
    classes = list(metrics.get("jets") or metrics.get("classes") or record.get("classes") or ())
    matrix = metrics.get("confusion")
    shown = confusion_table(matrix, classes) if matrix else ""
    yield _Part("confusion", "Confusion", join(shown, pair_table(metrics)))
    yield _Part("points", "Working points", working_points(metrics))
    yield _Part("calibration", "Calibration", _calibration(metrics, scores))


def _calibration(metrics: Mapping[str, Any], scores: Scores | None) -> Html:
    found = metrics.get("calibration") or {}
    before, after = found.get("expected_calibration_error"), found.get("expected_calibration_error_scaled")
    words = ""
    if is_number(before):
        words = f"The expected calibration error is {before:.4f}"
        if is_number(after) and is_number(found.get("temperature")):
            words += (
                f", and {after:.4f} with a temperature of {found['temperature']:.3f}, fitted on the validation part"
            )
        words += ". It is the mean distance between how sure the tagger is and how often it is right."
    shown = reliability_chart(reliability(scores)) if scores is not None else ""
    return join(tag("p", words) if words else "", shown)


def _trained(metrics: Mapping[str, Any], history: Sequence[Epoch]) -> Iterator[_Part]:
    words = ""
    if metrics.get("members"):
        words = tag("p", "The history is that of the training with the lowest validation loss.")
    yield _Part("members", "Trainings", member_table(metrics))
    yield _Part("history", "History", join(words, history_charts(history)) if history else Html())


def _further(section: Section, index: int) -> _Part:
    parts = [tag("p", section.words)] if section.words else []
    key = f"section-{index}"
    pictures = [_figure(picture, f"{key}-picture-{i}") for i, picture in enumerate(section.pictures, 1)]
    parts += [tag("div", *pictures, class_="pictures")] if pictures else []
    return _Part(key, section.title, join(*parts, *map(plain_table, section.tables)))


def _figure(picture: Picture, key: str) -> Html:
    if picture.png[:8] != _PNG or len(picture.png) < 24:
        raise InputError(f"picture {picture.caption!r}: expected the bytes of a PNG file, found {picture.png[:8]!r}")
    width, height = struct.unpack(">II", picture.png[16:24])
    text = base64.b64encode(picture.png).decode("ascii")
    image = tag("img", src=f"data:image/png;base64,{text}", alt=picture.alt, width=width, height=height)
    return tag(
        "figure",
        image,
        tag("figcaption", picture.caption, id=key),
        aria_labelledby=key,
        class_="wide" if picture.wide else None,
    )


def legible(tone: str, paper: str, contrast: float = 3.0) -> str:
    """A colour, made darker or lighter until it stands out.

    Args:
      tone: such as "#ffa90e".
      paper: the colour below it.
      contrast: the ratio of luminances that is needed; 3 is the least for graphics (WCAG 2.2, criterion 1.4.11).

    Returns:
      The colour.

    >>> legible("#832db6", "#ffffff"), legible("#ffa90e", "#ffffff")
    ('#832db6', '#c9860b')
    """
    rgb = [int(tone[i : i + 2], 16) for i in (1, 3, 5)]
    end = 0 if luminance(paper) > 0.18 else 255
    for step in range(101):
        mixed = "#" + "".join(f"{round(x + (end - x) * step / 100):02x}" for x in rgb)
        light, dark = sorted((luminance(mixed), luminance(paper)), reverse=True)
        if (light + 0.05) / (dark + 0.05) >= contrast:
            break
    return mixed


def luminance(tone: str) -> float:
    """The relative luminance of a colour, as WCAG 2.2 has it.

    >>> luminance("#000000"), luminance("#ffffff")
    (0.0, 1.0)
    """
    parts = [int(tone[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _palette() -> Html:
    """The colours of lines in the light and in the dark."""
    light, dark = (
        "".join([f"--paper:{paper};", *(f"--look{i}:{legible(colour(i), paper)};" for i in range(10))])
        for paper in PAPER
    )
    looks = "".join(f".look{i}{{--look:var(--look{i})}}" for i in range(10))
    return Html(
        f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}"
        f"@media screen{{:root[data-theme=dark]{{{dark}}}}}{looks}"
    )


def _asset(name: str) -> str:
    return resources.files("hepjax.report").joinpath(name).read_text(encoding="utf-8")
