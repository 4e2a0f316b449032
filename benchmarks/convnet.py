"""Training convolutional networks: hepjax against the same network in PyTorch, in one run.

    python benchmarks/convnet.py [--rounds 5] [--steps 4]

The networks are that of arXiv:1908.05318 without its batch normalization and dropout (10 filters of 3 x 3, pool 5,
dense layers of 50, 50 and 50, ELU) on images of 100 x 100 pixels, and hepjax's default (16, 32 and 64 filters of 5, 3
and 3, pool 2, a dense layer of 64, ReLU) on 100 x 100 and on 40 x 40. Both train with Adam, batch 128, on images of 45
particles that lie in memory. PyTorch does so in both of its memory layouts; the faster of a round counts. They take
turns. Aimed at, and expected before the first run: 1.2 or more on 100 x 100. Found: more than twice that for the
published network; about 1 for the default one, half on 40 x 40. There the matrix products take half of the time, with
1.8 times the operations of the convolution, and arranging what they read most of the rest.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax
import torch
import tyro

from hepjax import models, training
from hepjax.choices import Activation, Optimizer
from hepjax.training import losses
from hepjax.types import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH, RATE, PARTICLES, CLASSES = 128, 1e-3, 45, 5
PUBLISHED = models.ConvNet(
    filters=(10,), kernels=(3,), pool=5, hidden=(50, 50, 50), outputs=CLASSES, activation=Activation.ELU
)
DEFAULT = models.ConvNet(
    filters=(16, 32, 64), kernels=(5, 3, 3), pool=2, hidden=(64,), outputs=CLASSES, activation=Activation.RELU
)
CASES = {
    "published network, 100 x 100": (PUBLISHED, 100, "target 1.2"),
    "default network, 100 x 100": (DEFAULT, 100, "target 1.2"),
    "default network, 40 x 40": (DEFAULT, 40, "no target"),
}


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    rounds: int = 5
    """Turns of each."""
    steps: int = 4
    """Batches in a turn."""
    torch_threads: int | None = None
    """Threads for PyTorch; the default is its own choice."""


def data(steps: int, side: int) -> Batch:
    """(steps, 128, ...) jets: particles around the center of the image."""
    random = np.random.default_rng(0)
    images = np.zeros((steps * BATCH, side, side, 1), np.float32)
    places = random.normal(side / 2, side / 8, size=(len(images), PARTICLES, 2)).astype(int).clip(0, side - 1)
    np.add.at(images, (np.arange(len(images))[:, None], places[..., 0], places[..., 1], 0), 1 / PARTICLES)
    labels = random.integers(0, CLASSES, size=(steps, BATCH)).astype(np.int32)
    return Batch(images.reshape(steps, BATCH, side, side, 1), labels, np.ones((steps, BATCH), np.float32))


def train_hepjax(model: models.ConvNet, train: Batch) -> Callable[[], Any]:
    """One turn of hepjax."""
    optimizer, apply = training.make_optimizer(Optimizer.ADAM, optax.constant_schedule(RATE)), models.make_apply(model)
    params, model_state = models.initialize(model, jax.random.key(0), train.inputs[0, :1])
    state = training.start(params, model_state, optimizer, jax.random.key(0)).state
    step = training.make_train_step(apply, losses.categorical_cross_entropy, optimizer)
    block = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches))

    def turn() -> Any:
        nonlocal state
        state, metrics = block(state, train)
        return jax.block_until_ready(metrics.loss[-1])

    return turn


def train_torch(model: models.ConvNet, train: Batch, layout: torch.memory_format) -> Callable[[], Any]:
    """The same in PyTorch, its images in the given layout."""
    torch.manual_seed(0)
    activation = {Activation.ELU: torch.nn.ELU, Activation.RELU: torch.nn.ReLU}[Activation(model.activation)]
    layers: list[torch.nn.Module] = []
    channels, side = 1, train.inputs.shape[2]
    for width, kernel in zip(model.filters, model.kernels, strict=True):
        convolution = torch.nn.Conv2d(channels, width, kernel, padding="same")
        layers += [convolution, activation(), torch.nn.MaxPool2d(model.pool)]
        channels, side = width, side // model.pool
    layers.append(torch.nn.Flatten())
    width = channels * side * side
    for units in model.hidden:
        layers += [torch.nn.Linear(width, units), activation()]
        width = units
    network = torch.nn.Sequential(*layers, torch.nn.Linear(width, CLASSES)).to(memory_format=layout)
    images = [torch.from_numpy(x).permute(0, 3, 1, 2).contiguous().to(memory_format=layout) for x in train.inputs]
    labels = torch.from_numpy(train.targets).long()
    optimizer, criterion = torch.optim.Adam(network.parameters(), lr=RATE), torch.nn.CrossEntropyLoss()

    def turn() -> Any:
        for x, y in zip(images, labels, strict=True):
            optimizer.zero_grad()
            loss = criterion(network(x), y)
            loss.backward()
            optimizer.step()
        return loss.item()

    return turn


def seconds(turn: Callable[[], Any]) -> float:
    """How long a turn takes."""
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


def main(benchmark: Benchmark) -> None:
    """Measures and prints."""
    if benchmark.torch_threads is not None:
        torch.set_num_threads(benchmark.torch_threads)
    print(f"jax {jax.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads, batch {BATCH}")
    for name, (model, side, target) in CASES.items():
        train = data(benchmark.steps, side)
        turns = [train_hepjax(model, train)]
        turns += [train_torch(model, train, layout) for layout in (torch.contiguous_format, torch.channels_last)]
        for turn in turns:
            turn()
        found = np.array([[seconds(turn) for turn in turns] for _ in range(benchmark.rounds)])
        ours, theirs = (benchmark.steps * BATCH / found[:, columns].min(axis=1) for columns in ([0], [1, 2]))
        ratios = ours / theirs
        print(
            f"{name}: hepjax {np.median(ours):,.0f} jets/s, PyTorch {np.median(theirs):,.0f} jets/s; "
            f"ratio {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}); {target}"
        )


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
