"""The models that `hepjax train` knows: what each looks at, and its size."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from hepjax.choices import Activation, Channels, Norm, PairForm, PixelValue, Readout
from hepjax.data.datasets import hls4ml

if TYPE_CHECKING:
    from collections.abc import Callable

Rule = tuple[str, object, bool, str]
"""An option, what was found, whether that is good, and what is expected."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Features:
    """What the models of jet observables have in common."""

    features: tuple[str, ...] = hls4ml.STANDARD_FEATURES
    """The jet observables to learn from, by name; `hepjax info` lists them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Particles:
    """What the models of particles have in common."""

    particles: int = 30
    """How many particles of each jet the model sees, the first in order."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Columns(_Particles):
    """What the models of particle lists have in common."""

    columns: tuple[str, ...] = hls4ml.PARTICLE_FEATURES
    """The particle columns to learn from, by name; `hepjax info` lists them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Logistic(_Features):
    """Logistic regression on jet observables."""

    degree: int = 1
    """Degree of the polynomial basis; above 1 the decision boundaries are curves."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MLP(_Features):
    """A multilayer perceptron on jet observables (arXiv:1804.06913)."""

    hidden: tuple[int, ...] = (64, 32, 32)
    """Widths of the hidden layers."""
    activation: Activation = Activation.RELU
    """Activation after every hidden layer."""
    dropout: float = 0.0
    """Probability of dropping a hidden unit while training."""
    norm: Norm = Norm.NONE
    """Normalisation before each activation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convnet(_Particles):
    """A convolutional network on jet images (arXiv:1511.05190)."""

    filters: tuple[int, ...] = (16, 32, 64)
    """Filters of each convolution."""
    kernels: tuple[int, ...] = (5, 3, 3)
    """Side of each convolution's window, in pixels."""
    pool: int = 2
    """Side of the pooling window after each convolution; 1 does not pool."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the dense layers at the end."""
    activation: Activation = Activation.RELU
    """Activation after every layer but the last."""
    dropout: float = 0.0
    """Probability of dropping a unit after each layer while training."""
    norm: Norm = Norm.NONE
    """Normalisation before each activation."""
    pixels: int = 40
    """Pixels along each side of the image; 40 of 0.02 hold all of a jet of radius 0.4."""
    pixel_size: float = 0.02
    """Side of a pixel in η and φ."""
    value: PixelValue = PixelValue.PT
    """What a pixel adds up."""
    channels: Channels = Channels.ALL
    """All particles in one channel, or charged and neutral ones in two."""
    rotate: bool = False
    """Turn each jet so that its principal axis points along φ, upwards in pictures."""
    flip: bool = False
    """Mirror each jet so that most of its pT lies at positive η and φ."""
    images: tuple[str, ...] = ()
    """Take these images of the files, such as jetImage, instead of the particles; give their --pixels as well."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convnet1d(_Columns):
    """A convolutional network along the list of particles."""

    filters: tuple[int, ...] = (32, 32)
    """Filters of each convolution."""
    kernels: tuple[int, ...] = (3, 3)
    """Particles in each convolution's window."""
    pool: int = 2
    """Particles in the pooling window after each convolution; 1 does not pool."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the dense layers at the end."""
    activation: Activation = Activation.RELU
    """Activation after every layer but the last."""
    dropout: float = 0.0
    """Probability of dropping a unit after each layer while training."""
    norm: Norm = Norm.NONE
    """Normalisation before each activation."""
    order_by: str | None = None
    """Sort the particles by falling values of this column; the default is their pT."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Recurrent(_Columns):
    """What the recurrent networks have in common."""

    units: tuple[int, ...] = (64,)
    """Units of each recurrent layer."""
    bidirectional: bool = False
    """Read the particles in both directions."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the dense layers at the end."""
    activation: Activation = Activation.RELU
    """Activation of the dense layers."""
    dropout: float = 0.0
    """Probability of dropping a unit between layers while training."""
    order_by: str | None = None
    """Sort the particles by falling values of this column; the default is their pT."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LSTM(_Recurrent):
    """A recurrent network with long short-term memory on the list of particles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GRU(_Recurrent):
    """A recurrent network with gated units on the list of particles."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deepsets(_Columns):
    """Deep sets, the particle flow network (arXiv:1810.05165)."""

    particle: tuple[int, ...] = (100, 100, 64)
    """Widths of the layers that every particle passes by itself."""
    hidden: tuple[int, ...] = (100, 100)
    """Widths of the layers after the sum over particles."""
    activation: Activation = Activation.RELU
    """Activation after every layer but the last."""
    dropout: float = 0.0
    """Probability of dropping a unit after each layer while training."""
    norm: Norm = Norm.NONE
    """Normalisation before each activation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InteractionNetwork(_Columns):
    """JEDI-net, the interaction network on all pairs of particles (arXiv:1908.05318)."""

    edge: tuple[int, ...] = (50, 25, 12)
    """Widths of the layers of the edge network."""
    node: tuple[int, ...] = (50, 25, 12)
    """Widths of the layers of the node network."""
    hidden: tuple[int, ...] = (50, 25)
    """Widths of the classifier's hidden layers."""
    activation: Activation = Activation.RELU
    """Activation after every layer but the last."""
    readout: Readout = Readout.SUM
    """The classifier sees the sum over particles, or all their outputs one after another."""
    masked: bool = True
    """Leave padding out; --no-masked lets it take part, as in the published networks."""
    form: PairForm | None = None
    """How to run over the pairs; the default is the fastest for their number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphNetwork(_Columns):
    """Rounds of message passing on a graph of particles (arXiv:1806.01261)."""

    rounds: int = 2
    """Rounds of message passing."""
    edge: tuple[int, ...] = (32, 32)
    """Widths of the layers that update edges."""
    node: tuple[int, ...] = (32, 32)
    """Widths of the layers that update nodes."""
    jet: tuple[int, ...] = (32, 32)
    """Widths of the layers that update the jet as a whole."""
    hidden: tuple[int, ...] = (32,)
    """Widths of the classifier's hidden layers."""
    attention: bool = False
    """Weigh messages by learned attention."""
    dropout: float = 0.0
    """Probability of dropping a unit of the classifier while training."""
    activation: Activation = Activation.RELU
    """Activation after every layer but the last."""
    neighbours: int | None = None
    """Connect each particle with so many nearest others; the default connects all."""
    radius: float | None = None
    """Connect particles closer than this; the default connects all."""
    by: tuple[str, ...] = ("j1_etarel", "j1_phirel")
    """The columns in which near and far are measured."""
    edge_features: bool = False
    """Give the edges ln ΔR, ln kT, ln z and ln m² of their particles (arXiv:2202.03772)."""


Model = InteractionNetwork | Logistic | MLP | Convnet | Convnet1d | LSTM | GRU | Deepsets | GraphNetwork


def rules(model: Model) -> list[Rule]:
    """What the options of a model must keep to.

    Args:
      model: the options.

    Returns:
      One rule for each option that has one.

    >>> [option for option, _, good, _ in rules(MLP(hidden=(0,))) if not good]
    ['--hidden']
    """
    given = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    found = [
        (f"--{name.replace('_', '-')}", given[name], holds(given[name]), words)
        for name, (holds, words) in _RULES.items()
        if name in given
    ]
    if isinstance(model, Convnet | Convnet1d):
        as_many = len(model.kernels) == len(model.filters)
        found.append(("--kernels", model.kernels, as_many, f"as many as --filters, {len(model.filters)}"))
    if isinstance(model, GraphNetwork):
        one = model.neighbours is None or model.radius is None
        found.append(("--radius", model.radius, one, "none where --neighbours is given"))
        few = model.neighbours is None or model.neighbours < model.particles
        found.append(("--neighbours", model.neighbours, few, f"fewer than --particles, {model.particles}"))
    return found


def _widths(value: tuple[int, ...]) -> bool:
    return all(width >= 1 for width in value)


def _some_widths(value: tuple[int, ...]) -> bool:
    return len(value) >= 1 and _widths(value)


def _one_or_more(value: int | None) -> bool:
    return value is None or value >= 1


def _positive(value: float | None) -> bool:
    return value is None or 0 < value < float("inf")


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "hidden": (_widths, "widths of 1 or more"),
    **dict.fromkeys(
        ("edge", "node", "jet", "particle", "units", "filters", "kernels"),
        (_some_widths, "one number or more, each 1 or more"),
    ),
    **dict.fromkeys(("degree", "particles", "pool", "pixels", "rounds", "neighbours"), (_one_or_more, "1 or more")),
    **dict.fromkeys(("pixel_size", "radius"), (_positive, "more than 0")),
    "dropout": (lambda value: 0 <= value < 1, "0 or more, below 1"),
}
"""Option → what must hold, in every model that has it."""
