"""Trained models in use: from a run folder or an exported file, jets in, predictions out."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import models, tasks, training
from hepjax.data.atomic_hdf5 import escape_control_characters
from hepjax.data.dataset import as_description, check_dataset
from hepjax.data.datasets import DATASETS
from hepjax.data.descriptions import dataset_of
from hepjax.data.validation import check_jets
from hepjax.errors import InputError
from hepjax.inputs import far_values, load_subsets, open_files, pipelines
from hepjax.models.fields import check_model
from hepjax.registry import import_plugin
from hepjax.runs import predictions, run_folder, stored
from hepjax.runs.scoring import make_scorer
from hepjax.runs.setup import make_task_pipeline
from hepjax.types import Dataset, Jets, Sequences, TrainState
from hepjax.types.short_repr import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hepjax.export import Exported
    from hepjax.inputs.jet_hashes import TrainedJets
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.runs.stored import Run
    from hepjax.tasks import Task, TrainedNetwork

log = logging.getLogger("hepjax")


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A trained model: a function of jets."""

    outputs: tuple[str, ...]
    """The names of the K columns of its predictions; of a classification the classes."""
    columns: tuple[str, ...]
    """What the columns of an array that is given to it must be, in their own units (GeV, radians)."""
    task: Task = dataclasses.field(repr=False)
    """What it has learned."""
    pipeline: InputPipeline = dataclasses.field(repr=False)
    """How jets are loaded for it."""
    predict: Callable[[Any], np.ndarray] = dataclasses.field(repr=False)
    """What `pipeline.load` gives of N jets → (N, K) float32 predictions."""
    networks: tuple[TrainedNetwork, ...] = dataclasses.field(default=(), repr=False)
    """Their predictions are combined; none where it comes from an exported file."""
    temperature: float = 1.0
    """Logarithms of probabilities were divided by this to calibrate them."""
    dataset: Dataset | str | None = None
    """What it was told that columns mean, or its name; jets are read as that unless they are given another."""
    classes: tuple[str, ...] = ()
    """The classes of the jets that it has learned from; empty where they had no labels."""
    trained: TrainedJets | None = dataclasses.field(default=None, repr=False)
    """The jets that it has learned from, to be recognized; None of an exported file, or a run of an older hepjax."""

    def __repr__(self) -> str:
        """Shows arrays by their shapes."""
        return short_repr(self)

    def __call__(self, jets: Jets | Sequences | np.ndarray) -> np.ndarray:
        """Predicts jets.

        Args:
          jets: `Jets`, in memory or lazy; or an array of the `columns`, not scaled: (N, F) of a model of observables,
            (N, P, F) of one of particles, zeros behind a jet's last particle, or `Sequences`; or (N, H, W, images).

        Returns:
          (N, K) float32: class probabilities, or values in the targets' units.

        Raises:
          InputError: columns or particles are missing, an array has another shape, or numbers are not finite, those
            of the jets or of the predictions.
        """
        if isinstance(jets, Jets):
            blocks = [predicted for predicted, _ in predict_jets_in_blocks(self, self.check(jets))]
            return np.concatenate(blocks or [np.zeros((0, len(self.outputs)), np.float32)])
        predicted = self.predict(self._inputs(jets))
        rows = predictions.unsound_rows(predicted, self.task)
        predictions.check_sound("predictions", len(rows), len(predicted), rows[0] if len(rows) else 0)
        return predicted

    def check(self, jets: Jets, name: str = "jets") -> Jets:
        """Returns the same jets, if they have the classes that the model has learned from, or no labels.

        Args:
          jets: any.
          name: for the message.

        Raises:
          InputError: their classes are others, or they were made by hand and are not valid.
        """
        check_jets(jets)
        if jets.labels is not None and self.classes and jets.classes != self.classes:
            raise InputError(
                f"{name}: the jets' classes are {', '.join(jets.classes)}, those of the tagger "
                f"{', '.join(self.classes)}; give jets of the same classes"
            )
        return jets

    def _inputs(self, given: Sequences | np.ndarray) -> Any:
        example, listed = self.pipeline.example, isinstance(self.pipeline.example, Sequences)
        values = np.asarray(given.values if isinstance(given, Sequences) else given, np.float32)
        expected = (example.values if listed else example).shape[1:]
        fits = values.ndim == len(expected) + 1 and values.shape[-1] == expected[-1]
        fits &= values.shape[1] <= expected[0] if listed and fits else values.shape[1:] == expected
        if not fits or isinstance(given, Sequences) > listed:
            shape = ", ".join(map(str, ("N", *expected)))
            raise InputError(f"jets: expected ({shape}), the columns {', '.join(self.columns)}; found {values.shape}")
        if not np.isfinite(values).all():
            raise InputError("jets: expected finite numbers, found NaN or infinite ones; remove those jets")
        if not listed:
            return values
        mask = np.asarray(given.mask) if isinstance(given, Sequences) else values.any(axis=-1)
        if mask.shape != values.shape[:2] or mask.dtype != bool:
            raise InputError(
                f"jets: expected a mask of True and False of the shape {values.shape[:2]}, found {mask.dtype} of the "
                f"shape {mask.shape}"
            )
        if (np.diff(mask.astype(np.int8), axis=1) > 0).any():
            raise InputError("jets: expected a jet's particles first and its padding last, found padding in between")
        missing = expected[0] - values.shape[1]
        return Sequences(np.pad(values, ((0, 0), (0, missing), (0, 0))), np.pad(mask, ((0, 0), (0, missing))))


def load(path: str | Path, *, calibrated: bool = False) -> Predictor:
    """Reads a trained model as a function of jets; arguments and errors are those of `hepjax.load`."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such folder or file; give a run folder or an exported tagger")
    if path.is_file():
        if calibrated:
            raise InputError(f"{path}: is calibrated or not since its export; leave out calibrated")
        return _load_exported_file(path)
    return predictor_of(stored.open_run(path), calibrated=calibrated)


def predictor_of(run: Run, *, calibrated: bool = False) -> Predictor:
    """Makes the model of a run ready for use.

    Args:
      run: opened.
      calibrated: as in `load`.

    Returns:
      The model.

    Raises:
      InputError: its training has not gone far enough, or it has no temperature.
    """
    networks, task, dataset = stored.networks_of(run), run.experiment.task, run.dataset
    temperature = temperature_of(run) if calibrated else 1.0
    predict_each = [_make_compiled_predict(network, task) for network in networks]
    outputs = task.columns(dataset)

    def predict(inputs: Any) -> np.ndarray:
        together = [each(inputs).reshape(-1, len(outputs)) for each in predict_each]  # of no jets, they lack columns
        combined = np.asarray(task.combine(np.stack(together)) if len(together) > 1 else together[0])
        return combined if temperature == 1 else np.asarray(task.calibrate(jnp.asarray(combined), temperature))

    pipeline = networks[0].pipeline
    return Predictor(
        outputs,
        pipeline.columns,
        task,
        pipeline,
        predict,
        networks,
        temperature,
        run_folder.description_of_run(run.experiment, dataset),
        dataset.classes,
        run.trained,
    )


def temperature_of(run: Run) -> float:
    """Returns the temperature that was fitted on the validation part of a run.

    Args:
      run: opened.

    Raises:
      InputError: the run has none.
    """
    temperature = stored.metrics_of(run).get("calibration", {}).get("temperature")
    if temperature is None:
        run.experiment.task.calibrate(np.zeros((0, 1)), 1.0)  # a task without temperatures says so
        raise InputError(
            f"{run.folder}: metrics.json has no temperature to calibrate with; use it as it is, or train again"
        )
    return float(temperature)


def open_tagger_jets(
    predictor: Predictor,
    files: Sequence[Path],
    dataset: str | None = None,
    *,
    allow_external: bool = False,
    where: str = "",
    own: bool = False,
) -> Jets:
    """Opens files of jets, lazily.

    Args:
      predictor: for which they are opened.
      files: none is the sample that comes with hepjax.
      dataset: what their columns mean, by name, or a file that describes it; None is as the model learned from, or
        recognized by the columns.
      allow_external: let files have data in other files outside their own folder.
      where: which jets stay; as in `hepjax.read_jets`.
      own: the model learned from them, so that the selection of its dataset holds.

    Raises:
      InputError: a file is not usable, or the classes are not those of the model.
    """
    given = dataset_of(dataset or predictor.dataset)
    if given is not None:  # the model has its own columns, and files need no others to learn from
        given = dataclasses.replace(given, features=(), particle_features=())
    if given is not None and not isinstance(dataset or predictor.dataset, str) and not own:
        given = dataclasses.replace(as_description(given), selection="")
    jets = open_files.open_jets(
        files,
        images=predictor.pipeline.images,
        dataset=given,
        unlabeled=True,
        allow_external=allow_external,
        where=where,
    )
    return predictor.check(jets, open_files.file_names_text(files))


def predict_jets_in_blocks(
    predictor: Predictor, jets: Jets, look: Callable[[Any], None] = lambda _: None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Predicts jets in blocks that fit in memory.

    Args:
      predictor: that predicts.
      jets: lazy jets.
      look: called with what the pipeline has loaded of each block.

    Yields:
      (n, K) predictions, and (n,) or (n, D) targets where they are known.

    Raises:
      InputError: at the end, that the model gave no numbers for some jets, how many, and the first.
    """
    bad, first, row, far = 0, 0, 0, far_values.Found(0)
    for inputs, targets in load_subsets.subset_blocks(jets, predictor.pipeline, predictor.task.read):
        look(inputs)
        predicted = predictor.predict(inputs)
        rows = predictions.unsound_rows(predicted, predictor.task)
        if len(rows) and not bad:
            first = row + int(rows[0])
        for network in predictor.networks[:1]:
            far = far_values.add_found(far, far_values.far_values_of(inputs, predictor.pipeline, network.scaling), row)
        bad, row = bad + len(rows), row + len(predicted)
        yield predicted, targets
    if far.number:
        network = predictor.networks[0]
        log.warning(
            "%s; such values count as the mean",
            far_values.far_values_text(jets, far, network.pipeline, network.scaling),
        )
    predictions.check_sound("predictions", bad, row, first)


def _make_compiled_predict(network: TrainedNetwork, task: Task) -> Callable[[Any], np.ndarray]:
    """Compiled, in few shapes, on all devices."""
    pipeline = network.pipeline
    apply = pipelines.make_apply(pipeline, network.scaling, network.precision)
    cost = models.cost(apply, network.params, network.model_state, pipeline.example)
    eval_step = training.make_eval_step(apply, lambda outputs, targets, weights: jnp.zeros(()))  # noqa: ARG005
    state = TrainState(network.params, network.model_state, (), np.zeros((), np.int32), jax.random.key(0))
    score = make_scorer(pipeline, eval_step, state, cost)

    def predict_on_devices(inputs: Any) -> np.ndarray:
        outputs = score(inputs)
        return np.asarray(jax.device_get(task.predict(outputs, network.statistics) if len(outputs) else outputs))

    return predict_on_devices


def _load_exported_file(path: Path) -> Predictor:
    from hepjax import export

    exported = export.read(path)
    facts = exported.metadata
    if "model" not in facts:
        raise InputError(
            f"{path}: a function without a model of hepjax's, as hepjax.export.to_onnx makes it; hepjax.export.read "
            "reads it, or give a file that hepjax export made"
        )
    try:
        for plugin in _names(facts.get("plugins", "[]")):
            import_plugin(Path(plugin))
        model = models.from_json(json.loads(facts["model"]))
        check_model(model)
        task = tasks.from_json(json.loads(facts["task"])) if "task" in facts else tasks.default_task()
        dataset = run_folder.dataset_of_run({"dataset": json.loads(facts["dataset"])} if "dataset" in facts else {})
        check_dataset(dataset)
        pipeline = make_task_pipeline(model, task, dataset)
        lists = {"classes", "outputs", "columns"} & {*facts}
        said = {name: _names(facts[name]) for name in sorted(lists)}
    except InputError as error:  # of a plug-in, a model or a task
        raise InputError(
            f"{path}: {escape_control_characters(error)}; models of your own need --plugins FILE.py, or their package"
        ) from error
    except Exception as error:  # whatever json and cattrs say of words that hepjax did not write
        raise InputError(f"{path}: its metadata is damaged ({export.one_line(error)}); export again") from error
    outputs = task.columns(dataset)
    known = dataset.name if dataset.name in DATASETS.names() else as_description(dataset)
    _check_exported(path, exported, said, pipeline, {"classes": dataset.classes, "outputs": outputs})
    if exported.output not in (None, task.layout.exported):
        raise InputError(
            f"{path}: damaged, its output is called {exported.output}, that of its task {task.layout.exported}; export "
            "again"
        )
    return Predictor(
        outputs, pipeline.columns, task, pipeline, exported.predict, dataset=known, classes=dataset.classes
    )


def _check_exported(
    path: Path,
    exported: Exported,
    said: Mapping[str, Sequence[str]],
    pipeline: InputPipeline,
    names: Mapping[str, Sequence[str]],
) -> None:
    """Refuses metadata that contradicts itself, or the function that it stands beside."""
    from hepjax import export

    for what, found in said.items():
        if tuple(found) != tuple(expected := {**names, "columns": pipeline.columns}[what]):
            raise InputError(
                f"{path}: damaged, its {what} are {export.one_line(', '.join(found)) or 'none'}, those of its model "
                f"and dataset {export.one_line(', '.join(expected)) or 'none'}; export again"
            )
    if exported.columns != len(names["outputs"]):
        raise InputError(
            f"{path}: damaged, its function gives {exported.columns} columns and its metadata names "
            f"{len(names['outputs'])}: {export.one_line(', '.join(names['outputs']))}; export again"
        )
    if list(exported.inputs) != (expected_inputs := export.input_specs(pipeline.example)):
        words = (
            ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in each)
            for each in (exported.inputs, expected_inputs)
        )
        raise InputError(
            f"{path}: damaged, its function takes {next(words)}, the model that it names {next(words)}; export again"
        )


def _names(text: str) -> list[str]:
    """The names in a JSON list."""
    names = json.loads(text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("expected a list of names")
    return names
