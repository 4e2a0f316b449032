"""Training the 16-feature MLP: hepjax against the equivalent PyTorch loop over a DataLoader, in one run.

    python benchmarks/mlp_training.py [--jets 30000] [--rounds 7]

Both train the published tagger's layers (16 → 64 → 32 → 32 → 5, ReLU) with Adam at batch 128 on the same standardized
jets, shuffled every epoch. They take turns, epoch by epoch; the first of each is left out, for it compiles. Prints jets
per second of each round and the median of the rounds' ratios with its range. Expected: a ratio of 4 or more.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import jax
import numpy as np
import optax
import torch
import tyro

import hepjax
from hepjax import models, training
from hepjax.choices import Optimizer
from hepjax.inputs import apply_scaling, batching, fit_scaling, tabular
from hepjax.training import losses
from hepjax.types import Batch, Ensemble

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH, RATE = 128, 1e-3


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    jets: int = 30_000
    """Jets in an epoch; the sample that comes with hepjax is repeated."""
    rounds: int = 7
    """Epochs of each."""
    torch_threads: int | None = None
    """Threads for PyTorch; the default is its own choice."""


def data(jets: int) -> Batch:
    """Standardized features and labels of the embedded sample, repeated."""
    sample = hepjax.read_jets()
    x, rows = tabular(sample), np.arange(jets) % len(sample)
    x = apply_scaling(fit_scaling(x), x)[rows]
    return Batch(x, np.asarray(sample.labels)[rows], np.ones(jets, np.float32))


def train_hepjax(train: Batch, epochs: int, on_epoch: Callable[[Ensemble], None]) -> None:
    """Trains with hepjax; the history holds the seconds of each epoch."""
    model = models.MLP(outputs=5)
    schedule = optax.constant_schedule(RATE)
    optimizer = training.make_optimizer(Optimizer.ADAM, schedule)
    key, apply, loss = jax.random.key(0), models.make_apply(model), losses.categorical_cross_entropy
    few = jax.tree.map(lambda x: x[:1000], train)
    training.fit(
        training.start(*models.initialize(model, key, train.inputs[:1]), optimizer, key),
        batching.make_windows(train, batch_size=BATCH, seed=0),
        lambda: batching.eval_batches(few, batch_size=1000),
        training.compile_here(training.make_train_step(apply, loss, optimizer), training.make_eval_step(apply, loss)),
        epochs=epochs,
        schedule=schedule,
        on_epoch=on_epoch,
    )


def torch_epoch(train: Batch) -> Callable[[], float]:
    """The same in PyTorch, as its tutorials write it."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(16, 64), torch.nn.Linear(64, 32), torch.nn.Linear(32, 32), torch.nn.Linear(32, 5)]
    relu = torch.nn.ReLU()
    model = torch.nn.Sequential(layers[0], relu, layers[1], relu, layers[2], relu, layers[3])
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(train.inputs), torch.from_numpy(train.targets).long())
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=RATE), torch.nn.CrossEntropyLoss()

    def epoch() -> float:
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        return total / len(dataset)

    return epoch


def main(benchmark: Benchmark) -> None:
    """Measures and prints."""
    if benchmark.torch_threads is not None:
        torch.set_num_threads(benchmark.torch_threads)
    train = data(benchmark.jets)
    torch_train = torch_epoch(train)
    ratios: list[float] = []
    print(f"jax {jax.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads")

    def torch_in_turn(ensemble: Ensemble) -> None:
        start = time.perf_counter()
        loss = torch_train()
        ours, theirs = ensemble.history[-1], benchmark.jets / (time.perf_counter() - start)
        print(
            f"epoch {ours.epoch}: hepjax {ours.jets_per_second:,.0f} jets/s, loss {ours.train_loss:.3f}; "
            f"PyTorch {theirs:,.0f} jets/s, loss {loss:.3f}"
        )
        if ours.epoch > 1:
            ratios.append(ours.jets_per_second / theirs)

    train_hepjax(train, benchmark.rounds + 1, torch_in_turn)
    print(f"ratio hepjax / PyTorch: {np.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}); target 4")


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
