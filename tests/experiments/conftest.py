"""Experiments as modules, and a few jets for them."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import hepjax

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAMES = sorted(path.stem for path in EXPERIMENTS.glob("*.py"))
NEEDED = {"hls4ml_mlp": ("hls4ml", "qonnx", "onnxruntime")}
"""What some need that the tests do not install."""


def load(name):
    for package in NEEDED.get(name, ()):
        pytest.importorskip(package, reason=f"{name} needs {package}")
    spec = importlib.util.spec_from_file_location(f"experiments_{name}", EXPERIMENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look annotations up
    spec.loader.exec_module(module)
    return module


def options_of(module):
    """The one class of options, which all experiments have."""
    (options,) = [x for x in vars(module).values() if dataclasses.is_dataclass(x) and x.__module__ == module.__name__]
    return options


def assert_pictures(folder, *names):
    for name in names:
        assert (folder / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert {path.name for path in folder.glob("*.png")} == set(names)


@pytest.fixture(scope="session")
def few_jets(tmp_path_factory):
    """A folder of jets to train and to test on: few-data.h5 and few-test.h5, 300 each, and of light quark and top jets
    alone pair-data.h5 and pair-test.h5."""
    folder = tmp_path_factory.mktemp("jets")
    with h5py.File(Path(hepjax.__file__).parent / "data" / "jets_30p.h5") as sample:
        names = [name.decode() for name in sample["jetFeatureNames"][:]]
        flags = sample["jets"][:, [names.index("j_q"), names.index("j_t")]]
        chosen = {"few-data": slice(300), "few-test": slice(300, 600)}
        for name, some in (("pair-data", slice(220)), ("pair-test", slice(220, 440))):
            chosen[name] = np.sort(np.concatenate([np.flatnonzero(flag)[some] for flag in flags.T]))
        for stem, rows in chosen.items():
            with h5py.File(folder / f"{stem}.h5", "w") as file:
                for name in ("jetConstituentList", "jets"):
                    file[name] = sample[name][:][rows]
                for name in ("particleFeatureNames", "jetFeatureNames"):
                    file[name] = sample[name][:]
    return folder
