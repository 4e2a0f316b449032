"""Trains what an `Experiment` asks for: options in, a run folder out."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax import report, runtime, training
from hepjax.choices import Optimizer
from hepjax.data import atomic_files, cut_flow
from hepjax.data.readers import reference_split
from hepjax.errors import InputError
from hepjax.inputs import load_subsets, open_files, pipelines
from hepjax.runs import fine_tuning, locks, options, resumed_schedule, run_folder, save_run, teaching, trained_jets
from hepjax.runs.callbacks import call_after_epoch, check_callbacks
from hepjax.runs.ensembles import asks_for_ensemble, diverged_members
from hepjax.runs.measure_trainings import measure_trainings
from hepjax.runs.setup import check_size, make_task_pipeline, make_training_setup
from hepjax.runs.training_steps import make_experiment_augmentation
from hepjax.runs.training_weights import weigh_training_jets
from hepjax.runtime.tensorboard import check_tensorboard_installed
from hepjax.types import Ensemble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hepjax.inputs.load_subsets import Splits
    from hepjax.inputs.open_files import Opened
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.runs.callbacks import Callback
    from hepjax.runs.options import Experiment
    from hepjax.runs.setup import TrainingSetup
    from hepjax.runs.teaching import Teacher
    from hepjax.types import Epoch, Progress

log = logging.getLogger("hepjax")

_FURTHER = ("warmup_epochs", "momentum", "weight_decay", "clip_norm", "average")
"""Options of the optimizer that the log names where they are given."""


class Companions(NamedTuple):
    """What goes with the options of a training, and cannot be recorded."""

    show: Callable[[Progress], None] | None = None
    """Called after each epoch, with the progress of the training that has gone furthest."""
    callbacks: Sequence[Callback] = ()
    """Called after it, with the same; the training ends where one returns True."""
    optimizer: Any = None
    """A transformation of optax; None makes the one that the options name."""


def run(
    experiment: Experiment,
    show: Callable[[Progress], None] | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    optimizer: Any = None,
) -> tuple[Path, dict[str, Any]]:
    """Trains a model, or several at once, measures it on the test part, and leaves everything in a run folder.

    Args:
      experiment: what to do.
      show: called after each epoch, with the progress of the training that has gone furthest.
      callbacks: called after each epoch with the same, once it is saved; where one returns True, the training ends, and
        is measured.
      optimizer: a transformation of optax, where `experiment.optimizer.name` is own; it is not recorded, so that a run
        that goes on needs it again.

    Returns:
      The run folder, and the figures of merit on the test part.

    Raises:
      InputError: bad data or options; nothing is written then.
      CallbackError: a callback failed; the epoch is saved, and the run can be gone on with.
      DivergedError: the loss of each training is not finite; the last good states are in checkpoints/last_good.msgpack,
        of several trainings in each one's own folder.
    """
    experiment = _with_reference_split(experiment)
    options.check(experiment)
    check_callbacks(callbacks)
    _check_optimizer(experiment, optimizer)
    if experiment.tensorboard:
        check_tensorboard_installed()
    with contextlib.ExitStack() as stack:
        saved = None
        if experiment.resume:
            folder = run_folder.resumable_folder(experiment.out)
            if runtime.is_first() and run_folder.is_run_folder(folder):
                stack.enter_context(locks.locked(folder))
            saved = run_folder.read_experiment(folder)  # once, and nobody changes it any more
            if "imported" in saved[1]:
                raise InputError(f"--resume: {folder} has weights that others trained, there is nothing to go on with")
        return _run(experiment, saved, Companions(show, callbacks, optimizer), stack)


def _check_optimizer(experiment: Experiment, optimizer: Any) -> None:
    """Refuses an optimizer of one's own that is named and not given, or given and not named."""
    own = experiment.optimizer.name is Optimizer.OWN
    if own and not training.is_transformation(optimizer):
        found = "none" if optimizer is None else type(optimizer).__name__
        raise InputError(
            "optimizer: own is a transformation of optax, which no folder holds; expected one by hepjax.train(…, "
            f"optimizer=…), also to go on with a run, found {found}"
        )
    if not own and optimizer is not None:
        raise InputError(f"optimizer: the options name {experiment.optimizer.name.value}, and one of your own is given")


def _with_reference_split(experiment: Experiment) -> Experiment:
    """Takes the parts of a folder that has files or folders named after them as --data, --val and --test."""
    if len(experiment.data) != 1 or experiment.val or experiment.test:
        return experiment
    parts = reference_split(experiment.data[0])
    if not parts:
        return experiment
    if experiment.folds:
        parts = {"data": parts["data"]}
    if runtime.is_first():
        words = "; ".join(f"--{part} {' '.join(path.name for path in paths)}" for part, paths in parts.items())
        log.info("%s: its own parts: %s", experiment.data[0], words)
    return dataclasses.replace(experiment, **parts)  # type: ignore[arg-type]


def _run(
    experiment: Experiment,
    saved: tuple[Experiment, dict[str, Any]] | None,
    companions: Companions,
    stack: contextlib.ExitStack,
) -> tuple[Path, dict[str, Any]]:
    teacher = teaching.open_teacher(experiment.task, None if saved is None else saved[1])
    opened = open_files.open_split_files(
        experiment.data,
        experiment.val,
        experiment.test,
        images=(*getattr(experiment.model, "images", ()), *teaching.images_of(teacher)),
        dataset=experiment.dataset
        if saved is None
        else run_folder.description_of_run(saved[0], run_folder.dataset_of_run(saved[1])),
        allow_external=experiment.allow_external,
        where=experiment.where,
    )
    experiment = _resolve_experiment(experiment, opened)
    if saved is not None:
        run_folder.check_same_experiment(experiment, saved[0])
        resumed_schedule.check_schedule(experiment, *saved)
    else:
        atomic_files.check_new(experiment.out, "add --resume to go on with that run, or give another name")
    pipeline = make_task_pipeline(experiment.model, experiment.task, opened.data.dataset)
    check_size(experiment, pipeline, opened.data.dataset)
    start = fine_tuning.open_start(experiment, pipeline, opened.data.dataset, None if saved is None else saved[1])
    make_experiment_augmentation(experiment, pipeline, opened.data.dataset)  # refuses before jets are read
    teaching.check_teacher(teacher, experiment.task, opened.data.dataset, [opened.data, *opened.others.values()])
    stack.enter_context(runtime.ends_together())
    jets = _load_training_jets(experiment, pipeline, opened, teacher)
    jets, weights = weigh_training_jets(experiment, jets, opened.sources["data"])
    tested = jets.split._fields if experiment.folds else ("test",)
    if start is not None:
        trained_jets.tell_of_earlier_training(f"--from {experiment.start_from}", start.trained, jets, tested)
    setup = make_training_setup(experiment, pipeline, jets, start, companions.optimizer)
    examined = trained_jets.examine(experiment, jets, setup.members)
    trained_jets.check(examined, opened.sources)
    metadata = save_run.gather_run_metadata(jets, setup.cost, setup.members, experiment.task)
    flows = {name: cut_flow(of) for name, of in {"data": opened.data, **opened.others}.items()}
    metadata |= {"cut_flow": flows} if any(flows.values()) else {}
    metadata |= {"weights": weights} if weights else {}
    metadata |= {} if start is None else {"start_from": start.record}
    metadata |= {} if teacher is None else {"teacher": teacher.record}
    run = stack.enter_context(save_run.opened(experiment, jets, examined.trained, metadata, setup.start, saved))
    after = stack.enter_context(save_run.watch_training(run.folder, experiment, run.ensemble.furthest.epoch))
    run = run._replace(ensemble=_train_members(experiment, run, setup, after, companions))
    return run.folder, measure_trainings(experiment, run, jets, setup, metadata, examined=examined)


def _resolve_experiment(experiment: Experiment, opened: Opened) -> Experiment:
    """Fills in the options that are left to the jets' dataset, and whole paths."""
    dataset, task = opened.data.dataset, experiment.task.for_model(experiment.model)
    for name, jets in {"data": opened.data, **opened.others}.items():
        task.check_dataset(jets.dataset, opened.sources[name])
    return dataclasses.replace(
        run_folder.with_absolute_paths(experiment),
        model=pipelines.resolve_model_columns(experiment.model, task.visible(dataset)),
        task=task.resolve(dataset),
    )


def _load_training_jets(
    experiment: Experiment, pipeline: InputPipeline, opened: Opened, teacher: Teacher | None
) -> Splits:
    """Reads the jets of the run, and refuses those that nothing can be learned of."""
    task = experiment.task
    select = None if experiment.folds else task.selection()  # each jet of folds is tested once
    needed_by = (
        "several trainings at once need all jets in it" if asks_for_ensemble(experiment) else task.memory_problem()
    )
    jets = load_subsets.load_subsets(
        opened,
        pipeline,
        task.read,
        seed=experiment.seed,
        memory=experiment.memory,
        needed_by=needed_by,
        select=select,
    )
    targets = {name: runtime.gather(getattr(jets, name).targets) for name in jets.split._fields}
    task.check_targets(targets, task.columns(jets.dataset), opened.sources["data"])
    jets = teaching.attach_predictions(teacher, jets, task, folds=bool(experiment.folds))
    return task.prepare(jets, pipeline, experiment.seed)


def _train_members(
    experiment: Experiment,
    run: save_run.Opened,
    setup: TrainingSetup,
    after: Callable[[Epoch], None],
    companions: Companions,
) -> Ensemble:
    folder, ensemble, identity = run
    known = diverged_members(setup.members, ensemble.members)

    def save(ensemble: Ensemble, write: Callable[..., None], *further: Any) -> None:
        state, best = runtime.whole(setup.devices, (ensemble.state, ensemble.best))
        if runtime.is_first():
            write(folder, Ensemble(state, best, ensemble.members), *further, identity)

    def on_epoch(ensemble: Ensemble) -> bool:
        nonlocal known
        save(ensemble, save_run.save_trainings, experiment.task)
        diverged = diverged_members(setup.members, ensemble.members)
        for name in diverged.keys() - known.keys():
            save(ensemble, save_run.save_last_good_states, setup.members)
            log.warning("%s diverged %s; the others go on", name, diverged[name])
        known = diverged
        log.info("%s", _training_epoch_line(ensemble, experiment.epochs))
        after(ensemble.history[-1])
        if companions.show is not None:
            companions.show(ensemble.furthest)
        if asked := call_after_epoch(companions.callbacks, ensemble.furthest, save_run.how_to_resume_text(folder)):
            log.info("a callback ends the training after epoch %d", ensemble.furthest.epoch)
        return asked

    log.info("%s: %s", experiment.model.label(), report.cost_line(*setup.cost))
    log.info("%s", _optimizer_line(experiment))
    if ensemble.stacked:
        log.info("%d trainings at once on %d devices, into %s", len(setup.members), setup.devices.everywhere, folder)
    else:
        log.info("training on %d jets, into %s", len(setup.members[0].train), folder)
    state, best = (runtime.place_state(setup.devices, state) for state in (ensemble.state, ensemble.best))
    try:
        return setup.fit(ensemble._replace(state=state, best=best), on_epoch=on_epoch)
    except training.DivergedError as error:
        save(error.ensemble, save_run.save_last_good_states, setup.members)
        log.info("%s", error)
        raise
    except KeyboardInterrupt as interrupt:
        raise type(interrupt)(save_run.how_to_resume_text(folder)) from None


def _optimizer_line(experiment: Experiment) -> str:
    """Says how the network is trained: what was given, or a recipe has set."""
    chosen = experiment.optimizer
    batches = f"batches of {experiment.batch_size}" if experiment.batch_size else "all jets at once"
    kind = f"{chosen.name.value}, learning rate {experiment.learning_rate:g} {chosen.schedule.value}"
    words = ["an optimizer of your own" if chosen.name is Optimizer.OWN else kind, batches]
    words += [f"{name.replace('_', ' ')} {value:g}" for name in _FURTHER if (value := getattr(chosen, name))]
    words += [f"augmented by {' and '.join(kind.value for kind in experiment.augment)}"] if experiment.augment else []
    return f"{', '.join(words)}; up to {experiment.epochs} epochs"


def _training_epoch_line(ensemble: Ensemble, epochs: int) -> str:
    histories = [progress.history for progress in ensemble.members if not progress.divergence]
    line = (
        report.epoch_line(histories[0][-1], epochs) if len(histories) == 1 else report.members_line(histories, epochs)
    )
    diverged = len(ensemble.members) - len(histories)
    return f"{line}  {diverged} diverged" if diverged else line
