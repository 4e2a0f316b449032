"""What the identities of the Particle Data Group say of particles (its Monte Carlo numbering scheme)."""

from __future__ import annotations

import numpy as np

_ION = 1_000_000_000


def charges(ids: np.ndarray) -> np.ndarray:
    """Returns the electric charges of particles.

    Those of hadrons are the sums of their quarks'.

    Args:
      ids: PDG identities of any shape.

    Returns:
      int8 of that shape, in units of the positron's charge; 0 for what is neutral or unknown, for cells and padding.

    >>> charges(np.array([211, -211, 11, 22, 3312, 130, 0])).tolist()
    [1, -1, -1, 0, -1, 0, 0]
    """
    ids = np.asarray(ids).astype(np.int64)
    kind = np.abs(ids)
    first, second, third = (_thirds(kind // 10**place % 10) for place in (3, 2, 1))
    is_meson = kind // 1000 % 10 == 0
    # The identity of a meson is positive if it has an up quark and a down antiquark.
    thirds = np.where(is_meson, np.abs(second - third), first + second + third)
    hadron = np.where(is_hadron(ids) & (kind < _ION), thirds // 3, 0)
    lepton = np.isin(kind, (11, 13, 15, 17)) * -1
    boson = (kind == 24) * 1
    ion = np.where(kind >= _ION, kind // 10_000 % 1000, 0)
    return np.asarray(np.sign(ids) * (hadron + lepton + boson + ion), np.int8)


def is_hadron(ids: np.ndarray) -> np.ndarray:
    """Tells hadrons and nuclei from leptons, bosons and what is unknown.

    Args:
      ids: PDG identities of any shape.

    Returns:
      bool of that shape.

    >>> is_hadron(np.array([211, -2112, 22, 11, 0])).tolist()
    [True, True, False, False, False]
    """
    kind = np.abs(np.asarray(ids).astype(np.int64))
    has_quarks = (kind // 10 % 10 != 0) & (kind // 100 % 10 != 0)
    return np.asarray(has_quarks | (kind >= _ION))


def _thirds(quark: np.ndarray) -> np.ndarray:
    """Three times the charge of a quark; 0 for none."""
    return np.where(quark == 0, 0, np.where(quark % 2 == 0, 2, -1))
