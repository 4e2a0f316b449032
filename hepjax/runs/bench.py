"""How fast models train and answer here, beside the fastest matrix product of the same devices in the same run."""

from __future__ import annotations

import logging
import math
import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

import hepjax
from hepjax import data, models, runtime, training
from hepjax import inputs as representations
from hepjax.choices import Optimizer, Schedule
from hepjax.errors import InputError
from hepjax.inputs import pipelines
from hepjax.models.registry import MODELS
from hepjax.runs import batch_feeds
from hepjax.training import losses
from hepjax.types import Batch, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.models import Model
    from hepjax.runtime import Devices
    from hepjax.types import Jets

_SECONDS = 0.3
"""The least that a round takes."""
_PROGRAM_FLOP = 2e10
"""The arithmetic of the training steps that run as one program."""
_PROGRAM_STEPS = 1000
"""The most steps of one program."""
_SIZES = (512, 1024, 2048, 4096, 8192, 16384)
"""Sides of the matrices whose product is the peak; the fastest counts, and none that takes long."""
_LONG = 0.5
"""Seconds of a product that takes long."""

log = logging.getLogger("hepjax")


def measure_speed(
    chosen: Sequence[Model],
    *,
    batch_size: int = 128,
    block: int | None = None,
    rounds: int = 5,
    show: Callable[[str], None] = lambda name: None,  # noqa: ARG005
) -> dict[str, Any]:
    """Measures models on the jets that come with hepjax, on all devices.

    Jets lie on the devices, all with as many particles as the model sees at most. A program takes many training steps,
    as in `hepjax train`, and makes the network's input as well: it scales features and draws images.

    Args:
      chosen: the models.
      batch_size: jets in a training step.
      block: jets that are evaluated at once; None is what a training takes for the model.
      rounds: measurements of each speed.
      show: called with a model's name when it has been measured.

    Returns:
      The machine, and each model's parameters and, for `training` and `inference`, FLOP a jet, jets a second (median,
      lowest, highest) and the share of the devices' peak.

    Raises:
      InputError: a number below 1, a batch that the devices cannot share, or a model that is no classifier.
    """
    devices = runtime.make_devices()
    _check_bench_options(devices, batch_size, block, rounds)
    for model in chosen:
        if model.serves:
            raise InputError(
                f"{MODELS.name_of(model)}: serves the task {model.serves[0]} alone, and classifiers are measured here; "
                "leave it out"
            )
    jets = data.read_jets()
    peak = _peak_matrix_flop(devices, rounds)
    found: dict[str, Any] = {}
    for model in chosen:
        name = MODELS.name_of(model)
        found[name] = _measure_model_speed(
            model, jets, devices, peak, batch_size=batch_size, block=block, rounds=rounds
        )
        speeds = (found[name][kind]["jets_per_second"]["median"] for kind in ("training", "inference"))
        log.info("%s: %s jets/s in training, %s at inference", name, *(f"{speed:,.0f}" for speed in speeds))
        show(name)
    return {
        "device": _device_name(),
        "devices": devices.everywhere,
        "versions": {"hepjax": hepjax.__version__, "jax": jax.__version__},
        "peak_flop_per_second": peak,
        "rounds": rounds,
        "models": found,
    }


def _check_bench_options(devices: Devices, batch_size: int, block: int | None, rounds: int) -> None:
    for option, value in (("--batch-size", batch_size), ("--block", block), ("--rounds", rounds)):
        if value is not None and value < 1:
            raise InputError(f"{option}: expected 1 or more, found {value}")
    runtime.check_shared(devices, batch_size)


def _measure_model_speed(
    model: Model, jets: Jets, devices: Devices, peak: float, *, batch_size: int, block: int | None, rounds: int
) -> dict[str, Any]:
    pipeline = pipelines.make_pipeline(model, len(jets.classes), jets.dataset)
    inputs = pipeline.load(jets, slice(None))
    apply = pipelines.make_apply(pipeline, representations.scaling_of([pipeline.statistics(inputs)]))
    params, model_state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    cost = models.cost(apply, params, model_state, pipeline.example)
    loss = losses.categorical_cross_entropy
    optimizer = training.make_optimizer(Optimizer.ADAM, training.make_schedule(Schedule.CONSTANT, 1e-3, steps=1))
    steps = training.over_window(training.make_train_step(apply, loss, optimizer, axis=devices.axis))
    run_window, evaluate = runtime.compile_on(devices, steps, training.make_eval_step(apply, loss, axis=devices.axis))
    state = training.start(params, model_state, optimizer, jax.random.key(1)).state
    state = runtime.place_state(devices, state)
    block = runtime.shared(devices, block or batch_feeds.choose_evaluation_size(cost))
    window = _bench_window(
        _bench_batch(inputs, jets, runtime.shared(devices, len(jets))), devices, batch_size, cost.flop_per_jet
    )
    batch = runtime.place_batch(devices, _bench_batch(inputs, jets, block))

    def result(rates: Sequence[float], flop: int) -> dict[str, Any]:
        middle = statistics.median(rates)
        speeds = {"median": middle, "lowest": min(rates), "highest": max(rates)}
        return {"flop_per_jet": flop, "jets_per_second": speeds, "share_of_peak": flop * middle / peak}

    # Answers first: the training donates its state.
    answers = _bench_rates(lambda _: evaluate(state, batch).outputs, None, rounds)
    trained = _bench_rates(lambda carry: run_window(carry[0], window), (state, None), rounds)
    return {
        "parameters": cost.parameters,
        "training": {
            "batch_size": batch_size,
            **result(
                [rate * len(window.bucket) * batch_size for rate in trained], batch_feeds.BACKWARD * cost.flop_per_jet
            ),
        },
        "inference": {"batch_size": block, **result([rate * block for rate in answers], cost.flop_per_jet)},
    }


def _bench_batch(inputs: Any, jets: Jets, count: int) -> Batch:
    """Makes a batch of a number of jets, repeating the sample."""
    rows = np.arange(count) % len(jets)
    picked = jax.tree.map(lambda x: x[rows], inputs)
    return Batch(picked, np.asarray(jets.labels)[rows], np.ones(count, np.float32))


def _bench_window(data: Batch, devices: Devices, batch_size: int, flop_per_jet: int) -> Window:
    """Many steps, over the jets of each device in one random order again and again."""
    share = batch_size // devices.everywhere
    affordable = int(_PROGRAM_FLOP / (batch_feeds.BACKWARD * max(flop_per_jet, 1) * batch_size))
    steps = min(max(affordable, 1), _PROGRAM_STEPS)
    dealt = jax.tree.map(lambda x: x.reshape(devices.everywhere, -1, *x.shape[1:]), data)
    order = np.random.default_rng(0).permutation(dealt.weights.shape[1]).astype(np.int32)
    rows = np.broadcast_to(np.resize(order, (steps, 1, share)), (steps, devices.everywhere, share))
    return runtime.place_window(devices, Window((dealt,), np.zeros(steps, np.int32), rows))


def _bench_rates(run: Callable[[Any], Any], carry: Any, rounds: int) -> list[float]:
    """Measures how often a compiled function runs in a second, in each round; it takes its last result."""
    carry, _ = _timed_calls(run, carry, 1)  # compiles
    carry, once = _timed_calls(run, carry, 1)
    calls, rates = max(math.ceil(_SECONDS / once), 1), []
    for _ in range(rounds):
        carry, seconds = _timed_calls(run, carry, calls)
        rates.append(calls / seconds)
    return rates


def _timed_calls(run: Callable[[Any], Any], carry: Any, calls: int) -> tuple[Any, float]:
    start = time.perf_counter()
    for _ in range(calls):  # one after another, as a training looks at each program's losses
        carry = jax.block_until_ready(run(carry))
    return carry, time.perf_counter() - start


def _peak_matrix_flop(devices: Devices, rounds: int) -> float:
    """FLOP a second of the fastest float32 matrix product, one on each device at once, as precise as JAX's default."""
    best, product = 0.0, jax.jit(lambda x: x @ x)
    for size in _SIZES:
        matrix = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
        many = np.broadcast_to(matrix, (devices.everywhere, size, size))
        placed = runtime.place_batch(devices, Batch(many, *np.zeros((2, len(many)), np.float32))).inputs
        rate = statistics.median(_bench_rates(lambda _: product(placed), None, rounds))  # noqa: B023 — it is called here
        best = max(best, rate * 2 * size**3 * len(many))
        if 2**3 / rate > _LONG:  # the next would take
            break
    return best


def _device_name() -> str:
    """Returns the maker's name of a device; for a CPU, with the cores that this process may use."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return str(device.device_kind)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores} cores"
