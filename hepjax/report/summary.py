"""What stands first on the page of a run that is no classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Summary(NamedTuple):
    """Sentences and numbers at the top of a page."""

    sentences: Sequence[tuple[str, str, str]] = ()
    """Of each the text before a number, the number, and the text after it."""
    cards: Sequence[tuple[str, str, str]] = ()
    """Numbers that stand first: title, number, and a smaller line below it."""
