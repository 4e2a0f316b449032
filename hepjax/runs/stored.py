"""Opens a run folder and validates all of its files, for every command in the same way."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import models, training
from hepjax.errors import InputError
from hepjax.inputs import pipelines
from hepjax.runs import ensembles, predictions, records, run_folder, trained_jets
from hepjax.runs.setup import make_task_pipeline
from hepjax.tasks import TrainedNetwork, packing
from hepjax.types.short_repr import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hepjax.inputs.jet_hashes import TrainedJets
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.runs.options import Experiment
    from hepjax.tasks import Predictions
    from hepjax.types import Dataset, Epoch

BEST, LAST = "checkpoints/best.msgpack", "checkpoints/last.msgpack"
EXPERIMENT, HISTORY, METRICS, TEST = "experiment.json", "history.csv", "metrics.json", "test.h5"


class Run(NamedTuple):
    """The content of a run folder."""

    folder: Path
    experiment: Experiment
    record: dict[str, Any]
    """The content of experiment.json."""
    dataset: Dataset
    """What the columns of the jets mean."""
    history: tuple[Epoch, ...]
    """The epochs of the training; empty of several trainings at once that have not ended."""
    metrics: dict[str, Any] | None
    """The figures of merit; None until the training has ended."""
    network: TrainedNetwork | None
    """The network of the best epoch; None of several trainings at once."""
    members: tuple[Run, ...]
    """The runs of several trainings at once; empty until they have ended, and of a single training."""
    measured: bool
    """Whether the folder has predictions of test jets."""
    trained: TrainedJets | None = None
    """The training jets, to be recognized; None of a run of an older hepjax."""

    def __repr__(self) -> str:
        """Shows arrays by their shapes."""
        return short_repr(self)


def open_run(folder: Path, known: tuple[Experiment, dict[str, Any]] | None = None) -> Run:
    """Opens a run folder, and validates all that any command reads of it.

    Args:
      folder: of the run.
      known: from `run_folder.read_experiment`, where it was read before; None reads it.

    Returns:
      What it holds.

    Raises:
      InputError: it is not a run's, is from a newer hepjax, or a file of it is missing, damaged, or of another
        training.
    """
    run = _open(folder, None, known)
    expected = ensembles.member_names(run.experiment) if ensembles.asks_for_ensemble(run.experiment) else ()
    if (found := tuple(run.record.get("members", ()))) != expected:
        raise InputError(
            f"{folder / EXPERIMENT}: damaged, its members are {', '.join(found) or 'none'}, its options ask for "
            f"{', '.join(expected) or 'none'}; train again"
        )
    if not expected or not _has_ended(run):
        return run
    members = tuple(_open(folder / name, run) for name in expected)
    return run._replace(members=members)


def networks_of(run: Run) -> tuple[TrainedNetwork, ...]:
    """Returns the networks whose predictions are combined.

    Args:
      run: opened.

    Returns:
      Of folds and of an ensemble all that did not diverge, of learning rates and sizes the one that stands for all.

    Raises:
      InputError: the training has not gone far enough to predict.
    """
    networks = tuple(each.network for each in members_in_use(run) if each.network is not None)
    names = run.experiment.task.reference_names
    unfinished = any(not any(network.statistics[name].size for name in names) for network in networks if names)
    if not networks or unfinished:
        raise InputError(
            f"{run.folder}: its training has not ended, and what predictions need is computed then; go on with: "
            f"hepjax train --out {run.folder} --resume"
        )
    return networks


def members_in_use(run: Run) -> tuple[Run, ...]:
    """Returns the trainings that a run stands for: itself where it is one.

    Args:
      run: opened.

    Returns:
      As `networks_of`.
    """
    if "members" not in run.record:
        return (run,)
    good = [i for i, each in enumerate(run.members) if each.folder.name not in run.record.get("diverged", {})]
    chosen = [run.members[i] for i in good]
    if not chosen or not (run.experiment.rates or run.experiment.sizes):
        return tuple(chosen)
    return (chosen[ensembles.choose_best_member(run.experiment, good, [each.history for each in chosen])],)


def metrics_of(run: Run) -> dict[str, Any]:
    """Returns the figures of merit of a run.

    Args:
      run: opened.

    Raises:
      InputError: the training has not ended.
    """
    if "imported" in run.record:
        raise InputError(
            f"{run.folder}: has weights of {run.record['imported']['file']}, which were not trained here; measure them "
            f"by hepjax evaluate {run.folder} --data FILE"
        )
    if run.metrics is None:
        raise InputError(f"{run.folder}: has no metrics.json, its training has not ended; go on with it by --resume")
    return run.metrics


def predictions_of(run: Run) -> Predictions | None:
    """Reads the predictions of a run's test jets.

    Args:
      run: opened.

    Returns:
      The predictions; None of a run of an older hepjax that did not keep them, or whose training has not ended.

    Raises:
      InputError: they are damaged.
    """
    if not run.measured:
        return None
    test = predictions.read_predictions(run.folder / TEST, run.experiment.task)
    columns = run.experiment.task.columns(run.dataset)
    if test.columns != columns:
        raise InputError(
            f"{run.folder / TEST}: is of another training: its columns are {', '.join(test.columns)}, those of the run "
            f"{', '.join(columns)}"
        )
    return test


@contextlib.contextmanager
def presenting(run: Run) -> Iterator[None]:
    """Converts errors in figures of merit without a checksum, those of an older hepjax, to an InputError of one line.

    Args:
      run: that is shown.

    Yields:
      Nothing.

    Raises:
      InputError: a figure of merit is missing, or is not what it should be.
    """
    try:
        yield
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{run.folder}: damaged, its files do not fit together ({error!r:.200}); train again"
        ) from error


def finished_files(experiment: Experiment, record: Mapping[str, Any]) -> tuple[str, ...]:
    """Names the files of a finished training, which have checksums in experiment.json.

    Args:
      experiment: the options.
      record: what experiment.json holds: whether the training is one of several, and whether it diverged.
    """
    if "imported" in record:
        return (BEST,)
    measured = () if _is_lost(record) else (METRICS, TEST)
    common = (HISTORY, trained_jets.FILE, *measured)
    if ensembles.asks_for_ensemble(experiment):
        return (LAST, *common, *(f"{name}/{EXPERIMENT}" for name in ensembles.member_names(experiment)))
    return (BEST, *(() if "member" in record else (LAST,)), *common)


def _is_lost(record: Mapping[str, Any]) -> bool:
    """Returns whether a training is one of several that diverged, so that it has not been measured."""
    return record.get("member") in record.get("diverged", {})


def _open(folder: Path, whole: Run | None, known: tuple[Experiment, dict[str, Any]] | None = None) -> Run:
    """Opens the folder of one training, or that of several without the members'."""
    experiment, record = run_folder.read_experiment(folder) if known is None else known
    dataset, path, task = run_folder.dataset_of_run(record), folder / EXPERIMENT, experiment.task
    with _fits(path):
        columns = task.columns(dataset)
        pipeline = make_task_pipeline(experiment.model, task, dataset)
    if list(record.get("outputs") or columns) != list(columns):
        raise InputError(f"{path}: damaged, its outputs are {record['outputs']}, its task's {columns}; train again")
    if whole is not None:
        _check_member(folder, experiment, record, whole)
    identity, files = record.get("identity"), record.get("files")
    if files is not None:
        _check_files(folder, files, finished_files(experiment, record))
    network = None if ensembles.asks_for_ensemble(experiment) else _read_network(folder, experiment, pipeline, identity)
    if network is not None and record.get("cost"):
        _check_cost(path, record["cost"], network)
    needed = LAST in files if files is not None else identity is not None and "member" not in record
    if needed or (folder / LAST).exists():
        training.check_ensemble(folder / LAST, identity)
    imported = "imported" in record
    begun = not imported and (network is not None or (folder / HISTORY).exists())
    history = records.read_history(folder / HISTORY) if begun else ()
    trained = trained_jets.read(folder, identity)
    run = Run(folder, experiment, record, dataset, history, None, network, (), measured=False, trained=trained)
    lost = _is_lost(record) or (whole is not None and folder.name in whole.record.get("diverged", {}))
    if network is not None and not lost:
        _check_finite(folder / BEST, network)
    if lost or imported or not _has_ended(run):
        return run
    measured = files is not None or (folder / TEST).exists()
    if measured:
        predictions.check_header(folder / TEST, task, columns)
    return run._replace(metrics=_read_metrics(run), measured=measured)


def _has_ended(run: Run) -> bool:
    """Returns whether a training has ended; of an older hepjax, whether it has been measured."""
    return "files" in run.record or ("identity" not in run.record and (run.folder / METRICS).exists())


@contextlib.contextmanager
def _fits(path: Path) -> Iterator[None]:
    """Names the file whose options and dataset do not go together."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: damaged, {error}") from error


def _check_member(folder: Path, experiment: Experiment, record: Mapping[str, Any], whole: Run) -> None:
    """Refuses a folder that is not of one of the trainings of a run."""
    same = (experiment.model, experiment.task) == (whole.experiment.model, whole.experiment.task)
    same = same and not ensembles.asks_for_ensemble(experiment) and run_folder.dataset_of_run(record) == whole.dataset
    if not same or record.get("member", folder.name) != folder.name:
        raise InputError(f"{folder}: is of another training than {whole.folder}; copy the whole folder of the run")


def _check_files(folder: Path, files: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Refuses a folder of which a file is not what it was when the training ended."""
    if {*files, trained_jets.FILE} != {*names, trained_jets.FILE}:  # an older hepjax did not write it
        raise InputError(
            f"{folder / EXPERIMENT}: damaged, it has checksums of {', '.join(files) or 'no file'}, expected those of "
            f"{', '.join(names)}; train again"
        )
    for name in files:
        if records.checksum(folder / name) != files[name]:
            raise InputError(
                f"{folder / name}: damaged, or of another training: its checksum is not the one in {EXPERIMENT}; "
                "train again, or copy the whole folder of the run"
            )


def _read_network(
    folder: Path, experiment: Experiment, pipeline: InputPipeline, identity: str | None
) -> TrainedNetwork:
    """Reads the network of the best epoch; shapes alone are the template, so that nothing is drawn or compiled."""
    task, path = experiment.task, folder / BEST
    with _fits(folder / EXPERIMENT):
        params, model_state = models.check_size(
            lambda: pipelines.initialize_from_example(pipeline, jax.random.key(0)), experiment.model.label()
        )
    model_state = models.without_steps(model_state)
    blank = packing.blank_target_statistics((*task.statistics_names, *task.reference_names))
    template = (params, packing.add_target_statistics(model_state, blank), pipelines.blank_scaling(pipeline))
    params, model_state, scaling = training.restore(path, template, identity)
    model_state, statistics = packing.split_target_statistics(model_state)
    return TrainedNetwork(pipeline, params, model_state, scaling, experiment.precision, statistics)


def _check_finite(path: Path, network: TrainedNetwork) -> None:
    """Refuses parameters that are no numbers, which a training that has not diverged does not have."""
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((network.params, network.scaling))):
        raise InputError(f"{path}: damaged, it has numbers that are not finite; train again")


def _check_cost(path: Path, cost: Mapping[str, int], network: TrainedNetwork) -> None:
    size = sum(leaf.size for leaf in jax.tree.leaves(network.params))
    if {*cost} != {*models.Cost._fields} or cost["parameters"] != size:
        raise InputError(f"{path}: damaged, its cost is {dict(cost)}, its model has {size} parameters; train again")


def _read_metrics(run: Run) -> dict[str, Any]:
    path = run.folder / METRICS
    metrics = records.read_metrics(path, run.experiment.task.figures)
    if list(metrics.get("classes", run.dataset.classes)) != list(run.dataset.classes):
        raise InputError(
            f"{path}: is of another training: its classes are {', '.join(metrics['classes'])}, those of the run "
            f"{', '.join(run.dataset.classes)}; train again"
        )
    best = metrics.get("best_epoch")
    if best is not None and not 1 <= best <= len(run.history):
        raise InputError(f"{path}: damaged, its best epoch is {best} of {len(run.history)}; train again")
    return metrics
