"""The text of HepMC events → particles and vertices as arrays, each line checked; damage is named with its vertex."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.physics.simulation.event_text import Chunk, EventWeights, Format, event_place_text, excerpt_of_text

_LARGEST = 2**31 - 1
_OUTSIDE = -1
"""The vertex of particles that come from none, or go to none."""

# Possessive, for a line that does not match is no reason to try shorter numbers.
_NUMBER = rb" ++[-+]?+(?:\d++\.?+\d*+|\.\d++)(?:[eE][-+]?+\d++)?+"
_WHOLE = rb" ++-?+\d++"
_A_WHOLE = rb"(" + _WHOLE + rb")"


class _Lines(NamedTuple):
    """The patterns of an event's lines."""

    event: re.Pattern[bytes]
    """Its first line; the groups `vertices` and `particles` are their numbers."""
    vertex: re.Pattern[bytes]
    particle: re.Pattern[bytes]
    """The group holds the numbers that are used."""
    unknown: re.Pattern[bytes]


_LINES = {
    Format.HEPMC2: _Lines(
        # E number interactions scale αQCD αQED process vertex VERTICES …
        re.compile(rb"E" + _WHOLE * 2 + _NUMBER * 3 + _WHOLE * 2 + rb" +(?P<vertices>\d+)\s"),
        # V NUMBER id position ORPHANS OUTGOING WEIGHTS …: how many of its particles follow, how many weights
        re.compile(rb"\nV" + _A_WHOLE + _WHOLE + _NUMBER * 4 + _A_WHOLE * 3 + rb"((?:" + _NUMBER + rb")*+)(?=\s)"),
        # P number ID P4 mass STATUS polarization END FLOWS …
        re.compile(
            rb"\nP(" + _WHOLE * 2 + _NUMBER * 5 + _WHOLE + _NUMBER * 2 + _WHOLE + rb") +\d(?:" + _WHOLE + rb")*+(?=\s)"
        ),
        re.compile(rb"\n(?![ENUCHFVP] |\s)[^\n]"),
    ),
    Format.HEPMC3: _Lines(
        # E number VERTICES PARTICLES …
        re.compile(rb"E" + _WHOLE + rb" +(?P<vertices>\d+) +(?P<particles>\d+)\s"),
        # V NUMBER status [INCOMING,…] …
        re.compile(rb"\nV" + _A_WHOLE + _WHOLE + rb" +\[([\d,]*)\]"),
        # P NUMBER ORIGIN ID P4 mass STATUS
        re.compile(rb"\nP(" + _WHOLE * 3 + _NUMBER * 5 + _WHOLE + rb")(?=\s)"),
        re.compile(rb"\n(?![EUWAVPTN] |\s)[^\n]"),
    ),
}
_UNITS = re.compile(rb"\nU +([^\s]*)")
_GEV = {b"GEV": 1.0, b"MEV": 1e-3}
_AFTER_VERTICES = 9
"""Words of the first line of a HepMC 2 event up to its number of vertices; the beams follow."""
_NAMES = {Format.HEPMC2: re.compile(rb"\nN +\d+([^\n]*)"), Format.HEPMC3: re.compile(rb"\nW ([^\n]*)")}
_QUOTED = re.compile(rb'"([^"\n]*)"')


class Record(NamedTuple):
    """K particles and the vertices of an event."""

    p4: np.ndarray
    """(K, 4) momenta (px, py, pz, E), GeV."""
    ids: np.ndarray
    """(K,) int64 PDG identities."""
    status: np.ndarray
    """(K,) int64; 1 is stable."""
    origin: np.ndarray
    """(K,) int64 index of the vertex that each particle comes from; -1 for none."""
    end: np.ndarray
    """(K,) int64 index of the vertex that it goes to; -1 for none."""


def read_hepmc_record(chunk: Chunk, row: int) -> Record:
    r"""Reads an event.

    Args:
      chunk: events of a HepMC file.
      row: which of them.

    Returns:
      Its particles in the order of the text. Vertices that nobody enters, or nobody leaves, are vertices as others.

    Raises:
      InputError: a line is damaged, or lines do not fit together.

    >>> lines = ["E 0 1 3", "U MEV MM", "P 1 0 11 0 0 9e3 9e3 0 4", "P 2 0 -11 0 0 -9e3 9e3 0 4", "V -1 0 [1,2]"]
    >>> text = "\n".join([*lines, "P 3 -1 22 0 0 0 18e3 0 1", ""]).encode()
    >>> record = read_hepmc_record(Chunk("a.hepmc", Format.HEPMC3, b"", (text,), 1), 0)
    >>> record.p4[:, 3].tolist(), record.origin.tolist(), record.end.tolist()
    ([9.0, 9.0, 18.0], [-1, -1, 0], [0, 0, -1])
    """
    where, text, like = event_place_text(chunk, row), chunk.events[row], _LINES[chunk.format]
    first = like.event.match(text)
    if first is None:
        raise InputError(f"{where}: expected the numbers of an event, found {excerpt_of_text(text)}; make it anew")
    if unknown := like.unknown.search(text):
        line = excerpt_of_text(text[unknown.start() + 1 :])
        raise InputError(f"{where}: expected a line of {chunk.format.value}, found {line}; make it anew")
    vertices, particles = like.vertex.findall(text), like.particle.findall(text)
    _check_hepmc_lines(where, text, b"V ", like.vertex, len(vertices))
    _check_hepmc_lines(where, text, b"P ", like.particle, len(particles))
    numbers = np.array(b" ".join(particles).split(), "S").astype(np.float64)
    if chunk.format is Format.HEPMC2:
        _check_hepmc_count(where, "vertices", len(vertices), int(first["vertices"]))
        table = numbers.reshape(len(particles), 11)
        ids, p4, status = table[:, 1], table[:, 2:6], table[:, 7]
        origin, end = _vertices_of_hepmc2(where, text, vertices, table[:, 10])
    else:
        _check_hepmc_count(where, "particles", len(particles), int(first["particles"]))
        table = numbers.reshape(len(particles), 9)
        ids, p4, status = table[:, 2], table[:, 3:7], table[:, 8]
        origin, end = _vertices_of_hepmc3(where, vertices, table[:, 0], table[:, 1])
    p4 = p4 * _hepmc_momentum_unit(where, text)
    if not np.isfinite(p4).all():
        raise InputError(f"{where}: expected finite momenta, found others; make it anew")
    if len(table) and max(np.abs(ids).max(), np.abs(status).max()) > _LARGEST:
        raise InputError(f"{where}: expected PDG identities and statuses up to {_LARGEST}, found more; make it anew")
    return Record(p4, ids.astype(np.int64), status.astype(np.int64), origin, end)


def _check_hepmc_lines(where: str, text: bytes, mark: bytes, pattern: re.Pattern[bytes], matches: int) -> None:
    """Checks that all lines of a kind match their pattern."""
    if matches == text.count(b"\n" + mark):
        return
    lines = text.splitlines(keepends=True)
    wrong = next(line for line in lines if line.startswith(mark) and not pattern.match(b"\n" + line))
    raise InputError(
        f"{where}: expected the finite numbers of a particle or vertex, found {excerpt_of_text(wrong)}; make it anew"
    )


def _check_hepmc_count(where: str, what: str, count: int, expected: int) -> None:
    if count != expected:
        raise InputError(f"{where}: expected {expected} {what}, as its first line says, found {count}; make it anew")


def _hepmc_momentum_unit(where: str, text: bytes) -> float:
    """Returns the unit of the event's momenta in GeV; an event without a unit is in GeV."""
    unit = _UNITS.search(text)
    name = unit[1] if unit else b"GEV"
    if name not in _GEV:
        raise InputError(f"{where}: expected momenta in GEV or MEV, found {excerpt_of_text(name)}; make it anew")
    return _GEV[name]


def _vertices_of_hepmc2(
    where: str, text: bytes, vertices: list[tuple[bytes, ...]], ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the vertices that the particles of a HepMC 2 event come from and go to: each follows its vertex's line."""
    following = [block.count(b"\nP ") for block in text.split(b"\nV ")]
    if following[0]:
        raise InputError(f"{where}: expected a vertex before the first particle, found none; make it anew")
    index: dict[int, int] = {}
    orphans = np.zeros(len(vertices), np.int64)
    for i, (name, incoming, outgoing, weights, values) in enumerate(vertices):
        vertex = f"{where}: vertex {int(name)}"
        _check_hepmc_weight_name(vertex, int(name), index)
        index[int(name)] = i
        orphans[i] = min(int(incoming), following[i + 1])
        if int(incoming) < 0 or int(outgoing) < 0 or int(incoming) + int(outgoing) != following[i + 1]:
            raise InputError(
                f"{vertex}: expected {int(incoming)} + {int(outgoing)} particles, as its line says, found "
                f"{following[i + 1]}; make it anew"
            )
        if int(weights) != len(values.split()):
            raise InputError(
                f"{vertex}: expected {int(weights)} weights, as its line says, found {len(values.split())}; make it "
                "anew"
            )
    counts = np.array(following[1:], np.int64)
    origin = np.repeat(np.arange(len(vertices)), counts)
    rank = np.arange(len(origin)) - np.repeat(np.cumsum(counts) - counts, counts)
    origin[rank < np.repeat(orphans, counts)] = _OUTSIDE
    if unknown := {int(name) for name in ends.tolist()} - index.keys() - {0}:
        raise InputError(
            f"{where}: vertex {min(unknown)}: a particle goes there, but its line is missing; make it anew"
        )
    index[0] = _OUTSIDE
    return origin, np.array([index[int(name)] for name in ends.tolist()], np.int64)


def _vertices_of_hepmc3(
    where: str, vertices: list[tuple[bytes, ...]], names: np.ndarray, origins: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the vertices of a HepMC 3 event's particles, whose origins are vertices, or the only particle before."""
    count = len(names)
    if not np.array_equal(names, np.arange(1, count + 1)):
        wrong = int(np.flatnonzero(names != np.arange(1, count + 1))[0])
        raise InputError(f"{where}: expected particle {wrong + 1}, found particle {names[wrong]:.0f}; make it anew")
    index, end = _incoming_particles_of_hepmc3(where, vertices, count)
    origin = np.full(count, _OUTSIDE)
    implied = len(vertices)
    for row, name in enumerate(map(int, origins.tolist())):
        if name > 0:
            if name > count or name == row + 1:
                raise InputError(
                    f"{where}: particle {row + 1}: expected another of {count} particles before it, found {name}; make "
                    "it anew"
                )
            if end[name - 1] == _OUTSIDE:
                end[name - 1], implied = implied, implied + 1
            origin[row] = end[name - 1]
        elif name < 0:
            if name not in index:
                raise InputError(
                    f"{where}: vertex {name}: particle {row + 1} comes from there, but its line is missing; make it "
                    "anew"
                )
            origin[row] = index[name]
    return origin, end


def _incoming_particles_of_hepmc3(
    where: str, vertices: list[tuple[bytes, ...]], count: int
) -> tuple[dict[int, int], np.ndarray]:
    """Indexes vertices by their numbers, and finds the one that each particle goes to by the vertices' lines."""
    index: dict[int, int] = {}
    end = np.full(count, _OUTSIDE)
    for i, (name, incoming) in enumerate(vertices):
        vertex = f"{where}: vertex {int(name)}"
        _check_hepmc_weight_name(vertex, int(name), index)
        index[int(name)] = i
        for word in incoming.split(b",") if incoming else ():
            particle = int(word or 0)
            if not 1 <= particle <= count or end[particle - 1] != _OUTSIDE:
                raise InputError(
                    f"{vertex}: expected particles from 1 to {count} that go to no other vertex, found {particle}; "
                    "make it anew"
                )
            end[particle - 1] = i
    return index, end


def _check_hepmc_weight_name(vertex: str, name: int, index: dict[int, int]) -> None:
    if name in index:
        raise InputError(f"{vertex}: expected a number that no other vertex has, found it twice; make it anew")
    if name >= 0:
        raise InputError(f"{vertex}: expected a negative number of a vertex, found {name}; make it anew")


def read_hepmc_weights(chunk: Chunk, row: int) -> EventWeights:
    r"""Reads the weights of an event, in their order; those without names are numbered from 0.

    Args:
      chunk: events of a HepMC file.
      row: which of them.

    Returns:
      The weights; none where the event has none.

    Raises:
      InputError: a weight is no finite number, or names and weights are not as many.

    >>> read_hepmc_weights(Chunk("a", Format.HEPMC3, b"\nW x\\|y\n", (b"E 0 0 0\nU GEV MM\nW 1.5 -2\n",), 1), 0)
    EventWeights(names=('x', 'y'), values=(1.5, -2.0))
    """
    where, text = event_place_text(chunk, row), chunk.events[row]
    if chunk.format is Format.HEPMC2:
        words = _weights_of_hepmc2(where, text)
        line = _NAMES[chunk.format].search(text)
        names = _QUOTED.findall(line[1]) if line else []
    else:
        line = _NAMES[chunk.format].search(text)
        words = line[1].split() if line else []
        line = _NAMES[chunk.format].search(chunk.header)
        names = [name.replace(b"\\\\", b"\\") for name in line[1].split(b"\\|")] if line else []
    if names and words and len(names) != len(words):
        raise InputError(
            f"{where}: expected {len(names)} weights, as they have names, found {len(words)}; make it anew"
        )
    try:
        values = tuple(math.nan if b"_" in word else float(word) for word in words)
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)):
        raise InputError(f"{where}: expected finite weights, found {excerpt_of_text(b' '.join(words))}; make it anew")
    known = [name.decode("utf-8", "replace") for name in names] or [str(i) for i in range(len(words))]
    return EventWeights(tuple(known) if words else (), values)


def _weights_of_hepmc2(where: str, text: bytes) -> list[bytes]:
    """Finds the weights of a HepMC 2 event: … BEAM BEAM RANDOM numbers WEIGHTS numbers."""
    words = text.splitlines()[0].split()[_AFTER_VERTICES + 2 :]
    for what in ("random numbers", "weights"):
        if not words or not words[0].isdigit() or len(words) <= int(words[0]):
            raise InputError(
                f"{where}: expected as many {what} as its first line says, found {excerpt_of_text(text)}; make it anew"
            )
        count = int(words[0])
        numbers, words = words[1 : count + 1], words[count + 1 :]
    return numbers
