"""Classification as a task: labels in, class probabilities out."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hepjax.errors import InputError
from hepjax.tasks.classification import options
from hepjax.tasks.classification.options import Insensitivity
from hepjax.tasks.classification.scores import scores_of
from hepjax.tasks.task import Task
from hepjax.tasks.task_types import Figures, Layout, Objective, Predictions
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import jax
    import numpy as np
    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.inputs.load_subsets import Splits
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.models import Apply
    from hepjax.report import Section, Summary
    from hepjax.tasks.task_types import Results
    from hepjax.types import Array, Dataset, Epoch, Jets, PyTree, Scores


class _Needed(Figures):
    accuracy: float
    classes: dict[str, dict[str, float | None]]
    """Of each class AUC, rates and rejections."""


class ClassificationFigures(_Needed, total=False):
    """The content of metrics.json for a classification."""

    bounds: dict[str, dict[str, float]]
    jets: dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """Tells which class a jet is of, by probabilities."""

    insensitive: Insensitivity = dataclasses.field(default_factory=Insensitivity)
    balance: bool = False
    """Weight classes so that all count the same in training and validation, whatever their numbers and weights."""
    label_smoothing: float = 0.0
    """The share of each training label that is divided among all classes; validation labels stay as they are."""
    teacher: Path | None = None
    """Learn the probabilities of this trained classifier too, the folder of a run or an exported file."""
    teacher_temperature: float = 2.0
    """Logarithms of the teacher's probabilities, and of those that learn them, are divided by this."""
    teacher_share: float = 0.5
    """How much of the loss the teacher is; the rest is that of the labels."""

    layout: ClassVar[Layout] = Layout("scores", "labels", "classes", "probabilities")
    figures: ClassVar[Any] = ClassificationFigures
    headline: ClassVar[str] = "accuracy"

    def outputs(self, dataset: Dataset) -> int:
        """Returns the number of classes."""
        return len(dataset.classes)

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        """Returns the names of the classes."""
        return dataset.classes

    def read(self, jets: Jets, rows: slice | np.ndarray) -> np.ndarray | None:
        """Reads (n,) int32 class indices; None of jets without labels."""
        import numpy as np

        return None if jets.labels is None else np.asarray(jets.labels[rows], np.int32)

    def rules(self) -> Iterator[Rule]:
        """Yields what the options of labels, of insensitivity and of the teacher must keep to."""
        smoothing, temperature, share = self.label_smoothing, self.teacher_temperature, self.teacher_share
        asked = options.asks_for_decorrelation(self.insensitive)
        contest = self.teacher is not None and options.has_adversary(self.insensitive)
        yield Rule("--label-smoothing", smoothing, 0 <= smoothing < 1, "0 or more, below 1")
        yield Rule(
            "--label-smoothing", smoothing, not (smoothing and asked), "0 where predictions shall be insensitive"
        )
        yield from options.decorrelation_rules(self.insensitive)
        yield Rule("--teacher", self.teacher, not contest, "none where an adversary is trained against")
        yield Rule("--teacher-temperature", temperature, 0 < temperature < math.inf, "more than 0")
        yield Rule("--teacher-share", share, 0 <= share <= 1, "0 to 1")

    def negative_weights_problem(self) -> str:
        """Refuses negative weights where predictions shall not tell a quantity."""
        asked = options.asks_for_decorrelation(self.insensitive)
        return "under which --insensitive has no distance correlation" if asked else ""

    def weight_groups(self, targets: np.ndarray, columns: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns the classes."""
        return targets, tuple(columns)

    def balances_classes(self) -> bool:
        """Tells whether `balance` asks for it."""
        return self.balance

    def augmentation_problem(self) -> str:
        """Refuses nothing: classes stay what they are."""
        return ""

    def folds_problem(self) -> str:
        """Refuses folds where energies are shifted."""
        return "none where energies are shifted" if self.insensitive.energy_scale else ""

    def resolve(self, dataset: Dataset) -> Classification:
        """Names the background of the nuisance, and the whole path of the teacher."""
        teacher = None if self.teacher is None else Path(self.teacher).resolve()
        background = options.resolve_background(self.insensitive, dataset)
        return dataclasses.replace(self, insensitive=background, teacher=teacher)

    def taught_by(self) -> Path | None:
        """Returns where the teacher is."""
        return None if self.teacher is None else Path(self.teacher)

    def check_dataset(self, dataset: Dataset, source: str) -> None:
        """Refuses jets without labels."""
        if not dataset.classes:
            raise InputError(
                f"{source}: the jets have no labels, which a classifier learns; give labeled jets, or "
                "train for --task anomaly or generation, which need none"
            )

    def check_targets(
        self, targets: Mapping[str, np.ndarray], columns: Sequence[str], source: str, member: str = ""
    ) -> None:
        """Refuses jets of one class, and a part that lacks a class that another part has."""
        import numpy as np

        from hepjax.inputs import batching

        present = np.unique(np.concatenate(list(targets.values()))).tolist()
        if len(present) < 2:
            only = columns[present[0]] if present else "none"
            raise InputError(f"{source}: all jets are of class {only}; give jets of two classes or more")
        for name, labels in targets.items():
            where = f"{name} part of {member}" if member else name
            batching.check_classes(labels, present, where, columns)

    def prepare(self, splits: Splits, pipeline: InputPipeline, seed: int) -> Splits:
        """Gives each jet its nuisance where the predictions shall not tell it."""
        if not options.asks_for_decorrelation(self.insensitive):
            return splits
        from hepjax.tasks.classification import decorrelation

        return decorrelation.attach_nuisance(splits, pipeline.columns, self.insensitive, seed)

    def objective(self, apply: Apply, dataset: Dataset, targets: np.ndarray) -> Objective:
        """Returns the network and the cross-entropy, with the terms that insensitivity and the teacher add."""
        from functools import partial

        from hepjax.tasks.classification import decorrelation
        from hepjax.training import distillation, losses

        loss = losses.categorical_cross_entropy
        objective = Objective(apply, partial(loss, smoothing=self.label_smoothing), apply, loss)
        if options.asks_for_decorrelation(self.insensitive):
            objective = decorrelation.make_decorrelation_objective(self.insensitive, dataset, apply, loss)
        if self.teacher is None:
            return objective
        mix = partial(distillation.with_teacher, temperature=self.teacher_temperature, share=self.teacher_share)
        return objective._replace(loss=mix(objective.loss), val_loss=mix(objective.val_loss))

    def mean_loss(
        self, outputs: jax.Array, targets: jax.Array, weights: jax.Array, statistics: Mapping[str, jax.Array]
    ) -> jax.Array:
        """Computes the cross-entropy of logits."""
        from hepjax.training import losses

        return losses.categorical_cross_entropy(outputs, targets, weights)

    def extra_parameters(self, dataset: Dataset, key: jax.Array) -> dict[str, PyTree]:
        """Draws the parameters of the adversary, where there is one."""
        if not options.has_adversary(self.insensitive):
            return {}
        from hepjax.tasks.classification import decorrelation

        return decorrelation.draw_adversary(self.insensitive, dataset, key)

    def network_parameters(self, params: PyTree) -> PyTree:
        """Returns the parameters without those of the adversary."""
        from hepjax.training.decorrelation import without_adversary

        return without_adversary(params)

    def predict(self, outputs: Any, statistics: Mapping[str, Any]) -> Any:
        """Turns logits into probabilities."""
        import jax

        return jax.nn.softmax(outputs)

    def calibrate(self, predictions: Array, temperature: float) -> Array:
        """Divides the logarithms of probabilities by a temperature."""
        from hepjax.training.distillation import soften

        calibrated: Array = soften(predictions, temperature)
        return calibrated

    def verdict(self, history: Sequence[Epoch], columns: Sequence[str]) -> dict[str, str]:
        """Judges a training from its losses, beside the loss of a guess."""
        from hepjax import evaluation

        if options.has_adversary(self.insensitive):
            words = "training and validation loss are of two kinds and say nothing of the fit."
            return {"kind": "contest", "words": f"Trained against an adversary: {words}"}
        guess = math.log(len(columns)) if self.teacher is None else None  # no loss is below a teacher's own doubts
        verdict = evaluation.verdict(history, chance_loss=guess)
        smoothed = " The training loss is that of smoothed labels." if self.label_smoothing else ""
        return {"kind": verdict.kind.value, "words": verdict.words + smoothed}

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Computes accuracy, loss, ROC figures, confusion and their intervals."""
        from hepjax import evaluation

        return evaluation.measure(scores_of(predictions))

    def validate(self, val: Predictions, test: Predictions) -> dict[str, Any]:
        """Fits the temperature on the validation part."""
        from hepjax import evaluation

        return {"calibration": evaluation.calibration_figures(scores_of(val), scores_of(test))}

    def ensemble_figures(self, members: Sequence[Predictions]) -> dict[str, Any]:
        """Takes the Brier score of the members apart."""
        from hepjax import evaluation

        return {"bias_and_variance": evaluation.bias_and_variance([scores_of(each) for each in members])}

    def not_averaged(self) -> tuple[str, ...]:
        """Returns the keys that count jets."""
        return ("jets", "effective_jets", "bounds")

    def remarks(self, predictions: Predictions) -> list[str]:
        """Returns a line for each class of which too little is known."""
        from hepjax import evaluation

        return evaluation.remarks(scores_of(predictions))

    def compare(self, first: Predictions, second: Predictions) -> dict[str, Any]:
        """Compares accuracy, loss, AUC and rejection of two taggers."""
        from hepjax import evaluation

        return evaluation.compare_scores(scores_of(first), scores_of(second))

    def pictures(self, predictions: Predictions) -> dict[str, Figure]:
        """Draws ROC curves, the confusion matrix and the distributions of scores."""
        from hepjax import report

        scores = scores_of(predictions)
        return {
            "roc.png": report.roc_figure(scores),
            "confusion.png": report.confusion_figure(scores),
            "scores.png": report.scores_figure(scores),
        }

    def learning_curve(self, sizes: Sequence[int], metrics: Sequence[Mapping[str, Any]]) -> Figure | None:
        """Draws loss and AUC over the number of training jets."""
        from hepjax import report

        return report.learning_curve_figure(sizes, metrics)

    def table(self, metrics: Mapping[str, Any]) -> Table:
        """Lists the figures of merit of each class."""
        from hepjax import report

        return report.metrics_table(metrics)

    def comparison_table(
        self, names: Sequence[str], metrics: Sequence[Mapping[str, Any]], differences: Sequence[Any], jets: int
    ) -> Table:
        """Lists the figures of merit of several taggers and their differences."""
        from hepjax import report

        return report.comparison_table(names, metrics, differences, jets)

    def report_sections(self, results: Results) -> Iterator[Section]:
        """Yields rejection, rates in bins, mass sculpting, jets, and what the network looks at."""
        from hepjax.tasks.classification import report

        return report.classification_sections(results)

    def scores(self, predictions: Predictions) -> Scores | None:
        """Returns the probabilities, where labels are known."""
        return None if predictions.targets is None else scores_of(predictions)

    def summary(self, metrics: Mapping[str, Any]) -> Summary | None:
        """Returns None: the page of a run shows a classifier by itself."""
        return None

    def card(self, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, list[str]]:
        """Returns nothing: a model card describes a classifier by itself."""
        return {}
