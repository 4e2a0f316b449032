"""Jets as graphs of their particles: nodes, edges and one row of globals a jet, as jraph holds them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jraph
import numpy as np

from hepjax.choices import Role
from hepjax.data.dataset import P4
from hepjax.data.standard_columns import expand_sets
from hepjax.errors import InputError
from hepjax.inputs.column_names import particle_sources
from hepjax.inputs.pairs import features_of_pairs, momentum_coordinates
from hepjax.inputs.sequences import sequences
from hepjax.numerics import unfused_product, wrap_azimuth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.types import Dataset, Jets

_P4 = tuple(role.value for role in P4)
_ANGLES = (Role.ETA_REL.value, Role.PHI_REL.value)
_BLOCK = 1_000_000
"""Pairs of particles that the host builds at once."""


def build_graph(
    nodes: jax.Array,
    mask: jax.Array,
    *,
    points: jax.Array | None = None,
    neighbors: int | None = None,
    radius: float | None = None,
    p4: jax.Array | None = None,
    globals_: jax.Array | None = None,
) -> jraph.GraphsTuple:
    """Joins the particles of each jet to a graph, inside `jit` too: all shapes follow from those of the arguments.

    The jets are graphs 0 … B−1; one last graph is the padding, as `jraph.pad_with_graphs` has it, so that jraph's
    padding masks work. Nodes keep the order of the particles. Edges stand jet by jet, and receiver by receiver within.

    Args:
      nodes: (B, P, F) features of the particles.
      mask: (B, P) bool, True for a particle, wherever it stands.
      points: (B, P, D) coordinates to measure distances in. They are Euclidean: of an azimuth, give the difference to
        the jet's, which does not wrap within a jet.
      neighbors: k; each particle receives from its k nearest others in `points`, nearest first. Of equally near ones
        the first in the list counts. A jet of n ≤ k particles has n − 1 edges to each.
      radius: each particle receives from all others closer than this in `points`. Without `neighbors` and `radius`
        each receives from all others.
      p4: (B, P, 4) momenta (px, py, pz, E), GeV, for edge features; see `hepjax.inputs.pair_features`.
      globals_: (B, G) features of the jets; None is one column, ln(1 + number of particles).

    Returns:
      A graph with B·P + 1 nodes (F features), B·E edges with E = P·k or P(P − 1) (four features where `p4` is given,
      else none: width 0) and B + 1 graphs. Features of padding are 0, and its edges join its first node to itself.

    Raises:
      InputError: both `neighbors` and `radius` are given, either is out of range, or `points` are missing.

    >>> graph = build_graph(jnp.ones((2, 3, 1)), jnp.array([[True, True, True], [True, True, False]]))
    >>> graph.n_node.tolist(), graph.n_edge.tolist()
    ([3, 2, 2], [6, 2, 4])
    >>> graph.receivers[:8].tolist(), graph.senders[:8].tolist()
    ([0, 0, 1, 1, 2, 2, 3, 4], [1, 2, 0, 2, 0, 1, 4, 3])
    """
    jets, slots = mask.shape
    _check_graph_options(slots, neighbors, radius)
    if points is None and (neighbors is not None or radius is not None):
        raise InputError("points: expected (B, P, D) coordinates to measure distances in, found none")
    sender, wanted = _edge_candidates(mask, points, neighbors, radius)
    budget = sender.size
    # Particles move to the front, and so do edges; what fills up points behind the last.
    particles = jnp.nonzero(mask.reshape(-1), size=jets * slots + 1, fill_value=jets * slots)[0]
    place = jnp.cumsum(mask.reshape(-1), dtype=jnp.int32) - 1
    (edges,) = jnp.nonzero(wanted.reshape(-1), size=budget, fill_value=0)
    n_node, n_edge = mask.sum(1, dtype=jnp.int32), wanted.sum((1, 2), dtype=jnp.int32)
    real = jnp.arange(budget) < n_edge.sum()
    ends = sender.reshape(-1)[edges], edges // max(sender.shape[2], 1)
    senders, receivers = (jnp.where(real, place[end], n_node.sum()) for end in ends)
    if p4 is None:
        features = jnp.zeros((budget, 0), nodes.dtype)
    else:
        features = _edge_features(_pick_particles(p4, particles), senders, receivers, real)
    if globals_ is None:
        globals_ = jnp.log1p(n_node.astype(nodes.dtype))[:, None]
    return jraph.GraphsTuple(
        nodes=_pick_particles(nodes, particles),
        edges=features,
        senders=senders,
        receivers=receivers,
        globals=jnp.concatenate([globals_, jnp.zeros_like(globals_[:1])]),
        n_node=jnp.append(n_node, jets * slots + 1 - n_node.sum()),
        n_edge=jnp.append(n_edge, budget - n_edge.sum()),
    )


def graphs(
    jets: Jets,
    columns: Sequence[str] | None = None,
    *,
    particles: int | None = None,
    neighbors: int | None = None,
    radius: float | None = None,
    by: Sequence[str] = _ANGLES,
    edge_features: bool = False,
    rows: slice | np.ndarray = slice(None),
) -> jraph.GraphsTuple:
    """Makes the graphs of `build_graph` on the host: NumPy arrays of just the particles and edges, without padding.

    Args:
      jets: the jets; lazy ones are read.
      columns: the F particle columns that become node features, as in `sequences`; None is all.
      particles: the hardest particles of each jet to keep; None keeps all slots.
      neighbors: k nearest others that each particle receives from; see `build_graph`.
      radius: receive from all others closer than this. Without `neighbors` and `radius`, from all others.
      by: the columns to measure distances in. The azimuth φ is taken relative to the jet's first particle.
      edge_features: give the edges the four features of `hepjax.inputs.pair_features`.
      rows: which N jets; the default is all.

    Returns:
      N graphs: `nodes` (n, F) float32 in the columns' own units, `edges` (e, 4) or (e, 0) float32, `globals` (N, 1)
      float32 with ln(1 + number of particles), `senders`, `receivers`, `n_node` and `n_edge` int32.
      `jraph.unbatch` takes them apart (not `unbatch_np`, which would change these arrays).

    Raises:
      InputError: the jets lack a column, or `neighbors`, `radius` or `particles` is out of range.

    >>> import hepjax
    >>> graph = graphs(hepjax.read_jets(), ["j1_pt", "j1_etarel", "j1_phirel"], neighbors=4, rows=slice(2))
    >>> graph.nodes.shape == (graph.n_node.sum(), 3), (graph.n_edge == 4 * graph.n_node).all()
    (True, np.True_)
    """
    columns = jets.particle_names if columns is None else expand_sets(columns)
    particle_sources(columns, jets.dataset, "columns")
    near = neighbors is not None or radius is not None
    if near:
        particle_sources(by, jets.dataset, "by")
    needed = [*columns, *(by if near else ()), *(_P4 if edge_features else ())]
    union = list(dict.fromkeys(needed))
    values, mask = sequences(jets, union, particles=particles, rows=rows)
    pick = partial(_graph_columns, values, union)
    _check_graph_options(mask.shape[1], neighbors, radius)
    inputs: dict[str, np.ndarray] = {"nodes": pick(columns), "mask": mask}
    if near:
        inputs["points"] = coordinates(values, union, by, azimuths(jets.dataset))
    if edge_features:
        inputs["p4"] = pick(_P4)
    size = max(1, min(len(mask), _BLOCK // mask.shape[1] ** 2))
    blocks = [
        _graphs_without_padding(inputs, slice(start, start + size), size, neighbors, radius)
        for start in range(0, max(len(mask), 1), size)
    ]
    graph = jraph.batch_np(blocks)
    ends = {name: getattr(graph, name).astype(np.int32) for name in ("senders", "receivers")}
    return graph._replace(**ends)


def azimuths(dataset: Dataset) -> tuple[str, ...]:
    """Returns the names of the absolute azimuth φ of particles: that of the role, and that of the column.

    >>> from hepjax.data import datasets
    >>> azimuths(datasets.get("hls4ml"))
    ('phi', 'j1_phi')
    """
    return tuple(dict.fromkeys((Role.PHI.value, dataset.roles.get(Role.PHI, Role.PHI.value))))


def coordinates(
    values: Any, names: Sequence[str], by: Sequence[str], azimuths: Sequence[str] = (Role.PHI.value,)
) -> Any:
    """Returns where particles lie, to measure how near they are.

    An absolute azimuth is taken relative to the jet's first particle: its step at ±π may run through a jet.

    Args:
      values: (N, P, F) columns, NumPy or JAX.
      names: the F names of the columns.
      by: the D columns to measure distances in.
      azimuths: the names of columns that are absolute azimuths.

    Returns:
      (N, P, D) points for `build_graph`, of the kind of `values`.

    >>> values = np.array([[[3.1, 5.0], [-3.1, 7.0]]])
    >>> coordinates(values, ["phi", "pt"], ["phi"])[0].round(3).tolist()
    [[0.0], [0.083]]
    """
    xp = values.__array_namespace__()
    points = values[..., np.array([names.index(name) for name in by])]
    absolute = xp.asarray([name in azimuths for name in by])
    return xp.where(absolute, wrap_azimuth(points - points[:, :1]), points)


def _check_graph_options(slots: int, neighbors: int | None, radius: float | None) -> None:
    if neighbors is not None and radius is not None:
        raise InputError(f"neighbors={neighbors} and radius={radius}: give one of them, or none to join all particles")
    if neighbors is not None and not 1 <= neighbors < slots:
        raise InputError(
            f"neighbors: {slots} particles have 1 to {slots - 1} others each, found neighbors={neighbors}; "
            f"give fewer neighbors or more particles"
        )
    if radius is not None and not radius > 0:
        raise InputError(f"radius: expected more than 0, found {radius}; leave it out to join all particles")


def _edge_candidates(
    mask: jax.Array, points: jax.Array | None, neighbors: int | None, radius: float | None
) -> tuple[jax.Array, jax.Array]:
    """The senders (B, P, E/P) that each receiver may have, as flat places of particles, and which are wanted."""
    jets, slots = mask.shape
    receiver = jnp.arange(slots, dtype=jnp.int32)[:, None]
    if neighbors is not None:
        distance = _squared_pair_distances(points, mask)
        others = mask[:, None, :] & (receiver != jnp.arange(slots))
        nearest, sender = jax.lax.top_k(-jnp.where(others, distance, jnp.inf), neighbors)
        wanted = mask[:, :, None] & (nearest > -jnp.inf)
    else:
        sender = jnp.arange(slots - 1, dtype=jnp.int32)[None, :]
        sender = jnp.broadcast_to(sender + (sender >= receiver), (jets, slots, slots - 1))
        wanted = mask[:, :, None] & jnp.take_along_axis(mask[:, None, :], sender, axis=2)
        if radius is not None:
            near = _squared_pair_distances(points, mask) < radius**2
            wanted &= jnp.take_along_axis(near, sender, axis=2)
    return sender + slots * jnp.arange(jets, dtype=jnp.int32)[:, None, None], wanted


def _squared_pair_distances(points: Any, mask: jax.Array) -> jax.Array:
    """(B, P, P), one coordinate at a time: (B, P, P, D) would need D times the memory."""
    points = jnp.where(mask[..., None], points, 0)
    differences = (points[:, :, None, i] - points[:, None, :, i] for i in range(points.shape[-1]))
    return sum((unfused_product(d**2) for d in differences), jnp.zeros((), points.dtype))


def _pick_particles(x: jax.Array, particles: jax.Array) -> jax.Array:
    """The rows of these particles; the place after the last is a row of zeros."""
    rows = x.reshape(-1, x.shape[-1])
    return jnp.concatenate([rows, jnp.zeros_like(rows[:1])])[particles]


def _edge_features(p4: jax.Array, senders: jax.Array, receivers: jax.Array, real: jax.Array) -> jax.Array:
    particles = momentum_coordinates(p4)
    return jnp.where(real[:, None], features_of_pairs(particles[receivers], particles[senders]), 0)


_compiled = jax.jit(build_graph, static_argnames=("neighbors", "radius"))


def _graphs_without_padding(
    inputs: dict[str, np.ndarray], rows: slice, size: int, neighbors: int | None, radius: float | None
) -> jraph.GraphsTuple:
    """The graphs of one block; the last is filled up with empty jets, so that all have one shape."""
    block = {name: x[rows] for name, x in inputs.items()}
    count = len(block["mask"])
    fill = {name: np.pad(x, [(0, size - count)] + [(0, 0)] * (x.ndim - 1)) for name, x in block.items()}
    graph = jax.device_get(_compiled(**fill, neighbors=neighbors, radius=radius))
    n_node, n_edge = graph.n_node[:-1].sum(), graph.n_edge[:-1].sum()
    return jraph.GraphsTuple(
        nodes=graph.nodes[:n_node],
        edges=graph.edges[:n_edge],
        senders=graph.senders[:n_edge],
        receivers=graph.receivers[:n_edge],
        globals=graph.globals[:count],
        n_node=graph.n_node[:count],
        n_edge=graph.n_edge[:count],
    )


def _graph_columns(values: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    return values[..., [names.index(name) for name in wanted]]
