import gzip
import pickle
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepjax.choices import Keep
from hepjax.errors import InputError
from hepjax.physics import kinematics
from hepjax.physics.simulation import collisions, event_files, les_houches, processes, units
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.event_files import Format
from hepjax.physics.simulation.events import EventsUnit, chunks, collide, simulate_events

pytest.importorskip("pythia8mc", reason="the extra `sim` is not installed")
pytest.importorskip("fastjet", reason="the extra `sim` is not installed")
pyhepmc = pytest.importorskip("pyhepmc", reason="the extra `sim` is not installed")

END = "</LesHouchesEvents>\n"
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


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function of a class's name: a Les Houches file of 60 hard collisions, written by Pythia."""
    folder = tmp_path_factory.mktemp("events")

    def write(name):
        path = folder / f"{name}.lhe"
        if not path.exists():
            generator = processes.generator(name)
            processes.seed(generator, 3)
            handover = generator.handover
            handover.openLHEF(str(path))
            handover.setInit()
            handover.initLHEF()
            for _ in range(60):
                handover.setEvent()
                handover.eventLHEF()
            handover.closeLHEF(False)
        return path

    return write


def parts(path):
    """The header and the events of a Les Houches file, as text."""
    header, body = path.read_text().split("</init>\n")
    return header + "</init>\n", [event + "</event>\n" for event in body.split("</event>\n")[:-1]]


def outgoing(events):
    """(N, 5) momenta and identities of all outgoing particles of Les Houches events, read by hand."""
    lines = [line.split() for event in events for line in event.splitlines()[2:-1]]
    return np.array([[*map(float, words[6:10]), int(words[0])] for words in lines if words[1] == "1"])


def events_of(path, size=100):
    return [event for chunk in chunks(path, size) for event in chunk.events]


def outcome(do):
    """What comes out, or None and the error's words."""
    try:
        return do(), ""
    except InputError as error:
        return None, str(error)


def assert_same(mine, yours):
    assert mine.events == yours.events
    np.testing.assert_array_equal(mine.mother, yours.mother)
    for name in ("final", "hard", "decays"):
        for a, b in zip(getattr(mine, name), getattr(yours, name), strict=True):
            np.testing.assert_array_equal(a, b)


# Les Houches files.


@pytest.mark.parametrize("name", ["g", "q", "w", "z", "t"])
def test_without_showers_the_hard_partons_are_those_of_the_file(written, name):
    path = written(name)
    made = collide(next(chunks(path)), 1, BARE)
    wanted = outgoing(parts(path)[1])
    assert made.events == 60
    np.testing.assert_array_equal(made.hard.ids, wanted[:, 4])
    # Pythia gives massless light quarks a mass; the incoming partons change, the directions stay.
    np.testing.assert_allclose(made.hard.p4, wanted[:, :4], rtol=1e-4 if name == "q" else 1e-8, atol=1e-5)
    np.testing.assert_array_equal(made.hard.event, np.repeat(np.arange(60), 2))
    if name in "wzt":
        sums = np.zeros((120, 4))
        np.add.at(sums, made.mother, made.decays.p4)
        np.testing.assert_allclose(sums, made.hard.p4, atol=1e-6)
        assert set(np.abs(made.decays.ids)) <= {1, 2, 3, 4, 5}


def test_settings_change_the_decays_of_what_comes_undecayed(written):
    chunk = next(chunks(written("w"), 10))
    leptons = collide(chunk, 1, BARE._replace(pythia=(*BARE.pythia, "24:onMode = off", "24:onIfAny = 11 13")))
    assert set(np.abs(leptons.decays.ids)) == {11, 12, 13, 14}


def test_showers_follow_from_the_seed_alone(written):
    few, other = next(chunks(written("w"), 5)), next(chunks(written("t"), 7))
    first = collide(few, 1, PUBLIC)
    assert len(first.final.ids) > 5 * 200
    np.testing.assert_array_equal(np.unique(np.abs(first.hard.ids)), [24])
    for chunk, seed in ((few, 2), (other, 1), (few._replace(events=few.events[:2]), 4)):
        assert not np.array_equal(collide(chunk, seed, PUBLIC).final.p4, first.final.p4)
    assert_same(collide(pickle.loads(pickle.dumps(few)), 1, PUBLIC), first)  # noqa: S301 — ours
    les_houches._reader.cache_clear()
    assert_same(collide(few, 1, PUBLIC), first)


def test_lines_ends_blanks_comments_and_versions_do_not_matter(written, tmp_path, monkeypatch):
    header, events = parts(written("t"))
    wanted = collide(next(chunks(written("t"), 3)), 1, BARE)
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    weights = "<rwgt>\n<wgt id='1001'> 0.5 </wgt>\n</rwgt>\n<scales muf='91.2'></scales>\n# a comment\n</event>"
    blocks = [
        header.replace("<init>", "<header>\n<slha>\nBLOCK MASS\n  6 170.\nDECAY 24 2.0\n</slha>\n</header>\n<init>"),
        *[event.replace("</event>", weights) for event in events[:3]],
    ]
    variants = {
        "version3": "".join(blocks).replace('version="1.0"', "version='3.0'"),
        "windows": (header + "".join(events[:3])).replace("\n", "\r\n"),
        "xml": '<?xml version="1.0"?>\n<!-- made by hand -->\n'
        + header
        + "\n<!-- <event>\n not one -->\n".join(f"<eventgroup>\n{event}</eventgroup>\n# b\n" for event in events[:3]),
    }
    for name, text in variants.items():
        path = tmp_path / name
        path.write_text(text + END)
        assert_same(collide(next(chunks(path)), 1, BARE), wanted)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("beams", ["2212 -2212 6500 6500", "11 -11 6500 6500", "2212 2212 6500 7000"])
def test_any_beams_that_pythia_knows(written, tmp_path, beams):
    header, events = parts(written("w"))
    path = tmp_path / "a.lhe"
    path.write_text(header.replace("2212  2212  6.500000e+03  6.500000e+03", beams) + "".join(events[:2]) + END)
    assert collide(next(chunks(path)), 1, BARE).events == 2
    with pytest.raises(InputError, match=r"a\.lhe: expected protons of 6500.*leave pile-up out"):
        collide(next(chunks(path)), 1, PUBLIC._replace(pile_up=1.0))


def test_events_that_pythia_gives_up_on_are_passed_over(written, tmp_path):
    header, events = parts(written("t"))
    colourless = events[1].replace(" 101 ", "   0 ").replace(" 102 ", "   0 ")
    path = tmp_path / "a.lhe"
    path.write_text(header + events[0] + colourless + events[2] + END)
    made = collide(next(chunks(path)), 1, BARE)
    assert made.events == 2
    np.testing.assert_allclose(made.hard.p4, outgoing([events[0], events[2]])[:, :4], atol=1e-5)
    path.write_text(header + colourless + END)
    assert simulate_events(EventsUnit(1, 0, next(chunks(path)))).counts.shape == (0,)
    path.write_text(header + colourless * 30 + END)
    with pytest.raises(InputError, match=r"a\.lhe: events 1 to 30: Pythia gives up on all"):
        collide(next(chunks(path)), 1, BARE)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("1.7300000000e+02", "nan", r"event 2: expected 13 finite numbers of a particle, found '6 "),
        ("1.7300000000e+02", "inf", r"event 2: expected 13 finite numbers"),
        ("1.7300000000e+02", "1_7", r"event 2: expected 13 finite numbers"),
        ("1.7300000000e+02 0. 9.", "", r"event 2: expected 13 finite numbers"),
        ("     4     1", "     4", r"event 2: expected 6 finite numbers of the event"),
        ("     4     1", "     9     1", r"event 2: expected as many lines of particles as '9 "),
        ("     1     1     2", "     1     5     2", r"event 2: expected mothers that lead back"),
        ("    -1     0     0", "     7     0     0", r"event 2: expected particles of status .* found 7"),
        ("    -1     0     0", "     1     0     0", r"event 2: expected two incoming particles .* found 1"),
        ("    -1     0     0", "    -1     0     2147483648", r"event 2: expected 13 finite numbers"),
    ],
)
def test_a_damaged_event_is_named(written, tmp_path, old, new, words):
    header, events = parts(written("t"))
    assert old in events[1]
    # No blanks are left out: words are told apart by them.
    events[1] = events[1].replace(old, new, 1)
    path = tmp_path / "a.lhe"
    path.write_text(header + "".join(events[:3]) + END)
    with pytest.raises(InputError, match=rf"a\.lhe: {words}"):
        collide(next(chunks(path)), 1, BARE)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("2212  2212  6.5", "x  2212  6.5", r"<init>: expected 10 finite numbers of the beams, found 'x "),
        ("2212  2212  6.5", "0  0  6.5", r"<init>: expected two beams"),
        ("2212  2212  6.5", "39  2212  6.5", r"Pythia fails to initialise"),
        ("1.000000e+00  0.000000e+00", "1.000000e+00", r"<init>: expected 4 finite numbers of process 1"),
    ],
)
def test_a_damaged_header_is_named(written, tmp_path, old, new, words):
    header, events = parts(written("g"))
    assert old in header
    path = tmp_path / "a.lhe"
    path.write_text(header.replace(old, new, 1) + events[0] + END)
    with pytest.raises(InputError, match=rf"a\.lhe: {words}"):
        collide(next(chunks(path)), 1, BARE)


def test_wrong_settings_are_named(written):
    with pytest.raises(InputError, match="Pythia refuses the setting 'Beams:colour = blue'"):
        collide(next(chunks(written("g"))), 1, Conditions(pythia=("Beams:colour = blue",)))


# HepMC files.


def as_hepmc(record, number):
    """A HepMC event of an event of Pythia, as Pythia's own interface makes it."""
    event = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
    event.event_number = number
    particles, ends = [], {}
    for i in range(record.size()):
        one = record[i]
        hadron_or_lepton = one.isHadron() or one.idAbs() in (13, 15)
        status = 1 if one.isFinal() else 4 if one.statusAbs() == 12 else 2 if hadron_or_lepton else one.statusAbs()
        particles.append(pyhepmc.GenParticle((one.px(), one.py(), one.pz(), one.e()), one.id(), status))
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
    """A collision of a few particles; the statuses of its hard process are as asked."""
    event = pyhepmc.GenEvent(unit or pyhepmc.Units.GEV, pyhepmc.Units.MM)
    scale = 1.0 if unit in (None, pyhepmc.Units.GEV) else 1000.0
    decaying, out, last, product = products

    def one(px, py, pz, e, pid, status):
        return pyhepmc.GenParticle(tuple(scale * value for value in (px, py, pz, e)), pid, status)

    beams = one(0, 0, 6500, 6500, 2212, 4), one(0, 0, -6500, 6500, 2212, 4)
    partons = one(0, 0, 100, 100, 2, hard), one(0, 0, -100, 100, -1, hard)
    remnants = one(0, 0, 6400, 6400, 2101, 1), one(0, 0, -6400, 6400, -2203, 1)
    w, gluon, copy = one(60, 0, 0, 100, 24, decaying), one(-60, 0, 0, 100, 21, out), one(61, 0, 0, 101, 24, last)
    heavy = one(0, 0, 0, 200, 34, 22), one(0, 0, 0, 200, 34, 62)
    quarks = one(30, 1, 0, 50, 2, product), one(31, -1, 0, 51, -1, product)
    final = one(29.5, 1, 1, 49, 211, 1), one(30.25, -1, 1 / 3, 50, -211, 1), one(-40, 0.5, 0, 99, 130, 1)
    for incoming, leaving in (
        (beams[:1], (partons[0], remnants[0])),
        (beams[1:], (partons[1], remnants[1])),
        *([(partons, heavy[:1]), (heavy[:1], heavy[1:]), (heavy[1:], (w, gluon))] if new else [(partons, (w, gluon))]),
        ((w,), (copy,)),
        ((copy,), quarks),
        ((*quarks, gluon), final),
    ):
        vertex = pyhepmc.GenVertex((0, 0, 0, 0))
        for particle in incoming:
            vertex.add_particle_in(particle)
        for particle in leaving:
            vertex.add_particle_out(particle)
        event.add_vertex(vertex)
    return event


def write_hepmc(path, written, events):
    with pyhepmc.open(str(path), "w", format=written, precision=16) as file:
        for event in events:
            file.write(event)
    return path


HEPMC = pytest.mark.parametrize("written_as", ["hepmc2", "hepmc3"])


@HEPMC
def test_hepmc_events_are_those_that_pythia_made(tmp_path, written_as):
    for name in ("t", "w", "g"):
        generator = processes.generator(name)
        processes.seed(generator, 7)
        wanted = collisions.from_batch(generator.pythia.nextBatch(4))
        processes.seed(generator, 7)
        made = [as_hepmc(generator.pythia.event, i) for i in range(4) if generator.pythia.next()]
        chunk = next(chunks(write_hepmc(tmp_path / name, written_as, made)))
        assert chunk.format.value.lower() == written_as
        found = collide(chunk, 1, PUBLIC)
        assert found.events == 4
        for mine, yours in ((found.final, wanted.final), (found.hard, wanted.hard), (found.decays, wanted.decays)):
            rows = [np.column_stack([some.event, some.ids, some.p4]) for some in (mine, yours)]
            # HepMC keeps its own order within an event.
            a, b = (row[np.lexsort(row.T[::-1])] for row in rows)
            np.testing.assert_array_equal(a, b)
        # Each product stands with its own mother, a top's bottom quark first.
        sums = np.zeros_like(found.hard.p4)
        np.add.at(sums, found.mother, found.decays.p4)
        # (W bosons recoil when a top's bottom quark radiates.)
        loose = {"t": 0.2}.get(name, 1e-9)
        np.testing.assert_allclose(sums[found.mother], found.hard.p4[found.mother], rtol=0, atol=1000 * loose)
        if name == "t":
            np.testing.assert_array_equal(np.abs(found.decays.ids[::3]), 5)


@HEPMC
def test_momenta_are_in_gev(tmp_path, written_as):
    gev, mev = (
        collide(next(chunks(write_hepmc(tmp_path / str(unit), written_as, [small(unit)]))), 1, PUBLIC)
        for unit in (pyhepmc.Units.GEV, pyhepmc.Units.MEV)
    )
    assert gev.final.p4[-2].tolist() == [30.25, -1, 1 / 3, 50]
    np.testing.assert_allclose(mev.final.p4, gev.final.p4, rtol=1e-15)
    np.testing.assert_array_equal(mev.hard.ids, gev.hard.ids)


@HEPMC
def test_the_hard_process_is_told_by_status(tmp_path, written_as):
    events = [small(), small(hard=3, products=(3, 3, 2, 2)), small(hard=11, products=(11, 11, 11, 11))]
    made = collide(next(chunks(write_hepmc(tmp_path / "a", written_as, events))), 1, PUBLIC)
    assert made.hard.event.tolist() == [0, 0, 1, 1]
    assert made.hard.ids.tolist() == [24, 21] * 2
    assert made.hard.p4[0].tolist() == [61, 0, 0, 101]
    assert made.decays.ids.tolist() == [2, -1] * 2
    assert made.mother.tolist() == [0, 0, 2, 2]
    unmarked = next(chunks(write_hepmc(tmp_path / "b", written_as, events[2:])))
    assert collide(unmarked, 1, PUBLIC).hard.ids.shape == (0,)
    with pytest.raises(InputError, match=r"b: expected the hard process.*keep the leading jets"):
        collide(unmarked, 1, PUBLIC._replace(keep=Keep.MATCHED))


@HEPMC
def test_new_particles_are_told_by_what_they_decay_to(tmp_path, written_as):
    made = collide(next(chunks(write_hepmc(tmp_path / "a", written_as, [small(new=True)]))), 1, PUBLIC)
    assert sorted(made.hard.ids.tolist()) == [21, 24]
    assert sorted(made.decays.ids.tolist()) == [-1, 2]


@HEPMC
def test_pile_up_is_of_the_same_beams(tmp_path, written_as):
    chunk = next(chunks(write_hepmc(tmp_path / "a", written_as, [small()])))
    piled = Conditions(pile_up=1.0)
    assert collide(chunk, 1, piled).events == 1
    slow = chunk._replace(events=tuple(event.replace(b" 6.5000", b" 4.0000") for event in chunk.events))
    with pytest.raises(InputError, match="a: expected protons of 6500"):
        collide(slow, 1, piled)


@HEPMC
@pytest.mark.parametrize(
    "old, new, words",
    [
        (b" 3.0250000000000000e+01", b" nan", "expected the finite numbers of a particle or vertex, found 'P "),
        (b" 3.0250000000000000e+01", b" 1e999", "expected finite momenta"),
        (b"\nU GEV", b"\nQ GEV", "expected a line of HepMC., found 'Q GEV"),
        (b" -211 ", b" x ", "expected the finite numbers of a particle or vertex, found 'P "),
        (b"E 0 ", b"E x ", "expected the numbers of an event, found 'E x"),
    ],
)
def test_a_damaged_hepmc_event_is_named(tmp_path, written_as, old, new, words):
    path = write_hepmc(tmp_path / "a.hepmc", written_as, [small(), small()])
    first, second = path.read_bytes().split(b"\nE ")[1:]
    assert old in b"E " + second
    damaged = (b"\nE " + second).replace(old, new, 1)
    path.write_bytes(path.read_bytes().split(b"\nE ")[0] + b"\nE " + first + damaged)
    with pytest.raises(InputError, match=rf"a\.hepmc: event 2: {words}"):
        collide(next(chunks(path)), 1, PUBLIC)


@HEPMC
def test_a_lost_line_is_noticed(tmp_path, written_as):
    path = write_hepmc(tmp_path / "a.hepmc", written_as, [small(), small()])
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.startswith(b"E "))
    for i in range(first, len(lines) - 2):
        if lines[i].startswith((b"P ", b"V ")):
            path.write_bytes(b"".join(lines[:i] + lines[i + 1 :]))
            with pytest.raises(InputError, match=r"a\.hepmc: event [12]: "):
                collide(next(chunks(path)), 1, PUBLIC)


@HEPMC
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_hepmc_text_gives_an_error_or_all_events(tmp_path, written_as, data):
    path = tmp_path / "a.hepmc"
    if not path.exists():
        write_hepmc(path, written_as, [small(), small()])
    chunk = next(chunks(path))
    words = chunk.events[0].split(b" ")
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(words) - 1))
        words[i] = data.draw(st.sampled_from([b"0", b"-1", b"3", b"16", b"-7", b"99999", b"1e300", b"x", b""]))
    made, complaint = outcome(lambda: collide(chunk._replace(events=(b" ".join(words), chunk.events[1])), 1, PUBLIC))
    if made is None:
        assert complaint.startswith(f"{path}: event 1: ")
    else:
        assert made.events == 2
        assert np.isfinite(made.final.p4).all()


# Chunks.


@pytest.fixture(scope="module")
def texts(written, tmp_path_factory):
    """Small files of each format: their bytes."""
    folder = tmp_path_factory.mktemp("texts")
    header, events = parts(written("w"))
    found = {Format.LES_HOUCHES: (header + "".join(events[:3]) + END).encode()}
    for written_as in (Format.HEPMC2, Format.HEPMC3):
        path = write_hepmc(folder / written_as.value, written_as.value.lower(), [small()] * 3)
        found[written_as] = path.read_bytes()
    return found


FORMATS = pytest.mark.parametrize("written_as", Format)


@FORMATS
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_chunks_hold_each_event_once_whatever_their_size(texts, tmp_path, written_as, size):
    path = tmp_path / "events"
    path.write_bytes(texts[written_as])
    found = list(chunks(path, size))
    assert [len(chunk.events) for chunk in found] == {1: [1, 1, 1], 2: [2, 1]}.get(size, [3])
    assert [chunk.first for chunk in found] == {1: [1, 2, 3], 2: [1, 3]}.get(size, [1])
    header = found[0].header
    assert all(chunk.header == header and chunk.format is written_as for chunk in found)
    text = texts[written_as]
    end = text.index(event_files._MARKS[written_as].end)
    assert header + b"".join(event for chunk in found for event in chunk.events) == text[:end]


@FORMATS
def test_gzip_is_known_by_content(texts, tmp_path, written_as):
    plain, packed = tmp_path / "events.gz", tmp_path / "events.lhe"
    plain.write_bytes(texts[written_as])
    # Two members, as `cat a.gz b.gz` makes them.
    half = len(texts[written_as]) // 2
    packed.write_bytes(gzip.compress(texts[written_as][:half]) + gzip.compress(texts[written_as][half:]))
    assert [c._replace(path="") for c in chunks(plain)] == [c._replace(path="") for c in chunks(packed)]


def test_large_events_make_small_chunks(texts, tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(texts[Format.HEPMC3])
    monkeypatch.setattr(event_files, "MAX_CHUNK", 1000)
    assert [len(chunk.events) for chunk in chunks(path)] == [1, 1, 1]


def test_memory_does_not_grow_with_the_file(written, tmp_path):
    header, events = parts(written("g"))
    path = tmp_path / "many.lhe.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write(header)
        for _ in range(200):
            file.write("".join(events))
        file.write(END)
    tracemalloc.start()
    try:
        assert sum(len(chunk.events) for chunk in chunks(path)) == 12_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@FORMATS
def test_a_file_that_was_cut_off_anywhere_is_refused(texts, tmp_path, written_as):
    path = tmp_path / "a"
    text = texts[written_as]
    whole = text.index(event_files._MARKS[written_as].end) + len(event_files._MARKS[written_as].end)
    for length in [*range(0, whole, 7), whole - 1]:
        for pack in (bytes, gzip.compress):
            path.write_bytes(pack(text[:length]))
            with pytest.raises(InputError, match=r"/a: .*expected "):
                list(chunks(path))
    packed = gzip.compress(text)
    for length in range(2, len(packed), 11):
        path.write_bytes(packed[:length])
        with pytest.raises(InputError, match=r"/a: damaged or cut off after event \d"):
            list(chunks(path))


@FORMATS
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_garbled_text_is_refused_or_read_to_the_last_byte(texts, tmp_path, written_as, data):
    text = texts[written_as]
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 300)))
    some = st.sampled_from([b"", b"<event>\n", b"</event>\n", b"E 1\n", b"\n", b"<", END.encode(), b"HepMC::", b"\0"])
    garbled = text[:start] + data.draw(some | st.binary(max_size=20)) + text[stop:]
    path = tmp_path / "a"
    path.write_bytes(garbled)
    found, complaint = outcome(lambda: list(chunks(path, 2)))
    if found is None:
        assert complaint.startswith(f"{path}: ")
        assert "\n" not in complaint
        return
    rest = garbled[garbled.index(found[0].header) + len(found[0].header) :]
    for event in (event for chunk in found for event in chunk.events):
        between, rest = rest.split(event, 1)
        # Comments and tags may stand between the events of a Les Houches file.
        assert all(line.lstrip()[:1] in (b"", b"#", b"<") for line in between.splitlines())
        assert written_as is Format.LES_HOUCHES or between == b""
    assert rest.count(b"<event>") == 0
    assert event_files._MARKS[written_as].end in rest


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "found an empty file"),
        (b"\n \n", "found an empty file"),
        (b"root\0\0\xff", "found 'root"),
        (b"HepMC::HEPEVT-START_EVENT_LISTING\n", "found 'HepMC::HEPEVT"),
        (b'<LesHouchesEvents version="9.0">\n' + END.encode(), "version 1, 2 or 3, found version '9.0'"),
        (b'<LesHouchesEvents version="1.0">\n<event>\n' + END.encode(), "expected </init> before the first event"),
        (b'<LesHouchesEvents version="1.0">\n<init>\n</init>\n' + END.encode(), "expected events, found none"),
        (gzip.compress(b"hello", mtime=0), "found 'hello'"),
        (b"\x1f\x8bhello", "damaged or cut off"),
    ],
)
def test_what_holds_no_events_is_refused(tmp_path, content, words):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        list(chunks(path))
    assert str(caught.value).startswith(f"{path}: ")


@FORMATS
def test_joined_files_and_other_text_are_refused(texts, tmp_path, written_as):
    path = tmp_path / "a"
    path.write_bytes(texts[written_as] * 2)
    with pytest.raises(InputError, match="if files were joined, give them one by one"):
        list(chunks(path))
    end = event_files._MARKS[written_as].end
    path.write_bytes(texts[written_as].replace(end, b"HepMC::Version\n" + end))
    with pytest.raises(InputError, match=r"event 3: expected"):
        list(chunks(path))


def test_missing_files_and_wrong_sizes(tmp_path, texts):
    with pytest.raises(InputError, match=r"none\.lhe: cannot be read \(No such file"):
        next(chunks(tmp_path / "none.lhe"))
    with pytest.raises(InputError, match="cannot be read"):
        next(chunks(tmp_path))
    with pytest.raises(InputError, match="size: expected at least one"):
        next(chunks(tmp_path / "none.lhe", 0))


def test_oversized_events_are_refused(tmp_path, texts, monkeypatch):
    monkeypatch.setattr(event_files, "_MAX_EVENT", 400)
    path = tmp_path / "a"
    for text in texts.values():
        path.write_bytes(text)
        with pytest.raises(InputError, match="within 400 bytes"):
            list(chunks(path))
    monkeypatch.setattr(event_files, "_MAX_LINE", 20)
    with pytest.raises(InputError, match="one of 20 bytes or more"):
        list(chunks(path))


@pytest.mark.parametrize("package, written_as", [("pythia8mc", Format.LES_HOUCHES), ("pyhepmc", Format.HEPMC3)])
def test_a_missing_extra_is_named(texts, tmp_path, monkeypatch, package, written_as):
    path = tmp_path / "a"
    path.write_bytes(texts[written_as])
    monkeypatch.setitem(sys.modules, package, None)
    les_houches._reader.cache_clear()
    with pytest.raises(InputError, match=rf"needs the package {package}.*hepjax\[sim\]"):
        collide(next(chunks(path)), 1, PUBLIC)


# Units.


def test_a_unit_of_events_gives_the_jets_that_its_class_gives(written):
    chunk = next(chunks(written("w"), 30))
    unit = EventsUnit(1, 0, chunk)
    jets = simulate_events(unit)
    assert len(jets.counts) == 30
    np.testing.assert_array_equal(np.abs(jets.parton[:, 4]), 24)
    mass = kinematics.mass(np.add.reduceat(jets.p4, np.cumsum(jets.counts) - jets.counts))
    assert 79 < np.median(mass) < 84
    for other in (unit._replace(seed=2), unit._replace(number=1), unit._replace(conditions=Conditions(pile_up=3.0))):
        assert not np.array_equal(simulate_events(other).p4, jets.p4)
    for mine, yours in zip(simulate_events(unit), jets, strict=True):
        np.testing.assert_array_equal(mine, yours)


def test_hepmc_events_go_through_the_same_detector(tmp_path):
    event = small()
    for particle in event.particles:
        particle.momentum = pyhepmc.FourVector(*(20 * value for value in particle.momentum))  # jets begin at 100 GeV
    chunk = next(chunks(write_hepmc(tmp_path / "a", "hepmc3", [event] * 3)))
    seen = simulate_events(EventsUnit(1, 0, chunk))
    exact = simulate_events(EventsUnit(1, 0, chunk, Conditions(detector=None)))
    wanted = units.jets_of(collide(chunk, 0, PUBLIC), Conditions(detector=None), np.random.default_rng(0))
    np.testing.assert_array_equal(exact.p4, wanted.p4)
    assert exact.counts.tolist() == [2, 2, 2]
    assert exact.parton[:, 4].tolist() == [24] * 3
    assert not np.array_equal(seen.p4, exact.p4)
