"""ROOT files: a TTree or RNTuple, whose numbers are of jets and whose vectors are of particles. Needs uproot."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.columnar import columnar_container
from hepjax.data.containers import Array, Contents, Ragged, split_tree
from hepjax.data.remote import open_source, source_size
from hepjax.errors import InputError, import_extra, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hepjax.data.kept import Kept

_CHUNKS = (1_000, 20_000)
"""The fewest and most jets that are read at a time."""
LARGEST = 2**30
"""The most bytes of a column that are read at once."""
_NUMBER = r"(?:std::)?(?:u?int(?:8|16|32|64)_t|float|double|bool|char|short|int|long|unsigned \w+|[A-Z]\w+_t)"
_SHAPES = {
    (): re.compile(_NUMBER),
    (None,): re.compile(rf"(?:{_NUMBER}\[\]|(?:std::)?vector<{_NUMBER}>|ROOT::VecOps::RVec<{_NUMBER}>)"),
}
_FIXED = re.compile(rf"{_NUMBER}\[(\d+)\]|(?:std::)?array<{_NUMBER}, ?(\d+)>")
_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple", "ROOT::Experimental::RNTuple")


def _contents(path: Path, allow_external: bool) -> Contents:  # noqa: ARG001 - trees have no data elsewhere
    with _tree(path) as tree:
        with _damage(path):
            # Names that begin with _ are those by which an RNTuple stores collections.
            kinds = {name: kind for name, kind in tree.typenames().items() if not name.startswith("_")}
            branches = {name: getattr(tree[name], "count_branch", None) for name in kinds}
            edges = np.diff(tree.common_entry_offsets()) if hasattr(tree, "common_entry_offsets") else np.array([])
            jets = int(tree.num_entries)
        passed = {branch.name: f"the length of {name}" for name, branch in branches.items() if branch is not None}
        arrays = {
            name: Array(shape)
            for name, kind in kinds.items()
            if (shape := _shape(kind)) is not None and name not in passed
        }
        passed |= {name: f"of the type {kind}" for name, kind in kinds.items() if name not in {*arrays, *passed}}
        chunk = int(np.clip(np.median(edges) if edges.size else _CHUNKS[1], *_CHUNKS))
        return Contents(jets, arrays, chunk, passed=passed)


def _shape(kind: str) -> tuple[int | None, ...] | None:
    """The shape of a jet's values of a type of C++; None where they are no numbers."""
    if match := _FIXED.fullmatch(kind):
        return (int(match[1] or match[2]),)
    return next((shape for shape, pattern in _SHAPES.items() if pattern.fullmatch(kind)), None)


def _read(path: Path, names: Sequence[str], first: int, last: int, kept: Kept) -> dict[str, np.ndarray | Ragged]:
    rows = {}
    with kept.opened(split_tree(path)[0], lambda: _tree(path), str(path)) as tree:
        for name in names:
            with _damage(path, name):
                branch = tree[name]
                size = _size(branch, first, last)
            if size > LARGEST:
                raise InputError(
                    f"{path}: {name} unpacks to {size / 2**30:.1f} GiB for {last - first} jets, more than the "
                    f"{LARGEST >> 30} GiB that are read at once; write the file again in smaller baskets"
                )
            with _damage(path, name):
                rows[name] = _joined(_pieces(path, name, branch, first, last, kept))
            held = rows[name]
            if (count := len(held.counts if isinstance(held, Ragged) else held)) != last - first:
                raise InputError(
                    f"{path}: damaged; {name} has {count} of {last - first} rows from {first}; fetch or make it again"
                )
    return rows


def _pieces(
    path: Path, name: str, branch: Any, first: int, last: int, kept: Kept
) -> Iterator[tuple[np.ndarray | Ragged, int, int]]:
    """Decodes whole baskets, or clusters: (values, first row in them, last row); those that are cut are kept."""
    edges = np.unique([0, *_edges(branch), branch.num_entries])
    start, stop = np.searchsorted(edges, first, side="right") - 1, np.searchsorted(edges, last)
    cuts = {int(start)} if edges[start] < first else set()
    cuts |= {int(stop) - 1} if edges[stop] > last else set()
    whole = [place for place in range(start, stop) if place not in cuts]
    runs = [(place, place + 1) for place in cuts] + ([(whole[0], whole[-1] + 1)] if whole else [])
    for low, high in sorted(runs):
        begin, end = int(edges[low]), int(edges[high])

        def decode(begin: int = begin, end: int = end) -> np.ndarray | Ragged:
            return _values(branch.array(entry_start=begin, entry_stop=end, library="ak"))

        values = (
            kept.decoded(split_tree(path)[0], (str(path), name, begin), decode, _bytes) if low in cuts else decode()
        )
        yield values, max(first - begin, 0), min(last, end) - begin


def _edges(branch: Any) -> Sequence[int]:
    """The rows with which baskets begin, or clusters of an RNTuple."""
    if hasattr(branch, "entry_offsets"):
        return list(branch.entry_offsets)
    return [cluster.num_first_entry for cluster in branch.ntuple.cluster_summaries]


def _bytes(values: np.ndarray | Ragged) -> int:
    return int(values.values.nbytes + values.counts.nbytes if isinstance(values, Ragged) else values.nbytes)


def _joined(pieces: Iterator[tuple[np.ndarray | Ragged, int, int]]) -> np.ndarray | Ragged:
    """The rows of pieces, one after the other."""
    lists, arrays = [], []
    for values, low, high in pieces:
        if isinstance(values, Ragged):
            ends = np.cumsum([0, *values.counts])
            lists.append(Ragged(values.values[ends[low] : ends[high]], values.counts[low:high]))
        else:
            arrays.append(values[low:high])
    if not lists:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    if len(lists) == 1 and not arrays:
        return lists[0]
    return Ragged(np.concatenate([x.values for x in lists]), np.concatenate([x.counts for x in lists]))


def _size(branch: Any, first: int, last: int) -> int:
    """The bytes that the baskets of these rows unpack to, or the clusters of an RNTuple."""
    if not hasattr(branch, "entry_offsets"):
        return _size_of_clusters(branch, first, last)
    if branch.uncompressed_bytes <= LARGEST:
        return 0
    edges = branch.entry_offsets
    overlapping = (number for number in range(branch.num_baskets) if edges[number] < last and edges[number + 1] > first)
    return sum(int(branch.basket_uncompressed_bytes(number)) for number in overlapping)


def _size_of_clusters(field: Any, first: int, last: int) -> int:
    ntuple, fields = field.ntuple, {field.field_id}
    for number, record in enumerate(ntuple.field_records):  # parents come first
        fields |= {number} if record.parent_field_id in fields else {*()}
    columns = [(place, record.nbits) for place, record in enumerate(ntuple.column_records) if record.field_id in fields]
    bits = 0
    for cluster, pages in zip(ntuple.cluster_summaries, ntuple.page_link_list, strict=False):
        if cluster.num_first_entry < last and cluster.num_first_entry + cluster.num_entries > first:
            bits += sum(width * page.num_elements for place, width in columns for page in pages[place].pages)
    return bits // 8


def _values(array: Any) -> np.ndarray | Ragged:
    awkward = import_extra("awkward", "root")
    if array.ndim == 1 or not isinstance(awkward.type(array).content, awkward.types.ListType):
        return np.asarray(awkward.to_numpy(array))
    counts = np.asarray(awkward.num(array, axis=1)).astype(np.int64)
    return Ragged(np.asarray(awkward.to_numpy(awkward.flatten(array, axis=1))), counts)


@contextlib.contextmanager
def _tree(path: Path) -> Iterator[Any]:
    """Opens the tree of a file."""
    uproot = import_extra("uproot", "root", path)
    file, name = split_tree(path)
    with open_source(file, "a ROOT file of jets") as source, contextlib.ExitStack() as stack:
        with _damage(path):
            # A file that is open already is read by this thread; uproot would ask a thread of its own for each basket.
            held = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
            # Its caches go by a number in the file, which a damaged or changed copy shares.
            opened = uproot.open(held, array_cache=None, object_cache=None, use_threads=False)
            kinds, end = opened.classnames(cycle=False), int(opened.file.fEND)
        if end > (size := source_size(source)):
            raise InputError(f"{file}: damaged; it has {size} of {end} bytes; fetch or make it again")
        with opened:
            name = _name_of_tree(file, name, kinds)
            with _damage(path):
                tree = opened[name]
            yield tree


@contextlib.contextmanager
def _damage(path: Path, name: str = "") -> Iterator[None]:
    """Converts what uproot raises, which has no errors of its own for what is damaged: any may come of any place."""
    try:
        yield
    except InputError:
        raise
    except ImportError as error:  # of a compression
        package = re.search(r"pip install (\S+)", str(error)) or re.search(r"'([\w-]+)'", str(error))
        wanted = package[1] if package else one_line(error)
        raise InputError(
            f"{path}: {name or 'it'} is compressed by what needs the package {wanted}; pip install {wanted}"
        ) from error
    except Exception as error:
        words = f"{type(error).__name__}: {one_line(error)}"
        what = f"{name} cannot be read" if name else "cannot be read as ROOT"
        raise InputError(f"{path}: {what} ({words}); fetch or make it again") from error


def _name_of_tree(file: Path, name: str | None, kinds: dict[str, str]) -> str:
    """The tree that was asked for, or the only one."""
    trees = [key for key, kind in kinds.items() if kind in _TREES]
    held = ", ".join(trees) or "none"
    if name is not None and name not in trees:
        raise InputError(f"{file}: has no tree {name}; its trees are {held}")
    if name is None and len(trees) != 1:
        remedy = f"say which, such as {file}:{trees[0]}" if trees else "give a ROOT file of jets"
        raise InputError(f"{file}: has {len(trees)} trees ({held}); {remedy}")
    return name or trees[0]


def _attributes(path: Path) -> dict[str, str]:
    return {"tree": split_tree(path)[1] or ""} if split_tree(path)[1] else {}


CONTAINER = columnar_container("ROOT", (".root",), contents=_contents, read=_read, attributes=_attributes)
