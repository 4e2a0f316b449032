from __future__ import annotations

import numpy as np
import pytest

from hepjax.evaluation import auc, effective_trials, roc_curve
from hepjax.evaluation.spectra import Cuts, curve_of_sums, cuts_of, spectra


def test_bins_keep_the_curve(rng):
    signal = rng.random(50_000) < 0.3
    s = (rng.normal(size=50_000) + signal).astype(np.float32)
    w = rng.uniform(0, 2, 50_000)
    w[:100] = 0
    jets = spectra(s, signal, w)
    assert jets.bins < 2500
    assert auc(curve_of_sums(*jets.sums())) == pytest.approx(auc(roc_curve(s, signal, w)), abs=1e-5)
    sums = jets.sums(2)
    assert sum(x.sum() for x in sums) == pytest.approx((w**2).sum())


def test_parts_are_equal_and_make_the_whole(rng):
    signal = rng.random(1003) < 0.2
    jets = spectra(rng.normal(size=1003), signal, rng.uniform(0, 1, 1003))
    parts = list(jets.dealt(5))
    counts = np.array([[part.signal.sum(), (~part.signal).sum()] for part in parts])
    assert np.ptp(counts, axis=0).max() <= 1
    for kind, whole in enumerate(cuts_of(jets)):
        pieces = [cuts_of(part)[kind] for part in parts]
        np.testing.assert_allclose(sum(piece.passed for piece in pieces), whole.passed, atol=1e-9)
        np.testing.assert_allclose(sum(piece.squares for piece in pieces), whole.squares, atol=1e-9)


def test_trials_are_the_effective_ones_where_heavy_jets_pass_and_light_ones_fail():
    w = np.concatenate([np.full(100, 5.0), np.full(3000, 1.0)])
    cuts = Cuts(*(np.concatenate([[0], np.cumsum(w**power)]) for power in (1, 2)))
    expected = effective_trials(cuts.passed, cuts.squares, cuts.passed[-1], cuts.squares[-1])
    np.testing.assert_allclose(cuts.trials[10:101], expected[10:101], rtol=1e-3)


def test_where_few_pass_the_first_ten_tell_how_heavy_jets_are():
    w = np.concatenate([np.full(12, 5.0), np.full(1000, 1.0)])
    cuts = Cuts(*(np.concatenate([[0], np.cumsum(w**power)]) for power in (1, 2)))
    assert cuts.trials[0] == pytest.approx(w.sum() / 5)  # none passes; those that nearly do weigh 5
    assert cuts.trials[5] == pytest.approx(w.sum() / 5, rel=0.03)


def test_light_jets_do_not_promise_more_than_half_of_what_all_weigh():
    w = np.concatenate([np.full(10, 0.01), np.full(1000, 1.0)])
    cuts = Cuts(*(np.concatenate([[0], np.cumsum(w**power)]) for power in (1, 2)))
    assert cuts.trials[0] == pytest.approx(2 * w.sum(), rel=0.02)  # ten light jets, and ten as all are


def test_cuts_of_equal_weights_have_the_number_of_jets(rng):
    signal = rng.random(500) < 0.5
    for w in (None, np.full(500, 0.1)):
        kinds = cuts_of(spectra(rng.normal(size=500), signal, w))
        for kind, flags in zip(kinds, (signal, ~signal), strict=True):
            np.testing.assert_allclose(kind.trials, flags.sum())
