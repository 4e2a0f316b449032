"""Jets that were made by hand: what does not fit is refused in one line, wherever they come in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hepjax import InputError, Jets, inputs, load, read_jets
from hepjax.choices import Role
from hepjax.data.validation import check_jets
from hepjax.physics import substructure
from hepjax.types import Dataset, OneHot, Sequences

DATASET = Dataset(
    "toy",
    ("pt", "eta", "phi"),
    ("m", "w"),
    classes=("qcd", "top"),
    labels=OneHot(("is_qcd", "is_top")),
    roles={Role.PT: "pt", Role.ETA: "eta", Role.PHI: "phi", Role.JET_MASS: "m"},
    features=("m", "w"),
)


@pytest.fixture
def made(rng):
    """Ten jets of four slots, of which the first of each is a particle."""
    mask = np.arange(4) < np.arange(10)[:, None] % 4 + 1
    particles = (rng.random((10, 4, 3)) + 1).astype(np.float32) * mask[..., None]
    return Jets(
        particles,
        mask,
        rng.random((10, 2)).astype(np.float32),
        np.arange(10) % 2,
        DATASET,
        np.ones(10),
        {"picture": np.ones((10, 5, 5))},
    )


def test_good_jets_are_taken(made):
    check_jets(made)
    assert inputs.tabular(made).shape == (10, 2)
    assert inputs.sequences(made).lengths.tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]
    check_jets(dataclasses.replace(made, labels=None, weights=None, images={}))
    check_jets(dataclasses.replace(made, dataset=dataclasses.replace(DATASET, labels=None)))
    check_jets(made[:0])
    check_jets(read_jets()[:5])


def with_value(array, place, value):
    changed = np.array(array)
    changed[place] = value
    return changed


WRONG = {
    "one name": ({"dataset": Dataset("toy", ("pt",), ("m", "w"))}, "constituents has 3 columns, and .* names 1: pt"),
    "flat particles": ({"constituents": np.ones((10, 3), np.float32)}, r"constituents: expected the shape \(N, P, F\)"),
    "a list": ({"observables": [[1.0, 2.0]] * 10}, "observables: expected an array .*, found list"),
    "integers": ({"constituents": np.ones((10, 4, 3), int)}, "constituents: expected an array of floating-point"),
    "a mask of numbers": ({"mask": np.ones((10, 4))}, "mask: expected an array of True and False, found float64"),
    "a short mask": ({"mask": np.ones((10, 3), bool)}, r"mask: expected the shape \(10, 4\), .*found \(10, 3\)"),
    "few observables": ({"observables": np.ones((9, 2), np.float32)}, r"observables: expected the shape \(10, …\)"),
    "few labels": ({"labels": np.zeros(9, int)}, r"labels: expected the shape \(10,\), .* found \(9,\)"),
    "unknown labels": ({"labels": np.arange(10)}, "labels: expected 0 to 1, the classes qcd, top, found 2"),
    "labels below 0": ({"labels": np.arange(10) - 1}, "labels: expected 0 to 1, .* found -1 in row 0"),
    "fractions": ({"labels": np.zeros(10)}, "labels: expected an array of whole numbers, found float64"),
    "labels without classes": (
        {"dataset": dataclasses.replace(DATASET, classes=(), labels=None)}, "there are labels, but .* names no classes",
    ),
    "weights": ({"weights": with_value(np.ones(10), 3, np.nan)}, "weights: expected finite .*, found nan in row 3"),
    "images": ({"images": {"picture": np.ones((10, 5))}}, r"picture: expected the shape \(10, …, …\)"),
    "a role of no column": (
        {"dataset": dataclasses.replace(DATASET, roles={Role.PT: "pT"})}, "gives the role pt to pT, which is no column",
    ),
    "the name of a role": (
        {"dataset": dataclasses.replace(DATASET, roles={"pt": "pt"})}, "expected roles to map a Role, such as Role.PT",
    ),
    "a text": (
        {"dataset": dataclasses.replace(DATASET, particle_columns="pef")}, "expected particle_columns to be a tuple of",
    ),
    "another dataset": ({"dataset": "hls4ml"}, "expected a hepjax.types.Dataset, found str"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused(made, name):
    changes, words = WRONG[name]
    wrong = dataclasses.replace(made, **changes)
    for door in (
        check_jets,
        inputs.tabular,
        inputs.sequences,
        inputs.images,
        inputs.file_images,
        substructure.from_jets,
    ):
        with pytest.raises(InputError, match=words) as caught:
            door(wrong)
        assert "\n" not in str(caught.value)


def test_values_are_looked_at_where_they_are_read(made):
    for value in (np.nan, np.inf):
        wrong = dataclasses.replace(made, constituents=with_value(made.constituents, (5, 1, 2), value))
        for door in (inputs.sequences, inputs.images, substructure.from_jets):
            with pytest.raises(InputError, match=r"constituents has 1 NaN or infinite values, .* row 5, column phi"):
                door(wrong)
        wrong = dataclasses.replace(made, observables=with_value(made.observables, (7, 1), value))
        with pytest.raises(InputError, match=r"observables has 1 NaN or infinite values, the first in row 7, column w"):
            inputs.tabular(wrong)
    padding = dataclasses.replace(made, constituents=with_value(made.constituents, (0, 1, 2), np.nan))
    np.testing.assert_array_equal(inputs.sequences(padding).values, inputs.sequences(made).values)


def test_large_numbers_are_finite(made):
    large = dataclasses.replace(made, observables=np.full((10, 2), 3e38, np.float32))
    assert inputs.tabular(large).max() == np.float32(3e38)


def test_a_mask_that_calls_padding_a_particle(made):
    wrong = dataclasses.replace(made, mask=np.ones((10, 4), bool))
    with pytest.raises(InputError, match="mask has a particle in row 0, slot 1, which has no energy or momentum"):
        inputs.sequences(wrong)
    fewer = dataclasses.replace(made, mask=made.mask & (np.arange(4) < 2))
    assert inputs.sequences(fewer).lengths.max() == 2


def test_a_tagger_refuses_them(trained_runs):
    tagger = load(trained_runs("deepsets"))
    jets = read_jets(trained_runs("deepsets").parent / "jets.h5")[:5]
    assert tagger(jets).shape == (5, 5)
    with pytest.raises(InputError, match="mask: expected an array of True and False"):
        tagger(dataclasses.replace(jets, mask=jets.mask.astype(float)))
    values = np.zeros((5, 6, 3), np.float32)
    with pytest.raises(InputError, match=r"expected a mask of True and False of the shape \(5, 6\), found float64"):
        tagger(Sequences(values, np.ones((5, 6))))
