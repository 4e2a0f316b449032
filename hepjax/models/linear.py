"""Regression linear in its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from flax import linen as nn

from hepjax.models.bounds import at_least
from hepjax.models.layers.polynomial import polynomial_basis
from hepjax.models.model import FeatureModel
from hepjax.models.registry import register

if TYPE_CHECKING:
    import jax


@register("linear")
class Linear(FeatureModel):
    """A model linear in its parameters, on jet observables."""

    degree: Annotated[int, at_least(1)] = 1
    """Degree of the polynomial basis; above 1 the answers are curves."""

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Returns (B, outputs) of x, (B, F) float; mask and train change nothing here."""
        del mask, train
        return nn.Dense(self.outputs)(polynomial_basis(x, self.degree))
