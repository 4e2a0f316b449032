"""The tables of the page: figures of merit by class, confusion, pairs of classes, working points, members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax.report.names import drawn
from hepjax.report.page_markup import (
    MISSING,
    Html,
    column_head,
    find,
    is_interval,
    is_number,
    join,
    measured,
    number,
    row_head,
    span,
    tag,
    whole_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_GROUPS = (
    (None, (("auc", "AUC", "{:.4f}", "area under the ROC curve"),)),
    (
        "Signal efficiency at background efficiency",
        (
            ("tpr_at_fpr_0.1", "10%", "{:.3f}", "signal efficiency at a background efficiency of 10%"),
            ("tpr_at_fpr_0.01", "1%", "{:.3f}", "signal efficiency at a background efficiency of 1%"),
        ),
    ),
    (
        "Background rejection at signal efficiency",
        (
            ("background_rejection_at_0.3", "30%", "{:,.1f}", "background rejection at a signal efficiency of 30%"),
            ("background_rejection_at_0.5", "50%", "{:,.1f}", "background rejection at a signal efficiency of 50%"),
            ("background_rejection_at_0.8", "80%", "{:,.1f}", "background rejection at a signal efficiency of 80%"),
        ),
    ),
    (None, (("max_significance_improvement", "Best gain", "{:.2f}", "largest gain in significance"),)),
)


def how_sure(metrics: Mapping[str, Any]) -> str:
    """What the second number of a cell is.

    >>> how_sure({"intervals": {"accuracy": [0.6, 0.7]}})
    'Below each number: its 68% interval.'
    """
    if metrics.get("intervals"):
        return "Below each number: its 68% interval."
    if metrics.get("spread"):
        return f"Below each number: the standard deviation over {len(metrics.get('members') or ()) or 'the'} trainings."
    return "How sure these numbers are is not known: no intervals were computed for this run."


def merit_table(metrics: Mapping[str, Any]) -> Html:
    """The figures of merit of each class against all others, each with how sure it is.

    Args:
      metrics: what is in metrics.json.

    Returns:
      A table that sorts, and notes below it; empty without classes.
    """
    classes: Mapping[str, Any] = metrics.get("classes") or {}
    if not classes:
        return Html()
    there = {key for found in classes.values() for key in found or {}}
    groups = [(title, [column for column in columns if column[0] in there]) for title, columns in _GROUPS]
    groups = [(title, columns) for title, columns in groups if columns]
    counts = [
        (key, title) for key, title in (("jets", "Jets"), ("effective_jets", "Effective jets")) if _told(metrics, key)
    ]
    rows = [tag("tr", *_merits(metrics, name, counts, groups)) for name in classes]
    head = _merit_head([title for _, title in counts], groups)
    return whole_table("Each class against all others", head, rows, note=_merit_note(metrics, there))


def confusion_table(matrix: Sequence[Sequence[float]], classes: Sequence[str]) -> Html:
    """The confusion matrix in percent of the true class, with the jets below.

    Args:
      matrix: weighted counts, [true][predicted].
      classes: their names.

    Returns:
      A table, coloured by percent.
    """
    names = [drawn(name) for name in classes]
    head = _matrix_head("True class", "Predicted class", names)
    rows = []
    for name, counts in zip(names, matrix, strict=False):
        total = sum(filter(is_number, counts))
        cells = [_share(count, total, name, other) for count, other in zip(counts, names, strict=False)]
        rows.append(tag("tr", row_head(name), *cells))
    note = (
        "Percent of the jets of the true class; below, the sum of their weights, which is their number without weights."
    )
    return whole_table("Which class the tagger names, for jets of each class", head, rows, kind="matrix", note=note)


def pair_table(metrics: Mapping[str, Any]) -> Html:
    """The AUC of each class against each other one.

    Args:
      metrics: what is in metrics.json.

    Returns:
      A table, coloured by how well the two are told apart; empty where metrics have none.
    """
    pairs: Mapping[str, Any] = metrics.get("pairwise_auc") or {}
    if not pairs:
        return Html()
    rows = []
    for a in pairs:
        cells = []
        for b in pairs:
            value, where = find(pairs, a, b), ("pairwise_auc", a, b)
            cell = measured(value, "{:.3f}", find(metrics, "intervals", *where), find(metrics, "spread", *where))
            heat = min(max(2 * value - 1, 0), 1) ** 2 if is_number(value) else 0
            cells.append(Html(cell.replace("<td", f'<td style="--heat-share:{heat:.3f}"', 1)))
        rows.append(tag("tr", row_head(drawn(a)), *cells))
    head = _matrix_head("Class", "Against class", [drawn(name) for name in pairs])
    note = f"From the jets of the two classes only; 0.5 is a guess, 1 never confuses them. {how_sure(metrics)}"
    return whole_table("AUC of each pair of classes", head, rows, kind="matrix", note=note)


def working_points(metrics: Mapping[str, Any]) -> Html:
    """Where to cut on each class's score, and what is left then.

    Args:
      metrics: what is in metrics.json.

    Returns:
      A table that sorts; empty where metrics have none.
    """
    points: Mapping[str, Any] = metrics.get("working_points") or {}
    rows = [
        tag("tr", row_head(drawn(name)), *_working_point(point)) for name, found in points.items() for point in found
    ]
    if not rows:
        return Html()
    titles = ("Class", "Wanted", "Threshold on its score", "Signal efficiency", "Mistag rate")
    kinds = (None, "text", None, None, None)
    head = tag(
        "tr", *(column_head(title, i, class_=kind) for i, (title, kind) in enumerate(zip(titles, kinds, strict=True)))
    )
    note = (
        "A jet is tagged if its score for the class is at or above the threshold. With each number: its 68% interval. "
        "A dash: too few jets to tell."
    )
    return whole_table("Thresholds, and what passes them", [head], rows, kind="sortable inline", note=note)


def member_table(metrics: Mapping[str, Any]) -> Html:
    """The trainings that a run of many consists of.

    Args:
      metrics: what is in metrics.json.

    Returns:
      A table that sorts; empty for a single training.
    """
    members: Mapping[str, Any] = metrics.get("members") or {}
    if not members:
        return Html()
    columns = (("accuracy", "{:.4f}"), ("loss", "{:.4f}"), ("best_epoch", "{:d}"))
    rows = [
        tag(
            "tr",
            row_head(name),
            *(measured(find(found, key), form, find(found, "intervals", key)) for key, form in columns[:2]),
            measured(mean_auc(found), "{:.4f}"),
            *(measured(find(found, key), form) for key, form in columns[2:]),
        )
        for name, found in members.items()
    ]
    titles = ("Training", "Accuracy", "Loss", "Mean AUC", "Best epoch")
    head = tag("tr", *(column_head(title, i) for i, title in enumerate(titles)))
    return whole_table(f"The {len(members)} trainings of this run", [head], rows)


def mean_auc(metrics: Mapping[str, Any]) -> float | None:
    """The mean AUC of all classes; None where one has none.

    >>> mean_auc({"classes": {"q": {"auc": 0.75}, "t": {"auc": 0.25}}})
    0.5
    """
    found = [find(value, "auc") for value in (metrics.get("classes") or {}).values()]
    return sum(found) / len(found) if found and all(map(is_number, found)) else None


def _told(metrics: Mapping[str, Any], key: str) -> bool:
    """Effective numbers of jets are shown where weights make them differ."""
    found = metrics.get(key) or {}
    jets = metrics.get("jets") or {}
    alike = all(is_number(x) and is_number(jets.get(name)) and abs(x - jets[name]) < 0.5 for name, x in found.items())
    return bool(found) and (found is jets or not alike)


def _merits(
    metrics: Mapping[str, Any],
    name: str,
    counts: Sequence[tuple[str, str]],
    groups: Sequence[tuple[str | None, Sequence[tuple[str, str, str, str]]]],
) -> Iterator[Html]:
    yield row_head(drawn(name))
    for key, _ in counts:
        yield measured(find(metrics, key, name), "{:,.0f}")
    for _, columns in groups:
        for key, _, form, _ in columns:
            where = ("classes", name, key)
            known = (find(metrics, "intervals", *where), find(metrics, "spread", *where))
            bound = find(metrics, "bounds", name, key)
            yield measured(find(metrics, *where), form, *known, bound)


def _merit_head(
    counts: Sequence[str], groups: Sequence[tuple[str | None, Sequence[tuple[str, str, str, str]]]]
) -> list[Html]:
    """Two rows: titles of groups of columns, and below them the columns'."""
    upper = [column_head("Class", 0, rowspan=2)]
    upper += [column_head(title, i, rowspan=2, class_="number") for i, title in enumerate(counts, 1)]
    lower: list[Html] = []
    column = len(upper)
    for title, columns in groups:
        if title is not None:
            upper.append(tag("th", title, scope="colgroup", colspan=len(columns), class_="group"))
        for _, short, _, whole in columns:
            where = upper if title is None else lower
            where.append(
                column_head(short, column, rowspan=2 if title is None else None, class_="number", data_name=whole)
            )
            column += 1
    return [tag("tr", *upper), tag("tr", *lower)] if lower else [tag("tr", *upper)]


def _merit_note(metrics: Mapping[str, Any], there: set[str]) -> Html:
    words = [how_sure(metrics)]
    if any(is_number(bound) for found in (metrics.get("bounds") or {}).values() for bound in (found or {}).values()):
        words.append(
            "A rejection with “>” is a lower bound at 95% confidence: fewer than ten background jets pass that cut, "
            "too few to quote a number."
        )
    dashes = (
        value is None and find(metrics, "bounds", name, key) is None
        for name, found in metrics["classes"].items()
        for key, value in (found or {}).items()
    )
    if any(dashes):
        words.append("A dash: too few jets to say anything.")
    if any(key.startswith("background_rejection") for key in there):
        words.append("Background rejection is one over the background efficiency.")
    if "max_significance_improvement" in there:
        words.append(
            "The best gain in significance is the largest signal efficiency over the root of background efficiency."
        )
    return join(" ".join(words))


def _matrix_head(rows: str, columns: str, names: Sequence[str]) -> list[Html]:
    corner = tag("th", rows, scope="col", rowspan=2)
    return [
        tag("tr", corner, tag("th", columns, scope="colgroup", colspan=len(names), class_="group")),
        tag("tr", *(tag("th", name, scope="col") for name in names)),
    ]


def _share(count: Any, total: float, name: str, other: str) -> Html:
    if not is_number(count) or not total > 0:
        return tag("td", MISSING)
    part, jets = count / total, number(int(count) if count == int(count) else count, "{:,.1f}")
    words = f"{jets} of {total:,.6g} {name} jets are called {other}"
    style = f"--heat-share:{part:.3f}"
    return tag("td", f"{100 * part:.1f}", tag("small", jets), style=style, title=words)


def _working_point(point: Mapping[str, Any]) -> Iterator[Html]:
    wanted = ((f"wanted_{key}", key.replace("_", " ")) for key in ("efficiency", "mistag_rate"))
    words = [f"{text} {number(point[key], '{:g}')}" for key, text in wanted if point.get(key) is not None]
    yield tag("td", ", ".join(words) or MISSING, class_="text")
    for key, ends, form in (
        ("threshold", "threshold_interval", "{:.4f}"),
        ("efficiency", "efficiency_interval", "{:.3f}"),
        ("mistag_rate", "mistag_interval", "{:.4f}"),
    ):
        yield measured(find(point, key), form, find(point, ends))


def interval_words(metrics: Mapping[str, Any], key: str, form: str) -> str:
    """How sure a figure of merit is, in words; empty where that is not known.

    >>> interval_words({"intervals": {"loss": [0.5, 0.75]}}, "loss", "{:.2f}")
    '68% interval 0.50 to 0.75'
    """
    interval, spread = find(metrics, "intervals", key), find(metrics, "spread", key)
    if is_interval(interval):
        return f"68% interval {span(interval, form)}"
    return f"± {form.format(spread)} from training to training" if is_number(spread) else ""
