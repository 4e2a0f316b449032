"""The five processes, as Pythia 8 settings: proton collisions at 13 TeV that make partons or bosons near 1 TeV."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from hepjax.errors import InputError


class Process(NamedTuple):
    """How one class of jets is made."""

    settings: tuple[str, ...]
    """Pythia settings, beside the common ones."""
    ids: tuple[int, ...]
    """Absolute PDG identities of the parton or boson that a jet must stem from."""
    status: int
    """Absolute Pythia status of the copy whose direction the jet must match."""


COMMON = (
    "Beams:idA = 2212",
    "Beams:idB = 2212",
    "Beams:eCM = 13000.",
    # A narrow window, as in the public sample (arXiv:1709.08705). Showers, ISR and MPI are on, with Pythia's own tune.
    "PhaseSpace:pTHatMin = 990.",
    "PhaseSpace:pTHatMax = 1030.",
    "Print:quiet = on",
    "Random:setSeed = on",
    "Random:seed = 1",
)

_HARD = 23
"""Outgoing from the hard process, before showers."""
_BEFORE_DECAY = 62
"""The last copy of a resonance: after recoils, before its decay."""

PROCESSES = {
    "g": Process(("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"), (21,), _HARD),
    "q": Process(
        ("HardQCD:gg2qqbar = on", "HardQCD:qq2qq = on", "HardQCD:qqbar2qqbarNew = on", "HardQCD:nQuarkNew = 3"),
        (1, 2, 3),
        _HARD,
    ),
    "w": Process(("WeakDoubleBoson:ffbar2WW = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5"), (24,), _BEFORE_DECAY),
    "z": Process(
        (
            "WeakDoubleBoson:ffbar2gmZgmZ = on",
            "WeakZ0:gmZmode = 2",  # no photons
            "23:onMode = off",
            "23:onIfAny = 1 2 3 4 5",
        ),
        (23,),
        _BEFORE_DECAY,
    ),
    "t": Process(
        ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5"),
        (6,),
        _BEFORE_DECAY,
    ),
}
"""The keys are `schema.CLASSES`."""


@functools.cache
def generator(name: str) -> Any:
    """The process's own Pythia of a class, initialised once: that takes a third of a second.

    Args:
      name: a class of `schema.CLASSES`.

    Returns:
      An initialised `pythia8mc.Pythia`. Its random numbers are to be seeded before use (`pythia.rndm.init`); then
      what it generates does not depend on what it did before.

    Raises:
      InputError: the extra `sim` is missing.
      RuntimeError: Pythia refuses the settings.

    >>> generator("w").flag("HadronLevel:all")  # doctest: +SKIP
    True
    """
    try:
        import pythia8mc
    except ImportError as error:
        raise missing_extra("pythia8mc") from error
    pythia = pythia8mc.Pythia("", False)
    for setting in (*COMMON, *PROCESSES[name].settings):
        if not pythia.readString(setting):
            raise RuntimeError(
                f"Pythia refuses the setting {setting!r} of class {name!r}; is pythia8mc 8.317 installed?"
            )
    if not pythia.init():
        raise RuntimeError(f"Pythia fails to initialise class {name!r}; is pythia8mc 8.317 installed?")
    return pythia


def missing_extra(package: str) -> InputError:
    """The error of a missing optional dependency.

    >>> print(missing_extra("fastjet"))
    simulation needs the package fastjet, which is not installed; run: pip install 'hepjax[sim]'
    """
    return InputError(f"simulation needs the package {package}, which is not installed; run: pip install 'hepjax[sim]'")
