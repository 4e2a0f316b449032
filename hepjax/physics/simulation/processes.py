"""The five processes, as Pythia 8 settings: proton collisions at 13 TeV that make partons or bosons near 1 TeV."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from hepjax.errors import InputError
from hepjax.physics.simulation.conditions import PUBLIC, Conditions

COMMON = (
    "Beams:idA = 2212",
    "Beams:idB = 2212",
    "Beams:eCM = 13000.",
    # Showers, ISR and MPI are on, with Pythia's own tune.
    "Print:quiet = on",
    "Random:setSeed = on",
    "Random:seed = 1",
)
DECAYS = (
    # The masses that MadGraph, which made the public sample's hard collisions, has.
    "6:m0 = 173.",
    "23:m0 = 91.188",
    "24:m0 = 80.419",
    "23:onMode = off",
    "23:onIfAny = 1 2 3 4 5",
    "24:onMode = off",
    "24:onIfAny = 1 2 3 4 5",
)
"""Bosons and tops decay to quarks."""

PROCESSES = {
    "g": ("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"),
    "q": ("HardQCD:gg2qqbar = on", "HardQCD:qq2qq = on", "HardQCD:qqbar2qqbarNew = on", "HardQCD:nQuarkNew = 4"),
    "w": ("WeakDoubleBoson:ffbar2WW = on",),
    "z": ("WeakDoubleBoson:ffbar2gmZgmZ = on", "WeakZ0:gmZmode = 2"),  # no photons
    "t": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
}
"""Settings of each class of `hls4ml.CLASSES`."""

SOFT = ("SoftQCD:nonDiffractive = on",)
"""Settings of pile-up."""

_HALF_ENERGY = 6500.0
_ON_SHELL = ("PhaseSpace:useBreitWigners = off", "ProcessLevel:resonanceDecays = off", "PartonLevel:all = off")
_UNWEIGHTED = 3
"""The Les Houches strategy of events of weight one (hep-ph/0109068)."""
_LARGEST_SEED = 900_000_000


class Generator(NamedTuple):
    """An initialized Pythia."""

    pythia: Any
    """The `pythia8mc.Pythia`."""
    source: Any = None
    """The Pythia that makes its hard collisions, where another one does."""
    handover: Any = None
    """The object that hands them over; kept here, since Pythia does not keep its Python half alive."""


@functools.cache
def process_generator(name: str, conditions: Conditions = PUBLIC) -> Generator:
    """Returns this process's Pythia of a class, initialized once: that takes a third of a second.

    Where `conditions.undecayed` holds, a first Pythia makes the hard collisions and hands them over to a second one as
    a matrix element generator does: bosons and tops on their mass shells, without their decays and polarization.

    Args:
      name: a class of `hls4ml.CLASSES`.
      conditions: their `pt`, `unlimited`, `undecayed` and `pythia` count.

    Returns:
      The generator.

    Raises:
      InputError: the extra `sim` is missing, or Pythia refuses the conditions.

    >>> process_generator("w").pythia.flag("HadronLevel:all")  # doctest: +SKIP
    True
    """
    low, high = conditions.pt
    hard = (*PROCESSES[name], f"PhaseSpace:pTHatMin = {low}")
    if name not in conditions.unlimited:
        hard += (f"PhaseSpace:pTHatMax = {high}",)
    common = (*COMMON, *DECAYS, *conditions.pythia)
    if not conditions.undecayed:
        return Generator(start_pythia(*common, *hard))
    source = start_pythia(*common, *hard, *_ON_SHELL)
    handover = _hard_collision_handover(source)
    return Generator(start_pythia(*common, "Beams:frameType = 5", source=handover), source, handover)


def seed(generator: Generator, number: int) -> None:
    """Seeds a generator, so that its next events do not depend on those before.

    Args:
      generator: any.
      number: a non-negative integer.

    >>> seed(process_generator("w"), 5)  # doctest: +SKIP
    """
    generator.pythia.rndm.init(number % _LARGEST_SEED + 1)
    if generator.source is not None:
        generator.source.rndm.init((number + 1) % _LARGEST_SEED + 1)


@functools.cache
def pile_up_generator() -> Generator:
    """Returns this process's Pythia of pile-up, initialized once.

    Returns:
      The generator.

    Raises:
      InputError: the extra `sim` is missing.

    >>> pile_up_generator().pythia.flag("SoftQCD:nonDiffractive")  # doctest: +SKIP
    True
    """
    return Generator(start_pythia(*COMMON, *SOFT))


def start_pythia(*settings: str, source: Any = None) -> Any:
    """Returns a Pythia that is ready to generate.

    Args:
      settings: lines as in Pythia's own files.
      source: a `pythia8mc.LHAup` that hands over hard collisions; None makes them by itself.

    Returns:
      An initialized `pythia8mc.Pythia`.

    Raises:
      InputError: the extra `sim` is missing, or Pythia refuses the settings.

    >>> start_pythia("Beams:eCM = fast")  # doctest: +SKIP
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: Pythia refuses the setting 'Beams:eCM = fast'; correct it, or see Pythia's manual
    """
    pythia = configure_pythia(*settings)
    if source is not None:
        pythia.setLHAupPtr(source)
    if not pythia.init():
        raise InputError(f"Pythia fails to initialize with the settings {'; '.join(settings)}; correct them")
    return pythia


def configure_pythia(*settings: str) -> Any:
    """Returns a Pythia that has its settings and is not initialized yet.

    Args:
      settings: lines as in Pythia's own files.

    Returns:
      A `pythia8mc.Pythia`.

    Raises:
      InputError: the extra `sim` is missing, or Pythia refuses a setting.

    >>> configure_pythia("PartonLevel:MPI = off").flag("PartonLevel:MPI")  # doctest: +SKIP
    False
    """
    try:
        import pythia8mc
    except ImportError as error:
        raise missing_extra_error("pythia8mc") from error
    pythia = pythia8mc.Pythia("", False)
    for setting in settings:
        if not pythia.readString(setting):
            raise InputError(f"Pythia refuses the setting {setting!r}; correct it, or see Pythia's manual")
    return pythia


def _hard_collision_handover(source: Any) -> Any:
    """Returns a `pythia8mc.LHAup` that hands over the hard collisions of another Pythia, one at a time."""
    import pythia8mc

    class Handover(pythia8mc.LHAup):  # type: ignore[misc]  # no types
        def setInit(self) -> bool:  # noqa: N802 — Pythia's name
            for beam in (self.setBeamA, self.setBeamB):
                beam(2212, _HALF_ENERGY, 0, 0)
            self.setStrategy(_UNWEIGHTED)
            self.addProcess(1, 1.0, 0.0, 1.0)
            return True

        def setEvent(self, number: int = 0) -> bool:  # noqa: N802, ARG002 — the same
            if not source.next():
                return False
            info = source.infoPython()
            self.setProcess(1, 1.0, math.sqrt(info.Q2Fac()), info.alphaEM(), info.alphaS())
            # Entries 0 to 2 are the event and its beams, 3 and 4 come in; Les Houches counts from the first of these.
            for entry in range(3, source.process.size()):
                particle = source.process[entry]
                status, mothers = (-1, (0, 0)) if entry in (3, 4) else (1, (1, 2))
                momentum = (particle.px(), particle.py(), particle.pz(), particle.e(), particle.m())
                colors = (particle.col(), particle.acol())
                self.addParticle(particle.id(), status, *mothers, *colors, *momentum, 0.0, _UNPOLARIZED, -1.0)
            return True

    return Handover(_UNWEIGHTED)


_UNPOLARIZED = 9.0


def missing_extra_error(package: str) -> InputError:
    """Returns the error of a missing optional dependency.

    >>> print(missing_extra_error("fastjet"))
    simulation needs the package fastjet, which is not installed; run: pip install 'hepjax[sim]'
    """
    return InputError(f"simulation needs the package {package}, which is not installed; run: pip install 'hepjax[sim]'")
