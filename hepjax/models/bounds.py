"""Bounds of options, written beside a field: `dropout: Annotated[float, at_least(0), below(1)] = 0.0`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Bound(NamedTuple):
    """A condition on the value of an option; None as a value always passes."""

    holds: Callable[[Any], bool]
    expected: str
    """What is expected, in words that follow "expected"."""


class OptionType(NamedTuple):
    """The type that a field has on the command line and in JSON, where Python accepts more."""

    type: Any


def at_least(lowest: float) -> Bound:
    """Returns the bound of numbers from `lowest` on.

    >>> at_least(1).holds(0), at_least(1).expected
    (False, '1 or more')
    """
    return Bound(lambda value: value >= lowest, f"{lowest} or more")


def below(limit: float) -> Bound:
    """Returns the bound of numbers less than `limit`.

    >>> below(1).holds(1)
    False
    """
    return Bound(lambda value: value < limit, f"below {limit}")


def at_most(highest: float) -> Bound:
    """Returns the bound of numbers up to `highest`.

    >>> at_most(3).holds(4), at_most(3).expected
    (False, '3 or less')
    """
    return Bound(lambda value: value <= highest, f"{highest} or less")


def more_than(limit: float) -> Bound:
    """Returns the bound of finite numbers above `limit`.

    >>> more_than(0).holds(0), more_than(0).holds(float("inf"))
    (False, False)
    """
    return Bound(lambda value: limit < value < float("inf"), f"more than {limit}")


def each_value(bound: Bound) -> Bound:
    """Returns the bound of tuples, empty or not, whose values all keep to another bound.

    >>> each_value(at_least(1)).holds(()), each_value(at_least(1)).expected
    (True, 'numbers of 1 or more each')
    """
    return Bound(lambda values: all(map(bound.holds, values)), f"numbers of {bound.expected} each")


def not_empty() -> Bound:
    """Returns the bound of tuples with a value or more.

    >>> not_empty().holds(())
    False
    """
    return Bound(lambda values: len(values) >= 1, "one number or more")
