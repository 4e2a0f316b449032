"""LorentzNet with weights of its authors, against their network in float64, edge by edge, and their logits."""

from __future__ import annotations

from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.errors import InputError
from hepjax.models.pretrained import lorentz_net
from hepjax.types import ParticleInputs

REFERENCE = Path(__file__).parents[4] / "shared/reference"
WIDTH = 6


def random_arrays(rng, scalars, layers=2, outputs=3):
    """A state dict under the authors' names."""
    arrays = {}

    def dense(name, inputs, width, bias=True):
        arrays[f"{name}.weight"] = rng.normal(0, 1 / np.sqrt(inputs), (width, inputs)).astype(np.float32)
        if bias:
            arrays[f"{name}.bias"] = rng.normal(0, 0.1, width).astype(np.float32)

    def norm(name):
        for part, shift in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            arrays[f"{name}.{part}"] = (shift + rng.uniform(-0.3, 0.3, WIDTH)).astype(np.float32)

    dense("embedding", scalars, WIDTH)
    for i in range(layers):
        block = f"LGEBs.{i}"
        dense(f"{block}.phi_e.0", 2 * WIDTH + 2, WIDTH, bias=False)
        norm(f"{block}.phi_e.1")
        dense(f"{block}.phi_h.0", 2 * WIDTH + scalars, WIDTH)
        norm(f"{block}.phi_h.1")
        for name, width in (("phi_e.3", WIDTH), ("phi_h.3", WIDTH), ("phi_m.0", 1)):
            dense(f"{block}.{name}", WIDTH, width)
        if i < layers - 1:
            dense(f"{block}.phi_x.0", WIDTH, WIDTH)
            dense(f"{block}.phi_x.2", WIDTH, 1, bias=False)
    dense("graph_dec.0", WIDTH, WIDTH)
    dense("graph_dec.3", WIDTH, outputs)
    return arrays


def reference(arrays, p4, scalars, nodes, step, seen=None):
    """The logits of one jet without padding in float64; `seen` collects what batch norms of edges get."""

    def dense(name, x):
        y = x @ np.float64(arrays[f"{name}.weight"]).T
        return y + arrays[f"{name}.bias"] if f"{name}.bias" in arrays else y

    def norm(name, x):
        centered = (x - arrays[f"{name}.running_mean"]) / np.sqrt(arrays[f"{name}.running_var"] + 1e-5)
        return centered * arrays[f"{name}.weight"] + arrays[f"{name}.bias"]

    relu, metric, x = (lambda y: np.maximum(y, 0)), np.array([-1, -1, -1, 1]), np.float64(p4)
    h, count, i = dense("embedding", scalars), len(p4), 0
    while f"LGEBs.{i}.phi_e.0.weight" in arrays:
        block, messages, moved = f"LGEBs.{i}", np.zeros_like(h), np.zeros_like(x)
        for a in range(count):
            for b in set(range(count)) - {a}:
                products = [psi(((x[a] - x[b]) ** 2 * metric).sum()), psi((x[a] * x[b] * metric).sum())]
                first = dense(f"{block}.phi_e.0", np.concatenate([h[a], h[b], products]))
                if seen is not None and i == 0:
                    seen.append(first)
                m = relu(dense(f"{block}.phi_e.3", relu(norm(f"{block}.phi_e.1", first))))
                m = m / (1 + np.exp(-dense(f"{block}.phi_m.0", m)))
                messages[a] += m
                if f"{block}.phi_x.0.weight" in arrays:
                    pull = dense(f"{block}.phi_x.2", relu(dense(f"{block}.phi_x.0", m)))
                    moved[a] += np.clip((x[a] - x[b]) * pull, -100, 100) / (count - 1)
        x = x + step * moved
        y = dense(f"{block}.phi_h.0", np.concatenate([h, messages, scalars], axis=-1))
        h, i = h + dense(f"{block}.phi_h.3", relu(norm(f"{block}.phi_h.1", y))), i + 1
    return dense("graph_dec.3", relu(dense("graph_dec.0", h.sum(0) / nodes)))


def psi(x):
    return np.sign(x) * np.log(np.abs(x) + 1)


@pytest.fixture
def jets(rng):
    """Momenta (B, P, 4) of heavy particles, and their mask."""
    mask = np.arange(4) < np.array([4, 2, 1])[:, None]
    p = rng.normal(0, 3, (3, 4, 3))
    energy = np.sqrt((p**2).sum(-1) + rng.uniform(1, 3, mask.shape) ** 2)
    return np.where(mask[..., None], np.concatenate([p, energy[..., None]], -1), 0).astype(np.float32), mask


def apply(model, params, state, p4, mask, values):
    inputs = ParticleInputs(jnp.asarray(values, jnp.float32), jnp.asarray(mask), momenta=jnp.asarray(p4))
    return jax.jit(model.apply)({"params": params, **state}, inputs)


@pytest.mark.parametrize("nodes", [None, 7])
def test_answers_of_the_network_with_beams(rng, jets, nodes):
    arrays, (p4, mask) = random_arrays(rng, scalars=2), jets
    model, params, state = lorentz_net.from_arrays({f"module.{name}": x for name, x in arrays.items()}, nodes)
    found = apply(model, params, state, p4, mask, np.zeros((*mask.shape, 0)))
    beams = np.array([[0, 0, 1, np.sqrt(2)], [0, 0, -1, np.sqrt(2)]])
    for jet, there, logits in zip(p4, mask, found, strict=True):
        particles = np.concatenate([beams, jet[there]])
        mass = psi(np.sqrt((particles**2 @ [-1, -1, -1, 1]).clip(0)))
        scalars = np.stack([mass, mass], -1) * np.where(np.arange(len(mass))[:, None] < 2, [0, 1], [1, 0])
        expected = reference(arrays, particles, scalars, nodes or len(particles), step=5e-3)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_answers_and_batch_statistics_of_the_network_of_columns(rng, jets):
    arrays, (p4, mask) = random_arrays(rng, scalars=5), jets
    model, params, state = lorentz_net.from_arrays(arrays)
    assert not model.beams
    assert not model.masses
    kinds, seen = np.eye(5)[rng.integers(0, 5, mask.shape)], []
    found = apply(model, params, state, p4, mask, kinds)
    for jet, there, kind, logits in zip(p4, mask, kinds, found, strict=True):
        expected = reference(arrays, jet[there], kind[there], there.sum(), step=1e-3, seen=seen)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    inputs = ParticleInputs(jnp.asarray(kinds, jnp.float32), jnp.asarray(mask), momenta=jnp.asarray(p4))
    begun = jax.jit(model.init)(jax.random.key(0), inputs)
    given = {**begun, "params": params}
    keys, changing = {"dropout": jax.random.key(0)}, ["batch_stats", "batch_steps"]
    train = jax.jit(lambda given: model.apply(given, inputs, train=True, rngs=keys, mutable=changing)[1])
    after = train(given)["batch_stats"]["block_0"]
    np.testing.assert_allclose(after["edge_norm"]["mean"], np.mean(seen, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after["edge_norm"]["var"], np.var(seen, 0), rtol=1e-4)
    drawn = {name: begun[name] for name in ("params", "batch_stats")}
    chex.assert_trees_all_equal_shapes({"params": params, **state}, drawn)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"LGEBs.1.phi_m.0.bias": None}, "has no LGEBs.1.phi_m.0.bias"),
        ({"LGEBs.1.phi_x.0.weight": np.zeros((6, 6), np.float32)}, "no place for LGEBs.1.phi_x.0.weight"),
        ({"LGEBs.0.phi_e.0.weight": np.zeros((6, 12), np.float32)}, "phi_e.0.weight: expected 14 inputs, found 12"),
        ({"LGEBs.0.phi_h.1.running_var": np.full(6, np.nan, np.float32)}, "running_var: expected finite"),
    ],
)
def test_what_does_not_fit_is_named(rng, change, message):
    arrays = {name: x for name, x in (random_arrays(rng, 2) | change).items() if x is not None}
    with pytest.raises(InputError, match=message):
        lorentz_net.from_arrays(arrays, source="net.pt")


def test_released_weights():
    """On real jets of a batch of the authors' code, in which the longest has 114 particles."""
    weights, jets = REFERENCE / "lorentznet/top_best-val-model.pt", REFERENCE / "real_jets/top_2000.npz"
    logits = REFERENCE / "lorentznet/top_2000_logits.npz"
    if not (weights.exists() and jets.exists() and logits.exists()):
        pytest.skip("the released weights and their logits are not here")
    with np.load(jets) as file, np.load(logits) as expected:
        few = np.flatnonzero(file["mask"][:50].sum(1) <= 50)
        p4, mask, logits = file["p4"][few, :50], file["mask"][few, :50], expected["logits"][few]
    model, params, state = lorentz_net.load_lorentz_net(weights, nodes=114 + 2)
    found = apply(model, params, state, p4, mask, np.zeros((*mask.shape, 0)))
    np.testing.assert_allclose(found, logits, atol=1e-3)
