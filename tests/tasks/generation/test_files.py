"""Generated clouds as columns and in files: what is read back is what was written."""

from __future__ import annotations

import numpy as np

from hepjax import read_jets
from hepjax.data import atomic_hdf5
from hepjax.tasks import generation
from hepjax.tasks.generation import cloud_pipeline, files


def test_files_of_clouds_can_be_learned_from(tmp_path, rng):
    mask = np.arange(5) < rng.integers(1, 6, (30, 1))
    share = -np.sort(-rng.uniform(0.01, 0.15, (30, 5)), axis=1)
    values = np.concatenate([rng.normal(0, 0.1, (30, 5, 2)), share[..., None]], axis=-1)
    labels = np.arange(30) % 2
    clouds = generation.Clouds(np.where(mask[..., None], values, 0), mask, rng.uniform(900, 1100, 30), labels)
    columns = generation.cloud_columns(clouds)
    again = files.from_columns(columns, labels)
    np.testing.assert_array_equal(again.mask, mask)
    np.testing.assert_allclose(again.values, clouds.values, rtol=1e-6)
    np.testing.assert_allclose(again.pt, clouds.pt, rtol=1e-6)
    with atomic_hdf5.new_hdf5_file(tmp_path / "jets.h5") as new:
        files.write_columns(new.file, columns, labels, ("q", "t"))
        new.check()
    jets = read_jets(tmp_path / "jets.h5")
    assert jets.classes == ("q", "t")
    np.testing.assert_array_equal(jets.labels, labels)
    read = cloud_pipeline.read_clouds(jets, slice(None), 5)
    np.testing.assert_array_equal(read.mask, mask)
    np.testing.assert_allclose(read.values, clouds.values, atol=1e-5)
    np.testing.assert_allclose(read.pt, clouds.pt, rtol=1e-6)
    observables = generation.cloud_observables(clouds)
    np.testing.assert_allclose(
        jets.observables[:][:, jets.observable_names.index("j_mass")], observables["j_mass"], rtol=1e-5
    )
