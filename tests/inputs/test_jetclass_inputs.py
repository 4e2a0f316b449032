"""The standard inputs of networks with published weights, against those that weaver-core made of real jets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hepjax import from_arrays, read_jets
from hepjax.data.standard_columns import SETS
from hepjax.inputs.jetclass_inputs import FULL, KIN, KINPID, PARTICLES, POINTS, jetclass_inputs
from hepjax.inputs.pipelines import resolve_model_columns
from hepjax.models import DeepSets

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
JETS, INPUTS = REFERENCE / "real_jets" / "jetclass_500.npz", REFERENCE / "particlenet" / "kin_jetclass_500.npz"


@pytest.mark.skipif(not (JETS.exists() and INPUTS.exists()), reason="the reference jets are not there")
def test_real_jets_give_the_inputs_of_weaver_core():
    """With the places relative to the jet of the files: its η there is not that of the sum of its particles."""
    stored, expected = np.load(JETS), np.load(INPUTS)
    places = {name: stored["deta_dphi"][..., place] for place, name in enumerate(POINTS)}
    mask = expected["mask"].astype(bool)
    features, points = (
        np.where(mask[..., None], np.moveaxis(expected[key], 1, -1), 0) for key in ("features", "points")
    )
    for particles, columns in ((places, [*range(7)]), ({}, [0, 1, 2, 3, 6])):
        found = jetclass_inputs(from_arrays(stored["p4"], particles=particles, mask=stored["mask"]))
        np.testing.assert_array_equal(found.mask, mask)
        np.testing.assert_allclose(found.values[..., columns], features[..., columns], atol=2e-5)
        assert not found.values[~mask].any()  # not the jet's own particles again
        np.testing.assert_allclose(found.values[..., -1], points[..., 1], atol=2e-5)


def test_each_jet_has_as_many_slots_as_asked():
    jets = read_jets()[:20]
    few, all_slots = jetclass_inputs(jets, particles=8), jetclass_inputs(jets)
    assert few.values.shape == (20, 8, 7)
    assert all_slots.values.shape == (20, PARTICLES, 7)
    np.testing.assert_array_equal(few.values, all_slots.values[:, :8])
    assert all_slots.mask[:, jets.mask.shape[1] :].sum() == 0


def test_a_set_stands_for_its_columns_in_a_model():
    assert tuple(map(len, (KIN, KINPID, FULL))) == (7, 13, 17)
    assert all(columns[-2:] == POINTS for columns in SETS.values())
    model = resolve_model_columns(DeepSets(columns=("jetclass_kin", "mass")), read_jets().dataset)
    assert model.columns == (*KIN, "mass")
