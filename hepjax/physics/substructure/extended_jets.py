"""Jets with the 53 observables added to their own columns, in memory and from file to file."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hepjax.data.atomic_hdf5 import SUFFIXES, check_new_hdf5_path
from hepjax.data.datasets import hls4ml
from hepjax.data.lazy_jets import with_images
from hepjax.data.writing import ROWS, write_blocks
from hepjax.errors import InputError
from hepjax.physics.substructure.jets import from_jets
from hepjax.registry import similar_names_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hepjax.types import Dataset, Jets

log = logging.getLogger("hepjax")


def with_observables(jets: Jets, names: Sequence[str] | None = None, show: Callable[[int], None] | None = None) -> Jets:
    """Adds observables to the columns of jets.

    They are of the particles that the jets hold. `j_ptfrac` is 1: it compares with particles that were removed.

    Args:
      jets: N jets of any dataset with four-momenta, in GeV; lazy ones are read into memory.
      names: some of `hepjax.data.datasets.hls4ml.OBSERVABLE_COLUMNS`, such as `j_mass`; None is all that the jets lack.
      show: called with the number of jets newly done.

    Returns:
      The jets with further columns, all else as it was; the columns have the roles that no other has.

    Raises:
      InputError: a name is none of these, or that of a column; there is nothing to add; or the jets have no momenta.

    >>> import hepjax
    >>> p4 = np.array([[[500.0, 0.0, 0.0, 500.0], [500.0, 80.0, 0.0, 506.5]]])
    >>> with_observables(hepjax.from_arrays(p4), ["j_mass", "j_multiplicity"]).observables.round(1).tolist()
    [[81.5, 2.0]]
    """
    added = observables_to_add(jets.dataset, names)
    jets = jets[:]
    return _with_columns(jets, added, extended_dataset(jets.dataset, added), show)


def write_with_observables(
    path: str | Path, jets: Jets, names: Sequence[str] | None = None, show: Callable[[int], None] | None = None
) -> tuple[str, ...]:
    """Writes jets with observables added to a new file, some thousand at a time, so that memory is bounded.

    Args:
      path: ends in .h5, .hdf5 or .parquet; of HDF5 files also the images go along into HDF5.
      jets: as in `with_observables`; lazy ones may be more than memory holds.
      names: the same.
      show: the same.

    Returns:
      The names of the columns that were added.

    Raises:
      InputError: as `with_observables` and `hepjax.write_jets`; nothing is left then.
    """
    path = Path(path)
    added = observables_to_add(jets.dataset, names)
    check_new_hdf5_path(path)
    from_jets(jets[:0])  # are there momenta?
    if jets.dataset.images and not jets.images:
        if path.suffix.lower() in SUFFIXES:
            jets = with_images(jets, jets.dataset.images)
        else:
            log.warning("%s: Parquet holds no images: %s stay behind", path, ", ".join(jets.dataset.images))
    dataset = extended_dataset(jets.dataset, added)

    def blocks() -> Iterator[Jets]:
        for start in range(0, len(jets), ROWS):
            yield _with_columns(jets[start : start + ROWS], added, dataset, show)

    write_blocks(path, blocks(), len(jets), dataset, images=bool(jets.images))
    return added


def observables_to_add(dataset: Dataset, names: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the observables that are to be added to jets.

    Args:
      dataset: of the jets.
      names: as in `with_observables`.

    Raises:
      InputError: the same.

    >>> observables_to_add(hls4ml.HLS4ML, ["j_mass"])
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: observables: the jets have the column j_mass already; leave it out
    """
    held = {*dataset.jet_columns, *dataset.observers}
    if names is None:
        added = tuple(name for name in hls4ml.OBSERVABLE_COLUMNS if name not in held)
        if not added:
            raise InputError("observables: the jets have all 53 already; there is nothing to add")
        return added
    for name in names:
        if name not in hls4ml.OBSERVABLE_COLUMNS:
            hint = similar_names_hint(name, hls4ml.OBSERVABLE_COLUMNS)
            raise InputError(f"observables: there is no {name}; {hint}")
        if name in held:
            raise InputError(f"observables: the jets have the column {name} already; leave it out")
    if len({*names}) < len(names) or not names:
        raise InputError(f"observables: expected one or more different names, found {', '.join(names) or 'none'}")
    return tuple(names)


def extended_dataset(dataset: Dataset, added: Sequence[str]) -> Dataset:
    """Returns a dataset with further columns of jets, which models of jet columns learn from, too.

    Args:
      dataset: of the jets.
      added: some of `hepjax.data.datasets.hls4ml.OBSERVABLE_COLUMNS`.

    >>> from hepjax.choices import Role
    >>> from hepjax.data import datasets
    >>> extended_dataset(datasets.get("top-tagging"), ["j_mass"]).roles[Role.JET_MASS]
    'j_mass'
    """
    known = hls4ml.HLS4ML
    return dataclasses.replace(
        dataset,
        jet_columns=(*dataset.jet_columns, *added),
        features=(*dataset.features, *added),
        roles={**{role: name for role, name in known.roles.items() if name in added}, **dataset.roles},
        units={**{name: known.units[name] for name in added if name in known.units}, **dataset.units},
        titles={**{name: known.titles[name] for name in added}, **dataset.titles},
    )


def _with_columns(jets: Jets, added: Sequence[str], dataset: Dataset, show: Callable[[int], None] | None) -> Jets:
    """Jets in memory with these columns added."""
    places = [hls4ml.OBSERVABLE_COLUMNS.index(name) for name in added]
    columns = [np.asarray(jets.observables, np.float32), from_jets(jets, show)[:, places]]
    return dataclasses.replace(jets, observables=np.concatenate(columns, axis=1), dataset=dataset)
