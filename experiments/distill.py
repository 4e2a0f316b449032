"""A small network of particles taught by a large one, beside the same one that learns from labels alone.

    python experiments/distill.py
    python experiments/distill.py --data jets.h5 --teacher runs/particle-transformer-1 --temperature 4

Distillation (arXiv:1503.02531): the student learns the teacher's softened probabilities beside the labels. Taught and
untaught students are several each, from different starts, all on the same jets; figures are means over them, with the
errors of these means (68 %). The teacher is trained on the same training jets first, where none is given.
Expected in ten minutes: to be measured.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tyro

import hepjax
from hepjax import models
from hepjax.data import atomic_files
from hepjax.tasks.classification import Classification

TABLE = "| network | mean AUC | accuracy |\n| --- | --- | --- |\n{}| gain | {:+.4f} ± {:.4f} | {:+.4f} ± {:.4f} |\n"


@dataclasses.dataclass(frozen=True)
class Distill:
    """Trains a teacher, and students with and without it."""

    data: tuple[Path, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""
    teacher: Path | None = None
    """The folder of a trained run; None trains the interaction network."""
    student: str = "deepsets"
    """The name of a model."""
    students: int = 5
    """Students of each kind, from different starts."""
    temperature: float = 2.0
    """That softens probabilities."""
    share: float = 0.5
    """Share of the teacher in the loss."""
    epochs: int = 40
    """Epochs of each network; the best one counts."""
    out: Path = Path("runs/distill")
    """A new folder, with the table and the run folders."""


def judge(tagger: hepjax.Tagger) -> np.ndarray:
    """The mean AUC over the classes and the accuracy, of each network."""
    metrics = tagger.metrics
    each = metrics.get("members", {"": metrics}).values()
    return np.array([[np.mean([x["auc"] for x in one["classes"].values()]), one["accuracy"]] for one in each])


def run(chosen: Distill) -> str:
    """Trains and measures; returns the table."""
    atomic_files.check_new(chosen.out)
    files, found, folder = chosen.data or None, {}, chosen.teacher
    common = {"epochs": chosen.epochs, "show": None, "patience": None}
    if folder is None:
        folder = chosen.out / "teacher"
        found["teacher"] = judge(hepjax.train("interaction-network", files, out=folder, **common))
    else:
        found["teacher"] = judge(hepjax.load(folder))
    taught = Classification(teacher=folder, teacher_temperature=chosen.temperature, teacher_share=chosen.share)
    for name, task in {"taught": taught, "alone": Classification()}.items():
        more = {"task": task, "ensemble": chosen.students, "out": chosen.out / name}
        found[name] = judge(hepjax.train(models.MODELS.get(chosen.student)(), files, **more, **common))
    errors = {name: x.std(axis=0, ddof=1) / np.sqrt(len(x)) for name, x in found.items() if len(x) > 1}
    lines = ""
    for name, each in found.items():
        cells = [f"{mean:.4f}" for mean in each.mean(axis=0)]
        if name in errors:
            cells = [f"{cell} ± {error:.4f}" for cell, error in zip(cells, errors[name], strict=True)]
        lines += f"| {name} | {' | '.join(cells)} |\n"
    gain = found["taught"].mean(axis=0) - found["alone"].mean(axis=0)
    error = np.hypot(errors["taught"], errors["alone"])
    atomic_files.write_json(chosen.out / "figures.json", {name: each.tolist() for name, each in found.items()})
    table = TABLE.format(lines, *np.stack([gain, error], axis=1).ravel())
    atomic_files.write_text(chosen.out / "table.md", table)
    return table


if __name__ == "__main__":
    print(run(tyro.cli(Distill, description=__doc__)))
