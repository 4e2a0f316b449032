"""The options of classification."""

from __future__ import annotations

import dataclasses
from math import inf

from hepjax.choices import Decorrelation
from hepjax.data.datasets import hls4ml
from hepjax.types import Rule


@dataclasses.dataclass(frozen=True)
class Insensitivity:
    """What the answers shall not tell of a jet, so that it cannot bias them."""

    to: str | None = None
    """An observable, such as j_mass; cuts on the answers then hardly bend its spectrum."""
    energy_scale: float = 0.0
    """Or the scale of energies: those of each jet are multiplied by a number between 1 - this and 1 + this."""
    by: Decorrelation = Decorrelation.DISTANCE_CORRELATION
    """How: by a term of the loss, or by a second network that learns to read it off the answers."""
    strength: float = 1.0
    """How much that counts beside the cross-entropy."""
    background: tuple[str, ...] = ("g", "q")
    """Among jets of these classes: the background of a search, or all classes."""
    signal: tuple[str, ...] = ()
    """The classes whose answers against the background count; the default is all others."""


def insensitive_rules(chosen: Insensitivity) -> tuple[Rule, ...]:
    """Returns what the options must keep to."""
    scale, classes = chosen.energy_scale, ", ".join(hls4ml.CLASSES)

    def known(names: tuple[str, ...]) -> bool:
        return len({*names} & {*hls4ml.CLASSES}) == len(names)

    return (
        Rule("--insensitive.energy-scale", scale, 0 <= scale < 1, "0 or more, below 1"),
        Rule("--insensitive.energy-scale", scale, not (chosen.to and scale), "0 where --insensitive.to is given"),
        Rule("--insensitive.strength", chosen.strength, 0 <= chosen.strength < inf, "0 or more"),
        Rule("--insensitive.background", chosen.background, known(chosen.background), f"different ones of {classes}"),
        Rule("--insensitive.signal", chosen.signal, known(chosen.signal), f"different ones of {classes}"),
        Rule(
            "--insensitive.background",
            chosen.background,
            all({*chosen.background} - {name} for name in chosen.signal or ("",)),
            "a class that is not the signal",
        ),
    )
