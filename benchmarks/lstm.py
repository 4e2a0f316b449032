"""Training an LSTM on jets of their true lengths: hepjax in buckets against PyTorch with packed sequences, in one run.

    python benchmarks/lstm.py [--features 7] [--jets 2048] [--rounds 5]

One layer of 64 units, a dense layer of 64, Adam, batch 128. Jets have 20 to 100 particles, 45 on average. hepjax draws
batches of jets of like length, padded to the bucket's length; the last batch of a bucket is filled up with rows of
weight 0. PyTorch draws its batches from all jets and packs them, sorted by length or as they come; the faster of a
round counts. Each jet counts once an epoch; the epochs take turns. Making the batches counts on both sides. The first
epoch of each is left out, for hepjax compiles in it one program a bucket. Aimed at, and expected before the first run:
1.5 or more; found: about 3.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import tyro

from hepjax import models, training
from hepjax.choices import Optimizer
from hepjax.training import losses
from hepjax.types import Batch, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH, RATE, SLOTS, UNITS, CLASSES = 128, 1e-3, 100, 64, 5
BUCKETS = (24, 32, 40, 48, 64, 80, SLOTS)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    features: int = 16
    """Features of a particle."""
    jets: int = 2048
    """Jets in an epoch."""
    rounds: int = 5
    """Epochs of each."""
    torch_threads: int | None = None
    """Threads for PyTorch; the default is its own choice."""


def data(jets: int, features: int) -> Batch:
    """Random jets."""
    random = np.random.default_rng(0)
    lengths = random.gamma(6, 45 / 6, size=jets).round().clip(20, SLOTS)
    mask = np.arange(SLOTS) < lengths[:, None]
    values = np.where(mask[..., None], random.normal(size=(jets, SLOTS, features)), 0).astype(np.float32)
    return Batch(Sequences(values, mask), random.integers(0, CLASSES, jets).astype(np.int32), np.ones(jets, np.float32))


def bucketed(train: Batch, random: np.random.Generator) -> Iterator[Batch]:
    """Batches of jets of like length, in random order."""
    bucket = np.searchsorted(BUCKETS, train.inputs.mask.sum(1))
    batches = []
    for i in np.unique(bucket):
        rows = random.permutation(np.flatnonzero(bucket == i))
        batches += [(BUCKETS[i], rows[first : first + BATCH]) for first in range(0, len(rows), BATCH)]
    for j in random.permutation(len(batches)):
        length, rows = batches[j]
        x = jax.tree.map(lambda a, rows=rows, length=length: a[rows, :length], train.inputs)
        batch = Batch(x, train.targets[rows], train.weights[rows])
        short = BATCH - len(rows)
        yield jax.tree.map(lambda a, n=short: np.pad(a, [(0, n)] + [(0, 0)] * (a.ndim - 1)), batch) if short else batch


def train_hepjax(train: Batch) -> Callable[[], float]:
    """One epoch of hepjax; returns the loss."""
    model, random = models.LSTM(units=(UNITS,), hidden=(64,), outputs=CLASSES), np.random.default_rng(0)
    optimizer, apply = training.make_optimizer(Optimizer.ADAM, optax.constant_schedule(RATE)), models.make_apply(model)
    params, model_state = models.initialize(model, jax.random.key(0), jax.tree.map(lambda a: a[:1], train.inputs))
    state = training.start(params, model_state, optimizer, jax.random.key(0)).state
    step = jax.jit(training.make_train_step(apply, losses.categorical_cross_entropy, optimizer), donate_argnums=0)

    def epoch() -> float:
        nonlocal state
        found = []
        for batch in bucketed(train, random):
            state, metrics = step(state, batch)
            found.append(metrics.loss * metrics.weight)
        return float(jnp.stack(found).sum()) / len(train.targets)

    return epoch


class Tagger(torch.nn.Module):
    """The same network in PyTorch."""

    def __init__(self, features: int) -> None:  # noqa: D107
        super().__init__()
        self.recurrent = torch.nn.LSTM(features, UNITS, batch_first=True)
        self.head = torch.nn.Sequential(torch.nn.Linear(UNITS, 64), torch.nn.ReLU(), torch.nn.Linear(64, CLASSES))

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, in_order: bool) -> torch.Tensor:
        """Returns: (B, C) logits."""
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=in_order)
        _, (last, _) = self.recurrent(packed)
        return self.head(last[-1])


def train_torch(train: Batch, in_order: bool) -> Callable[[], float]:
    """One epoch of PyTorch, each batch sorted by length or as it comes; returns the loss."""
    torch.manual_seed(0)
    model = Tagger(train.inputs.values.shape[-1])
    values, targets = torch.from_numpy(train.inputs.values), torch.from_numpy(train.targets).long()
    lengths = torch.from_numpy(train.inputs.mask.sum(1))
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=RATE), torch.nn.CrossEntropyLoss()

    def epoch() -> float:
        total = 0.0
        for rows in torch.randperm(len(targets)).split(BATCH):
            chosen = rows[lengths[rows].argsort(descending=True)] if in_order else rows
            optimizer.zero_grad()
            loss = criterion(model(values[chosen], lengths[chosen], in_order), targets[chosen])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        return total / len(targets)

    return epoch


def seconds(epoch: Callable[[], float]) -> float:
    """How long an epoch takes."""
    start = time.perf_counter()
    epoch()
    return time.perf_counter() - start


def main(benchmark: Benchmark) -> None:
    """Measures and prints."""
    if benchmark.torch_threads is not None:
        torch.set_num_threads(benchmark.torch_threads)
    train = data(benchmark.jets, benchmark.features)
    print(
        f"jax {jax.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, batch {BATCH}, "
        f"{benchmark.features} features, {train.inputs.mask.sum(1).mean():.0f} particles on average"
    )
    epochs = [train_hepjax(train), *(train_torch(train, in_order) for in_order in (False, True))]
    print("loss of the first epoch: hepjax {:.3f}, PyTorch {:.3f} and {:.3f}".format(*(epoch() for epoch in epochs)))
    found = np.array([[seconds(epoch) for epoch in epochs] for _ in range(benchmark.rounds)])
    ours, theirs = (benchmark.jets / found[:, columns].min(axis=1) for columns in ([0], [1, 2]))
    ratios = ours / theirs
    print(
        f"hepjax {np.median(ours):,.0f} jets/s, PyTorch {np.median(theirs):,.0f} jets/s; "
        f"ratio {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}); target 1.5"
    )


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
