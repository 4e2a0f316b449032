from __future__ import annotations

import numpy as np
import pytest

from hepjax.errors import InputError
from hepjax.evaluation import bias_and_variance
from hepjax.types import Scores


def members(toy, rng, count, scale):
    p = np.exp(np.log(toy.scores) + rng.normal(scale=scale, size=(count, *toy.scores.shape)))
    return [toy._replace(scores=x / x.sum(axis=1, keepdims=True)) for x in p]


def test_the_parts_add_up_and_equal_a_loop(toy, rng):
    chosen = members(toy, rng, 4, 0.5)
    result = bias_and_variance(chosen)
    brier = variance = 0.0
    for i, weight in enumerate(toy.weights / toy.weights.sum()):
        outputs = [one.scores[i] for one in chosen]
        truth = np.eye(5)[toy.labels[i]]
        brier += weight * np.mean([((p - truth) ** 2).sum() for p in outputs])
        variance += weight * np.var(outputs, axis=0, ddof=1).sum()
    assert result["brier"] == pytest.approx(brier)
    assert result["variance"] == pytest.approx(variance)
    assert result["bias_and_noise"] + result["variance"] == pytest.approx(result["brier"])


def test_more_scatter_is_more_variance_and_the_bias_does_not_depend_on_how_many_members(toy, rng):
    calm, wild = (bias_and_variance(members(toy, rng, 5, scale)) for scale in (0.1, 0.8))
    assert wild["variance"] > 20 * calm["variance"]
    few, many = (bias_and_variance(members(toy, rng, count, 0.5)) for count in (2, 40))
    assert few["bias_and_noise"] == pytest.approx(many["bias_and_noise"], rel=0.03)


def test_equal_members_do_not_scatter(toy):
    result = bias_and_variance([toy, toy])
    assert result["variance"] == pytest.approx(0, abs=1e-15)


def test_one_member_or_other_jets_are_refused(toy):
    with pytest.raises(InputError, match="two or more, found 1"):
        bias_and_variance([toy])
    other = Scores(toy.scores[::-1], toy.labels[::-1], toy.weights, toy.classes)
    with pytest.raises(InputError, match="same jets"):
        bias_and_variance([toy, other])
