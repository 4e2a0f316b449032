"""How a file was made: its attributes, and the command that makes it again."""

from __future__ import annotations

import hashlib
import shlex
import sys
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.choices import Keep
from hepjax.data.atomic_hdf5 import open_hdf5_file
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics.simulation.conditions import PUBLIC, Conditions, Detector
from hepjax.physics.simulation.files import LAYOUT, Attribute, Layout
from hepjax.physics.simulation.processes import missing_extra_error
from hepjax.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Sample(NamedTuple):
    """The choices that a file's content depends on, beside the observables."""

    jets: int
    """Their number, or the largest."""
    layout: Layout = LAYOUT
    seed: int = 0
    classes: tuple[str, ...] = hls4ml.CLASSES
    conditions: Conditions = PUBLIC


def describe_sample(sample: Sample) -> dict[str, Attribute]:
    """Describes how a file of simulated jets is made.

    Args:
      sample: the choices that it depends on.

    Returns:
      Attributes for the file.

    Raises:
      InputError: the extra `sim` is missing.

    >>> describe_sample(Sample(100))["conditions"]  # doctest: +SKIP
    'those of the public sample'
    """
    words = ["--jets", str(sample.jets)]
    if sample.classes != hls4ml.CLASSES:
        words += ["--classes", *sample.classes]
    choices: dict[str, Attribute] = {"classes": " ".join(sample.classes), "jets": sample.jets}
    return _common_attributes(sample) | choices | {"command": reproducing_command(sample, words)}


def describe_events(sample: Sample, events: Path, label: int | None) -> dict[str, Attribute]:
    """Describes how a file of jets is made from events of another generator.

    Args:
      sample: the choices that it depends on beside the events; its classes do not count.
      events: their file.
      label: index into `hls4ml.CLASSES`, or None.

    Returns:
      Attributes for the file.

    Raises:
      InputError: the extra `sim` is missing.

    >>> import pathlib
    >>> describe_events(Sample(100), pathlib.Path("some.lhe"), 2)["command"]  # doctest: +SKIP
    'hepjax simulate OUT.h5 --events some.lhe --label w --jets 100 --particles 30 --seed 0'
    """
    ignored = {name: getattr(PUBLIC, name) for name in ("pt", "unlimited", "undecayed")}
    sample = sample._replace(conditions=sample.conditions._replace(**ignored))
    words = ["--events", events.name]
    if label is not None:
        words += ["--label", hls4ml.CLASSES[label]]
    if sample.jets != sys.maxsize:
        words += ["--jets", str(sample.jets)]
    generator = "events of another generator, then hepjax.physics.simulation"
    choices = {"generator": generator, "events": f"{events.name}, sha256 {_digest_of_choices(events)}"}
    return _common_attributes(sample) | choices | {"command": reproducing_command(sample, words)}


def reproducing_command(sample: Sample, words: list[str]) -> str:
    """Returns the command line that makes a file again; choices without an option stand in a comment.

    Args:
      sample: the choices that the file depends on.
      words: options that come first.

    Returns:
      The line.

    >>> reproducing_command(Sample(100, seed=5, conditions=PUBLIC._replace(radius=0.8)), ["--jets", "100"])
    'hepjax simulate OUT.h5 --jets 100 --particles 30 --seed 5 --radius 0.8'
    """
    layout, conditions = sample.layout, sample.conditions
    line = ["hepjax", "simulate", "OUT.h5", *words, "--particles", str(layout.particles), "--seed", str(sample.seed)]
    if layout.mantissa_bits is not None:
        line += ["--mantissa-bits", str(layout.mantissa_bits)]
    if layout.truth:
        line += ["--truth"]
    options, rest = _command_options(conditions)
    return shlex.join(line + options) + (f"  # and from Python: {', '.join(rest)}" if rest else "")


def check_made_the_same(path: Path, wanted: Mapping[str, Attribute]) -> None:
    """Checks that a file is the one that would be made.

    Args:
      path: a file that exists.
      wanted: the attributes that it would get; the command does not count.

    Raises:
      InputError: an attribute differs, or the file cannot be read.
    """
    with open_hdf5_file(path) as file:
        stored = {name: np.asarray(file.attrs.get(name)).item() for name in wanted if name != "command"}
    for name, value in stored.items():
        if value != wanted[name]:
            raise InputError(
                f"{path}: exists already, made with {name} {value!r}, not {wanted[name]!r}; give another folder or "
                "other seeds, or delete it"
            )


def _common_attributes(sample: Sample) -> dict[str, Attribute]:
    try:
        versions = {name: metadata.version(name) for name in ("pythia8mc", "fastjet")}
    except metadata.PackageNotFoundError as error:
        raise missing_extra_error(str(error.name)) from error
    changed = [f"{k}={v!r}" for k, v in sample.conditions._asdict().items() if v != getattr(PUBLIC, k)]
    return {
        "description": "Simulated physics, not measured data: proton collisions by Pythia 8, a fast detector, and "
        "anti-kT jets by FastJet.",
        "generator": "hepjax.physics.simulation",
        "hepjax_version": __version__,
        "pythia8_version": versions["pythia8mc"],
        "fastjet_version": versions["fastjet"],
        "conditions": ", ".join(changed) or "those of the public sample",
        "particles": sample.layout.particles,
        "truth": int(sample.layout.truth),
        "mantissa_bits": sample.layout.mantissa_bits or 0,
        "seed": sample.seed,
    }


def _command_options(conditions: Conditions) -> tuple[list[str], list[str]]:
    """Options of the command line for conditions that differ from the public ones, and names of those without any."""
    line, rest = [], []
    window = (conditions.pt, conditions.unlimited)
    if window != (PUBLIC.pt, PUBLIC.unlimited):
        line += ["--pt", *(f"{value:.17g}" for value in conditions.pt)]
        rest += ["unlimited"] if conditions.unlimited else []
    if conditions.radius != PUBLIC.radius:
        line += ["--radius", str(conditions.radius)]
    if conditions.keep is not Keep.LEADING:
        line += ["--keep", conditions.keep.value]
    if conditions.detector is None:
        line += ["--no-detector"]
    if conditions.pile_up != PUBLIC.pile_up:
        line += ["--pile-up", str(conditions.pile_up)]
    if conditions.pythia:
        line += ["--pythia", *conditions.pythia]
    rest += ["undecayed"] if conditions.undecayed != PUBLIC.undecayed else []
    rest += ["detector"] if conditions.detector not in (None, Detector()) else []
    return line, rest


def _digest_of_choices(path: Path) -> str:
    if not path.is_file():
        return "unknown"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
