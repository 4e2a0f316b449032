"""Can a network that was trained on the public jets tell that simulated ones are not? Its AUCs, effect by effect.

    python experiments/oracle.py --weights IN_150_withSumO.params
    python experiments/oracle.py --weights IN_150_withSumO.params --jets 1000 --effects

The released JEDI-net with the sum over O (arXiv:1908.05318; DOI 10.5281/zenodo.3986966) judges jets of the default
pipeline, or with one change at a time. The closer they are to public jets, the closer it comes to its published AUCs.
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

from hepjax import choices, evaluation
from hepjax.cli.progress import progress_bar
from hepjax.data import atomic_files, readers
from hepjax.data.datasets import hls4ml
from hepjax.inputs import batching, sequences
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
    """The released .params file, or its arrays under PyTorch's names in an .npz file."""
    jets: int = 10_000
    """Of each seed."""
    seeds: int = 5
    """From 1 on."""
    effects: bool = False
    """Change the pipeline too, in one thing at a time."""
    out: Path = Path("runs/oracle")
    """For the jets; a second start goes on where the first stopped."""


def oracle(weights: Path) -> Callable[[Sequences], jax.Array]:
    """Reads the network: particles in, probabilities out."""
    arrays = weights.suffix == ".npz"
    model, params = pretrained.from_arrays(dict(np.load(weights))) if arrays else pretrained.jedinet(weights)
    return jax.jit(lambda inputs: jax.nn.softmax(model.apply({"params": params}, inputs)))


def aucs(path: Path, answer: Callable[[Sequences], jax.Array]) -> list[float]:
    """Measures each class against the others in a file. One slot of padding stands for all: short jets need few."""
    jets = readers.read_jets([path], particles=150)
    scores, batch = np.empty((len(jets), 5)), Batch(sequences(jets), jets.labels, np.ones(len(jets)))
    for rows, same in batching.by_length(batch, batching.even_buckets(150, spare=1)):
        for i in range(0, len(rows), 200):
            scores[rows[i : i + 200]] = answer(jax.tree.map(lambda x, i=i: x[i : i + 200], same.inputs))
    curves = evaluation.class_curves(Scores(scores / scores.sum(1, keepdims=True), jets.labels, None, hls4ml.CLASSES))
    return [evaluation.auc(curve) for curve in curves.values()]


def run(options: Oracle) -> str:
    """Simulates and judges; returns the table."""
    answer, cells = oracle(options.weights), " | ".join(f"{x:.3f}" for x in PUBLISHED)
    table = f"| AUC | g | q | W | Z | t |\n{'| --- ' * 6}|\n| published | {cells} |\n"
    for name, changes in list(EFFECTS.items())[: None if options.effects else 1]:
        asked = {"seed": 1, "jets": options.seeds * options.jets, "per_file": options.jets, "layout": Layout(150)}
        with progress_bar(Console(stderr=True), name, asked["jets"], "jets") as advance:
            asked |= {"observables": jet_observables, "progress": advance, "conditions": PUBLIC._replace(**changes)}
            classes = np.transpose([aucs(file, answer) for file in simulate_files(options.out / name, **asked)])
        halves = [np.ptp(evaluation.mean_interval(x, level=0.68)) / 2 for x in classes]
        cells = " | ".join(f"{x.mean():.3f} ± {half:.3f}" for x, half in zip(classes, halves, strict=True))
        table += f"| {name} | {cells} |\n"
    atomic_files.write_text(options.out / "table.md", table)
    return table


if __name__ == "__main__":
    print(run(tyro.cli(Oracle, description=__doc__)))
