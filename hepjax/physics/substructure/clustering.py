"""Sequential recombination of particles into jets and subjets: kT, Cambridge/Aachen and anti-kT, in JAX.

The answer is a `History`: fixed-shape arrays that say which two objects merged at each step. Grooming walks it
backwards, exclusive subjets and axes are read off its end.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.numerics import safe_divide
from hepjax.physics import kinematics

if TYPE_CHECKING:
    from collections.abc import Callable

    Recombine = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


class Algorithm(IntEnum):
    """The generalised kT family, by the exponent p of its distance (arXiv:0802.1189)."""

    KT = 1
    CAMBRIDGE_AACHEN = 0
    ANTI_KT = -1


class History(NamedTuple):
    """How M slots, one per particle, became jets.

    A merged object lives in the slot of its harder parent, so slot i holds particle i from start to end of the walk
    along its hardest line. Padding has no steps; steps past `steps` are -1 and 0.
    """

    kept: jax.Array
    """(M,) int32, the slot of the harder object, where the merged one then lives; for a jet, its own slot."""
    absorbed: jax.Array
    """(M,) int32, the slot of the softer object, free from then on; -1 where the object in `kept` became a jet."""
    distance: jax.Array
    """(M,) d_ij = min(pT_i^2p, pT_j^2p) ΔR_ij², or pT_i^2p R² of a jet."""
    delta_r: jax.Array
    """(M,) ΔR between the two, in rapidity and azimuth; 0 for a jet."""
    pt: jax.Array
    """(M, 2) pT of the kept and of the absorbed object before the step, in the unit of the input; 0 for no object."""
    dropped: jax.Array
    """(M,) bool, True where the recombination threw the softer object away."""
    steps: jax.Array
    """() int32, the number of steps: one for each particle."""


def e_scheme(harder: jax.Array, softer: jax.Array, delta_r: jax.Array) -> tuple[jax.Array, jax.Array]:  # noqa: ARG001
    """Adds the four-momenta.

    Args:
      harder: (4,) momentum (px, py, pz, E) of the object of larger pT.
      softer: (4,) momentum of the other.
      delta_r: () distance of the two; not used.

    Returns:
      The merged momentum, and False: nothing is dropped.

    >>> e_scheme(jnp.array([2.0, 0.0, 0.0, 2.0]), jnp.array([1.0, 0.0, 0.0, 1.0]), jnp.array(0.0))[0].tolist()
    [3.0, 0.0, 0.0, 3.0]
    """
    return harder + softer, jnp.zeros((), bool)


def winner_take_all(harder: jax.Array, softer: jax.Array, delta_r: jax.Array) -> tuple[jax.Array, jax.Array]:  # noqa: ARG001
    """Gives the summed scalar pT the direction of the harder object, without mass (arXiv:1401.2158, eq. 2.4).

    Args:
      harder: (4,) momentum (px, py, pz, E) of the object of larger pT.
      softer: (4,) momentum of the other.
      delta_r: () distance of the two; not used.

    Returns:
      The merged momentum, and False: nothing is dropped.

    >>> one, other = jnp.array([2.0, 0.0, 0.0, 2.0]), jnp.array([0.0, 1.0, 0.0, 1.0])
    >>> winner_take_all(one, other, jnp.array(1.57))[0].tolist()
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
    algorithm: Algorithm | jax.Array,
    radius: float | jax.Array = inf,
    recombine: Recombine = e_scheme,
) -> History:
    """Clusters one jet's particles, always merging the pair with the smallest distance.

    Each slot keeps a lower bound of its smallest distance: merging can only lengthen the distances of the others,
    except those to the new object, which are compared at once. The slot with the smallest bound is looked at afresh;
    it merges if it still is the smallest, otherwise its bound rises. That is exact, and takes O(M) work a look.

    Args:
      p4: (M, 4) momenta (px, py, pz, E); any unit.
      mask: (M,) bool, True for a particle.
      algorithm: which of the generalised kT family.
      radius: an object without neighbour within this ΔR becomes a jet; infinity makes one jet of all particles.
      recombine: (harder, softer, ΔR) → merged momentum and whether the softer is thrown away.

    Returns:
      The history of all steps.

    >>> p4 = jnp.array([[9.0, 0.0, 0.0, 9.0], [0.0, 9.0, 0.0, 9.0], [8.0, 1.0, 0.0, 9.0]])
    >>> history = cluster(p4, jnp.ones(3, bool), Algorithm.CAMBRIDGE_AACHEN)
    >>> history.kept.tolist(), history.absorbed.tolist()
    ([0, 0, 0], [2, 1, -1])
    """
    size = p4.shape[0]
    slots = jnp.arange(size)
    nodes = jnp.where(mask, _describe(p4.T, algorithm), 0)
    squares = jax.vmap(_squares, (1, None, None, 0, None))(nodes, nodes, mask, jnp.eye(size, dtype=bool), radius)
    bounds = jnp.where(mask, _bound(nodes[_WEIGHT], jnp.min(squares, axis=1)), jnp.inf)
    nothing = jnp.full(size, -1, jnp.int32)
    zeros = jnp.zeros(size, p4.dtype)
    history = History(
        nothing, nothing, zeros, zeros, jnp.zeros((size, 2), p4.dtype), jnp.zeros(size, bool), jnp.zeros((), jnp.int32)
    )

    def unfinished(state: tuple[jax.Array, jax.Array, jax.Array, History]) -> jax.Array:
        return jnp.any(state[1])

    def look(
        state: tuple[jax.Array, jax.Array, jax.Array, History],
    ) -> tuple[jax.Array, jax.Array, jax.Array, History]:
        nodes, active, bounds, history = state
        first = jnp.argmin(bounds)
        is_first = slots == first
        squares = _squares(nodes[:, first], nodes, active, is_first, radius)
        second = jnp.argmin(squares)
        distance = _bound(nodes[_WEIGHT, first], squares[second])
        # Written so that a NaN is accepted: every look then ends a slot or raises its bound, and the loop ends.
        accepted = ~(distance > jnp.min(jnp.where(is_first, jnp.inf, bounds)))
        merges = accepted & (second != first)

        a, b = nodes[:, first], nodes[:, second]
        swap = (b[_PT] > a[_PT]) | ((b[_PT] == a[_PT]) & (second < first))
        kept, absorbed = jnp.where(swap, second, first), jnp.where(swap, first, second)
        harder, softer = jnp.where(swap, b, a), jnp.where(swap, a, b)
        delta_r = jnp.sqrt(squares[second])
        p4, drop = recombine(harder[:4], softer[:4], delta_r)
        # Without the barrier the compiler computes the merged object once for each of its uses.
        merged, drop = jax.lax.optimization_barrier((_describe(p4, algorithm), drop))

        is_kept = slots == kept
        gone = accepted & (slots == jnp.where(merges, absorbed, first))
        nodes = jnp.where(merges & is_kept, merged[:, None], nodes)
        active = active & ~gone
        afresh = _squares(merged, nodes, active, is_kept, radius)
        nearer = jnp.minimum(bounds, _bound(nodes[_WEIGHT], afresh))
        after = jnp.where(merges, jnp.where(is_kept, _bound(merged[_WEIGHT], jnp.min(afresh)), nearer), bounds)
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

    return jax.lax.while_loop(unfinished, look, (nodes, mask, bounds, history))[3]


def subjets(history: History, exclusive: int = 1) -> jax.Array:
    """Which jet each particle ended in, the last merges undone on request.

    Args:
      history: a clustering; with an infinite radius for exclusive subjets.
      exclusive: undoes the last `exclusive - 1` merges, which gives that many exclusive subjets.

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
        labels, found = carry
        kept, absorbed = history.kept[step], history.absorbed[step]
        is_jet = (absorbed < 0) & (step < history.steps)
        splits = (absorbed >= 0) & (step >= history.steps - exclusive)
        label = jnp.where(splits, found, labels[kept])
        labels = jnp.where((slots == absorbed) & (absorbed >= 0), label, labels)
        labels = jnp.where(is_jet & (slots == kept), found, labels)
        return (labels, found + (is_jet | splits)), None

    start = (jnp.full(size, -1, jnp.int32), jnp.zeros((), jnp.int32))
    return jax.lax.scan(undo, start, slots[::-1])[0][0]


def exclusive_slots(history: History, number: int) -> jax.Array:
    """The slots where the last `number` objects lived before they merged into one.

    With winner-take-all recombination the axis of such an object is the particle of that slot; the axes of n subjets
    are the first n of those of n + 1.

    Args:
      history: a clustering with an infinite radius.
      number: how many objects.

    Returns:
      (number,) int32 slots; -1 where there are fewer particles.

    >>> p4 = jnp.array([[9.0, 0.0, 0.0, 9.0], [0.0, 9.0, 0.0, 9.0], [8.0, 1.0, 0.0, 9.0]])
    >>> exclusive_slots(cluster(p4, jnp.ones(3, bool), Algorithm.KT), 2).tolist()
    [0, 1]
    """
    steps = history.steps - 1 - jnp.arange(number)
    column = jnp.where(jnp.arange(number) == 0, history.kept[steps], history.absorbed[steps])
    return jnp.where(steps >= 0, column, -1)


_PT, _Y, _PHI, _WEIGHT = 4, 5, 6, 7
_FAR = 1e9  # farther than any two particles, even in float64


def _describe(p4: jax.Array, algorithm: Algorithm | jax.Array) -> jax.Array:
    """(4, ...) momenta → (8, ...): the momenta, pT, rapidity, azimuth, and pT^2p."""
    last = jnp.moveaxis(p4, 0, -1)
    pt = kinematics.pt(last)
    # A particle without pT: its finite weight keeps every distance finite.
    squared = jnp.maximum(pt**2, float(np.finfo(p4.dtype).tiny))
    weight = jnp.where(algorithm == Algorithm.KT, squared, jnp.where(algorithm == Algorithm.ANTI_KT, 1 / squared, 1))
    return jnp.concatenate([p4, jnp.stack([pt, kinematics.rapidity(last), kinematics.phi(last), weight])])


def _squares(
    node: jax.Array, nodes: jax.Array, active: jax.Array, itself: jax.Array, radius: float | jax.Array
) -> jax.Array:
    """(M,) ΔR² from one object to all; R², for the beam, in the object's own place; infinite for free slots."""
    # Cheaper than `kinematics.delta_r`, and the same number whichever of the two comes first.
    turn = jnp.abs(node[_PHI] - nodes[_PHI])
    squares = (node[_Y] - nodes[_Y]) ** 2 + jnp.minimum(turn, 2 * jnp.pi - turn) ** 2
    return jnp.where(active, jnp.where(itself, jnp.minimum(radius, _FAR) ** 2, squares), jnp.inf)


def _bound(weight: jax.Array, square: jax.Array) -> jax.Array:
    # min(w_i, w_j) ΔR_ij² over all pairs is w_i ΔR_ij² minimised over i with j its nearest neighbour
    # (hep-ph/0512210). An infinite bound would look like a free slot.
    return jnp.minimum(weight * square, float(np.finfo(weight.dtype).max))
