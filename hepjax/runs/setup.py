"""Puts pipeline, jets, model, loss, optimizer and devices together, for one training or for several at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import inputs as representations
from hepjax import models, runtime, training
from hepjax.choices import Optimizer
from hepjax.errors import InputError
from hepjax.inputs import batching, pipelines
from hepjax.runs.batch_feeds import divided_feed, join_subsets, shared_feed
from hepjax.runs.ensembles import asks_for_ensemble, choose_members, count_members
from hepjax.runs.starts import draw_from, keep_scaling
from hepjax.runs.training_steps import make_experiment_augmentation, make_experiment_optimizer, make_training_steps
from hepjax.runtime.compilation import watch_traces
from hepjax.tasks import packing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.inputs.load_subsets import Splits
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.models import Apply
    from hepjax.runs.batch_feeds import Feed
    from hepjax.runs.ensembles import Member
    from hepjax.runs.options import Experiment
    from hepjax.runs.starts import Start
    from hepjax.runtime import Devices
    from hepjax.tasks import Task
    from hepjax.training.step import EvalStep, TrainStep
    from hepjax.types import Dataset, Ensemble, PyTree, Scaling, TrainState

SCALING = "scaling"
"""Where a training keeps its scaling, among the model's other variables."""
_COPIES = 4
"""Of all parameters in training, at least: the state, that before the epoch, that of the best epoch, gradients."""
_AVERAGES = 3
"""More of them where averages are kept: one for each state."""


class TrainingSetup(NamedTuple):
    """The state and functions that one or several trainings start with."""

    pipeline: InputPipeline
    members: tuple[Member, ...]
    devices: Devices
    cost: models.Cost
    start: Ensemble
    fit: Callable[..., Ensemble]
    """`training.fit` but for the ensemble to start from."""
    predict: Callable[[TrainState, str], list[np.ndarray]]
    """(states, "train", "val" or "test") → for each member the outputs (n, C) of its jets, by rising row."""


def make_task_pipeline(model: models.Model, task: Task, dataset: Dataset) -> InputPipeline:
    """Makes the pipeline of a model for a task.

    Args:
      model: the options.
      task: sets the number of outputs, and hides its targets from the inputs.
      dataset: of the jets.

    Raises:
      InputError: the jets have nothing that the model could see, or the model is given what it shall predict.
    """
    return task.make_pipeline(model, dataset)._replace(read_out=task.read_out)


def make_training_setup(
    experiment: Experiment, pipeline: InputPipeline, jets: Splits, start: Start | None = None, own: Any = None
) -> TrainingSetup:
    """Puts a training together, or the folds, models, learning rates or sizes that are trained at once.

    Args:
      experiment: the options.
      pipeline: of its model.
      jets: to train and measure on.
      start: the trained network to start from; None draws all parameters.
      own: an optax transformation to train with; None makes the one that the options name.

    Returns:
      The setup.

    Raises:
      InputError: the batches cannot be divided among the devices, or the model cannot be trained that way.
    """
    task, dataset = experiment.task, jets.dataset
    shapes = check_size(experiment, pipeline, dataset)
    members = choose_members(experiment, np.split(np.arange(sum(jets.counts)), np.cumsum(jets.counts[:2])))
    coupled, together = bool(jax.tree.leaves(shapes[1])), asks_for_ensemble(experiment)
    devices = runtime.make_devices(
        **vars(experiment.devices), coupled=coupled, members=len(members) if together else None
    )
    cost = models.cost(
        pipelines.make_apply(pipeline, jets.scaling),
        task.network_parameters(shapes[0]),
        shapes[1],
        pipeline.example,
    )
    if together:
        data = join_subsets(jets)
        members = _select_learned_jets(experiment, members, np.asarray(data.targets))
        _check_task_targets(task, members, np.asarray(data.targets), dataset)
        scalings = [_fit_training_scaling(pipeline, data.inputs, member.train) for member in members]
        statistics = [
            task.statistics(np.asarray(data.targets)[member.train], np.asarray(data.weights)[member.train])
            for member in members
        ]
        variables = [
            task.fit_variables(partial(_take_training_rows, data.inputs, member.train), dataset) for member in members
        ]
        feed = shared_feed(experiment, pipeline, data, members, devices, cost)
    else:
        scalings, feed = [jets.scaling], divided_feed(experiment, pipeline, jets, devices, cost)
        statistics = [task.statistics(*(runtime.gather(x) for x in (jets.train.targets, jets.train.weights)))]
        variables = [task.fit_variables(partial(_inputs_of_training_jets, experiment, jets), dataset)]
    body = None if start is None else training.Body(frozenset(start.plan.params), experiment.body_rate)
    schedule, optimizer = make_experiment_optimizer(experiment, feed.steps, body, own)
    augment = make_experiment_augmentation(experiment, pipeline, dataset)
    apply = make_scaled_apply(pipeline, experiment, augment)
    objective = task.objective(apply, dataset, _targets_of_training_jets(jets, members))
    steps = make_training_steps(experiment, objective, optimizer, devices.axis)
    programs = _compile_training(devices, feed, *steps)
    fit = partial(
        training.fit,
        train=feed.windows,
        val=feed.val,
        programs=programs,
        epochs=experiment.epochs,
        schedule=schedule,
        patience=experiment.patience,
        min_change=experiment.min_change,
    )
    model_states = [
        packing.add_target_statistics({SCALING: keep_scaling(start, scaling), **fitted}, each)
        for scaling, fitted, each in zip(scalings, variables, statistics, strict=True)
    ]
    draw = draw_from(start, partial(draw_training_parameters, task, dataset, pipeline))
    begun = _start_members(experiment, draw, optimizer, members, model_states, devices)
    return TrainingSetup(pipeline, members, devices, cost, begun, fit, partial(feed.predict, programs.evaluate))


def check_size(experiment: Experiment, pipeline: InputPipeline, dataset: Dataset) -> PyTree:
    """Refuses trainings that cannot fit into the memory, before anything is made.

    Args:
      experiment: the options.
      pipeline: of its model.
      dataset: of the jets.

    Returns:
      The shapes of the parameters and the other variables of one training.

    Raises:
      InputError: says how large the model is.
    """
    return models.check_size(
        lambda: draw_training_parameters(experiment.task, dataset, pipeline, jax.random.key(0)),
        experiment.model.label(),
        copies=(_COPIES + _AVERAGES * (experiment.optimizer.average is not None)) * count_members(experiment),
    )


def draw_training_parameters(
    task: Task, dataset: Dataset, pipeline: InputPipeline, key: jax.Array
) -> tuple[PyTree, PyTree]:
    """Draws the parameters of a training: those of the network, and those that its task adds.

    Args:
      task: that is learned.
      dataset: of the jets.
      pipeline: of the model.
      key: () typed PRNG key.

    Returns:
      The parameters, and the other variables.
    """
    params, model_state = pipelines.initialize_from_example(pipeline, key)
    return {**params, **task.extra_parameters(dataset, key)}, model_state


def take_saved_model(task: Task, state: TrainState) -> tuple[PyTree, PyTree, Scaling]:
    """Takes out of a state what predicts: parameters of the network, other variables with statistics, and scaling.

    Args:
      task: that is learned.
      state: of one training.

    Returns:
      What best.msgpack holds; until the training has ended, what is computed after it is empty.
    """
    others = {name: value for name, value in state.model_state.items() if name != SCALING}
    model_state = models.without_steps(others)
    known = packing.split_target_statistics(model_state)[1]
    model_state = packing.add_references(model_state, packing.blank_target_statistics(task.reference_names) | known)
    return task.network_parameters(state.params), model_state, state.model_state[SCALING]


def make_scaled_apply(
    pipeline: InputPipeline, experiment: Experiment, augment: Callable[[jax.Array, Any], Any] | None = None
) -> Apply:
    """Makes the function of a model in training, which has its scaling among its other variables.

    Args:
      pipeline: of the model.
      experiment: the options.
      augment: (key, inputs) → inputs, where there is a key, as in training; None changes nothing.

    Returns:
      The function.
    """

    def apply(
        params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        scaling = model_state[SCALING]
        others = {name: value for name, value in model_state.items() if name != SCALING}
        scaled = pipelines.make_apply(pipeline, scaling, experiment.precision)
        if augment is not None and key is not None:
            of_inputs, key = jax.random.split(key)
            inputs = augment(of_inputs, inputs)
        outputs, others = scaled(params, others, inputs, mask, key)
        return outputs, {**others, SCALING: scaling}

    return apply


def _compile_training(devices: Devices, feed: Feed, step: TrainStep, eval_step: EvalStep) -> training.Programs:
    run_window, evaluate = training.over_window(step), eval_step
    if devices.members is not None:
        run_window, evaluate = training.over_members(run_window, evaluate)
    return training.Programs(
        *runtime.compile_on(
            devices,
            watch_traces(run_window, "training", feed.training_shapes),
            watch_traces(evaluate, "evaluation", feed.evaluation_shapes),
        )
    )


def _start_members(
    experiment: Experiment,
    draw: Callable[[jax.Array], tuple[PyTree, PyTree]],
    optimizer: Any,
    members: Sequence[Member],
    model_states: Sequence[PyTree],
    devices: Devices,
) -> Ensemble:
    """Makes the trainings before their first epoch, each with parameters from a seed of its own."""
    key, average = jax.random.key(experiment.seed), experiment.optimizer.average is not None
    if devices.members is None:
        init_key, key = jax.random.split(key)
        params, model_state = draw(init_key)
        return training.start(params, {**model_state, **model_states[0]}, optimizer, key, average=average)
    spare = devices.members - len(members)
    keys = jax.vmap(jax.random.split)(jax.vmap(partial(jax.random.fold_in, key))(np.arange(devices.members)))
    params, model_state = jax.jit(jax.vmap(draw))(keys[:, 0])
    stacked = jax.tree.map(lambda *x: np.stack(x), *model_states, *[model_states[0]] * spare)
    start = training.start(
        params, {**model_state, **stacked}, optimizer, keys[:, 1], members=len(members), average=average
    )
    if experiment.optimizer.name is Optimizer.OWN:  # which has its rate inside
        return start
    rates = np.array([member.rate for member in members] + [0.0] * spare, np.float32)
    state = start.state._replace(opt_state=training.with_rates(start.state.opt_state, rates))
    return start._replace(state=state, best=state)


def _fit_training_scaling(pipeline: InputPipeline, inputs: Any, rows: np.ndarray) -> Scaling:
    return representations.scaling_of([pipeline.statistics(_take_training_rows(inputs, rows))])


def _take_training_rows(inputs: Any, rows: np.ndarray) -> Any:
    return jax.tree.map(lambda x: x[rows], inputs)


def _inputs_of_training_jets(experiment: Experiment, jets: Splits) -> Any:
    """Gathers the inputs of the training jets of all processes."""
    if jets.train.data is None:
        raise InputError(
            f"--memory: the model is fitted to all training jets at once, found {experiment.memory:g}; give more"
        )
    return jax.tree.map(runtime.gather, jets.train.data.inputs)


def _select_learned_jets(
    experiment: Experiment, members: tuple[Member, ...], targets: np.ndarray
) -> tuple[Member, ...]:
    """Leaves out of folds the training and validation jets that are not learned from; other members lack them yet."""
    select = experiment.task.selection()
    if select is None or not experiment.folds:
        return members
    chosen = []
    for member in members:
        parts = {part: getattr(member, part) for part in ("train", "val")}
        kept = {part: rows[select(targets[rows], experiment.seed)] for part, rows in parts.items()}
        batching.log_left_out({part: (len(kept[part]), len(rows)) for part, rows in parts.items()}, member.name)
        chosen.append(member._replace(**kept))
    return tuple(chosen)


def _targets_of_training_jets(jets: Splits, members: Sequence[Member]) -> np.ndarray:
    """Joins the targets of all jets that a member is trained on."""
    targets = np.concatenate([runtime.gather(subset.targets) for subset in jets[:3]])
    return np.asarray(targets[np.unique(np.concatenate([member.train for member in members]))])


def _check_task_targets(task: Task, members: Sequence[Member], targets: np.ndarray, dataset: Dataset) -> None:
    for member in members:
        parts = {name: targets[getattr(member, name)] for name in ("train", "val", "test")}
        task.check_targets(parts, task.columns(dataset), f"dataset {dataset.name}", member.name)
