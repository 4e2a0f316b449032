"""Networks with weights of weaver-core: its results in float64, as `benchmarks/weaver_parity.py` has written them."""

from __future__ import annotations

from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.errors import InputError
from hepjax.inputs import all_pair_features
from hepjax.models.pretrained import particle_net, particle_transformer
from hepjax.types import ParticleInputs

GOLDEN = Path(__file__).parent / "weaver.npz"
REFERENCE = Path(__file__).parents[4] / "shared/reference"
READERS = {
    "particle-net": particle_net,
    "particle-net with fusion": particle_net,
    "particle-transformer 1": particle_transformer,
    "particle-transformer 2": particle_transformer,
    "particle-transformer 3": particle_transformer,
}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def arrays_of(golden, name):
    return {key.removeprefix(f"{name}/"): x for key, x in golden.items() if key.startswith(f"{name}/")}


def state_dict(golden, name):
    return {key: x for key, x in arrays_of(golden, name).items() if key not in {"logits", "gradients"}}


def inputs_of(golden):
    jets = {name: jnp.asarray(x) for name, x in arrays_of(golden, "jets").items()}
    pairs = all_pair_features(jets["p4"])
    return ParticleInputs(jets["columns"], jets["mask"], points=jets["points"], pairs=pairs)


@pytest.mark.parametrize("name", READERS)
def test_logits_and_gradients_are_the_peers(golden, name):
    model, params, state = READERS[name].from_arrays(state_dict(golden, name))
    model = model.clone(neighbors=2) if READERS[name] is particle_net else model
    inputs = inputs_of(golden)

    def total(values):
        logits = model.apply({"params": params, **state}, inputs._replace(values=values))
        return (logits * jnp.arange(1, 6)).sum(), logits

    gradients, logits = jax.jit(jax.grad(total, has_aux=True))(inputs.values)
    np.testing.assert_allclose(logits, golden[f"{name}/logits"], atol=1e-4)
    np.testing.assert_allclose(gradients, golden[f"{name}/gradients"], atol=2e-4)


@pytest.mark.parametrize("name", READERS)
def test_parameters_are_those_that_the_model_draws(golden, name):
    model, params, state = READERS[name].from_arrays(state_dict(golden, name))
    example = jax.tree.map(lambda x: x[:1], inputs_of(golden))
    drawn = jax.eval_shape(lambda: model.init(jax.random.key(0), example))
    expected = {name: drawn[name] for name in ("params", "batch_stats")}
    chex.assert_trees_all_equal_shapes({"params": params, **state}, expected)


def test_older_names_and_a_prefix(golden):
    arrays = state_dict(golden, "particle-transformer 1")
    older = {f"mod.{name.replace('in_proj.', 'in_proj_')}": x for name, x in arrays.items()}
    chex.assert_trees_all_equal(*(particle_transformer.from_arrays(given)[1] for given in (arrays, older)))


def test_heads_of_a_fine_tuned_network(golden):
    arrays = state_dict(golden, "particle-net")
    renamed = {name.replace("fc.1.", "fc_out."): x for name, x in arrays.items()}
    chex.assert_trees_all_equal(*(particle_net.from_arrays(given)[1] for given in (arrays, renamed)))


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("particle-net", {"edge_convs.0.convs.1.weight": None}, "has no edge_convs.0.convs.1.weight"),
        ("particle-net", {"sv_conv.weight": np.zeros((2, 2))}, "no place for sv_conv.weight"),
        ("particle-net", {"fc.0.0.weight": np.zeros((6, 9), np.float32)}, "fc.0.0.weight: expected 8 inputs, found 9"),
        ("particle-net", {"bn_fts.bias": np.full(7, np.nan, np.float32)}, "bn_fts.bias: expected finite"),
        ("particle-net", {"bn_fts.bias": np.zeros(6, np.float32)}, r"bn_fts.bias: expected the shape \(7\)"),
        ("particle-transformer 1", {"blocks.1.fc2.bias": None}, "has no blocks.1.fc2.bias"),
        ("particle-transformer 1", {"cls_token": np.zeros((1, 1, 9), np.float32)}, r"cls_token: .*\(…, …, 8\)"),
        ("particle-transformer 2", {"blocks.0.c_mask": np.ones(1, np.float32)}, "no place for blocks.0.c_mask"),
    ],
)
def test_what_does_not_fit_is_named(golden, name, change, message):
    arrays = {key: x for key, x in (state_dict(golden, name) | change).items() if x is not None}
    with pytest.raises(InputError, match=message):
        READERS[name].from_arrays(arrays, "net.pt")


def test_released_particle_net():
    """The released weights on real jets: logits by the authors' class."""
    weights, jets = REFERENCE / "particlenet/ParticleNet_kin.pt", REFERENCE / "particlenet/kin_jetclass_500.npz"
    if not (weights.exists() and jets.exists()):
        pytest.skip("the released weights and their logits are not here")
    model, params, state = particle_net.load_particle_net(weights)
    with np.load(jets) as file:
        mask = file["mask"][:100].astype(bool)
        values, points = (np.moveaxis(file[name][:100], 1, 2) * mask[..., None] for name in ("features", "points"))
        expected, labels = file["logits"][:100], file["labels"][:100]
    apply = jax.jit(lambda inputs: model.apply({"params": params, **state}, inputs))
    logits = apply(ParticleInputs(jnp.asarray(values), jnp.asarray(mask), points=jnp.asarray(points)))
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    assert np.mean(np.argmax(logits, 1) == labels) == np.mean(np.argmax(expected, 1) == labels)
