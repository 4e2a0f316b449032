"""Regression linear in its parameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from flax import linen as nn

from hepjax.models.bounds import at_least, at_most
from hepjax.models.layers.polynomial import polynomial_basis
from hepjax.models.model import FeatureModel
from hepjax.models.registry import register
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    import jax

_MOST_TERMS = 100_000
"""Monomials, which are listed one by one before anything is computed."""


@register("linear")
class Linear(FeatureModel):
    """A model linear in its parameters, on jet observables."""

    degree: Annotated[int, at_least(1), at_most(1000)] = 1
    """Degree of the polynomial basis; above 1 the answers are curves."""

    @nn.nowrap
    def rules(self) -> Iterable[Rule]:
        """Returns the rule of --degree: that the polynomial has no more terms than can be listed."""
        if self.features and 1 <= self.degree <= 1000:
            terms = math.comb(len(self.features) + self.degree, self.degree) - 1
            count = f"{terms:,}" if terms < 10**15 else "more than 10^15"
            found = f"{self.degree}, which gives {count} terms of {len(self.features)} features"
            yield Rule("--degree", found, terms <= _MOST_TERMS, f"a degree of {_MOST_TERMS:,} terms or fewer")

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns (B, outputs) of x, (B, F) float; mask and train change nothing here."""
        del mask, train
        return nn.Dense(self.outputs)(polynomial_basis(x, self.degree))
