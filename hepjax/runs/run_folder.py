"""The run folder: what a training leaves on disk, and how it is read back."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepjax import tasks
from hepjax.choices import Optimizer
from hepjax.data import datasets
from hepjax.data.atomic_files import check_new, write_text
from hepjax.data.descriptions import is_description
from hepjax.data.remote import path_of
from hepjax.errors import InputError
from hepjax.models.serialization import from_json, make_strict_converter, to_json
from hepjax.registry import import_plugin
from hepjax.runs import options, records
from hepjax.types import Dataset, Epoch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import cattrs

_PLACE = ("devices", "memory", "coordinator", "processes", "process", "cluster", "profile", "tensorboard")
"""Options that say where a run is trained; it may go on elsewhere."""
_MAY_CHANGE = ("data", "val", "test", "out", "epochs", "plugins", "resume", "start_from", *_PLACE)
"""Options that may differ where a training goes on, or where its folder or its jets have been moved."""
_CLASSIFICATION = {"name": "classification"}
_OF_CLASSIFICATION = ("insensitive", "balance")
"""Options of classification that stood beside those of the experiment in version 0.1, which knew no other task."""
_OF_ANY_OPTIMIZER = ("name", "average", "pieces", "penalties")
_PACKAGES = ("hepjax", "jax", "jaxlib", "flax", "optax", "numpy", "h5py")


def create_run_folder(experiment: options.Experiment) -> Path:
    """Makes the folder of a new run.

    Args:
      experiment: its options.

    Returns:
      The folder: `experiment.out`, or the next free one under runs/.

    Raises:
      InputError: the folder exists, or cannot be made.
    """
    if experiment.out is not None:
        _make_run_folder(experiment.out)
        return experiment.out
    name, number = experiment.model.label(), 1
    while True:
        try:
            folder = Path("runs") / f"{name}-{number}"
            _make_run_folder(folder)
        except InputError:
            if not folder.exists():
                raise
            number += 1
        else:
            return folder


def with_absolute_paths(experiment: options.Experiment) -> options.Experiment:
    """The same experiment with whole paths of its files, so that it can be repeated from any folder.

    Args:
      experiment: the options.

    Returns:
      The options.
    """
    paths = {name: tuple(p.resolve() for p in getattr(experiment, name)) for name in ("data", "val", "test", "plugins")}
    described = experiment.dataset is not None and is_description(experiment.dataset)
    dataset = str(Path(experiment.dataset or "").resolve()) if described else experiment.dataset
    start = None if experiment.start_from is None else experiment.start_from.resolve()
    return dataclasses.replace(experiment, dataset=dataset, start_from=start, **paths)  # type: ignore[arg-type]


def _make_run_folder(folder: Path) -> None:
    check_new(folder)
    try:
        (folder / "checkpoints").mkdir(parents=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made ({error.strerror}); give another name") from error


def write_experiment(folder: Path, experiment: options.Experiment, found: dict[str, Any]) -> str:
    """Writes experiment.json: everything needed to repeat the run.

    Args:
      folder: of the run.
      experiment: the options.
      found: what the run found out: classes, jets, fingerprint of the data, devices.

    Returns:
      The identity of the training, which its checkpoints are given.
    """
    record = {
        "format": records.FORMAT,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "experiment": _experiment_to_json(experiment),
        **found,
        "versions": {name: metadata.version(name) for name in _PACKAGES} | {"python": platform.python_version()},
    }
    record = json.loads(json.dumps(record))
    record["identity"] = records.identity_of(record, _what_stays(record["experiment"]))
    _write_record(folder, record)
    identity: str = record["identity"]
    return identity


def change_record(
    folder: Path,
    entries: dict[str, Any],
    epochs: tuple[int, int | None] | None = None,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Changes entries of experiment.json, which leave the identity of the training as it is.

    Args:
      folder: of the run.
      entries: JSON values by name, which replace those of the same names; None takes one out.
      epochs: how many to train, and those of the schedule; None leaves them as they are.
      record: what the file holds, where it was read before; None reads it.
    """
    record = {**(records.read_json(folder / "experiment.json") if record is None else record), **entries}
    if epochs is not None:
        asked = record["experiment"]
        optimizer = asked["optimizer"] | {"schedule_epochs": epochs[1]}
        record["experiment"] = asked | {"epochs": epochs[0], "optimizer": optimizer}
    _write_record(folder, {name: value for name, value in record.items() if value is not None or name not in entries})


def seal(folder: Path, names: Sequence[str]) -> None:
    """Writes the checksums of all files of a finished training into experiment.json.

    Args:
      folder: of the run.
      names: of the files, relative to it.
    """
    change_record(folder, {"files": {name: records.checksum(folder / name) for name in names}})


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    write_text(folder / "experiment.json", json.dumps(record, indent=2) + "\n")


def _what_stays(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The options, as JSON, that a training keeps wherever and however long it goes on."""
    optimizer = tree.get("optimizer")
    kept = {name: value for name, value in tree.items() if name not in _MAY_CHANGE}
    if isinstance(optimizer, dict):
        kept["optimizer"] = {name: value for name, value in optimizer.items() if name != "schedule_epochs"}
    return kept


def is_run_folder(folder: Path) -> bool:
    """Returns whether a folder is that of a run, whole or not.

    >>> is_run_folder(Path("no-such-folder"))
    False
    """
    path = folder / "experiment.json"
    return path.exists() or path.is_symlink() or (folder / "checkpoints").is_dir()


def read_experiment(folder: Path) -> tuple[options.Experiment, dict[str, Any]]:
    """Reads experiment.json alone; `stored.open_run` reads the whole folder.

    Args:
      folder: of a run.

    Returns:
      The options, and the whole record.

    Raises:
      InputError: the folder is not a run's, is damaged, or is from a newer hepjax.
    """
    path = folder / "experiment.json"
    if not path.exists() and not path.is_symlink():
        raise InputError(f"{folder}: not the folder of a run, it has no experiment.json; give one made by hepjax train")
    record = records.read_json(path)
    typed = records.check_record(path, record)
    try:
        experiment = _experiment_from_json(record["experiment"])
        options.check(experiment)
    except InputError as error:  # of a plug-in, a model or an option
        raise InputError(f"{path}: {error}; models of your own need --plugins FILE.py, or their package") from error
    except Exception as error:  # whatever cattrs says of a file that was not written by hepjax
        raise InputError(f"{path}: damaged, {records.describe(error)}; train again") from error
    try:
        dataset = dataset_of_run(record)
    except InputError as error:
        raise InputError(f"{path}: damaged, {error}") from error
    if list(dataset.classes) != record["classes"]:
        raise InputError(
            f"{path}: damaged, its classes are {', '.join(typed.classes)}, those of its dataset "
            f"{', '.join(dataset.classes)}; train again"
        )
    if typed.identity not in {None, records.identity_of(record, _what_stays(record["experiment"]))}:
        raise InputError(f"{path}: was changed since it was written, its checksum does not match; train again")
    return experiment, record


def resumable_experiment(folder: Path | None) -> options.Experiment:
    """The options of a run, to go on with.

    Args:
      folder: of the run.

    Returns:
      Its options, with `resume` set; where it runs is as by default, for it may be another place.

    Raises:
      InputError: there is no such run.
    """
    return _elsewhere(read_experiment(resumable_folder(folder))[0], folder)


def resumable_folder(out: Path | None) -> Path:
    """Returns the folder of a run to go on with; raises InputError where none is named."""
    if out is None:
        raise InputError("--resume: needs --out DIR, the folder of the run to go on with")
    return out


def _elsewhere(saved: options.Experiment, folder: Path | None) -> options.Experiment:
    """The options of a run without where it was trained."""
    new = options.Experiment()
    here = {name: getattr(new, name) for name in _PLACE}
    return dataclasses.replace(saved, out=folder, resume=True, **here)


def check_same_experiment(given: options.Experiment, own: options.Experiment) -> None:
    """Refuses to go on with a run under other options than its own.

    Args:
      given: the options, of which `epochs` and where it runs may differ from those of the run in `given.out`.
      own: those of the run.

    Raises:
      InputError: an option differs.
    """
    saved, now = (
        _flat_options(_experiment_to_json(_elsewhere(own, given.out))),
        _flat_options(_experiment_to_json(with_absolute_paths(given))),
    )
    # Names come first: the other options differ where they do.
    for name in sorted({*saved, *now}, key=lambda name: (not name.endswith(".name"), name)):
        free = name == "optimizer.schedule_epochs" or name.split(".")[0] in {"epochs", "plugins", "start_from", *_PLACE}
        if saved.get(name) != now.get(name) and not free:
            raise InputError(
                f"--resume: {name} was {saved.get(name)} in {given.out} and is {now.get(name)} now; "
                "leave the option out, or start a new run"
            )


def _flat_options(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat_options(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def write_history(folder: Path, history: Sequence[Epoch]) -> None:
    """Writes history.csv and history.jsonl, one line an epoch.

    Args:
      folder: of the run.
      history: its epochs; what is not finite is null in the JSON.
    """
    rows = [",".join(Epoch._fields), *(",".join(map(repr, row)) for row in history)]
    write_text(folder / "history.csv", "\n".join(rows) + "\n")
    lines = [json.dumps({k: v if math.isfinite(v) else None for k, v in row._asdict().items()}) for row in history]
    write_text(folder / "history.jsonl", "".join(f"{line}\n" for line in lines))


def dataset_of_run(record: Mapping[str, Any]) -> Dataset:
    """Returns what the columns of a run's jets mean.

    Args:
      record: what experiment.json holds; runs of version 0.1, which knew one dataset, say nothing of it.

    >>> dataset_of_run({}).name
    'hls4ml'
    """
    if "dataset" not in record:
        return datasets.get("hls4ml")
    from hepjax.data.dataset import check_dataset  # it brings numpy, which help must not wait for
    from hepjax.data.dataset_json import dataset_from_json

    dataset = dataset_from_json(record["dataset"])
    check_dataset(dataset)
    return dataset


def _experiment_to_json(experiment: options.Experiment) -> dict[str, Any]:
    """The options as JSON's types."""
    rest = dataclasses.replace(experiment, model=None, task=None)  # type: ignore[arg-type]
    tree: dict[str, Any] = _experiment_converter().unstructure(rest)
    if experiment.optimizer.name is Optimizer.OWN:  # whose rate is not known here
        tree["optimizer"] = {name: x for name, x in tree["optimizer"].items() if name in _OF_ANY_OPTIMIZER}
    return tree | {"model": to_json(experiment.model), "task": tasks.to_json(experiment.task)}


def _experiment_from_json(tree: dict[str, Any]) -> options.Experiment:
    """Reads the options; the run's plug-ins are imported first, for its model may be one of theirs."""
    plugins = tree.get("plugins", [])
    if not isinstance(plugins, list) or not all(isinstance(plugin, str) for plugin in plugins):
        raise InputError(f"plugins: expected a list of files, found {plugins!r:.80}")
    for plugin in plugins:
        import_plugin(Path(plugin))
    rest = {key: value for key, value in tree.items() if key not in _OF_CLASSIFICATION}
    of_task = {key: value for key, value in tree.items() if key in _OF_CLASSIFICATION}
    task = tasks.from_json({"name": "classification", **of_task} if of_task else tree.get("task", _CLASSIFICATION))
    experiment = _experiment_converter().structure({**rest, "model": None, "task": None}, options.Experiment)
    model = from_json(tree["model"]) if "model" in tree else experiment.model
    return dataclasses.replace(experiment, task=task, model=model)


@functools.cache
def _experiment_converter() -> cattrs.Converter:
    converter = make_strict_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Path, str)
    converter.register_structure_hook(Path, lambda value, _: path_of(converter.structure(value, str)))
    return converter


def description_of_run(experiment: options.Experiment, dataset: Dataset) -> Dataset | str | None:
    """Returns what the columns of files mean that are opened for a run again.

    Args:
      experiment: the options of the run.
      dataset: of its jets, as it is recorded; a file that described it may have changed or gone.

    >>> description_of_run(options.Experiment(dataset="jetclass"), Dataset("jetclass"))
    'jetclass'
    """
    if experiment.dataset is None or not is_description(experiment.dataset):
        return experiment.dataset
    return dataset
