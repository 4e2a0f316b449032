"""ROOT files: a TTree or RNTuple, whose numbers are of jets and whose vectors are of particles. Needs uproot."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.columnar import columnar_container
from hepjax.data.containers import Array, Contents, Ragged, split_tree
from hepjax.errors import InputError, file_problem, import_extra

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CHUNKS = (1_000, 20_000)
"""The fewest and most jets that are read at a time."""
_NUMBER = r"(?:std::)?(?:u?int(?:8|16|32|64)_t|float|double|bool|char|short|int|long|unsigned \w+|[A-Z]\w+_t)"
_SHAPES = {
    (): re.compile(_NUMBER),
    (None,): re.compile(rf"(?:{_NUMBER}\[\]|(?:std::)?vector<{_NUMBER}>|ROOT::VecOps::RVec<{_NUMBER}>)"),
}
_FIXED = re.compile(rf"{_NUMBER}\[(\d+)\]|(?:std::)?array<{_NUMBER}, ?(\d+)>")
_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple", "ROOT::Experimental::RNTuple")


def _contents(path: Path, allow_external: bool) -> Contents:  # noqa: ARG001 - trees have no data elsewhere
    with _tree(path) as tree:
        # Names that begin with _ are those by which an RNTuple stores collections; counters repeat what lists tell.
        kinds = {name: kind for name, kind in tree.typenames().items() if not name.startswith("_")}
        counters = {branch.name for name in kinds if (branch := getattr(tree[name], "count_branch", None)) is not None}
        arrays = {
            name: Array(shape)
            for name, kind in kinds.items()
            if name not in counters and (shape := _shape(kind)) is not None
        }
        edges = np.diff(tree.common_entry_offsets()) if hasattr(tree, "common_entry_offsets") else np.array([])
        chunk = int(np.clip(np.median(edges) if edges.size else _CHUNKS[1], *_CHUNKS))
        return Contents(tree.num_entries, arrays, chunk)


def _shape(kind: str) -> tuple[int | None, ...] | None:
    """The shape of a jet's values of a type of C++; None where they are no numbers."""
    if match := _FIXED.fullmatch(kind):
        return (int(match[1] or match[2]),)
    return next((shape for shape, pattern in _SHAPES.items() if pattern.fullmatch(kind)), None)


def _read(path: Path, names: Sequence[str], first: int, last: int) -> dict[str, np.ndarray | Ragged]:
    with _tree(path) as tree:
        return {name: _values(tree[name].array(entry_start=first, entry_stop=last, library="ak")) for name in names}


def _values(array: Any) -> np.ndarray | Ragged:
    awkward = import_extra("awkward", "root")
    if array.ndim == 1 or not isinstance(awkward.type(array).content, awkward.types.ListType):
        return np.asarray(awkward.to_numpy(array))
    counts = np.asarray(awkward.num(array, axis=1)).astype(np.int64)
    return Ragged(np.asarray(awkward.to_numpy(awkward.flatten(array, axis=1))), counts)


@contextlib.contextmanager
def _tree(path: Path) -> Iterator[Any]:
    """Opens the tree of a file; uproot has no errors of its own for what is damaged."""
    uproot = import_extra("uproot", "root")
    file, name = split_tree(path)
    if problem := file_problem(file):
        raise InputError(f"{file}: {problem}; give a ROOT file of jets")
    try:
        with uproot.open(file) as opened:
            yield opened[_name_of_tree(file, name, opened.classnames(cycle=False))]
    except InputError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise InputError(
            f"{file}: cannot be read as ROOT ({type(error).__name__}: {words}); fetch or make it again"
        ) from error


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
