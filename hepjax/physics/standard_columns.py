"""The standard inputs of networks of particles, computed for any jets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax.choices import Role
from hepjax.data.momenta import FROM_MOMENTA
from hepjax.data.standard_columns import SCALED, STANDARD_COLUMNS, STANDARDIZATIONS
from hepjax.physics import particle_ids
from hepjax.physics.derivation import momentum_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Values = Mapping[Role | str, NDArray[np.float64]]

_LEAST = float(np.finfo(np.float32).tiny)


def standard_columns(
    wanted: Sequence[str],
    known: Mapping[Role | str, np.ndarray],
    mask: np.ndarray,
    jet: Mapping[Role, np.ndarray] | None = None,
) -> NDArray[np.float32]:
    """Computes columns of particles by the names of roles and of standard columns.

    The logarithm of what is not above 0 is that of the smallest normal float32 number, -87.3.

    Args:
      wanted: F names of `hepjax.data.standard_columns.STANDARD_COLUMNS`, or of roles of particles.
      known: role, or name of a standard column that the jets have themselves → (N, P) values; momenta in GeV.
      mask: (N, P) bool, True for a particle.
      jet: role of jets → (N,) values of the whole jet, as in `hepjax.physics.derivation.derive_columns`.

    Returns:
      (N, P, F) float32, and 0 in the padding.

    >>> p4 = {Role.PT: np.array([[2.0, 1.0]]), Role.ETA: np.array([[-1.0, -2.0]]), Role.PHI: np.array([[3.0, -3.0]])}
    >>> known = {**p4, Role.PDG_ID: np.array([[22.0, -211.0]])}
    >>> jet = {Role.JET_ETA: np.array([-1.5]), Role.JET_PHI: np.array([3.0])}
    >>> names = ["part_deta", "part_dphi", "part_pt_log_scaled", "part_charge", "part_isPhoton"]
    >>> standard_columns(names, known, np.ones((1, 2), bool), jet).round(3)[0, 1]
    array([ 0.5  ,  0.283, -1.19 , -1.   ,  0.   ], dtype=float32)
    """
    values: dict[Role | str, NDArray[np.float64]] = {
        name: np.where(mask, np.asarray(column, np.float64), 0) for name, column in known.items()
    }
    momenta = {role: column for role, column in known.items() if isinstance(role, Role) and role in FROM_MOMENTA}
    if momenta:
        masses = Role.MASS.value in wanted
        values |= dict(momentum_values(momenta, mask, jet, lose_masses=masses).items())
    columns = np.stack([_value(name, values) for name in wanted], axis=-1)
    return np.where(mask[..., None], columns, 0).astype(np.float32)


def _value(name: str, values: Values) -> NDArray[np.float64]:
    """(N, P) of a column, its own where there is one."""
    if name in values:
        return values[name]
    if name in STANDARD_COLUMNS and name.endswith(SCALED):
        plain = name.removesuffix(SCALED)
        center, factor, low, high = STANDARDIZATIONS[plain]
        return np.clip((_value(plain, values) - center) * factor, low, high)
    if name in _FORMULAS:
        return _FORMULAS[name](values)
    return _charges(values) if name == Role.CHARGE.value else values[Role(name)]


def _charges(values: Values) -> NDArray[np.float64]:
    return values[Role.CHARGE] if Role.CHARGE in values else particle_ids.charges(values[Role.PDG_ID]).astype(float)


def _logarithm(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.maximum(x, _LEAST))


def _signed_eta(values: Values) -> NDArray[np.float64]:
    """η relative to the jet, positive away from the center of the detector."""
    sign = np.where(values[Role.JET_ETA] < 0, -1.0, 1.0)
    return np.asarray(sign * values[Role.ETA_REL])


def _is_kind(kind: int) -> Callable[[Values], NDArray[np.float64]]:
    return lambda values: (np.abs(values[Role.PDG_ID]) == kind).astype(float)


def _is_hadron(charged: bool) -> Callable[[Values], NDArray[np.float64]]:
    def flags(values: Values) -> NDArray[np.float64]:
        ids = values[Role.PDG_ID]
        return np.asarray(particle_ids.is_hadron(ids) & ((particle_ids.charges(ids) != 0) == charged), np.float64)

    return flags


_FORMULAS: dict[str, Callable[[Values], NDArray[np.float64]]] = {
    "part_pt_log": lambda values: _logarithm(values[Role.PT]),
    "part_e_log": lambda values: _logarithm(values[Role.ENERGY]),
    "part_logptrel": lambda values: _logarithm(values[Role.PT_REL]),
    "part_logerel": lambda values: _logarithm(values[Role.ENERGY_REL]),
    "part_deltaR": lambda values: np.hypot(_value("part_deta", values), _value("part_dphi", values)),
    "part_charge": _charges,
    "part_isChargedHadron": _is_hadron(charged=True),
    "part_isNeutralHadron": _is_hadron(charged=False),
    "part_isPhoton": _is_kind(22),
    "part_isElectron": _is_kind(11),
    "part_isMuon": _is_kind(13),
    "part_d0": lambda values: np.tanh(values[Role.D0]),
    "part_d0err": lambda values: values[Role.D0_ERROR],
    "part_dz": lambda values: np.tanh(values[Role.DZ]),
    "part_dzerr": lambda values: values[Role.DZ_ERROR],
    "part_deta": _signed_eta,
    "part_dphi": lambda values: values[Role.PHI_REL],
}
