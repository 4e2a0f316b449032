"""The command line."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
