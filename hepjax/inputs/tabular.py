"""Jets as a table of named observables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax.data import with_columns
from hepjax.data.angles import wrap_in_memory
from hepjax.data.validation import check_jets, check_values
from hepjax.inputs.column_names import observable_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.types import Jets


def tabular(jets: Jets, features: Sequence[str] | None = None, *, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
    """Picks jet observables by name.

    Args:
      jets: the jets; lazy ones are read.
      features: F names of `jets.observable_names`, or of their roles; None is those that the jets' dataset names: of
        the public jets the 16 standard features of arXiv:1804.06913.
      rows: which N jets; the default is all. A part of lazy jets costs the memory of that part.

    Returns:
      (N, F) float32, in the order of `features` and in the observables' own units.

    Raises:
      InputError: the jets lack a feature, or one is named twice; or jets in memory are not valid.

    >>> import hepjax
    >>> tabular(hepjax.read_jets(), ["j_pt", "j_mass_mmdt"], rows=np.array([7, 0, 3])).shape
    (3, 2)
    """
    check_jets(jets)
    names = jets.dataset.features if features is None else features
    places = observable_places(names, jets.dataset, "features")
    narrow = with_columns(jets, (), [jets.observable_names[place] for place in places])
    observables = np.asarray(narrow.observables[rows])
    check_values(narrow, "observables", observables)
    observables = wrap_in_memory(observables, narrow.observable_names, narrow.dataset.roles, of_jets=True)
    return observables[:, observable_places(names, narrow.dataset, "features")]
