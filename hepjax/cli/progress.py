"""What a person sees while it runs: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import TaskID

EVERY = 30.0
"""Seconds between the lines that take the place of a bar where there is no terminal."""


@contextlib.contextmanager
def progress_bar(
    console: Console, what: str, total: int | None, unit: str, *, logged: bool = False
) -> Iterator[Callable[..., None]]:
    """A live bar on a terminal; without one, a line every half a minute or so.

    Args:
      console: where to.
      what: is being done.
      total: how much there is to do; None where unknown.
      unit: what is counted.
      logged: leave the lines out, for the log tells the progress.

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
    done, due = 0, every_so_often()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total, words="")

        def advance_bar(new: int, words: str = "") -> None:
            nonlocal done
            done += new
            bar.update(task, advance=new, words=words)
            if not console.is_terminal and not logged and due():
                of = "" if total is None else f" of {total:,}"
                console.print(f"{what}: {done:,}{of} {unit}{', ' if words else ''}{words}", soft_wrap=True)

        yield advance_bar


def every_so_often() -> Callable[[], bool]:
    """Makes a function that returns True when `EVERY` seconds have passed since it last did, or since it was made."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last < EVERY:
            return False
        last = now
        return True

    return due


@contextlib.contextmanager
def transfer_bar(console: Console) -> Iterator[Callable[[str, int, int | None], None]]:
    """A live bar for bytes, one for each thing that is transferred; without a terminal, a line now and then.

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
    due = every_so_often()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:

        def show_bytes(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
                if not console.is_terminal:
                    console.print(what)
            elif not console.is_terminal and due():
                of = "" if total is None else f" of {total / 1e6:,.0f}"
                console.print(f"{what}: {done / 1e6:,.0f}{of} MB", soft_wrap=True)
            bar.update(tasks[what], completed=done, total=total)

        yield show_bytes
