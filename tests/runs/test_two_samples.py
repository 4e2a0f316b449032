import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.data.datasets import hls4ml
from hepjax.inputs import tabular
from hepjax.runs.two_samples import two_clouds_auc, two_sample_auc
from hepjax.tasks import generation

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


def draw_clouds(count, rng, spread=0.1):
    mask = np.arange(5) < rng.integers(2, 6, (count, 1))
    share = -np.sort(-rng.dirichlet(np.full(5, 4.0), count), axis=1)
    values = np.concatenate([rng.normal(0, spread, (count, 5, 2)), share[..., None]], axis=-1)
    pt = rng.uniform(900, 1100, count)
    return generation.Clouds(np.where(mask[..., None], values, 0), mask, pt, np.zeros(count, int))


def test_a_classifier_tells_narrower_clouds_and_not_the_same(rng):
    truth, same, narrow = (draw_clouds(500, rng, spread) for spread in (0.1, 0.1, 0.06))
    chance, other = (two_clouds_auc(clouds, truth, epochs=4) for clouds in (same, narrow))
    assert chance.distance == pytest.approx(0.5, abs=4 * chance.uncertainty + 0.02)
    assert other.distance > 0.65


def test_names_must_fit():
    with pytest.raises(InputError, match="names: expected one for each of 2 observables, found 1"):
        two_sample_auc((np.zeros((3, 2)), np.zeros(3, int)), (np.zeros((3, 2)), np.zeros(3, int)), ["j_pt"])
