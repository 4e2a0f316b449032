"""Factors that give all classes the same spectrum, and the bins that they are of."""

import dataclasses

import numpy as np
import pytest

from hepjax import InputError
from hepjax.choices import Spectrum
from hepjax.data import reweighting
from hepjax.data.dataset import check_dataset
from hepjax.data.dataset_json import dataset_from_json, dataset_to_json
from hepjax.data.datasets import hls4ml
from hepjax.types import Dataset, Index, Reweighting


@pytest.fixture
def sums(rng):
    return rng.uniform(0.1, 1, (3, 12)) * [[1], [10], [100]]


@pytest.mark.parametrize("to", [*Spectrum, 1])
def test_classes_have_the_same_spectrum_which_is_the_wanted_one(sums, to):
    found = reweighting.spectrum_factors(sums, to)
    spectra = found.factors * sums
    np.testing.assert_allclose(spectra, np.broadcast_to(spectra[0], spectra.shape), rtol=1e-12)
    shares = sums / sums.sum(axis=1, keepdims=True)
    wanted = {Spectrum.FLAT: np.full(12, 1 / 12), Spectrum.MEAN: shares.mean(axis=0), 1: shares[1]}[to]
    np.testing.assert_allclose(spectra[2], wanted, rtol=1e-12)
    assert not found.empty.any()
    assert not found.limited.any()


def test_where_a_class_weighs_nothing_no_class_counts(sums):
    sums[0, 3], sums[2, 5], sums[:, 7] = 0, -4, 0
    found = reweighting.spectrum_factors(sums, Spectrum.FLAT)
    assert not found.factors[:, [3, 5, 7]].any()
    np.testing.assert_allclose((found.factors * sums).sum(axis=1), 1, rtol=1e-12)
    assert np.argwhere(found.empty).tolist() == [[0, 3], [2, 5]]


def test_no_jet_counts_much_more_than_others():
    sums = np.array([[1e6, 1.0, 1e6], [1e3, 1e3, 1e3]])
    found = reweighting.spectrum_factors(sums, Spectrum.FLAT)
    assert found.limited.tolist() == [False, True, False]
    mean = 1 / sums.sum(axis=1, keepdims=True)
    assert (found.factors / mean).max() == pytest.approx(1.5 * reweighting.MOST_FACTOR, rel=1e-3)  # of what is left
    np.testing.assert_allclose(*(found.factors * sums), rtol=1e-12)


def test_bin_numbers_are_those_of_a_histogram(rng):
    values = rng.normal(size=(500, 2))
    values[:3] = [[-1, 0], [1, 2], [2, 0]]  # on edges
    bins = {"a": (-1.0, 0.0, 1.0, 2.0), "b": (-np.inf, 0.0, 2.0)}
    places = reweighting.bin_numbers(values, bins)
    counts = np.bincount(places[places >= 0], minlength=6).reshape(3, 2)
    finite = [bins["a"], (-1e9, 0.0, 2.0)]
    np.testing.assert_array_equal(counts, np.histogramdd(values, finite)[0])


@pytest.mark.parametrize(
    "words, message",
    [
        (["500", "jet_pt"], "expected the name of a column before its edges, found 500"),
        (["jet_pt", "500", "600", "600"], "jet_pt: expected two rising edges of bins or more, found 500 600 600"),
        (["jet_pt", "600", "500"], "found 600 500"),
        (["jet_pt", "500"], "found 500"),
        (["jet_pt"], "found none"),
        (["jet_pt", "nan", "500"], "found nan 500"),
        (["jet_pt", "0", "1", "jet_pt", "2"], "column jet_pt is there twice"),
        (["a", *map(str, range(1000)), "b", *map(str, range(1000))], "at most 100,000 bins, found 998,001"),
    ],
)
def test_bins_that_are_none(words, message):
    with pytest.raises(InputError) as error:
        reweighting.parse_bins(words)
    assert message in str(error.value)


class TestOfADataset:
    """A dataset may say how its classes are reweighted."""

    toy = Dataset("toy", classes=("q", "t"), labels=Index("label"))

    @pytest.mark.parametrize(
        "given, message",
        [
            (Reweighting({"pt": (1.0, 0.0)}), "reweighting: pt: expected two rising edges"),
            (Reweighting({"pt": (0.0, 1.0)}, "w"), "reweighting is to w, expected flat, mean or a class"),
            (Reweighting({"pt": (0.0, 1.0)}, factors={"w": (1.0,)}), "reweighting has factors of w, which is no class"),
            (Reweighting({"pt": (0.0, 1.0)}, factors={"q": (1.0, 2.0)}), "expected 1 factors of 0 or more of q"),
            (Reweighting({"pt": (0.0, 1.0)}, factors={"q": (-1.0,)}), "expected 1 factors of 0 or more of q"),
            ("flat", r"expected reweighting to be Reweighting\(…\), found 'flat'"),
        ],
    )
    def test_is_checked(self, given, message):
        with pytest.raises(InputError, match=message):
            check_dataset(dataclasses.replace(self.toy, reweighting=given))

    def test_comes_back_from_json(self):
        given = Reweighting({"pt": (-np.inf, 0.1, np.inf)}, "t", {"q": (1.0, 0.5)})
        dataset = dataclasses.replace(self.toy, reweighting=given)
        check_dataset(dataset)
        assert dataset_from_json(dataset_to_json(dataset)) == dataset
        assert "reweighting" not in dataset_to_json(hls4ml.HLS4ML)
