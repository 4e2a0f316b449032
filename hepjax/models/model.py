"""The base classes of models: a network is one class, whose fields are its options and which says what it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from flax import linen as nn

from hepjax.choices import Channels, FurtherInput, PixelScale, PixelValue, choose_fields
from hepjax.models.bounds import at_least, at_most, more_than
from hepjax.models.registry import MODELS
from hepjax.types import Rule
from hepjax.types.short_repr import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable


MOST_PARTICLES = 10_000
"""More of one jet than any detector sees; their pairs still fit into memory."""
_MOST_PIXELS = 4096


class Model(nn.Module, kw_only=True):
    """A network whose fields are its options, each with a docstring, which is its help, and bounds in its type.

    To add a network, write one class in one file: a subclass of one of the classes below, which say what it sees.

    >>> from flax import linen as nn
    >>> class Wide(FeatureModel):
    ...     '''One wide layer.'''
    ...     width: Annotated[int, at_least(1)] = 100
    ...     '''Units of the layer.'''
    ...     @nn.compact
    ...     def __call__(self, x, mask=None, train=False):
    ...         return nn.Dense(self.outputs)(nn.relu(nn.Dense(self.width)(x)))
    >>> Wide(width=50, outputs=5).width
    50

    `hepjax.models.register("wide")(Wide)` makes it known to `hepjax train wide --width 50`. All fields are given by
    keyword. A model is called as `model(inputs, mask=..., train=...)`: the mask (B,) bool is False for rows that batch
    statistics leave out, and training draws from the rng `dropout`. It returns (B, outputs) float.
    """

    outputs: int = 1
    """Number of outputs; the task sets it, so that it is no option."""
    serves: ClassVar[tuple[str, ...]] = ()
    """The names of the tasks that the network is for; empty is all whose outputs are (B, outputs) numbers."""
    learning_rate: ClassVar[float] = 1e-3
    """The one that it is trained with, by Adam in batches of 128, where none is asked for."""

    @nn.nowrap
    def __repr__(self) -> str:
        """Shows its options."""
        return short_repr(self, defaults=True)

    def __post_init__(self) -> None:
        """Takes choices by their names too."""
        choose_fields(self)
        super().__post_init__()

    def __init_subclass__(cls, kw_only: bool = True, **kwargs: Any) -> None:
        """Makes the fields of a subclass keyword-only."""
        super().__init_subclass__(kw_only=kw_only, **kwargs)

    @nn.nowrap
    def rules(self) -> Iterable[Rule]:
        """Returns what must hold between several options; `bounds` beside a field say what must hold for one."""
        return ()

    @nn.nowrap
    def label(self) -> str:
        """Returns its name for people and new folders: by default the one that it is registered by."""
        return MODELS.name_of(self)

    @nn.nowrap
    def with_outputs(self, outputs: int) -> Model:
        """Returns it with another number of outputs, as a trained network gets a new head.

        Args:
          outputs: how many.
        """
        changed: Model = self.clone(outputs=outputs)
        return changed

    @nn.nowrap
    def output_count(self, asked: int) -> int:
        """Returns the number of outputs of the network: by default what the task asks for."""
        return asked


class Reconstructing:
    """A network that gives its inputs back: it returns a `Reconstruction`, and serves the task of anomalies.

    To be put before the base class that says what the network sees: `class Autoencoder(Reconstructing, FeatureModel)`.
    """

    serves: ClassVar[tuple[str, ...]] = ("anomaly",)

    def is_variational(self) -> bool:
        """Tells whether codes are distributions, so that the loss is the negative ELBO; by default they are not."""
        return False


class FeatureModel(Model):
    """A model of jet observables: its input is (B, F) float, scaled to mean 0 and width 1."""

    features: tuple[str, ...] = ()
    """The jet observables to learn from, by name; `hepjax info` lists them. Default: those the data set names."""


class ParticleModel(Model):
    """A model of lists of particles: its input is `Sequences` with values (B, P, F) and mask (B, P).

    A jet's particles come first, by falling pT, and padding last.
    """

    particles: Annotated[int, at_least(1), at_most(MOST_PARTICLES)] = 30
    """How many particles of each jet the model sees, the first in order."""
    columns: tuple[str, ...] = ()
    """The particle columns to learn from, by name; `hepjax info` lists them. Default: those the data set names."""
    default_columns: ClassVar[tuple[str, ...] | None] = None
    """The columns to learn from where none are named, if the jets have what they follow from; none where it is empty,
    and those the data set names where it is None."""

    @nn.nowrap
    def min_padding(self) -> int | None:
        """Returns how many empty slots must stay behind a jet's particles where the list is cut to fewer than P slots.

        None, as here, never cuts it: for models whose parameters or answers depend on the number of slots. Models of
        which padding changes nothing return 0; jets of few particles are then computed faster.
        """
        return None

    @nn.nowrap
    def further_inputs(self) -> tuple[FurtherInput, ...]:
        """Returns what the model sees beside its scaled columns, in `ParticleInputs` instead of `Sequences`."""
        return ()


class SequenceModel(ParticleModel):
    """A model of lists of particles in an order that can be chosen."""

    order_by: str | None = None
    """Sort the particles by falling values of this column; the default is their pT."""


class GraphModel(ParticleModel):
    """A model of graphs: its input is a `jraph.GraphsTuple`, one graph a jet, one node a particle, and padding."""

    neighbors: Annotated[int | None, at_least(1)] = None
    """Connect each particle with this number of nearest others; the default connects all."""
    radius: Annotated[float | None, more_than(0)] = None
    """Connect particles closer than this; the default connects all."""
    by: tuple[str, ...] = ()
    """The columns in which near and far are measured. Default: the angles relative to the jet's axis."""
    edge_features: bool = False
    """Give the edges ln ΔR, ln kT, ln z and ln m² of their particles (arXiv:2202.03772)."""

    @nn.nowrap
    def rules(self) -> Iterable[Rule]:
        """Returns the rules of --radius and --neighbors."""
        k = self.neighbors
        yield Rule("--radius", self.radius, k is None or self.radius is None, "none where --neighbors is given")
        yield Rule("--neighbors", k, k is None or k < self.particles, f"fewer than --particles, {self.particles}")

    @nn.nowrap
    def min_padding(self) -> int | None:
        """Returns 0: a graph has no padding of its own."""
        return 0


class ImageModel(Model):
    """A model of jet images: its input is (B, H, W, channels) float, as `pixel_scale` says."""

    particles: Annotated[int, at_least(1), at_most(MOST_PARTICLES)] = 30
    """How many particles of each jet are drawn, the first in order."""
    pixels: Annotated[int, at_least(1), at_most(_MOST_PIXELS)] = 40
    """Pixels along each side of the image; 40 of 0.02 hold all of a jet of radius 0.4."""
    pixel_size: Annotated[float, more_than(0)] = 0.02
    """Side of a pixel in η and φ."""
    value: PixelValue = PixelValue.PT
    """The quantity that a pixel adds up."""
    pixel_scale: PixelScale = PixelScale.LOGARITHM
    """What the network sees of it."""
    channels: Channels = Channels.ALL
    """All particles in one channel, or charged and neutral ones in two."""
    rotate: bool = False
    """Turn each jet so that its principal axis points along φ, upwards in pictures."""
    flip: bool = False
    """Mirror each jet so that most of its pT lies at positive η and φ."""
    images: tuple[str, ...] = ()
    """Take these images of the files, such as jetImage, instead of the particles; give their --pixels as well."""
