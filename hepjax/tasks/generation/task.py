"""Generation as a task: jets and their classes in, −ln p or matching errors out, and new jets of each class."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from hepjax.choices import Content, Precision
from hepjax.errors import InputError
from hepjax.tasks.task import Task
from hepjax.tasks.task_types import Figures
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import jax
    import numpy as np
    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.inputs.load_subsets import Splits, Subset
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.models.model import Model
    from hepjax.report import Section, Summary
    from hepjax.tasks.task_types import Predictions, Results, TrainedNetwork
    from hepjax.types import Array, Dataset, Jets, PyTree

NAME = "generation"


class GenerationFigures(Figures):
    """The content of metrics.json for a generator."""

    loss_of: dict[str, float | None]
    distances: dict[str, dict[str, dict[str, float | None]]]
    """Of all jets and each class, of each observable."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generation(Task):
    """Learns to make new jets of each class: their 16 standard observables, or their particles."""

    classes: tuple[str, ...] = ()
    """The classes to learn; the default is all. Jets of others are left out."""
    content: Content | None = None
    """What is made of a jet; each model makes one of them, which is the default."""

    figures: ClassVar[Any] = GenerationFigures
    may_lack_predictions: ClassVar[bool] = True

    def rules(self) -> Iterator[Rule]:
        """Yields what the options must keep to."""
        yield Rule("--classes", self.classes, len({*self.classes}) == len(self.classes), "different classes")

    def weights_problem(self) -> str:
        """Refuses weights."""
        return "generators do not take event weights"

    def resolve(self, dataset: Dataset) -> Generation:
        """Returns the task with all classes of the dataset where none are chosen; jets without labels are one class."""
        from hepjax.tasks.generation.pipeline import UNLABELED

        return dataclasses.replace(self, classes=self.classes or dataset.classes or UNLABELED)

    def outputs(self, dataset: Dataset) -> int:
        """Returns 1."""
        return 1

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        """Returns "nll", which is −ln p, or of an autoencoder a bound on it; "matching_error" for particles."""
        return ("matching_error",) if self._of_particles else ("nll",)

    def observables(self, dataset: Dataset) -> tuple[str, ...]:
        """Returns the jet columns that are generated; those of particles are computed, see `read_observables`."""
        from hepjax.tasks.generation import pipeline

        return () if self._of_particles else pipeline.observables()

    def read_observables(self, jets: Jets, rows: np.ndarray, pipeline: InputPipeline) -> dict[str, np.ndarray]:
        """Reads the columns that are generated: observables, or particles and what they add up to."""
        if not self._of_particles:
            return super().read_observables(jets, rows, pipeline)
        from hepjax.tasks.generation import cloud_pipeline

        return cloud_pipeline.read_columns(jets, rows, pipeline)

    def memory_problem(self) -> str:
        """Returns that generators are fitted to all training jets at once."""
        return "a generator is fitted to all training jets at once, which must be in it"

    def precision_problem(self, precision: Precision) -> str:
        """Returns that generators compute in float32."""
        return "" if precision is Precision.FLOAT32 else "float32, which generators compute in"

    def for_model(self, model: Model) -> Generation:
        """Names what the model makes; refuses models that are no generators."""
        from hepjax.models import CloudVelocity, CouplingFlow, VariationalAutoencoder
        from hepjax.models.registry import MODELS
        from hepjax.tasks.generation import pipeline

        name = MODELS.name_of(model)
        if not isinstance(model, CouplingFlow | VariationalAutoencoder | CloudVelocity):
            raise InputError(
                f"model {name}: makes no jets; use hepjax train coupling-flow --task {NAME}, "
                f"variational-autoencoder --task {NAME} or cloud-velocity --task {NAME}"
            )
        content = Content.PARTICLES if isinstance(model, CloudVelocity) else Content.OBSERVABLES
        if self.content not in (None, content):
            raise InputError(
                f"--content: {name} makes {content.value}, found {self.content.value}; leave the option out"
            )
        features = getattr(model, "features", ())
        if features not in ((), pipeline.observables()):
            raise InputError(
                f"--features: --task {NAME} learns the {len(pipeline.observables())} standard observables together, "
                f"{', '.join(pipeline.observables())}; leave the option out"
            )
        conditions = getattr(model, "conditions", 0)
        if conditions:
            raise InputError(f"--conditions: --task {NAME} has the class as condition; leave the option out")
        return dataclasses.replace(self, content=content)

    def visible(self, dataset: Dataset) -> Dataset:
        """Returns the dataset with the observables that are generated as what models learn from."""
        from hepjax.tasks.generation import pipeline

        return dataclasses.replace(dataset, features=pipeline.observables())

    def check_dataset(self, dataset: Dataset, source: str) -> None:
        """Refuses files without a class that is asked for, or without what is generated."""
        from hepjax.tasks.generation.pipeline import UNLABELED

        for name in self.classes:
            if name not in (dataset.classes or UNLABELED):
                held = f"which hold {', '.join(dataset.classes)}; choose of these"
                raise InputError(
                    f"{source}: --classes: {name} is not in the files, "
                    f"{held if dataset.classes else 'which have no labels; leave --classes out'}"
                )
        if dataset.weights is not None:
            raise InputError(
                f"{source}: generators do not take event weights, here {dataset.weights}; unweight the jets, or "
                "describe the files by a Dataset without weights, so that all count alike"
            )
        if self._of_particles:
            from hepjax.tasks.generation import cloud_pipeline

            cloud_pipeline.check_columns(dataset, source)
            return
        wanted = self.observables(dataset)
        missing = [name for name in wanted if name not in dataset.jet_columns]
        if missing:
            raise InputError(
                f"{source}: lacks the jet columns {', '.join(missing)}; a generator of observables needs all of "
                f"{', '.join(wanted)}; train cloud-velocity, which learns particles, or give files that have them"
            )

    def make_pipeline(self, model: Model, dataset: Dataset) -> InputPipeline:
        """Makes the pipeline of coordinates, or particles, and classes."""
        from hepjax.models import CloudVelocity
        from hepjax.tasks.generation import cloud_pipeline, pipeline

        classes = self.classes or dataset.classes
        if isinstance(model, CloudVelocity):
            return cloud_pipeline.make_pipeline(model, classes)
        return pipeline.make_generator_pipeline(model, classes)

    def read(self, jets: Jets, rows: slice | np.ndarray) -> np.ndarray | None:
        """Reads (n, 1) float32 indices into the classes, −1 for jets of others; None of jets without labels."""
        import numpy as np

        from hepjax.tasks.generation import pipeline

        labels = pipeline.read_generator_labels(jets, rows, self.classes or jets.classes)
        return None if labels is None else labels[:, None].astype(np.float32)

    def check_targets(
        self, targets: Mapping[str, np.ndarray], columns: Sequence[str], source: str, member: str = ""
    ) -> None:
        """Refuses parts without jets of the classes, and few training jets of a class."""
        from hepjax.tasks.generation.cloud_encoding import FEWEST
        from hepjax.tasks.generation.preparation import FEWEST_JETS

        fewest = FEWEST if self._of_particles else FEWEST_JETS
        for part, labels in targets.items():
            where = f"the {part} part of {member}" if member else f"the {part} part"
            if not (labels >= 0).any():
                raise InputError(f"{source}: {where} has no jets of the classes to learn; give more")
            for c, name in enumerate(self.classes if part == "train" else ()):
                count = int((labels == c).sum())
                if 0 < count < fewest:
                    raise InputError(
                        f"{source}: {where} has {count} jets of {name}, expected {fewest} or more to learn from; "
                        "give more jets, or leave the class out by --classes"
                    )

    def prepare(self, splits: Splits, pipeline: InputPipeline, seed: int) -> Splits:
        """Leaves out jets of other classes, and such without the particles to learn."""
        import numpy as np

        from hepjax.inputs import load_subsets

        def keep(subset: Subset) -> np.ndarray:
            known: np.ndarray = subset.targets[:, 0] >= 0
            if not self._of_particles or subset.data is None:
                return known
            return known & np.asarray(subset.data.inputs.values.mask).any(axis=1)

        return load_subsets.select_learned_jets(splits, keep)

    def fit_variables(self, read_inputs: Callable[[], Any], dataset: Dataset) -> dict[str, PyTree]:
        """Fits the preparation of observables or particles to the training jets."""
        import numpy as np

        from hepjax.tasks.generation import cloud_preparation, device, networks

        inputs = read_inputs()
        if self._of_particles:
            arrays = cloud_preparation.fit_arrays(inputs, self.classes or dataset.classes)
            return {networks.PREPARATION: {"arrays": arrays}}
        labels = np.asarray(inputs.condition)[:, 0].astype(np.int64)
        arrays = device.fit_preparation_arrays(np.asarray(inputs.values), labels, self.classes or dataset.classes)
        return {networks.PREPARATION: {"arrays": arrays}}

    def mean_loss(
        self, outputs: jax.Array, targets: jax.Array, weights: jax.Array, statistics: Mapping[str, jax.Array]
    ) -> jax.Array:
        """Computes the mean of −ln p or of matching errors."""
        from hepjax.training import losses

        return losses.mean_network_loss(outputs[:, 0], targets, weights)

    def combine(self, predictions: Array) -> Array:
        """Computes −ln of the mean density of several generators, or the mean of their matching errors."""
        from hepjax.tasks.generation import flows

        if self._of_particles:
            return super().combine(predictions)
        mixture: Array = flows.mixture_nll(predictions)
        return mixture

    def complete(
        self, predictions: Predictions, read_networks: Callable[[], Sequence[TrainedNetwork]], seed: int
    ) -> Predictions:
        """Adds a generated jet for each test jet, of its class."""
        import numpy as np

        from hepjax.tasks.generation import merit_figures, sampling

        trained = read_networks()
        kept = (merit_figures.labels_of(predictions) >= 0) & ~np.isnan(predictions.values[:, 0])
        if not trained or not kept.any():
            return predictions
        known = predictions.take(kept)
        additions = sampling.generate_columns(trained, merit_figures.labels_of(known), self.classes, seed)
        return known._replace(additions=additions)

    def check_prediction(self, network: Model) -> None:
        """Refuses networks that have no density."""
        from hepjax.tasks.generation import networks

        if not networks.has_generator_density(network):
            raise InputError(
                "this run's model has no density, so no -ln p of jets; make new jets by "
                f"hepjax.tasks.generation.{self._maker}, or train coupling-flow"
            )

    def check_export(self) -> None:
        """Refuses all networks."""
        raise InputError(
            f"--task {NAME}: a generator cannot be exported; make new jets by hepjax.tasks.generation.{self._maker}"
        )

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Computes the mean of −ln p or matching errors, and the distances of generated jets."""
        from hepjax.tasks.generation import merit_figures

        return merit_figures.measure_generator(predictions, self.classes)

    def comparison_problem(self, own: Predictions, task: Generation, other: Predictions) -> str:
        """Returns that other classes or other columns are made."""
        from hepjax.tasks.generation import merit_figures

        if task.classes != self.classes:
            return f"--classes was {', '.join(task.classes)}, not {', '.join(self.classes)}; train with the same"
        return merit_figures.comparison_problem(own, other)

    def compare(self, first: Predictions, second: Predictions) -> dict[str, Any]:
        """Compares the losses of jets and the distances of generated jets."""
        from hepjax.tasks.generation import merit_figures

        return merit_figures.compare(first, second, self.classes)

    def comparison_table(
        self, names: Sequence[str], metrics: Sequence[Mapping[str, Any]], differences: Sequence[Any], jets: int
    ) -> Table:
        """Lists losses and distances of several generators, and their differences."""
        from hepjax import report
        from hepjax.tasks.generation.report import LOSSES

        return report.generation_comparison_table(names, metrics, differences, jets, LOSSES[self._content])

    def not_averaged(self) -> tuple[str, ...]:
        """Returns the keys of counts."""
        return ("test_jets", "without_density")

    def remarks(self, predictions: Predictions) -> list[str]:
        """Returns a line where jets have no density."""
        import numpy as np

        lost = int((~np.isfinite(predictions.values[:, 0])).sum())
        words = f"{lost} of {len(predictions.values)} jets have no finite {predictions.columns[0]}, and are not counted"
        return [words] if lost else []

    def pictures(self, predictions: Predictions) -> dict[str, Figure]:
        """Draws spectra and distances of generated jets."""
        from hepjax.tasks.generation import report

        return report.generation_pictures(predictions, self.classes, self._content)

    def write(self, folder: Path, predictions: Predictions) -> None:
        """Writes generated jets to generated.h5."""
        from hepjax.tasks.generation import report

        report.write_generated_jets(folder, predictions, self.classes)

    def table(self, metrics: Mapping[str, Any]) -> Table:
        """Lists −ln p or matching errors, and distances."""
        from hepjax import report
        from hepjax.tasks.generation.report import LOSSES

        return report.generated_table(metrics, LOSSES[self._content])

    def report_sections(self, results: Results) -> Iterator[Section]:
        """Yields the loss by class, spectra and distances."""
        from hepjax.tasks.generation import report

        return report.generation_sections(results.test, results.metrics, self.classes, self._content)

    def summary(self, metrics: Mapping[str, Any]) -> Summary | None:
        """Returns the loss and the typical distance over its floor."""
        from hepjax.tasks.generation import report

        return report.generation_summary(metrics, self._content)

    def card(self, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, list[str]]:
        """Returns what a model card says of a generator."""
        from hepjax.tasks.generation import report

        return report.generation_card(record, metrics, self._content)

    @property
    def _content(self) -> Content:
        """Returns what is generated; runs that do not say it are of observables, as are tasks without a model."""
        return self.content or Content.OBSERVABLES

    @property
    def _maker(self) -> str:
        """The name of the function that makes new jets."""
        return "generate_clouds" if self._of_particles else "generate"

    @property
    def _of_particles(self) -> bool:
        return self.content is Content.PARTICLES
