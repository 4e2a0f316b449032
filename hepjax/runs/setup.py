"""InputPipeline, jets, model, loss, optimizer and devices put together: a training that is ready to start."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import models, runtime, training
from hepjax.choices import Schedule
from hepjax.inputs import batching, pipelines, subsets
from hepjax.runtime.compilation import watch_traces
from hepjax.tasks.classification import decorrelation
from hepjax.training import losses
from hepjax.training.decorrelation import without_adversary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hepjax.inputs.batching import Buckets
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.inputs.subsets import Part, Parts
    from hepjax.models import Apply
    from hepjax.runs.options import Experiment
    from hepjax.runtime import Devices
    from hepjax.training.step import EvalStep, TrainStep
    from hepjax.types import Batch, Progress, PyTree, TrainState, Window

_BLOCK = 8192
"""The most jets that are evaluated at once."""
_MIXED = 512
"""The same where they are sorted by length, and the last batch of each length is filled up."""
_BLOCK_FLOP = 2e10
"""The most arithmetic for jets that are evaluated at once; their memory grows with it."""
_WINDOW_FLOP = 2e11
"""The arithmetic of the steps in one program, some seconds of a small computer: Ctrl-C is heard after each."""
_WINDOW_STEPS = 1024
"""The most steps in one program."""
_COMPILATION_FLOP = 2e11
"""The arithmetic that another length must save over a training to be worth its compilation."""
BACKWARD = 3
"""A training step costs about as much as so many answers."""


class Plan(NamedTuple):
    """A training that is ready to start."""

    devices: Devices
    cost: models.Cost
    start: Progress
    fit: Callable[..., Progress]
    """`training.fit` but for where to start."""
    score: Callable[[TrainState, Part], np.ndarray]
    """The logits of a part, jets of all processes, in the order of processes and rows."""


def make_plan(experiment: Experiment, pipeline: InputPipeline, jets: Parts, classes: Sequence[str]) -> Plan:
    """Puts a training together.

    Args:
      experiment: the options.
      pipeline: of its model.
      jets: what to train and measure on.
      classes: the C names.

    Returns:
      The plan.

    Raises:
      InputError: the batches cannot be divided among the devices, or the model cannot be trained that way.
    """
    init_key, key = jax.random.split(jax.random.key(experiment.seed))
    params, model_state = draw(experiment, pipeline, init_key)
    devices = runtime.make_devices(**vars(experiment.devices), coupled=bool(jax.tree.leaves(model_state)))
    apply = pipelines.make_apply(pipeline, jets.scaling, experiment.precision)
    cost = models.cost(apply, without_adversary(params), model_state, pipeline.example)
    buckets = choose_buckets(pipeline, jets.train.lengths, experiment.lengths, experiment.epochs * BACKWARD, cost)
    batch_size = _batch_size(experiment, jets.counts[0], devices)
    counts = _counts(jets.train, buckets)
    schedule, optimizer = make_optimizer(experiment, sum(batching.steps_of(count, batch_size) for count in counts))
    labels = runtime.gather(jets.train.labels)
    step, eval_step = make_steps(experiment, apply, optimizer, labels, classes, devices.axis)
    run_window = watch_traces(
        training.over_window(step), "training", 1 if jets.train.data is not None else len(buckets)
    )
    eval_step = watch_traces(eval_step, "evaluation", len(buckets))
    programs = training.Programs(*runtime.compile_on(devices, run_window, eval_step))
    sizes = _sizes(block_size(cost), [_counts(part, buckets) for part in (jets.val, jets.test)], devices)
    shared: dict[str, Any] = {"batch_size": batch_size, "seed": experiment.seed, "buckets": buckets, "devices": devices}
    fit = partial(
        training.fit,
        train=_train_windows(jets.train, counts, steps=window_steps(cost, batch_size * runtime.process()[1]), **shared),
        val=_val_batches(jets.val, buckets, sizes, devices),
        programs=programs,
        epochs=experiment.epochs,
        schedule=schedule,
        patience=experiment.patience,
        min_change=experiment.min_change,
    )
    start = training.start(params, model_state, optimizer, key)
    return Plan(devices, cost, start, fit, partial(answer, programs.evaluate, buckets, sizes, devices))


def draw(experiment: Experiment, pipeline: InputPipeline, key: jax.Array) -> tuple[PyTree, PyTree]:
    """Draws the parameters of an experiment: those of its model, and of its adversary where it has one.

    Args:
      experiment: the options.
      pipeline: of the model.
      key: () typed PRNG key.

    Returns:
      The parameters, and the other variables.
    """
    params, model_state = pipelines.initialize(pipeline, key)
    return decorrelation.add_adversary(experiment.insensitive, params, key, pipeline.network.outputs), model_state


def make_scorer(
    pipeline: InputPipeline, eval_step: EvalStep, state: TrainState, cost: models.Cost
) -> Callable[[Any], np.ndarray]:
    """A trained model in use.

    Args:
      pipeline: of the model.
      eval_step: from `make_eval_step`.
      state: holds the parameters.
      cost: of an answer with all slots.

    Returns:
      What the pipeline has read of N jets → (N, C) logits; on all devices there are.
    """
    devices = runtime.make_devices(coupled=True)  # the compiler divides the answer, with nothing to add up
    _, evaluate = runtime.compile_on(devices, eval_step, eval_step)
    placed = runtime.place_state(devices, state)

    def score(inputs: Any) -> np.ndarray:
        part = subsets.of_inputs(inputs)
        # Few sizes and lengths, whatever the calls, for each is compiled.
        buckets, size = batching.Buckets(), min(block_size(cost), 1 << (max(len(part.rows), 1) - 1).bit_length())
        if pipeline.spare is not None and len(part.rows) * cost.flop_per_jet > _COMPILATION_FLOP:
            buckets, size = batching.even_buckets(pipeline.example.mask.shape[1], pipeline.spare), min(size, _MIXED)
        size = batching.steps_of(size, devices.here) * devices.here
        return answer(evaluate, buckets, [size] * len(buckets), devices, placed, part)

    return score


def answer(
    evaluate: EvalStep, buckets: Buckets, sizes: Sequence[int], devices: Devices, state: TrainState, part: Part
) -> np.ndarray:
    """Answers all jets of a part.

    Args:
      evaluate: the compiled evaluation step.
      buckets: the lengths that jets are padded to.
      sizes: the jets of this process in a batch, for each bucket; multiples of its devices.
      devices: where it runs.
      state: holds the parameters.
      part: the jets of this process.

    Returns:
      (N, C) logits of the jets of all processes, by rising row number.
    """
    found = np.zeros((0, 0), np.float32)
    for places, batch in _batches(part, buckets, sizes, devices):
        logits = runtime.rows_here(evaluate(state, batch).outputs)
        found = found if found.size else np.zeros((len(part.rows), logits.shape[-1]), np.float32)
        found[places[places >= 0]] = logits[places >= 0]
    return runtime.gather(found)


def choose_buckets(pipeline: InputPipeline, lengths: np.ndarray, most: int, rounds: int, cost: models.Cost) -> Buckets:
    """The lengths to pad jets to, the same in all processes.

    Args:
      pipeline: of the model.
      lengths: (n,) the particles of this process's jets.
      most: lengths at most.
      rounds: how often each jet will be answered.
      cost: of an answer with all slots.

    Returns:
      The lengths; none where the model needs jets of one shape.
    """
    if pipeline.spare is None:
        return batching.Buckets()
    counts = runtime.gather(np.bincount(lengths, minlength=pipeline.example.mask.shape[1] + 1)[None]).sum(axis=0)
    work = max(counts.sum() * rounds * cost.flop_per_jet, 1)
    return batching.choose_buckets(counts, most=most, spare=pipeline.spare, worth=max(_COMPILATION_FLOP / work, 0.05))


def window_steps(cost: models.Cost, jets: int) -> int:
    """How many training steps one program takes.

    Args:
      cost: of an answer with all slots.
      jets: in a step.

    Returns:
      Steps.

    >>> window_steps(models.Cost(parameters=1, flop_per_jet=10**7), 128)
    52
    """
    steps = int(_WINDOW_FLOP / (BACKWARD * max(cost.flop_per_jet, 1) * jets))
    return min(max(steps, 1), _WINDOW_STEPS)


def make_steps(
    experiment: Experiment,
    apply: Apply,
    optimizer: Any,
    labels: np.ndarray,
    classes: Sequence[str],
    axis: str | None = None,
) -> tuple[TrainStep, EvalStep]:
    """The step and the evaluation of an experiment.

    Args:
      experiment: the options.
      apply: of its model.
      optimizer: from `make_optimizer`.
      labels: of all training jets.
      classes: the C names.
      axis: as in `make_train_step`.

    Returns:
      The pure functions.
    """
    weights = losses.balanced_class_weights(labels, len(classes)) if experiment.balance else None
    loss = partial(losses.categorical_cross_entropy, class_weights=weights)
    penalty = losses.make_penalty(dict(experiment.optimizer.penalties))
    trained, trained_loss, val_loss = decorrelation.make_losses(experiment.insensitive, apply, loss, classes)
    step = training.make_train_step(trained, trained_loss, optimizer, penalty, axis=axis)
    return step, training.make_eval_step(apply, val_loss, axis=axis)


def block_size(cost: models.Cost) -> int:
    """How many jets to evaluate at once: the power of two that the arithmetic of one allows.

    >>> block_size(models.Cost(parameters=1, flop_per_jet=10**7))
    1024
    """
    affordable = max(int(_BLOCK_FLOP) // max(cost.flop_per_jet, 1), 1)
    return min(_BLOCK, 1 << (affordable.bit_length() - 1))


def _batch_size(experiment: Experiment, count: int, devices: Devices) -> int:
    """The jets that this process gives to a step."""
    whole, processes = min(experiment.batch_size or count, count), runtime.process()[1]
    if not experiment.batch_size or whole < experiment.batch_size:
        whole = runtime.shared(devices, whole)
    runtime.check_shared(devices, whole)
    return whole // processes


def make_optimizer(
    experiment: Experiment, per_epoch: int, *, own_rate: bool = False
) -> tuple[Callable[[Any], Any], Any]:
    """The learning rate and the optimizer of an experiment.

    Args:
      experiment: the options.
      per_epoch: the steps in an epoch.
      own_rate: as in `training.make_optimizer`.

    Returns:
      The schedule, step → learning rate; and the optax transformation.
    """
    chosen = experiment.optimizer
    schedule = training.make_schedule(
        chosen.schedule,
        chosen.learning_rate,
        steps=per_epoch * experiment.epochs,
        warmup_steps=int(chosen.warmup_epochs * per_epoch),
    )
    optimizer = training.make_optimizer(
        chosen.name,
        schedule,
        momentum=chosen.momentum,
        weight_decay=chosen.weight_decay,
        clip_norm=chosen.clip_norm,
        plateau_patience=chosen.plateau_patience if chosen.schedule is Schedule.PLATEAU else None,
        steps_per_epoch=per_epoch,
        own_rate=own_rate,
    )
    return schedule, optimizer


def _counts(part: Part, buckets: Buckets) -> list[int]:
    """The jets in each bucket, of the process that has the most."""
    own = np.bincount(buckets.of_lengths(part.lengths), minlength=len(buckets))
    counts: list[int] = runtime.agree(own).tolist()
    return counts


def _sizes(most: int, counts: Sequence[Sequence[int]], devices: Devices) -> list[int]:
    """The jets of this process in a batch that is evaluated: no more than there are in the larger part."""
    own = max(most // runtime.process()[1], 1)
    fitting = (max(min(own, max(some)), 1) for some in zip(*counts, strict=True))
    return [batching.steps_of(size, devices.here) * devices.here for size in fitting]


def _train_windows(
    part: Part, counts: Sequence[int], *, steps: int, seed: int, devices: Devices, **shared: Any
) -> Callable[[int], Iterator[Window]]:
    process = runtime.process()[0]
    shared |= {"seed": seed, "devices": devices.here, "place": partial(runtime.place_window, devices)}
    if part.data is None:
        return batching.stream_windows(lambda epoch: part.blocks([seed, epoch, process]), counts, **shared)
    return batching.make_windows(part.data, process=process, agree=runtime.agree, steps=steps, **shared)


def _val_batches(part: Part, buckets: Buckets, sizes: Sequence[int], devices: Devices) -> Callable[[], Iterator[Batch]]:
    """Batches that stay on the devices where the jets fit into memory."""

    def placed() -> Iterator[Batch]:
        return (batch for _, batch in _batches(part, buckets, sizes, devices))

    if part.data is None:
        return lambda: batching.prefetch(placed())
    stay = list(placed())
    return lambda: iter(stay)


def _batches(
    part: Part, buckets: Buckets, sizes: Sequence[int], devices: Devices
) -> Iterator[tuple[np.ndarray, Batch]]:
    """The jets of a part, each once: their places, and batches of all processes; as many in each process."""
    order = batching.draw_order(_counts(part, buckets), sizes, [0])
    for _, places, batch in batching.draw(part.blocks([0]), order, sizes, buckets):
        yield places, runtime.place_batch(devices, batch)
