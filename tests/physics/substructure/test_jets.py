from __future__ import annotations

import dataclasses

import chex
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hepjax.choices import Role
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics import kinematics
from hepjax.physics.substructure import from_jets, jet_observables
from hepjax.physics.substructure import jets as module
from hepjax.types import Dataset, Jets

COLUMN = {name: index for index, name in enumerate(hls4ml.OBSERVABLE_COLUMNS)}
ANGULAR = [index for name, index in COLUMN.items() if "_eta" not in name]


@pytest.fixture
def computed(jets):
    return jet_observables(*jets)


def close(computed, expected, columns=slice(None), rtol=2e-4):
    np.testing.assert_allclose(computed[:, columns], expected[:, columns], rtol=rtol, atol=2e-4)


def test_the_public_layout_has_all_of_them_in_this_order():
    assert tuple(f"j_{name}" for name in module.OBSERVABLES) == hls4ml.OBSERVABLE_COLUMNS


def test_shape_order_and_units(jets, computed):
    p4, mask = jets
    chex.assert_shape(computed, (6, 53))
    assert computed.dtype == np.float32
    total = np.where(mask[..., None], p4, 0).sum(axis=1)
    for name, expected in {
        "j_pt": kinematics.pt(total),
        "j_eta": kinematics.eta(total),
        "j_mass": kinematics.mass(total),
        "j_multiplicity": mask.sum(axis=1),
        "j_ptfrac": np.ones(6),
    }.items():
        np.testing.assert_allclose(computed[:, COLUMN[name]], expected, rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(computed[:, COLUMN["j_d2_b1"]], computed[:, COLUMN["j_d2_a1_b1"]])
    reference = jet_observables(p4, mask, jet_pt_reference=2 * kinematics.pt(total))
    np.testing.assert_allclose(reference[:, COLUMN["j_ptfrac"]], 0.5)


def test_scalars_equal_float64(jets, computed):
    """The whole chain in float32 against float64 from the definitions."""
    p4, mask = jets
    for row in range(len(p4)):
        one = p4[row][mask[row]]
        pt, y, phi = kinematics.pt(one), kinematics.rapidity(one), kinematics.phi(one)
        z, theta = pt / pt.sum(), kinematics.delta_r(y[:, None], phi[:, None], y, phi)
        e2 = np.einsum("i,j,ij", z, z, theta) / 2
        e3 = np.einsum("i,j,k,ij,jk,ik", z, z, z, theta, theta, theta, optimize=True) / 6
        np.testing.assert_allclose(computed[row, COLUMN["j_c1_b1"]], e2, rtol=1e-5)
        np.testing.assert_allclose(computed[row, COLUMN["j_c2_b1"]], e3 / e2**2, rtol=1e-4)
        np.testing.assert_allclose(computed[row, COLUMN["j_d2_b1"]], e3 / e2**3, rtol=1e-4)
        np.testing.assert_allclose(computed[row, COLUMN["j_zlogz"]], np.sum(z * np.log(z)), rtol=1e-5)


def test_groomed_observables_are_those_of_the_surviving_particles(jets, computed):
    p4, mask = jets
    small, _ = module._sort_jet_by_pt(p4, mask)
    frame, _ = module._to_jet_frame(small, mask)
    x, m = np.zeros((16, 32, 4), np.float32), np.zeros((16, 32), bool)
    x[:6, :30], m[:6, :30] = frame, mask
    keep = np.asarray(module._groom(x, m))[:6, 0, :30]
    assert np.any(keep.sum(axis=1) < mask.sum(axis=1))
    alone = jet_observables(small, keep)
    for name in (f"j_{name}" for name in module.SUBSTRUCTURE):
        np.testing.assert_allclose(computed[:, COLUMN[f"{name}_mmdt"]], alone[:, COLUMN[name]], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(computed[:, COLUMN["j_mass_mmdt"]], alone[:, COLUMN["j_mass"]], rtol=1e-5)


def test_order_padding_and_neighbours_do_not_change_a_bit(rng, jets, computed):
    p4, mask = jets
    order = rng.permutation(30)
    np.testing.assert_array_equal(jet_observables(p4[:, order], mask[:, order]), computed)
    wide, wide_mask = np.full((6, 80, 4), np.nan), np.zeros((6, 80), bool)
    wide[:, 40:70], wide_mask[:, 40:70] = p4, mask
    np.testing.assert_array_equal(jet_observables(wide, wide_mask), computed)
    for row in range(6):
        np.testing.assert_array_equal(jet_observables(p4[[row]], mask[[row]]), computed[[row]])
    many = rng.permutation(np.repeat(np.arange(6), 7))
    np.testing.assert_array_equal(jet_observables(p4[many], mask[many]), computed[many])


def test_turning_and_boosting_change_nothing_but_eta(jets, computed):
    p4, mask = jets
    angle, boost = 2.0, 1.3
    turned = p4.copy()
    turned[..., 0] = np.cos(angle) * p4[..., 0] - np.sin(angle) * p4[..., 1]
    turned[..., 1] = np.sin(angle) * p4[..., 0] + np.cos(angle) * p4[..., 1]
    close(jet_observables(turned, mask), computed)
    boosted = p4.copy()
    boosted[..., 2] = np.cosh(boost) * p4[..., 2] + np.sinh(boost) * p4[..., 3]
    boosted[..., 3] = np.cosh(boost) * p4[..., 3] + np.sinh(boost) * p4[..., 2]
    close(jet_observables(boosted, mask), computed, ANGULAR)
    scaled = jet_observables(3 * p4, mask)
    units = [name for name in hls4ml.OBSERVABLE_COLUMNS if "mass" in name or name == "j_pt" or "_tau" in name]
    units = [name for name in units if "tau32" not in name]
    for name in hls4ml.OBSERVABLE_COLUMNS:
        factor = 3 if name in units else 1
        np.testing.assert_allclose(scaled[:, COLUMN[name]], factor * computed[:, COLUMN[name]], rtol=2e-4, atol=2e-4)


def test_masses_keep_their_digits_in_single_precision(make_jet, rng):
    w = np.stack([make_jet(rng, 30, eta=1.8) for _ in range(4)])
    mask = np.ones((4, 30), bool)
    exact, rounded = jet_observables(w, mask), jet_observables(w.astype(np.float32), mask)
    mass = [COLUMN[name] for name in COLUMN if "mass" in name]
    np.testing.assert_allclose(rounded[:, mass], exact[:, mass], rtol=1e-3, atol=0.1)


def test_degenerate_jets_are_zero():
    p4 = np.zeros((4, 3, 4))
    p4[0, 0] = [3, 4, 0, 5]
    p4[1, :2] = [3, 4, 0, 5]
    p4[2, :2] = [[3, 4, 0, 5], [0, 0, 7, 7]]
    mask = np.array([[True, False, False], [True, True, False], [True, True, False], [False] * 3])
    computed = jet_observables(p4, mask)
    chex.assert_tree_all_finite(computed)
    assert np.flatnonzero(computed[0]).tolist() == [COLUMN[n] for n in ("j_ptfrac", "j_pt", "j_multiplicity")]
    assert not computed[3].any()
    assert computed[1, COLUMN["j_c1_b0"]] == 0.25
    assert computed[1, COLUMN["j_c1_b1"]] == computed[1, COLUMN["j_d2_b1"]] == computed[1, COLUMN["j_tau1_b1"]] == 0


def test_no_jets_and_no_particles():
    assert jet_observables(np.zeros((0, 5, 4)), np.zeros((0, 5), bool)).shape == (0, 53)
    assert not jet_observables(np.zeros((2, 0, 4)), np.zeros((2, 0), bool)).any()


# Whole numbers make ties; the exponents span what float64 can square.
component = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e100, 1e100), st.floats(-1e-100, 1e-100))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    p4=npst.arrays(np.float64, (4, 5, 4), elements=component),
    mask=npst.arrays(np.bool_, (4, 5)),
)
def test_always_finite(p4, mask):
    chex.assert_tree_all_finite(jet_observables(p4, mask))


def test_the_number_of_traces_is_that_of_the_sizes(rng, make_jet):
    sizes = rng.integers(1, 60, 40)
    p4, mask = np.zeros((40, 60, 4)), np.arange(60) < sizes[:, None]
    for row, size in enumerate(sizes):
        p4[row, :size] = make_jet(rng, size)
    jet_observables(p4, mask)
    before = module._groom._cache_size(), module._measure._cache_size()
    for rows in (slice(0, 7), slice(3, 40), slice(5, 6)):
        jet_observables(p4[rows, :59], mask[rows, :59])
    assert (module._groom._cache_size(), module._measure._cache_size()) == before
    assert max(before) <= len(module.SLOTS)


def test_from_jets_finds_its_columns_by_name(jets, computed, monkeypatch):
    p4, mask = jets
    names = tuple(reversed(hls4ml.PARTICLE_COLUMNS))
    constituents = np.full((6, 30, 16), 9.0)
    for index, name in enumerate(("j1_px", "j1_py", "j1_pz", "j1_e")):
        constituents[..., names.index(name)] = p4[..., index]
    stored = Jets(
        constituents, mask, np.zeros((6, 53)), None, dataclasses.replace(hls4ml.HLS4ML, particle_columns=names)
    )
    monkeypatch.setattr(module, "_ROWS", 4)
    np.testing.assert_array_equal(from_jets(stored), computed)
    jet_columns = hls4ml.OBSERVABLE_COLUMNS
    bare = dataclasses.replace(stored, dataset=Dataset("bare", names, jet_columns, roles={Role.PX: "j1_px"}))
    with pytest.raises(InputError, match="no particle column has the role py; the particle columns are j1_costhetarel"):
        from_jets(bare)


def test_bad_input_is_named(jets):
    p4, mask = jets
    with pytest.raises(InputError, match=r"p4: expected the shape .* found \(6, 30, 3\)"):
        jet_observables(p4[..., :3], mask)
    with pytest.raises(InputError, match="mask: expected bool"):
        jet_observables(p4, mask.astype(int))
    broken = p4.copy()
    broken[2, 1, 3] = np.nan
    with pytest.raises(InputError, match=r"1 of 6 jets .* the first is jet 2"):
        jet_observables(broken, mask)
