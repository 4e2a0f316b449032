"""Standard output that lacks letters, is closed, or is no longer read."""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN = {
    "±": "+-", "−": "-", "–": "-", "—": "-", "…": "...", "→": "->", "←": "<-", "×": "x", "·": "*",  # noqa: RUF001
    "≤": "<=", "≥": ">=", "≈": "~", "∞": "inf", "²": "^2", "³": "^3", "°": " deg", "√": "sqrt", "•": "*",
    "“": '"', "”": '"', "’": "'",  # noqa: RUF001
}  # fmt: skip
_FALLBACK = "hepjax-plain"
_LEVEL_OF_JAX = "1"
"""The level of the compiler's messages that jax chooses where nobody has."""


def prepare() -> None:
    """Makes standard output and standard error accept any text; they write in plain letters what they cannot encode.

    Where one of them is closed, what is written to it is lost, and no file takes its place.
    """
    codecs.register_error(_FALLBACK, _encode_plainly)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # It gets the lowest free descriptor, which is that of the closed stream.
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: PTH123, SIM115 — for good
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors=_FALLBACK)


def prepare_environment() -> None:
    """Sets what jax and matplotlib look at when they are imported; to be called before.

    XLA takes hints to the compiler in a cached program for features that the processor lacks, and complains of each.
    A level of 1 may come from a process that has imported jax, which sets it, and has started this one, such as a
    notebook with `!hepjax train`; other levels are the user's. A notebook also hands on the backend that draws in it,
    which this process may not have and does not need.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", _LEVEL_OF_JAX) == _LEVEL_OF_JAX:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["MPLBACKEND"] = "agg"


def plain(text: str) -> str:
    r"""Writes a text in ASCII.

    >>> plain("η = 0.5 ± 0.1, ╭─╮ │ é")
    'eta = 0.5 +- 0.1, +-+ | \\xe9'
    """
    return "".join(map(_plain_letter, text))


def make_console() -> Console:
    """Makes the console that commands print on; they go on with their work when it is no longer read."""
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            forget_output()

    return Patient(highlight=False, markup=False)


class Lines(logging.StreamHandler[TextIO]):
    """A log handler that writes to standard output; the work goes on without it when it is no longer read."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 — logging's name
        """Raises the error of a line that could not be written, unless its pipe is closed."""
        error = sys.exc_info()[1]
        if isinstance(error, BrokenPipeError):
            forget_output()
        elif error is not None:
            raise error


def forget_output() -> None:
    """Discards what a closed pipe or a full disk did not take, so that it does not fail again at the exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(message: str) -> None:
    """Writes a line on standard error, if there is one.

    Args:
      message: the line.
    """
    forget_output()
    try:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _encode_plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


def _plain_letter(letter: str) -> str:
    if letter.isascii():
        return letter
    if letter in _PLAIN:
        return _PLAIN[letter]
    name = unicodedata.name(letter, "")
    if name.startswith("GREEK SMALL LETTER "):
        return name.split()[3].lower()
    if name.startswith("GREEK CAPITAL LETTER "):
        return name.split()[3].capitalize()
    if name.startswith(("BOX DRAWINGS", "BLOCK")):
        straight = {"BOX DRAWINGS LIGHT HORIZONTAL": "-", "BOX DRAWINGS LIGHT VERTICAL": "|"}
        horizontal = name.endswith("HORIZONTAL") and "AND" not in name
        return straight.get(name, "-" if horizontal else "+")
    return ascii(letter)[1:-1]
