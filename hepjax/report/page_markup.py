"""HTML as values: text is escaped wherever it is put in, and numbers look alike on the whole page."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MISSING = "–"  # noqa: RUF001 -- the dash a table shows for a number that does not exist

_EMPTY = {"br", "img", "input", "link", "meta"}  # elements without an end


class Html(str):
    """Text that is HTML already; any other text is escaped where it is put in."""

    __slots__ = ()


class Table(NamedTuple):
    """A table for the page.

    A cell is text; a number; None, shown as a dash; or a number with the ends of its interval, (value, low, high).
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """The first cell of each names its row."""
    note: str = ""


def join(*parts: Any) -> Html:
    """Parts one after another; what is no `Html` is escaped.

    >>> join(Html("<b>a</b>"), "<b>")
    '<b>a</b>&lt;b&gt;'
    """
    return Html("".join(part if isinstance(part, Html) else html.escape(str(part)) for part in parts))


def tag(name: str, /, *inside: Any, **attributes: Any) -> Html:
    """An element.

    Args:
      name: of the element.
      inside: what is in it; what is no `Html` is escaped.
      attributes: their names with `_` for `-`, and a last `_` where Python has the word itself; None and False are left
        out, True has no value.

    Returns:
      The element.

    >>> tag("a", "x < y", href="?a&b", class_="far", hidden=True, title=None)
    '<a href="?a&amp;b" class="far" hidden>x &lt; y</a>'
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None and value is not False:
            word = key.rstrip("_").replace("_", "-")
            words.append(word if value is True else f'{word}="{html.escape(str(value))}"')
    return Html(f"<{' '.join(words)}>" + ("" if name in _EMPTY else f"{join(*inside)}</{name}>"))


def data(value: Any, /, **attributes: Any) -> Html:
    r"""A value for the page's script: JSON that cannot end its own element.

    >>> data(["</script>"], class_="readings")
    '<script type="application/json" class="readings">["\\u003c/script>"]</script>'
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return tag("script", Html(text), type="application/json", **attributes)


def find(tree: Any, *keys: str) -> Any:
    """What lies in nested mappings, or None where any key is missing.

    >>> find({"a": {"b": 1}}, "a", "b"), find({"a": None}, "a", "b")
    (1, None)
    """
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_interval(value: Any) -> bool:
    """Whether a value is the two ends of an interval."""
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))


def number(value: Any, form: str = "{:.4g}") -> str:
    """A number for people; a dash where there is none, and anything else as it is.

    >>> number(0.25), number(1234567), number(None), number(float("nan")), number("a")
    ('0.25', '1,234,567', '–', '–', 'a')
    """
    if is_number(value):
        return f"{value:,}" if isinstance(value, int) else form.format(value)
    return MISSING if value is None or isinstance(value, float) else str(value)


def span(interval: Sequence[float], form: str = "{:.4g}") -> str:
    """The ends of an interval.

    >>> span((0.5, 0.75), "{:.2f}")
    '0.50 to 0.75'
    """
    return " to ".join(form.format(end) for end in interval)


def measured(value: Any, form: str, interval: Any = None, spread: Any = None, bound: Any = None) -> Html:
    """A table's cell with a number and, below, how sure it is.

    Args:
      value: the number, or None.
      form: how numbers are written.
      interval: [low, high], or None.
      spread: a standard deviation, shown where there is no interval.
      bound: a lower bound, shown where there is no number.

    Returns:
      The cell; what it is sorted by is in `data-value`.

    >>> measured(0.5, "{:.2f}", [0.4, 0.7])
    '<td data-value="0.5">0.50<small>0.40 to 0.70</small></td>'
    >>> measured(None, "{:.0f}", bound=75.4)
    '<td data-value="75.4">&gt; 75<small>95% C.L.</small></td>'
    """
    below: Any = ""
    if value is None and is_number(bound):
        value, text, below = bound, f"> {form.format(bound)}", "95% C.L."
    else:
        text = number(value, form)
        if is_number(value) and is_interval(interval):
            below = span(interval, form)
        elif is_number(value) and is_number(spread):
            below = f"± {form.format(spread)}"
    key = f"{value!r}" if is_number(value) else ""
    return tag("td", text, tag("small", below) if below else "", data_value=key)


def plain_table(table: Table) -> Html:
    """A table that sorts; wide ones scroll by themselves.

    >>> "<caption>Jets</caption>" in plain_table(Table("Jets", ("class", "jets"), (("q", 10), ("t", None))))
    True
    """
    head = tag("tr", *(column_head(title, i) for i, title in enumerate(table.columns)))
    rows = [tag("tr", row_head(row[0]), *map(_cell, row[1:])) for row in table.rows if row]
    return whole_table(table.caption, [head], rows, note=table.note)


def column_head(title: Any, column: int | None = None, /, **attributes: Any) -> Html:
    """The head of a column; the page's script sorts by those that have a number."""
    return tag("th", title, scope="col", data_column=column, **attributes)


def row_head(title: Any) -> Html:
    """The head of a row."""
    return tag("th", number(title), scope="row", data_value=title if is_number(title) else None)


def whole_table(
    caption: str, head: Iterable[Html], rows: Iterable[Html], *, kind: str = "sortable", note: Any = ""
) -> Html:
    """A table with its caption, in a frame that scrolls, and a note below."""
    body = (tag("caption", caption), tag("thead", *head), tag("tbody", *rows))
    frame = tag(
        "div", tag("table", *body, class_=kind), class_="scroll", tabindex="0", role="region", aria_label=caption
    )
    return join(frame, tag("p", note, class_="note") if note else "")


def _cell(value: Any) -> Html:
    if isinstance(value, tuple) and len(value) == 3:
        return measured(value[0], "{:.4g}", value[1:])
    text = isinstance(value, str)
    return tag("td", number(value), class_="text" if text else None, data_value=_key(value))


def _key(value: Any) -> str | None:
    """What a cell is sorted by, if not by its text."""
    if isinstance(value, str):
        return None
    return repr(value) if is_number(value) else ""
