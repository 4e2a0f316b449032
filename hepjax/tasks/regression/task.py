"""Regression as a task: jet columns as targets, their predicted values out, with a width or quantiles where asked."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from hepjax.choices import RegressionLoss
from hepjax.errors import InputError
from hepjax.tasks.regression.options import RegressionOptions
from hepjax.tasks.task_types import Figures
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import jax
    import numpy as np
    from matplotlib.figure import Figure
    from rich.table import Table

    from hepjax.report import Section, Summary
    from hepjax.tasks.task_types import Predictions, Results
    from hepjax.types import Array, Dataset, Epoch, Jets

_MEDIAN = 0.5


class RegressionFigures(Figures):
    """The content of metrics.json for a regression."""

    targets: dict[str, dict[str, Any]]
    """Of each target bias, resolution and the others."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regression(RegressionOptions):
    """Predicts the values of jet columns, such as a jet's mass from its particles."""

    statistics_names: ClassVar[tuple[str, ...]] = ("mean", "width")
    figures: ClassVar[Any] = RegressionFigures

    def rules(self) -> Iterator[Rule]:
        """Yields what the options must keep to."""
        levels = self.quantiles
        yield Rule("--target", "none", bool(self.target), "one jet column or more; hepjax info lists them")
        yield Rule("--target", self.target, len({*self.target}) == len(self.target), "different columns")
        yield Rule("--huber-delta", self.huber_delta, 0 < self.huber_delta < float("inf"), "more than 0")
        rising = all(a < b for a, b in zip((0.0, *levels), (*levels, 1.0), strict=True))
        yield Rule("--quantiles", levels, rising and _MEDIAN in levels, "rising levels between 0 and 1, 0.5 among them")

    def outputs(self, dataset: Dataset) -> int:
        """Returns one output a target; with widths two, with quantiles as many as there are levels."""
        return len(self.target) * self._outputs_by_target

    def columns(self, dataset: Dataset) -> tuple[str, ...]:
        """Returns the targets; then their widths, or instead their quantiles such as j_mass_q0.16."""
        if self.loss is RegressionLoss.GAUSSIAN:
            return (*self.target, *(f"{name}_width" for name in self.target))
        if self.loss is RegressionLoss.QUANTILES:
            return tuple(f"{name}_q{level:g}" for name in self.target for level in self.quantiles)
        return self.target

    def check_dataset(self, dataset: Dataset, source: str) -> None:
        """Refuses files that lack a target."""
        self._target_places(dataset, source)

    def visible(self, dataset: Dataset) -> Dataset:
        """Returns the dataset without the targets among the features."""
        hidden = {dataset.jet_columns[place] for place in self._target_places(dataset, "")}
        return dataclasses.replace(dataset, features=tuple(name for name in dataset.features if name not in hidden))

    def check_inputs(self, columns: Sequence[str], dataset: Dataset) -> None:
        """Refuses a target among the jet columns that the model reads."""
        from hepjax.inputs.column_names import observable_places

        hidden = {*self._target_places(dataset, "")}
        for name in columns:
            if observable_places([name], dataset, "--features")[0] in hidden:
                raise InputError(
                    f"--features: {name} is a target of --target, and would be given away; leave it out of one of them"
                )

    def read(self, jets: Jets, rows: slice | np.ndarray) -> np.ndarray | None:
        """Reads (n, D) float32 targets; None of jets that lack one."""
        from hepjax.inputs import tabular

        try:
            self._target_places(jets.dataset, "")
        except InputError:
            return None
        return tabular(jets, self.target, rows=rows)

    def check_targets(
        self, targets: Mapping[str, np.ndarray], columns: Sequence[str], source: str, member: str = ""
    ) -> None:
        """Refuses parts without jets, targets that are not finite or absurd, and such as are constant in training."""
        import numpy as np

        from hepjax.inputs.scaling import fit_scaling, is_far

        for part, values in targets.items():
            where = f"the {part} part of {member}" if member else f"the {part} part"
            if not len(values):
                raise InputError(f"{source}: {where} has no jets; give more")
            for d, name in enumerate(self.target):
                wrong = int((~np.isfinite(values[:, d])).sum())
                if wrong:
                    raise InputError(
                        f"{source}: column {name}, a target, is not finite in {wrong} of {len(values)} jets of {where}"
                        "; leave those jets out, or choose another target"
                    )
                if part == "train" and values[:, d].min() == values[:, d].max():
                    raise InputError(
                        f"{source}: column {name}, a target, is {values[0, d]:g} in all jets of {where}, so that there "
                        "is nothing to learn; choose another target by --target"
                    )
        if "train" not in targets:  # those of an evaluation are measured as they are
            return
        scaling = fit_scaling(targets["train"])
        for part, values in targets.items():
            far = np.argwhere(is_far(scaling, values))
            for place, d in far[:1]:
                raise InputError(
                    f"{source}: column {self.target[d]}, a target, is {values[place, d]:g} in a jet of the {part} "
                    f"part, far outside the rest (mean {scaling.mean[d]:.3g}, standard deviation "
                    f"{scaling.std[d]:.3g}), and {len(far) - 1} other targets are so; leave those jets out"
                )

    def statistics(self, targets: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Computes the mean and the standard deviation of each training target, to scale by."""
        import numpy as np

        y = targets.astype(np.float64)
        mean = np.average(y, axis=0, weights=weights)
        width = np.sqrt(np.maximum(np.average((y - mean) ** 2, axis=0, weights=weights), 0))
        return {"mean": mean.astype(np.float32), "width": np.where(width > 0, width, 1).astype(np.float32)}

    def mean_loss(
        self, outputs: jax.Array, targets: jax.Array, weights: jax.Array, statistics: Mapping[str, jax.Array]
    ) -> jax.Array:
        """Computes the chosen loss of scaled targets."""
        from hepjax.training import losses

        scaled = (targets - statistics["mean"]) / statistics["width"]
        if self.loss is RegressionLoss.HUBER:
            return losses.huber_loss(outputs, scaled, weights, delta=self.huber_delta)
        if self.loss is RegressionLoss.GAUSSIAN:
            return losses.gaussian_nll(outputs, scaled, weights)
        if self.loss is RegressionLoss.QUANTILES:
            return losses.quantile_loss(outputs, scaled, weights, levels=self.quantiles)
        return losses.mean_squared_error(outputs, scaled, weights)

    def predict(self, outputs: Any, statistics: Mapping[str, Any]) -> Any:
        """Turns outputs into values, widths or quantiles in the targets' units."""
        from hepjax.tasks.regression import predictions

        return predictions.predictions_in_units(outputs, statistics, self.loss, len(self.quantiles))

    def combine(self, predictions: Array) -> Array:
        """Averages members; with widths, to the mean and the width of the mixture of their Gaussians."""
        if self.loss is not RegressionLoss.GAUSSIAN:
            return super().combine(predictions)
        from hepjax.tasks.regression.predictions import gaussian_mixture_moments

        return gaussian_mixture_moments(predictions)

    def verdict(self, history: Sequence[Epoch], columns: Sequence[str]) -> dict[str, str]:
        """Judges a training from its losses, beside the loss of predicting the mean where that is known."""
        import math

        from hepjax import evaluation

        chance = {
            RegressionLoss.SQUARED_ERROR: 1.0,
            RegressionLoss.GAUSSIAN: 0.5 * math.log(2 * math.pi * math.e),
        }
        verdict = evaluation.verdict(history, chance_loss=chance.get(self.loss))
        return {"kind": verdict.kind.value, "words": verdict.words}

    def evaluate(self, predictions: Predictions) -> dict[str, Any]:
        """Computes bias, resolution, errors, pulls and coverage, in all and in bins of the truth and of pT."""
        from hepjax.tasks.regression import merit_figures

        return merit_figures.measure_regression(self, predictions)

    def not_averaged(self) -> tuple[str, ...]:
        """Returns the keys of counts and of bins."""
        return ("test_jets", "in_bins")

    def ensemble_figures(self, members: Sequence[Predictions]) -> dict[str, Any]:
        """Takes the squared error of the members apart."""
        from hepjax.tasks.regression import merit_figures

        return merit_figures.regression_ensemble_figures(self, members)

    def compare(self, first: Predictions, second: Predictions) -> dict[str, Any]:
        """Compares loss, squared error and resolution."""
        from hepjax.tasks.regression import merit_figures

        return merit_figures.compare_regression_figures(self, first, second)

    def pictures(self, predictions: Predictions) -> dict[str, Figure]:
        """Draws the response, predicted against true values, bias and resolution in bins, and pulls or coverage."""
        from hepjax.tasks.regression import report

        return report.regression_pictures(self, predictions)

    def learning_curve(self, sizes: Sequence[int], metrics: Sequence[Mapping[str, Any]]) -> Figure | None:
        """Draws loss and resolution over the number of training jets."""
        from hepjax import report

        return report.regression_curve_figure(sizes, metrics)

    def table(self, metrics: Mapping[str, Any]) -> Table:
        """Lists the figures of merit of each target."""
        from hepjax import report

        return report.regression_table(metrics)

    def comparison_table(
        self, names: Sequence[str], metrics: Sequence[Mapping[str, Any]], differences: Sequence[Any], jets: int
    ) -> Table:
        """Lists loss, errors and resolutions of several models and their differences."""
        from hepjax import report

        return report.regression_comparison_table(names, metrics, differences, jets)

    def report_sections(self, results: Results) -> Iterator[Section]:
        """Yields figures of merit, response, bias and resolution in bins, and pulls or coverage."""
        from hepjax.tasks.regression import report

        return report.regression_sections(self, results)

    def summary(self, metrics: Mapping[str, Any]) -> Summary | None:
        """Returns the resolution and the errors of each target."""
        from hepjax.tasks.regression import report

        return report.regression_summary(metrics)

    def card(self, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, list[str]]:
        """Returns what a model card says of predicted values."""
        from hepjax.tasks.regression import report

        return report.regression_card(self, record, metrics)

    @property
    def _outputs_by_target(self) -> int:
        """Outputs for each target."""
        return {RegressionLoss.GAUSSIAN: 2, RegressionLoss.QUANTILES: len(self.quantiles)}.get(self.loss, 1)

    def _target_places(self, dataset: Dataset, source: str) -> list[int]:
        from hepjax.inputs.column_names import observable_places

        try:
            return observable_places(self.target, dataset, "--target")
        except InputError as error:
            raise InputError(f"{source}: {error}; hepjax info lists the columns" if source else str(error)) from error
