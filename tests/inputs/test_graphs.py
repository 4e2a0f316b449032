"""Graphs of particles, against slow loops over jets and pairs."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepjax import InputError, read_jets
from hepjax.choices import Role
from hepjax.inputs import build_graph, graphs, pair_features, sequences
from hepjax.physics import kinematics

B, P, F = 4, 6, 3
RULES = {
    "all": {},
    "one neighbor": {"neighbors": 1},
    "neighbors": {"neighbors": 3},
    "all others as neighbors": {"neighbors": P - 1},
    "radius": {"radius": 2.5},
    "tiny radius": {"radius": 0.5},
}
compiled = jax.jit(build_graph, static_argnames=("neighbors", "radius"))


def oracle(nodes, mask, points, neighbors=None, radius=None):
    """One (nodes, senders, receivers) per jet; the ends count the jet's own particles."""
    for jet in range(len(mask)):
        there = [p for p in range(mask.shape[1]) if mask[jet, p]]
        senders, receivers = [], []
        for r, i in enumerate(there):
            others = [(sum((points[jet, i] - points[jet, j]) ** 2), s) for s, j in enumerate(there) if j != i]
            if neighbors is not None:
                others = sorted(others)[:neighbors]
            if radius is not None:
                others = [(d, s) for d, s in others if d < radius**2]
            senders += [s for _, s in others]
            receivers += [r] * len(others)
        yield nodes[jet, there], senders, receivers


@st.composite
def jets(draw):
    """Any mask, and points on a coarse grid: exact distances, with many ties."""
    mask = draw(st.lists(st.lists(st.booleans(), min_size=P, max_size=P), min_size=B, max_size=B))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes, points = rng.normal(size=(B, P, F)), rng.integers(0, 4, size=(B, P, 2))
    return nodes.astype(np.float32), np.array(mask), points.astype(np.float32)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@settings(max_examples=30, deadline=None)
@given(jets())
def test_edges_are_those_of_the_loop(rule, drawn):
    nodes, mask, points = drawn
    spoilt = [np.where(mask[..., None], x, np.nan) for x in (nodes, points)]
    graph = jax.device_get(compiled(spoilt[0], mask, points=spoilt[1], **rule))
    n, e = 0, 0
    for b, (own, senders, receivers) in enumerate(oracle(nodes, mask, points, **rule)):
        assert graph.n_node[b] == len(own)
        assert graph.n_edge[b] == len(senders)
        np.testing.assert_array_equal(graph.nodes[n : n + len(own)], own)
        np.testing.assert_array_equal(graph.senders[e : e + len(senders)] - n, senders)
        np.testing.assert_array_equal(graph.receivers[e : e + len(senders)] - n, receivers)
        np.testing.assert_allclose(graph.globals[b], [np.log(1 + len(own))], rtol=1e-6)
        n, e = n + len(own), e + len(senders)
    # The padding, which only sees itself.
    assert graph.n_node[B] == B * P + 1 - n
    assert graph.n_edge[B] == len(graph.senders) - e
    assert (graph.senders[e:] == n).all()
    assert (graph.receivers[e:] == n).all()
    assert not graph.nodes[n:].any()
    assert not graph.globals[B:].any()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_jraph_sees_the_padding(rng, rule):
    nodes, points = rng.normal(size=(B, P, F)), rng.normal(size=(B, P, 2))
    mask = rng.random((B, P)) < 0.6
    graph = compiled(nodes, mask, points=points, **rule)
    real = jraph.unpad_with_graphs(jax.device_get(graph))
    assert jraph.get_node_padding_mask(graph).sum() == mask.sum() == len(real.nodes)
    assert jraph.get_edge_padding_mask(graph).sum() == graph.n_edge[:-1].sum() == len(real.senders)
    assert jraph.get_graph_padding_mask(graph).tolist() == [True] * B + [False]
    again = jraph.pad_with_graphs(real, len(graph.nodes), len(graph.senders), B + 1)
    jax.tree.map(np.testing.assert_array_equal, again, graph)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_shapes_follow_from_the_arguments(rule):
    nodes = jax.ShapeDtypeStruct((B, P, F), jnp.float32)
    mask = jax.ShapeDtypeStruct((B, P), bool)
    points = jax.ShapeDtypeStruct((B, P, 2), jnp.float32)
    graph = jax.eval_shape(functools.partial(build_graph, **rule), nodes, mask, points=points)
    edges = B * P * rule.get("neighbors", P - 1)
    assert graph.nodes.shape == (B * P + 1, F)
    assert graph.edges.shape == (edges, 0)
    assert graph.senders.shape == graph.receivers.shape == (edges,)
    assert {x.dtype for x in (graph.senders, graph.receivers, graph.n_node, graph.n_edge)} == {jnp.dtype("int32")}


def test_one_particle_has_no_edges():
    graph = compiled(np.ones((2, 1, F)), np.array([[True], [False]]))
    assert graph.n_node.tolist() == [1, 0, 2]
    assert graph.senders.shape == (0,)


def test_own_globals(rng):
    own = rng.normal(size=(B, 2))
    graph = compiled(np.ones((B, P, F)), np.ones((B, P), bool), globals_=own)
    np.testing.assert_allclose(graph.globals, [*own, [0, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    "rule, words",
    [
        ({"neighbors": P}, "6 particles have 1 to 5 others each, found neighbors=6"),
        ({"neighbors": 0}, "found neighbors=0"),
        ({"radius": 0.0}, "found 0.0"),
        ({"radius": float("nan")}, "found nan"),
        ({"radius": -1.0}, "found -1.0"),
        ({"neighbors": 2, "radius": 0.1}, "neighbors=2 and radius=0.1"),
        ({"neighbors": 2, "points": None}, "points"),
    ],
)
def test_bad_rules_are_refused(rule, words):
    with pytest.raises(InputError, match=words):
        build_graph(np.ones((B, P, F)), np.ones((B, P), bool), **{"points": np.ones((B, P, 2)), **rule})


class TestPairFeatures:
    def momenta(self, rng, *shape):
        pt, eta, phi = rng.exponential(50, shape), rng.normal(0, 1, shape), rng.uniform(-np.pi, np.pi, shape)
        return kinematics.from_pt_eta_phi_mass(pt, eta, phi, rng.choice([0.0, 0.14, 0.94], shape))

    def test_formulas(self, rng):
        """Equations 3 to 6 as they stand, in float64."""
        a, b = self.momenta(rng, 500), self.momenta(rng, 500)
        y_a, y_b = (0.5 * np.log((p[:, 3] + p[:, 2]) / (p[:, 3] - p[:, 2])) for p in (a, b))
        turn = np.abs(np.arctan2(a[:, 1], a[:, 0]) - np.arctan2(b[:, 1], b[:, 0]))
        distance = np.hypot(y_a - y_b, np.minimum(turn, 2 * np.pi - turn))
        pt_a, pt_b = np.hypot(a[:, 0], a[:, 1]), np.hypot(b[:, 0], b[:, 1])
        softer, total = np.minimum(pt_a, pt_b), a + b
        mass_2 = total[:, 3] ** 2 - (total[:, :3] ** 2).sum(1)
        expected = np.log(np.stack([distance, softer * distance, softer / (pt_a + pt_b), mass_2], axis=1))
        np.testing.assert_allclose(pair_features(a, b), expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(pair_features(b, a), expected, rtol=1e-6, atol=1e-6)

    def test_float32_keeps_the_mass_of_collinear_photons(self):
        a, b = (
            kinematics.from_pt_eta_phi_mass(np.float64(500), np.float64(eta), np.float64(0.3), np.float64(0))
            for eta in (1.0, 1.01)
        )
        close = np.exp(pair_features(a.astype(np.float32), b.astype(np.float32)))[3]
        assert close == pytest.approx(25, rel=0.2)  # (pT ΔR)²; each photon's own E² − p² is off by its last digit

    def test_finite_for_coincident_massless_and_absent_particles(self):
        cases = jnp.array(
            [[0, 0, 0, 0], [1, 0, 0, 1], [3, 4, 12, 13], [0, 0, 5, 5], [3, 4, 12, 12.9], [1e3, 0, 1e3, 1500]],
            jnp.float32,
        )
        a, b = (x.reshape(-1, 4) for x in jnp.broadcast_arrays(cases[:, None], cases[None]))
        assert jnp.isfinite(jax.jit(pair_features)(a, b)).all()
        for gradient in jax.jit(jax.grad(lambda a, b: pair_features(a, b).sum(), argnums=(0, 1)))(a, b):
            assert jnp.isfinite(gradient).all()

    def test_on_edges(self, rng):
        p4 = self.momenta(rng, B, P).astype(np.float32)
        mask = np.arange(P) < np.array([[6], [3], [1], [0]])
        graph = jax.device_get(compiled(p4, mask, p4=np.where(mask[..., None], p4, np.nan)))
        assert graph.edges.shape == (B * P * (P - 1), 4)
        expected = pair_features(graph.nodes[graph.receivers], graph.nodes[graph.senders])
        real = int(graph.n_edge[:-1].sum())
        assert real == 36
        np.testing.assert_allclose(graph.edges[:real], expected[:real], rtol=1e-4, atol=1e-5)
        assert not graph.edges[real:].any()

    def test_gradient_reaches_the_particles_and_stays_out_of_padding(self, rng):
        p4 = jnp.asarray(self.momenta(rng, B, P))
        mask = jnp.arange(P) < jnp.array([[6], [3], [1], [0]])
        gradient = jax.jit(jax.grad(lambda p4: build_graph(p4, mask, p4=p4).edges.sum()))(p4)
        assert jnp.isfinite(gradient).all()
        assert gradient[0].any()
        assert not gradient[~mask].any()


class TestHost:
    COLUMNS = ("j1_pt", "j1_etarel", "j1_phirel")

    @pytest.mark.parametrize(
        "rule", [{}, {"neighbors": 4}, {"radius": 0.8}, {"edge_features": True}], ids=["all", "k", "radius", "p4"]
    )
    def test_is_the_compiled_form_without_padding(self, jet_file, rule):
        jets = read_jets(jet_file())
        found = graphs(jets, self.COLUMNS, **rule)
        values, mask = sequences(jets, [*self.COLUMNS, "j1_px", "j1_py", "j1_pz", "j1_e"])
        rule = dict(rule)
        p4 = {"p4": values[..., 3:]} if rule.pop("edge_features", False) else {}
        padded = compiled(values[..., :3], mask, points=values[..., 1:3], **rule, **p4)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
            found,
            jraph.unpad_with_graphs(jax.device_get(padded)),
        )
        assert all(isinstance(x, np.ndarray) for x in found)
        assert {x.dtype for x in (found.nodes, found.edges, found.globals)} == {np.dtype("float32")}
        assert {x.dtype for x in (found.senders, found.receivers, found.n_node)} == {np.dtype("int32")}
        assert found.edges.shape == (len(found.senders), 4 if p4 else 0)

    def test_blocks_do_not_show(self, jet_file, monkeypatch):
        jets = read_jets(jet_file())
        whole = graphs(jets, self.COLUMNS, neighbors=3)
        monkeypatch.setitem(graphs.__globals__, "_BLOCK", 7 * 30**2)
        jax.tree.map(np.testing.assert_array_equal, graphs(jets, self.COLUMNS, neighbors=3), whole)

    def test_some_rows_and_particles(self, jet_file):
        jets = read_jets(jet_file())
        whole = jraph.unbatch_np(graphs(jets, self.COLUMNS))  # in place, on graphs of our own
        part = jraph.unbatch_np(graphs(jets, self.COLUMNS, rows=slice(3, 6)))
        jax.tree.map(np.testing.assert_array_equal, part, whole[3:6])
        assert graphs(jets, self.COLUMNS, particles=2).n_node.max() == 2
        assert graphs(jets, self.COLUMNS, rows=slice(0, 0)).n_node.shape == (0,)

    def test_azimuth_has_no_step(self, jet_file):
        jets = read_jets(jet_file())
        values, mask = sequences(jets, ["j1_phi"], rows=slice(1))
        n = int(mask.sum())
        graph = graphs(jets, ["j1_phi"], neighbors=1, by=["j1_phi"], rows=slice(1))
        away = np.abs(np.subtract.outer(values[0, :n, 0], values[0, :n, 0]) % (2 * np.pi))
        away = np.minimum(away, 2 * np.pi - away) + 9 * np.eye(n)
        np.testing.assert_array_equal(graph.senders, away.argmin(1))

    @pytest.mark.parametrize(
        "options, words",
        [
            ({"neighbors": 30}, "30 particles"),
            ({"neighbors": 5, "particles": 5}, "5 particles"),
            ({"neighbors": 3, "by": ["j1_etarle"]}, "by: the jets have no j1_etarle; did you mean j1_etarel"),
            ({"columns": ["j1_pz", "j1_pz"]}, "columns"),
        ],
    )
    def test_refuses(self, jet_file, options, words):
        with pytest.raises(InputError, match=words):
            graphs(read_jets(jet_file()), **options)

    def test_missing_momenta_are_named(self, jet_file):
        jets = read_jets(jet_file())[:2]
        roles = {
            role: name for role, name in jets.dataset.roles.items() if role not in {Role.PX, Role.PHI, Role.PHI_REL}
        }
        jets = dataclasses.replace(jets, dataset=dataclasses.replace(jets.dataset, roles=roles))
        with pytest.raises(InputError, match="columns: the jets have no px"):
            graphs(jets, self.COLUMNS, edge_features=True)
