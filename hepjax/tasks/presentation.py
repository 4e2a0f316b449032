"""The further figures of merit, the pictures and the words of a task, which a run folder and a page show."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from hepjax.errors import InputError
from hepjax.tasks.task_types import Figures, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.report import Section, Summary
    from hepjax.tasks.task_types import Predictions, Results
    from hepjax.types import Scores


@dataclasses.dataclass(frozen=True, kw_only=True)
class Presentation:
    """The part of a task that measures and shows results; every method has a default, which a task may replace."""

    layout: ClassVar[Layout] = Layout()
    """The names of datasets and attributes in test.h5 and the files of `hepjax predict`."""
    figures: ClassVar[Any] = Figures
    """The type of metrics.json, a `TypedDict`: `Figures` with those of the task."""
    may_lack_predictions: ClassVar[bool] = False
    """Whether a prediction may be NaN or infinite: jets of a class that was not learned, or where a density is 0."""

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

    def comparison_problem(self, own: Predictions, task: Any, other: Predictions) -> str:
        """Returns why predictions cannot be compared with those of another model, or ""; by default for other columns.

        Args:
          own: of a model that has learned this task.
          task: that the other model has learned, of the same class.
          other: of that model.
        """
        if own.columns == other.columns:
            return ""
        return (
            f"predicts {', '.join(other.columns)}, not {', '.join(own.columns)}; compare models that predict the same"
        )

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

    def write(self, folder: Path, predictions: Predictions) -> None:
        """Writes further files into a run folder; none by default.

        Args:
          folder: of the run; files there are replaced.
          predictions: of the test jets.
        """

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
