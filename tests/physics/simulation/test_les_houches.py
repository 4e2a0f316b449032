import pickle

import numpy as np
import pytest

from hepjax.errors import InputError
from hepjax.physics.simulation import les_houches as reader
from hepjax.physics.simulation.conditions import PUBLIC, Conditions
from hepjax.physics.simulation.event_files import read_event_chunks
from hepjax.physics.simulation.events import EventsUnit, collide_event_chunk, simulate_events
from tests.physics.simulation.event_makers import BARE, END, assert_same, les_houches, outgoing, split_les_houches

pytest.importorskip("pythia8mc", reason="the extra `sim` is not installed")
pytest.importorskip("fastjet", reason="the extra `sim` is not installed")


@pytest.mark.parametrize("name", ["g", "q", "w", "z", "t"])
def test_without_showers_the_hard_partons_are_those_of_the_file(written, name):
    path = written(name)
    made = collide_event_chunk(next(read_event_chunks(path)), 1, BARE)
    wanted = outgoing(split_les_houches(path)[1])
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
    chunk = next(read_event_chunks(written("w"), 10))
    leptons = collide_event_chunk(
        chunk, 1, BARE._replace(pythia=(*BARE.pythia, "24:onMode = off", "24:onIfAny = 11 13"))
    )
    assert set(np.abs(leptons.decays.ids)) == {11, 12, 13, 14}


def test_showers_follow_from_the_seed_alone(written):
    few, other = next(read_event_chunks(written("w"), 5)), next(read_event_chunks(written("t"), 7))
    first = collide_event_chunk(few, 1, PUBLIC)
    assert len(first.final.ids) > 5 * 200
    np.testing.assert_array_equal(np.unique(np.abs(first.hard.ids)), [24])
    for chunk, seed in ((few, 2), (other, 1), (few._replace(events=few.events[:2]), 4)):
        assert not np.array_equal(collide_event_chunk(chunk, seed, PUBLIC).final.p4, first.final.p4)
    assert_same(collide_event_chunk(pickle.loads(pickle.dumps(few)), 1, PUBLIC), first)  # noqa: S301 — ours
    reader._pythia_of_header.cache_clear()
    assert_same(collide_event_chunk(few, 1, PUBLIC), first)


def test_lines_ends_blanks_comments_and_versions_do_not_matter(written, tmp_path, monkeypatch):
    header, events = split_les_houches(written("t"))
    wanted = collide_event_chunk(next(read_event_chunks(written("t"), 3)), 1, BARE)
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
        assert_same(collide_event_chunk(next(read_event_chunks(path)), 1, BARE), wanted)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("beams", ["2212 -2212 6500 6500", "11 -11 6500 6500", "2212 2212 6500 7000"])
def test_any_beams_that_pythia_knows(written, tmp_path, beams):
    header, events = split_les_houches(written("w"))
    path = tmp_path / "a.lhe"
    path.write_text(header.replace("2212  2212  6.500000e+03  6.500000e+03", beams) + "".join(events[:2]) + END)
    assert collide_event_chunk(next(read_event_chunks(path)), 1, BARE).events == 2
    with pytest.raises(InputError, match=r"a\.lhe: expected protons of 6500.*leave pile-up out"):
        collide_event_chunk(next(read_event_chunks(path)), 1, PUBLIC._replace(pile_up=1.0))


def test_events_that_pythia_gives_up_on_are_passed_over(written, tmp_path):
    header, events = split_les_houches(written("t"))
    colorless = events[1].replace(" 101 ", "   0 ").replace(" 102 ", "   0 ")
    path = tmp_path / "a.lhe"
    path.write_text(header + events[0] + colorless + events[2] + END)
    made = collide_event_chunk(next(read_event_chunks(path)), 1, BARE)
    assert made.events == 2
    np.testing.assert_allclose(made.hard.p4, outgoing([events[0], events[2]])[:, :4], atol=1e-5)
    path.write_text(header + colorless + END)
    assert simulate_events(EventsUnit(1, 0, next(read_event_chunks(path)))).jets.counts.shape == (0,)
    path.write_text(header + colorless * 30 + END)
    with pytest.raises(InputError, match=r"a\.lhe: events 1 to 30: Pythia gives up on all"):
        collide_event_chunk(next(read_event_chunks(path)), 1, BARE)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("1.7300000000e+02", "nan", r"event 2: expected 13 finite numbers of a particle, found '6 "),
        ("1.7300000000e+02", "inf", r"event 2: expected 13 finite numbers"),
        ("1.7300000000e+02", "1_7", r"event 2: expected 13 finite numbers"),
        ("1.7300000000e+02 0. 9.", "", r"event 2: expected 13 finite numbers"),
        ("     4     1", "     4", r"event 2: expected 6 finite numbers of the event"),
        ("     4     1", "     3     1", r"event 2: expected as many lines of particles as '3 .* found more"),
        ("     4     1", "     9     1", r"event 2: expected as many lines of particles as '9 "),
        ("     1     1     2", "     1     5     2", r"event 2: expected mothers that lead back"),
        ("    -1     0     0", "     7     0     0", r"event 2: expected particles of status .* found 7"),
        ("    -1     0     0", "     1     0     0", r"event 2: expected two incoming particles .* found 1"),
        ("    -1     0     0", "    -1     0     2147483648", r"event 2: expected 13 finite numbers"),
    ],
)
def test_a_damaged_event_is_named(written, tmp_path, old, new, words):
    header, events = split_les_houches(written("t"))
    assert old in events[1]
    # No blanks are left out: words are told apart by them.
    events[1] = events[1].replace(old, new, 1)
    path = tmp_path / "a.lhe"
    path.write_text(header + "".join(events[:3]) + END)
    with pytest.raises(InputError, match=rf"a\.lhe: {words}"):
        collide_event_chunk(next(read_event_chunks(path)), 1, BARE)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("2212  2212  6.5", "x  2212  6.5", r"<init>: expected 10 finite numbers of the beams, found 'x "),
        ("2212  2212  6.5", "0  0  6.5", r"<init>: expected two beams"),
        ("2212  2212  6.5", "39  2212  6.5", r"Pythia fails to initialize"),
        ("1.000000e+00  0.000000e+00", "1.000000e+00", r"<init>: expected 4 finite numbers of process 1"),
    ],
)
def test_a_damaged_header_is_named(written, tmp_path, old, new, words):
    header, events = split_les_houches(written("g"))
    assert old in header
    path = tmp_path / "a.lhe"
    path.write_text(header.replace(old, new, 1) + events[0] + END)
    with pytest.raises(InputError, match=rf"a\.lhe: {words}"):
        collide_event_chunk(next(read_event_chunks(path)), 1, BARE)


def test_wrong_settings_are_named(written):
    with pytest.raises(InputError, match="Pythia refuses the setting 'Beams:color = blue'"):
        collide_event_chunk(next(read_event_chunks(written("g"))), 1, Conditions(pythia=("Beams:color = blue",)))


@pytest.mark.parametrize("strategy", [1, 2, 3, 4, -1, -2, -3, -4])
def test_all_events_are_kept_whatever_strategy_and_weights(tmp_path, strategy, rng):
    weights = [f"{weight:.6e}" for weight in rng.choice([-1, 1], 40) * 10 ** rng.uniform(-3, 3, 40)]
    head, events, end = les_houches(weights, strategy)
    path = tmp_path / "a.lhe"
    path.write_text(head + "".join(events) + end)
    made = collide_event_chunk(next(read_event_chunks(path)), 1, BARE)
    assert made.events == 40
    np.testing.assert_array_equal(made.weights[:, 0], np.array(weights, float))
    # The showers do not depend on the weights.
    path.write_text("".join([*les_houches(["1"] * 40, 3)[:1], *les_houches(["1"] * 40, 3)[1], END]))
    np.testing.assert_array_equal(collide_event_chunk(next(read_event_chunks(path)), 1, BARE).final.p4, made.final.p4)


def test_weights_stay_with_their_events_where_pythia_gives_up(written, tmp_path):
    header, events = split_les_houches(written("t"))
    events = [event.replace(" 1.000000e+00 ", f" {i + 1}.5 ", 1) for i, event in enumerate(events[:3])]
    events[1] = events[1].replace(" 101 ", "   0 ").replace(" 102 ", "   0 ")
    path = tmp_path / "a.lhe"
    path.write_text(header + "".join(events) + END)
    kept = simulate_events(EventsUnit(1, 0, next(read_event_chunks(path))))
    assert kept.cuts == (3, 2, 2, 2, 2)
    assert kept.jets.weights.tolist() == [[1.5], [3.5]]


def test_fortran_exponents_are_numbers(tmp_path):
    head, events, end = les_houches(["0.5"] * 3)
    path = tmp_path / "a.lhe"
    path.write_text(head + "".join(events) + end)
    wanted = collide_event_chunk(next(read_event_chunks(path)), 1, BARE)
    for old, new in (("e+", "D+"), ("e-0", "d-0"), (" 0.0000000000e+00", " 0.0000000000+000"), ("e", "E")):
        text = head + "".join(event[:8] + event[8:-10].replace(old, new) + event[-10:] for event in events) + end
        assert text != head + "".join(events) + end
        path.write_text(text.replace(head, head.replace("1.0e+00 1.0e-02", "1.0D+00 1.0D-02")))
        assert_same(collide_event_chunk(next(read_event_chunks(path)), 1, BARE), wanted)


def test_named_weights_come_in_either_form(tmp_path):
    declared = "<initrwgt>\n<weight id='a'>x</weight><weight id=\"b c\">y</weight>\n</initrwgt>\n"
    path = tmp_path / "a.lhe"
    for extra in (
        lambda i: f"<rwgt>\n<wgt id='a'> {i}.5 </wgt>\n<wgt id=\"b c\">-1.0D-05</wgt>\n</rwgt>\n",
        lambda i: f"<weights>\n{i}.5\n-1e-5\n</weights>\n",
    ):
        head, events, end = les_houches(["2", "-3"], -4, extra=extra, header=declared)
        path.write_text(head + "".join(events) + end)
        chunk = next(read_event_chunks(path))
        weights = list(reader.les_houches_weights(chunk))
        assert [w.names for w in weights] == [("XWGTUP", "a", "b c")] * 2
        assert [w.values for w in weights] == [(2, 0.5, -1e-5), (-3, 1.5, -1e-5)]
        np.testing.assert_array_equal(collide_event_chunk(chunk, 1, BARE).weights, [w.values for w in weights])


@pytest.mark.parametrize(
    "extra, words",
    [
        ("<rwgt><wgt id='a'>nan</wgt></rwgt>", "event 2: expected a finite weight a, found 'nan'"),
        ("<rwgt><wgt id='a'>1_0</wgt></rwgt>", "event 2: expected a finite weight a"),
        ("<rwgt><wgt id='a'></wgt></rwgt>", "event 2: expected a finite weight a, found ''"),
        ("<weights>1 2 3</weights>", "event 2: expected 1 weights, as the header declares, found 3"),
    ],
)
def test_a_damaged_weight_is_named(tmp_path, extra, words):
    head, events, end = les_houches(
        ["1"] * 2, extra=lambda i: f"{extra}\n" if i else "", header="<initrwgt><weight id='a'></weight></initrwgt>\n"
    )
    path = tmp_path / "a.lhe"
    path.write_text(head + "".join(events) + end)
    with pytest.raises(InputError, match=rf"a\.lhe: {words}"):
        collide_event_chunk(next(read_event_chunks(path)), 1, BARE)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"strategy": 5}, "<init>: expected a weighting strategy of ±1, ±2, ±3 or ±4, found 5"),
        ({"strategy": 0}, "<init>: expected a weighting strategy"),
        ({"strategy": 3, "cross_section": "0"}, "<init>: expected the cross section .* strategy 3 needs, found 0"),
        ({"strategy": -2, "cross_section": "0.0D0"}, "<init>: expected the cross section .* strategy -2 needs"),
        ({"header": "<MGRunCard>\n  1  = ickkw ! 0 no matching\n</MGRunCard>\n"}, r"ickkw = 1.*\(MLM\).*give events"),
        ({"header": "  30.0d0 = ktdurham\n"}, r"ktdurham = 30.0e0.*merged with their showers \(CKKW-L\)"),
        ({"header": "  3 = ickkw\n"}, r"ickkw = 3.*merged with their showers \(FxFx\)"),
    ],
)
def test_events_that_cannot_be_showered_as_they_are_are_refused(tmp_path, change, words):
    head, events, end = les_houches(**change)
    path = tmp_path / "a.lhe"
    path.write_text(head + "".join(events) + end)
    with pytest.raises(InputError, match=rf"a\.lhe: .*{words}"):
        collide_event_chunk(next(read_event_chunks(path)), 1, BARE)


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": -4, "cross_section": "0"},
        {"strategy": 1, "cross_section": "0"},
        {"header": " -1.0 = ktdurham\n -1.0 = ptlund\n  0 = ickkw ! 0 no matching, 1 MLM\n# 1 = ickkw\n"},
    ],
)
def test_events_that_need_no_more_are_showered(tmp_path, change):
    head, events, end = les_houches(**change)
    path = tmp_path / "a.lhe"
    path.write_text(head + "".join(events) + end)
    assert collide_event_chunk(next(read_event_chunks(path)), 1, BARE).events == 1
