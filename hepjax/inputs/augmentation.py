"""Random changes of jets, applied to what a network is trained on, anew in each step: symmetries and smearing.

Only what a change does exactly to every column is done: a column that would no longer fit the others is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.choices import Augmentation, Role, choose
from hepjax.data.standard_columns import SCALED, SOURCES, STANDARDIZATIONS
from hepjax.errors import InputError
from hepjax.numerics import wrap_azimuth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.types import Dataset, Sequences

    Values = dict[str, jax.Array]
    """Meaning of a column, a role or a standard column → (B, P)."""

LARGEST_BOOST = 1.0
"""The largest rapidity of a random boost along the beams."""
SOFT_SCALE = 0.1
"""GeV; over the pT of a particle, how far smearing moves it in η and φ (arXiv:2108.04253, eq. 3)."""

_RELATIVE, _SIGNED = (Role.ETA_REL.value, Role.PHI_REL.value), ("part_deta", "part_dphi")
_UNSIGNED = {
    Augmentation.ROTATION: _RELATIVE,
    Augmentation.SMEARING: (*_RELATIVE, Role.ETA.value, Role.PX.value, Role.PY.value, Role.PZ.value, Role.ENERGY.value),
}
"""What does not go together with `part_deta`, which has the sign of the jet's η in it."""
_TYPES = tuple(name for name, sources in SOURCES.items() if sources == (Role.PDG_ID,))
_SCALARS = frozenset(
    {Role.PT.value, Role.MASS.value, Role.PT_REL.value, Role.CHARGE.value, Role.PDG_ID.value, Role.VALID.value}
    | {Role.D0_ERROR.value, Role.DZ_ERROR.value, "part_d0err", "part_dzerr"}
    | {"part_pt_log", "part_logptrel", "part_charge", *_TYPES}
)
"""What no symmetry here changes."""
_DISTANCES = frozenset({Role.DELTA_R.value, "part_deltaR"})
_ENERGIES = frozenset({Role.ENERGY.value, Role.ENERGY_REL.value, "part_e_log", "part_logerel"})
_IMPACT = frozenset({Role.D0.value, Role.DZ.value, "part_d0", "part_dz"})


class _Change(NamedTuple):
    moves: tuple[tuple[str, ...], ...]
    """Groups of meanings that change together: whatever changes is in a group of which all are there."""
    stays: frozenset[str]
    """The meanings that do not change."""
    act: Callable[[jax.Array, Values], Values]
    """(key, what is there of the meanings that change or are read) → those that change."""
    reads: tuple[tuple[str, ...], ...] = ()
    """Groups of meanings that it looks at; all are there of one."""


def make_augmentation(
    kinds: Sequence[Augmentation | str], columns: Sequence[str], dataset: Dataset
) -> Callable[[jax.Array, Sequences], Sequences]:
    """Makes the function that changes jets at random, each jet in a way of its own.

    Args:
      kinds: which, in their order; see `hepjax.choices.Augmentation`.
      columns: the names of the last axis of the jets' values: columns, roles or standard columns.
      dataset: of the jets.

    Returns:
      The function (key, jets) → jets, where jets have values (B, P, F), mask (B, P), and the key is () typed. Padding
      stays 0.

    Raises:
      InputError: a column would no longer fit the others, or none would change; names the columns.

    >>> from hepjax.data import datasets
    >>> from hepjax.types import Sequences
    >>> augment = make_augmentation(["mirror"], ("j1_ptrel", "j1_etarel"), datasets.get("hls4ml"))
    >>> x = Sequences(jnp.array([[[0.5, 0.1]]]), jnp.ones((1, 1), bool))
    >>> jnp.abs(augment(jax.random.key(0), x).values[0, 0]).round(3).tolist()
    [0.5, 0.10000000149011612]
    """
    chosen = [choose(Augmentation, kind, "augment") for kind in kinds]
    meanings = [_meaning_of_column(name, dataset) for name in columns]
    for kind in chosen:
        _check_columns(kind, columns, meanings)

    def augment(key: jax.Array, jets: Sequences) -> Sequences:
        values = jnp.asarray(jets.values)
        for number, kind in enumerate(chosen):
            change = _CHANGES[kind]
            names = {name for group in (*change.moves, *change.reads) for name in group if name in meanings}
            places = {name: meanings.index(name) for name in names}
            seen = {name: _unscaled(columns[place], values[..., place]) for name, place in places.items()}
            for name, new in change.act(jax.random.fold_in(key, number), seen).items():
                for place in (place for place, meaning in enumerate(meanings) if meaning == name):
                    scaled = _scaled(columns[place], new)
                    values = values.at[..., place].set(jnp.where(jets.mask, scaled, 0))
        return jets._replace(values=values)

    return augment


def _meaning_of_column(name: str, dataset: Dataset) -> str:
    """Returns a standard column, the value of a role, or "" where a column is neither."""
    plain = name.removesuffix(SCALED)
    if plain in SOURCES:
        return plain
    roles: dict[str, str] = {column: role.value for role, column in dataset.roles.items()}
    return roles.get(name, name if name in {role.value for role in Role} else "")


def _unscaled(name: str, x: jax.Array) -> jax.Array:
    """Returns the values of a column before it was standardized, but for what was clipped."""
    known = STANDARDIZATIONS.get(name.removesuffix(SCALED)) if name.endswith(SCALED) else None
    return x if known is None else x / known.factor + known.center


def _scaled(name: str, x: jax.Array) -> jax.Array:
    known = STANDARDIZATIONS.get(name.removesuffix(SCALED)) if name.endswith(SCALED) else None
    return x if known is None else jnp.clip((x - known.center) * known.factor, known.low, known.high)


def _check_columns(kind: Augmentation, columns: Sequence[str], meanings: Sequence[str]) -> None:
    change, option = _CHANGES[kind], f"--augment {kind.value}"
    moved = {name for group in change.moves for name in group}
    wrong = [
        name
        for name, meaning in zip(columns, meanings, strict=True)
        if meaning not in moved | change.stays or (meaning in moved and not _is_whole(meaning, change, meanings))
    ]
    wrong += [
        name
        for name, meaning in zip(columns, meanings, strict=True)
        if meaning in _UNSIGNED.get(kind, ()) and {*_SIGNED} & {*meanings} and name not in wrong
    ]
    if wrong:
        raise InputError(
            f"{option}: {', '.join(wrong)} would no longer fit the other columns; leave them out by --columns, or "
            "leave the augmentation out"
        )
    if not moved & {*meanings}:
        raise InputError(f"{option}: changes nothing of what the network sees, {', '.join(columns)}; leave it out")
    if change.reads and not any({*group} <= {*meanings} for group in change.reads):
        groups = ", or ".join(" and ".join(group) for group in change.reads)
        raise InputError(f"{option}: needs to know {groups} of the particles; add such --columns, or leave it out")


def _is_whole(meaning: str, change: _Change, meanings: Sequence[str]) -> bool:
    """Tells whether all are there of a group that a meaning changes with."""
    return any({*group} <= {*meanings} for group in change.moves if meaning in group)


def _rotate_about_jet(key: jax.Array, seen: Values) -> Values:
    turn = _draw_for_jets(key, seen, -jnp.pi, jnp.pi)
    found: Values = {}
    for first, second in (_RELATIVE, _SIGNED):
        if first in seen:
            found |= dict(zip((first, second), _turned(seen[first], seen[second], turn), strict=True))
    return found


def _rotate_about_beams(key: jax.Array, seen: Values) -> Values:
    turn = _draw_for_jets(key, seen, -jnp.pi, jnp.pi)
    found: Values = {}
    if "px" in seen:
        found |= dict(zip(("px", "py"), _turned(seen["px"], seen["py"], turn), strict=True))
    if "phi" in seen:
        found["phi"] = (seen["phi"] + turn + jnp.pi) % (2 * jnp.pi) - jnp.pi
    return found


def _turned(x: jax.Array, y: jax.Array, turn: jax.Array) -> tuple[jax.Array, jax.Array]:
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    return cos * x - sin * y, sin * x + cos * y


_ALONG = (Role.ETA.value, Role.ETA_REL.value, Role.PZ.value, Role.DZ.value, "part_dz")
_ACROSS = (Role.PHI.value, Role.PHI_REL.value, "part_dphi", Role.PY.value)


def _mirror(key: jax.Array, seen: Values) -> Values:
    """Mirrors jets at the plane across the beams, and at one through them, each with a probability of one half."""
    found: Values = {}
    for names, half in zip((_ALONG, _ACROSS), jax.random.split(key), strict=True):
        sign = jnp.where(_draw_for_jets(half, seen, 0.0, 1.0) < 0.5, -1.0, 1.0)
        found |= {name: sign * seen[name] for name in names if name in seen}
    return found


def _boost_along_beams(key: jax.Array, seen: Values) -> Values:
    rapidity = _draw_for_jets(key, seen, -LARGEST_BOOST, LARGEST_BOOST)
    cosh, sinh = jnp.cosh(rapidity), jnp.sinh(rapidity)
    energy, pz = seen["energy"], seen["pz"]
    return {"energy": cosh * energy + sinh * pz, "pz": cosh * pz + sinh * energy}


def _smear_directions(key: jax.Array, seen: Values) -> Values:
    """Moves particles in η and φ by Gaussians of the width 100 MeV / pT; pT, masses and the jet's axis stay."""
    if "px" in seen:
        pt = jnp.hypot(seen["px"], seen["py"])
    else:
        pt = seen["pt"] if "pt" in seen else jnp.exp(seen["part_pt_log"])
    along, across = jax.random.normal(key, (2, *pt.shape)) * SOFT_SCALE / jnp.where(pt > 0, pt, jnp.inf)
    found: Values = {}
    for eta, phi, distance in (("eta", "phi", ""), (*_RELATIVE, Role.DELTA_R.value), (*_SIGNED, "part_deltaR")):
        if eta in seen:
            found |= {eta: seen[eta] + along, phi: wrap_azimuth(seen[phi] + across)}
        if distance in seen:
            found[distance] = jnp.hypot(found[eta], found[phi])
    if "pz" in seen:
        found["px"], found["py"] = _turned(seen["px"], seen["py"], across)
        # pz' = pT sinh(η + δ) and E'² = E² + pz'² − pz², without the difference of large squares.
        length = jnp.sqrt(pt**2 + seen["pz"] ** 2)
        step = length * jnp.sinh(along) + 2 * seen["pz"] * jnp.sinh(along / 2) ** 2
        found["pz"] = seen["pz"] + step
        found["energy"] = jnp.sqrt(seen["energy"] ** 2 + step * (2 * seen["pz"] + step))
    return found


def _draw_for_jets(key: jax.Array, seen: Values, low: float, high: float) -> jax.Array:
    """Draws (B, 1) numbers, one for each jet."""
    jets = next(iter(seen.values())).shape[0]
    return jax.random.uniform(key, (jets, 1), minval=low, maxval=high)


_CHANGES = {
    Augmentation.AZIMUTH: _Change(
        ((Role.PX.value, Role.PY.value), (Role.PHI.value,)),
        _SCALARS | _DISTANCES | _ENERGIES | _IMPACT | {"eta", "pz", *_RELATIVE, *_SIGNED},
        _rotate_about_beams,
    ),
    Augmentation.BOOST: _Change(
        ((Role.PZ.value, Role.ENERGY.value),),
        _SCALARS - {"dz_error", "part_dzerr"} | {"px", "py", "phi", "phi_rel", "part_dphi"},
        _boost_along_beams,
    ),
    Augmentation.MIRROR: _Change(
        tuple((name,) for name in (*_ALONG, *_ACROSS)),
        _SCALARS | _DISTANCES | _ENERGIES | {"px", "part_deta"},
        _mirror,
    ),
    Augmentation.ROTATION: _Change((_RELATIVE, _SIGNED), _SCALARS | _DISTANCES, _rotate_about_jet),
    Augmentation.SMEARING: _Change(
        (
            (Role.ETA.value, Role.PHI.value),
            (Role.PX.value, Role.PY.value, Role.PZ.value, Role.ENERGY.value),
            *(_RELATIVE, (*_RELATIVE, Role.DELTA_R.value)),
            *(_SIGNED, (*_SIGNED, "part_deltaR")),
        ),
        _SCALARS | _IMPACT,
        _smear_directions,
        reads=((Role.PT.value,), (Role.PX.value, Role.PY.value), ("part_pt_log",)),
    ),
}
