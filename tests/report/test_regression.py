"""Pictures and tables of predicted numbers."""

from __future__ import annotations

import numpy as np
import pytest

from hepjax import InputError
from hepjax.evaluation import Difference, Estimates, bias_and_resolution_in_bins, regression_figures
from hepjax.report import (
    coverage_figure,
    predicted_against_true_figure,
    pulls_figure,
    regression_comparison_table,
    regression_curve_figure,
    regression_table,
    residuals_in_bins_figure,
    response_figure,
    save,
)


@pytest.fixture
def toy(rng):
    truth = rng.gamma(4, 20, size=(400, 2))
    predicted = truth * (1 + 0.1 * rng.normal(size=truth.shape))
    quantiles = np.stack([0.9 * predicted, predicted, 1.1 * predicted], axis=-1)
    return Estimates(predicted, truth, ("j_mass", "width"), 0.1 * truth, quantiles, (0.16, 0.5, 0.84))


def measure(estimates):
    return regression_figures(estimates, (estimates.predicted - estimates.truth) ** 2)


@pytest.mark.parametrize("draw", [response_figure, predicted_against_true_figure, pulls_figure])
def test_a_panel_for_each_target(toy, draw, tmp_path, assert_legible):
    figure = draw(toy, label="hepjax simulation")
    assert_legible(figure)
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert len(panels) == 2
    assert panels[0].get_title(loc="left") == "hepjax simulation"
    save(figure, tmp_path / "figure.png")


def test_response_is_a_difference_where_truths_have_both_signs(toy):
    signed = toy._replace(truth=toy.truth - 80, predicted=toy.predicted - 80, quantiles=None)
    assert response_figure(signed).axes[0].get_xlabel() == "Predicted - true: Jet mass [GeV]"
    assert response_figure(toy).axes[0].get_xlabel() == "Predicted / true: Jet mass [GeV]"
    median = response_figure(toy).axes[0].get_legend().get_texts()[0].get_text()
    assert float(median.removeprefix("Median ")) == pytest.approx(1, abs=0.02)


def test_pulls_beside_a_gaussian_have_its_height(toy):
    density = pulls_figure(toy).axes[0].patches[0].get_data().values
    assert density.max() == pytest.approx(0.4, abs=0.15)
    assert density.sum() * 0.25 == pytest.approx(1)


def test_coverage_is_a_line_near_the_diagonal(toy):
    (_, line, _) = coverage_figure(toy).axes[0].get_lines()
    np.testing.assert_allclose(line.get_xdata(), toy.levels)
    np.testing.assert_allclose(line.get_ydata(), toy.levels, atol=0.08)


def test_bins_without_jets_leave_gaps(rng, assert_legible):
    residuals, x = rng.normal(size=60), np.repeat([0.5, 2.5], 30)
    bins = bias_and_resolution_in_bins(residuals, x, edges=[0, 1, 2, 3])
    figure = residuals_in_bins_figure({"true j_mass": bins, "j_pt": bins}, relative=False)
    assert_legible(figure)
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "True: Jet mass [GeV]", "Jet $p_T$ [GeV]"]
    values = figure.axes[2].containers[0].lines[0].get_ydata()
    assert np.isnan(values).tolist() == [False, True, False]
    np.testing.assert_allclose(values[0], bins.resolution[0])


def test_table_has_a_column_for_each_target_and_half_intervals(toy):
    figures = measure(toy)
    table = regression_table(figures)
    assert [column.header for column in table.columns] == ["", "j_mass", "width"]
    rows = dict(zip(table.columns[0].cells, table.columns[1].cells, strict=True))
    low, high = figures["intervals"]["targets"]["j_mass"]["resolution"]
    assert rows["Resolution"] == f"{figures['targets']['j_mass']['resolution']:.4g} ± {(high - low) / 2:.2g}"
    assert rows["Truths within one width"].startswith("6")
    assert rows["Truths below the quantile 0.5"].startswith(("4", "5"))
    assert "400 jets" in table.caption
    spread = {"loss": 0.1, "targets": {"j_mass": {"resolution": 2.0}}}
    assert "one training" in regression_table(figures | {"spread": spread}).caption


def test_comparison_marks_what_is_significant(toy):
    figures = measure(toy)
    sure, unsure = Difference(-1.0, 0.1, 1e-9), Difference(0.1, 0.1, 0.3)
    change = {"loss": sure, "targets": {name: {"mean_squared_error": unsure, "resolution": None} for name in toy.names}}
    table = regression_comparison_table(["a", "b"], [figures, figures], [change], 400)
    cells = list(table.columns[2].cells)
    assert cells[0].endswith("-1 ± 0.1 *")
    assert cells[1].endswith("+0.1 ± 0.1")
    assert "±" not in cells[2]


def test_curve_rises_with_the_sizes(toy):
    figures = measure(toy)
    figure = regression_curve_figure([300, 100, 200], [figures | {"loss": loss} for loss in (0.1, 0.3, 0.2)])
    line = figure.axes[0].get_lines()[0]
    assert line.get_xdata().tolist() == [100, 200, 300]
    assert list(line.get_ydata()) == [0.3, 0.2, 0.1]


def test_unsound_estimates_are_refused(toy):
    for draw in (response_figure, predicted_against_true_figure, pulls_figure, coverage_figure):
        with pytest.raises(InputError, match="expected finite"):
            draw(toy._replace(predicted=np.full((400, 2), np.nan)))
