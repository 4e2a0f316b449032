"""Anomaly detection as a task: background jets in, anomaly scores out."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from hepjax.choices import AnomalyLoss
from hepjax.errors import InputError
from hepjax.tasks.anomaly.options import AnomalyOptions
from hepjax.tasks.task_types import Figures, Layout
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import jax
    import numpy as np
    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.inputs.load_subsets import Selection
    from hepjax.models import Model
    from hepjax.report import Section, Summary
    from hepjax.tasks.task_types import Predictions, Results
    from hepjax.types import Dataset, Jets

_COLUMNS = ("reconstruction_error", "latent_distance", "both")
_VARIATIONAL_COLUMNS = ("kl_divergence", "negative_elbo")

log = logging.getLogger("hepjax")


class _Needed(Figures):
    anomalies: dict[str, dict[str, dict[str, float | None]]]
    """Of each kind and score AUC and rejections."""
    test_jets: dict[str, float]


class AnomalyFigures(_Needed, total=False):
    """The content of metrics.json for a search for anomalies."""

    bounds: dict[str, dict[str, dict[str, float]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anomaly(AnomalyOptions):
    """Tells how unlike the background a jet is, by an autoencoder that has learned the background alone."""

    layout: ClassVar[Layout] = Layout(values="scores", targets="labels")
    figures: ClassVar[Any] = AnomalyFigures
    reference_names: ClassVar[tuple[str, ...]] = (
        "code_mean",
        "code_whitening",
        "error_thresholds",
        "error_widths",
        "error_rises",
        "distance_thresholds",
        "distance_widths",
        "distance_rises",
    )

    def rules(self) -> Iterator[Rule]:
        """Yields what the options must keep to."""
        from hepjax.tasks.anomaly.scores import is_anomaly_share_valid

        share, both = self.contamination, {*self.background} & {*self.anomalies}
        yield Rule("--contamination", f"{share:g}", is_anomaly_share_valid(share), "0 or a share from 0.001 to 0.1")
        words = f"classes other than the background's, {', '.join(self.background)}"
        yield Rule("--anomalies", ", ".join(self.anomalies), not both, words)
        for option, names in (("--background", self.background), ("--anomalies", self.anomalies)):
            yield Rule(option, ", ".join(names), len({*names}) == len(names), "different classes")

    def for_model(self, model: Model) -> Anomaly:
        """Names the loss; refuses models that do not give their inputs back."""
        from hepjax.models import Reconstructing
        from hepjax.models.registry import MODELS

        if not isinstance(model, Reconstructing):
            raise InputError(
                f"--task anomaly: expected a model that gives its inputs back, found {MODELS.name_of(model)}; run "
                "hepjax train autoencoder --task anomaly, or take variational-autoencoder, conv-autoencoder or "
                "image-autoencoder"
            )
        variational = model.is_variational()
        if self.loss is AnomalyLoss.NEGATIVE_ELBO and not variational:
            raise InputError(
                f"--loss: expected reconstruction-error, for codes of {MODELS.name_of(model)} are no distributions, "
                "found negative-elbo; leave it out, or train a variational model"
            )
        stated = AnomalyLoss.NEGATIVE_ELBO if variational else AnomalyLoss.RECONSTRUCTION_ERROR
        return dataclasses.replace(self, loss=self.loss or stated)

    def resolve(self, dataset: Dataset) -> Anomaly:
        """Names the classes of the background and the anomalies."""
        background = self.background or dataset.background or dataset.classes
        others = tuple(name for name in dataset.classes if name not in background)
        if not (self.anomalies or others):
            log.warning("all jets are background: scores only, there are no figures of merit")
        if self.contamination and not (self.anomalies or others):
            raise InputError(
                f"--contamination: expected 0, for all jets are background, found {self.contamination:g}; name the "
                "classes to learn by --background"
            )
        return dataclasses.replace(self, background=background, anomalies=self.anomalies or others)

    def outputs(self, dataset: Dataset) -> int:
        """Returns 1: networks that give their inputs back know by themselves how many outputs they have."""
        return 1

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        """Returns the names of the scores; a code that is a distribution has two more."""
        return (*_COLUMNS, *(_VARIATIONAL_COLUMNS if self.loss is AnomalyLoss.NEGATIVE_ELBO else ()))

    def check_dataset(self, dataset: Dataset, source: str) -> None:
        """Refuses files without the classes that are named."""
        from hepjax.registry import similar_names_hint

        for option, names in (("--background", self.background), ("--anomalies", self.anomalies)):
            for name in names:
                if name not in dataset.classes:
                    remedy = (
                        similar_names_hint(name, dataset.classes)
                        if dataset.classes
                        else "the files have no labels; leave it out"
                    )
                    raise InputError(f"{option}: {source} has no class {name}; {remedy}")

    def negative_weights_problem(self) -> str:
        """Refuses negative weights."""
        return "with which the distributions of scores and codes are none"

    def read(self, jets: Jets, rows: slice | np.ndarray) -> np.ndarray | None:
        """Reads (n,) float32 numbers of classes: background first, then anomalies, -1 for others; 0 if all are one."""
        import numpy as np

        if not self.background:
            return np.zeros(len(np.arange(len(jets))[rows]), np.float32)
        if jets.labels is None:
            return None
        names = (*self.background, *self.anomalies)
        numbers = [names.index(name) if name in names else -1 for name in jets.classes]
        labels: np.ndarray = np.asarray(numbers, np.float32)[np.asarray(jets.labels[rows])]
        return labels

    def selection(self) -> Selection:
        """Returns what takes the background, and the contamination."""
        from hepjax.tasks.anomaly.scores import background_rows

        def select(targets: np.ndarray, seed: int) -> np.ndarray:
            return background_rows(targets, self._kinds, share=self.contamination, seed=seed)

        return select

    def check_targets(
        self, targets: Mapping[str, np.ndarray], columns: Sequence[str], source: str, member: str = ""
    ) -> None:
        """Refuses parts without background, a class without jets, and a contamination of no jet."""
        import numpy as np

        together = np.concatenate(list(targets.values()))
        for number, name in enumerate(self.background):
            if "train" in targets and not (together == number).any():
                raise InputError(f"--background: {source} has no jet of the class {name}; leave it out")
        for part, numbers in targets.items():
            where = f"the {part} part of {member}" if member else f"the {part} part"
            if ((numbers >= 0) & (numbers < self._kinds)).sum() < 2:
                words = f" ({', '.join(self.background)})" if self.background else ""
                raise InputError(f"{source}: {where} has fewer than two background jets{words}; give more")
        if self.contamination and "train" in targets and not (targets["train"] >= self._kinds).any():
            raise InputError(
                f"--contamination: {self.contamination:g} of the training jets is none; give more, or another share"
            )

    def read_out(self, outputs: Any, inputs: Any) -> jax.Array:
        """Returns (B, 3 + L): reconstruction error, KL divergence, negative ELBO, and the code of L numbers."""
        from hepjax.tasks.anomaly import detection

        return detection.anomaly_read_out(outputs, inputs)

    def mean_loss(
        self, outputs: jax.Array, targets: jax.Array, weights: jax.Array, statistics: Mapping[str, jax.Array]
    ) -> jax.Array:
        """Computes the mean of the reconstruction error or of the negative ELBO."""
        from hepjax.tasks.anomaly import detection
        from hepjax.training import losses

        column = detection.ELBO if self.loss is AnomalyLoss.NEGATIVE_ELBO else detection.ERROR
        return losses.mean_network_loss(outputs[:, column], targets, weights)

    def references(
        self,
        train: np.ndarray,
        val: np.ndarray,
        weights: tuple[np.ndarray, np.ndarray],
    ) -> dict[str, np.ndarray]:
        """Computes the distribution of the background's codes, and those of held-out scores."""
        from hepjax.tasks.anomaly import detection

        return detection.background_references(train, val, weights)

    def predict(self, outputs: jax.Array, statistics: Mapping[str, jax.Array]) -> jax.Array:
        """Turns outputs into the scores that `columns` names."""
        from hepjax.tasks.anomaly import detection

        return detection.anomaly_scores(outputs, statistics, variational=self.loss is AnomalyLoss.NEGATIVE_ELBO)

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Computes AUC and rejection of each score for each class of anomalies and for all, with intervals."""
        from hepjax.tasks.anomaly import merit_figures

        return merit_figures.measure_anomaly_scores(self, predictions)

    def not_averaged(self) -> tuple[str, ...]:
        """Returns the keys of counts and bounds."""
        return ("test_jets", "bounds")

    def remarks(self, predictions: Predictions) -> list[str]:
        """Returns a line where there is no anomaly among the jets."""
        from hepjax.tasks.anomaly import merit_figures

        if merit_figures.anomaly_kinds(self, predictions):
            return []
        return ["no anomalies among these jets: scores only, there are no figures of merit"]

    def comparison_problem(self, own: Predictions, task: Anomaly, other: Predictions) -> str:
        """Returns that classes differ, or that there is no score in common."""
        from hepjax.tasks.anomaly import merit_figures

        return merit_figures.comparison_problem(self, own, task, other)

    def compare(self, first: Predictions, second: Predictions) -> dict[str, Any]:
        """Compares AUC and rejection of the scores in common."""
        from hepjax.tasks.anomaly import merit_figures

        return merit_figures.compare(self, first, second)

    def comparison_table(
        self, names: Sequence[str], metrics: Sequence[Mapping[str, Any]], differences: Sequence[Any], jets: int
    ) -> Table:
        """Lists AUC and rejection of each score for each kind of anomalies, and their differences."""
        from hepjax import report

        return report.anomaly_comparison_table(names, metrics, differences, jets)

    def pictures(self, predictions: Predictions) -> dict[str, Figure]:
        """Draws ROC curves, and the distributions of the scores."""
        from hepjax.tasks.anomaly import report

        return report.anomaly_pictures(self, predictions)

    def table(self, metrics: Mapping[str, Any]) -> Table:
        """Lists the figures of merit of each score and kind of anomalies."""
        from hepjax import report
        from hepjax.tasks.anomaly import merit_figures

        return report.anomaly_figures_table(merit_figures.join_anomaly_figures(metrics), metrics)

    def report_sections(self, results: Results) -> Iterator[Section]:
        """Yields figures of merit, ROC curves and distributions of scores."""
        from hepjax.tasks.anomaly import report

        return report.anomaly_sections(self, results)

    def summary(self, metrics: Mapping[str, Any]) -> Summary | None:
        """Returns the best score of each kind of anomalies."""
        from hepjax.tasks.anomaly import report

        return report.anomaly_summary(metrics)

    def card(self, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, list[str]]:
        """Returns what a model card says of anomaly scores."""
        from hepjax.tasks.anomaly import report

        return report.anomaly_card(self, record, metrics)

    @property
    def _kinds(self) -> int:
        """The number of background classes; 1 of jets that have none."""
        return max(len(self.background), 1)
