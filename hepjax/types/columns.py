"""Where the labels of files are, and what spectrum classes shall have."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class OneHot(NamedTuple):
    """Labels as one column a class, of which one is 1 and the others are 0."""

    columns: tuple[str, ...]
    """In the order of the classes."""
    undefined: str | None = None
    """A column that is 1 for jets without a class, which are refused; None where there is none."""


class Index(NamedTuple):
    """Labels as one column of whole numbers, 0 for the first class; a Boolean is such a column."""

    column: str


class FileName(NamedTuple):
    """Labels as the beginning of the names of files, each of which holds jets of one class, such as q150.hdf5."""

    beginnings: tuple[str, ...]
    """In the order of the classes; digits, _ and - may follow."""


class Reweighting(NamedTuple):
    """A spectrum that the jets of every class shall have in training, by a factor on the weights of each bin."""

    bins: Mapping[str, tuple[float, ...]]
    """Jet column → the rising edges of its bins, in its unit; several make a grid. Jets outside count nothing."""
    to: str = "flat"
    """The value of `hepjax.choices.Spectrum`, or the class whose spectrum all shall have."""
    factors: Mapping[str, tuple[float, ...]] = {}
    """Class → the factor of each bin of the grid, the last column fastest; {} is computed from the training jets."""
