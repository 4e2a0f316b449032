"""What a person sees while it runs: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import TaskID


@contextlib.contextmanager
def progress_bar(console: Console, what: str, total: int | None, unit: str) -> Iterator[Callable[..., None]]:
    """A live bar on a terminal; without one, nothing.

    Args:
      console: where to.
      what: is being done.
      total: how much there is to do; None where unknown.
      unit: what is counted.

    Yields:
      The function (number newly done, words to show beside the bar).
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total, words="")

        def advance_bar(done: int, words: str = "") -> None:
            bar.update(task, advance=done, words=words)

        yield advance_bar


@contextlib.contextmanager
def transfer_bar(console: Console) -> Iterator[Callable[[str, int, int | None], None]]:
    """A live bar for bytes, one for each thing that is transferred; without a terminal, a line when each begins.

    Args:
      console: where to.

    Yields:
      The function (what is being done, bytes done, bytes in all or None).
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:

        def show_bytes(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
                if not console.is_terminal:
                    console.print(what)
            bar.update(tasks[what], completed=done, total=total)

        yield show_bytes
