"""Generation as a task: jets and their classes in, −ln p out, and new jets of each class."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from hepjax.errors import InputError
from hepjax.tasks.structures import Figures
from hepjax.tasks.task import Task
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import jax
    import numpy as np
    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.inputs.subsets import Splits
    from hepjax.models.model import Model
    from hepjax.report import Section, Summary
    from hepjax.tasks.structures import Predictions, Results, TrainedNetwork
    from hepjax.types import Array, Dataset, Jets, PyTree

NAME = "generation"


class GenerationFigures(Figures):
    """What metrics.json holds of a generator."""

    loss_of: dict[str, float | None]
    distances: dict[str, dict[str, dict[str, float | None]]]
    """Of all jets and each class, of each observable."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generation(Task):
    """Learns to make new jets of each class: their 16 standard observables."""

    classes: tuple[str, ...] = ()
    """The classes to learn; the default is all. Jets of others are left out."""

    figures: ClassVar[Any] = GenerationFigures
    may_be_infinite: ClassVar[bool] = True

    def rules(self) -> Iterator[Rule]:
        """Yields what the options must keep to."""
        yield Rule("--classes", self.classes, len({*self.classes}) == len(self.classes), "different classes")

    def resolve(self, dataset: Dataset) -> Generation:
        """Returns the task with all classes of the dataset where none are chosen."""
        return dataclasses.replace(self, classes=self.classes or dataset.classes)

    def outputs(self, dataset: Dataset) -> int:
        """Returns 1."""
        return 1

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        """Returns "nll", which is −ln p."""
        return ("nll",)

    def observables(self, dataset: Dataset) -> tuple[str, ...]:
        """Returns the jet columns that are generated."""
        from hepjax.tasks.generation import pipeline

        return pipeline.observables()

    def for_model(self, model: Model) -> Generation:
        """Refuses models that are no generators."""
        from hepjax.models import CouplingFlow, VariationalAutoencoder
        from hepjax.models.registry import MODELS
        from hepjax.tasks.generation import pipeline

        if not isinstance(model, CouplingFlow | VariationalAutoencoder):
            raise InputError(
                f"model {MODELS.name_of(model)}: makes no jets; use hepjax train coupling-flow --task {NAME}, or "
                f"hepjax train variational-autoencoder --task {NAME}"
            )
        features = getattr(model, "features", ())
        if features not in ((), pipeline.observables()):
            raise InputError(
                f"--features: --task {NAME} learns the {len(pipeline.observables())} standard observables together; "
                "leave the option out"
            )
        conditions = getattr(model, "conditions", 0)
        if conditions:
            raise InputError(f"--conditions: --task {NAME} has the class as condition; leave the option out")
        return self

    def check_dataset(self, dataset: Dataset, source: str) -> None:
        """Refuses files without labels, without a class that is asked for, or without an observable."""
        if not dataset.classes:
            raise InputError(f"{source}: the jets have no labels, and jets of each class are made; give other files")
        for name in self.classes:
            if name not in dataset.classes:
                raise InputError(
                    f"{source}: --classes: {name} is not in the files, which hold {', '.join(dataset.classes)}; "
                    "choose of these"
                )
        missing = [name for name in self.observables(dataset) if name not in dataset.jet_columns]
        if missing:
            raise InputError(
                f"{source}: lacks the jet column {missing[0]}; a generator needs the standard observables, which "
                "hepjax info lists of files that have them"
            )

    def make_pipeline(self, model: Model, dataset: Dataset) -> InputPipeline:
        """Makes the pipeline of coordinates and classes."""
        from hepjax.tasks.generation import pipeline

        return pipeline.make_pipeline(model, self.classes or dataset.classes)

    def read(self, jets: Jets, rows: slice | np.ndarray) -> np.ndarray | None:
        """Reads (n, 1) float32 indices into the classes, −1 for jets of others; None of jets without labels."""
        import numpy as np

        from hepjax.tasks.generation import pipeline

        labels = pipeline.read_labels(jets, rows, self.classes or jets.classes)
        return None if labels is None else labels[:, None].astype(np.float32)

    def check_targets(
        self, targets: Mapping[str, np.ndarray], columns: Sequence[str], source: str, member: str = ""
    ) -> None:
        """Refuses parts without jets of the classes, and few training jets of a class."""
        from hepjax.tasks.generation.preparation import FEWEST_JETS

        for part, labels in targets.items():
            where = f"the {part} part of {member}" if member else f"the {part} part"
            if not (labels >= 0).any():
                raise InputError(f"{source}: {where} has no jets of the classes to learn; give more")
            for c, name in enumerate(self.classes if part == "train" else ()):
                count = int((labels == c).sum())
                if 0 < count < FEWEST_JETS:
                    raise InputError(
                        f"{source}: {where} has {count} jets of {name}, expected {FEWEST_JETS} or more to learn from; "
                        "give more jets, or leave the class out by --classes"
                    )

    def prepare(self, splits: Splits, pipeline: InputPipeline, seed: int) -> Splits:
        """Leaves out jets of other classes."""
        from hepjax.inputs import subsets

        return subsets.select(splits, lambda subset: subset.targets[:, 0] >= 0)

    def fit_variables(self, read_inputs: Callable[[], Any], dataset: Dataset) -> dict[str, PyTree]:
        """Fits the preparation of observables to the training jets."""
        import numpy as np

        from hepjax.tasks.generation import device, networks

        inputs = read_inputs()
        labels = np.asarray(inputs.condition)[:, 0].astype(np.int64)
        arrays = device.fit_arrays(np.asarray(inputs.values), labels, self.classes or dataset.classes)
        return {networks.PREPARATION: {"arrays": arrays}}

    def mean_loss(
        self, outputs: jax.Array, targets: jax.Array, weights: jax.Array, statistics: Mapping[str, jax.Array]
    ) -> jax.Array:
        """Computes the mean of −ln p."""
        from hepjax.training import losses

        return losses.mean_answer(outputs[:, 0], targets, weights)

    def combine(self, predictions: Array) -> Array:
        """Computes −ln of the mean density of several generators."""
        from hepjax.tasks.generation import flows

        mixture: Array = flows.mixture_nll(predictions)
        return mixture

    def complete(
        self, predictions: Predictions, read_networks: Callable[[], Sequence[TrainedNetwork]], seed: int
    ) -> Predictions:
        """Adds a generated jet for each test jet, of its class."""
        from hepjax.tasks.generation import figures, networks, pipeline, sampling

        trained, kept = read_networks(), figures.labels_of(predictions) >= 0
        if not trained or not kept.any():
            return predictions
        known = predictions.take(kept)
        jets = sampling.generate_by(trained, figures.labels_of(known), self.classes, seed)
        columns = {f"{figures.PREFIX}{name}": jets[:, i] for i, name in enumerate(pipeline.observables())}
        exact = networks.has_density(trained[0].pipeline.network)
        return known._replace(
            observables={**known.observables, **columns}, columns=known.columns if exact else ("nll_bound",)
        )

    def check_prediction(self, network: Model) -> None:
        """Refuses networks that have no density."""
        from hepjax.tasks.generation import networks

        if not networks.has_density(network):
            raise InputError(
                "this run's model has no density, so no -ln p of jets; make new jets by "
                "hepjax.tasks.generation.generate, or train coupling-flow"
            )

    def check_export(self) -> None:
        """Refuses all networks."""
        raise InputError(
            "--task generation: a generator cannot be exported; make new jets by hepjax.tasks.generation.generate"
        )

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Computes −ln p and the distances of generated jets."""
        from hepjax.tasks.generation import figures

        return figures.measure(predictions, self.classes)

    def not_averaged(self) -> tuple[str, ...]:
        """Returns the keys of counts."""
        return ("test_jets", "without_density")

    def remarks(self, predictions: Predictions) -> list[str]:
        """Returns a line where jets have no density."""
        import numpy as np

        lost = int((~np.isfinite(predictions.values[:, 0])).sum())
        return [f"{lost} of {len(predictions.values)} jets have no finite -ln p, and are not counted"] if lost else []

    def pictures(self, predictions: Predictions) -> dict[str, Figure]:
        """Draws spectra and distances of generated jets."""
        from hepjax.tasks.generation import report

        return report.pictures(predictions, self.classes)

    def write(self, folder: Path, predictions: Predictions) -> None:
        """Writes generated jets to generated.h5."""
        from hepjax.tasks.generation import report

        report.write_jets(folder, predictions, self.classes)

    def table(self, metrics: Mapping[str, Any]) -> Table:
        """Lists −ln p and distances."""
        from hepjax import report

        return report.generated_table(metrics)

    def report_sections(self, results: Results) -> Iterator[Section]:
        """Yields −ln p by class, spectra and distances."""
        from hepjax.tasks.generation import report

        return report.sections(results.test, results.metrics, self.classes)

    def summary(self, metrics: Mapping[str, Any]) -> Summary | None:
        """Returns −ln p and the typical distance over its floor."""
        from hepjax.tasks.generation import report

        return report.summary(metrics)

    def card(self, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, list[str]]:
        """Returns what a model card says of a generator."""
        from hepjax.tasks.generation import report

        return report.card(record, metrics)
