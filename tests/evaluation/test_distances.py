import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hepjax import InputError
from hepjax.evaluation import (
    compare_each_to_floor,
    compare_to_floor,
    distances_by_class,
    wasserstein,
    wasserstein_distance,
    wasserstein_floor,
)

VALUES = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES, st.randoms(use_true_random=False))
def test_it_is_scipys_distance(a, b, random):
    assert wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-6)
    u, v = ([random.choice((0.5, 1, 4)) for _ in x] for x in (a, b))
    assert wasserstein(a, b, u, v) == pytest.approx(stats.wasserstein_distance(a, b, u, v), abs=1e-6)
    assert wasserstein(b, a, v, u) == pytest.approx(wasserstein(a, b, u, v), abs=1e-6)


def test_a_weight_counts_like_so_many_values():
    rng = np.random.default_rng(0)
    a, b, w = rng.normal(size=50), rng.normal(size=80), rng.integers(0, 4, 50)
    assert wasserstein(a, b, w) == pytest.approx(wasserstein(np.repeat(a, w), b), abs=1e-12)


@pytest.mark.parametrize("count", [300, 3000])
def test_the_uncertainty_is_the_scatter_of_new_samples(count):
    rng = np.random.default_rng(1)

    def draw(scale):
        return rng.exponential(scale, count) ** 1.2  # a long tail

    scatter = np.std([wasserstein(draw(1.2), draw(1.0)) for _ in range(200)])
    result = np.mean([wasserstein_distance(draw(1.2), draw(1.0), seed=s).uncertainty for s in range(10)])
    assert result == pytest.approx(scatter, rel=0.2)


def test_the_uncertainty_of_weighted_values():
    rng = np.random.default_rng(2)

    def draw(mean):
        return rng.normal(mean, 1, 400), rng.choice([0.2, 1.8], 400)

    pairs = [(draw(0.5), draw(0.0)) for _ in range(300)]
    scatter = np.std([wasserstein(a, b, u, v) for (a, u), (b, v) in pairs])
    (a, u), (b, v) = pairs[0]
    assert wasserstein_distance(a, b, u, v).uncertainty == pytest.approx(scatter, rel=0.2)
    assert wasserstein_distance(a, b).uncertainty < 0.9 * scatter


def test_the_floor_is_the_mean_over_new_pairs_of_samples():
    rng = np.random.default_rng(3)
    result = wasserstein_floor(rng.normal(size=900), rng.normal(size=300))
    pairs = [wasserstein(rng.normal(size=900), rng.normal(size=300)) for _ in range(300)]
    assert result.distance == pytest.approx(np.mean(pairs), rel=0.15)
    assert result.uncertainty == pytest.approx(np.std(pairs), rel=0.35)


def test_a_good_generator_is_at_its_floor_and_a_bad_one_above():
    rng = np.random.default_rng(4)
    x, y, z = rng.normal(size=(3, 2000))
    good, bad = compare_to_floor(x, y, z), compare_to_floor(x + 0.2, y, z)
    assert 0.4 < good.ratio < 2.5
    assert bad.ratio > 4
    assert bad.generated.distance == pytest.approx(0.2, abs=4 * bad.generated.uncertainty)
    assert compare_each_to_floor({"good": x, "bad": x + 0.2}, y, z) == {"good": good, "bad": bad}
    assert np.isnan(compare_to_floor([1.0], [1.0], [1.0]).ratio)


def test_distances_by_class_pick_their_jets():
    rng = np.random.default_rng(5)
    x, more = rng.normal(size=(2, 60, 2))
    y, kinds = np.arange(60) % 2, np.arange(60) // 30
    result = distances_by_class({"a": more + 1}, (x, y), (more, kinds), ["j_pt", "j_mass"], ["q", "t"], seed=7)
    assert result["t"]["j_mass"]["a"] == compare_to_floor(more[30:, 1] + 1, x[1::2, 1], more[30:, 1], seed=7)
    assert result["all"]["j_pt"]["a"] == compare_to_floor(more[:, 0] + 1, x[:, 0], more[:, 0], seed=7)


@pytest.mark.parametrize(
    "a, b, weights, words",
    [
        ([], [1.0], None, "a: expected the shape"),
        ([1.0], [[1.0]], None, "b: expected the shape"),
        ([1.0, np.nan], [1.0], None, "a: 1 of 2 values are NaN"),
        ([1.0], [np.inf], None, "b: 1 of 1"),
        ([1.0], [1.0], [1.0, 2.0], "one weight per jet"),
        ([1.0], [1.0], [-1.0], "none below 0"),
        ([1.0], [1.0], [0.0], "positive sum"),
    ],
)
def test_bad_samples_are_refused(a, b, weights, words):
    with pytest.raises(InputError, match=words):
        wasserstein_distance(a, b, weights)


def test_samples_of_other_sizes_have_another_floor():
    with pytest.raises(InputError, match="as many values as are generated, 3, found 2"):
        compare_to_floor([1.0, 2.0, 3.0], [1.0], [1.0, 2.0])


def test_a_class_without_jets_is_refused():
    x, y = np.zeros((4, 1)), np.zeros(4, int)
    with pytest.raises(InputError, match="no jet of class t"):
        distances_by_class({"a": x}, (x, y), (x, y), ["j_pt"], ["q", "t"])
