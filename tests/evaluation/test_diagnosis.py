"""Verdicts on histories whose answer is known, with and without noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepjax.errors import InputError
from hepjax.evaluation import Fit, best_epoch, verdict
from hepjax.types import Epoch

CHANCE = math.log(5)


def history(train, val):
    return [
        Epoch(i + 1, float(t), float(v), 0.5, 1e-3, 1.0, 1e5) for i, (t, v) in enumerate(zip(train, val, strict=True))
    ]


def losses(kind, n):
    """Training and validation losses over n epochs of each kind of training."""
    e = np.arange(n)
    fall = np.exp(-12 * e / n)
    return {
        Fit.GOOD_FIT: (0.6 + fall, 0.62 + 0.9 * fall),
        Fit.OVERFITTING: (0.1 + 0.6 * np.exp(-2 * e / n), 0.62 + 0.5 * fall + 0.15 * e / n),
        Fit.STILL_LEARNING: (1.6 - 0.8 * e / n, 1.6 - 0.75 * e / n),
        Fit.UNDERFITTING: (np.full(n, 1.6), np.full(n, 1.61)),
    }[kind]


@pytest.mark.parametrize("kind", [Fit.GOOD_FIT, Fit.OVERFITTING, Fit.STILL_LEARNING, Fit.UNDERFITTING])
@pytest.mark.parametrize("n", [8, 20, 50, 200])
def test_the_kind_is_found_through_noise(kind, n, rng):
    train, val = losses(kind, n)
    result = [
        verdict(history(train + 0.001 * rng.normal(size=n), val + 0.004 * rng.normal(size=n)), CHANCE).kind
        for _ in range(40)
    ]
    assert result.count(kind) >= 38


def test_strong_noise_is_not_taken_for_overfitting(rng):
    train, val = losses(Fit.GOOD_FIT, 50)
    result = [verdict(history(train, val + 0.03 * rng.normal(size=50))).kind for _ in range(100)]
    assert result.count(Fit.OVERFITTING) <= 5


@pytest.mark.parametrize("kind", [Fit.GOOD_FIT, Fit.OVERFITTING, Fit.STILL_LEARNING, Fit.UNDERFITTING])
def test_the_unit_of_the_loss_does_not_matter(kind):
    train, val = losses(kind, 30)
    assert verdict(history(1000 * train, 1000 * val), 1000 * CHANCE).kind is kind


def test_a_wide_gap_is_overfitting_even_where_nothing_rises():
    fall = np.exp(-np.arange(30) / 3)
    result = verdict(history(0.4 + fall, 0.62 + fall))
    assert result.kind is Fit.OVERFITTING
    assert "35% below" in result.words


def test_the_words_give_the_numbers():
    train, val = losses(Fit.OVERFITTING, 30)
    best = best_epoch(history(train, val))
    words = verdict(history(train, val)).words
    assert words.startswith("Overfitting: ")
    for number in (f"{best.val_loss:.4g}", f"epoch {best.epoch}", f"{val[-1]:.4g}", f"{train[-1]:.4g}"):
        assert number in words


def test_a_rising_training_loss_is_no_overfitting():
    """Both losses drift up together: the optimization is at fault, not the size of the data."""
    e = np.arange(20)
    assert verdict(history(0.5 + 0.02 * e, 0.5 + 0.02 * e)).kind is not Fit.OVERFITTING


@pytest.mark.parametrize("n", [1, 2, 3])
def test_short_histories_are_not_overjudged(n):
    assert verdict(history([0.5] * n, [0.9] * n)).kind is Fit.UNDECIDED
    assert verdict(history([0.5, 0.4, 0.3][:n], [0.6, 0.7, 0.8][:n])).kind is Fit.UNDECIDED


def test_two_epochs_can_show_that_it_still_learns():
    assert verdict(history([1.0, 0.8], [0.9, 0.7])).kind is Fit.STILL_LEARNING


def test_without_a_known_guess_only_a_loss_that_never_fell_is_underfitting():
    assert verdict(history(np.full(10, 1.6), np.full(10, 1.6))).kind is Fit.UNDERFITTING
    fall = np.exp(-np.arange(30.0))
    assert verdict(history(1.4 + 0.2 * fall, 1.4 + 0.2 * fall)).kind is Fit.GOOD_FIT
    assert verdict(history(1.4 + 0.2 * fall, 1.4 + 0.2 * fall), CHANCE).kind is Fit.UNDERFITTING


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_loss_that_breaks_is_a_divergence(broken):
    result = verdict(history([1.0, 0.9, broken, broken], [1.0, 0.9, math.nan, math.nan]))
    assert result.kind is Fit.DIVERGED
    assert "epoch 3" in result.words


def test_no_validation_loss():
    nothing = np.full(20, np.nan)
    assert verdict(history(losses(Fit.GOOD_FIT, 20)[0], nothing)).kind is Fit.UNDECIDED
    assert verdict(history(losses(Fit.STILL_LEARNING, 20)[0], nothing)).kind is Fit.STILL_LEARNING
    assert verdict(history(losses(Fit.UNDERFITTING, 20)[0], nothing), CHANCE).kind is Fit.UNDERFITTING
    assert verdict(history([1.0], [math.nan])).kind is Fit.UNDECIDED


def test_epochs_without_a_validation_loss_are_passed_over():
    train, val = losses(Fit.OVERFITTING, 40)
    val[1::2] = np.nan
    assert verdict(history(train, val)).kind is Fit.OVERFITTING


def test_a_loss_that_passes_through_zero():
    """A Gaussian log-likelihood may be negative."""
    fall = np.exp(-np.arange(40) / 3)
    assert verdict(history(fall - 0.5, fall - 0.49)).kind is Fit.GOOD_FIT
    assert verdict(history(-np.arange(40) / 40, -np.arange(40) / 41)).kind is Fit.STILL_LEARNING


def test_best_epoch_is_the_first_of_the_lowest():
    assert best_epoch(history([1] * 4, [math.nan, 0.5, 0.5, math.inf])).epoch == 2
    assert best_epoch(history([1], [math.nan])) is None


def test_an_empty_history_is_refused():
    with pytest.raises(InputError, match="history: expected one epoch or more"):
        verdict([])


LOSS = st.floats(-1e100, 1e100) | st.sampled_from([math.nan, math.inf, -math.inf])


@given(st.lists(st.tuples(LOSS, LOSS), min_size=1, max_size=12), st.none() | st.floats(0.1, 10))
@settings(deadline=None)
def test_any_history_gets_a_verdict(rows, chance):
    result = verdict(history(*zip(*rows, strict=True)), chance)
    assert result.words.startswith(result.kind.value.capitalize())
    assert "nan" not in result.words.split()
