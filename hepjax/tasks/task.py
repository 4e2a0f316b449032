"""What is learned from jets: the one interface by which the drivers in `hepjax.runs` know a task."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from hepjax.choices import choose_fields
from hepjax.errors import InputError
from hepjax.tasks.presentation import Presentation
from hepjax.tasks.refusals import Refusals
from hepjax.tasks.task_types import Objective

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import jax
    import numpy as np

    from hepjax.evaluation import Verdict
    from hepjax.inputs.load_subsets import Selection, Splits
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.models import Apply, Model
    from hepjax.tasks.task_types import Predictions, TrainedNetwork
    from hepjax.types import Array, Dataset, Epoch, Jets, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(Refusals, Presentation):
    """The base of tasks; the fields of a subclass are its options, each with a docstring, which is its help.

    To add a task, write a subclass in one file and register it: `@hepjax.tasks.register("my-task")`. It must have

        outputs(dataset)                                   how many outputs the network has
        columns(dataset)                                   the names of the predictions' columns
        read(jets, rows)                                   targets of some jets
        mean_loss(outputs, targets, weights, statistics)   what is minimized, pure jax
        evaluate(predictions)                              figures of merit, `loss` and `intervals` among them

    and may have any of the others, of which each says what it is by default. Every task then has resume, several
    devices, folds, ensembles, streaming, evaluate, predict, report and export. Import heavy modules inside of methods:
    `hepjax train --help` makes instances, and must not wait for jax.
    """

    statistics_names: ClassVar[tuple[str, ...]] = ()
    """The keys of what `statistics` returns."""
    reference_names: ClassVar[tuple[str, ...]] = ()
    """The keys of what `references` returns."""
    headline: ClassVar[str] = "loss"
    """The figure of merit that is quoted in one line."""

    def __post_init__(self) -> None:
        """Takes choices by their names too."""
        choose_fields(self)

    # What must be written.

    def outputs(self, dataset: Dataset) -> int:
        """Returns the number of outputs of the network.

        Args:
          dataset: of the jets.
        """
        raise NotImplementedError

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        """Returns the names of the K columns of predictions.

        Args:
          dataset: of the jets.
        """
        raise NotImplementedError

    def read(self, jets: Jets, rows: slice | np.ndarray) -> np.ndarray | None:
        """Reads the targets of some jets.

        Args:
          jets: lazy or in memory.
          rows: of the n jets.

        Returns:
          (n,) int32 or (n, D) float32; None where the files do not have them, so that they can only be predicted.
        """
        raise NotImplementedError

    def mean_loss(
        self, outputs: jax.Array, targets: jax.Array, weights: jax.Array, statistics: Mapping[str, jax.Array]
    ) -> jax.Array:
        """Computes the loss, as a pure function of JAX arrays.

        Args:
          outputs: (B, outputs) of the network.
          targets: (B,) or (B, D).
          weights: (B,) not negative; rows of weight 0 are padding and must not matter.
          statistics: from `statistics`.

        Returns:
          () the mean.
        """
        raise NotImplementedError

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Computes figures of merit, for metrics.json.

        Args:
          predictions: with targets.

        Returns:
          A dict of numbers, dicts and lists: `loss`, `intervals` and others. Numbers are averaged over folds.
        """
        raise NotImplementedError

    # Options, inputs and targets.

    def make_pipeline(self, model: Model, dataset: Dataset) -> InputPipeline:
        """Makes the pipeline of a model: by default what its base class says that it sees, without the targets.

        Args:
          model: the options.
          dataset: of the jets.

        Raises:
          InputError: the jets have nothing that the model could see, or the model is given what it shall predict.
        """
        from hepjax.inputs import pipelines

        self.check_inputs(getattr(model, "features", ()), dataset)
        return pipelines.make_pipeline(model, self.outputs(dataset), self.visible(dataset))

    def resolve(self, dataset: Dataset) -> Task:
        """Returns the task with what it leaves to the jets' dataset, to be recorded; the same by default.

        Args:
          dataset: of the jets.
        """
        return self

    def for_model(self, model: Model) -> Task:
        """Returns the task with what it leaves to the model, to be recorded; the same by default.

        Args:
          model: that is trained.

        Raises:
          InputError: the model cannot serve the task.
        """
        return self

    def visible(self, dataset: Dataset) -> Dataset:
        """Returns the dataset whose `features` and `particle_features` models may learn from by default: all of them.

        Args:
          dataset: of the jets.
        """
        return dataset

    def selection(self) -> Selection | None:
        """Returns what says which jets of the training and validation parts are learned from; None is all of them."""
        return None

    def balances_classes(self) -> bool:
        """Tells whether all `weight_groups` shall have the same sum of weights in training; not by default."""
        return False

    def taught_by(self) -> Path | None:
        """Returns the run folder or exported file of a model whose predictions are learned too; none by default.

        Batches then have them as `taught`, and losses are given them last.
        """
        return None

    def prepare(self, splits: Splits, pipeline: InputPipeline, seed: int) -> Splits:
        """Changes the jets once they are split; leaves them as they are by default.

        Args:
          splits: as they were read.
          pipeline: that has read them.
          seed: of the run.
        """
        return splits

    def observables(self, dataset: Dataset) -> tuple[str, ...]:
        """Returns the jet columns that are kept beside the predictions of test jets: pT, η, mass and multiplicity."""
        from hepjax.data.dataset import binned_columns

        return binned_columns(dataset)

    def read_observables(self, jets: Jets, rows: np.ndarray, pipeline: InputPipeline) -> dict[str, np.ndarray]:
        """Reads what is kept beside the predictions of test jets: by default the jet columns of `observables`.

        Args:
          jets: lazy or in memory.
          rows: (n,) of the jets of this process.
          pipeline: that has read them for the network.

        Returns:
          Name → (N,) or (N, …) float32, of the jets of all processes.
        """
        from hepjax.inputs.columns import read_observables

        return read_observables(jets, rows, self.observables(jets.dataset))

    # Training.

    def statistics(self, targets: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Computes what must be known of the training targets and is saved with the network; nothing by default.

        Args:
          targets: (n,) or (n, D) of the training jets.
          weights: (n,).

        Returns:
          A float32 array for each of `statistics_names`, all of one length.
        """
        return {}

    def read_out(self, outputs: Any, inputs: Any) -> jax.Array:
        """Turns what a network gives into the numbers that loss and predictions are made of; the same by default.

        Args:
          outputs: of the network: (B, outputs), or what else the models of the task give.
          inputs: of the network.

        Returns:
          (B, outputs) float32.
        """
        numbers: jax.Array = outputs
        return numbers

    def references(
        self,
        train: np.ndarray,
        val: np.ndarray,
        weights: tuple[np.ndarray, np.ndarray],
    ) -> dict[str, np.ndarray]:
        """Computes, after the training, what predictions need to know of the outputs of jets that were learned from.

        Args:
          train: (n, outputs) of the training jets, from the network of the best epoch.
          val: (m, outputs) of the validation jets.
          weights: (n,) and (m,) of them.

        Returns:
          An array for each of `reference_names`, which is saved with the network; nothing by default.
        """
        return {}

    def fit_variables(self, read_inputs: Callable[[], Any], dataset: Dataset) -> dict[str, PyTree]:
        """Fits other variables of the network, which are no parameters, to the training jets; none by default.

        Args:
          read_inputs: reads what the pipeline loads of all training jets.
          dataset: of the jets.

        Returns:
          Name of a collection of variables → its arrays, of the shapes that the network starts with.
        """
        return {}

    def objective(self, apply: Apply, dataset: Dataset, targets: np.ndarray) -> Objective:
        """Returns what is trained and how: by default the network, by `mean_loss`.

        Args:
          apply: of the network, and `model_state` with its `statistics` where there are some.
          dataset: of the jets.
          targets: of all training jets.
        """
        from hepjax.tasks import packing

        def loss(outputs: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
            plain, statistics = packing.unpack_statistics_of_outputs(
                outputs, self.outputs(dataset), self.statistics_names
            )
            return self.mean_loss(plain, targets, weights, statistics)

        packed = packing.pack_outputs(apply)
        return Objective(packed, loss, packed, loss)

    def extra_parameters(self, dataset: Dataset, key: jax.Array) -> dict[str, PyTree]:
        """Draws parameters that only the training needs, beside those of the network; none by default.

        Args:
          dataset: of the jets.
          key: () typed PRNG key.
        """
        return {}

    def network_parameters(self, params: PyTree) -> PyTree:
        """Returns the parameters of the network without the extra ones; all by default.

        Args:
          params: as they were trained.
        """
        return params

    def verdict(self, history: Sequence[Epoch], columns: Sequence[str]) -> dict[str, str]:
        """Judges a training from its losses.

        Args:
          history: its epochs.
          columns: from `columns`.

        Returns:
          `kind`, and `words`: a sentence or two.
        """
        from hepjax import evaluation

        verdict: Verdict = evaluation.verdict(history)
        return {"kind": verdict.kind.value, "words": verdict.words}

    # Predictions.

    def predict(self, outputs: Any, statistics: Mapping[str, Any]) -> Any:
        """Turns outputs into predictions, as a pure function of JAX arrays; they are the same by default.

        Args:
          outputs: (B, outputs) of the network.
          statistics: from `statistics` and `references`.

        Returns:
          (B, K) in the targets' units.
        """
        return outputs

    def combine(self, predictions: Array) -> Array:
        """Combines the predictions of the members of an ensemble, NumPy or JAX arrays; their mean by default.

        Args:
          predictions: (M, N, K).

        Returns:
          (N, K).
        """
        mean: Array = predictions.mean(axis=0)
        return mean

    def calibrate(self, predictions: Array, temperature: float) -> Array:
        """Applies the temperature that `metrics["calibration"]` holds; refused by default.

        Args:
          predictions: (N, K), JAX arrays.
          temperature: above 0.

        Raises:
          InputError: the task has no such thing.
        """
        raise InputError("--calibrated: only class probabilities can be calibrated; leave it out")

    def complete(
        self, predictions: Predictions, read_networks: Callable[[], Sequence[TrainedNetwork]], seed: int
    ) -> Predictions:
        """Adds to the predictions of jets with targets what takes the trained networks; nothing by default.

        Args:
          predictions: with targets.
          read_networks: returns the networks that they are of; none of an exported file.
          seed: of the run.
        """
        return predictions
