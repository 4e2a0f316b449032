"""Jet images in files: read when asked for, with the rows of the other fields."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest

from hepjax import InputError, read_jets


def pictures(count=25, height=6, width=4, seed=0):
    return np.random.default_rng(seed).exponential(size=(count, height, width))


@pytest.mark.parametrize(
    "rows", [slice(None), slice(3, 20, 4), np.array([24, 0, 7, 7]), np.arange(25) % 3 == 0, np.array([], int)]
)
def test_images_come_with_their_rows(jet_file, rows):
    images = pictures()
    jets = read_jets(jet_file(jetImage=images, jetImageECAL=2 * images), images=["jetImage", "jetImageECAL"])
    assert jets.images["jetImage"].shape == (25, 6, 4)
    part = jets[rows]
    for name, factor in (("jetImage", 1), ("jetImageECAL", 2)):
        expected = (factor * images).astype(np.float32)[rows]
        np.testing.assert_array_equal(part.images[name], expected, strict=True)
        np.testing.assert_array_equal(jets.images[name][rows], expected, strict=True)
    np.testing.assert_array_equal(part.labels, (np.arange(25) % 5)[rows])
    np.testing.assert_array_equal(part[:2].images["jetImage"], part.images["jetImage"][:2])


def test_images_of_many_files_follow_each_other(jet_file):
    a, b = pictures(seed=1), pictures(10, seed=2)
    paths = [jet_file("a.h5", jetImage=a), jet_file("b.h5", count=10, jetImage=b)]
    jets = pickle.loads(pickle.dumps(read_jets(paths, images=["jetImage"])))  # noqa: S301
    np.testing.assert_array_equal(jets.images["jetImage"], np.concatenate([a, b]).astype(np.float32))
    np.testing.assert_array_equal(jets.images["jetImage"][30, 2:4, 1], b[5, 2:4, 1].astype(np.float32))


def test_images_are_left_alone_unless_asked_for(jet_file):
    jets = read_jets(jet_file(jetImage=np.full((25, 6, 4), np.nan)))
    assert jets.images == {}
    assert jets[:3].images == {}


def test_images_without_chunks(jet_file):
    path, images = jet_file(), pictures()
    with h5py.File(path, "a") as file:
        file["jetImage"] = images
    np.testing.assert_array_equal(
        read_jets(path, images=["jetImage"])[20:].images["jetImage"], images[20:].astype("f4")
    )


@pytest.mark.parametrize(
    "content, asked, words",
    [
        ({}, ["jetImage"], "jets.h5: has no dataset jetImage .it holds no images.*inputs.images"),
        ({"jetImageHCAL": pictures()}, ["jetImage"], "has no dataset jetImage .its images are jetImageHCAL"),
        ({"jetImage": pictures(24)}, ["jetImage"], "jetImage has 24 rows but jets has 25"),
        ({"jetImage": pictures()[0]}, ["jetImage"], r"jetImage has shape \(6, 4\)"),
        ({"jetImage": pictures()}, ["images"], "jets.h5: has no dataset images .its images are jetImage"),
        ({"jetImage": pictures()}, "jetImage", "images: expected a list of names"),
    ],
)
def test_images_that_cannot_be_read(jet_file, content, asked, words):
    path = jet_file(**content)
    with pytest.raises(InputError, match=words):
        read_jets(path, images=asked)


def test_images_of_different_sizes(jet_file):
    paths = [jet_file("a.h5", jetImage=pictures()), jet_file("b.h5", jetImage=pictures(width=5))]
    with pytest.raises(InputError, match=r"b.h5: its jetImage has 6 x 5 pixels, that of .*a.h5 6 x 4"):
        read_jets(paths, images=["jetImage"])


def test_images_that_are_not_finite(jet_file):
    images = pictures()
    images[17, 0, 0] = np.inf
    jets = read_jets(jet_file(jetImage=images), images=["jetImage"])
    assert jets[:7].images["jetImage"].shape == (7, 6, 4)
    with pytest.raises(InputError, match=r"jets.h5: jetImage has 1 NaN or infinite values.*the first in row 17"):
        jets[15:]
