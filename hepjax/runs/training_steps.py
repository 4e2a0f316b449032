"""The step of a training and its optimizer, as an experiment asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax import training
from hepjax.choices import Schedule
from hepjax.errors import InputError
from hepjax.inputs.augmentation import make_augmentation
from hepjax.runs.resumed_schedule import schedule_length
from hepjax.training import losses
from hepjax.types import Sequences

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax

    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.runs.options import Experiment
    from hepjax.tasks import Objective
    from hepjax.training.step import EvalStep, TrainStep
    from hepjax.types import Dataset


def make_experiment_augmentation(
    experiment: Experiment, pipeline: InputPipeline, dataset: Dataset
) -> Callable[[jax.Array, Any], Any] | None:
    """Makes the function that changes the training jets of an experiment at random.

    Args:
      experiment: the options.
      pipeline: of its model.
      dataset: of the jets.

    Returns:
      (key, inputs) → inputs; None where nothing is asked for.

    Raises:
      InputError: the model does not see particles, or a column would no longer fit the others.
    """
    if not experiment.augment:
        return None
    if not isinstance(pipeline.example, Sequences):
        raise InputError("--augment: the model does not see particles; leave it out, or train a model of particles")
    return make_augmentation(experiment.augment, pipeline.columns, dataset)


def make_training_steps(
    experiment: Experiment, objective: Objective, optimizer: Any, axis: str | None = None
) -> tuple[TrainStep, EvalStep]:
    """Makes the step and the evaluation of an experiment.

    Args:
      experiment: the options.
      objective: of its task.
      optimizer: from `make_experiment_optimizer`.
      axis: as in `make_train_step`.

    Returns:
      The pure functions.
    """
    chosen = experiment.optimizer
    penalty = losses.make_penalty(dict(chosen.penalties))
    step = training.make_train_step(
        objective.apply, objective.loss, optimizer, penalty, axis=axis, pieces=chosen.pieces, average=chosen.average
    )
    return step, training.make_eval_step(objective.val_apply, objective.val_loss, axis=axis)


def make_experiment_optimizer(
    experiment: Experiment, steps_per_epoch: int, body: training.Body | None = None, own: Any = None
) -> tuple[Callable[[Any], Any] | None, Any]:
    """Makes the optimizer of an experiment, whose state holds the learning rate.

    Args:
      experiment: the options.
      steps_per_epoch: the steps in an epoch.
      body: the parameters that were trained before; None is none.
      own: an optax transformation, which is taken as it is; None makes the one that the options name.

    Returns:
      The schedule, step → what the learning rate is multiplied by; and the optax transformation. The schedule of one
      that was given is None.
    """
    if own is not None:
        return None, training.with_loss(own)
    chosen = experiment.optimizer
    steps = steps_per_epoch * schedule_length(experiment)
    schedule = training.make_schedule(
        chosen.schedule,
        1.0,
        steps=steps,
        warmup_steps=int(chosen.warmup_epochs * steps_per_epoch),
        steps_per_epoch=steps_per_epoch,
    )
    if schedule_length(experiment) < experiment.epochs:
        schedule = training.hold(schedule, steps)
    optimizer = training.make_optimizer(
        chosen.name,
        schedule,
        momentum=chosen.momentum,
        weight_decay=chosen.weight_decay,
        clip_norm=chosen.clip_norm,
        plateau_patience=chosen.plateau_patience if chosen.schedule is Schedule.PLATEAU else None,
        steps_per_epoch=steps_per_epoch,
        peak=chosen.learning_rate,
        body=body,
    )
    return schedule, optimizer
