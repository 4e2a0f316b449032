"""Can a network that was trained on the public jets tell that simulated ones are not? Its AUCs, effect by effect.

    python experiments/oracle.py --weights IN_150_withSumO.params
    python experiments/oracle.py --weights IN_150_withSumO.params --jets 1000 --effects

The released JEDI-net with the sum over O (arXiv:1908.05318; DOI 10.5281/zenodo.3986966; its .params file, or its arrays
under PyTorch's names in an .npz file) judges jets of the default pipeline. The closer they are to the public ones, the
closer it comes to its published AUCs. With --effects, the pipeline is changed in one thing at a time.
Expected in five minutes: AUC of g, q, W, Z, t 0.953, 0.927, 0.959, 0.952, 0.967 (± 0.002; intervals are of 68 %).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import tyro
from rich.console import Console
from scipy.stats import t as student

from hepjax import choices, evaluation
from hepjax import inputs as representations
from hepjax.cli.progress import progress_bar
from hepjax.data import atomic_files, readers
from hepjax.data.datasets import hls4ml
from hepjax.inputs.batching import by_length, even_buckets
from hepjax.models import pretrained
from hepjax.physics.simulation import PUBLIC, Detector, Layout, simulate_files
from hepjax.physics.substructure import jet_observables
from hepjax.types import Batch, Scores, Sequences

PUBLISHED = (0.953, 0.929, 0.970, 0.965, 0.968)
ECAL, HCAL = Detector().electromagnetic._replace(cell=0.0175), Detector().hadronic._replace(cell=0.022)
STABLE = ("ParticleDecays:limitTau0 = on", "ParticleDecays:tau0Max = 10.")
EFFECTS = {
    "the pipeline": {}, "cells of 0.0175 and 0.022": {"detector": Detector(electromagnetic=ECAL, hadronic=HCAL)},
    "initial-state radiation of any pT": {"pythia": ("SpaceShower:pTmaxMatch = 2",)}, "no detector": {"detector": None},
    "tracks of 90 % efficiency": {"detector": Detector(track_efficiency=0.9)}, "tune 4C": {"pythia": ("Tune:pp = 5",)},
    "no multiparton interactions": {"pythia": ("PartonLevel:MPI = off",)}, "R = 0.8": {"radius": 0.8},
    "no initial-state radiation": {"pythia": ("PartonLevel:ISR = off",)}, "K0S and hyperons stable": {"pythia": STABLE},
    "resolutions doubled": {"detector": Detector(resolution=1.0)}, "no threshold": {"detector": Detector(pt_min=0.0)},
    "bosons with width and polarisation": {"undecayed": False}, "gluons of no more than 1,005 GeV": {"unlimited": ()},
    "threshold of 0.5 GeV": {"detector": Detector(pt_min=0.5)}, "pT of 990 to 1,030 GeV": {"pt": (990.0, 1030.0)},
    "all jets near a parton": {"keep": choices.Keep.MATCHED},
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Oracle:
    """Lets the published network judge simulated jets."""

    weights: Path = Path("IN_150_withSumO.params")
    """The released parameters: an .npz file of arrays, or PyTorch's .params."""
    jets: int = 10_000
    """Of each seed."""
    seeds: int = 5
    """From 1 on."""
    effects: bool = False
    """Change the pipeline in one thing at a time."""
    out: Path = Path("runs/oracle")
    """For the jets; a second start goes on where the first stopped."""


def oracle(weights: Path) -> Callable[[Sequences], jax.Array]:
    """The network: particles in, probabilities out."""
    known = pretrained.from_arrays(dict(np.load(weights))) if weights.suffix == ".npz" else pretrained.jedinet(weights)
    model, params = known
    return jax.jit(lambda inputs: jax.nn.softmax(model.apply({"params": params}, inputs)))


def aucs(path: Path, answer: Callable[[Sequences], jax.Array]) -> list[float]:
    """One class against the others, on a file's jets. One slot of padding stands for all: short jets need few."""
    jets = readers.read_jets([path], particles=150)
    scores, ones = np.empty((len(jets.labels), 5)), np.ones(len(jets.labels))
    for rows, same in by_length(Batch(representations.sequences(jets), jets.labels, ones), even_buckets(150, spare=1)):
        for i in range(0, len(rows), 200):
            scores[rows[i : i + 200]] = answer(jax.tree.map(lambda x, i=i: x[i : i + 200], same.inputs))
    found = evaluation.class_curves(Scores(scores / scores.sum(1, keepdims=True), jets.labels, None, hls4ml.CLASSES))
    return [evaluation.auc(curve) for curve in found.values()]


def run(options: Oracle) -> str:
    """Simulates and judges; returns the table."""
    answer, numbers = oracle(options.weights), " | ".join(f"{x:.3f}" for x in PUBLISHED)
    table = f"| AUC | g | q | W | Z | t |\n{'| --- ' * 6}|\n| published | {numbers} |\n"
    for name, changes in list(EFFECTS.items())[: None if options.effects else 1]:
        asked = {"seed": 1, "jets": options.seeds * options.jets, "per_file": options.jets, "layout": Layout(150)}
        with progress_bar(Console(stderr=True), name, options.seeds * options.jets, "jets") as advance:
            asked |= {"observables": jet_observables, "progress": advance, "conditions": PUBLIC._replace(**changes)}
            found = np.array([aucs(file, answer) for file in simulate_files(options.out / name, **asked)])
        half = student.ppf(0.84, len(found) - 1) * found.std(axis=0, ddof=1) / np.sqrt(len(found))
        numbers = " | ".join(f"{mean:.3f} ± {h:.3f}" for mean, h in zip(found.mean(axis=0), half, strict=True))
        table += f"| {name} | {numbers} |\n"
    atomic_files.write_text(options.out / "table.md", table)
    return table


if __name__ == "__main__":
    print(run(tyro.cli(Oracle, description=__doc__)))
