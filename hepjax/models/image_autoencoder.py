"""The autoencoder of dense layers on the pixels of jet images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from flax import linen as nn

from hepjax.choices import Activation, PixelScale
from hepjax.models.autoencoder import Autoencoder
from hepjax.models.bounds import at_least, each_value
from hepjax.models.layers.activations import ActivationLike
from hepjax.models.model import ImageModel, Reconstructing
from hepjax.models.registry import register
from hepjax.models.variational_autoencoder import VariationalAutoencoder

if TYPE_CHECKING:
    import jax

    from hepjax.types import Reconstruction


@register("image-autoencoder")
class ImageAutoencoder(Reconstructing, ImageModel):
    """Dense layers from all pixels of a jet image down to a code and back (arXiv:1808.08979, 1808.08992)."""

    pixel_scale: PixelScale = PixelScale.AMPLITUDE
    """What the network sees of it, and gives back."""
    hidden: Annotated[tuple[int, ...], each_value(at_least(1))] = (64, 32)
    """Widths of the encoder's layers; the decoder has them the other way round."""
    latent: Annotated[int, at_least(1)] = 8
    """Width of the code."""
    activation: ActivationLike = Activation.TANH
    """Activation after every hidden layer."""
    variational: bool = False
    """Whether the code is a normal distribution (arXiv:1312.6114)."""

    @nn.nowrap
    def is_variational(self) -> bool:
        """Tells whether the code is a normal distribution."""
        return self.variational

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> Reconstruction:
        """Args: x, (B, H, W, channels) float; mask, (B,) bool, changes nothing; training a variational one draws codes.

        Returns: the images as they come back, and the code or its distribution.
        """
        flat = x.reshape(len(x), -1)
        kind = VariationalAutoencoder if self.variational else Autoencoder
        network = kind(
            hidden=self.hidden, latent=self.latent, activation=self.activation, outputs=flat.shape[1], name="network"
        )
        result: Reconstruction = network(flat, mask, train)
        return result._replace(values=result.values.reshape(x.shape))
