import logging

import h5py
import numpy as np
import pytest

from hepjax import read_jets
from hepjax.choices import Keep
from hepjax.data import summarize
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics.simulation import PUBLIC, jets_of_events, pool
from tests.physics.simulation.conftest import toy_observables
from tests.physics.simulation.event_makers import CASES, les_houches

pytest.importorskip("pythia8mc", reason="the extra `sim` is not installed")
pytest.importorskip("fastjet", reason="the extra `sim` is not installed")


@pytest.fixture
def in_process(monkeypatch):
    """Does all work in this process."""

    def run_units(units, work, workers):
        yield from ((unit, work(unit)) for unit in units)

    monkeypatch.setattr(pool, "run_units", run_units)


def contents(path):
    with h5py.File(path) as file:
        return {name: file[name][:].tolist() for name in file}, dict(file.attrs)


def hepmc3(events, weights=None):
    """Returns the text of a HepMC 3 file, each event of which is a list of photons' momenta."""
    lines = ["HepMC::Asciiv3-START_EVENT_LISTING"]
    for number, photons in enumerate(events):
        lines += [f"E {number} 1 {len(photons) + 2}", "U GEV MM"]
        lines += [] if weights is None else [f"W {weights[number]}"]
        lines += ["P 1 0 2212 0 0 6500 6500 0 4", "P 2 0 2212 0 0 -6500 6500 0 4", "V -1 0 [1,2]"]
        lines += [f"P {i} -1 22 {px} {py} 0 {(px**2 + py**2) ** 0.5!r} 0 1" for i, (px, py) in enumerate(photons, 3)]
    return "\n".join([*lines, "HepMC::Asciiv3-END_EVENT_LISTING", ""])


def test_events_of_others_become_jets(tmp_path):
    hepmc = pytest.importorskip("pyhepmc")
    rng = np.random.default_rng(0)
    with hepmc.open(str(tmp_path / "events.hepmc"), "w") as file:
        for number in range(30):
            event = hepmc.GenEvent(hepmc.Units.GEV, hepmc.Units.MM)
            event.event_number = number
            vertex = hepmc.GenVertex()
            beam = hepmc.GenParticle((0, 0, 6500, 6500), 2212, 4)
            vertex.add_particle_in(beam)
            for phi in rng.normal(0, 0.1, 5):
                vertex.add_particle_out(hepmc.GenParticle((90 * np.cos(phi), 90 * np.sin(phi), 0, 90), 22, 1))
            event.add_vertex(vertex)
            file.write(event)
    common = {"observables": toy_observables, "jobs": 1}
    jets_of_events(tmp_path / "a.h5", tmp_path / "events.hepmc", label=2, **common)
    jets_of_events(tmp_path / "b.h5", tmp_path / "events.hepmc", jets=7, **common)
    jets = read_jets([tmp_path / "a.h5"])
    np.testing.assert_array_equal(jets.labels, np.full(30, 2))
    assert read_jets([tmp_path / "b.h5"]).labels is None
    with pytest.raises(InputError, match="label: expected None or an integer from 0 to 4, found 5"):
        jets_of_events(tmp_path / "c.h5", tmp_path / "events.hepmc", label=5, **common)
    assert contents(tmp_path / "b.h5")[0]["jets"] == [row[:53] for row in contents(tmp_path / "a.h5")[0]["jets"][:7]]
    np.testing.assert_allclose(jets.observables[:, hls4ml.OBSERVABLE_COLUMNS.index("j_pt")], 450, rtol=0.05)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("strategy", [-4, 4, 1])
def test_weights_are_kept_and_said(tmp_path, caplog, strategy):
    extra = "<rwgt><wgt id='mur2'>{}e-3</wgt></rwgt>\n"
    head, events, end = les_houches(["0.1", "-1"] * 60, strategy, momenta=(1500.0, 500.0), extra=extra.format)
    (tmp_path / "w.lhe").write_text(head + "".join(events) + end)
    jets_of_events(tmp_path / "a.h5", tmp_path / "w.lhe", observables=toy_observables)
    datasets, attributes = contents(tmp_path / "a.h5")
    # Each jet has the weight of its event.
    hard = np.array(datasets["jets"])[:, hls4ml.OBSERVABLE_COLUMNS.index("j_pt")] > 1000
    weights = np.array(datasets["weights"])
    assert len(weights) == 120
    assert set(weights[hard]) == {0.1}
    assert weights.sum() == pytest.approx(60 * -0.9)
    np.testing.assert_allclose(np.array(datasets["namedWeights"])[:, 0], np.arange(120) * 1e-3)
    assert datasets["weightNames"] == [b"mur2"]
    words = f"'XWGTUP' (Les Houches strategy {strategy}) from -1 to 0.1 in 120 events, 60 of them negative, sum -54"
    assert attributes["weights"].startswith(words)
    assert f"w.lhe: events: 120; weights: {words}" in caplog.text
    assert summarize(tmp_path / "a.h5").provenance["weights"] == attributes["weights"]


@pytest.mark.usefixtures("in_process")
def test_weights_of_hepmc_events_are_kept(tmp_path, caplog):
    photons = [[(400.0, 0.01 * i), (300.0, 0.0)] for i in range(150)]
    weights = np.linspace(-1, 1, 150)
    (tmp_path / "a.hepmc").write_text(hepmc3(photons, weights))
    conditions = PUBLIC._replace(detector=None)
    jets_of_events(tmp_path / "a.h5", tmp_path / "a.hepmc", observables=toy_observables, conditions=conditions)
    datasets, attributes = contents(tmp_path / "a.h5")
    assert datasets["weights"] == weights.tolist()
    assert "namedWeights" not in datasets
    assert attributes["weights"].startswith("'0' from -1 to 1 in 150 events, 75 of them negative, sum")
    (tmp_path / "b.hepmc").write_text(hepmc3(photons))
    caplog.clear()
    jets_of_events(tmp_path / "b.h5", tmp_path / "b.hepmc", observables=toy_observables, conditions=conditions)
    datasets, attributes = contents(tmp_path / "b.h5")
    assert "weights" not in datasets
    assert attributes["weights"] == "none, each event counts once"
    assert not [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures("in_process")
def test_equal_weights_need_no_warning(tmp_path, caplog):
    head, events, end = les_houches(["0.25"] * 3)
    (tmp_path / "a.lhe").write_text(head + "".join(events) + end)
    with caplog.at_level(logging.INFO):
        jets_of_events(tmp_path / "a.h5", tmp_path / "a.lhe", observables=toy_observables)
    assert contents(tmp_path / "a.h5")[0]["weights"] == [0.25] * 3
    (record,) = (record for record in caplog.records if "; weights: " in record.message)
    assert record.levelno == logging.INFO
    assert "'XWGTUP' (Les Houches strategy 3) 0.25 in all 3 events" in record.message


@pytest.mark.usefixtures("in_process")
def test_lost_jets_are_counted_cut_by_cut(tmp_path, caplog):
    good, soft, lonely = [(400.0, 1.0), (300.0, 0.0)], [(40.0, 1.0), (30.0, 0.0)], [(500.0, 0.0)]
    (tmp_path / "a.hepmc").write_text(hepmc3([good] * 2 + [soft] * 5 + [lonely] * 3))
    common = {"observables": toy_observables, "conditions": PUBLIC._replace(detector=None)}
    jets_of_events(tmp_path / "a.h5", tmp_path / "a.hepmc", **common)
    steps = "events: 10; hardest jets of at least 100 GeV: 5; of these with 2 particles or more: 2"
    assert contents(tmp_path / "a.h5")[1]["cuts"] == steps
    assert f"a.h5: jets: 2; {steps}" in caplog.text
    jets_of_events(tmp_path / "b.h5", tmp_path / "a.hepmc", jets=7, **common)
    assert f"b.h5: jets: 2, fewer than the 7 asked for: {tmp_path / 'a.hepmc'} has no more ({steps})" in caplog.text
    (tmp_path / "c.hepmc").write_text(hepmc3([soft] * 3))
    with pytest.raises(InputError, match=r"c\.h5: no jet is left .events: 3; hardest jets of at least 100 GeV: 0; of"):
        jets_of_events(tmp_path / "c.h5", tmp_path / "c.hepmc", **common)
    common["conditions"] = common["conditions"]._replace(keep=Keep.MATCHED)
    with pytest.raises(InputError, match="expected the hard process"):
        jets_of_events(tmp_path / "c.h5", tmp_path / "a.hepmc", **common)


@pytest.mark.usefixtures("in_process")
def test_a_damaged_end_is_refused_before_any_event_is_simulated(tmp_path, monkeypatch):
    def no_work(*_):
        raise AssertionError

    monkeypatch.setattr(pool, "run_units", no_work)
    head, events, end = les_houches(["1"] * 150)
    for text in (
        head + "".join(events),
        head + "".join(events) + end + "<event>\n",
        head + "".join([*events, "x"]) + end,
    ):
        (tmp_path / "a.lhe").write_text(text)
        with pytest.raises(InputError, match=r"a\.lhe: "):
            jets_of_events(tmp_path / "a.h5", tmp_path / "a.lhe", observables=toy_observables)
    assert [path.name for path in tmp_path.iterdir()] == ["a.lhe"]


def test_an_interrupted_run_keeps_weights_and_counts(tmp_path, monkeypatch):
    def run_units(units, work, workers):
        for unit in units:
            yield unit, work(unit)
            if stop:
                raise KeyboardInterrupt

    monkeypatch.setattr(pool, "run_units", run_units)
    photons = [[(400.0, 0.01 * i), (300.0, 0.0)] if i % 3 else [(50.0, 0.0)] for i in range(250)]
    (tmp_path / "a.hepmc").write_text(hepmc3(photons, np.arange(250)))
    common = {"observables": toy_observables, "conditions": PUBLIC._replace(detector=None)}
    stop = False
    jets_of_events(tmp_path / "whole.h5", tmp_path / "a.hepmc", **common)
    stop = True
    with pytest.raises(KeyboardInterrupt):
        jets_of_events(tmp_path / "a.h5", tmp_path / "a.hepmc", **common)
    stop = False
    jets_of_events(tmp_path / "a.h5", tmp_path / "a.hepmc", **common)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert contents(tmp_path / "a.h5")[0]["weights"] == [i for i in range(250) if i % 3]


@pytest.mark.usefixtures("in_process")
def test_weighted_events_of_others_give_a_weighted_spectrum(tmp_path):
    if not (CASES / "lw_4.lhe").exists():
        pytest.skip("the file is not beside this checkout")
    jets_of_events(tmp_path / "a.h5", CASES / "lw_4.lhe", observables=toy_observables)
    datasets, _ = contents(tmp_path / "a.h5")
    weights = np.array(datasets["weights"])
    hard = np.array(datasets["jets"])[:, hls4ml.OBSERVABLE_COLUMNS.index("j_pt")] > 1000
    assert weights[hard].sum() / weights.sum() == pytest.approx(0.09, abs=0.02)
    assert hard.mean() == pytest.approx(0.48, abs=0.05)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name, pt, particles", [("o_decayed_in_detector", 998.5, 10), ("o_darkmatter", 999.5, 10)])
def test_jets_of_events_of_others(tmp_path, name, pt, particles):
    path = CASES / f"{name}.hepmc"
    if not path.exists():
        pytest.skip("the file is not beside this checkout")
    conditions = PUBLIC._replace(detector=None)
    jets_of_events(tmp_path / "a.h5", path, observables=toy_observables, conditions=conditions)
    (row,) = contents(tmp_path / "a.h5")[0]["jets"]
    assert row[hls4ml.OBSERVABLE_COLUMNS.index("j_pt")] == pytest.approx(pt, abs=0.2)
    assert row[hls4ml.OBSERVABLE_COLUMNS.index("j_multiplicity")] == particles
