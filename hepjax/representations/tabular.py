"""Jets as a table of named observables."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import numpy as np

from hepjax import schema
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.types import Jets


def tabular(jets: Jets, features: Sequence[str] = schema.STANDARD_FEATURES, *, rows: slice = slice(None)) -> np.ndarray:
    """Picks jet observables by name.

    Args:
      jets: the jets; lazy ones are read.
      features: F names of `jets.observable_names`; the default is the 16 standard features of arXiv:1804.06913.
      rows: which N jets; the default is all. A part of lazy jets costs the memory of that part.

    Returns:
      (N, F) float32, in the order of `features` and in the observables' own units (GeV for pt, masses, N-subjettiness).

    Raises:
      InputError: the jets lack a feature, or one is named twice.

    >>> import hepjax
    >>> tabular(hepjax.read_jets()[:2], ["j_pt", "j_mass_mmdt"]).shape
    (2, 2)
    """
    names = jets.observable_names
    for name in features:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(names)}"
            raise InputError(f"features: the jets have no observable {name}{hint}")
    if len(set(features)) < len(features) or not features:
        raise InputError(f"features: expected one or more different names, found {', '.join(features) or 'none'}")
    return np.asarray(jets.observables[rows])[:, [names.index(name) for name in features]]
