"""The columns of a file that is read by arrays: which are of particles, which of jets, and where each of them lies."""

from __future__ import annotations

import collections
import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.choices import Role
from hepjax.data import datasets
from hepjax.data.containers import Array, Contents, Header, Ragged, Source
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hepjax.types import Dataset

    ReadArrays = Callable[[Path, Sequence[str], int, int], dict[str, np.ndarray | Ragged]]
    """(path, arrays, first row, last row) → each array's rows."""

_FEWEST_NUMBERED = 10
"""Columns such as E_0, E_1, … of which there are so many or more are particles."""
_MOST_NUMBERS = 64
"""Numbers of a jet in a row without names that become columns of jets."""
_SAMPLE = 200
"""Jets by whose numbers of particles columns are told to belong together."""
_NUMBERED = re.compile(r"(.*?)_?(\d+)")


class _Columns(NamedTuple):
    """Columns of particles that belong together: each jet has as many of one as of the others."""

    slots: int | None
    sources: dict[str, Source]
    counts: np.ndarray | None = None
    """(n,) the particles of the first jets, of lists."""


def header_of_contents(
    path: Path, contents: Contents, read: ReadArrays, given: Mapping[str, tuple[str, ...]] | None = None
) -> Header:
    """Finds the columns of a file.

    Particles are the arrays with a list or a fixed number of values for each jet. Where there are several kinds, such
    as the particles of a detector and those of a generator, it is the kind with the most columns of a known meaning.

    Args:
      path: of the file.
      contents: the arrays in it.
      read: reads them; a few jets are read to tell which lists have the same length.
      given: array → the names of its columns, of a dataset that was given; None takes those of the known ones.

    Returns:
      The header.

    Raises:
      InputError: the file holds no jets, no particles, or two columns of a name.
    """
    if contents.jets == 0:
        raise InputError(f"{path}: holds no jets; leave the file out")
    titles = _short_names(contents.arrays)
    known = None if given else _dataset_of_arrays(contents.arrays, titles)
    arrays = _with_names(path, contents.arrays, titles, given or (known.arrays if known else {}))
    jets: dict[str, Source] = {}
    for name, array in arrays.items():
        if array.shape == ():
            _add_columns(path, jets, {titles[name]: Source(name)})
    named = {name: array for name, array in arrays.items() if array.names and len(array.shape) == 1}
    for name, array in named.items():
        _add_columns(path, jets, {column: Source(name, place) for place, column in enumerate(array.names)})
    collections_of_particles = [*_numbered_columns(jets), *_padded_columns(path, arrays, titles)]
    lists, unread = _ragged_columns(path, arrays, contents, read, titles)
    collections_of_particles += lists
    columns = [*jets, *(name for each in collections_of_particles for name in each.sources)]
    if bad := [name for name in columns if not name.isprintable()]:
        raise InputError(f"{path}: a column has the name {ascii(bad[0])[:100]}, which is no text; rename it")
    if not collections_of_particles and unread:
        raise next(iter(unread.values()))
    if not collections_of_particles:
        passed = "; ".join(f"{name} is {problem}" for name, problem in sorted(contents.passed.items())[:5])
        raise InputError(
            f"{path}: holds no particles, that is no array with several values for each jet; its arrays are "
            f"{', '.join(sorted(contents.arrays)[:20]) or 'none'}{'; ' if passed else ''}{passed}; give a file of jets "
            "with their particles"
        )
    particles = max(collections_of_particles, key=lambda each: (_known_meanings(each.sources), len(each.sources)))
    for each in collections_of_particles:
        if each is not particles and each.slots is not None and each.slots <= _MOST_NUMBERS:
            _add_columns(path, jets, dict(_columns_of_numbers(each)))
    return Header(
        path=path,
        jets=contents.jets,
        slots=particles.slots,
        particle_names=tuple(particles.sources),
        jet_names=tuple(jets),
        images=(),
        series=(),
        chunk=contents.chunk,
        chunk_rows={},
        chunk_bytes={},
        sources={**jets, **{f"{PARTICLE}{name}": source for name, source in particles.sources.items()}},
        named_by=known.name if known else None,
        description=contents.description,
        list_particles=contents.list_particles,
        passed={
            **{re.split("[/:]", name)[-1]: problem for name, problem in contents.passed.items()},
            **{titles[name]: f"not read ({str(error).removeprefix(f'{path}: ')})" for name, error in unread.items()},
            **dict(_unequal_lists(particles, [each for each in lists if each is not particles])),
        },
    )


PARTICLE = "particle "
"""The beginning of the keys of `Header.sources` that are columns of particles, which may share a jet column's name."""


def _short_names(arrays: Iterable[str]) -> dict[str, str]:
    """Array → the last part of its path, or all of it where another of the same kind has the same last part."""
    last = {name: re.split("[/:]", name)[-1] for name in arrays}
    counts = collections.Counter(last.values())
    return {name: part if counts[part] == 1 else name for name, part in last.items()}


def _dataset_of_arrays(arrays: Mapping[str, Array], titles: Mapping[str, str]) -> Dataset | None:
    """The known dataset that names the columns of the arrays, all of which the file has."""
    widths = {titles[name]: array.shape[-1:] for name, array in arrays.items()}
    for dataset in datasets.known_datasets():
        if dataset.arrays and all(widths.get(name) == (len(names),) for name, names in dataset.arrays.items()):
            return dataset
    return None


def _with_names(
    path: Path, arrays: Mapping[str, Array], titles: Mapping[str, str], names: Mapping[str, tuple[str, ...]]
) -> dict[str, Array]:
    """Gives arrays the names of columns that a dataset says they have."""
    widths = {titles[name]: array.shape[-1:] for name, array in arrays.items()}
    for name, columns in names.items():
        if widths.get(name) != (len(columns),):
            held = ", ".join(f"{name} of {width[0]}" if width else name for name, width in sorted(widths.items())[:20])
            raise InputError(
                f"{path}: has no array {name} with {len(columns)} columns, which the dataset names; its arrays are "
                f"{held or 'none'}; correct the dataset"
            )
    return {name: array._replace(names=names.get(titles[name], array.names)) for name, array in arrays.items()}


def _numbered_columns(jets: dict[str, Source]) -> list[_Columns]:
    """Takes out columns of jets such as E_0, PX_0, …, E_199, PX_199, which are particles."""
    slots: dict[tuple[str, str], dict[int, str]] = collections.defaultdict(dict)
    for name, source in jets.items():
        if match := _NUMBERED.fullmatch(name):
            table = source.array if isinstance(source.array, str) and source.place is not None else ""
            slots[table, match[1]][int(match[2])] = name
    by_count: dict[tuple[str, int], dict[str, Source]] = collections.defaultdict(dict)
    for (table, stem), names in slots.items():
        if len(names) >= _FEWEST_NUMBERED and sorted(names) == [*range(len(names))]:
            sources = [jets[names[slot]] for slot in range(len(names))]
            if (joined := _joined(sources)) is not None:
                by_count[table, len(names)][stem] = joined
    collections_of_particles = []
    for (table, count), columns in by_count.items():
        if len(columns) > 1:
            collections_of_particles.append(_Columns(count, columns))
            for stem in columns:
                for name in slots[table, stem].values():
                    del jets[name]
    return collections_of_particles


def _joined(sources: Sequence[Source]) -> Source | None:
    """The columns of all slots as one: several arrays, or places of one array at equal distances."""
    places = [source.place for source in sources]
    if all(place is None for place in places):
        return Source(tuple(name for source in sources for name in source.arrays))
    numbers = [place for place in places if isinstance(place, int)]
    steps = {b - a for a, b in itertools.pairwise(numbers)}
    if len(numbers) < len(places) or len(steps) > 1 or min(steps) < 1:
        return None
    return Source(sources[0].array, slice(numbers[0], numbers[-1] + 1, steps.pop()))


def _padded_columns(path: Path, arrays: Mapping[str, Array], titles: Mapping[str, str]) -> list[_Columns]:
    """The columns of arrays with a fixed number of particles for each jet."""
    by_slots: dict[int, dict[str, Source]] = collections.defaultdict(dict)
    for name, array in arrays.items():
        match array.shape:
            case (int() as slots,) if not array.names:
                _add_columns(path, by_slots[slots], {titles[name]: Source(name)})
            case (int() as slots, int() as width):
                columns = array.names or [f"{titles[name]}_{place}" for place in range(width)]
                _add_columns(path, by_slots[slots], {column: Source(name, i) for i, column in enumerate(columns)})
    return [_Columns(slots, sources) for slots, sources in by_slots.items() if slots > 0]


def _ragged_columns(
    path: Path, arrays: Mapping[str, Array], contents: Contents, read: ReadArrays, titles: Mapping[str, str]
) -> tuple[list[_Columns], dict[str, InputError]]:
    """Finds the columns of lists, and the lists that cannot be read, which matters only where they are asked for.

    Those belong together whose lists have the same length in the first jets.
    """
    names = [
        name for name, array in arrays.items() if array.shape == (None,) or (array.shape[:1] == (None,) and array.names)
    ]
    counts, unread = _lengths_of_lists(path, names, min(_SAMPLE, contents.jets), read)
    groups: dict[bytes, dict[str, Source]] = collections.defaultdict(dict)
    for name, lengths in counts.items():
        columns = {column: Source(name, place) for place, column in enumerate(arrays[name].names)}
        _add_columns(path, groups[lengths.tobytes()], columns or {titles[name]: Source(name)})
    return [_Columns(None, sources, np.frombuffer(key, np.int64)) for key, sources in groups.items()], unread


def _lengths_of_lists(
    path: Path, names: Sequence[str], last: int, read: ReadArrays
) -> tuple[dict[str, np.ndarray], dict[str, InputError]]:
    try:
        rows = read(path, names, 0, last) if names else {}
    except InputError as error:
        if len(names) == 1:
            return {}, {names[0]: error}
        half = len(names) // 2  # few are damaged: they are found by halves
        each = [_lengths_of_lists(path, part, last, read) for part in (names[:half], names[half:])]
        return {k: v for counts, _ in each for k, v in counts.items()}, {k: v for _, e in each for k, v in e.items()}
    return {name: values.counts for name, values in rows.items() if isinstance(values, Ragged)}, {}


def _unequal_lists(particles: _Columns, others: Iterable[_Columns]) -> Iterator[tuple[str, str]]:
    """Says of lists where they first have another length than the particles."""
    for other in others:
        if particles.counts is not None and other.counts is not None:
            row, first = int(np.flatnonzero(particles.counts != other.counts)[0]), next(iter(particles.sources))
            fewer_or_more = f"but {particles.counts[row]} of {first}"
            for name in other.sources:
                values = f"{other.counts[row]} values of {name}"
                yield name, f"no column of the particles: row {row} has {values} {fewer_or_more}"


def _columns_of_numbers(columns: _Columns) -> Iterable[tuple[str, Source]]:
    """Names the numbers of rows that are no particles, such as weights_0 and weights_1."""
    for name, source in columns.sources.items():
        if source.place is None:
            yield from ((f"{name}_{place}", Source(source.array, place)) for place in range(columns.slots or 0))


def _add_columns(path: Path, columns: dict[str, Source], more: Mapping[str, Source]) -> None:
    if both := {*columns} & {*more}:
        raise InputError(
            f"{path}: {columns[min(both)].array} and {more[min(both)].array} both have a column {min(both)}; rename one"
        )
    columns.update(more)


def _known_meanings(names: Iterable[str]) -> int:
    """Counts the columns that have a role in a known dataset, or are called by a role."""
    names = {*names}
    usual = {role.value for role in Role}
    return max(len(names & known) for known in (usual, *({*d.roles.values()} for d in datasets.known_datasets())))
