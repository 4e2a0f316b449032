"""Sequential recombination of particles into jets and subjets: kT, Cambridge/Aachen and anti-kT, in JAX.

The result is a `History`: fixed-shape arrays that record which two objects merged at each step. Grooming traverses it
backward; its last steps give exclusive subjets and axes.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.choices import choose
from hepjax.numerics import safe_divide
from hepjax.physics import kinematics

if TYPE_CHECKING:
    from collections.abc import Callable

    Recombine = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


class Algorithm(IntEnum):
    """The generalized kT family, by the exponent p of its distance (arXiv:0802.1189)."""

    KT = 1
    CAMBRIDGE_AACHEN = 0
    ANTI_KT = -1


class History(NamedTuple):
    """The merging history of M slots, one per particle, into jets.

    A merged object takes the slot of its harder parent, so that slot i contains particle i along its whole hardest
    line. Padding has no steps; entries from `steps` on are -1 and 0.
    """

    kept: jax.Array
    """(M,) int32 slots of the harder object, which the merged object keeps; for a jet, the slot of the jet."""
    absorbed: jax.Array
    """(M,) int32 slots of the softer object, free after the step; -1 if the object in `kept` became a jet."""
    distance: jax.Array
    """(M,) distances d_ij = min(pT_i^2p, pT_j^2p) ΔR_ij², or pT_i^2p R² for a jet."""
    delta_r: jax.Array
    """(M,) ΔR between the two objects, in rapidity and azimuth; 0 for a jet."""
    pt: jax.Array
    """(M, 2) pT of the kept and the absorbed object before the step, in the unit of the input; 0 if missing."""
    dropped: jax.Array
    """(M,) bool, True where the recombination dropped the softer object."""
    steps: jax.Array
    """() int32 number of steps, one for each particle."""


def e_scheme(harder: jax.Array, softer: jax.Array, delta_r: jax.Array) -> tuple[jax.Array, jax.Array]:  # noqa: ARG001
    """Adds the four-momenta.

    Args:
      harder: (4,) momentum (px, py, pz, E) of the object of larger pT.
      softer: (4,) momentum of the object of smaller pT.
      delta_r: () distance of the two objects; not used.

    Returns:
      The merged momentum, and False, because nothing is dropped.

    >>> e_scheme(jnp.array([2.0, 0.0, 0.0, 2.0]), jnp.array([1.0, 0.0, 0.0, 1.0]), jnp.array(0.0))[0].tolist()
    [3.0, 0.0, 0.0, 3.0]
    """
    return harder + softer, jnp.zeros((), bool)


def winner_take_all(harder: jax.Array, softer: jax.Array, delta_r: jax.Array) -> tuple[jax.Array, jax.Array]:  # noqa: ARG001
    """Merges two objects into a massless one with the summed pT and the harder direction (arXiv:1401.2158, eq. 2.4).

    Args:
      harder: (4,) momentum (px, py, pz, E) of the object of larger pT.
      softer: (4,) momentum of the object of smaller pT.
      delta_r: () distance of the two objects; not used.

    Returns:
      The merged momentum, and False, because nothing is dropped.

    >>> harder, softer = jnp.array([2.0, 0.0, 0.0, 2.0]), jnp.array([0.0, 1.0, 0.0, 1.0])
    >>> winner_take_all(harder, softer, jnp.array(1.57))[0].tolist()
    [3.0, 0.0, 0.0, 3.0]
    """
    pt = kinematics.pt(harder)
    px_py = harder[:2] * (1 + safe_divide(kinematics.pt(softer), pt))
    total = kinematics.pt(px_py)
    y = kinematics.rapidity(harder)
    return jnp.concatenate([px_py, jnp.stack([total * jnp.sinh(y), total * jnp.cosh(y)])]), jnp.zeros((), bool)


def cluster(
    p4: jax.Array,
    mask: jax.Array,
    algorithm: Algorithm | str | jax.Array,
    radius: float | jax.Array = inf,
    recombine: Recombine = e_scheme,
) -> History:
    """Clusters the particles of one jet by repeatedly merging the pair with the smallest distance.

    Each slot stores a lower bound of its smallest distance: a merge can only increase distances, except those to the
    new object, which are compared at once. The slot with the smallest bound is evaluated again; it merges if it still
    has the smallest distance, otherwise its bound rises. This is exact, and each evaluation takes O(M) work.

    Of distances that are equal to the last bit, those of the first particles come first, as in FastJet. Distances that
    are equal but for rounding, as between neighboring cells of a grid, are ordered by rounding, and groups may then be
    others than FastJet's. FastJet differs from itself as often where a jet of such cells is turned about the beam.

    Args:
      p4: (M, 4) momenta (px, py, pz, E); any unit.
      mask: (M,) bool, True for a particle.
      algorithm: member of the generalized kT family.
      radius: an object without neighbor within this ΔR becomes a jet; infinity makes one jet of all particles.
      recombine: function from (harder, softer, ΔR) to the merged momentum and a flag, True to drop the softer object.

    Returns:
      The history of all steps.

    >>> p4 = jnp.array([[9.0, 0.0, 0.0, 9.0], [0.0, 9.0, 0.0, 9.0], [8.0, 1.0, 0.0, 9.0]])
    >>> history = cluster(p4, jnp.ones(3, bool), Algorithm.CAMBRIDGE_AACHEN)
    >>> history.kept.tolist(), history.absorbed.tolist()
    ([0, 0, 0], [2, 1, -1])
    """
    algorithm = choose(Algorithm, algorithm, "algorithm") if isinstance(algorithm, str) else algorithm
    size = p4.shape[0]
    slots = jnp.arange(size)
    nodes = jnp.where(mask, _add_coordinates(p4.T, algorithm), 0)
    squares = jax.vmap(_squared_delta_r, (1, None, None, 0, None))(
        nodes, nodes, mask, jnp.eye(size, dtype=bool), radius
    )
    bounds = jnp.where(mask, _bound(nodes[_WEIGHT], jnp.min(squares, axis=1)), jnp.inf)
    nothing = jnp.full(size, -1, jnp.int32)
    zeros = jnp.zeros(size, p4.dtype)
    history = History(
        nothing, nothing, zeros, zeros, jnp.zeros((size, 2), p4.dtype), jnp.zeros(size, bool), jnp.zeros((), jnp.int32)
    )

    def unfinished(state: tuple[jax.Array, jax.Array, jax.Array, History]) -> jax.Array:
        return jnp.any(state[1])

    def step(state: tuple[jax.Array, jax.Array, jax.Array, History]) -> tuple[jax.Array, jax.Array, jax.Array, History]:
        nodes, active, bounds, history = state
        first = jnp.argmin(bounds)
        is_first = slots == first
        squares = _squared_delta_r(nodes[:, first], nodes, active, is_first, radius)
        second = jnp.argmin(squares)
        distance = _bound(nodes[_WEIGHT, first], squares[second])
        # The negation accepts NaN: every evaluation then ends a slot or raises its bound, and the loop terminates.
        accepted = ~(distance > jnp.min(jnp.where(is_first, jnp.inf, bounds)))
        merges = accepted & (second != first)

        a, b = nodes[:, first], nodes[:, second]
        swap = (b[_PT] > a[_PT]) | ((b[_PT] == a[_PT]) & (second < first))
        kept, absorbed = jnp.where(swap, second, first), jnp.where(swap, first, second)
        harder, softer = jnp.where(swap, b, a), jnp.where(swap, a, b)
        delta_r = jnp.sqrt(squares[second])
        p4, drop = recombine(harder[:4], softer[:4], delta_r)
        # Without the barrier, the compiler computes the merged object once for each use.
        merged, drop = jax.lax.optimization_barrier((_add_coordinates(p4, algorithm), drop))

        is_kept = slots == kept
        gone = accepted & (slots == jnp.where(merges, absorbed, first))
        nodes = jnp.where(merges & is_kept, merged[:, None], nodes)
        active = active & ~gone
        to_merged = _squared_delta_r(merged, nodes, active, is_kept, radius)
        nearer = jnp.minimum(bounds, _bound(nodes[_WEIGHT], to_merged))
        after = jnp.where(merges, jnp.where(is_kept, _bound(merged[_WEIGHT], jnp.min(to_merged)), nearer), bounds)
        bounds = jnp.where(active, jnp.where(accepted, after, jnp.where(is_first, distance, bounds)), jnp.inf)

        now = accepted & (slots == history.steps)
        pts = jnp.stack([harder[_PT], jnp.where(merges, softer[_PT], 0)])
        history = History(
            kept=jnp.where(now, kept, history.kept).astype(jnp.int32),
            absorbed=jnp.where(now & merges, absorbed, history.absorbed).astype(jnp.int32),
            distance=jnp.where(now, distance, history.distance),
            delta_r=jnp.where(now & merges, delta_r, history.delta_r),
            pt=jnp.where(now[:, None], pts, history.pt),
            dropped=jnp.where(now, merges & drop, history.dropped),
            steps=history.steps + accepted,
        )
        return nodes, active, bounds, history

    return jax.lax.while_loop(unfinished, step, (nodes, mask, bounds, history))[3]


def subjets(history: History, exclusive: int = 1) -> jax.Array:
    """Returns the jet or exclusive subjet of each particle.

    Args:
      history: a clustering; with an infinite radius for exclusive subjets.
      exclusive: number of exclusive subjets; the last `exclusive - 1` merges are undone.

    Returns:
      (M,) int32 labels from 0, equal for particles of one subjet; -1 for padding.

    >>> p4 = jnp.array([[9.0, 0.0, 0.0, 9.0], [0.0, 9.0, 0.0, 9.0], [8.0, 1.0, 0.0, 9.0]])
    >>> history = cluster(p4, jnp.ones(3, bool), Algorithm.KT)
    >>> subjets(history, exclusive=2).tolist()
    [0, 1, 0]
    """
    size = history.kept.shape[0]
    slots = jnp.arange(size)

    def undo(carry: tuple[jax.Array, jax.Array], step: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        labels, count = carry
        kept, absorbed = history.kept[step], history.absorbed[step]
        is_jet = (absorbed < 0) & (step < history.steps)
        splits = (absorbed >= 0) & (step >= history.steps - exclusive)
        label = jnp.where(splits, count, labels[kept])
        labels = jnp.where((slots == absorbed) & (absorbed >= 0), label, labels)
        labels = jnp.where(is_jet & (slots == kept), count, labels)
        return (labels, count + (is_jet | splits)), None

    start = (jnp.full(size, -1, jnp.int32), jnp.zeros((), jnp.int32))
    return jax.lax.scan(undo, start, slots[::-1])[0][0]


def exclusive_slots(history: History, number: int) -> jax.Array:
    """Returns the slots of the last `number` objects before they merged into one.

    With winner-take-all recombination the axis of such an object is the particle of that slot; the axes of n subjets
    are the first n axes of n + 1 subjets.

    Args:
      history: a clustering with an infinite radius.
      number: number of objects.

    Returns:
      (number,) int32 slots; -1 if there are fewer particles.

    >>> p4 = jnp.array([[9.0, 0.0, 0.0, 9.0], [0.0, 9.0, 0.0, 9.0], [8.0, 1.0, 0.0, 9.0]])
    >>> exclusive_slots(cluster(p4, jnp.ones(3, bool), Algorithm.KT), 2).tolist()
    [0, 1]
    """
    steps = history.steps - 1 - jnp.arange(number)
    column = jnp.where(jnp.arange(number) == 0, history.kept[steps], history.absorbed[steps])
    return jnp.where(steps >= 0, column, -1)


_PT, _Y, _PHI, _WEIGHT = 4, 5, 6, 7
_FAR = 1e9  # farther than any two particles, even in float64


def _add_coordinates(p4: jax.Array, algorithm: Algorithm | jax.Array) -> jax.Array:
    """Extends (4, ...) momenta to (8, ...): momenta, pT, rapidity, azimuth, and pT^2p."""
    last = jnp.moveaxis(p4, 0, -1)
    pt = kinematics.pt(last)
    # A finite weight for a particle without pT keeps every distance finite.
    squared = jnp.maximum(pt**2, float(np.finfo(p4.dtype).tiny))
    weight = jnp.where(algorithm == Algorithm.KT, squared, jnp.where(algorithm == Algorithm.ANTI_KT, 1 / squared, 1))
    return jnp.concatenate([p4, jnp.stack([pt, kinematics.rapidity(last), kinematics.phi(last), weight])])


def _squared_delta_r(
    node: jax.Array, nodes: jax.Array, active: jax.Array, itself: jax.Array, radius: float | jax.Array
) -> jax.Array:
    """Computes (M,) ΔR² from one object to all objects: R² to itself, for the beam, and infinity for free slots."""
    # This is cheaper than `kinematics.delta_r` and exactly symmetric in the two objects.
    turn = jnp.abs(node[_PHI] - nodes[_PHI])
    squares = (node[_Y] - nodes[_Y]) ** 2 + jnp.minimum(turn, 2 * jnp.pi - turn) ** 2
    return jnp.where(active, jnp.where(itself, jnp.minimum(radius, _FAR) ** 2, squares), jnp.inf)


def _bound(weight: jax.Array, square: jax.Array) -> jax.Array:
    # min(w_i, w_j) ΔR_ij² over all pairs is w_i ΔR_ij² minimized over i with j its nearest neighbor
    # (hep-ph/0512210). An infinite bound would look like a free slot.
    return jnp.minimum(weight * square, float(np.finfo(weight.dtype).max))
