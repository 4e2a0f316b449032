"""What is said first of a run that is no classification: at the top of its page, and in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table


class Summary(NamedTuple):
    """Sentences and numbers at the top of a page."""

    sentences: Sequence[tuple[str, str, str]] = ()
    """Of each the text before a number, the number, and the text after it."""
    cards: Sequence[tuple[str, str, str]] = ()
    """Numbers that stand first: title, number, and a smaller line below it."""


def figures_table(metrics: Mapping[str, Any]) -> Table:
    """Lists the numbers of the first level of metrics, as a rich table.

    Args:
      metrics: what metrics.json holds.

    Returns:
      A table with a row for each number: the number, and half of its 68 % interval where there is one.

    >>> figures_table({"loss": 0.5, "intervals": {"loss": [0.4, 0.6]}, "verdict": {}}).row_count
    1
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Figure of merit")
    table.add_column("Value", justify="right", no_wrap=True)
    intervals = metrics.get("intervals") or {}
    for name, value in metrics.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            near = intervals.get(name)
            half = f" ± {(near[1] - near[0]) / 2:.2g}" if near else ""
            table.add_row(name.replace("_", " "), f"{value:.4g}{half}")
    return table
