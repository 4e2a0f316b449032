"""Names of columns to their places, with help for misspelt ones."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


def places(wanted: Sequence[str], there: Sequence[str], what: str) -> list[int]:
    """Where the wanted columns are.

    Args:
      wanted: one or more different names.
      there: the names that there are.
      what: the argument that holds the wanted names, for messages.

    Returns:
      The place of each wanted name in `there`.

    Raises:
      InputError: for no name, an unknown one, or one named twice.

    >>> places(["j1_pt", "j1_e"], ("j1_e", "j1_eta", "j1_pt"), "columns")
    [2, 0]
    """
    if isinstance(wanted, str):
        raise InputError(f"{what}: expected a list of names, found the text {wanted!r}; write [{wanted!r}]")
    for name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(there)}"
            raise InputError(f"{what}: the jets have no {name}; {hint}")
    if len(set(wanted)) < len(wanted) or not wanted:
        raise InputError(f"{what}: expected one or more different names, found {', '.join(wanted) or 'none'}")
    return [there.index(name) for name in wanted]
