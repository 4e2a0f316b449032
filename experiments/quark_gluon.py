"""Quark jets against gluon jets: networks of particles, with kinematics alone and with the particles' types.

    python experiments/quark_gluon.py --data QG_jets.npz QG_jets_1.npz
    python experiments/quark_gluon.py --data train.parquet --test test.parquet --networks deepsets particle-net

Takes the quark/gluon jets of EnergyFlow (arXiv:1810.05165, Zenodo 3164691; 500 < pT < 550 GeV) as NumPy archives or as
weaver-core's Parquet files; the published split is 1.6 million jets to train on, 200,000 to validate, 200,000 to test.
Two tasks share this name: with `jetclass_kin` a network sees momenta alone, with `jetclass_kinpid` also charges and
types, so that a figure means nothing without its inputs.
Expected in hours on all jets: what is published, the last rows of the table; it has not been measured here.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

import hepjax
from hepjax import models
from hepjax.data import atomic_files

KEYS = ("auc", "background_rejection_at_0.5", "background_rejection_at_0.3")
TABLE = """| tagger | inputs | accuracy | AUC | 1/ε_B at ε_S 50 % | 1/ε_B at ε_S 30 % |
| --- | --- | --- | --- | --- | --- |
{}| published: LorentzNet | momenta, types | 0.844 | 0.9161 | 43.2 | 112.9 |
| published: ParticleNet | momenta, types | | 0.9116 | | |
| published: Particle Transformer, fine-tuned | momenta, types | 0.852 | 0.9230 | | |
"""


@dataclasses.dataclass(frozen=True)
class QuarkGluon:
    """Trains and measures taggers of quark jets."""

    data: tuple[Path, ...] = ()
    """Files of jets of two classes, the signal last."""
    val: tuple[Path, ...] = ()
    """Files to validate on; without any, a fifth of the jets is set apart."""
    test: tuple[Path, ...] = ()
    """Files to test on; without any, a fifth of the jets is set apart."""
    networks: tuple[str, ...] = ("deepsets",)
    """Names of models of particles."""
    columns: tuple[str, ...] = ("jetclass_kin", "jetclass_kinpid")
    """Inputs, each of which is tried with each network."""
    particles: int = 100
    """The hardest particles that they see."""
    folds: int | None = None
    """Parts of the jets of --data, each of which is tested by networks that have learned from the others."""
    epochs: int = 20
    """Epochs of each network; the best one counts."""
    batch_size: int = 512
    """Jets in a training step."""
    seed: int = 0
    """Seed of the parts, the first parameters and the order of jets."""
    out: Path = Path("runs/quark-gluon")
    """A new folder, with the table and a run folder for each network and input."""


def run(chosen: QuarkGluon) -> str:
    """Trains and measures; returns the table."""
    atomic_files.check_new(chosen.out)
    jets = hepjax.read_jets(chosen.data or None)
    figures, lines = {}, ""
    common = {name: getattr(chosen, name) for name in ("folds", "epochs", "batch_size", "seed")}
    common |= {name: files for name, files in (("val", chosen.val), ("test", chosen.test)) if files}
    for name in chosen.networks:
        for columns in chosen.columns:
            slots = min(chosen.particles, jets.constituents.shape[1])
            network, key = models.MODELS.get(name)(columns=(columns,), particles=slots), f"{name}-{columns}"
            tagger = hepjax.train(network, jets, patience=None, show=None, out=chosen.out / key, **common)
            figures[key] = tagger.metrics
            cells = [name, columns, f"{figures[key]['accuracy']:.3f}"]
            for kind in KEYS:
                value, interval = (
                    x["classes"][jets.classes[-1]][kind] for x in (figures[key], figures[key]["intervals"])
                )
                digits = 4 if kind == "auc" else 1
                error = f" ± {(interval[1] - interval[0]) / 2:.{digits}f}" if value and interval else ""
                cells.append(f"{value:.{digits}f}{error}" if value else "too few jets")
            lines += f"| {' | '.join(cells)} |\n"
    atomic_files.write_json(chosen.out / "figures.json", figures)
    atomic_files.write_text(chosen.out / "table.md", table := TABLE.format(lines))
    return table


if __name__ == "__main__":
    print(run(tyro.cli(QuarkGluon, description=__doc__)))
