"""Figures of merit of predicted numbers, against closed forms, numpy and coverage in many toys."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hepjax.errors import InputError
from hepjax.evaluation import (
    Estimates,
    bias_and_resolution,
    bias_and_resolution_in_bins,
    compare_regressions,
    regression_figures,
    relative_residuals,
    squared_error_parts,
)


@pytest.fixture
def toy(rng):
    """4,000 jets whose second target is learned with a width; residuals are Gaussian of σ 2 about 1."""
    truth = rng.uniform(50, 150, size=(4000, 2))
    predicted = truth + 1 + 2 * rng.normal(size=truth.shape)
    return Estimates(predicted, truth, ("j_mass", "j_pt"), widths=np.full_like(truth, 2.0))


def figures(estimates):
    return regression_figures(estimates, (estimates.predicted - estimates.truth) ** 2)


def test_gaussian_residuals_have_the_figures_of_their_distribution(toy):
    found = figures(toy)["targets"]["j_mass"]
    assert found["bias"] == pytest.approx(1, abs=0.15)
    assert found["resolution"] == pytest.approx(2, abs=0.1)
    assert found["root_mean_squared_error"] == pytest.approx(np.sqrt(5), abs=0.1)
    assert found["mean_absolute_error"] == pytest.approx(stats.foldnorm(0.5, scale=2).mean(), abs=0.1)
    assert found["truth_spread"] == pytest.approx(100 / np.sqrt(12), abs=1)
    assert found["explained_variance"] == pytest.approx(1 - 5 / (10000 / 12), abs=1e-3)
    assert found["pull_mean"] == pytest.approx(0.5, abs=0.05)
    assert found["pull_resolution"] == pytest.approx(1, abs=0.05)
    inside = stats.norm.cdf(0.5) - stats.norm.cdf(-1.5)
    assert found["coverage_68"] == pytest.approx(inside, abs=0.03)


def test_relative_figures_are_of_the_ratio(toy):
    found = figures(toy)["targets"]["j_mass"]
    ratio = toy.predicted[:, 0] / toy.truth[:, 0] - 1
    low, middle, high = np.quantile(ratio, [0.15865, 0.5, 0.84135], method="hazen")
    assert found["relative_bias"] == pytest.approx(middle, rel=1e-3)
    assert found["relative_resolution"] == pytest.approx((high - low) / 2, rel=1e-3)


def test_targets_of_both_signs_have_no_relative_figures(toy, rng):
    signed = toy._replace(truth=toy.truth - 100, predicted=toy.predicted - 100)
    found = figures(signed)
    assert found["targets"]["j_mass"]["relative_resolution"] is None
    assert found["intervals"]["targets"]["j_mass"]["relative_resolution"] is None
    assert relative_residuals(signed.predicted[:, 0], signed.truth[:, 0]) is None


def test_quantiles_are_numpys(rng):
    values = rng.exponential(size=999)
    found = bias_and_resolution(values)
    low, middle, high = np.quantile(values, [(1 - 0.6827) / 2, 0.5, (1 + 0.6827) / 2], method="hazen")
    assert found.bias == pytest.approx(middle)
    assert found.resolution == pytest.approx((high - low) / 2)


def test_whole_weights_are_repeated_jets(toy, rng):
    weights = rng.integers(0, 4, size=4000)
    rows = np.repeat(np.arange(4000), weights)
    repeated = toy._replace(predicted=toy.predicted[rows], truth=toy.truth[rows], widths=toy.widths[rows])
    one, other = (figures(each)["targets"]["j_pt"] for each in (toy._replace(weights=weights), repeated))
    for name, value in one.items():
        assert value == pytest.approx(other[name], rel=2e-3), name


@pytest.mark.parametrize("size", [40, 5000])
def test_intervals_cover_the_truth_two_times_of_three(size):
    generator, inside = np.random.default_rng(3), np.zeros(2)
    for _ in range(100):
        found = bias_and_resolution(generator.normal(size=size))
        inside[0] += found.bias_interval[0] < 0 < found.bias_interval[1]
        inside[1] += found.resolution_interval[0] < 1 < found.resolution_interval[1]
    assert (np.abs(inside / 100 - 0.68) < 0.15).all(), inside


def test_few_jets_have_no_intervals(toy):
    few = Estimates(toy.predicted[:9], toy.truth[:9], toy.names)
    found = figures(few)
    assert found["intervals"]["loss"] is None
    assert set(found["intervals"]["targets"]["j_mass"].values()) == {None}


def test_quantile_coverage_counts_truths_below(rng):
    truth = rng.normal(size=(2000, 1))
    levels = (0.16, 0.5, 0.84)
    quantiles = np.broadcast_to(stats.norm.ppf(levels), (2000, 1, 3))
    found = figures(Estimates(np.zeros_like(truth), truth, ("x",), quantiles=quantiles, levels=levels))
    coverage = found["targets"]["x"]["coverage"]
    assert list(coverage) == ["0.16", "0.5", "0.84"]
    for level, share in zip(levels, coverage.values(), strict=True):
        assert share == pytest.approx(level, abs=0.04)
    low, high = found["intervals"]["targets"]["x"]["coverage"]["0.16"]
    assert low < coverage["0.16"] < high


def test_bins_hold_their_own_jets(rng):
    x = rng.uniform(0, 3, size=3000)
    residuals = np.floor(x) + (1 + np.floor(x)) * rng.normal(size=3000)
    found = bias_and_resolution_in_bins(residuals, x, edges=[0, 1, 2, 3, 4])
    np.testing.assert_allclose(found.bias[:3], [0, 1, 2], atol=0.3)
    np.testing.assert_allclose(found.resolution[:3], [1, 2, 3], rtol=0.12)
    assert found.jets.sum() == 3000
    assert np.isnan(found.bias[3])
    assert np.isnan(found.resolution_interval[3]).all()
    assert (found.bias_interval[:3, 0] < found.bias[:3]).all()


def test_comparison_is_paired(toy, rng):
    better = toy._replace(predicted=toy.truth + 0.9 * (toy.predicted - toy.truth))
    losses = [(each.predicted - each.truth) ** 2 for each in (toy, better)]
    found = compare_regressions(toy, better, *losses)
    oracle = stats.ttest_1samp((losses[1] - losses[0]).mean(axis=1), 0)
    assert found["loss"].value / found["loss"].error == pytest.approx(oracle.statistic, rel=1e-3)
    resolution = found["targets"]["j_mass"]["resolution"]
    assert resolution.value == pytest.approx(-0.2, abs=0.02)
    assert resolution.p < 1e-6
    same = compare_regressions(toy, toy, losses[0], losses[0])
    assert same["loss"].p == same["targets"]["j_pt"]["resolution"].p == 1
    with pytest.raises(InputError, match="same jets"):
        compare_regressions(toy, better._replace(truth=better.truth + 1), *losses)


def test_squared_errors_are_taken_apart(rng):
    truth = rng.normal(size=(500, 2))
    members = truth + 0.5 * rng.normal(size=(4, 500, 2))
    found = squared_error_parts(members, truth)
    assert found["squared_error"] == pytest.approx(found["bias_and_noise"] + found["variance"])
    assert found["variance"] == pytest.approx(0.25, abs=0.02)
    assert found["bias_and_noise"] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"truth": np.zeros((3, 1))}, r"expected shape \(N, 2\)"),
        ({"predicted": np.full((4000, 2), np.nan)}, "predicted: expected finite"),
        ({"widths": np.zeros((4000, 2))}, "numbers above 0"),
        ({"quantiles": np.zeros((4000, 2, 1))}, "quantiles: expected shape"),
        ({"weights": np.full(4000, -1.0)}, "weights: expected a positive sum, found -4000"),
    ],
)
def test_unsound_estimates_are_refused(toy, change, words):
    with pytest.raises(InputError, match=words):
        regression_figures(toy._replace(**change), np.zeros((4000, 2)))


def test_negative_weights_take_equal_jets_away(rng):
    truth = rng.uniform(50, 150, (3000, 1))
    predicted = truth + 1 + 2 * rng.normal(size=truth.shape)
    rows = np.concatenate([np.arange(3000), np.repeat(np.arange(400), 2)])
    weights = np.concatenate([np.ones(3000), np.tile([1.0, -1.0], 400)])
    plain = Estimates(predicted, truth, ("pt",))
    signed = Estimates(predicted[rows], truth[rows], ("pt",), weights=weights)
    found, true = (regression_figures(e, (e.predicted - e.truth) ** 2) for e in (signed, plain))
    for key in ("bias", "resolution", "root_mean_squared_error", "mean_absolute_error"):
        value, (low, high) = found["targets"]["pt"][key], found["intervals"]["targets"]["pt"][key]
        assert value == pytest.approx(true["targets"]["pt"][key], rel=1e-2)
        assert low < value < high
        assert high - low > 0.8 * np.ptp(true["intervals"]["targets"]["pt"][key])
    in_bins = bias_and_resolution_in_bins((signed.predicted - truth[rows])[:, 0], truth[rows, 0], weights=weights)
    assert np.isfinite(in_bins.bias).all()
    assert compare_regressions(signed, signed, weights[:, None], weights[:, None])["loss"].value == 0
