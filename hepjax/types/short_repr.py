"""How structures are shown in a notebook or a traceback: their names and shapes, in five lines at most."""

from __future__ import annotations

import dataclasses
import enum
import html
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

_LINES, _WIDTH = 5, 120
_WORD = 60
"""The most letters of a value that is shown as it is."""
_FEW = 4
"""The most numbers of an array, and names in a tuple, that are shown."""


def short_repr(record: Any, *, defaults: bool = False) -> str:
    """Shows a structure by what is in it, arrays by dtype and shape.

    Args:
      record: a named tuple or a dataclass.
      defaults: whether fields that have their defaults are shown, too, but for those that are None.

    Returns:
      Five lines or fewer.

    >>> from hepjax.types import Scores
    >>> Scores(scores=memoryview(bytes(8)), labels=None, weights=None, classes=("g", "q", "w", "z", "t"))
    Scores(scores=memoryview, labels=None, weights=None, classes=('g', 'q', 'w', 'z', …: 5))
    """
    fields = ", ".join(f"{name}={_shown(value)}" for name, value in _fields_to_show(record, defaults=defaults))
    lines = textwrap.wrap(f"{type(record).__name__}({fields})", _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join([*lines[: _LINES - 1], f"{lines[_LINES - 1][: _WIDTH - 4]} …)"] if len(lines) > _LINES else lines)


def table_html(title: str, rows: Mapping[str, object]) -> str:
    """Shows a few facts as a table in a notebook.

    Args:
      title: above the table.
      rows: name of a row → what stands in it; both are escaped.

    >>> table_html("2 jets", {"classes": "g, q"})
    '<b>2 jets</b><table><tr><th>classes</th><td>g, q</td></tr></table>'
    """
    cells = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<b>{html.escape(title)}</b><table>{''.join(cells)}</table>"


def some_names(names: Iterable[str], most: int = 10) -> str:
    """Lists the first names, and says where there are more.

    >>> some_names(["a", "b", "c"], most=2)
    'a, b, …'
    """
    listed = list(names)
    return ", ".join(listed[:most]) + ", …" * (len(listed) > most)


def _fields_to_show(record: Any, *, defaults: bool) -> Iterable[tuple[str, Any]]:
    if hasattr(record, "_fields"):
        names, known = record._fields, record._field_defaults
    else:
        fields = [field for field in dataclasses.fields(record) if field.repr]
        names = [field.name for field in fields]
        known = {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}
        known |= {field.name: {} for field in fields if field.default_factory is dict}
    for name in names:
        value = getattr(record, name)
        if name not in known or (defaults and value is not None) or not _same(value, known[name]):
            yield name, value


def _same(value: Any, default: Any) -> bool:
    """Whether a value is the default; arrays, which compare in elements, are not."""
    return value is default or (type(value) is type(default) and not hasattr(value, "shape") and bool(value == default))


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        small = type(value).__module__ == "numpy" and value.size <= _FEW
        return repr(value) if small else f"{value.dtype} {tuple(value.shape)}"
    if value is None or isinstance(value, bool | int | float | str):
        words = repr(value)
        return words if len(words) <= _WORD else f"{words[: _WORD - 2]}…{words[-1]}"
    if hasattr(value, "_fields") or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        name = getattr(value, "name", None)
        return f"{type(value).__name__}({repr(name) if isinstance(name, str) else '…'})"
    if isinstance(value, Mapping):
        return _shown_mapping(value)
    if isinstance(value, list | tuple):
        inner = [_shown(each) for each in value[:_FEW]]
        more = [f"…: {len(value)}"] if len(value) > _FEW else [""] * (len(value) == 1)
        return f"({', '.join([*inner, *more]).rstrip()})"
    return _shown_object(value)


def _shown_object(value: Any) -> str:
    """A choice by its name, a path as it is, a function by its name, and anything else by its class."""
    if isinstance(value, enum.Enum):
        return repr(value.value)
    if hasattr(value, "__fspath__"):
        return str(value)
    return str(getattr(value, "__qualname__", type(value).__name__))


def _shown_mapping(value: Mapping[Any, Any]) -> str:
    arrays, numbers = _count_arrays(value)
    if arrays:
        return f"{{{some_names(map(str, value), _FEW)}: {arrays} arrays of {numbers:,} numbers}}"
    return f"{{{some_names((str(getattr(name, 'value', name)) for name in value), _FEW)}}}"


def _count_arrays(tree: Any) -> tuple[int, int]:
    """The arrays in nested dicts and tuples, and their numbers."""
    if hasattr(tree, "shape") and hasattr(tree, "dtype"):
        return 1, int(getattr(tree, "size", 0))
    inside = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list | tuple) else ()
    counts = [_count_arrays(each) for each in inside]
    return sum(count for count, _ in counts), sum(count for _, count in counts)
