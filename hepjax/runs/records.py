"""Reads the JSON and CSV files of a run folder, and checks all values and types before they are used."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, TypedDict

from hepjax.errors import InputError, errors_of_reading
from hepjax.models.serialization import make_strict_converter
from hepjax.types import Epoch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import cattrs

FORMAT = 2
"""The format of experiment.json; a higher one comes from a newer hepjax, and 1, of version 0.1, has no checksums."""

_MOST_BYTES = 2**22
"""The most bytes of experiment.json; those that hepjax writes are a hundred times shorter."""
_MOST_FIGURES = 2**27
"""The most bytes of metrics.json and history.csv, which grow with the number of trainings and epochs."""
_DEEPEST = 16
"""The most levels of nested dicts and lists."""


class DatasetRecord(TypedDict, total=False):
    """A dataset, as `hepjax.data.dataset_json.dataset_to_json` writes it."""

    name: str
    particle_columns: tuple[str, ...]
    jet_columns: tuple[str, ...]
    classes: tuple[str, ...]
    features: tuple[str, ...]
    particle_features: tuple[str, ...]
    images: tuple[str, ...]
    background: tuple[str, ...]
    labels: dict[str, dict[str, Any]] | None
    weights: str | None
    roles: dict[str, str]
    units: dict[str, str]
    titles: dict[str, str]
    derived: dict[str, str]
    selection: str
    reweighting: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """The content of experiment.json; the contents of its dicts are checked elsewhere."""

    format: int
    command: str = ""
    experiment: dict[str, Any]
    """The options, from `run_folder`."""
    classes: tuple[str, ...]
    fingerprint: int
    """A checksum of the jets."""
    jets: dict[str, int] = dataclasses.field(default_factory=dict)
    """The number of jets in each part."""
    cut_flow: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    """data, val and test → each cut of a selection, in order → the number of jets that it left."""
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    """Of event weights the numbers of `jets` and of `effective` ones and the `negative` share; of reweighted training
    jets the shares `outside` of the bins and `unmatched` by another class, and the `effective_training` jets."""
    cost: dict[str, int] = dataclasses.field(default_factory=dict)
    devices: tuple[str, ...] = ()
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    """Package → its version."""
    dataset: DatasetRecord | None = None
    outputs: tuple[str, ...] | None = None
    """The columns of predictions."""
    members: tuple[str, ...] | None = None
    """The folders of several trainings at once; None of one."""
    member: str | None = None
    """The folder of one of several trainings at once; None of a single training, or of several together."""
    diverged: dict[str, str] = dataclasses.field(default_factory=dict)
    """The members that diverged, and how."""
    identity: str | None = None
    """The identity of the training, from `identity_of`; its checkpoints have the same."""
    imported: dict[str, str] | None = None
    """The name and the checksum of the file of weights that others trained; None of a training."""
    start_from: dict[str, str] | None = None
    """The folder of the network that the training started from, and the checksum of its parameters; None of none."""
    teacher: dict[str, str] | None = None
    """The folder or file of the model whose predictions were learned, and its checksum; None of none."""
    files: dict[str, str] | None = None
    """The checksum of each file that belongs to a finished training; None until it is finished."""


def read_json(path: Path, most: int = _MOST_BYTES) -> dict[str, Any]:
    """Reads a file of one JSON object.

    Args:
      path: the file.
      most: the bytes that it may have.

    Returns:
      Its dicts, lists, words and finite numbers.

    Raises:
      InputError: it is no such file.
    """
    try:
        tree = json.loads(read_bytes(path, most), parse_constant=_refuse_constant)
        problem = _problem(tree)
    except (RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        words = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{path}: damaged, not JSON ({words}); train again") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path}: damaged, expected a JSON object, found {type(tree).__name__}; train again")
    if problem:
        raise InputError(f"{path}: damaged, {problem}; train again")
    return tree


def read_bytes(path: Path, most: int) -> bytes:
    """Reads a whole regular file, and refuses pipes and devices, which may have no end.

    Args:
      path: the file.
      most: the bytes that it may have.

    Raises:
      InputError: there is no such file, it is something else, too long, or cannot be read.
    """
    _check_file(path)
    with errors_of_reading(path):
        if (size := path.stat().st_size) > most:
            raise InputError(f"{path}: expected at most {most:,} bytes, found {size:,}; train again")
        return path.read_bytes()


def checksum(path: Path) -> str:
    """Computes the SHA-256 of a file.

    Args:
      path: the file.

    Raises:
      InputError: there is no such file, or it cannot be read.
    """
    _check_file(path)
    with errors_of_reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_file(path: Path) -> None:
    with errors_of_reading(path):
        if not path.is_file():
            found = "something else" if path.exists() else "none"
            raise InputError(
                f"{path}: expected a file, found {found}; train again, or copy the whole folder of the run"
            )


def check_record(path: Path, tree: dict[str, Any]) -> Record:
    """Checks what experiment.json holds, by type.

    Args:
      path: the file, for messages.
      tree: from `read_json`.

    Returns:
      The record.

    Raises:
      InputError: a newer hepjax wrote it, or it is not whole.
    """
    version = tree.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise InputError(f"{path}: has format {version}, this hepjax knows up to {FORMAT}; upgrade hepjax")
    required = ("format", "experiment", "classes", "fingerprint")
    if missing := [name for name in required if name not in tree]:
        raise InputError(f"{path}: damaged, it lacks {' and '.join(missing)}; train again")
    known = {field.name: field for field in dataclasses.fields(Record)}
    if unknown := sorted({*tree} - {*known}):
        raise InputError(f"{path}: damaged, it has the unknown entry {unknown[0]!r:.80}; train again")
    try:
        record = _converter().structure(tree, Record)
    except Exception as error:  # cattrs raises many kinds for a file that hepjax did not write
        raise InputError(f"{path}: damaged, {describe(error)}; train again") from error
    counts = {**record.jets, **record.cost}
    if wrong := [name for name, count in counts.items() if not 0 <= count < 2**63]:
        raise InputError(f"{path}: damaged, its {wrong[0]} is {counts[wrong[0]]:.3g}; train again")
    if version == FORMAT and record.identity is None:
        raise InputError(f"{path}: damaged, it lacks identity; train again")
    return record


def identity_of(tree: Mapping[str, Any], experiment: Mapping[str, Any]) -> str:
    """Computes the identity of a training, a checksum of what it learns, from what, and how.

    Args:
      tree: what experiment.json holds.
      experiment: those of its options that may not change.

    Returns:
      64 hexadecimal digits.
    """
    names = ("classes", "fingerprint", "jets", "dataset", "outputs", "members", "member")
    parts = {"experiment": experiment, **{name: tree.get(name) for name in names}}
    for name in ("start_from", "teacher"):
        if known := tree.get(name):  # other records have the identity that they always had
            parts[name] = known.get("sha256")
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_history(path: Path) -> tuple[Epoch, ...]:
    """Reads history.csv.

    Args:
      path: the file.

    Returns:
      The epochs.

    Raises:
      InputError: it is not the history of a training.
    """
    expected = list(Epoch._fields)
    oldest = expected[:-1]
    try:
        names, *rows = csv.reader(read_bytes(path, _MOST_FIGURES).decode().splitlines())
        if names not in (expected, oldest):
            raise InputError(f"{path}: damaged, expected the columns {', '.join(expected)}; train again")
        history = tuple(Epoch(int(row[0]), *map(float, row[1:])) for row in rows if len(row) == len(names))
    except (csv.Error, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged, {error}; train again") from error
    if [row.epoch for row in history] != list(range(1, len(rows) + 1)):
        raise InputError(f"{path}: damaged, its epochs are not 1, 2, 3 …; train again")
    return history


def read_metrics(path: Path, kind: Any) -> dict[str, Any]:
    """Reads metrics.json, and checks it by the type that its task gives.

    Args:
      path: the file.
      kind: the type, a `TypedDict`.

    Returns:
      The figures of merit.

    Raises:
      InputError: a figure of merit is missing, or of another type.
    """
    metrics = read_json(path, _MOST_FIGURES)
    try:
        _converter().structure(metrics, kind)
    except Exception as error:  # cattrs raises many kinds for a file that hepjax did not write
        raise InputError(f"{path}: damaged, {describe(error)}; train again") from error
    return metrics


def describe(error: Exception) -> str:
    """Describes in one line what cattrs found.

    Args:
      error: that it raised.
    """
    from cattrs import transform_error

    try:
        return "; ".join(transform_error(error))[:300]
    except Exception:  # noqa: BLE001 — not all errors are of the kinds that it knows
        return f"{error!r:.300}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _problem(tree: Any, level: int = 0) -> str:
    """Returns what is wrong with a tree, or ""."""
    if level > _DEEPEST:
        return f"it is nested more than {_DEEPEST} levels deep"
    if isinstance(tree, float) and not math.isfinite(tree):
        return "it has a number that is not finite"
    if isinstance(tree, int) and abs(tree) >= 2**63:
        return "it has a number of more than 63 bits"
    inside = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return next(filter(None, (_problem(each, level + 1) for each in inside)), "")


@functools.cache
def _converter() -> cattrs.Converter:
    return make_strict_converter(forbid_extra_keys=False)
