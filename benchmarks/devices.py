"""One step on two CPU devices, each with a core of its own, against one device on one core, in one run.

    python benchmarks/devices.py [--rounds 5]

Two processes of this script take turns: one is bound to one core and sees one device, the other is bound to two and
sees two, among which `hepjax.runtime` divides the same batches. Jets have 30 particles, all slots filled; batch 128,
but for the last line. Aimed at: 1.7. Expected before the first run: 1.7 or more for the networks of particles, whose
steps take milliseconds; less than 1 for the perceptron at batch 128, whose steps take a tenth of one, about as long as
two devices need to add their gradients up. Found: 1.9 for the interaction network, 1.3 for deep sets, 1.2 for the LSTM,
0.1 for the perceptron, and 1.1 in large batches.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import tyro

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = {"interaction-network": 128, "deepsets": 128, "lstm": 128, "mlp": 128, "mlp, batch 8192": 8192}
"""What is trained → jets in a step."""
JETS = {"interaction-network": 2560, "deepsets": 10_240, "lstm": 2560}


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    rounds: int = 5
    """Turns of each."""
    serve: int | None = None
    """Used by the script itself: be the process with so many devices."""


def make_turn(case: str, count: int) -> Callable[[], None]:
    """An epoch of training."""
    import jax
    import optax

    from hepjax import models, runtime, training
    from hepjax.choices import Optimizer
    from hepjax.data.datasets import hls4ml
    from hepjax.inputs import batching, pipelines
    from hepjax.training import losses
    from hepjax.types import Batch, Sequences

    kinds = {"interaction-network": models.InteractionNetwork, "deepsets": models.DeepSets, "lstm": models.LSTM}
    kind, jets, rng = kinds.get(case, models.MLP), JETS.get(case, 65_536), np.random.default_rng(0)
    pipeline = pipelines.make_pipeline(kind(), 5, hls4ml.HLS4ML)
    shapes = [(jets, *x.shape[1:]) for x in jax.tree.leaves(pipeline.example)]
    values = rng.normal(size=shapes[0]).astype(np.float32)
    inputs = Sequences(values, np.ones(shapes[1], bool)) if case in kinds else values
    data = Batch(inputs, rng.integers(5, size=jets).astype(np.int32), np.ones(jets, np.float32))
    apply, loss = pipelines.make_apply(pipeline, pipelines.blank_scaling(pipeline)), losses.categorical_cross_entropy
    optimizer = training.make_optimizer(Optimizer.ADAM, optax.constant_schedule(1e-3))
    start = training.start(
        *pipelines.initialize_from_example(pipeline, jax.random.key(0)), optimizer, jax.random.key(0)
    )
    devices = runtime.make_devices(count)
    run_window = training.over_window(training.make_train_step(apply, loss, optimizer, axis=devices.axis))
    run, _ = runtime.compile_on(devices, run_window, training.make_eval_step(apply, loss))
    place = partial(runtime.place_window, devices)
    epoch = batching.make_windows(data, batch_size=CASES[case], seed=0, devices=count, place=place)
    state = runtime.place_state(devices, start.state)

    def turn() -> None:
        nonlocal state
        for window in epoch(1):
            state, metrics = run(state, window)
            jax.device_get(metrics)

    return turn


def serve(count: int) -> None:
    """Waits for the name of a case, and answers with the seconds of a turn."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    import jax

    jax.config.update("jax_num_cpu_devices", count)
    turns: dict[str, Callable[[], None]] = {}
    for line in sys.stdin:
        case = line.strip()
        if case not in turns:
            turns = {case: make_turn(case, count)}
            turns[case]()
        start = time.perf_counter()
        turns[case]()
        print(time.perf_counter() - start, flush=True)


def main(benchmark: Benchmark) -> None:
    """Measures and prints."""
    if benchmark.serve is not None:
        serve(benchmark.serve)
        return
    command = [sys.executable, __file__, "--serve"]
    servers = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        for n in (1, 2)
    ]

    def ask(server: subprocess.Popen[str], case: str) -> float:
        print(case, file=server.stdin, flush=True)
        return float(server.stdout.readline())

    try:
        for case in CASES:
            found = np.array([[ask(server, case) for server in servers] for _ in range(benchmark.rounds + 1)])[1:]
            ratios, speeds = found[:, 0] / found[:, 1], JETS.get(case, 65_536) / np.median(found, axis=0)
            print(
                f"{case:20} one device {speeds[0]:9,.0f} jets/s, two {speeds[1]:9,.0f} jets/s; ratio "
                f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}); target 1.7",
                flush=True,
            )
    finally:
        for server in servers:
            server.stdin.close()
            server.wait()


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
