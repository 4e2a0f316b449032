from __future__ import annotations

import sys
import warnings

import jax
import numpy as np
import pytest

from hepjax import InputError
from hepjax.physics import kinematics
from hepjax.tasks.grooming import groomed, gymnasium_environment, make_reward, observe


@pytest.fixture
def environment(jets):
    pytest.importorskip("gymnasium", reason="the extra `gymnasium` is not installed")
    return gymnasium_environment(jets[2], make_reward(), np.arange(8) % 2 == 0)


def test_it_passes_gymnasium_s_checker_without_a_warning(environment):
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(environment)


def walk(environment, seed, jets):
    observed, messages = environment.reset(seed=seed)
    rows, done = [(observed, messages)], False
    environment.action_space.seed(seed)
    while not done:
        action = environment.action_space.sample()
        observed, reward, done, truncated, messages = environment.step(action)
        assert not truncated
        rows.append((observed, messages, int(action), reward))
    return rows


def test_the_same_seed_walks_the_same_jet_to_the_end(environment, jets):
    p4, _, trees, _ = jets
    dealt = set()
    for seed in range(6):
        one, other = walk(environment, seed, jets), walk(environment, seed, jets)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            assert a[2:] == b[2:]
        jet = one[0][1]["jet"]
        dealt.add(jet)
        at = np.flatnonzero((np.abs(np.asarray(observe(trees))[jet] - one[0][0]) < 1e-6).all(axis=1))
        assert trees.first[jet] in at
        mask = one[-1][1]["mask"]
        mass = kinematics.mass(p4[jet][mask].sum(axis=0))
        assert one[-1][1]["mass"] == pytest.approx(mass, rel=1e-3, abs=0.5)
    assert len(dealt) > 2


def test_a_seed_that_is_not_given_again_goes_on_to_other_jets(environment):
    environment.reset(seed=0)
    assert len({environment.reset()[1]["jet"] for _ in range(12)}) > 2


def test_keeping_all_leaves_the_jet(environment, jets):
    _, messages = environment.reset(seed=1)
    jet, done = messages["jet"], False
    while not done:
        _, _, done, _, messages = environment.step(np.int64(0))
    np.testing.assert_array_equal(messages["mask"], jets[1][jet])
    np.testing.assert_array_equal(
        messages["mask"], groomed(jax.tree.map(lambda x: x[jet], jets[2]), np.zeros(12, bool))
    )


def test_without_gymnasium_the_extra_is_named(jets, monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(InputError, match=r"pip install 'hepjax\[gymnasium\]'"):
        gymnasium_environment(jets[2], make_reward())


def test_only_jets_without_splitting_are_refused(jets):
    pytest.importorskip("gymnasium", reason="the extra `gymnasium` is not installed")
    with pytest.raises(InputError, match="expected a jet with a splitting"):
        gymnasium_environment(jax.tree.map(lambda x: x[6:], jets[2]), make_reward())
