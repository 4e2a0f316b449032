"""AUC beside sculpting, and cuts that are another in each bin."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hepjax import InputError
from hepjax.evaluation import ranks_in_bins, sculpting, trade_off


def jets(n=8000, seed=0):
    """Signal at 80, background falling; an answer that knows the mass, and one that knows something else."""
    rng = np.random.default_rng(seed)
    signal = np.arange(n) < n // 4
    mass = np.where(signal, rng.normal(80, 8, n), rng.exponential(60, n))
    other = rng.normal(size=n) + 1.5 * signal
    return signal, mass, other - np.abs(mass - 80) / 20, other


def test_figures_are_those_of_their_parts():
    signal, mass, outputs, _ = jets()
    result = trade_off(outputs, signal, mass, 0.6)
    assert result.auc == pytest.approx(roc_auc_score(signal, outputs))
    passing = outputs >= np.quantile(outputs[signal], 0.4)
    assert passing[signal].mean() == pytest.approx(0.6, abs=1e-3)
    assert result.mistag_rate == passing[~signal].mean()
    bent = sculpting(passing[~signal], mass[~signal])
    assert (result.divergence, result.chance, result.chance_spread) == (bent.divergence, bent.expected, bent.spread)


def test_the_error_is_the_scatter_of_other_samples():
    errors = [trade_off(jets(1000, s)[2], jets(1000, s)[0], jets(1000, s)[1]).auc_error for s in range(5)]
    aucs = [roc_auc_score(jets(1000, s)[0], jets(1000, s)[2]) for s in range(200)]
    assert np.mean(errors) == pytest.approx(np.std(aucs), rel=0.25)


def test_an_answer_that_knows_the_mass_bends_and_its_ranks_do_not():
    signal, mass, outputs, other = jets()
    knowing, blind = (trade_off(part, signal, mass) for part in (outputs, other))
    ranked = trade_off(ranks_in_bins(outputs, ~signal, mass), signal, mass)
    assert knowing.divergence > 0.1
    assert blind.divergence < blind.chance + 4 * blind.chance_spread
    assert ranked.divergence < blind.chance  # by construction less than chance
    assert knowing.auc > ranked.auc + 0.02
    assert ranked.auc == pytest.approx(blind.auc, abs=0.02)  # what is known but for the mass


def test_ranks_keep_the_order_in_a_bin_and_share_ties():
    outputs, mass = np.array([3.0, 1.0, 2.0, 2.0, 9.0]), np.ones(5)
    known = np.array([True, True, True, True, False])
    assert ranks_in_bins(outputs, known, mass, bins=1).tolist() == [0.875, 0.125, 0.5, 0.5, 1.0]


def test_what_cannot_be_measured_is_said():
    signal, mass, outputs, _ = jets(400)
    assert np.isnan(trade_off(signal + 0.0, signal, mass).divergence)  # no background jet passes
    with pytest.raises(InputError, match=r"efficiency: .* found 1.5"):
        trade_off(outputs, signal, mass, 1.5)
    with pytest.raises(InputError, match=r"background: expected 40 jets or more, .* found 9"):
        ranks_in_bins(outputs, np.arange(400) < 9, mass)
