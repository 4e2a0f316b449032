"""Trained models as files that run without hepjax, each with a model card beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from hepjax import export as formats
from hepjax import models, report, tasks
from hepjax.choices import ExportFormat, Precision, Role, choose
from hepjax.data import atomic_files
from hepjax.data.atomic_hdf5 import check_new_hdf5_path
from hepjax.data.dataset import unit_of_column
from hepjax.data.dataset_json import dataset_to_json
from hepjax.errors import InputError
from hepjax.inputs import pipelines
from hepjax.runs import stored, taggers
from hepjax.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.runs.stored import Run
    from hepjax.tasks import Task, TrainedNetwork


def export_run(
    folder: Path, out: Path, kind: ExportFormat | str = ExportFormat.ONNX, *, calibrated: bool = False
) -> tuple[Path, ...]:
    """Writes the model of a run as a file of raw columns in, predictions out, and its model card.

    Args:
      folder: of the run.
      out: a new file; its card is OUT.md, and of StableHLO OUT.json holds what else JAX must know.
      kind: the format.
      calibrated: with the temperature that fits the validation part best.

    Returns:
      The files, the model's first.

    Raises:
      InputError: the folder is not a run's, its model cannot be exported, or a file exists or cannot be written.
    """
    kind = choose(ExportFormat, kind, "kind")
    card, beside = (Path(f"{out}.{suffix}") for suffix in ("md", "json"))
    targets = [out, card] + [beside] * (kind is ExportFormat.STABLEHLO)
    for path in targets:
        check_new_hdf5_path(path, f"--out {path}")
    run = stored.open_run(folder)
    experiment, task, dataset = run.experiment, run.experiment.task, run.dataset
    metrics = {} if "imported" in run.record else stored.metrics_of(run)
    task.check_export()
    trained = stored.networks_of(run)
    networks = [network._replace(precision=Precision.FLOAT32) for network in trained]  # what every runtime has
    temperature = taggers.temperature_of(run) if calibrated else 1.0
    pt_range = _test_pt_range(run)
    predict, pipeline = make_predict(networks, task, temperature), networks[0].pipeline
    metadata = {
        "model": json.dumps(models.to_json(experiment.model)),
        "task": json.dumps(tasks.to_json(task)),
        "plugins": json.dumps([str(path) for path in experiment.plugins]),
        "classes": json.dumps(dataset.classes),
        "outputs": json.dumps(task.columns(dataset)),
        "dataset": json.dumps(dataset_to_json(dataset)),
        "columns": json.dumps(pipeline.columns),
        "temperature": str(temperature),
        "hepjax": __version__,
    }
    sections: dict[str, list[str]] = {}
    if kind is ExportFormat.TORCH:
        data, code = make_weaver_file(out.name, networks, temperature)
        sections = report.weights_sections(task.columns(dataset), code)
        atomic_files.write_bytes(out, data)
    elif kind is ExportFormat.ONNX:
        data = formats.to_onnx(predict, pipeline.example, metadata, output=task.layout.exported)
        atomic_files.write_bytes(out, data)
    else:
        data = formats.to_stablehlo(predict, pipeline.example)
        atomic_files.write_bytes(out, data)
        atomic_files.write_text(beside, formats.describe_stablehlo(predict, pipeline.example, data, metadata))
    with stored.presenting(run):
        words = report.model_card(
            out.name,
            run.record,
            metrics,
            pipeline.columns,
            kind,
            units={column: unit_of_column(dataset, column) for column in pipeline.columns},
            temperature=temperature,
            pt_range=pt_range,
            output=task.layout.exported,
            paragraphs=(task.card(run.record, metrics) if metrics else {}) | sections,
        )
    atomic_files.write_text(card, words)
    return tuple(targets)


def make_predict(
    networks: Sequence[TrainedNetwork], task: Task, temperature: float = 1.0
) -> Callable[[Any], jax.Array]:
    """Makes the pure function from what a pipeline loads to predictions, scaling and units included.

    Args:
      networks: whose predictions are combined.
      task: that they have learned.
      temperature: divides the logarithms of probabilities.

    Returns:
      What `pipeline.load` gives of N jets → (N, K) predictions; to be compiled or exported.
    """

    def predict(inputs: Any) -> jax.Array:
        mask = jnp.ones(jax.tree.leaves(inputs)[0].shape[0], bool)
        predicted = []
        for network in networks:
            apply = pipelines.make_apply(network.pipeline, network.scaling, network.precision)
            outputs = apply(network.params, network.model_state, inputs, mask, None)[0]
            predicted.append(task.predict(outputs, network.statistics))
        combined: jax.Array = predicted[0] if len(predicted) == 1 else task.combine(jnp.stack(predicted))  # type: ignore[assignment]
        return combined if temperature == 1 else jnp.asarray(task.calibrate(combined, temperature))

    return predict


def make_weaver_file(
    name: str, networks: Sequence[TrainedNetwork], temperature: float = 1.0
) -> tuple[bytes, list[str]]:
    """Makes a file of weights that weaver-core loads.

    Args:
      name: of the file, for what is told of it.
      networks: one.
      temperature: divides the logits.

    Returns:
      Its content, and the lines of Python that load it.

    Raises:
      InputError: weaver-core has no such network, or there are several, or their outputs are no logits.
    """
    writers = models.pretrained.WRITERS
    model = networks[0].pipeline.network
    kind = models.MODELS.name_of(type(model))
    if kind not in writers:
        raise InputError(
            f"--format torch: weaver-core has no {kind}; expected {' or '.join(writers)}, or another format"
        )
    if len(networks) > 1:
        raise InputError(
            f"--format torch: a file holds one network, found {len(networks)}; export the folder of one of them"
        )
    network = networks[0]
    if network.statistics:
        raise InputError(
            f"--format torch: what the network gives is no logit but needs {', '.join(network.statistics)} of the "
            "training; export it as ONNX"
        )
    data = models.pretrained.weaver_file(kind, model, network.params, network.model_state, network.scaling, temperature)
    columns = len(network.pipeline.network.columns)
    lines = ["import torch", *writers[kind].peer_lines(model, columns), "wrapper = torch.nn.Module()"]
    lines += ["wrapper.mod = network.eval()", f'wrapper.load_state_dict(torch.load("{name}", weights_only=True))']
    return data, lines


def _test_pt_range(run: Run) -> tuple[float, float] | None:
    """Finds the range of pT of the test jets; runs of an older hepjax may lack it."""
    test = stored.predictions_of(run)
    pt = None if test is None else test.observables.get(run.dataset.roles.get(Role.JET_PT, ""))
    return None if pt is None or not len(pt) else (float(pt.min()), float(pt.max()))
