"""The weights of a file's events: their names, the nominal one, and what is said of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.physics.simulation.event_text import EventWeights

_USUAL = ("", "0", "default", "nominal", "weight")
"""Names that generators give the nominal weight, in small letters."""
_SAME = 1e-9
_LISTED = 5
"""Names that a description lists."""


def nominal_weight_first(weights: EventWeights) -> EventWeights:
    """Puts the nominal weight first: the first of a usual name, or else the first of all.

    Args:
      weights: in any order.

    Returns:
      The same weights; the others keep their order.

    >>> nominal_weight_first(EventWeights(("muR2", "Default", "muF2"), (1.0, 2.0, 3.0)))
    EventWeights(names=('Default', 'muR2', 'muF2'), values=(2.0, 1.0, 3.0))
    """
    names, values = weights
    first = next((i for i, name in enumerate(names) if name.strip().lower() in _USUAL), 0)
    order = [*([first] if names else []), *(i for i in range(len(names)) if i != first)]
    return EventWeights(tuple(names[i] for i in order), tuple(values[i] for i in order))


def check_weight_names(place: str, names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Refuses an event with other weights than the first event of its file.

    Args:
      place: the words that name the event in an error.
      names: of its weights.
      expected: of the first event's weights.

    Raises:
      InputError: they differ.

    >>> check_weight_names("a.lhe: event 7", ("XWGTUP",), ("XWGTUP", "mur2"))
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: a.lhe: event 7: expected the 2 weights of the first event, found 1, without 'mur2'; \
correct it, or make the file anew
    """
    if names == expected:
        return
    missing = [f"without {name!r}" for name in expected if name not in names]
    extra = [f"with {name!r}" for name in names if name not in expected]
    difference = (missing + extra + ["in another order"])[0]
    raise InputError(
        f"{place}: expected the {len(expected)} weights of the first event, found {len(names)}, {difference}; correct "
        "it, or make the file anew"
    )


class WeightTotals(NamedTuple):
    """The nominal weights of events, added up."""

    events: int = 0
    total: float = 0.0
    squares: float = 0.0
    """The sum of their squares."""
    negative: int = 0
    least: float = math.inf
    largest: float = -math.inf


def add_weights(totals: WeightTotals, values: np.ndarray) -> WeightTotals:
    """Adds weights to totals.

    >>> add_weights(WeightTotals(), np.array([1.0, -0.5])).total
    0.5
    """
    with np.errstate(over="ignore"):
        total, squares = values.sum(), np.square(values).sum()
    return WeightTotals(
        totals.events + len(values),
        totals.total + float(total),
        totals.squares + float(squares),
        totals.negative + int((values < 0).sum()),
        min(totals.least, float(values.min(initial=math.inf))),
        max(totals.largest, float(values.max(initial=-math.inf))),
    )


def are_weights_equal(totals: WeightTotals) -> bool:
    """Says whether all weights are the same, so that events count alike.

    >>> are_weights_equal(add_weights(WeightTotals(), np.array([0.25, 0.25])))
    True
    """
    return totals.largest - totals.least <= _SAME * max(abs(totals.largest), abs(totals.least))


def describe_weights(names: tuple[str, ...], totals: WeightTotals, strategy: int | None) -> str:
    """Returns the words that say how the events of a file are weighted.

    Args:
      names: of the weights, the nominal one first; empty where events have none.
      totals: of the nominal ones.
      strategy: of a Les Houches file, or None.

    Returns:
      One line.

    >>> totals = add_weights(WeightTotals(), np.array([1.0, -0.5]))
    >>> describe_weights(("XWGTUP", "mur2"), totals, -4)
    "'XWGTUP' (Les Houches strategy -4) from -0.5 to 1 in 2 events, 1 of them negative, sum 0.5, as much as 0.2 equal \
ones; 1 more: mur2"
    """
    if not names:
        return "none, each event counts once"
    meaning = "" if strategy is None else f" (Les Houches strategy {strategy})"
    words = f"{names[0]!r}{meaning}"
    if are_weights_equal(totals):
        words += f" {totals.largest:.6g} in all {totals.events:,} events"
    else:
        effective = totals.total**2 / totals.squares if math.isfinite(totals.squares) and totals.squares else 0.0
        words += (
            f" from {totals.least:.6g} to {totals.largest:.6g} in {totals.events:,} events, {totals.negative:,} of "
            f"them negative, sum {totals.total:.6g}, as much as {effective:,.1f} equal ones"
        )
    if len(names) > 1:
        listed = ", ".join(names[1 : 1 + _LISTED])
        words += f"; {len(names) - 1} more: {listed}{', ...' if len(names) - 1 > _LISTED else ''}"
    return words
