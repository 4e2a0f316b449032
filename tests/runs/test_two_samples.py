import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.data.datasets import hls4ml
from hepjax.inputs import tabular
from hepjax.runs.two_samples import two_sample_auc

pytestmark = pytest.mark.usefixtures("brief")


def test_a_classifier_tells_wrong_jets_from_right_ones_and_not_right_ones_from_others():
    jets = read_jets()[:2000]
    x, y = tabular(jets), np.asarray(jets.labels)
    wrong = x[1::2].copy()
    wrong[:, 0] = np.random.default_rng(1).permutation(wrong[:, 0])  # its spectrum is right
    same = two_sample_auc((x[1::2], y[1::2]), (x[::2], y[::2]), hls4ml.STANDARD_FEATURES, epochs=4)
    changed = two_sample_auc((wrong, y[1::2]), (x[::2], y[::2]), hls4ml.STANDARD_FEATURES, epochs=4)
    assert same.distance == pytest.approx(0.5, abs=4 * same.uncertainty + 0.02)
    assert 0.001 < same.uncertainty < 0.05
    assert changed.distance > same.distance + 0.1


def test_names_must_fit():
    with pytest.raises(InputError, match="names: expected one for each of 2 observables, found 1"):
        two_sample_auc((np.zeros((3, 2)), np.zeros(3, int)), (np.zeros((3, 2)), np.zeros(3, int)), ["j_pt"])
