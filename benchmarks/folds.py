"""Ten folds of the 16-feature MLP trained at once, against the same ten trainings one after another, in one run.

    python benchmarks/folds.py [--folds 10] [--rounds 5]

Each fold trains on eight tenths of the jets with Adam at batch 128. At once, they are one program: on one device, and
divided among as many devices as there are cores, which is what `hepjax train mlp --folds 10` does. One after another,
each is the program of a single training, which is free to use all cores. All take turns, an epoch of all folds each;
the first turn, in which all compile, is left out of the ratio and printed beside it: ten trainings compile once.
Expected before the first run: 1.4 on one device, for the arithmetic of so small matrices is what takes the time; more
than 2 on two, for each core then has members of its own and waits for no other. Aimed at: 2. Found: 1.5, and
2.9 to 3.4.
"""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax
import tyro

import hepjax
from hepjax import models, runtime, training
from hepjax.choices import Optimizer
from hepjax.inputs import apply_scaling, batching, fit_scaling, tabular
from hepjax.training import losses
from hepjax.types import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import TrainState

BATCH, RATE = 128, 1e-3


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    folds: int = 10
    """Trainings."""
    jets: int = 20_000
    """Jets in all; the sample that comes with hepjax is repeated."""
    rounds: int = 5
    """Turns of each."""


def data(jets: int) -> Batch:
    """Standardized features and labels of the embedded sample, repeated."""
    sample = hepjax.read_jets()
    x, rows = tabular(sample), np.arange(jets) % len(sample)
    x = apply_scaling(fit_scaling(x), x)[rows]
    return Batch(x, np.asarray(sample.labels)[rows], np.ones(jets, np.float32))


def set_up(folds: int) -> tuple[list[TrainState], Any, Any]:
    """The first states, the window of steps and the evaluation."""
    network, loss = models.MLP(outputs=5), losses.categorical_cross_entropy
    optimizer, apply = (
        training.make_optimizer(Optimizer.ADAM, optax.constant_schedule(RATE)),
        models.make_apply(network),
    )
    keys, example = jax.random.split(jax.random.key(0), folds), np.zeros((1, 16), np.float32)
    states = [training.start(*models.initialize(network, key, example), optimizer, key).state for key in keys]
    step = training.make_train_step(apply, loss, optimizer)
    return states, training.over_window(step), training.make_eval_step(apply, loss)


def one_after_another(train: Batch, rows: list[np.ndarray]) -> Callable[[], Any]:
    """One turn of single trainings."""
    states, run_window, evaluate = set_up(len(rows))
    devices = runtime.make_devices(1)
    run, _ = runtime.compile_on(devices, run_window, evaluate)
    states = [runtime.place_state(devices, state) for state in states]
    place = partial(runtime.place_window, devices)
    parts = [jax.tree.map(lambda x, own=own: x[own], train) for own in rows]
    epochs = [batching.make_windows(part, batch_size=BATCH, seed=i, place=place) for i, part in enumerate(parts)]

    def turn() -> Any:
        for i, epoch in enumerate(epochs):
            for window in epoch(1):
                states[i], metrics = run(states[i], window)
                jax.device_get(metrics)

    return turn


def at_once(train: Batch, rows: list[np.ndarray], count: int) -> Callable[[], Any]:
    """One turn of all together on so many devices."""
    states, run_window, evaluate = set_up(len(rows))
    devices = runtime.make_devices(count, members=len(rows))
    spare = devices.members - len(rows)
    states += states[:1] * spare
    run, _ = runtime.compile_on(devices, *training.over_members(run_window, evaluate))
    state = runtime.place_state(devices, jax.tree.map(lambda *x: jax.numpy.stack(x), *states))
    shared, filled = batching.share(train), [*rows, *[np.arange(0)] * spare]
    _, epoch = batching.member_windows(shared, filled, batch_size=BATCH, seed=0, steps=1024)
    resident = runtime.place_window(devices, next(epoch(1))).data

    def turn() -> Any:
        nonlocal state
        for window in epoch(1):
            state, metrics = run(state, runtime.place_window(devices, window._replace(data=resident)))
            jax.device_get(metrics)

    return turn


def seconds(turn: Callable[[], Any]) -> float:
    """How long a turn takes."""
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


def main(benchmark: Benchmark) -> None:
    """Measures and prints."""
    runtime.use_cores()
    train, cores = data(benchmark.jets), len(jax.devices())
    folds = np.array_split(np.random.default_rng(0).permutation(benchmark.jets), benchmark.folds)
    rows = [
        np.sort(np.concatenate([fold for j, fold in enumerate(folds) if (j - i) % len(folds) > 1]))
        for i in range(len(folds))
    ]
    jets = sum(map(len, rows))
    turns = {"one after another": one_after_another(train, rows)}
    turns |= {f"at once on {n} device{'s' * (n > 1)}": at_once(train, rows, n) for n in sorted({1, cores})}
    print(f"jax {jax.__version__}, {cores} cores, {benchmark.folds} folds, {len(rows[0])} jets to train on in each")
    first = {name: seconds(turn) for name, turn in turns.items()}
    found = np.array([[seconds(turn) for turn in turns.values()] for _ in range(benchmark.rounds)])
    for i, name in enumerate(turns):
        ratios = found[:, 0] / found[:, i]
        words = f"; ratio {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})" if i else ""
        print(f"{name}: {jets / np.median(found[:, i]):,.0f} jets/s, first turn {first[name]:.1f} s{words}")
    print("target 2")


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
