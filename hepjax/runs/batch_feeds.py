"""How jets reach the compiled programs: of one training divided among devices, of several whole on each device."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import models, runtime
from hepjax.inputs import batching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hepjax.inputs.batching import Buckets
    from hepjax.inputs.load_subsets import Splits, Subset
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.runs.ensembles import Member
    from hepjax.runs.options import Experiment
    from hepjax.runtime import Devices
    from hepjax.training.step import EvalStep
    from hepjax.types import Batch, TrainState, Window

_BLOCK = 8192
"""The most jets that are evaluated at once."""
_BLOCK_FLOP = 2e10
"""The most arithmetic for jets that are evaluated at once; their memory grows with it."""
_WINDOW_FLOP = 2e11
"""The arithmetic of the steps in one program, some seconds of a small computer: Ctrl-C is heard after each."""
_WINDOW_STEPS = 1024
"""The most steps in one program."""
COMPILATION_FLOP = 2e11
"""The arithmetic that another length must save over a training to be worth its compilation."""
BACKWARD = 3
"""A training step costs about as many times as much as a prediction."""


class Feed(NamedTuple):
    """The jets of one or several trainings, in the form that their compiled programs take."""

    steps: int
    """The training steps of an epoch."""
    windows: Callable[[int], Iterator[Window]]
    """Epoch number, from 1 → windows on the devices."""
    val: Callable[[], Iterable[Any]]
    """→ what the evaluation takes to validate."""
    predict: Callable[[EvalStep, TrainState, str], list[np.ndarray]]
    """(compiled evaluation, states, "train", "val" or "test") → outputs of each member's jets, by rising row."""
    training_shapes: int
    """How many shapes windows have."""
    evaluation_shapes: int
    """How many shapes are evaluated."""


def divided_feed(
    experiment: Experiment, pipeline: InputPipeline, jets: Splits, devices: Devices, cost: models.Cost
) -> Feed:
    """Divides the jets of one training among devices; those that do not fit into memory are streamed.

    Args:
      experiment: the options.
      pipeline: of its model.
      jets: what to train and measure on.
      devices: of all processes.
      cost: of a prediction with all slots.

    Returns:
      The feed.

    Raises:
      InputError: the devices cannot share a batch alike.
    """
    buckets = choose_run_buckets(pipeline, jets.train.lengths, experiment.lengths, experiment.epochs * BACKWARD, cost)
    batch_size = _process_batch_size(experiment, jets.counts[0], devices)
    counts = _bucket_counts(jets.train, buckets)
    steps = choose_window_steps(cost, batch_size * runtime.process()[1])
    sizes = _evaluation_batch_sizes(
        choose_evaluation_size(cost), [_bucket_counts(subset, buckets) for subset in (jets.val, jets.test)], devices
    )

    def predict_divided(evaluate: EvalStep, state: TrainState, name: str) -> list[np.ndarray]:
        return [predict_subset(evaluate, buckets, sizes, devices, state, getattr(jets, name))]

    return Feed(
        steps=sum(batching.steps_of(count, batch_size) for count in counts),
        windows=_make_train_windows(
            jets.train,
            counts,
            steps=steps,
            devices=devices,
            batch_size=batch_size,
            seed=experiment.seed,
            buckets=buckets,
        ),
        val=_make_validation_batches(jets.val, buckets, sizes, devices),
        predict=predict_divided,
        training_shapes=1 if jets.train.data is not None else len(buckets),
        evaluation_shapes=len(buckets),
    )


def shared_feed(
    experiment: Experiment,
    pipeline: InputPipeline,
    data: Batch,
    members: Sequence[Member],
    devices: Devices,
    cost: models.Cost,
) -> Feed:
    """Puts all jets on each device, and of each of several trainings the numbers of its jets where it lies.

    Args:
      experiment: the options.
      pipeline: of its model.
      data: from `join_subsets`.
      members: the trainings.
      devices: of this process, the only one.
      cost: of a prediction with all slots.

    Returns:
      The feed.
    """
    lengths = getattr(data.inputs, "lengths", np.zeros(0, int))  # only lists of particles have buckets
    rounds = BACKWARD * experiment.epochs * len(members)
    buckets = choose_run_buckets(pipeline, lengths, experiment.lengths, rounds, cost)
    shared = batching.share(data, buckets)
    # What fills up the devices has no jets.
    missing = [np.arange(0)] * ((devices.members or 0) - len(members))
    rows = {name: [getattr(member, name) for member in members] + missing for name in ("train", "val", "test")}
    batch_size = min(experiment.batch_size or len(rows["train"][0]), len(rows["train"][0]))
    steps, windows = batching.member_windows(
        shared,
        rows["train"],
        batch_size=batch_size,
        seed=experiment.seed,
        steps=choose_window_steps(cost, batch_size * len(members)),
    )
    block = min(max(choose_evaluation_size(cost) // len(members), 1), max(map(len, rows["test"])))
    resident = runtime.place_window(devices, batching.member_rows(shared, rows["val"], block)[0])

    def place_member_rows(window: Window) -> Window:
        return runtime.place_window(devices, window._replace(data=resident.data))

    def predict_shared(evaluate: EvalStep, state: TrainState, name: str) -> list[np.ndarray]:
        window, places = batching.member_rows(shared, rows[name], block)
        outputs = jax.device_get(evaluate(state, place_member_rows(window)).outputs)  # type: ignore[arg-type]
        return [_outputs_in_row_order(outputs[i], places[:, i]) for i in range(len(members))]

    return Feed(
        steps,
        lambda epoch: map(place_member_rows, windows(epoch)),
        lambda: [resident],
        predict_shared,
        1,
        3 if experiment.task.reference_names else 2,
    )


def join_subsets(jets: Splits) -> Batch:
    """Joins the jets of all parts, in their order.

    Args:
      jets: in memory.

    Returns:
      The jets.
    """
    together: Batch = jax.tree.map(lambda *x: np.concatenate(x), *(subset.data for subset in jets[:3]))
    return together


def predict_subset(
    evaluate: EvalStep, buckets: Buckets, sizes: Sequence[int], devices: Devices, state: TrainState, subset: Subset
) -> np.ndarray:
    """Predicts all jets of a subset.

    Args:
      evaluate: the compiled evaluation step.
      buckets: the lengths that jets are padded to.
      sizes: the jets of this process in a batch, for each bucket; multiples of its devices.
      devices: where it runs.
      state: holds the parameters.
      subset: the jets of this process.

    Returns:
      (N, C) outputs for the jets of all processes, by rising row number.
    """
    outputs = np.zeros((0, 0), np.float32)
    for places, batch in _evaluation_batches(subset, buckets, sizes, devices):
        of_batch = runtime.rows_here(evaluate(state, batch).outputs)
        outputs = outputs if outputs.size else np.zeros((len(subset.rows), of_batch.shape[-1]), np.float32)
        outputs[places[places >= 0]] = of_batch[places >= 0]
    return runtime.gather(outputs)


def choose_run_buckets(
    pipeline: InputPipeline, lengths: np.ndarray, most: int, rounds: int, cost: models.Cost
) -> Buckets:
    """Chooses the lengths to pad jets to, the same in all processes.

    Args:
      pipeline: of the model.
      lengths: (n,) the particles of this process's jets.
      most: lengths at most.
      rounds: how often each jet will be predicted.
      cost: of a prediction with all slots.

    Returns:
      The lengths; none where the model needs jets of one shape.
    """
    if pipeline.spare is None:
        return batching.Buckets()
    counts = runtime.gather(np.bincount(lengths, minlength=pipeline.example.mask.shape[1] + 1)[None]).sum(axis=0)
    work = max(counts.sum() * rounds * cost.flop_per_jet, 1)
    return batching.choose_buckets(counts, most=most, spare=pipeline.spare, worth=max(COMPILATION_FLOP / work, 0.05))


def choose_window_steps(cost: models.Cost, jets: int) -> int:
    """Chooses how many training steps one program takes.

    Args:
      cost: of a prediction with all slots.
      jets: in a step.

    Returns:
      Steps.

    >>> choose_window_steps(models.Cost(parameters=1, flop_per_jet=10**7), 128)
    52
    """
    steps = int(_WINDOW_FLOP / (BACKWARD * max(cost.flop_per_jet, 1) * jets))
    return min(max(steps, 1), _WINDOW_STEPS)


def choose_evaluation_size(cost: models.Cost) -> int:
    """Chooses how many jets to evaluate at once: the power of two that the arithmetic of one allows.

    >>> choose_evaluation_size(models.Cost(parameters=1, flop_per_jet=10**7))
    1024
    """
    affordable = max(int(_BLOCK_FLOP) // max(cost.flop_per_jet, 1), 1)
    return min(_BLOCK, 1 << (affordable.bit_length() - 1))


def _outputs_in_row_order(outputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Sorts (K, B, C) outputs for (K, B) rows, -1 for none, into (n, C) by rising row."""
    filled = rows >= 0
    return outputs[filled][np.argsort(rows[filled])]


def _process_batch_size(experiment: Experiment, count: int, devices: Devices) -> int:
    """Computes how many jets this process gives to a step."""
    whole, processes = min(experiment.batch_size or count, count), runtime.process()[1]
    if not experiment.batch_size or whole < experiment.batch_size:
        whole = runtime.shared(devices, whole)
    runtime.check_shared(devices, whole)
    return whole // processes


def _bucket_counts(subset: Subset, buckets: Buckets) -> list[int]:
    """Counts the jets in each bucket, of the process that has the most."""
    here = np.bincount(buckets.of_lengths(subset.lengths), minlength=len(buckets))
    counts: list[int] = runtime.agree(here).tolist()
    return counts


def _evaluation_batch_sizes(most: int, counts: Sequence[Sequence[int]], devices: Devices) -> list[int]:
    """Chooses how many jets of this process are evaluated at once: no more than the larger subset has."""
    here = max(most // runtime.process()[1], 1)
    fitting = (max(min(here, max(of_subsets)), 1) for of_subsets in zip(*counts, strict=True))
    return [batching.steps_of(size, devices.here) * devices.here for size in fitting]


def _make_train_windows(
    subset: Subset, counts: Sequence[int], *, steps: int, seed: int, devices: Devices, **shared: Any
) -> Callable[[int], Iterator[Window]]:
    process = runtime.process()[0]
    shared |= {"seed": seed, "devices": devices.here, "place": partial(runtime.place_window, devices)}
    if subset.data is None:
        return batching.stream_windows(lambda epoch: subset.blocks([seed, epoch, process]), counts, **shared)
    return batching.make_windows(subset.data, process=process, agree=runtime.agree, steps=steps, **shared)


def _make_validation_batches(
    subset: Subset, buckets: Buckets, sizes: Sequence[int], devices: Devices
) -> Callable[[], Iterable[Batch]]:
    """Makes batches to validate, which stay on the devices where the jets fit into memory."""

    def placed() -> Iterator[Batch]:
        return (batch for _, batch in _evaluation_batches(subset, buckets, sizes, devices))

    if subset.data is None:
        return lambda: batching.prefetch(placed())
    resident = list(placed())
    return lambda: resident


def _evaluation_batches(
    subset: Subset, buckets: Buckets, sizes: Sequence[int], devices: Devices
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Gives the jets of a subset, each once: their places, and batches of all processes; as many in each process."""
    order = batching.draw_order(_bucket_counts(subset, buckets), sizes, [0])
    for _, places, batch in batching.draw(subset.blocks([0]), order, sizes, buckets):
        yield places, runtime.place_batch(devices, batch)
