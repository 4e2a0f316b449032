"""The log of a run."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def log_to_handler(handler: logging.Handler) -> Iterator[None]:
    """Gives what hepjax logs to one more handler inside a `with`.

    Args:
      handler: where to; it is closed at the end.

    Yields:
      Nothing.
    """
    log = logging.getLogger("hepjax")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
