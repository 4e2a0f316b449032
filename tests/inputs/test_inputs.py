"""Tables of observables and their scaling."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from hepjax import InputError, read_jets
from hepjax.data.datasets import hls4ml
from hepjax.inputs import apply_scaling, fit_scaling, tabular


def test_tabular_picks_by_name(jet_file):
    jets = read_jets(jet_file())
    whole = np.asarray(jets.observables)
    found = tabular(jets, ["j_multiplicity", "j_pt"])
    np.testing.assert_array_equal(found, whole[:, [52, 1]])
    np.testing.assert_array_equal(tabular(jets[:], ["j_multiplicity", "j_pt"], rows=slice(3, 9)), found[3:9])
    assert tabular(jets).shape == (25, len(hls4ml.STANDARD_FEATURES))


@pytest.mark.parametrize(
    "features, words", [(["j_masss"], "did you mean j_mass"), (["j_pt", "j_pt"], "different"), ([], "none")]
)
def test_tabular_refuses(jet_file, features, words):
    with pytest.raises(InputError, match=words):
        tabular(read_jets(jet_file()), features)


def test_scaling_is_scikit_learns(rng):
    x = (rng.normal(size=(500, 4)) * [1, 1e3, 1e-3, 1] + [0, 5, 1, -2]).astype(np.float32)
    scaling = fit_scaling(x)
    np.testing.assert_allclose(apply_scaling(scaling, x), StandardScaler().fit_transform(x), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(apply_scaling(scaling, jnp.asarray(x)), apply_scaling(scaling, x), rtol=1e-5, atol=1e-6)
    assert apply_scaling(scaling, x).dtype == np.float32


def test_scaling_leaves_padding_out(rng):
    x, mask = rng.normal(size=(10, 5, 3)), rng.random((10, 5)) < 0.5
    spoilt = np.where(mask[..., None], x, np.nan)
    scaling = fit_scaling(spoilt, mask)
    np.testing.assert_allclose(scaling.mean, x[mask].mean(0), rtol=1e-5)
    scaled = apply_scaling(scaling, spoilt, mask)
    assert (scaled[~mask] == 0).all()
    np.testing.assert_allclose(scaled[mask].std(0), 1, rtol=1e-5)


def test_constant_feature_is_zero_not_noise():
    x = np.full((7, 1), 0.1, np.float32)
    assert abs(apply_scaling(fit_scaling(x), x)).max() < 1e-6


def test_scaling_on_nothing_is_refused():
    with pytest.raises(InputError, match="no rows"):
        fit_scaling(np.zeros((0, 3)))
