"""Small jets, their trees, and the slow walk through them in float64."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import jax
import numpy as np
import pytest

from hepjax.physics import kinematics
from hepjax.physics.substructure import jet_trees

COUNTS = (12, 12, 9, 5, 3, 2, 1, 0)
"""Particles of the jets, padded to 12."""


class Node(NamedTuple):
    """A branch of a jet, with its splitting if it has one."""

    p4: np.ndarray
    particles: frozenset
    delta_r: float = 0.0
    z: float = 0.5
    harder: Node | None = None
    softer: Node | None = None


def delta_r(a, b):
    y, phi = ([f(x) for x in (a, b)] for f in (kinematics.rapidity, kinematics.phi))
    return float(kinematics.delta_r(np.float64(y[0]), np.float64(phi[0]), np.float64(y[1]), np.float64(phi[1])))


def slow_cluster(p4):
    """Cambridge/Aachen by looking at all pairs again and again."""
    nodes = [Node(x, frozenset([i])) for i, x in enumerate(p4)]
    while len(nodes) > 1:
        pairs = [(delta_r(a.p4, b.p4), i, j) for j, b in enumerate(nodes) for i, a in enumerate(nodes[:j])]
        distance, i, j = min(pairs)
        b, a = nodes.pop(j), nodes.pop(i)
        if kinematics.pt(b.p4) > kinematics.pt(a.p4):
            a, b = b, a
        pts = [float(kinematics.pt(x.p4)) for x in (a, b)]
        nodes.append(Node(a.p4 + b.p4, a.particles | b.particles, distance, pts[1] / sum(pts), a, b))
    return nodes[0] if nodes else Node(np.zeros(4), frozenset())


def slow_groom(node, drops):
    """The particles left; `drops` decides on each splitting that is met."""
    if node.harder is None:
        return node.particles
    left = slow_groom(node.harder, drops)
    return left if drops(node) else left | slow_groom(node.softer, drops)


def slow_walk(node, drops):
    """The ΔR of the splittings in the order in which they are met: always the widest that waits."""
    waiting, met = [(-node.delta_r, 0, node)] if node.harder else [], []
    while waiting:
        _, _, node = heapq.heappop(waiting)
        met.append(node.delta_r)
        for branch in (node.harder,) if drops(node) else (node.harder, node.softer):
            if branch.harder is not None:
                heapq.heappush(waiting, (-branch.delta_r, len(met) + len(waiting) / 100, branch))
    return met


class Slow(NamedTuple):
    """The two slow functions, for tests."""

    groom: object
    walk: object


@pytest.fixture(scope="session")
def slow():
    return Slow(slow_groom, slow_walk)


@pytest.fixture(scope="session")
def jets():
    """(p4, mask, trees, nodes) of eight jets, the last two without a splitting."""
    rng = np.random.default_rng(5)
    mask = np.arange(12) < np.array(COUNTS)[:, None]
    pt = rng.exponential(1, mask.shape) ** 2 * 100 + 0.5
    y, phi = rng.normal(0.7, 0.2, mask.shape), rng.normal(3.0, 0.2, mask.shape)
    p4 = np.where(mask[..., None], kinematics.from_pt_eta_phi_mass(pt, y, phi, np.full_like(pt, 0.14)), 0)
    nodes = [slow_cluster(x[m]) for x, m in zip(p4, mask, strict=True)]
    return p4, mask, jax.tree.map(np.asarray, jet_trees(p4, mask)), nodes
