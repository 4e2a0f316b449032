"""The registry of tasks: `TASKS.get("regression")` is the class `Regression`; a user's own tasks join by `register`."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError
from hepjax.models.serialization import make_strict_converter
from hepjax.registry import Registry, similar_names_hint

if TYPE_CHECKING:
    import cattrs

    from hepjax.tasks.task import Task

TASKS: Registry[Any] = Registry("task", package="hepjax.tasks", entry_points="hepjax.tasks")
"""Name → subclass of `hepjax.tasks.Task`."""

register = TASKS.register

DEFAULT = "classification"
"""Name of the task where none is named, and of all runs and scores files of version 0.1."""


def default_task() -> Task:
    """Returns the task where none is named, with its default options."""
    task: Task = TASKS.get(DEFAULT)()
    return task


def to_json(task: Task) -> dict[str, Any]:
    """Returns a task's name and options as JSON's types.

    Args:
      task: of a registered class.

    Raises:
      InputError: the class is not registered, or JSON cannot hold an option.

    >>> from hepjax.tasks.regression import Regression
    >>> to_json(Regression(target=("j_mass",)))["target"]
    ['j_mass']
    """
    tree = {"name": TASKS.name_of(type(task)), **_task_converter().unstructure(task)}
    try:
        plain: dict[str, Any] = json.loads(json.dumps(tree))
    except TypeError as error:
        raise InputError(
            f"task {tree['name']}: an option cannot be saved as JSON ({error}); give plain values"
        ) from error
    return plain


def from_json(tree: Mapping[str, Any]) -> Task:
    """Returns the task of a name and options.

    Args:
      tree: from `to_json`; options that are missing have their defaults.

    Raises:
      InputError: the name or an option is unknown, or a value does not fit.

    >>> from_json({"name": "regression", "targets": ["j_mass"]})
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: task regression: there is no option targets; did you mean target?
    """
    if not isinstance(tree, Mapping):
        raise InputError(f"task: expected its name and options, found {tree!r:.80}")
    options = dict(tree)
    if not isinstance(name := options.pop("name", None), str):
        raise InputError(f"task: expected a name, found {name!r}")
    kind = TASKS.get(name)
    known = tuple(field.name for field in dataclasses.fields(kind) if field.init)
    for key in options:
        if key not in known:
            raise InputError(f"task {name}: there is no option {key}; {similar_names_hint(key, known)}")
    try:
        task: Task = _task_converter().structure(options, kind)
    except Exception as error:  # whatever a type says of another one
        raise InputError(f"task {name}: {options!r:.80} does not fit its options ({error}); correct them") from error
    return task


@functools.cache
def _task_converter() -> cattrs.Converter:
    return make_strict_converter(forbid_extra_keys=True)
