"""Weights that others trained become a run folder, which can be used as one of our own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import models, training
from hepjax.data.atomic_files import new_folder
from hepjax.data.dataset_json import dataset_to_json
from hepjax.data.descriptions import dataset_of, is_description
from hepjax.data.standard_columns import SETS
from hepjax.errors import InputError
from hepjax.inputs import pipelines
from hepjax.models import pretrained
from hepjax.registry import similar_names_hint
from hepjax.runs import records, run_folder, stored
from hepjax.runs.options import Experiment
from hepjax.runs.setup import make_task_pipeline
from hepjax.types import Scaling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.types import Dataset, PyTree

_WIDTH = 1e3
"""Momenta and angles are not scaled; this width makes no momentum below 10 PeV count as absurd."""


def import_weights(
    weights: Path,
    network: str,
    out: Path,
    *,
    dataset: str,
    classes: Sequence[str] = (),
    columns: Sequence[str] = (),
    particles: int = 128,
) -> Path:
    """Makes a run folder of weights that others trained, with the standardization of the inputs that they expect.

    The file is read without executing anything in it.

    Args:
      weights: a state dict of PyTorch.
      network: its architecture, one of `hepjax.models.pretrained.READERS`.
      out: the new folder.
      dataset: of the jets that it classifies: a name, or a file that describes it.
      classes: those of the network's outputs, in order; the default is the dataset's.
      columns: its inputs, in order; the default is the standard input of as many columns: jetclass_kin, jetclass_kinpid
        or jetclass_full.
      particles: how many particles of a jet it sees.

    Returns:
      The folder.

    Raises:
      InputError: the folder exists, the file is no such network's, or its inputs or outputs are not those of the jets;
        nothing is left behind.
    """
    if network not in pretrained.READERS:
        raise InputError(f"--as {network}: {similar_names_hint(network, list(pretrained.READERS))}")
    model, params, model_state = pretrained.READERS[network](weights)
    described = dataset_of(dataset)
    params = _order_outputs(params, classes or described.classes, described, str(weights))
    # Files of a known dataset are recognized, and others that have the columns will do as well.
    experiment = Experiment(
        model=model.clone(particles=particles), dataset=dataset if is_description(dataset) else None
    )
    experiment = run_folder.with_absolute_paths(experiment)
    pipeline = _fit_inputs(experiment, params, described, columns, str(weights))
    experiment = dataclasses.replace(experiment, model=pipeline.network)
    scaling = _no_scaling(pipeline, len(pipeline.network.columns))
    metadata = {
        "classes": described.classes,
        "dataset": dataset_to_json(described),
        "outputs": experiment.task.columns(described),
        "cost": models.cost(pipelines.make_apply(pipeline, scaling), params, model_state, pipeline.example)._asdict(),
        "fingerprint": 0,
        "imported": {"file": weights.name, "sha256": records.checksum(weights)},
    }
    with new_folder(out) as folder:
        (folder / "checkpoints").mkdir()
        identity = run_folder.write_experiment(folder, experiment, metadata)
        training.save(folder / stored.BEST, (params, model_state, scaling), identity)
        run_folder.seal(folder, stored.finished_files(experiment, metadata))
    return out


def _order_outputs(params: PyTree, classes: Sequence[str], dataset: Dataset, source: str) -> PyTree:
    """Puts the outputs into the order of the dataset's classes."""
    outputs = params["head"]["bias"].size
    if outputs != len(classes):
        raise InputError(
            f"{source}: has {outputs} outputs, the classes are {len(classes)}: {', '.join(classes) or 'none'}; name "
            "those of the network by --classes, or another --dataset"
        )
    if sorted(classes) != sorted(dataset.classes):
        raise InputError(
            f"--classes: expected those of the dataset {dataset.name}, {', '.join(dataset.classes)}, in the order of "
            f"the network's outputs, found {', '.join(classes)}"
        )
    order = np.array([classes.index(name) for name in dataset.classes])
    return {**params, "head": jax.tree.map(lambda x: jnp.asarray(x)[..., order], params["head"])}


def _fit_inputs(
    experiment: Experiment, params: PyTree, dataset: Dataset, columns: Sequence[str], source: str
) -> InputPipeline:
    """Finds the columns for which the network has these layers."""
    problems = []
    own = () if experiment.model.default_columns is None else (experiment.model.default_columns,)
    for names in (tuple(columns),) if columns else dict.fromkeys((*own, *((name,) for name in SETS))):
        try:
            pipeline = make_task_pipeline(experiment.model.clone(columns=names), experiment.task, dataset)
        except InputError as error:
            problems.append(str(error))
            continue
        shapes = jax.eval_shape(
            lambda pipeline=pipeline: pipelines.initialize_from_example(pipeline, jax.random.key(0))
        )
        if jax.tree.map(jnp.shape, shapes[0]) == jax.tree.map(jnp.shape, params):
            return pipeline
        found = ", ".join(names) or "no column"
        problems.append(f"{found} does not fit its first layer, which takes {_inputs(params)} columns")
    raise InputError(f"{source}: {'; '.join(problems)}; name its inputs in their order by --columns")


def _inputs(params: PyTree) -> int:
    """The columns that the first layer takes, a batch normalization or a dense layer."""
    first = params["BatchNorm_0"]["scale"] if "BatchNorm_0" in params else params["embedding"]["kernel"]
    return len(first)


def _no_scaling(pipeline: InputPipeline, columns: int) -> Scaling:
    """The scaling that changes nothing; what is no input of a layer may be large."""
    width = np.where(np.arange(pipeline.scaled) < columns, 1.0, _WIDTH)
    return Scaling(np.zeros(pipeline.scaled, np.float32), width.astype(np.float32))
