"""The run folder: what a training leaves on disk, and how it is read back."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepjax import options
from hepjax.errors import InputError
from hepjax.types import Epoch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import cattrs

FORMAT = 1
"""Of experiment.json; a folder with a higher number comes from a newer hepjax."""

_MODELS = {"logistic": options.Logistic, "mlp": options.MLP}
_PACKAGES = ("hepjax", "jax", "jaxlib", "flax", "optax", "numpy", "h5py")


def model_name(model: options.Logistic | options.MLP) -> str:
    """The model's name on the command line.

    >>> model_name(options.MLP())
    'mlp'
    """
    return next(name for name, kind in _MODELS.items() if type(model) is kind)


def create(experiment: options.Experiment) -> Path:
    """Makes the folder of a new run.

    Args:
      experiment: its options.

    Returns:
      The folder: `experiment.out`, or the next free one under runs/.

    Raises:
      InputError: the folder exists, or cannot be made.
    """
    if experiment.out is not None:
        _make(experiment.out)
        return experiment.out
    name, number = model_name(experiment.model), 1
    while True:
        try:
            folder = Path("runs") / f"{name}-{number}"
            _make(folder)
        except InputError:
            if not folder.exists():
                raise
            number += 1
        else:
            return folder


def absolute(experiment: options.Experiment) -> options.Experiment:
    """The same experiment with whole paths of its files, so that it can be repeated from any folder.

    Args:
      experiment: the options.

    Returns:
      The options.
    """
    paths = {name: tuple(p.resolve() for p in getattr(experiment, name)) for name in ("data", "val", "test")}
    return dataclasses.replace(experiment, **paths)  # type: ignore[arg-type]


def check_new(folder: Path | None, remedy: str = "give another name") -> None:
    """Refuses a folder that exists, before any work is done.

    Args:
      folder: where results are to go; None is a new folder anyway.
      remedy: what the user can do.

    Raises:
      InputError: it exists.
    """
    if folder is not None and folder.exists():
        raise InputError(f"--out {folder}: exists already; {remedy}")


def _make(folder: Path) -> None:
    check_new(folder)
    try:
        (folder / "checkpoints").mkdir(parents=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be made ({error.strerror}); give another name") from error


def write_experiment(folder: Path, experiment: options.Experiment, found: dict[str, Any]) -> None:
    """Writes experiment.json: everything needed to repeat the run.

    Args:
      folder: of the run.
      experiment: the options.
      found: what the run found out: features, classes, split, files, devices.
    """
    record = {
        "format": FORMAT,
        "command": " ".join(["hepjax", *sys.argv[1:]]) if Path(sys.argv[0]).name == "hepjax" else " ".join(sys.argv),
        "experiment": _converter().unstructure(experiment),
        **found,
        "versions": {name: metadata.version(name) for name in _PACKAGES} | {"python": platform.python_version()},
    }
    write_text(folder / "experiment.json", json.dumps(record, indent=2) + "\n")


def read_experiment(folder: Path) -> tuple[options.Experiment, dict[str, Any]]:
    """Reads experiment.json.

    Args:
      folder: of a run.

    Returns:
      The options, and the whole record.

    Raises:
      InputError: the folder is not a run's, or is from a newer hepjax.
    """
    path = folder / "experiment.json"
    if not path.is_file():
        raise InputError(f"{folder}: not the folder of a run, it has no experiment.json; give one made by hepjax train")
    try:
        record = json.loads(path.read_text())
        newer = record["format"] > FORMAT
        experiment = None if newer else _converter().structure(record["experiment"], options.Experiment)
    except Exception as error:  # whatever json and cattrs say of a file that was not written by hepjax
        raise InputError(f"{path}: damaged ({error!r}); train again") from error
    if experiment is None:
        made, own = record.get("versions", {}).get("hepjax", "?"), metadata.version("hepjax")
        raise InputError(f"{path}: made by hepjax {made}, which is newer than this {own}; upgrade hepjax")
    return experiment, record


def resumed(given: options.Experiment) -> options.Experiment:
    """The options of the run in `given.out`, to go on with.

    Args:
      given: the options on the command line. All but `epochs` must be those of the run or be left out.

    Returns:
      The options of the run, with the number of epochs given now if one was given.

    Raises:
      InputError: there is no such run, or an option differs from the run's.
    """
    if given.out is None:
        raise InputError("--resume: needs --out DIR, the folder of the run to go on with")
    saved, _ = read_experiment(given.out)
    given = absolute(given)
    default, changed, plain = options.Experiment(), {}, _converter().unstructure
    for field in dataclasses.fields(given):
        now, then = getattr(given, field.name), getattr(saved, field.name)
        if now in (then, getattr(default, field.name)) or field.name in ("out", "resume"):
            continue
        if field.name != "epochs":
            raise InputError(
                f"--resume: {field.name} was {plain(then)} in {given.out} and is {plain(now)} now; "
                "leave the option out, or start a new run"
            )
        changed["epochs"] = now
    options.check(dataclasses.replace(saved, **changed))
    return dataclasses.replace(saved, out=given.out, resume=True, **changed)


def write_history(folder: Path, history: Sequence[Epoch]) -> None:
    """Writes history.csv, one row an epoch.

    Args:
      folder: of the run.
      history: its epochs.
    """
    rows = [",".join(Epoch._fields), *(",".join(map(repr, row)) for row in history)]
    write_text(folder / "history.csv", "\n".join(rows) + "\n")


def read_history(folder: Path) -> tuple[Epoch, ...]:
    """Reads history.csv.

    Args:
      folder: of a run.

    Returns:
      Its epochs.
    """
    with (folder / "history.csv").open(newline="") as file:
        return tuple(
            Epoch(int(row.pop("epoch")), **{k: float(v) for k, v in row.items()}) for row in csv.DictReader(file)
        )


def write_text(path: Path, text: str) -> None:
    """Writes a text file so that it is either whole or what it was.

    Args:
      path: the file.
      text: its new content.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@functools.cache
def _converter() -> cattrs.Converter:
    """Options to JSON and back; a model is told by its name on the command line."""
    from cattrs.preconf.json import make_converter
    from cattrs.strategies import configure_tagged_union

    converter = make_converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Path, str)
    converter.register_structure_hook(Path, lambda value, _: Path(value))
    names = {kind: name for name, kind in _MODELS.items()}
    configure_tagged_union(options.Model, converter, tag_name="name", tag_generator=names.__getitem__)
    return converter
