"""A recurrent network reads a jet as a sentence: particle after particle, the hardest first.

    python experiments/recurrent_tagger.py
    python experiments/recurrent_tagger.py --cell lstm --bidirectional

It remembers in 50 gated units what it has read, and answers after the last true particle: padding is not read. The GRU
of arXiv:1908.05318 read 50 particles, which takes a file that has them, and --particles 50.

Expected in 20 to 30 seconds on the sample that comes with hepjax: AUC of g, q, W, Z, t 0.84, 0.87, 0.91, 0.90, 0.92,
and 0.90, 0.89, 0.89, 0.89, 0.92 in the second form (all ± 0.03).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from hepjax import report
from hepjax.models import GRU, LSTM
from hepjax.runs import train
from hepjax.runs.options import Experiment, Optimization


@dataclasses.dataclass(frozen=True)
class RecurrentTagger:
    """Trains and measures a recurrent tagger."""

    cell: Literal["gru", "lstm"] = "gru"
    """The memory."""
    bidirectional: bool = False
    """Read from the softest particle to the hardest, too."""
    units: tuple[int, ...] = (50,)
    """Of each recurrent layer."""
    particles: int = 30
    """The hardest particles of each jet, which are read."""
    data: tuple[Path, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""
    epochs: int = 100
    """At most; training stops when the validation loss has not fallen for ten."""
    batch_size: int = 128
    """Jets in a step."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    seed: int = 0
    """Seed of the split, the first parameters and the order of jets."""
    out: Path = Path("runs/recurrent-tagger")
    """A new folder for the trained tagger, its figures of merit and pictures."""


def run(options: RecurrentTagger) -> dict[str, Any]:
    """Trains, measures and draws; returns the figures of merit on the test jets."""
    network = {"gru": GRU, "lstm": LSTM}[options.cell]
    _, metrics = train.run(
        Experiment(
            model=network(units=options.units, bidirectional=options.bidirectional, particles=options.particles),
            data=options.data,
            out=options.out,
            epochs=options.epochs,
            batch_size=options.batch_size,
            optimizer=Optimization(learning_rate=options.learning_rate),
            seed=options.seed,
        )
    )
    return metrics


if __name__ == "__main__":
    metrics = run(tyro.cli(RecurrentTagger, description=__doc__, config=(tyro.conf.EnumChoicesFromValues,)))
    Console().print(report.metrics_table(metrics), metrics["verdict"]["words"])
