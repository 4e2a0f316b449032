"""Lazy `Jets` over files of any kind: opening has read the headers, indexing reads its rows, chunk by chunk."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.containers import JetFile
from hepjax.data.dataset import PARTICLE_ORDER, dataset_in_gev
from hepjax.data.derived import cut_column, with_derived
from hepjax.data.expressions import conjuncts
from hepjax.data.indexing import normalize_index
from hepjax.data.kept import Kept
from hepjax.data.recognition import check_same_columns, recognize_columns
from hepjax.data.stores import Store, field_dtype
from hepjax.errors import InputError
from hepjax.types import Dataset, Jets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from hepjax.data.containers import Container, Header
    from hepjax.data.stores import Rows

ROWS = 1000
"""The jets in a chunk where there are no chunks."""
ALL = "all"
"""What stands for all jets in a cut flow."""
_SELECT_BYTES = 2**27
"""The memory for the columns that a selection reads at a time."""

log = logging.getLogger("hepjax")


def join_lazy_jets(
    opened: Sequence[tuple[Header, Container]],
    *,
    dataset: Dataset | str | None = None,
    particles: int | None = None,
    shortest: bool = False,
    images: Sequence[str] = (),
    unlabeled: bool = False,
    where: str = "",
) -> Jets:
    """Joins files whose headers were read to lazy jets.

    Args:
      opened: the header of each file, and its kind.
      dataset: as in `hepjax.read_jets`, like the next three.
      particles: how many of the hardest particles to keep per jet.
      shortest: keep as many as all files have.
      images: which images to read too.
      unlabeled: accept files without the labels and weights of the dataset.
      where: which jets stay, beside the selection of the dataset.

    Returns:
      Lazy `Jets` with the files' jets in order.

    Raises:
      InputError: files differ in columns, particles or the size of images, or do not fit the dataset; or no jet stays.
    """
    (first, container), *others = opened
    for header, _ in others:
        check_same_columns(first, header)
    described = recognize_columns(first, dataset, lambda columns: container.sample(first, columns), unlabeled=unlabeled)
    kept = Kept()
    files = tuple(JetFile(header, described, kind, {}, kept) for header, kind in opened)
    headers = [file.header for file in files]
    sizes = {name: _common_image_size(files, name) for name in _requested_images(images)}
    store = Store(files, _slots_of_all_files(headers, particles, shortest), sizes)
    cuts = tuple(dict.fromkeys([*conjuncts(described.selection), *conjuncts(where)]))
    return _lazy_jets_of_store(_select(store, cuts) if cuts else store)


def _select(store: Store, cuts: Sequence[str]) -> Store:
    """The store with the jets that all cuts leave; a cut is computed as a column of the jets would be."""
    first = store.files[0]
    dataset = dataclasses.replace(
        first.dataset,
        jet_columns=tuple(map(cut_column, cuts)),
        derived={**first.dataset.derived, **{cut_column(cut): cut for cut in cuts}},
        labels=None,
        classes=(),
        background=(),
        weights=None,
    )
    of_particles = with_derived(first.header, dataset.derived).particle_names
    if wrong := [cut for cut in cuts if cut_column(cut) in of_particles]:
        raise InputError(
            f"{first.header.path}: {wrong[0]}: has a value for each particle, and a selection one for each jet; write "
            "any(…) or all(…)"
        )
    files = tuple(file._replace(dataset=dataset) for file in store.files)
    jets = _lazy_jets_of_store(dataclasses.replace(store, files=files, image_sizes={}))
    passed = np.empty((len(store), len(cuts)), bool)
    size = max(1, _SELECT_BYTES // jets.store.bytes_read(["observables"]))
    for start, stop in row_spans(jets, slice(0, len(store)), size):
        passed[start:stop] = np.asarray(jets.observables[start:stop]) != 0
    passed = np.logical_and.accumulate(passed, axis=1)
    flow = {ALL: len(store), **dict(zip(cuts, passed.sum(0).tolist(), strict=True))}
    words = cut_flow_text(flow)
    if not flow[cuts[-1]]:
        raise InputError(f"{first.header.path}: the selection leaves no jet: {words}; loosen it")
    log.info("%s: selection: %s", first.header.path, words)
    return dataclasses.replace(store, rows=np.flatnonzero(passed[:, -1]), cut_flow=flow)


def cut_flow(jets: Jets) -> dict[str, int]:
    """Returns how many jets each cut of a selection leaves, beside those before it.

    Args:
      jets: lazy or in memory.

    Returns:
      "all", then each cut, in order → the number of jets; nothing where nothing was selected.

    >>> import hepjax
    >>> jets = hepjax.read_jets(where="j_pt > 1000 and abs(j_eta) < 1")
    >>> [*cut_flow(jets)], len(jets) == cut_flow(jets)["abs(j_eta) < 1"]
    (['all', 'j_pt > 1000', 'abs(j_eta) < 1'], True)
    """
    return dict(jets.store.cut_flow) if isinstance(jets, LazyJets) else {}


def cut_flow_text(flow: Mapping[str, int]) -> str:
    """Returns a cut flow in words.

    >>> cut_flow_text({"all": 2000, "jet_pt > 500": 1500})
    '2,000 jets; jet_pt > 500: 1,500'
    """
    return "; ".join(f"{count:,} jets" if cut == ALL else f"{cut}: {count:,}" for cut, count in flow.items())


def rows_of_files(jets: Jets) -> np.ndarray:
    """Returns (N,) int64, the rows of jets in their files, counted over all of them; some are left out by a selection.

    >>> import hepjax
    >>> rows_of_files(hepjax.read_jets())[:3].tolist()
    [0, 1, 2]
    """
    rows = jets.store.rows if isinstance(jets, LazyJets) else None
    return np.arange(len(jets)) if rows is None else rows


def with_images(jets: Jets, names: Sequence[str]) -> Jets:
    """Returns lazy jets with images of their files, whose headers are not read again.

    Args:
      jets: from files.
      names: of the images.

    Raises:
      InputError: a file lacks the images, or the jets come from no file.
    """
    if not isinstance(jets, LazyJets):
        if missing := [name for name in names if name not in jets.images]:
            raise InputError(f"images: jets in memory hold no {', '.join(missing)}; open their file with these images")
        return jets
    sizes = {name: _common_image_size(jets.store.files, name) for name in _requested_images(names)}
    return _lazy_jets_of_store(dataclasses.replace(jets.store, image_sizes=sizes))


def with_columns(jets: Jets, particles: Collection[str] | None, observables: Collection[str] | None) -> Jets:
    """Returns lazy jets that read some of their columns only, which many files store apart.

    Args:
      jets: from files; jets in memory stay as they are, so take columns by their names.
      particles: names of columns; those by which particles are told from padding and ordered stay, too. None is all.
      observables: names of columns of jets. None is all.

    Returns:
      Jets whose `dataset` names the columns that are left, in their order.
    """
    if not isinstance(jets, LazyJets):
        return jets
    dataset = jets.store.files[0].dataset
    kept = {dataset.roles[role] for role in PARTICLE_ORDER if role in dataset.roles}
    if particles is None or not {*PARTICLE_ORDER} & {*dataset.roles}:
        particles = dataset.particle_columns  # without these, padding is where all columns are 0
    particle_columns = tuple(name for name in dataset.particle_columns if name in {*particles, *kept})
    jet_columns = tuple(name for name in dataset.jet_columns if observables is None or name in observables)
    narrow = dataclasses.replace(
        dataset,
        particle_columns=particle_columns,
        jet_columns=jet_columns,
        roles={role: name for role, name in dataset.roles.items() if name in (*particle_columns, *jet_columns)},
    )
    files = tuple(file._replace(dataset=narrow) for file in jets.store.files)
    return _lazy_jets_of_store(dataclasses.replace(jets.store, files=files))


def chunk_starts(jets: Jets) -> np.ndarray:
    """Returns where chunks of jets begin, for those who shuffle: a file gives a whole chunk as fast as one row of it.

    Args:
      jets: the jets, lazy or in memory.

    Returns:
      (K,) integers, the ascending rows of `jets` with which the chunks of particles begin, the first 0. Jets in memory
      and files that are not chunked count as chunks of 1000 rows.

    >>> import hepjax
    >>> chunk_starts(hepjax.read_jets()[:2500]).tolist()
    [0, 1000, 2000]
    """
    files = jets.store.files if isinstance(jets, LazyJets) else ()
    chunks = [(file.header.jets, file.header.chunk) for file in files] or [(len(jets), ROWS)]
    ends = np.cumsum([count for count, _ in chunks])
    starts = np.concatenate([np.arange(0, n, size) + end - n for (n, size), end in zip(chunks, ends, strict=True)])
    if not isinstance(jets, LazyJets) or jets.store.rows is None:
        return starts
    # A chunk begins with the first of its jets that stays; it is left out where none does.
    starts = np.unique(np.searchsorted(jets.store.rows, starts))
    return np.asarray(starts[starts < len(jets)])


def row_spans(jets: Jets, rows: slice, size: int) -> Iterator[tuple[int, int]]:
    """Divides rows into parts of some `size`, cut where chunks end, so that none is read twice.

    Args:
      jets: lazy or in memory.
      rows: which rows, from `start` to `stop`.
      size: of the parts, about.

    Yields:
      The first row of a part, and the one after its last.

    >>> import hepjax
    >>> list(row_spans(hepjax.read_jets()[:2500], slice(500, 2500), 1500))
    [(500, 2000), (2000, 2500)]
    """
    starts = chunk_starts(jets)
    edges = np.array([rows.start, *starts[(rows.start < starts) & (starts < rows.stop)]])
    kept = edges[np.diff((edges - rows.start) // size, prepend=-1) > 0].tolist()
    return itertools.pairwise([*kept, rows.stop])


def file_and_row(jets: Jets, row: int) -> tuple[str, int]:
    """Returns the name of the file that a jet lies in, and its row there, for messages.

    Args:
      jets: the jets, lazy or in memory.
      row: of the jet, from 0.

    Returns:
      "jets" and the same row where they come from no file.

    >>> import hepjax
    >>> file_and_row(hepjax.read_jets()[:5], 3)
    ('jets', 3)
    """
    if not isinstance(jets, LazyJets):
        return "jets", row
    place = row if jets.store.rows is None else int(jets.store.rows[row])
    for file in jets.store.files:
        if place < file.header.jets:
            return str(file.header.path), place
        place -= file.header.jets
    return "jets", row


def _slots_of_all_files(headers: Sequence[Header], particles: int | None, shortest: bool) -> int:
    """The particles to keep per jet; files in which jets have lists of their own length take any number."""
    fixed = sorted((header.slots, header.path) for header in headers if header.slots is not None)
    lists = max(header.list_particles for header in headers)
    most, shortest_file = fixed[0] if fixed else (lists, headers[0].path)
    if particles is None:
        if fixed and fixed[-1][0] != most and not shortest:
            raise InputError(
                f"{fixed[-1][1]}: keeps {fixed[-1][0]} particles per jet but {shortest_file} keeps {most}; "
                f"give particles={most} or fewer"
            )
        return most
    if particles < 1 or (fixed and particles > most):
        raise InputError(
            f"{shortest_file}: keeps {most if fixed else 'all'} particles per jet; asked for particles={particles}; "
            f"give 1 {f'to {most}' if fixed else 'or more'}"
        )
    return particles


def _lazy_jets_of_store(store: Store) -> LazyJets:
    """The jets of a store."""
    dataset = dataset_in_gev(store.files[0].dataset)
    return LazyJets(
        constituents=_Lazy(store, "constituents"),
        mask=_Lazy(store, "mask"),
        observables=_Lazy(store, "observables"),
        labels=_Lazy(store, "labels") if dataset.labels is not None else None,
        dataset=dataset,
        weights=_Lazy(store, "weights") if dataset.weights is not None else None,
        images={name: _Lazy(store, name) for name in store.image_sizes},
        store=store,
    )


def _requested_images(images: Sequence[str]) -> Sequence[str]:
    if isinstance(images, str):
        raise InputError(f"images: expected a list of names, such as jetImage; found the text {images!r}")
    return images


def _common_image_size(files: Sequence[JetFile], name: str) -> tuple[int, int]:
    """The height and width of these images, which every file shares."""
    first, *others = [(file.header.path, file.container.image_shape(file.header, name)) for file in files]
    for path, size in others:
        if size != first[1]:
            raise InputError(
                f"{path}: its {name} has {size[0]} x {size[1]} pixels, that of {first[0]} "
                f"{first[1][0]} x {first[1][1]}; read these files apart"
            )
    return first[1]


class _Lazy:
    """A field of a lazy `Jets`: it stays on disk until it is indexed or turned into an array."""

    def __init__(self, store: Store, field: str) -> None:
        self._store, self._field = store, field
        self.shape, self.dtype, self.ndim = store.shape(field), field_dtype(field), len(store.shape(field))

    def __len__(self) -> int:
        """The number of jets."""
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Returns the values that NumPy would give for this index; only the rows that it names are read."""
        rows, *rest = normalize_index(key, self.shape)
        if isinstance(rows, slice) or (np.ndim(rows) == 1 and all(isinstance(k, slice) for k in rest)):
            places: Any = slice(None)
        else:
            # Read the rows in a line, then index these with the places in the shape of the rows: as NumPy pairs them.
            places, rows = np.arange(np.size(rows)).reshape(np.shape(rows)), np.reshape(rows, -1)
            places = int(places) if places.ndim == 0 else places
        values: np.ndarray = self._store.read([self._field], rows)[self._field][(places, *rest)]
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("rows on disk cannot be viewed without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<lazy {self._field}, shape {self.shape}, {self.dtype}>"


@dataclasses.dataclass(frozen=True, repr=False)
class LazyJets(Jets):
    """`Jets` on disk; a slice reads each part of a file once for all its fields."""

    store: Store = dataclasses.field(kw_only=True)

    def _take(self, rows: Rows) -> Jets:
        optional = {"labels": self.labels, "weights": self.weights}
        fields = ["constituents", "mask", "observables", *(name for name, x in optional.items() if x is not None)]
        values: dict[str, Any] = {**dict.fromkeys(optional), **self.store.read([*fields, *self.images], rows)}
        images = {name: values.pop(name) for name in self.images}
        return Jets(images=images, dataset=self.dataset, **values)

    def _title(self) -> str:
        files = len(self.store.files)
        return f"{super()._title()}, on disk in {files:,} file{'s' * (files != 1)}"
