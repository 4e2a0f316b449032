"""The mass of a jet, regressed from its particles, with an uncertainty for each jet.

    python experiments/mass_regression.py
    python experiments/mass_regression.py --loss quantiles

A jet's mass follows from the momenta of its particles. The network sees the 30 hardest, in coordinates relative to the
jet's axis and pT: it must learn the sum behind m², and what the softer particles add on average. The width that it
learns must be that of its errors: pulls of width 1, and 68 % of the truths within one width.

Expected in 40 seconds on the sample that comes with hepjax, 3,000 jets to train on: a root mean squared error of 10 GeV
(± 2), where predicting the mean gives 42 GeV; a resolution of 10 % (± 2 %), pulls of width 1.0 (± 0.15), and 68 %
(± 6 %) of the truths within one width. The other losses have errors of 7 to 8 GeV, for they spend nothing on the width.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from hepjax import models
from hepjax.choices import RegressionLoss, Schedule
from hepjax.runs import train
from hepjax.runs.options import Experiment, Optimization
from hepjax.tasks.regression import Regression


@dataclasses.dataclass(frozen=True)
class MassRegression:
    """Trains and measures a regression of jet columns."""

    target: tuple[str, ...] = ("j_mass",)
    """The jet columns to predict."""
    loss: RegressionLoss = RegressionLoss.GAUSSIAN
    """Which loss; squared-error and huber give values alone, gaussian a width and quantiles an interval of each."""
    data: tuple[Path, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""
    epochs: int = 60
    """Times to go through the training jets, while the learning rate falls to 0."""
    learning_rate: float = 2e-3
    """The largest learning rate of Adam."""
    seed: int = 0
    """Seed of the split, the first parameters and the order of jets."""
    out: Path = Path("runs/mass-regression")
    """A new folder for the trained model, its figures of merit and pictures."""


def run(options: MassRegression) -> dict[str, Any]:
    """Trains, measures and draws; returns the figures of merit on the test jets."""
    _, metrics = train.run(
        Experiment(
            model=models.DeepSets(),
            task=Regression(target=options.target, loss=options.loss),
            data=options.data,
            out=options.out,
            epochs=options.epochs,
            patience=None,
            optimizer=Optimization(learning_rate=options.learning_rate, schedule=Schedule.COSINE),
            seed=options.seed,
        )
    )
    return metrics


if __name__ == "__main__":
    chosen = tyro.cli(MassRegression, description=__doc__, config=(tyro.conf.EnumChoicesFromValues,))
    metrics = run(chosen)
    task = Regression(target=chosen.target, loss=chosen.loss)
    Console().print(task.table(metrics), metrics["verdict"]["words"])
