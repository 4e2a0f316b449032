"""Generated against simulated spectra: the numbers that are drawn, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from hepjax import InputError, report


@pytest.fixture
def values(rng):
    """Quantity → class → values, simulated and generated; generated masses of q are doubled in weight below 50."""
    mass = {"w": rng.normal(80, 5, 4000), "q": rng.uniform(0, 100, 4000)}
    low = np.concatenate([mass["q"][mass["q"] < 50]] * 2)
    other = {"w": mass["w"][::-1], "q": low[: 2 * (len(low) // 2)]}
    ptrel = {"w": np.exp(rng.normal(-4, 1.5, 3000)), "q": np.exp(rng.normal(-4, 1.5, 3000))}
    return {"j_mass": mass, "j1_ptrel": ptrel}, {"j_mass": other, "j1_ptrel": ptrel}


def test_ratio_is_of_shares_and_has_statistical_errors(values):
    figure = report.cloud_spectra_figure(*values)
    mass, momentum, below, _ = figure.axes
    assert below.get_xlabel() == "Jet mass [GeV]"
    assert (mass.get_xscale(), momentum.get_xscale()) == ("linear", "log")
    w, q = (container.lines[0].get_data() for container in below.containers)
    np.testing.assert_allclose(w[1], 1)
    np.testing.assert_allclose(q[1][(q[0] > 10) & (q[0] < 45)], 2, rtol=0.1)
    assert q[0].max() < 55  # no point where nothing was generated
    bars = below.containers[0].lines[2][0].get_segments()
    counts = np.histogram(values[0]["j_mass"]["w"], mass.patches[0].get_data().edges[::4])[0]
    np.testing.assert_allclose([np.ptp(bar[:, 1]) / 2 for bar in bars], np.sqrt(2 / counts[counts >= 10]), rtol=1e-6)


def test_spectra_are_shares_of_a_class(values):
    simulated, generated = values
    figure = report.cloud_spectra_figure(simulated, generated, label="hepjax simulation")
    steps = figure.axes[0].patches[0].get_data()
    expected = np.histogram(simulated["j_mass"]["w"], steps.edges)[0] / 4000
    np.testing.assert_allclose(steps.values, expected)
    assert figure.axes[0].get_title(loc="left") == "hepjax simulation"


def test_whole_numbers_have_bins_of_their_own():
    numbers = {"j_multiplicity": {"g": np.repeat([28, 29, 30], [10, 20, 70])}}
    steps = report.cloud_spectra_figure(numbers, numbers).axes[0].patches[0].get_data()
    assert set(np.diff(steps.edges)) == {1.0}
    assert steps.edges[-1] == 30.5
    np.testing.assert_allclose(steps.values[-3:], [0.1, 0.2, 0.7])


@pytest.mark.parametrize(
    "simulated, generated, words",
    [
        ({}, {}, "simulated: expected one quantity or more"),
        ({"j_mass": {"w": [1.0]}}, {"j_pt": {"w": [1.0]}}, "generated: expected j_mass, as simulated, found j_pt"),
        ({"j_mass": {"w": [1.0]}}, {"j_mass": {"t": [1.0]}}, "expected the classes w of j_mass"),
        ({"j_mass": {"w": [1.0]}}, {"j_mass": {"w": [np.nan]}}, "j_mass of w: expected finite numbers"),
        ({"j_mass": {"w": []}}, {"j_mass": {"w": [1.0]}}, "j_mass of w: .* none at all"),
    ],
)
def test_bad_input_is_named(simulated, generated, words):
    with pytest.raises(InputError, match=words):
        report.cloud_spectra_figure(simulated, generated)
