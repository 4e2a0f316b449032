import numpy as np
import pytest

from hepjax import InputError, read_jets, training
from hepjax.data.datasets import hls4ml
from hepjax.inputs import tabular
from hepjax.tasks import generation
from hepjax.tasks.generation.fit_observables import Fitting, classifier_two_sample_auc, fit_flow, fit_normal, fit_vae

CLASSES = ("q", "t")
SHAPE = {"layers": 2, "hidden": (32,)}
FITTING = Fitting(epochs=6, learning_rate=1e-2, batch_size=100)


@pytest.fixture(scope="module")
def jets():
    """1,200 to learn from, and 800 others."""
    sample = read_jets()
    labels = generation.choose_classes(sample.labels, sample.classes, CLASSES)
    x, y = tabular(sample)[labels >= 0], labels[labels >= 0]
    order = np.random.default_rng(0).permutation(len(x))
    return [(x[rows], y[rows]) for rows in (order[:1200], order[1200:])]


@pytest.fixture(scope="module")
def normal(jets):
    return fit_normal(*jets[0], CLASSES)


def assert_jets(generator, known):
    """What is made is of its class, in its units and range, whole where it must be, and new for each seed."""
    kinds = np.repeat([1, 0], [300, 200])
    made = generator.make(kinds, 5)
    assert made.shape == (500, len(hls4ml.STANDARD_FEATURES))
    assert np.isfinite(made).all()
    mass, number = made[:, 14], made[:, 15]
    assert (number == np.round(number)).all()
    assert np.median(mass[kinds == 1]) > 2 * np.median(mass[kinds == 0])
    for c in (0, 1):
        selected = known[0][known[1] == c]
        assert (made[kinds == c] <= selected.max(axis=0)).all()
        assert (made[kinds == c] >= selected.min(axis=0)).all()
    np.testing.assert_array_equal(made, generator.make(kinds, 5))
    assert (made != generator.make(kinds, 6)).any(axis=1).all()


def test_the_baseline_makes_jets_of_each_class(jets, normal):
    assert_jets(normal, jets[0])


def test_of_a_training_that_diverges_the_last_good_state_is_used(jets, normal, monkeypatch):
    """The flow of before the first step makes what the baseline makes. How well one learns, its experiment tests."""
    lines = []

    def diverge(progress, *_, **__):
        raise training.DivergedError("training diverged: the validation loss is inf", progress)

    monkeypatch.setattr(training, "fit", diverge)
    flow = fit_flow(*jets[0], CLASSES, FITTING._replace(log=lines.append), **SHAPE)
    assert lines == ["flow: training diverged: the validation loss is inf; the last good state is kept"]
    assert_jets(flow, jets[0])
    np.testing.assert_allclose(flow.nll(*jets[1]), normal.nll(*jets[1]), rtol=1e-5)


def test_a_classifier_tells_wrong_jets_from_right_ones_and_not_right_ones_from_others(jets):
    (x, y), (more, kinds) = jets
    wrong = more.copy()
    wrong[:, 0] = np.random.default_rng(1).permutation(wrong[:, 0])  # its spectrum is right
    result = classifier_two_sample_auc({"other": more, "wrong": wrong}, x, kinds, y, Fitting(epochs=8, batch_size=100))
    assert result["other"].distance == pytest.approx(0.5, abs=4 * result["other"].uncertainty)
    assert 0.01 < result["other"].uncertainty < 0.04
    assert result["wrong"].distance > 0.7


def test_too_few_jets_of_a_class_are_refused(jets):
    x, y = jets[0]
    few = (y == 0) | (np.cumsum(y == 1) <= 40)
    for fit in (fit_flow, fit_vae, fit_normal):
        with pytest.raises(InputError, match="100 jets or more of each to learn from, found 40 of t"):
            fit(x[few], y[few], CLASSES)
