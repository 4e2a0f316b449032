"""Collisions from the text of HepMC events, which other generators made whole."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.physics.simulation.collisions import Collisions, Particles
from hepjax.physics.simulation.event_files import Beams, Format, shown
from hepjax.physics.simulation.processes import missing_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepjax.physics.simulation.event_files import Chunk

_FINAL = 1
_DOCUMENTED = 3
"""Status of the hard process in older generators' records."""
_INCOMING = 21
"""Status of the partons that come into the hard process, and of those that come out, in Pythia's records."""
_OUTGOING = (1, 2, 22, 23)
_PARTONS = (*range(1, 7), *range(11, 17), *range(21, 26))
"""Absolute PDG identities of what the hard process is told by: quarks, leptons, gluon, bosons."""
_RESONANCES = (6, 23, 24, 25)
"""Absolute PDG identities: top, Z, W, Higgs."""
_MOST_COPIES = 100
_MOST_GENERATIONS = 3

# Possessive, for a line that does not match is no reason to try shorter numbers.
_NUMBER = rb" ++[-+]?+(?:\d++\.?+\d*+|\.\d++)(?:[eE][-+]?+\d++)?+"
_WHOLE = rb" ++-?+\d++"


_SOME = rb"(" + _WHOLE + rb")"


class _Lines(NamedTuple):
    """What the lines of an event look like."""

    event: re.Pattern[bytes]
    """Its first line; the groups `vertices` and `particles` say how many there are."""
    vertex: re.Pattern[bytes]
    particle: re.Pattern[bytes]
    """The group is the vertex, or the particle, that it comes from or goes to."""
    unknown: re.Pattern[bytes]


_LINES = {
    Format.HEPMC2: _Lines(
        # E number interactions scale αQCD αQED process vertex VERTICES …
        re.compile(rb"E" + _WHOLE * 2 + _NUMBER * 3 + _WHOLE * 2 + rb" +(?P<vertices>\d+)\s"),
        # V NUMBER id position ORPHANS OUTGOING WEIGHTS …: how many of its particles follow, how many weights
        re.compile(rb"\nV" + _SOME + _WHOLE + _NUMBER * 4 + _SOME * 3 + rb"((?:" + _NUMBER + rb")*+)(?=\s)"),
        # P number id p4 mass status polarisation END FLOWS …
        re.compile(
            rb"\nP" + _WHOLE * 2 + _NUMBER * 5 + _WHOLE + _NUMBER * 2 + _SOME + rb" +\d(?:" + _WHOLE + rb")*+(?=\s)"
        ),
        re.compile(rb"\n(?![ENUCHFVP] |\s)[^\n]"),
    ),
    Format.HEPMC3: _Lines(
        # E number VERTICES PARTICLES …
        re.compile(rb"E" + _WHOLE + rb" +(?P<vertices>\d+) +(?P<particles>\d+)\s"),
        # V NUMBER status [INCOMING,…] …
        re.compile(rb"\nV" + _SOME + _WHOLE + rb" +\[([\d,]*)\]"),
        # P number ORIGIN id p4 mass status
        re.compile(rb"\nP" + _WHOLE + _SOME + _WHOLE + _NUMBER * 5 + _WHOLE + rb"(?=\s)"),
        re.compile(rb"\n(?![EUWAVPTN] |\s)[^\n]"),
    ),
}
_RANDOM_WORD = 11
_END = {
    Format.HEPMC2: b"HepMC::IO_GenEvent-END_EVENT_LISTING\n\n",
    Format.HEPMC3: b"HepMC::Asciiv3-END_EVENT_LISTING\n\n",
}


def collide(chunk: Chunk) -> Collisions:
    """The collisions of HepMC events, in GeV, whatever the file's unit.

    Stable particles have status 1. What comes out of the hard process is known from generators that mark it, with
    status 21 to 23 as Pythia 8 or with status 3 as older ones; bosons and tops are their last copies.

    Args:
      chunk: events of a HepMC file.

    Returns:
      As many collisions.

    Raises:
      InputError: an event is damaged, or the extra `sim` is missing.

    >>> collide(next(chunks("events.hepmc"))).events  # doctest: +SKIP
    100
    """
    final: list[Particles] = []
    hard: list[Particles] = []
    decays: list[Particles] = []
    mother: list[np.ndarray] = []
    roots = 0
    for i, event in enumerate(_events(chunk)):
        particles = event.numpy.particles
        p4 = np.stack([particles.px, particles.py, particles.pz, particles.e], axis=1)
        ids, status = np.array(particles.pid), np.array(particles.status)
        if not np.isfinite(p4).all():
            raise InputError(f"{_place(chunk, i)}: expected finite momenta, found others; make it anew")
        final.append(_taken(p4, ids, np.flatnonzero(status == _FINAL), i))
        outgoing = _hard(event, status)
        hard.append(_taken(p4, ids, [row for row, _ in outgoing], i))
        decays.append(_taken(p4, ids, [row for _, products in outgoing for row in products], i))
        mother.append(np.repeat(np.arange(len(outgoing)) + roots, [len(products) for _, products in outgoing]))
        roots += len(outgoing)
    return Collisions(len(chunk.events), _joined(final), _joined(hard), _joined(decays), np.concatenate(mother))


def _joined(parts: list[Particles]) -> Particles:
    return Particles(*map(np.concatenate, zip(*parts, strict=True)))


def beams(chunk: Chunk) -> Beams | None:
    """The beams of a chunk's first event.

    Args:
      chunk: events of a HepMC file.

    Returns:
      The beams; None where the record does not tell.

    Raises:
      InputError: the event is damaged, or the extra `sim` is missing.

    >>> beams(next(chunks("events.hepmc")))  # doctest: +SKIP
    Beams(ids=(2212, 2212), energies=(6500.0, 6500.0))
    """
    particles = next(_events(chunk._replace(events=chunk.events[:1]))).beams
    if len(particles) != 2:
        return None
    first, second = particles
    return Beams((first.pid, second.pid), (first.momentum.e, second.momentum.e))


def _place(chunk: Chunk, row: int) -> str:
    return f"{chunk.path}: event {chunk.first + row}"


def _taken(p4: np.ndarray, ids: np.ndarray, rows: Any, event: int) -> Particles:
    rows = np.asarray(rows, np.int64)
    return Particles(p4[rows], ids[rows].astype(np.int64), np.full(len(rows), event))


def _events(chunk: Chunk) -> Iterator[Any]:
    """The `pyhepmc.GenEvent` of each event, in GeV."""
    try:
        import pyhepmc
        from pyhepmc.io import ReaderAscii, ReaderAsciiHepMC2, pyiostream
    except ImportError as error:
        raise missing_extra("pyhepmc") from error
    # What goes wrong is told by an exception.
    pyhepmc.Setup.print_errors = pyhepmc.Setup.print_warnings = False
    pyhepmc.Setup.debug_level = 0
    stream = pyiostream(io.BytesIO(b"".join([chunk.header, *chunk.events, _END[chunk.format]])))
    reader = {Format.HEPMC2: ReaderAsciiHepMC2, Format.HEPMC3: ReaderAscii}[chunk.format](stream)
    for row, text in enumerate(chunk.events):
        _check_event(chunk, row, text)
        try:
            event = reader.read()
        except (MemoryError, RuntimeError, ValueError):  # what C++ throws
            event = None
        if event is None:
            raise InputError(f"{_place(chunk, row)}: HepMC cannot read {shown(text)}; make it anew")
        event.set_units(pyhepmc.Units.GEV, event.length_unit)
        yield event


def _check_event(chunk: Chunk, row: int, event: bytes) -> None:
    """Damage that HepMC's reader may pass over in silence."""
    like = _LINES[chunk.format]
    told = like.event.match(event)
    if told is None:
        raise InputError(f"{_place(chunk, row)}: expected the numbers of an event, found {shown(event)}; make it anew")
    if unknown := like.unknown.search(event):
        found = shown(event[unknown.start() + 1 :])
        raise InputError(f"{_place(chunk, row)}: expected a line of {chunk.format.value}, found {found}; make it anew")
    vertices, particles = like.vertex.findall(event), like.particle.findall(event)
    for pattern, lines_found, mark in ((like.vertex, vertices, b"V "), (like.particle, particles, b"P ")):
        if len(lines_found) != event.count(b"\n" + mark):
            lines = event.splitlines(keepends=True)
            wrong = next(line for line in lines if line.startswith(mark) and not pattern.match(b"\n" + line))
            raise InputError(
                f"{_place(chunk, row)}: expected the finite numbers of a particle or vertex, found {shown(wrong)}; "
                "make it anew"
            )
    whole = _whole2 if chunk.format is Format.HEPMC2 else _whole3
    if not whole(told, vertices, particles):
        raise InputError(
            f"{_place(chunk, row)}: expected the particles and vertices that its lines name, found {len(particles)} "
            f"and {len(vertices)} that do not fit together; make it anew"
        )


def _whole2(told: re.Match[bytes], vertices: list[Any], particles: list[bytes]) -> bool:
    """Whether the lines of HepMC 2 fit together; its reader may crash where they do not."""
    # … RANDOM numbers WEIGHTS numbers: the reader makes room for as many as its first line says.
    words = told.string.splitlines()[0].split()[_RANDOM_WORD:]
    for _ in range(2):
        if not words or not words[0].isdigit() or len(words) <= int(words[0]):
            return False
        words = words[int(words[0]) + 1 :]
    names = {int(name) for name, *_ in vertices}
    following = [block.count(b"\nP ") for block in told.string.split(b"\nV ")[1:]]
    return (
        len(names) == len(vertices) == int(told["vertices"])
        and max(names, default=-1) < 0
        and all(int(weights) == len(values.split()) for *_, weights, values in vertices)
        and [int(orphans) + int(outgoing) for _, orphans, outgoing, *_ in vertices] == following
        and sum(following) == len(particles)
        and set(map(int, set(particles))) <= names | {0}
    )


def _whole3(told: re.Match[bytes], vertices: list[Any], particles: list[bytes]) -> bool:
    """Likewise for HepMC 3, where a vertex with one incoming particle may go by that particle's number."""
    first, last = -int(told["vertices"]), int(told["particles"])
    names = [int(name) for name, _ in vertices]
    incoming = b",".join(some for _, some in vertices if some)
    origins = set(map(int, set(particles)))
    return (
        len(particles) == last
        and all(first <= name < 0 for name in names)
        and all(0 < int(number or 0) <= last for number in incoming.split(b",") if incoming)
        and first <= min(origins, default=0)
        and max(origins, default=0) <= last
    )


def _hard(event: Any, status: np.ndarray) -> list[tuple[int, list[int]]]:
    """What comes out of the hard process: the rows of each parton or boson, and of its decay products."""
    marked = bool((status == _INCOMING).any())
    incoming = _INCOMING if marked else _DOCUMENTED
    outgoing = _OUTGOING if marked else (_DOCUMENTED,)
    found: dict[int, Any] = {}
    particles = event.particles if (status == incoming).any() else []
    for row in np.flatnonzero(status == incoming).tolist():
        vertex = particles[row].end_vertex
        if vertex is not None and sum(p.status == incoming for p in vertex.particles_in) > 1:
            found |= {p.id: p for p in vertex.particles_out if p.status in outgoing}
    told = [last for particle in found.values() for last in map(_last_copy, _partons(particle))]
    # A particle's number in its event is its row, from 1.
    return [(last.id - 1, [p.id - 1 for p in _products(last)]) for last in told]


def _partons(particle: Any, generations: int = _MOST_COPIES) -> list[Any]:
    """A parton or boson; what is heavier and new is told by what it decays to."""
    if particle.abs_pid in _PARTONS or generations == 0 or particle.end_vertex is None:
        return [particle]
    if len(particle.children) == 1:
        return _partons(particle.children[0], generations - 1)
    return [
        parton for child in particle.children for parton in _partons(child, min(generations, _MOST_GENERATIONS) - 1)
    ]


def _last_copy(particle: Any) -> Any:
    """A boson or top before its decay; anything else as it is."""
    for _ in range(_MOST_COPIES if particle.abs_pid in _RESONANCES else 0):  # a damaged record may go in circles
        following = [child for child in particle.children if child.pid == particle.pid]
        if len(following) != 1:
            break
        particle = following[0]
    return particle


def _products(particle: Any, generations: int = _MOST_GENERATIONS) -> list[Any]:
    """What a boson or top decays to, and its bosons: a top's bottom quark first."""
    if particle.abs_pid not in _RESONANCES or generations == 0:
        return []
    light = [child for child in particle.children if child.abs_pid not in _RESONANCES]
    bosons = [_last_copy(child) for child in particle.children if child.abs_pid in _RESONANCES]
    return light + [product for boson in bosons for product in _products(boson, generations - 1)]
