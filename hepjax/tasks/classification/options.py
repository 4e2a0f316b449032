"""The options of classification that make it insensitive to a nuisance."""

from __future__ import annotations

import dataclasses
from math import inf
from typing import TYPE_CHECKING

from hepjax.choices import Decorrelation, choose_fields
from hepjax.errors import InputError
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepjax.types import Dataset


@dataclasses.dataclass(frozen=True)
class Insensitivity:
    """Options of decorrelation: what the predictions must not depend on."""

    to: str | None = None
    """An observable, such as j_mass; cuts on the predictions then hardly bend its spectrum."""
    energy_scale: float = 0.0
    """Or the scale of energies: those of each jet are multiplied by a number between 1 - this and 1 + this."""
    by: Decorrelation = Decorrelation.DISTANCE_CORRELATION
    """How: by a term of the loss, or by a second network that learns to read it off the predictions."""
    strength: float = 1.0
    """How much that counts beside the cross-entropy."""
    background: tuple[str, ...] = ()
    """Among jets of these classes, such as the background of a search; the default is what the jets' dataset names."""
    signal: tuple[str, ...] = ()
    """The classes whose predictions against the background count; the default is all others."""

    def __post_init__(self) -> None:
        """Takes choices by their names too."""
        choose_fields(self)


def asks_for_decorrelation(insensitive: Insensitivity) -> bool:
    """Tells whether there is anything that the predictions shall not tell.

    >>> asks_for_decorrelation(Insensitivity()), asks_for_decorrelation(Insensitivity(to="j_mass"))
    (False, True)
    """
    return insensitive.to is not None or insensitive.energy_scale > 0


def has_adversary(insensitive: Insensitivity) -> bool:
    """Tells whether the tagger is trained against an adversary, so that its two losses are not of the same kind.

    >>> has_adversary(Insensitivity(to="j_mass", by=Decorrelation.ADVERSARY))
    True
    """
    return asks_for_decorrelation(insensitive) and insensitive.by is Decorrelation.ADVERSARY


def decorrelation_rules(chosen: Insensitivity) -> Iterator[Rule]:
    """Yields what the options must keep to, whatever the classes of the jets."""
    scale = chosen.energy_scale
    yield Rule("--insensitive.energy-scale", scale, 0 <= scale < 1, "0 or more, below 1")
    yield Rule("--insensitive.energy-scale", scale, not (chosen.to and scale), "0 where --insensitive.to is given")
    yield Rule("--insensitive.strength", chosen.strength, 0 <= chosen.strength < inf, "0 or more")
    for option in ("background", "signal"):
        values = getattr(chosen, option)
        yield Rule(f"--insensitive.{option}", values, len({*values}) == len(values), "different classes")
    left = not chosen.background or all({*chosen.background} - {name} for name in chosen.signal or ("",))
    yield Rule("--insensitive.background", chosen.background, left, "a class that is not the signal")


def resolve_background(chosen: Insensitivity, dataset: Dataset) -> Insensitivity:
    """Returns the options with their background named, which is that of the jets' dataset where they name none.

    Args:
      chosen: the options.
      dataset: of the jets; where it names no background either, all classes are.

    Raises:
      InputError: a class is not one of the jets'.

    >>> from hepjax.data import datasets
    >>> resolve_background(Insensitivity(to="j_mass"), datasets.get("hls4ml")).background
    ('g', 'q')
    """
    if not asks_for_decorrelation(chosen):
        return chosen
    for option in ("background", "signal"):
        if unknown := [name for name in getattr(chosen, option) if name not in dataset.classes]:
            raise InputError(
                f"--insensitive.{option}: expected different ones of {', '.join(dataset.classes)}, "
                f"found {', '.join(unknown)}"
            )
    background = chosen.background or dataset.background or dataset.classes
    if not all({*background} - {name} for name in chosen.signal or ("",)):
        raise InputError(
            f"--insensitive.background: expected a class that is not the signal, found {', '.join(background)}"
        )
    return dataclasses.replace(chosen, background=background)


def signal_classes(chosen: Insensitivity, dataset: Dataset) -> list[int]:
    """Returns the indices of the classes whose predictions count; all where none is named and all are background.

    Args:
      chosen: the options, with their background named.
      dataset: of the jets.
    """
    others = chosen.signal or [name for name in dataset.classes if name not in chosen.background]
    return [dataset.classes.index(name) for name in others or dataset.classes]
