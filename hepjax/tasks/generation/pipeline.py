"""What a generator of observables sees of jets: coordinates and the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data import datasets
from hepjax.errors import InputError
from hepjax.inputs import tabular
from hepjax.inputs.pipelines import InputPipeline
from hepjax.models import CouplingFlow
from hepjax.tasks.generation.networks import ObservableGenerator
from hepjax.tasks.generation.preparation import COORDINATES, check_observables, to_coordinates
from hepjax.types import Conditioned, Moments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.models import Model
    from hepjax.types import Jets


UNLABELED = ("jets",)
"""The classes of files without labels: all jets are of one."""


def observables() -> tuple[str, ...]:
    """Returns the names of the jet columns that are generated."""
    names: tuple[str, ...] = datasets.get("hls4ml").features
    return names


def make_generator_pipeline(model: Model, classes: Sequence[str]) -> InputPipeline:
    """Makes the pipeline of a generator of observables.

    Args:
      model: a flow or an autoencoder.
      classes: the names of the classes to learn.
    """
    options: dict[str, Any] = {"conditions": len(classes)} if isinstance(model, CouplingFlow) else {}
    network = ObservableGenerator(network=model.clone(outputs=COORDINATES, **options), classes=len(classes))

    def load(jets: Jets, rows: slice | np.ndarray) -> Conditioned:
        labels = read_generator_labels(jets, rows, classes)
        if labels is None:
            raise InputError("labels: a generator asks for the class of each jet; give jets with labels")
        x = check_observables(tabular(jets, observables(), rows=rows))
        return Conditioned(to_coordinates(x).astype(np.float32), labels[:, None].astype(np.float32))

    return InputPipeline(
        network=network,
        load=load,
        statistics=lambda _: Moments(1, np.zeros(0), np.zeros(0)),
        transform=lambda _, x: x,
        example=Conditioned(np.zeros((1, COORDINATES), np.float32), np.zeros((1, 1), np.float32)),
        columns=observables(),
        scaled=0,
    )


def read_generator_labels(jets: Jets, rows: slice | np.ndarray, classes: Sequence[str]) -> np.ndarray | None:
    """Reads the classes of some jets.

    Args:
      jets: lazy or in memory.
      rows: of the n jets.
      classes: the names of the classes to learn.

    Returns:
      (n,) int32 indices into `classes`, −1 for jets of others; None where there are no labels, unless all jets are
      learned alike.
    """
    if jets.labels is None:
        count = len(range(len(jets))[rows]) if isinstance(rows, slice) else len(rows)
        return np.zeros(count, np.int32) if tuple(classes) == UNLABELED else None
    places = [classes.index(name) if name in classes else -1 for name in jets.classes]
    labels: np.ndarray = np.array(places, np.int32)[np.asarray(jets.labels[rows])]
    return labels
