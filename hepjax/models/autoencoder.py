"""The autoencoder of dense layers: examples through a narrow code and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from flax import linen as nn

from hepjax.choices import Activation
from hepjax.models.bounds import at_least, each_value
from hepjax.models.layers.activations import ActivationLike
from hepjax.models.mlp import MLP
from hepjax.models.model import FeatureModel, Reconstructing
from hepjax.models.registry import register
from hepjax.types import Reconstruction

if TYPE_CHECKING:
    import jax


@register("autoencoder")
class Autoencoder(Reconstructing, FeatureModel):
    """Dense layers down to a code and back; an anomaly is what comes back badly (arXiv:1808.08979, 1808.08992).

    Its outputs are as many as the features.
    """

    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (64, 32)
    """Widths of the encoder's layers; the decoder has them the other way round."""
    latent: Annotated[int, at_least(1)] = 4
    """Width of the code; below the number of features, or nothing has to be learned."""
    activation: ActivationLike = Activation.TANH
    """Activation after every hidden layer."""

    @nn.nowrap
    def output_count(self, asked: int) -> int:  # noqa: ARG002
        """Returns the number of features."""
        return len(self.features)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> Reconstruction:
        """Args: x, (B, F) float; mask, (B,) bool, and train change nothing.

        Returns: the inputs as they come back, and the code.
        """
        code = self._layers(self.hidden, self.latent, "encoder")(x, mask, train)
        values = self._layers(self.hidden[::-1], self.outputs, "decoder")(code, mask, train)
        return Reconstruction(values, code, code[:, :0])

    @nn.nowrap
    def _layers(self, hidden: tuple[int, ...], outputs: int, name: str) -> MLP:
        return MLP(hidden=hidden, outputs=outputs, activation=self.activation, name=name)
