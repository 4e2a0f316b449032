import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import h5py
import numpy as np
import pytest

from hepjax import read_jets
from hepjax.data import summarize
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics import kinematics
from hepjax.physics.simulation import PUBLIC, Layout, blocks, clustering, simulate, simulate_files
from tests.physics.simulation.conftest import toy_observables, toy_unit


def contents(path):
    with h5py.File(path) as file:
        return {name: file[name][:].tolist() for name in file} | {
            f"attribute {name}": value for name, value in file.attrs.items()
        }


@pytest.mark.usefixtures("sim")
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
        assert re.fullmatch(
            r"events: \d+;( .* completes: \d+;)? hardest jets of at least 100 GeV: \d+; .*", file.attrs["cuts"]
        )
        assert file.attrs["command"] == "hepjax simulate OUT.h5 --jets 22 --particles 30 --seed 5"
        p4 = file["jetConstituentList"][:][..., :4].astype(np.float64)
        pt = file["jets"][:, hls4ml.JET_COLUMNS.index("j_pt")]
    # Rows of both datasets belong together.
    assert np.all(kinematics.pt(p4.sum(axis=1)) < 1.001 * pt)
    assert np.all(kinematics.pt(p4.sum(axis=1)) > 0.6 * pt)


@pytest.mark.usefixtures("toys")
def test_truth_is_kept_where_asked_and_readers_pass_it_over(tmp_path):
    for truth in (False, True):
        simulate(tmp_path / f"{truth}.h5", jets=33, layout=Layout(6, truth=truth), observables=toy_observables)
    plain, full = (contents(tmp_path / f"{truth}.h5") for truth in (False, True))
    assert set(full) - set(plain) == {"particleType", "particleCharge", "jetParton", "jetPartonDecays"}
    kinds, charges = np.array(full["particleType"]), np.array(full["particleCharge"])
    p4 = np.array(full["jetConstituentList"])
    np.testing.assert_array_equal(kinds != 0, p4[..., 3] > 0)
    np.testing.assert_array_equal(charges, np.where(np.abs(kinds) == 211, np.sign(kinds), 0))
    jets = [read_jets([tmp_path / f"{truth}.h5"]) for truth in (False, True)]
    np.testing.assert_array_equal(jets[0].constituents[:], jets[1].constituents[:])
    summaries = [summarize(tmp_path / f"{truth}.h5") for truth in (False, True)]
    assert summaries[1].ranges == summaries[0].ranges
    assert summaries[1].problems == ()
    # Types belong to their particles: those of each jet's unit, in order of pT.
    unit = toy_unit(blocks.Unit(0, 0, 0, 7)).jets
    _, ids, _ = clustering.pad_jets(unit)
    first = np.flatnonzero(np.argmax(np.array(full["jets"])[:, -6:-1], axis=1) == 0)[:7]
    np.testing.assert_array_equal(kinds[first], ids[:, :6])
    np.testing.assert_allclose(np.array(full["jetParton"])[first], unit.parton, rtol=1e-6)


@pytest.mark.usefixtures("toys")
def test_files_of_a_folder_have_seeds_of_their_own_and_whole_ones_are_left(tmp_path):
    options = {"per_file": 30, "seed": 5, "observables": toy_observables}
    counts = []
    files = simulate_files(tmp_path / "new" / "jets", jets=70, progress=counts.append, **options)
    assert [file.name for file in files] == ["jets_30p_000005.h5", "jets_30p_000006.h5", "jets_30p_000007.h5"]
    assert sum(counts) == 70
    assert [len(contents(file)["jets"]) for file in files] == [30, 30, 10]
    simulate(tmp_path / "six.h5", jets=30, seed=6, observables=toy_observables)
    assert files[1].read_bytes() == (tmp_path / "six.h5").read_bytes()
    times = [file.stat().st_mtime_ns for file in files]
    files[1].unlink()
    again = simulate_files(tmp_path / "new" / "jets", jets=70, progress=counts.append, **options)
    assert [file.stat().st_mtime_ns == before for file, before in zip(again, times, strict=True)] == [True, False, True]
    with pytest.raises(InputError, match=r"jets_30p_000007\.h5: exists already, made with jets 10, not 30"):
        simulate_files(tmp_path / "new" / "jets", jets=90, **options)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot be made"):
        simulate_files(tmp_path / "file", jets=70, **options)


@pytest.mark.usefixtures("toys")
def test_without_the_extra_nothing_is_made(tmp_path, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("hepjax.physics.simulation.provenance.metadata.version", missing)
    with pytest.raises(InputError, match=r"simulation needs the package pythia8mc.*hepjax\[sim\]"):
        simulate_files(tmp_path / "new", jets=10, observables=toy_observables)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("toys")
def test_wrong_arguments_are_named_at_once(tmp_path):
    for options, message in (
        ({"jets": 0}, "jets: expected an integer of at least 1, found 0"),
        ({"layout": Layout(0)}, "particles: expected"),
        ({"seed": -1}, "seed: expected an integer of at least 0, found -1"),
        ({"seed": 10**20}, f"seed: expected an integer up to {2**63 - 1}, found {10**20}"),
        ({"jobs": 0}, "jobs: expected"),
        ({"classes": ("g", "b")}, "classes: expected different ones of g, q, w, z, t"),
        ({"classes": ()}, "classes: expected"),
        ({"layout": Layout(mantissa_bits=40)}, "mantissa_bits: expected 1 to 23"),
        ({"conditions": PUBLIC._replace(pt=(1000.0, 900.0))}, "pt: expected a window"),
        ({"conditions": PUBLIC._replace(pt=(30.0, 40.0))}, "pt: expected a window that goes above 100 GeV, for softer"),
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


@pytest.mark.usefixtures("sim")
def test_what_pythia_refuses_is_one_line_and_leaves_nothing(tmp_path):
    wrong = PUBLIC._replace(pythia=("No:suchSetting = on",))
    with pytest.raises(InputError, match="Pythia refuses the setting 'No:suchSetting = on'"):
        simulate(tmp_path / "a.h5", jets=5, jobs=1, conditions=wrong, observables=toy_observables)
    assert list(tmp_path.iterdir()) == []


def test_importing_simulation_is_light():
    heavy = {"jax", "pythia8mc", "fastjet", "awkward", "matplotlib"}
    code = f"import sys, hepjax.physics.simulation; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
