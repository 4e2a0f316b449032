"""Makers of small files of events, Les Houches and HepMC, for tests."""

from pathlib import Path

import numpy as np

from hepjax.errors import InputError
from hepjax.physics.simulation.conditions import Conditions

END = "</LesHouchesEvents>\n"
CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
"""Files of others, where they lie beside the checkout."""
BARE = Conditions(
    pythia=(
        "PartonLevel:ISR = off",
        "PartonLevel:FSR = off",
        "PartonLevel:MPI = off",
        "HadronLevel:all = off",
        "BeamRemnants:primordialKT = off",
    )
)
"""Pythia adds the remnants of the beams, and no more."""
INIT = " 2212 2212 6.5e+03 6.5e+03 0 0 247000 247000 {strategy} 1\n {cross_section} 1.0e-02 1.0e+00 1\n"


def les_houches(weights=(1.0,), strategy=3, cross_section="1.0e+00", momenta=(1000.0,), extra=None, header=""):
    """Returns the head, the events and the end of a Les Houches file of two gluons an event."""
    init = INIT.format(strategy=strategy, cross_section=cross_section)
    head = f'<LesHouchesEvents version="3.0">\n<header>\n{header}</header>\n<init>\n{init}</init>\n'
    events = []
    for i, weight in enumerate(weights):
        p = momenta[i % len(momenta)]
        rows = [(-1, 0, 0, 501, 502, 0.0, p), (-1, 0, 0, 503, 501, 0.0, -p), (1, 1, 2, 504, 502, p, 0.0)]
        rows.append((1, 1, 2, 503, 504, -p, 0.0))
        lines = [
            f" 21 {status} {a} {b} {c} {d} {x:.10e} 0.0000000000e+00 {z:.10e} {p:.10e} 0.0000000000e+00 0. 9."
            for status, a, b, c, d, x, z in rows
        ]
        more = "" if extra is None else extra(i)
        events.append(
            "\n".join(["<event>", f" 4 1 {weight} {p:.10e} 7.8e-03 1.18e-01", *lines]) + f"\n{more}</event>\n"
        )
    return head, events, END


def split_les_houches(path):
    """Splits a Les Houches file into its header and its events, as text."""
    header, body = path.read_text().split("</init>\n")
    return header + "</init>\n", [event + "</event>\n" for event in body.split("</event>\n")[:-1]]


def outgoing(events):
    """Reads (N, 5) momenta and identities of all outgoing particles of Les Houches events, by hand."""
    lines = [line.split() for event in events for line in event.splitlines()[2:-1]]
    return np.array([[*map(float, words[6:10]), int(words[0])] for words in lines if words[1] == "1"])


def outcome(call):
    """Returns the result of a call and no words, or None and the words of its error."""
    try:
        return call(), ""
    except InputError as error:
        return None, str(error)


def assert_same(mine, yours):
    """Asserts that two sets of collisions are the same."""
    assert mine.events == yours.events
    np.testing.assert_array_equal(mine.mother, yours.mother)
    np.testing.assert_array_equal(mine.weights[:, 0], yours.weights[:, 0])
    for name in ("final", "hard", "decays"):
        for a, b in zip(getattr(mine, name), getattr(yours, name), strict=True):
            np.testing.assert_array_equal(a, b)


def as_hepmc(record, number):
    """Makes a HepMC event of an event of Pythia, as Pythia's own interface does."""
    import pyhepmc

    event = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    event.event_number = number
    particles, ends = [], {}
    for i in range(record.size()):
        entry = record[i]
        hadron_or_lepton = entry.isHadron() or entry.idAbs() in (13, 15)
        status = (
            1 if entry.isFinal() else 4 if entry.statusAbs() == 12 else 2 if hadron_or_lepton else entry.statusAbs()
        )
        particles.append(pyhepmc.GenParticle((entry.px(), entry.py(), entry.pz(), entry.e()), entry.id(), status))
    for i in range(1, record.size()):
        mothers = [mother for mother in record[i].motherList() if mother > 0]
        if not mothers:
            continue
        vertex = ends.get(mothers[0]) or pyhepmc.GenVertex((0, 0, 0, 0))
        for mother in mothers:
            if mother not in ends:
                vertex.add_particle_in(particles[mother])
                ends[mother] = vertex
        vertex.add_particle_out(particles[i])
    event.add_tree([particles[1], particles[2]])
    return event


def small(unit=None, *, hard=21, products=(22, 23, 62, 23), new=False):
    """Makes a collision of a few particles; `hard` and `products` are the statuses of its hard process."""
    import pyhepmc

    event = pyhepmc.GenEvent(unit or pyhepmc.Units.GEV, pyhepmc.Units.MM)
    scale = 1.0 if unit in (None, pyhepmc.Units.GEV) else 1000.0
    decaying, out, last, product = products

    def particle(px, py, pz, e, pid, status):
        return pyhepmc.GenParticle(tuple(scale * value for value in (px, py, pz, e)), pid, status)

    beams = particle(0, 0, 6500, 6500, 2212, 4), particle(0, 0, -6500, 6500, 2212, 4)
    partons = particle(0, 0, 100, 100, 2, hard), particle(0, 0, -100, 100, -1, hard)
    remnants = particle(0, 0, 6400, 6400, 2101, 1), particle(0, 0, -6400, 6400, -2203, 1)
    w, gluon, copy = (
        particle(60, 0, 0, 100, 24, decaying),
        particle(-60, 0, 0, 100, 21, out),
        particle(61, 0, 0, 101, 24, last),
    )
    heavy = particle(0, 0, 0, 200, 34, 22), particle(0, 0, 0, 200, 34, 62)
    quarks = particle(30, 1, 0, 50, 2, product), particle(31, -1, 0, 51, -1, product)
    final = particle(29.5, 1, 1, 49, 211, 1), particle(30.25, -1, 1 / 3, 50, -211, 1), particle(-40, 0.5, 0, 99, 130, 1)
    for incoming, leaving in (
        (beams[:1], (partons[0], remnants[0])),
        (beams[1:], (partons[1], remnants[1])),
        *([(partons, heavy[:1]), (heavy[:1], heavy[1:]), (heavy[1:], (w, gluon))] if new else [(partons, (w, gluon))]),
        ((w,), (copy,)),
        ((copy,), quarks),
        ((*quarks, gluon), final),
    ):
        vertex = pyhepmc.GenVertex((0, 0, 0, 0))
        for entering in incoming:
            vertex.add_particle_in(entering)
        for outgoing_particle in leaving:
            vertex.add_particle_out(outgoing_particle)
        event.add_vertex(vertex)
    return event


def write_hepmc(path, written, events):
    """Writes HepMC events to a file, of format "hepmc2" or "hepmc3"."""
    import pyhepmc

    with pyhepmc.open(str(path), "w", format=written, precision=16) as file:
        for event in events:
            file.write(event)
    return path
