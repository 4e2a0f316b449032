"""What is learned from jets: the one interface by which the drivers in `hepjax.runs` know a task."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from hepjax.errors import InputError
from hepjax.tasks.structures import Layout, Objective

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import jax
    import numpy as np
    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.evaluation import Verdict
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.inputs.subsets import Splits
    from hepjax.models import Apply
    from hepjax.report import Section, Summary
    from hepjax.tasks.structures import Predictions, Results
    from hepjax.types import Array, Dataset, Epoch, Jets, PyTree, Rule, Scores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What is learned from jets; its fields are the options, each with a docstring, which is its help.

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

    layout: ClassVar[Layout] = Layout()
    """The names of datasets and attributes in test.h5 and the files of `hepjax predict`."""
    statistics_names: ClassVar[tuple[str, ...]] = ()
    """The keys of what `statistics` returns."""
    headline: ClassVar[str] = "loss"
    """The figure of merit that is quoted in one line."""

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

    def rules(self) -> Iterable[Rule]:
        """Returns what the options must keep to; none by default."""
        return ()

    def folds_problem(self) -> str:
        """Returns why there cannot be folds, in words that follow "--folds: expected", or "" as by default."""
        return ""

    def resolve(self, dataset: Dataset) -> Task:
        """Returns the task with what it leaves to the jets' dataset, to be recorded; the same by default.

        Args:
          dataset: of the jets.
        """
        return self

    def visible(self, dataset: Dataset) -> Dataset:
        """Returns the dataset whose `features` and `particle_features` models may learn from by default: all of them.

        Args:
          dataset: of the jets.
        """
        return dataset

    def check_inputs(self, columns: Sequence[str], dataset: Dataset) -> None:
        """Refuses inputs that give the targets away; none by default.

        Args:
          columns: the jet columns that the model reads.
          dataset: of the jets.

        Raises:
          InputError: names the column and the remedy.
        """

    def check_dataset(self, dataset: Dataset, source: str) -> None:
        """Refuses files whose targets cannot be read, before they are; none by default.

        Args:
          dataset: of the jets.
          source: the files, for the message.

        Raises:
          InputError: names the file, the column and the remedy.
        """

    def check_targets(
        self, targets: Mapping[str, np.ndarray], columns: Sequence[str], source: str, member: str = ""
    ) -> None:
        """Refuses what cannot be learned or measured; none by default.

        Args:
          targets: "train", "val", "test" or some of them → the targets of all their jets.
          columns: from `columns`.
          source: the files, for the message.
          member: the name of the fold or size that has these parts, or "".

        Raises:
          InputError: names the file, the column and the remedy.
        """

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

    def objective(self, apply: Apply, dataset: Dataset, targets: np.ndarray) -> Objective:
        """Returns what is trained and how: by default the network, by `mean_loss`.

        Args:
          apply: of the network, and `model_state` with its `statistics` where there are some.
          dataset: of the jets.
          targets: of all training jets.
        """
        from hepjax.tasks import packing

        def loss(outputs: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
            plain, statistics = packing.unpack(outputs, self.outputs(dataset), self.statistics_names)
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

    def predict(self, outputs: jax.Array, statistics: Mapping[str, jax.Array]) -> jax.Array:
        """Turns outputs into predictions, as a pure function of JAX arrays; they are the same by default.

        Args:
          outputs: (B, outputs) of the network.
          statistics: from `statistics`.

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

    # Figures of merit.

    def validate(self, val: Predictions, test: Predictions) -> dict[str, Any]:
        """Computes figures of merit that need the validation part too; none by default.

        Args:
          val: predictions of the validation jets.
          test: predictions of the test jets.
        """
        return {}

    def ensemble_figures(self, members: Sequence[Predictions]) -> dict[str, Any]:
        """Computes figures of merit of several members on the same jets; none by default.

        Args:
          members: two or more.
        """
        return {}

    def not_averaged(self) -> tuple[str, ...]:
        """Returns the keys of metrics that folds take from all their test jets together instead of averaging them."""
        return ()

    def remarks(self, predictions: Predictions) -> list[str]:
        """Returns lines that a reader must know before trusting the figures of merit; none by default.

        Args:
          predictions: with targets.
        """
        return []

    def compare(self, first: Predictions, second: Predictions) -> dict[str, Any]:
        """Returns what the second has more than the first on the same jets; by default it is refused.

        Args:
          first: with targets.
          second: of the same jets in the same order.

        Raises:
          InputError: the task cannot compare.
        """
        raise InputError("hepjax compare: this task has no comparison; compare metrics.json of the runs")

    # Words and pictures.

    def pictures(self, predictions: Predictions) -> dict[str, Figure]:
        """Draws pictures for the run folder; none by default.

        Args:
          predictions: with targets.

        Returns:
          File name → figure.
        """
        return {}

    def learning_curve(self, sizes: Sequence[int], metrics: Sequence[Mapping[str, Any]]) -> Figure | None:
        """Draws how the figures of merit change with the number of training jets; nothing by default.

        Args:
          sizes: the training jets of each training.
          metrics: of each.
        """
        return None

    def table(self, metrics: Mapping[str, Any]) -> Table:
        """Lists figures of merit for a terminal; by default all numbers of the first level.

        Args:
          metrics: what metrics.json holds.
        """
        from hepjax.report import figures_table

        return figures_table(metrics)

    def comparison_table(
        self, names: Sequence[str], metrics: Sequence[Mapping[str, Any]], differences: Sequence[Any], jets: int
    ) -> Table:
        """Lists figures of merit of several models and their differences; refused by default, as `compare` is.

        Args:
          names: of the models.
          metrics: of each.
          differences: of each but the first.
          jets: how many there were.
        """
        raise InputError("hepjax compare: this task has no comparison; compare metrics.json of the runs")

    def report_sections(self, results: Results) -> Iterator[Section]:
        """Yields what the page of a run shows beside its summary and history: by default the pictures.

        Args:
          results: of the run.
        """
        from hepjax.report import Picture, Section, png

        if results.test is not None and results.test.targets is not None:
            pictures = [
                Picture(png(figure, 70), name, name, wide=True) for name, figure in self.pictures(results.test).items()
            ]
            if pictures:
                yield Section("Predictions", "Of the test jets.", pictures)

    def scores(self, predictions: Predictions) -> Scores | None:
        """Returns class probabilities, for ROC curves and calibration on the page of a run; None by default.

        Args:
          predictions: of the test jets.
        """
        return None

    def summary(self, metrics: Mapping[str, Any]) -> Summary | None:
        """Returns what stands at the top of the page of a run: by default the loss; None is a classifier's figures.

        Args:
          metrics: what metrics.json holds.
        """
        from hepjax.report import Summary

        return Summary(cards=(("Loss", f"{metrics['loss']:.4f}", "on the test jets"),))

    def card(self, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, list[str]]:
        """Returns paragraphs that replace those of a classifier in a model card.

        Args:
          record: what experiment.json holds.
          metrics: what metrics.json holds.

        Returns:
          "Output", "Figures of merit" and "Limits" to their paragraphs.
        """
        names = [str(name) for name in record.get("outputs") or ()]
        return {
            "Output": [f"`{self.layout.values}`, (N, {len(names)}) float32: {', '.join(names)}."],
            "Figures of merit": [f"Loss on the test part: {metrics['loss']:.4f}."],
            "Limits": ["Its figures of merit hold for jets like those of its test part."],
        }
