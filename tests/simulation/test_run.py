import functools
import operator
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from hepjax import kinematics, schema
from hepjax.errors import InputError
from hepjax.simulation import clustering, processes, run, simulate, units
from hepjax.simulation.processes import PROCESSES

pytest.importorskip("pythia8mc", reason="the extra `sim` is not installed")
pytest.importorskip("fastjet", reason="the extra `sim` is not installed")


def toy_observables(p4, mask):
    """pT, η, mass and multiplicity in their columns."""
    jet = p4.sum(axis=1)
    found = np.zeros((len(p4), 53))
    for name, values in (
        ("j_pt", kinematics.pt(jet)),
        ("j_eta", kinematics.eta(jet)),
        ("j_mass", kinematics.mass(jet)),
        ("j_multiplicity", mask.sum(axis=1)),
    ):
        found[:, schema.OBSERVABLE_COLUMNS.index(name)] = values
    return found


def jet_column(path, name):
    with h5py.File(path) as file:
        return file["jets"][:, schema.JET_COLUMNS.index(name)]


def test_the_same_seed_gives_the_same_bytes_whatever_the_jobs(tmp_path, monkeypatch):
    # Small units and blocks, so that workers take several, in any order.
    monkeypatch.setattr(run, "UNIT_JETS", 2)
    monkeypatch.setattr(run, "BLOCK_JETS", 8)
    done = []
    for jobs in (1, 2):
        simulate(tmp_path / f"{jobs}.h5", jets=22, seed=5, jobs=jobs, observables=toy_observables, progress=done.append)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    assert done == [8, 8, 6] * 2
    with h5py.File(tmp_path / "1.h5") as file:
        np.testing.assert_array_equal(file["jets"][:, -6:-1].sum(axis=0), [5, 5, 4, 4, 4])
        assert file.attrs["seed"] == 5
        assert "simulated" in file.attrs["description"].lower()
        assert file.attrs["command"] == "hepjax simulate OUT.h5 --jets 22 --particles 30 --seed 5"
        p4 = file["jetConstituentList"][:][..., :4].astype(np.float64)
    # Rows of both datasets belong together.
    assert np.all(kinematics.pt(p4.sum(axis=1)) < 1.001 * jet_column(tmp_path / "1.h5", "j_pt"))
    assert np.all(kinematics.pt(p4.sum(axis=1)) > 0.7 * jet_column(tmp_path / "1.h5", "j_pt"))


def test_a_unit_does_not_depend_on_what_was_done_before():
    def unit(seed, label):
        return units.simulate_unit(units.Unit(seed, label, 0, 6))

    first = {label: unit(1, label) for label in range(5)}
    for label in range(5):
        unit(2, label)
        again = unit(1, label)
        np.testing.assert_array_equal(again.p4, first[label].p4)
        np.testing.assert_array_equal(again.counts, first[label].counts)
        assert not np.array_equal(unit(3, label).counts, first[label].counts)


def test_jets_look_like_the_physics_says():
    made = {name: units.simulate_unit(units.Unit(11, label, 0, 150)) for label, name in enumerate(schema.CLASSES)}
    mass = {name: kinematics.mass(clustering.momenta(jets)) for name, jets in made.items()}
    count = {name: jets.counts.mean() for name, jets in made.items()}
    for name, jets in made.items():
        momenta = clustering.momenta(jets)
        assert np.abs(kinematics.eta(momenta)).max() < 2
        assert 900 < np.median(kinematics.pt(momenta)) < 1100, name
    assert 78 < np.median(mass["w"]) < 85
    assert 88 < np.median(mass["z"]) < 95
    top = mass["t"][mass["t"] > 140]
    assert 165 < np.median(top) < 182
    for light in "qwz":
        assert 34 < count[light] < 48
    for heavy in "gt":
        assert 55 < count[heavy] < 74
    # Hardly a particle lies outside its jet's circle: anti-kT jets with one core are round.
    p4, mask = clustering.padded(clustering.concatenate(list(made.values())))
    axis = p4.sum(axis=1)[:, None]
    away = np.hypot(
        kinematics.rapidity(p4) - kinematics.rapidity(axis),
        kinematics.wrap(kinematics.phi(p4) - kinematics.phi(axis)),
    )
    assert np.mean(away[mask] < 0.4) > 0.99


def test_clustering_agrees_with_one_pseudojet_at_a_time(rng):
    import fastjet

    counts = np.array([40, 60, 50])
    pt, eta, phi = rng.pareto(1.0, 150), rng.uniform(-2, 2, 150), rng.uniform(-np.pi, np.pi, 150)
    p4 = kinematics.from_pt_eta_phi_mass(pt, eta, phi, np.full(150, 0.14))
    jets, event = clustering.cluster(p4, counts, pt_min=1.0)
    found = np.c_[event, clustering.momenta(jets)]
    expected = []
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)
    for index, rows in enumerate(np.split(p4, np.cumsum(counts)[:-1])):
        sequence = fastjet.ClusterSequence([fastjet.PseudoJet(*row) for row in rows.tolist()], definition)
        expected += [[index, j.px(), j.py(), j.pz(), j.e()] for j in sequence.inclusive_jets(1.0)]
    expected = np.array(expected)
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], rtol=1e-10)


def test_the_plan_covers_every_row_once():
    labels = run._shuffled_labels(1003, schema.CLASSES, 4)
    plan = run._plan(labels, 4)
    assert len({(unit.label, unit.number) for unit in plan}) == len(plan)
    made = np.bincount([unit.label for unit in plan], [unit.jets for unit in plan])
    np.testing.assert_array_equal(made, [201, 201, 201, 200, 200])
    assert not np.array_equal(labels, np.sort(labels))


def test_there_is_a_process_for_each_class():
    assert tuple(PROCESSES) == schema.CLASSES


@pytest.mark.parametrize(
    "options, message",
    [
        ({"jets": 0}, "jets: expected an integer of at least 1, found 0"),
        ({"particles": 0}, "particles: expected"),
        ({"seed": -1}, "seed: expected an integer of at least 0, found -1"),
        ({"jobs": 0}, "jobs: expected"),
        ({"classes": ("g", "b")}, "classes: expected different ones of g, q, w, z, t"),
        ({"classes": ()}, "classes: expected"),
        ({"mantissa_bits": 40}, "mantissa_bits: expected 1 to 23"),
    ],
)
def test_wrong_arguments_are_named_at_once(tmp_path, options, message):
    arguments = {"jets": 10, "observables": toy_observables, **options}
    with pytest.raises(InputError, match=message):
        simulate(tmp_path / "a.h5", **arguments)
    assert list(tmp_path.iterdir()) == []


def _fails(p4, mask):
    raise ZeroDivisionError("an error of the function")


@pytest.mark.parametrize(
    "observables, error, message",
    [
        (_fails, ZeroDivisionError, "an error of the function"),
        (
            lambda p4, mask: np.zeros((len(p4), 3)),
            InputError,
            r"observables: expected .* shape \(2, 53\), found \(2, 3\)",
        ),
        (lambda p4, mask: np.full((len(p4), 53), np.nan), InputError, "found nan in j_ptfrac"),
    ],
)
def test_a_failing_observables_function_leaves_nothing(tmp_path, monkeypatch, observables, error, message):
    # No processes: one jet per class, made here.
    monkeypatch.setattr(run, "_finished_units", lambda plan, workers: ((u, units.simulate_unit(u)) for u in plan))
    with pytest.raises(error, match=message):
        simulate(tmp_path / "a.h5", jets=2, classes=("w", "z"), observables=observables)
    assert list(tmp_path.iterdir()) == []


def test_a_dead_worker_is_an_error_and_not_a_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_start_worker", functools.partial(os._exit, 3))
    with pytest.raises(RuntimeError, match="a simulation worker died"):
        simulate(tmp_path / "a.h5", jets=5, jobs=1, observables=toy_observables)
    assert list(tmp_path.iterdir()) == []


def test_a_workers_error_reaches_the_caller(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "simulate_unit", operator.methodcaller("fail"))
    with pytest.raises(AttributeError, match="fail"):
        simulate(tmp_path / "a.h5", jets=5, jobs=1, observables=toy_observables)
    assert list(tmp_path.iterdir()) == []


def test_settings_that_pythia_refuses_are_named(monkeypatch):
    monkeypatch.setitem(processes.PROCESSES, "g", PROCESSES["g"]._replace(settings=("No:suchSetting = on",)))
    with pytest.raises(RuntimeError, match="refuses the setting 'No:suchSetting = on' of class 'g'"):
        processes.generator.__wrapped__("g")


@pytest.mark.parametrize("package", ["pythia8mc", "fastjet"])
def test_a_missing_extra_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package}, which is not installed; run: pip install 'hepjax\[sim\]'"):
        processes.generator.__wrapped__("g") if package == "pythia8mc" else clustering.cluster(np.ones((1, 4)), [1])


def test_importing_simulation_is_light():
    heavy = {"jax", "pythia8mc", "fastjet", "awkward", "matplotlib"}
    code = f"import sys, hepjax.simulation; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
