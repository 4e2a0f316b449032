import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepjax.choices import Keep
from hepjax.errors import InputError
from hepjax.physics.simulation import collisions, hepmc, processes
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.event_files import read_event_chunks
from hepjax.physics.simulation.events import collide_event_chunk
from hepjax.physics.simulation.hepmc_text import read_hepmc_record, read_hepmc_weights
from tests.physics.simulation.event_makers import CASES, as_hepmc, outcome, small, write_hepmc

pytest.importorskip("pythia8mc", reason="the extra `sim` is not installed")
pytest.importorskip("fastjet", reason="the extra `sim` is not installed")
pyhepmc = pytest.importorskip("pyhepmc", reason="the extra `test` is not installed")

HEPMC = pytest.mark.parametrize("written_as", ["hepmc2", "hepmc3"])


@HEPMC
def test_hepmc_events_are_those_that_pythia_made(tmp_path, written_as):
    for name in ("t", "w", "g"):
        generator = processes.process_generator(name)
        processes.seed(generator, 7)
        wanted = collisions.collisions_from_pythia_batch(generator.pythia.nextBatch(4))
        processes.seed(generator, 7)
        made = [as_hepmc(generator.pythia.event, i) for i in range(4) if generator.pythia.next()]
        chunk = next(read_event_chunks(write_hepmc(tmp_path / name, written_as, made)))
        assert chunk.format.value.lower() == written_as
        read = collide_event_chunk(chunk, 1, PUBLIC)
        assert read.events == 4
        for mine, yours in ((read.final, wanted.final), (read.hard, wanted.hard), (read.decays, wanted.decays)):
            rows = [np.column_stack([group.event, group.ids, group.p4]) for group in (mine, yours)]
            # HepMC keeps its own order within an event.
            a, b = (row[np.lexsort(row.T[::-1])] for row in rows)
            np.testing.assert_array_equal(a, b)
        # Each product stands with its own mother, a top's bottom quark first.
        sums = np.zeros_like(read.hard.p4)
        np.add.at(sums, read.mother, read.decays.p4)
        # (W bosons recoil when a top's bottom quark radiates.)
        loose = {"t": 0.2}.get(name, 1e-9)
        np.testing.assert_allclose(sums[read.mother], read.hard.p4[read.mother], rtol=0, atol=1000 * loose)
        if name == "t":
            np.testing.assert_array_equal(np.abs(read.decays.ids[::3]), 5)


@HEPMC
def test_momenta_are_in_gev(tmp_path, written_as):
    gev, mev = (
        collide_event_chunk(
            next(read_event_chunks(write_hepmc(tmp_path / str(unit), written_as, [small(unit)]))), 1, PUBLIC
        )
        for unit in (pyhepmc.Units.GEV, pyhepmc.Units.MEV)
    )
    assert gev.final.p4[-2].tolist() == [30.25, -1, 1 / 3, 50]
    np.testing.assert_allclose(mev.final.p4, gev.final.p4, rtol=1e-15)
    np.testing.assert_array_equal(mev.hard.ids, gev.hard.ids)


@HEPMC
def test_the_hard_process_is_told_by_status(tmp_path, written_as):
    events = [small(), small(hard=3, products=(3, 3, 2, 2)), small(hard=11, products=(11, 11, 11, 11))]
    made = collide_event_chunk(next(read_event_chunks(write_hepmc(tmp_path / "a", written_as, events))), 1, PUBLIC)
    assert made.hard.event.tolist() == [0, 0, 1, 1]
    assert made.hard.ids.tolist() == [24, 21] * 2
    assert made.hard.p4[0].tolist() == [61, 0, 0, 101]
    assert made.decays.ids.tolist() == [2, -1] * 2
    assert made.mother.tolist() == [0, 0, 2, 2]
    unmarked = next(read_event_chunks(write_hepmc(tmp_path / "b", written_as, events[2:])))
    assert collide_event_chunk(unmarked, 1, PUBLIC).hard.ids.shape == (0,)
    with pytest.raises(InputError, match=r"b: expected the hard process.*keep the leading jets"):
        collide_event_chunk(unmarked, 1, PUBLIC._replace(keep=Keep.MATCHED))


@HEPMC
def test_new_particles_are_told_by_what_they_decay_to(tmp_path, written_as):
    made = collide_event_chunk(
        next(read_event_chunks(write_hepmc(tmp_path / "a", written_as, [small(new=True)]))), 1, PUBLIC
    )
    assert sorted(made.hard.ids.tolist()) == [21, 24]
    assert sorted(made.decays.ids.tolist()) == [-1, 2]


@HEPMC
def test_pile_up_is_of_the_same_beams(tmp_path, written_as):
    chunk = next(read_event_chunks(write_hepmc(tmp_path / "a", written_as, [small()])))
    piled = Conditions(pile_up=1.0)
    assert collide_event_chunk(chunk, 1, piled).events == 1
    slow = chunk._replace(events=tuple(event.replace(b" 6.5000", b" 4.0000") for event in chunk.events))
    with pytest.raises(InputError, match="a: expected protons of 6500"):
        collide_event_chunk(slow, 1, piled)


@HEPMC
@pytest.mark.parametrize(
    "old, new, words",
    [
        (b" 3.0250000000000000e+01", b" nan", "expected the finite numbers of a particle or vertex, found 'P "),
        (b" 3.0250000000000000e+01", b" 1e999", "expected finite momenta"),
        (b" -211 ", b" 99999999999 ", "expected PDG identities and statuses up to"),
        (b"\nU GEV", b"\nU TEV", "expected momenta in GEV or MEV, found 'TEV'"),
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
        collide_event_chunk(next(read_event_chunks(path)), 1, PUBLIC)


@HEPMC
def test_a_lost_line_is_noticed(tmp_path, written_as):
    path = write_hepmc(tmp_path / "a.hepmc", written_as, [small(), small()])
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.startswith(b"E "))
    for i in range(first, len(lines) - 2):
        if lines[i].startswith((b"P ", b"V ")):
            path.write_bytes(b"".join(lines[:i] + lines[i + 1 :]))
            with pytest.raises(InputError, match=r"a\.hepmc: event [12]: "):
                collide_event_chunk(next(read_event_chunks(path)), 1, PUBLIC)


@HEPMC
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_hepmc_text_gives_an_error_or_all_events(tmp_path, written_as, data):
    path = tmp_path / "a.hepmc"
    if not path.exists():
        write_hepmc(path, written_as, [small(), small()])
    chunk = next(read_event_chunks(path))
    words = chunk.events[0].split(b" ")
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(words) - 1))
        words[i] = data.draw(st.sampled_from([b"0", b"-1", b"3", b"16", b"-7", b"99999", b"1e300", b"x", b""]))
    made, complaint = outcome(
        lambda: collide_event_chunk(chunk._replace(events=(b" ".join(words), chunk.events[1])), 1, PUBLIC)
    )
    if made is None:
        assert complaint.startswith(f"{path}: event 1: ")
    else:
        assert made.events == 2
        assert np.isfinite(made.final.p4).all()


def hepmc2(lines, vertices, weights="0"):
    """Returns the text of a HepMC 2 file of a single event."""
    head = ["HepMC::Version 2.06.09", "HepMC::IO_GenEvent-START_EVENT_LISTING"]
    event = [f"E 1 -1 0 0 0 0 -1 {vertices} 1 2 0 {weights}", "U GEV MM", *lines]
    return "\n".join([*head, *event, "HepMC::IO_GenEvent-END_EVENT_LISTING", ""])


LOOSE = (
    "V -1 0 0 0 0 0 2 1 1 1.0",
    "P 1 2212 0 0 6500 6500 0 4 0 0 -1 0",
    "P 2 2212 0 0 -6500 6500 0 4 0 0 -1 0",
    "P 3 21 500 0 0 500 0 2 0 0 -2 0",
    "V -2 0 0 0 0 0 0 2 1 1.0",
    "P 6 211 300 0 0 300 0 1 0 0 0 0",
    "P 7 -211 200 1 0 200.002 0 1 0 0 -4 0",
    "V -3 0 0 0 0 0 0 1 0",
    "P 8 22 50 0 0 50 0 1 0 0 0 0",
    "V -4 0 0 0 0 0 0 0 1 1.0",
)
"""An event with a vertex that nobody enters, which HepMC's own reader loses, and one that nobody leaves, by which it
ends the process."""


def collide_text(tmp_path, text):
    path = tmp_path / "a.hepmc"
    path.write_text(text)
    return collide_event_chunk(next(read_event_chunks(path)), 1, PUBLIC)


def test_vertices_that_nobody_enters_or_leaves_keep_their_particles(tmp_path):
    made = collide_text(tmp_path, hepmc2(LOOSE, 4))
    assert made.final.ids.tolist() == [211, -211, 22]
    assert made.final.p4[:, 0].sum() == 550


@pytest.mark.parametrize(
    "line, new, words",
    [
        (0, "V -1 0 0 0 0 0 2 2 1 1.0", r"vertex -1: expected 2 \+ 2 particles, as its line says, found 3"),
        (0, "V -1 0 0 0 0 0 2 1 2 1.0", "vertex -1: expected 2 weights, as its line says, found 1"),
        (4, "V -1 0 0 0 0 0 0 2 1 1.0", "vertex -1: expected a number that no other vertex has, found it twice"),
        (4, "V 2 0 0 0 0 0 0 2 1 1.0", "vertex 2: expected a negative number"),
        (3, "P 3 21 500 0 0 500 0 2 0 0 -9 0", "vertex -9: a particle goes there, but its line is missing"),
        (9, "C 1.0 0.1", "expected 4 vertices, as its first line says, found 3"),
        (0, "C 1.0 0.1", "expected 4 vertices|expected a vertex before the first particle"),
    ],
)
def test_vertices_that_do_not_fit_are_named(tmp_path, line, new, words):
    lines = list(LOOSE)
    lines[line] = new
    with pytest.raises(InputError, match=rf"a\.hepmc: event 1: {words}"):
        collide_text(tmp_path, hepmc2(lines, 4))


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("V -2 0 [3]", "V -2 0 [3,9]", "vertex -2: expected particles from 1 to 5 that go to no other vertex, found 9"),
        ("V -2 0 [3]", "V -2 0 [1,3]", "vertex -2: expected particles .* found 1"),
        ("V -2 0 [3]", "V -1 0 [3]", "vertex -1: expected a number that no other vertex has"),
        ("P 4 -2", "P 4 -5", "vertex -5: particle 4 comes from there, but its line is missing"),
        ("P 5 4", "P 5 5", "particle 5: expected another of 5 particles before it, found 5"),
        ("P 5 4", "P 6 4", "expected particle 5, found particle 6"),
        ("E 0 2 5", "E 0 2 6", "expected 6 particles, as its first line says, found 5"),
    ],
)
def test_vertices_of_hepmc3_that_do_not_fit_are_named(tmp_path, old, new, words):
    lines = (
        "HepMC::Asciiv3-START_EVENT_LISTING", "E 0 2 5", "U GEV MM",
        "P 1 0 2212 0 0 9 9 0 4", "P 2 0 2212 0 0 -9 9 0 4", "V -1 0 [1,2]",
        "P 3 -1 23 1 0 0 1 0 2", "V -2 0 [3]", "P 4 -2 15 1 0 0 1 0 2", "P 5 4 211 1 0 0 1 0 1",
        "HepMC::Asciiv3-END_EVENT_LISTING", "",
    )  # fmt: skip
    text = "\n".join(lines)
    assert collide_text(tmp_path, text).final.ids.tolist() == [211]
    assert old in text
    with pytest.raises(InputError, match=rf"a\.hepmc: event 1: {words}"):
        collide_text(tmp_path, text.replace(old, new))


@HEPMC
def test_decays_within_a_detector_do_not_count_beside_what_decays(tmp_path, written_as):
    event = small()
    pion = next(particle for particle in event.particles if particle.pid == 211)
    kaon, muon, neutrino, electron = (
        pyhepmc.GenParticle(tuple(share * value for value in pion.momentum), pid, status)
        for share, pid, status in ((1.0, 321, 2), (0.7, -13, 1), (0.3, 14, 1), (0.7, -11, 1))
    )
    for entering, leaving in ((pion, [kaon]), (kaon, [muon, neutrino]), (muon, [electron])):
        vertex = pyhepmc.GenVertex((1, 2, 3, 4))
        vertex.add_particle_in(entering)
        for particle in leaving:
            vertex.add_particle_out(particle)
        event.add_vertex(vertex)
    plain, decayed = (
        collide_event_chunk(
            next(read_event_chunks(write_hepmc(tmp_path / name, written_as, [record]))), 1, PUBLIC
        ).final
        for name, record in (("plain", small()), ("decayed", event))
    )
    assert sorted(decayed.ids.tolist()) == sorted(plain.ids.tolist())
    np.testing.assert_allclose(decayed.p4.sum(axis=0), plain.p4.sum(axis=0), atol=1e-9)


@HEPMC
def test_records_are_those_of_the_library(tmp_path, written_as):
    generator = processes.process_generator("t")
    processes.seed(generator, 11)
    generator.pythia.next()
    path = write_hepmc(tmp_path / "a", written_as, [as_hepmc(generator.pythia.event, 0), small(new=True)])
    chunk = next(read_event_chunks(path))
    with pyhepmc.open(str(path)) as file:
        for row, event in enumerate(file):
            record = read_hepmc_record(chunk, row)
            rows = sorted(zip(record.ids.tolist(), record.status.tolist(), record.p4.tolist(), strict=True))
            particles = event.particles
            momenta = ([p.momentum.px, p.momentum.py, p.momentum.pz, p.momentum.e] for p in particles)
            assert rows == sorted(zip([p.pid for p in particles], [p.status for p in particles], momenta, strict=True))
            children = [(p.pid, sorted(child.pid for child in p.children)) for p in particles]
            mine = [
                (int(pid), sorted(record.ids[(record.origin == end) & (end >= 0)].tolist()))
                for pid, end in zip(record.ids, record.end, strict=True)
            ]
            assert sorted(mine) == sorted(children)


@HEPMC
def test_weights_have_names_and_the_nominal_one_comes_first(tmp_path, written_as):
    events = [small(), small()]
    run = pyhepmc.GenRunInfo()
    run.weight_names = ["muR=2", "Default", "a b"]
    for i, event in enumerate(events):
        event.run_info = run
        event.weights = [2.0 + i, -1.5, 3e-12]
    chunk = next(read_event_chunks(write_hepmc(tmp_path / "a", written_as, events)))
    assert [weights.names for weights in hepmc.hepmc_weights(chunk)] == [("Default", "muR=2", "a b")] * 2
    assert collide_event_chunk(chunk, 1, PUBLIC).weights.tolist() == [[-1.5, 2, 3e-12], [-1.5, 3, 3e-12]]


def test_weights_without_names_are_numbered(tmp_path):
    path = tmp_path / "a.hepmc"
    path.write_text(hepmc2(LOOSE, 4, "2 0.5 -3"))
    chunk = next(read_event_chunks(path))
    assert read_hepmc_weights(chunk, 0) == (("0", "1"), (0.5, -3.0))
    assert collide_event_chunk(chunk, 1, PUBLIC).weights.tolist() == [[0.5, -3]]
    path.write_text(hepmc2(LOOSE, 4))
    assert collide_event_chunk(next(read_event_chunks(path)), 1, PUBLIC).weights.shape == (1, 0)


@pytest.mark.parametrize(
    "weights, more, words",
    [
        ("2 0.5", (), "expected as many weights as its first line says"),
        ("1 nan", (), "expected finite weights, found 'nan'"),
        ("1 1_0", (), "expected finite weights, found '1_0'"),
        ("2 1 2", ('N 1 "a"',), "expected 1 weights, as they have names, found 2"),
    ],
)
def test_damaged_weights_are_named(tmp_path, weights, more, words):
    with pytest.raises(InputError, match=rf"a\.hepmc: event 1: {words}"):
        collide_text(tmp_path, hepmc2((*more, *LOOSE), 4, weights))


@pytest.mark.parametrize(
    "name, count, px",
    [
        ("hepmc2_noin.hepmc", 3, 550.0),
        ("hepmc2_noin_noweight.hepmc", 3, 550.0),
        ("hepmc2_noout.hepmc", 2, 500.0),
        ("inputSherpa140Crash.hepmc", 47, 0.0),
        ("o_decayed_in_detector.hepmc", 10, 998.4914),
    ],
)
def test_files_of_others_are_read(name, count, px):
    if not (CASES / name).exists():
        pytest.skip("the file is not beside this checkout")
    made = collide_event_chunk(next(read_event_chunks(CASES / name)), 1, PUBLIC)
    assert len(made.final.ids) == count
    assert made.final.p4[:, 0].sum() == pytest.approx(px, abs=1e-3)
