"""Strict surroundings for every test: no network, several CPU devices, fixed seeds; and one trained run a model."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import socket
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as the command line does, before jax is imported
# Tests compile much and compute little, so that most optimizations take longer than they save.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
# Half of the compiler's time goes into its MLIR emitters of fused loops. Versions without the older ones ignore this.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters")

import h5py
import hypothesis
import jax
import jaxlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from hepjax.cli import parsing
from hepjax.data.datasets import hls4ml
from hepjax.runs import train
from hepjax.runtime import compilation, devices

jax.config.update("jax_num_cpu_devices", 8)
# Runs take one device, as on most machines, but where a test is about several.
devices._all_devices = lambda: jax.devices()[:1]

# How long an example takes depends on what was compiled before, and on what else the machine does.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

TESTS = Path(__file__).parent

CACHE = compilation._program_cache_folder() / "tests" / f"{jaxlib.__version__}-{compilation._machine_name()}"
"""Tests compile the same small programs over and over: workers, processes and sessions share what they compiled."""
LARGEST_CACHE = 2**29
os.environ.setdefault("HEPJAX_TESTS_CACHE", str(CACHE))
for name, value in {
    "jax_compilation_cache_dir": os.environ["HEPJAX_TESTS_CACHE"],
    "jax_persistent_cache_min_compile_time_secs": 0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)

OPTIMIZED = {
    "experiments/test_studies.py",
}
"""Tests that compute much, and are compiled with all optimizations."""


def pytest_sessionstart(session):
    """What older versions compiled makes room."""
    if not hasattr(session.config, "workerinput"):
        compilation._trim_program_cache(CACHE.parent, LARGEST_CACHE)


@pytest.fixture(autouse=True, scope="module")
def _optimize(request):
    if request.path.relative_to(TESTS).as_posix() not in OPTIMIZED:
        yield
        return
    before = jax.config.read("jax_disable_most_optimizations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "false")  # of processes that the tests start
        jax.config.update("jax_disable_most_optimizations", False)
        yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Only loopback may be reached."""
    connect = socket.socket.connect

    def guarded(self, address):
        internet = self.family in (socket.AF_INET, socket.AF_INET6)
        if internet and not str(address[0]).startswith(("127.", "::1", "localhost")):
            pytest.fail(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def many_devices(monkeypatch):
    """The test sees all of the eight virtual devices."""
    monkeypatch.setattr(devices, "_all_devices", jax.devices)


@pytest.fixture(autouse=True, scope="session")
def _undrawn():
    """Figures are made but not drawn, which takes most of the time of a short run: their files hold a pixel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_pixel)
        yield


@pytest.fixture
def drawn(monkeypatch):
    """What the test is about is drawn."""
    monkeypatch.setattr(Figure, "savefig", DRAW)


@pytest.fixture
def brief(monkeypatch):
    """Training is what the test is about: classifiers get blank pictures."""
    blank = dict.fromkeys(("roc.png", "confusion.png", "scores.png"), Figure())
    monkeypatch.setattr("hepjax.tasks.classification.Classification.pictures", lambda *_: blank)


DRAW = Figure.savefig


def save_pixel(figure, target, **_):
    """Stands in for a figure's `savefig`."""
    pixel = io.BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "png")
    (target.write if hasattr(target, "write") else Path(target).write_bytes)(pixel.getvalue())


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def public_file(path, count=25, slots=30, seed=0, chunk=7, **changes):
    """Writes a tiny file of the public layout, by hand; `changes` replace whole datasets, None leaves one out."""
    rng = np.random.default_rng(seed)
    particles = rng.normal(size=(count, slots, 16)).astype(np.float32)
    azimuths = [hls4ml.PARTICLE_COLUMNS.index(name) for name in ("j1_phi", "j1_phirel")]
    particles[..., azimuths] = particles[..., azimuths].clip(-3, 3)
    filled = rng.integers(2, slots + 1, size=count)
    pt = np.sort(rng.exponential(20, size=(count, slots)).astype(np.float32), axis=1)[:, ::-1]
    particles[..., hls4ml.PARTICLE_COLUMNS.index("j1_pt")] = pt
    particles[..., hls4ml.PARTICLE_COLUMNS.index("j1_e")] = pt * 1.5
    particles *= (np.arange(slots) < filled[:, None])[..., None]
    values = rng.normal(size=(count, len(hls4ml.JET_COLUMNS))).astype(np.float32)
    values[:, -6:] = np.eye(6)[np.arange(count) % 5]
    datasets = {
        hls4ml.CONSTITUENTS: particles,
        hls4ml.PARTICLE_NAMES: np.array([*hls4ml.PARTICLE_COLUMNS, hls4ml.PARTICLE_ID], "S"),
        hls4ml.JETS: values,
        hls4ml.JET_NAMES: np.array(hls4ml.JET_COLUMNS, "S"),
        **changes,
    }
    with h5py.File(path, "w") as file:
        for name, data in datasets.items():
            if data is not None:
                chunks = (min(chunk, len(data)), *data.shape[1:]) if data.ndim > 1 and data.size else None
                file.create_dataset(name, data=data, chunks=chunks, compression="gzip" if chunks else None)
    return path


@pytest.fixture(scope="session")
def write_jets():
    """The same function for fixtures that live longer than a test: `write_jets(path, **changes)`."""
    return public_file


@pytest.fixture
def jet_file(tmp_path):
    """A function that writes a tiny file of the public layout into the test's folder: `jet_file(name, **changes)`."""
    return lambda name="jets.h5", **changes: public_file(tmp_path / name, **changes)


def foreign_file(
    path,
    *,
    count=60,
    slots=12,
    seed=0,
    columns=("j1_px", "j1_py", "j1_pz", "j1_e"),
    observables=("j_pt", "j_mass"),
    classes=("qcd", "top"),
    prefix="label_",
    particle_extra=(),
    weights=None,
    **datasets,
):
    """Writes jets of other columns and classes in the HDF5 layout; classes take turns, and their particles differ.

    `columns` are names of four-momenta, in their order; `observables` and `particle_extra` are names of any others.
    """
    rng = np.random.default_rng(seed)
    label = np.arange(count) % max(len(classes), 1)
    filled = rng.integers(3, slots + 1, size=count)
    pt = np.sort(rng.exponential(10 * (1 + label[:, None]), size=(count, slots)), axis=1)[:, ::-1] + 1
    eta = rng.normal(0, 0.1, (count, slots)) + rng.normal(size=(count, 1))
    phi = rng.normal(0, 0.1, (count, slots)) + rng.uniform(-3, 3, (count, 1))
    p3 = [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
    momenta = [*p3, np.sqrt(sum(p**2 for p in p3) + 0.14**2)]
    more = [rng.normal(size=(count, slots)) for _ in particle_extra]
    particles = np.stack([*momenta, *more], axis=-1) * (np.arange(slots) < filled[:, None])[..., None]
    values = np.concatenate(
        [
            rng.normal(label[:, None], 1, (count, len(observables))),
            np.eye(max(len(classes), 1))[label][:, : len(classes)],
        ],
        1,
    )
    names = [*observables, *(f"{prefix}{name}" for name in classes)]
    content = {
        hls4ml.CONSTITUENTS: particles.astype(np.float32),
        hls4ml.PARTICLE_NAMES: np.array([*columns, *particle_extra], "S"),
        **({hls4ml.JETS: values.astype(np.float32), hls4ml.JET_NAMES: np.array(names, "S")} if names else {}),
        **({} if weights is None else {"weights": weights}),
        **datasets,
    }
    with h5py.File(path, "w") as file:
        for name, data in content.items():
            file[name] = data
    return path


@pytest.fixture(scope="session")
def write_other():
    """The same function for fixtures that live longer than a test: `write_other(path, **changes)`."""
    return foreign_file


@pytest.fixture
def other_file(tmp_path):
    """A function that writes such a file into the test's folder: `other_file(name, classes=…, observables=…)`."""
    return lambda name="other.h5", **changes: foreign_file(tmp_path / name, **changes)


PARTICLES = ("--columns", "j1_pt", "j1_etarel", "j1_phirel", "--particles", "6")
PERCEPTRON = ("mlp", "--hidden", "4", "--features", "j_pt", "j_mass", "j_zlogz")
SET = ("deepsets", "--particle", "3", "--hidden", "3", *PARTICLES)
PIXELS = ("--pixels", "8", "--pixel-size", "0.1")
RUNS = {
    "bfloat16": (*SET, "--precision", "bfloat16"),
    "convnet": ("convnet", "--filters", "2", "--kernels", "3", "--hidden", "3", *PIXELS, "--flip"),
    "convnet1d": ("convnet1d", "--filters", "2", "--kernels", "3", "--hidden", "3", *PARTICLES),
    "deepsets": SET,
    "ensemble": (*PERCEPTRON, "--ensemble", "2"),
    "folds": (*PERCEPTRON, "--folds", "3"),
    "graph-network": (
        "graph-network", "--rounds", "1", "--edge", "2", "--node", "2", "--jet", "2", "--neighbors", "2", *PARTICLES,
    ),
    "gru": ("gru", "--units", "3", "--hidden", "3", "--order-by", "j1_e", *PARTICLES),
    "interaction-network": (
        "interaction-network", "--edge", "3", "2", "--node", "3", "--hidden", "2", "--readout", "flatten",
        "--no-masked", *PARTICLES,
    ),
    "linear": ("linear", "--degree", "1"),
    "logistic": ("logistic", "--degree", "1"),
    "lstm": ("lstm", "--units", "3", "--hidden", "3", "--bidirectional", *PARTICLES),
    "mlp": PERCEPTRON,
    "sizes": (*PERCEPTRON, "--sizes", "50", "90"),
}  # fmt: skip
"""Name of a run → how `hepjax train` is asked for it."""
FEW = ("--epochs", "1", "--batch-size", "64", "--patience", "None")


@pytest.fixture(scope="session")
def trained_runs(tmp_path_factory):
    """`trained_runs("mlp")`: the folder of a small trained run, to read only; all workers share it, and its jets.h5."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    shared.mkdir(exist_ok=True)
    jets = shared / "jets.h5"

    def run(name):
        folder = shared / name
        with locked(shared / "lock"):
            if not jets.exists():
                public_file(jets, count=200)
        with locked(shared / f"{name}.lock"):
            if not (folder / "metrics.json").exists():
                train.run(parsing.parse(["train", *RUNS[name], *FEW, "--data", str(jets), "--out", str(folder)]))
        return folder

    return run


@contextlib.contextmanager
def locked(path):
    """One process at a time comes in here."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def trained_run(trained_runs, tmp_path):
    """`trained_run("mlp")`: a copy of the same folder, to do with as one likes."""
    return lambda name: shutil.copytree(trained_runs(name), tmp_path / name)
