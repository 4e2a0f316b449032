"""How a file was made, as its attributes tell."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

from hepjax import __version__
from hepjax.errors import InputError
from hepjax.hdf5_files import open_file
from hepjax.simulation.conditions import PUBLIC, Conditions
from hepjax.simulation.processes import missing_extra

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hepjax.simulation.files import Attribute, Layout


def described(layout: Layout, seed: int, conditions: Conditions) -> dict[str, Attribute]:
    """What the content of a file depends on.

    Args:
      layout: how much of each jet is written.
      seed: of the file.
      conditions: what collides and what is seen.

    Returns:
      Attributes for the file.

    Raises:
      InputError: the extra `sim` is missing.

    >>> described(layout, 1, PUBLIC)["conditions"]  # doctest: +SKIP
    'those of the public sample'
    """
    try:
        versions = {name: metadata.version(name) for name in ("pythia8mc", "fastjet")}
    except metadata.PackageNotFoundError as error:
        raise missing_extra(str(error.name)) from error
    other = [f"{k}={v!r}" for k, v in conditions._asdict().items() if v != getattr(PUBLIC, k)]
    return {
        "description": "Simulated physics, not measured data: proton collisions by Pythia 8, a fast detector, and "
        "anti-kT jets by FastJet.",
        "generator": "hepjax.simulation",
        "hepjax_version": __version__,
        "pythia8_version": versions["pythia8mc"],
        "fastjet_version": versions["fastjet"],
        "conditions": ", ".join(other) or "those of the public sample",
        "particles": layout.particles,
        "truth": int(layout.truth),
        "mantissa_bits": layout.mantissa_bits or 0,
        "seed": seed,
    }


def command(layout: Layout, seed: int, what: str) -> str:
    """The command line that makes a file again, but for its conditions.

    >>> from hepjax.simulation.files import Layout
    >>> command(Layout(), 5, "--jets 100")
    'hepjax simulate OUT.h5 --jets 100 --particles 30 --seed 5'
    """
    rounding = "" if layout.mantissa_bits is None else f" --mantissa-bits {layout.mantissa_bits}"
    truth = " --truth" if layout.truth else ""
    return f"hepjax simulate OUT.h5 {what} --particles {layout.particles} --seed {seed}{rounding}{truth}"


def check_made_the_same(path: Path, wanted: Mapping[str, Attribute]) -> None:
    """Raises InputError where a file is not the one that would be made.

    Args:
      path: a file that exists.
      wanted: the attributes that it would get; the command does not count.

    Raises:
      InputError: another attribute is another one, or the file cannot be read.
    """
    with open_file(path) as file:
        found = {name: np.asarray(file.attrs.get(name)).item() for name in wanted if name != "command"}
    for name, value in found.items():
        if value != wanted[name]:
            raise InputError(
                f"{path}: exists already, made with {name} {value!r}, not {wanted[name]!r}; give another folder or "
                "other seeds, or delete it"
            )
