"""The conditions of a simulation, on which a sample depends beside its seed: process, detector, choice of jets."""

from __future__ import annotations

from typing import NamedTuple

from hepjax.choices import Keep
from hepjax.errors import InputError
from hepjax.physics.simulation.cuts import PT_MIN


class Calorimeter(NamedTuple):
    """A calorimeter: its cells and its energy resolution σ(E)/E = stochastic/√E ⊕ noise/E ⊕ constant."""

    cell: float
    """Width in η; as many equal cells of at least this width go around the beam."""
    stochastic: float
    """√GeV."""
    noise: float
    """GeV."""
    constant: float


class Detector(NamedTuple):
    """A fast detector, after arXiv:1709.08705; the defaults are those of the public sample."""

    pt_min: float = 0.2
    """GeV; softer particles are lost."""
    electromagnetic: Calorimeter = Calorimeter(0.005, 0.027 * 1.6**0.5, 0.15 * 1.6, 0.005)
    """The resolution of CMS, but for the share of charged hadrons that must be subtracted first."""
    hadronic: Calorimeter = Calorimeter(0.01, 1.2 * 7**0.5, 0.0, 0.05)
    track_pt_max: float = 220.0
    """GeV; above it the hadronic calorimeter measures a charged hadron."""
    track_efficiency: float = 1.0
    track_slope: float = 0.00025
    """1/GeV; the resolution of pT is slope times pT ⊕ constant."""
    track_constant: float = 0.015
    resolution: float = 0.5
    """All resolutions are multiplied by this; 0 measures exactly."""


class Conditions(NamedTuple):
    """The conditions of a simulation; the defaults are those of the public sample, as far as they are known."""

    pt: tuple[float, float] = (995.0, 1005.0)
    """Window of the hard partons' or bosons' pT, GeV."""
    unlimited: tuple[str, ...] = ("g",)
    """Classes that the window has no upper end for: gluons of the public sample reach pT of 2.5 TeV, and no others."""
    radius: float = 0.4
    """Radius of the anti-kT jets."""
    keep: Keep = Keep.LEADING
    undecayed: bool = True
    """Hard bosons and tops are made on their mass shells, and bosons decay evenly in all directions, as when a matrix
    element generator hands them over undecayed; False leaves both to Pythia."""
    detector: Detector | None = Detector()
    """None sees every particle but invisible ones, exactly."""
    pile_up: float = 0.0
    """Mean number of soft collisions on top of each hard one."""
    pythia: tuple[str, ...] = ()
    """Further settings of Pythia, such as "PartonLevel:MPI = off"."""


PUBLIC = Conditions()
"""The conditions of the public sample."""


def check_conditions(conditions: Conditions) -> None:
    """Checks that conditions make sense.

    Args:
      conditions: any.

    Raises:
      InputError: one of them is out of range.

    >>> check_conditions(PUBLIC._replace(radius=-1.0))
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: radius: expected a number above 0 and up to 1.5, found -1.0
    """
    low, high = conditions.pt
    if not 20 <= low < high <= _BEAM:
        raise InputError(f"pt: expected a window low < high between 20 and {_BEAM:g} GeV, found {low:g} to {high:g}")
    if high <= PT_MIN:
        raise InputError(
            f"pt: expected a window that goes above {PT_MIN:g} GeV, for softer jets are not kept, found {low:g} to "
            f"{high:g}"
        )
    if not 0 < conditions.radius <= _WIDEST:
        raise InputError(f"radius: expected a number above 0 and up to {_WIDEST}, found {conditions.radius}")
    if not isinstance(conditions.keep, Keep):
        raise InputError(f"keep: expected Keep.LEADING or Keep.MATCHED of hepjax.choices, found {conditions.keep!r}")
    if not 0 <= conditions.pile_up <= _MOST_PILE_UP:
        raise InputError(f"pile_up: expected a mean of 0 to {_MOST_PILE_UP} collisions, found {conditions.pile_up}")


_BEAM = 6500.0
_WIDEST = 1.5
_MOST_PILE_UP = 300
