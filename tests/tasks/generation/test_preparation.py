import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.data.datasets import hls4ml
from hepjax.inputs import tabular
from hepjax.tasks.generation import (
    COORDINATES,
    calibrate,
    choose_classes,
    fit_preparation,
    from_coordinates,
    prepare,
    restore_observables,
    to_coordinates,
)

MASS, NUMBER = (hls4ml.STANDARD_FEATURES.index(name) for name in ("j_mass_mmdt", "j_multiplicity"))


@pytest.fixture(scope="module")
def jets():
    sample = read_jets()
    return tabular(sample), np.asarray(sample.labels)


@pytest.fixture(scope="module")
def preparation(jets):
    return fit_preparation(*jets, hls4ml.CLASSES)


def test_four_observables_follow_from_the_others(jets):
    """In the files too, where they were computed one by one."""
    x, _ = jets
    np.testing.assert_allclose(from_coordinates(to_coordinates(x)), x, rtol=2e-5, atol=1e-7)
    y = to_coordinates(x)
    scaled = y[np.isfinite(y).all(axis=1)] / np.nanstd(y, axis=0)
    assert np.linalg.matrix_rank(np.cov(scaled.T)) == COORDINATES


def test_what_is_prepared_comes_back(jets, preparation):
    x, y = jets
    z = prepare(preparation, x, y, seed=3)
    assert z.dtype == np.float32
    np.testing.assert_allclose(restore_observables(preparation, z, y) / x.std(axis=0), x / x.std(axis=0), atol=1e-4)
    assert (z != prepare(preparation, x, y, seed=4)).any(axis=0).all()  # shared values are spread by other numbers


def test_each_class_is_prepared_to_normal_numbers(jets, preparation):
    z = prepare(preparation, *jets)
    for c in range(5):
        selected = z[jets[1] == c].astype(np.float64)
        np.testing.assert_allclose(selected.mean(axis=0), 0, atol=0.06)
        np.testing.assert_allclose(np.cov(selected.T), np.eye(COORDINATES), atol=0.15)


def test_normal_numbers_give_the_spectra_of_each_class_back(jets, preparation):
    x, y = jets
    made = restore_observables(
        preparation, np.random.default_rng(0).normal(size=(20_000, COORDINATES)), np.arange(20_000) % 5
    )
    assert (made[:, NUMBER] == np.round(made[:, NUMBER])).all()
    for c in range(5):
        selected, known = made[np.arange(20_000) % 5 == c], x[y == c]
        assert (selected >= known.min(axis=0)).all()
        assert (selected <= known.max(axis=0)).all()
        for f in (MASS, NUMBER):
            assert np.median(selected[:, f]) == pytest.approx(
                np.median(known[:, f]), abs=0.1 * float(known[:, f].std())
            )
        for f in (3, 4, 10):  # C1(2), C2(1), M2(1)
            assert np.mean(selected[:, f] == 0) == pytest.approx(np.mean(known[:, f] == 0), abs=0.01)
    assert np.mean(x[y == 1, 4] == 0) > 0.02  # quark jets of which mMDT leaves two particles or fewer


def test_a_value_that_many_share_comes_back_exactly():
    x = np.repeat(np.linspace(0.1, 0.9, 16)[None], 100, axis=0) + np.random.default_rng(0).normal(0, 0.01, (100, 16))
    x[:40, MASS] = 0
    result = fit_preparation(x, np.zeros(100, int), ["w"])
    made = restore_observables(result, np.random.default_rng(1).normal(size=(2000, COORDINATES)), np.zeros(2000, int))
    assert np.mean(made[:, MASS] == 0) == pytest.approx(0.4, abs=0.04)


def test_calibration_mends_spectra_and_keeps_the_order_of_jets(jets, preparation):
    rng = np.random.default_rng(2)
    kinds = np.arange(10_000) % 5
    z = rng.normal(size=(10_000, COORDINATES))
    z[:, 0] = 0.3 + 1.4 * z[:, 0]  # a generator that is off in the mass
    mended = calibrate(preparation, z, kinds)
    for c in range(5):
        selected, rows = jets[0][jets[1] == c, MASS], kinds == c
        wrong, right = (restore_observables(one, z, kinds)[rows, MASS] for one in (preparation, mended))
        miss = [abs(np.quantile(mass, 0.9) - np.quantile(selected, 0.9)) for mass in (wrong, right)]
        assert miss[1] < 0.3 * miss[0]
        assert (np.diff(right[np.argsort(z[rows, 0])]) >= 0).all()
    same = calibrate(preparation, prepare(preparation, *jets, seed=9), jets[1])
    np.testing.assert_allclose(same.generated[..., 20:-20], preparation.reference[..., 20:-20], atol=0.1)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x, y: (x[:, :15], y), "STANDARD_FEATURES, found shape"),
        (lambda x, y: (np.where(np.arange(len(x))[:, None] == 7, np.nan, x), y), "1 of 5000 jets have observables"),
        (lambda x, y: (x[y != 2], y[y != 2]), "found 0 of w; give more jets, or leave the class out"),
        (lambda x, y: (x[(y != 2) | (np.arange(len(y)) < 100)], y[(y != 2) | (np.arange(len(y)) < 100)]), "of w"),
    ],
)
def test_jets_that_nothing_can_be_learnt_from_are_refused(jets, change, words):
    with pytest.raises(InputError, match=words):
        fit_preparation(*change(*jets), hls4ml.CLASSES)


def test_what_a_generator_cannot_have_made_is_refused(preparation):
    z = np.zeros((3, COORDINATES))
    with pytest.raises(InputError, match="exploded: 1 of 3 jets"):
        restore_observables(preparation, np.where(np.arange(3)[:, None] == 1, np.inf, z), np.zeros(3, int))
    for labels in (np.array([0, 1, 5]), np.array([0, -1, 1]), np.zeros(3)):
        with pytest.raises(InputError, match="whole numbers from 0 to 4, the classes g, q, w, z, t"):
            restore_observables(preparation, z, labels)
    with pytest.raises(InputError, match="200 jets or more of g, found 3; make more"):
        calibrate(preparation, z, np.zeros(3, int))


def test_a_class_that_is_missing_is_named():
    labels = np.array([0, 1, 1, 4])
    with pytest.raises(InputError, match="w is not in the files, which hold g, q, t"):
        choose_classes(labels, hls4ml.CLASSES, ("q", "w"))
    with pytest.raises(InputError, match="h is not in the files"):
        choose_classes(labels, hls4ml.CLASSES, ("h",))
    with pytest.raises(InputError, match="needs jets with labels"):
        choose_classes(None, hls4ml.CLASSES, ("q",))
