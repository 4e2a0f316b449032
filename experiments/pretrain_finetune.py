"""A ParticleNet that has seen 100 million jets of JetClass, trained on for top tagging, beside one that starts anew.

    python experiments/pretrain_finetune.py --weights ParticleNet_kin.pt --data top_2000.npz
    python experiments/pretrain_finetune.py --weights ParticleNet_kin.pt --data train.h5 --epochs 20

Takes the weights that the authors of JetClass released (arXiv:2202.03772, jet-universe/particle_transformer), and any
labeled jets with four-momenta, or a NumPy archive of them: `p4`, `deta_dphi`, `mask`, `labels`, `classes`. Both
networks see the same jets for as many epochs, in the same folds: of k, k - 2 are for training and one for validation.
The new head learns 50 times as fast as the body, as published. Errors are of 68 % and know that folds share jets.
Expected in hours on two cores; five folds were not run. What one split gave stands in docs/fine-tuning.md.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tyro

import hepjax
from hepjax import evaluation, types
from hepjax.data import atomic_files
from hepjax.errors import InputError
from hepjax.runs import stored
from hepjax.runs.import_weights import import_weights

TABLE = "| network | AUC |\n| --- | --- |\n{}| gain | {:+.4f} ± {:.4f} |\n"


@dataclasses.dataclass(frozen=True)
class PretrainFinetune:
    """Trains a pre-trained network and a new one on the same jets."""

    weights: Path = Path("ParticleNet_kin.pt")
    """The released weights of the seven kinematic inputs."""
    data: tuple[Path, ...] = ()
    """Files of jets to learn from, or one NumPy archive; none is the sample that comes with hepjax."""
    folds: int = 5
    """Parts of the jets, each of which is tested by networks that have learned from the others."""
    epochs: int = 5
    """Epochs of each network; the best one counts."""
    batch_size: int = 32
    """Jets in a training step."""
    rate: float = 1e-3
    """Learning rate of the network that starts anew."""
    head_rate: float = 2e-2
    """Learning rate of the new head of the other one."""
    faster: float = 50.0
    """That over the learning rate of its body."""
    particles: int | None = None
    """Particles of each jet that networks see; None is as many as the jets have, up to 128."""
    out: Path = Path("runs/pretrain-finetune")
    """A new folder, with the table and a run folder for each network."""


def read(files: tuple[Path, ...]) -> types.Jets:
    """Opens files of jets, or reads an archive."""
    if not files or files[0].suffix != ".npz":
        return hepjax.read_jets(files or None)
    with np.load(files[0]) as held:
        places = dict(zip(("part_deta", "part_dphi"), np.moveaxis(held["deta_dphi"], -1, 0), strict=True))
        known = {"mask": held["mask"], "labels": held["labels"], "classes": held["classes"].tolist()}
        return hepjax.from_arrays(held["p4"], particles=places, **known, name="archive")


def aucs(tagger: hepjax.Tagger) -> np.ndarray:
    """The mean AUC over the classes, of each fold."""
    members = [member["classes"].values() for member in tagger.metrics["members"].values()]
    return np.array([np.mean([x["auc"] for x in classes if x["auc"] is not None]) for classes in members])


def run(chosen: PretrainFinetune) -> str:
    """Trains and measures; returns the table."""
    atomic_files.check_new(chosen.out)
    if not chosen.weights.is_file():
        raise InputError(f"--weights {chosen.weights}: no such file; get it from jet-universe/particle_transformer")
    jets, found = read(chosen.data), {}
    particles = chosen.particles or min(128, jets.constituents.shape[1])
    options = {"columns": ("jetclass_kin",), "particles": particles}
    known = import_weights(chosen.weights, "particle-net", chosen.out / "pre-trained", dataset="jetclass")
    model = stored.open_run(known).experiment.model.clone(**options)
    common = {"folds": chosen.folds, "epochs": chosen.epochs, "batch_size": chosen.batch_size, "patience": None}
    start = {"start_from": known, "body_rate": 1 / chosen.faster, "learning_rate": chosen.head_rate}
    for name, more in {"fine-tuned": start, "from-scratch": {"learning_rate": chosen.rate}}.items():
        found[name] = aucs(hepjax.train(model, jets, show=None, out=chosen.out / name, **common, **more))
    gains = found["fine-tuned"] - found["from-scratch"]
    low, high = evaluation.fold_intervals({"": gains.mean()}, {"": gains.std(ddof=1)}, chosen.folds)[""]
    lines = "".join(f"| {name} | {each.mean():.4f} ± {each.std(ddof=1):.4f} |\n" for name, each in found.items())
    atomic_files.write_json(chosen.out / "figures.json", {name: each.tolist() for name, each in found.items()})
    atomic_files.write_text(chosen.out / "table.md", table := TABLE.format(lines, gains.mean(), (high - low) / 2))
    return table


if __name__ == "__main__":
    print(run(tyro.cli(PretrainFinetune, description=__doc__)))
