"""The input of a generator of clouds: the hardest particles of a jet, its pT, mass and class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax import runtime
from hepjax.choices import Role
from hepjax.data import with_columns
from hepjax.errors import InputError
from hepjax.inputs import sequences
from hepjax.inputs.column_names import particle_sources
from hepjax.inputs.pipelines import InputPipeline
from hepjax.tasks.generation.cloud_encoding import CLOUD_COLUMNS, Clouds, check_clouds, cloud_columns, cloud_inputs
from hepjax.tasks.generation.cloud_networks import make_network
from hepjax.tasks.generation.pipeline import read_generator_labels
from hepjax.types import Conditioned, Moments, Sequences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.models import CloudVelocity
    from hepjax.types import Dataset, Jets

_ROLES = (Role.ETA_REL.value, Role.PHI_REL.value, Role.PT_REL.value)
_CONDITIONS = 4
_ROWS = 10_000  # jets whose particles are read at once


def make_pipeline(model: CloudVelocity, classes: Sequence[str]) -> InputPipeline:
    """Makes the pipeline of a generator of clouds.

    Args:
      model: the options.
      classes: the names of the classes to learn.
    """

    def load(jets: Jets, rows: slice | np.ndarray) -> Conditioned:
        labels = read_generator_labels(jets, rows, classes)
        if labels is None:
            raise InputError("labels: a generator asks for the class of each jet; give jets with labels")
        return cloud_inputs(read_clouds(jets, rows, model.particles)._replace(labels=labels))

    particles = Sequences(
        np.zeros((1, model.particles, len(CLOUD_COLUMNS)), np.float32), np.zeros((1, model.particles), bool)
    )
    return InputPipeline(
        network=make_network(model, len(classes)),
        load=load,
        statistics=lambda _: Moments(1, np.zeros(0), np.zeros(0)),
        transform=lambda _, x: x,
        example=Conditioned(particles, np.zeros((1, _CONDITIONS), np.float32)),
        columns=CLOUD_COLUMNS,
        scaled=0,
    )


def check_columns(dataset: Dataset, source: str) -> None:
    """Refuses files whose particles have no momenta, or whose jets have no pT.

    Args:
      dataset: of the jets.
      source: the files, for the message.

    Raises:
      InputError: names what is missing.
    """
    particle_sources(_ROLES, dataset, f"{source}: particles")
    if Role.JET_PT not in dataset.roles:
        raise InputError(
            f"{source}: no jet column has the role {Role.JET_PT.value}, which a generator of particles needs; say which"
            f" it is by a Dataset with roles={{Role.{Role.JET_PT.name}: …}}"
        )


def read_columns(jets: Jets, rows: np.ndarray, pipeline: InputPipeline) -> dict[str, np.ndarray]:
    """Reads the columns in which generated jets are compared with simulated ones.

    Args:
      jets: lazy jets.
      rows: (n,) of the jets of this process.
      pipeline: from `make_pipeline`.

    Returns:
      Name → (N,) or (N, P) float32, of the jets of all processes.
    """
    slots = pipeline.example.values.mask.shape[1]
    blocks = np.array_split(rows, max(len(rows) // _ROWS, 1))
    columns = [cloud_columns(read_clouds(jets, block, slots)) for block in blocks]
    return {name: runtime.gather(np.concatenate([of[name] for of in columns])) for name in columns[0]}


def read_clouds(jets: Jets, rows: slice | np.ndarray, particles: int) -> Clouds:
    """Reads the hardest particles of some jets.

    Args:
      jets: lazy or in memory.
      rows: of the n jets.
      particles: how many of each jet, P.

    Returns:
      n clouds; their labels are 0.

    Raises:
      InputError: an angle is not finite, or a pT not positive.
    """
    lists = sequences(jets, _ROLES, particles=particles, rows=rows)
    name = jets.dataset.roles[Role.JET_PT]
    narrow = with_columns(jets, (), [name])
    pt = np.asarray(narrow.observables[rows])[:, narrow.observable_names.index(name)]
    return check_clouds(
        Clouds(lists.values.astype(np.float64), lists.mask, pt.astype(np.float64), np.zeros(len(pt), int))
    )
