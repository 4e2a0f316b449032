"""What `hepjax.train` is given in Python → the options of an experiment."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import models, training
from hepjax.choices import Optimizer
from hepjax.data import datasets
from hepjax.data.lazy_jets import LazyJets
from hepjax.data.readers import read_jets
from hepjax.data.remote import path_of
from hepjax.data.validation import check_jets
from hepjax.data.writing import write_jets
from hepjax.errors import InputError
from hepjax.inputs import open_files
from hepjax.models import MODELS, Model
from hepjax.registry import similar_names_hint
from hepjax.runs.options import Experiment, Optimization, default_model
from hepjax.runs.recipes import recipe_options
from hepjax.tasks import TASKS, Task, default_task
from hepjax.types import Jets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepjax.choices import Recipe

    Files = str | Path | Sequence[str | Path]

_OF_MODULES = ("inputs", "columns", "particles")
"""Options that belong to a Flax module of one's own; `hepjax.models.from_flax` takes them."""
_OF_ANY_OPTIMIZER = ("average", "pieces", "penalties")
"""Options of the optimizer that one of a user's own does not bring itself."""


def experiment_options(
    options: Mapping[str, Any], recipe: str | Recipe | None, known: Experiment | None
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Sorts the options of `hepjax.train`.

    Args:
      options: fields of an `Experiment`, of its optimizer, and what says how a Flax module is called.
      recipe: has those not given.
      known: the run to go on with, whose optimizer stays what it is where it is not given; None of a new one.

    Returns:
      Fields of an `Experiment`; those of `hepjax.models.from_flax`; and an optax transformation, or None.

    Raises:
      InputError: an option is unknown, or contradicts another one.
    """
    own = {field.name for field in dataclasses.fields(Experiment)} - {"model", "task", "out", "data", "val", "test"}
    optimization = {field.name for field in dataclasses.fields(Optimization)} - own
    for name in options:
        if name not in (names := own | optimization | {*_OF_MODULES}):
            raise InputError(f"train: has no option {name}; {similar_names_hint(name, sorted(names))}")
    if known is not None and recipe is not None:
        raise InputError("recipe: a run goes on with the options that it was begun with; leave it out")
    fields = recipe_options(recipe) | {name: value for name, value in options.items() if name in own}
    if fields.get("start_from") is not None:
        fields["start_from"] = Path(fields["start_from"])
    of_optimizer = {name: value for name, value in options.items() if name in optimization}
    transformation = options.get("optimizer")
    if training.is_transformation(transformation):
        if wrong := sorted(of_optimizer.keys() - {*_OF_ANY_OPTIMIZER}):
            raise InputError(f"{wrong[0]}: an optimizer of your own has its own; leave it out")
        fields["optimizer"] = Optimization(name=Optimizer.OWN)
    else:
        transformation = None
    if not isinstance(given := fields.get("optimizer", Optimization()), Optimization):
        raise InputError(
            "optimizer: expected a transformation of optax, such as optax.adam(1e-3), or a "
            f'hepjax.options.Optimization, found {given!r:.60}; one of hepjax is named by name=, such as name="adamw"'
        )
    if of_optimizer:
        before = fields.get("optimizer", Optimization() if known is None else known.optimizer)
        fields["optimizer"] = dataclasses.replace(before, **of_optimizer)
    return fields, {name: options[name] for name in _OF_MODULES if name in options}, transformation


def choose_model(model: Any, known: Model | None, of_module: Mapping[str, Any]) -> Model:
    """Returns the model to train.

    Args:
      model: a name, a model, a Flax module of one's own, or None.
      known: that of the run to go on with or to start from, whose options stand where it is only named; None of none.
      of_module: what `hepjax.models.from_flax` takes beside the module.

    Raises:
      InputError: it is none of these, or does not take `of_module`.
    """
    if model is None:
        chosen = default_model() if known is None else known
    elif isinstance(model, str):
        named = known is not None and MODELS.name_of(type(known)) == model
        chosen = known if named and known is not None else MODELS.get(model)()
    elif isinstance(model, Model):
        chosen = model
    else:
        return models.from_flax(model, **of_module)
    if of_module:
        raise InputError(
            f"{next(iter(of_module))}: is for Flax modules of your own; {chosen.label()} has options of its own, as in "
            f"hepjax.models.{type(chosen).__name__}(…)"
        )
    return chosen


def choose_task(task: str | Task | None, known: Task | None) -> Task:
    """Returns what shall be learned.

    Args:
      task: a name, a task, or None.
      known: that of the run to go on with; None of a new one.

    Raises:
      InputError: there is no such task.

    >>> choose_task(None, None) == choose_task("classification", None)
    True
    """
    if task is None:
        return default_task() if known is None else known
    if isinstance(task, str):
        named = known is not None and TASKS.name_of(type(known)) == task
        chosen: Task = known if named and known is not None else TASKS.get(task)()
        return chosen
    return task


def files_of_jets(
    jets: Jets | Files | None, new: Path, *, goes_on: bool = False
) -> tuple[tuple[Path, ...], str | None]:
    """Names the files of jets; jets that no files give like this are written to a new one.

    Args:
      jets: jets, files, or None.
      new: where to write jets that are in memory.
      goes_on: they are those of a run that goes on, which wrote them there.

    Returns:
      The files, and the name of their dataset where it is known.

    Raises:
      InputError: the jets are not valid, or not those that the run wrote.
    """
    if jets is None:
        return (), None
    if not isinstance(jets, Jets):
        return tuple(map(path_of, [jets] if isinstance(jets, str | Path) else jets)), None
    check_jets(jets)
    if isinstance(jets, LazyJets):
        paths = tuple(file.header.path for file in jets.store.files)
        name = jets.dataset.name if jets.dataset.name in datasets.DATASETS.names() else None
        again = open_files.open_jets(paths, dataset=name)
        if again.dataset == jets.dataset and again.constituents.shape == jets.constituents.shape:
            return paths, name
    if goes_on and new.exists():
        if not _same_jets(jets, read_jets(new)):
            raise InputError(f"jets: are not those that the run was begun with, which lie in {new}; leave them out")
        return (new,), None
    new.parent.mkdir(parents=True, exist_ok=True)
    write_jets(new, jets)
    return (new,), None


def _same_jets(jets: Jets, written: Jets) -> bool:
    names = ("constituents", "mask", "observables", "labels", "weights")
    return jets.dataset.classes == written.dataset.classes and all(
        np.array_equal(np.asarray(getattr(jets, name)), np.asarray(getattr(written, name)))
        for name in names
        if getattr(jets, name) is not None
    )
