import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from hepjax import kinematics, read_jets, schema
from hepjax.errors import InputError
from hepjax.simulation import PUBLIC, Layout, blocks, clustering, jets_of_events, pool, run, simulate, simulate_files
from hepjax.simulation.clustering import RaggedJets

SIM = pytest.mark.usefixtures("sim")


@pytest.fixture
def sim():
    for package in ("pythia8mc", "fastjet"):
        pytest.importorskip(package, reason="the extra `sim` is not installed")


@pytest.fixture(autouse=True)
def versions(monkeypatch):
    """Tests without Pythia need no Pythia."""
    monkeypatch.setattr("hepjax.simulation.provenance.metadata.version", lambda name: "1")


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


def toy_unit(unit):
    """Jets of random particles, without Pythia."""
    rng = np.random.default_rng([unit.seed, unit.label, unit.number])
    counts = rng.integers(2, 9, unit.jets)
    total = counts.sum()
    p4 = kinematics.from_pt_eta_phi_mass(
        rng.uniform(1, 90, total), rng.normal(0, 0.1, total), rng.normal(0, 0.1, total), np.zeros(total)
    )
    return RaggedJets(
        p4, rng.choice([211, -211, 22, 130], total), counts, rng.normal(size=(unit.jets, 5)), np.ones((unit.jets, 3, 5))
    )


@pytest.fixture
def toys(monkeypatch):
    """No processes, no Pythia, small blocks; the list tells which units were made."""
    made = []

    def finished(units, work, workers):
        for unit in units:
            made.append(unit)
            yield unit, work(unit)

    monkeypatch.setattr(pool, "finished", finished)
    monkeypatch.setattr(blocks, "simulate_unit", toy_unit)
    for module, name, value in (
        (blocks, "UNIT_JETS", 7),
        (blocks, "BLOCK_JETS", 10),
        (run, "BLOCK_JETS", 10),
        (run, "PART_JETS", 20),
    ):
        monkeypatch.setattr(module, name, value)
    return made


def contents(path):
    with h5py.File(path) as file:
        return {name: file[name][:].tolist() for name in file} | {
            f"attribute {name}": value for name, value in file.attrs.items()
        }


@SIM
def test_the_same_seed_gives_the_same_bytes_whatever_the_jobs(tmp_path):
    done = []
    for jobs in (1, 2):
        simulate(tmp_path / f"{jobs}.h5", jets=22, seed=5, jobs=jobs, observables=toy_observables, progress=done.append)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    assert done == [0, 22] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.h5", "2.h5"]
    with h5py.File(tmp_path / "1.h5") as file:
        np.testing.assert_array_equal(file["jets"][:, -6:-1].sum(axis=0), [5, 5, 4, 4, 4])
        assert file.attrs["seed"] == 5
        assert "simulated" in file.attrs["description"].lower()
        assert file.attrs["conditions"] == "those of the public sample"
        assert file.attrs["command"] == "hepjax simulate OUT.h5 --jets 22 --particles 30 --seed 5"
        p4 = file["jetConstituentList"][:][..., :4].astype(np.float64)
        pt = file["jets"][:, schema.JET_COLUMNS.index("j_pt")]
    # Rows of both datasets belong together.
    assert np.all(kinematics.pt(p4.sum(axis=1)) < 1.001 * pt)
    assert np.all(kinematics.pt(p4.sum(axis=1)) > 0.6 * pt)


@pytest.mark.usefixtures("toys")
def test_truth_is_kept_where_asked_and_readers_pass_it_over(tmp_path):
    for truth in (False, True):
        simulate(tmp_path / f"{truth}.h5", jets=33, layout=Layout(6, truth=truth), observables=toy_observables)
    plain, told = (contents(tmp_path / f"{truth}.h5") for truth in (False, True))
    assert set(told) - set(plain) == {"particleType", "particleCharge", "jetParton", "jetPartonDecays"}
    kinds, charges = np.array(told["particleType"]), np.array(told["particleCharge"])
    p4 = np.array(told["jetConstituentList"])
    np.testing.assert_array_equal(kinds != 0, p4[..., 3] > 0)
    np.testing.assert_array_equal(charges, np.where(np.abs(kinds) == 211, np.sign(kinds), 0))
    jets = [read_jets([tmp_path / f"{truth}.h5"]) for truth in (False, True)]
    np.testing.assert_array_equal(jets[0].constituents[:], jets[1].constituents[:])
    # Types belong to their particles: those of each jet's unit, in order of pT.
    unit = toy_unit(blocks.Unit(0, 0, 0, 7))
    _, ids, _ = clustering.padded(unit)
    first = np.flatnonzero(np.argmax(np.array(told["jets"])[:, -6:-1], axis=1) == 0)[:7]
    np.testing.assert_array_equal(kinds[first], ids[:, :6])
    np.testing.assert_allclose(np.array(told["jetParton"])[first], unit.parton, rtol=1e-6)


class StopError(Exception):
    """A failure from outside."""


def stopping(after):
    def observe(p4, mask, left=[after]):  # noqa: B006 — counts calls
        left[0] -= 1
        if left[0] < 0:
            raise StopError
        return toy_observables(p4, mask)

    return observe


@pytest.mark.parametrize("calls", range(8))
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, toys, calls):
    options = {"jets": 75, "layout": Layout(5, truth=True), "seed": 3}
    simulate(tmp_path / "whole.h5", observables=toy_observables, **options)
    everything = len(toys)
    with pytest.raises(StopError):
        simulate(tmp_path / "a.h5", observables=stopping(calls), **options)
    kept = calls // 2  # two blocks a part
    assert (tmp_path / "a.h5.unfinished").exists() == (kept > 0)
    assert not (tmp_path / "a.h5").exists()
    toys.clear()
    told = []
    simulate(tmp_path / "a.h5", observables=toy_observables, progress=told.append, **options)
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "whole.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert told[0] == 20 * kept
    assert sum(told) == 75
    assert len(toys) <= everything - 5 * max(0, kept - 2)
    assert not (tmp_path / "a.h5.unfinished").exists()


@pytest.mark.usefixtures("toys")
def test_other_arguments_do_not_go_on(tmp_path):
    with pytest.raises(StopError):
        simulate(tmp_path / "a.h5", jets=75, seed=3, observables=stopping(4))
    for other, words in (
        ({"jets": 75, "seed": 4}, "seed 3, not 4"),
        ({"jets": 76, "seed": 3}, "jets 75, not 76"),
        ({"jets": 75, "seed": 3, "conditions": PUBLIC._replace(radius=0.8)}, "conditions 'those"),
    ):
        with pytest.raises(InputError, match=f"a.h5.unfinished: was begun with .*{words}.*delete it"):
            simulate(tmp_path / "a.h5", observables=toy_observables, **other)
    simulate(tmp_path / "a.h5", jets=75, seed=3, observables=toy_observables)


@pytest.mark.parametrize(
    "harm", [lambda p: p.write_bytes(p.read_bytes()[:500]), lambda p: p.write_bytes(b""), os.remove]
)
def test_a_damaged_part_is_made_again(tmp_path, toys, harm):
    simulate(tmp_path / "whole.h5", jets=75, observables=toy_observables)
    with pytest.raises(StopError):
        simulate(tmp_path / "a.h5", jets=75, observables=stopping(6))
    harm(tmp_path / "a.h5.unfinished" / "part_00001.npz")
    simulate(tmp_path / "a.h5", jets=75, observables=toy_observables)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.usefixtures("toys")
def test_a_full_disk_keeps_what_was_finished(tmp_path, monkeypatch):
    real, left = np.savez, [2]

    def savez(file, **arrays):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(file, **arrays)

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(InputError, match=r"part_00002.npz: cannot be written \(No space left on device\)"):
        simulate(tmp_path / "a.h5", jets=75, observables=toy_observables)
    left[0] = 100
    told = []
    simulate(tmp_path / "a.h5", jets=75, observables=toy_observables, progress=told.append)
    assert told[0] == 40


KILLED = """
import sys
from tests.simulation.test_run import toy_observables
from hepjax.simulation import simulate, run
run.PART_JETS = 250
if __name__ == "__main__":
    def told(count):
        print(count, flush=True)
    simulate(sys.argv[1], jets=1000, seed=2, jobs=2, classes=("w",), observables=toy_observables, progress=told)
"""


@SIM
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_keeps_whole_parts_and_leaves_no_process(tmp_path, sign):
    (tmp_path / "killed.py").write_text(KILLED)
    command = [sys.executable, str(tmp_path / "killed.py"), str(tmp_path / "a.h5")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        counts = [
            int(process.stdout.readline()) for _ in range(3)
        ]  # 0 at the start, then two blocks: one part at least
        process.send_signal(sign)
        process.wait(60)
        words = process.stderr.read()
    assert counts[:2] == [0, 250]
    parts = sorted(path.name for path in (tmp_path / "a.h5.unfinished").glob("part_*[0-9].npz"))
    assert parts
    assert not (tmp_path / "a.h5").exists()
    if sign == signal.SIGINT:
        assert "the same command goes on from there" in words
    for _ in range(100):
        if not subprocess.run(["/usr/bin/env", "pgrep", "-f", str(tmp_path)], capture_output=True, check=False).stdout:
            break
        time.sleep(0.1)
    else:
        pytest.fail("a worker lives on")


@pytest.mark.usefixtures("toys")
def test_files_of_a_folder_have_seeds_of_their_own_and_whole_ones_are_left(tmp_path):
    options = {"per_file": 30, "seed": 5, "observables": toy_observables}
    told = []
    files = simulate_files(tmp_path / "new" / "jets", jets=70, progress=told.append, **options)
    assert [file.name for file in files] == ["jets_30p_000005.h5", "jets_30p_000006.h5", "jets_30p_000007.h5"]
    assert sum(told) == 70
    assert [len(contents(file)["jets"]) for file in files] == [30, 30, 10]
    simulate(tmp_path / "six.h5", jets=30, seed=6, observables=toy_observables)
    assert files[1].read_bytes() == (tmp_path / "six.h5").read_bytes()
    times = [file.stat().st_mtime_ns for file in files]
    files[1].unlink()
    again = simulate_files(tmp_path / "new" / "jets", jets=70, progress=told.append, **options)
    assert [file.stat().st_mtime_ns == before for file, before in zip(again, times, strict=True)] == [True, False, True]
    with pytest.raises(InputError, match=r"jets_30p_000007\.h5: exists already, made with jets 10, not 30"):
        simulate_files(tmp_path / "new" / "jets", jets=90, **options)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot be made"):
        simulate_files(tmp_path / "file", jets=70, **options)


@pytest.mark.parametrize("start", [0, 10, 20, 50, 70])
def test_rows_do_not_depend_on_where_a_run_starts(toys, start):
    labels = blocks.shuffled_labels(75, schema.CLASSES, 4)
    whole = list(blocks.blocks(labels, 1, 1, PUBLIC, 0))
    rest = list(blocks.blocks(labels, 1, 1, PUBLIC, start))
    for (names, jets), (others, same) in zip(rest, whole[start // 10 :], strict=True):
        np.testing.assert_array_equal(names, others)
        for mine, yours in zip(jets, same, strict=True):
            np.testing.assert_array_equal(mine, yours)


@pytest.mark.usefixtures("toys")
def test_wrong_arguments_are_named_at_once(tmp_path):
    for options, message in (
        ({"jets": 0}, "jets: expected an integer of at least 1, found 0"),
        ({"layout": Layout(0)}, "particles: expected"),
        ({"seed": -1}, "seed: expected an integer of at least 0, found -1"),
        ({"jobs": 0}, "jobs: expected"),
        ({"classes": ("g", "b")}, "classes: expected different ones of g, q, w, z, t"),
        ({"classes": ()}, "classes: expected"),
        ({"layout": Layout(mantissa_bits=40)}, "mantissa_bits: expected 1 to 23"),
        ({"conditions": PUBLIC._replace(pt=(1000.0, 900.0))}, "pt: expected a window"),
        ({"conditions": PUBLIC._replace(radius=0.0)}, "radius: expected"),
        ({"conditions": PUBLIC._replace(pile_up=-1.0)}, "pile_up: expected"),
    ):
        with pytest.raises(InputError, match=message):
            simulate(tmp_path / "a.h5", **{"jets": 10, "observables": toy_observables, **options})
    with pytest.raises(InputError, match="per_file: expected"):
        simulate_files(tmp_path / "new", jets=10, per_file=0, observables=toy_observables)
    (tmp_path / "a.h5").write_text("")
    with pytest.raises(InputError, match="exists already"):
        simulate(tmp_path / "a.h5", jets=10, observables=toy_observables)
    with pytest.raises(InputError, match="does not exist"):
        simulate(tmp_path / "none" / "a.h5", jets=10, observables=toy_observables)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def _fails(p4, mask):
    raise ZeroDivisionError("an error of the function")


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    "observables, error, message",
    [
        (_fails, ZeroDivisionError, "an error of the function"),
        (lambda p4, mask: np.zeros((len(p4), 3)), InputError, r"observables: expected .* \(2, 53\), found \(2, 3\)"),
        (lambda p4, mask: np.full((len(p4), 53), np.nan), InputError, "found nan in j_ptfrac"),
    ],
)
def test_a_failing_observables_function_leaves_nothing(tmp_path, observables, error, message):
    with pytest.raises(error, match=message):
        simulate(tmp_path / "a.h5", jets=2, classes=("w", "z"), observables=observables)
    assert list(tmp_path.iterdir()) == []


@SIM
def test_what_pythia_refuses_is_one_line_and_leaves_nothing(tmp_path):
    wrong = PUBLIC._replace(pythia=("No:suchSetting = on",))
    with pytest.raises(InputError, match="Pythia refuses the setting 'No:suchSetting = on'"):
        simulate(tmp_path / "a.h5", jets=5, jobs=1, conditions=wrong, observables=toy_observables)
    assert list(tmp_path.iterdir()) == []


@SIM
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
    found = read_jets([tmp_path / "a.h5"])
    np.testing.assert_array_equal(found.labels, np.full(30, 2))
    assert read_jets([tmp_path / "b.h5"]).labels is None
    assert contents(tmp_path / "b.h5")["jets"] == [row[:53] for row in contents(tmp_path / "a.h5")["jets"][:7]]
    np.testing.assert_allclose(found.observables[:, schema.OBSERVABLE_COLUMNS.index("j_pt")], 450, rtol=0.05)


def test_importing_simulation_is_light():
    heavy = {"jax", "pythia8mc", "fastjet", "awkward", "matplotlib"}
    code = f"import sys, hepjax.simulation; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
