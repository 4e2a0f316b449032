"""What options choose from, by name."""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from typing import Any, TypeVar

from hepjax.errors import InputError

E = TypeVar("E", bound=enum.Enum)


def choose(kind: type[E], value: E | str, name: str) -> E:
    """Returns a choice, which may be given by its name on the command line.

    Args:
      kind: what is chosen from.
      value: one of them, or its name.
      name: of the argument, for the message.

    Raises:
      InputError: there is no such choice; names all.

    >>> choose(Norm, "batch", "norm"), choose(Norm, Norm.BATCH, "norm")
    (<Norm.BATCH: 'batch'>, <Norm.BATCH: 'batch'>)
    >>> choose(Norm, "bach", "norm")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: norm: expected none, batch or layer, or a Norm of hepjax, found 'bach'
    """
    if isinstance(value, kind):
        return value
    names = {member.value if isinstance(member.value, str) else member.name: member for member in kind}
    if isinstance(value, str) and value in names:
        return names[value]
    *others, last = names
    raise InputError(f"{name}: expected {', '.join(others)} or {last}, or a {kind.__name__} of hepjax, found {value!r}")


def choose_fields(options: Any) -> None:
    """Sets the fields of a frozen dataclass that choose by name to what the names stand for; for `__post_init__`.

    Args:
      options: a dataclass, whose fields are annotated with the kinds below.

    Raises:
      InputError: as `choose`.
    """
    fields: Any = _choosing_fields  # mypy: Flax's classes have a __hash__ of another signature
    for name, kind in fields(type(options)):
        value = getattr(options, name)
        if isinstance(value, tuple | list):  # one for each layer
            object.__setattr__(options, name, tuple(x if callable(x) else choose(kind, x, name) for x in value))
        elif value is not None and not isinstance(value, kind) and not callable(value):
            object.__setattr__(options, name, choose(kind, value, name))


@functools.cache
def _choosing_fields(options: type[Any]) -> tuple[tuple[str, type[enum.Enum]], ...]:
    """The fields whose annotation, which may be a text, names a kind of choice; `ActivationLike` names `Activation`."""
    known = {name: kind for name, kind in globals().items() if isinstance(kind, type) and issubclass(kind, enum.Enum)}
    found = []
    for field in dataclasses.fields(options):
        words = (word.removesuffix("Like") for word in re.findall(r"\w+", str(field.type)))
        found += [(field.name, known[word]) for word in words if word in known][:1]
    return tuple(found)


class Role(enum.Enum):
    """The meaning of a column of particles or jets, whatever a file calls it; momenta are in the unit of the file.

    The value is also the name of the column where a file lacks it and it is derived from the momenta.
    """

    PX = "px"
    PY = "py"
    PZ = "pz"
    ENERGY = "energy"
    PT = "pt"
    ETA = "eta"
    PHI = "phi"
    MASS = "mass"
    ETA_REL = "eta_rel"
    """η relative to that of the jet."""
    PHI_REL = "phi_rel"
    """φ relative to that of the jet, wrapped to ±π."""
    PT_REL = "pt_rel"
    """pT / pT(jet)."""
    ENERGY_REL = "energy_rel"
    """E / E(jet)."""
    DELTA_R = "delta_r"
    """The distance to the jet axis in η and φ."""
    CHARGE = "charge"
    PDG_ID = "pdg_id"
    """The identity of the Particle Data Group, such as 211 or -13, and 0 where it is unknown."""
    D0 = "d0"
    """The transverse impact parameter, mm."""
    D0_ERROR = "d0_error"
    """Its uncertainty, mm."""
    DZ = "dz"
    """The longitudinal impact parameter, mm."""
    DZ_ERROR = "dz_error"
    """Its uncertainty, mm."""
    VALID = "valid"
    """1 for a particle and 0 for padding, where a file says so."""
    JET_PT = "jet_pt"
    JET_ETA = "jet_eta"
    JET_PHI = "jet_phi"
    JET_MASS = "jet_mass"
    JET_ENERGY = "jet_energy"
    JET_MULTIPLICITY = "jet_multiplicity"

    @property
    def of_jets(self) -> bool:
        """True for a role of jet columns, False for one of particle columns.

        >>> Role.JET_PT.of_jets, Role.PT.of_jets
        (True, False)
        """
        return self.value.startswith("jet_")


class Activation(enum.Enum):
    """The activations of the field; `hepjax.models.layers.activations` has each as a function."""

    IDENTITY = "identity"
    BINARY_STEP = "binary-step"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    ARCTAN = "arctan"
    RELU = "relu"
    LEAKY_RELU = "leaky-relu"
    PRELU = "prelu"
    ELU = "elu"
    SELU = "selu"
    GELU = "gelu"
    SOFTPLUS = "softplus"
    MAXOUT = "maxout"


class Norm(enum.Enum):
    """Normalization between a dense layer and its activation."""

    NONE = "none"
    BATCH = "batch"
    LAYER = "layer"


class Readout(enum.Enum):
    """The ways in which the outputs of a jet's particles become one vector."""

    SUM = "sum"
    FLATTEN = "flatten"


class PairForm(enum.Enum):
    """The ways in which an interaction network runs over pairs of particles; all give the same output."""

    DENSE = "dense"
    """All pairs as one tensor: the fastest for few."""
    RECEIVERS = "receivers"
    """One receiving particle after another, which needs the memory of one: the fastest for many."""
    SEGMENTS = "segments"
    """A list of edges and segment sums, as jraph has it: for graphs of any edges."""


class Strategy(enum.Enum):
    """The ways in which a training step runs on several devices; both give the result of one device."""

    JIT = "jit"
    """One program for all, which the compiler divides among them."""
    PMAP = "pmap"
    """A program for each, which average their gradients themselves."""


class Precision(enum.Enum):
    """The numbers a network computes with; parameters, losses and sums are float32 always."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    """Half the memory, and faster on devices made for it; slower on most CPUs."""


class ExportFormat(enum.Enum):
    """The file formats of exported models."""

    ONNX = "onnx"
    """For ONNX Runtime, in any language."""
    STABLEHLO = "stablehlo"
    """For JAX, and for compilers that take StableHLO."""
    TORCH = "torch"
    """Weights for weaver-core's classes of ParticleNet and Particle Transformer."""


class Keep(enum.Enum):
    """The jets of a simulated collision that are kept."""

    LEADING = "leading"
    """The hardest one, whatever it stems from, as in the public sample."""
    MATCHED = "matched"
    """Each that lies near a hard parton or boson."""


class PixelValue(enum.Enum):
    """The quantities that the pixels of a jet image sum."""

    PT = "pt"
    ENERGY = "energy"


class Channels(enum.Enum):
    """The channels of a jet image."""

    ALL = "all"
    """One: all particles."""
    CHARGED_NEUTRAL = "charged-neutral"
    """Two: particles with a mass, which charged ones have, and those without."""


class TransformerBlock(enum.Enum):
    """The forms of a transformer's blocks."""

    NORMFORMER = "normformer"
    """GELU, and layer norms after attention and hidden layer too, with a scale a head (arXiv:2110.09456): as published
    in arXiv:2202.03772."""
    SWIGLU = "swiglu"
    """Gated hidden layers (arXiv:2002.05202), and layer norms before attention and hidden layers alone."""
    RMS_SWIGLU = "rms-swiglu"
    """Gated hidden layers, root mean square norms (arXiv:1910.07467) instead of layer norms, and no biases."""


class FurtherInput(enum.Enum):
    """The inputs that networks of particles may ask for beside scaled columns."""

    POINTS = "points"
    """The places of particles relative to the jet, Δη and Δφ."""
    MOMENTA = "momenta"
    """Four-momenta, in GeV."""
    PAIRS = "pairs"
    """Four features of each pair of particles: ln kT, ln z, ln ΔR and ln m² (arXiv:2202.03772)."""


class Decorrelation(enum.Enum):
    """The methods that make predictions independent of a nuisance."""

    DISTANCE_CORRELATION = "distance-correlation"
    """By its addition to the loss (arXiv:2001.05310)."""
    ADVERSARY = "adversary"
    """By a second network that learns to read the nuisance off the answers (arXiv:1611.01046)."""


class PixelScale(enum.Enum):
    """The functions that are applied to the pixels of a jet image."""

    LOGARITHM = "logarithm"
    """ln(1 + GeV): between few and many GeV lie three orders of magnitude."""
    AMPLITUDE = "amplitude"
    """The square root of a pixel's share of the image, so that all images have one norm (arXiv:2104.09051)."""


class AnomalyLoss(enum.Enum):
    """The losses that autoencoders minimize."""

    RECONSTRUCTION_ERROR = "reconstruction-error"
    """The squared difference of inputs and what comes back, averaged over the numbers of a jet."""
    NEGATIVE_ELBO = "negative-elbo"
    """Minus the evidence lower bound of a code that is a normal distribution (arXiv:1312.6114)."""


class Content(enum.Enum):
    """The contents of a jet that a generator makes."""

    OBSERVABLES = "observables"
    """Its jet columns."""
    PARTICLES = "particles"
    """Its hardest particles."""


class RegressionLoss(enum.Enum):
    """The losses of regression, of targets in units of their spread."""

    SQUARED_ERROR = "squared-error"
    """The mean squared error: predictions are conditional means."""
    HUBER = "huber"
    """Squares of small residuals, absolute values of large ones: tails count less (Ann. Math. Stat. 35 (1964) 73)."""
    GAUSSIAN = "gaussian"
    """The likelihood of a Gaussian whose width is learned too, so that each prediction has its uncertainty."""
    QUANTILES = "quantiles"
    """The quantile loss: several quantiles of what the target may be (Econometrica 46 (1978) 33)."""


class Spectrum(enum.Enum):
    """The spectra, in bins of jet columns, that the classes may be reweighted to."""

    FLAT = "flat"
    """Every bin counts the same."""
    MEAN = "mean"
    """The mean of the classes' own spectra."""


class Optimizer(enum.Enum):
    """The optimizers that need nothing but gradients and a learning rate, and those of one's own.

    Values are their names in optax, but for ranger, which is rectified Adam inside Lookahead.
    """

    ADABELIEF = "adabelief"
    ADADELTA = "adadelta"
    ADAFACTOR = "adafactor"
    ADAGRAD = "adagrad"
    ADAM = "adam"
    ADAMAX = "adamax"
    ADAMAXW = "adamaxw"
    ADAMW = "adamw"
    ADAN = "adan"
    AMSGRAD = "amsgrad"
    FROMAGE = "fromage"
    LAMB = "lamb"
    LARS = "lars"
    LION = "lion"
    NADAM = "nadam"
    NADAMW = "nadamw"
    NOVOGRAD = "novograd"
    RADAM = "radam"
    RANGER = "ranger"
    RMSPROP = "rmsprop"
    SGD = "sgd"
    YOGI = "yogi"
    OWN = "own"
    """A transformation of optax that was given to `hepjax.train` in Python."""


class Schedule(enum.Enum):
    """The courses of the learning rate over a training."""

    CONSTANT = "constant"
    COSINE = "cosine"
    COSINE_RESTARTS = "cosine-restarts"
    FLAT_THEN_DECAY = "flat-then-decay"
    ONE_CYCLE = "one-cycle"
    PLATEAU = "plateau"


class Augmentation(enum.Enum):
    """Random changes of jets in training: symmetries, and smearing."""

    AZIMUTH = "azimuth"
    """A rotation about the beams."""
    BOOST = "boost"
    """A boost along the beams, of a rapidity up to 1; for networks of four-momenta."""
    MIRROR = "mirror"
    """Mirror images, of η and of φ."""
    ROTATION = "rotation"
    """A rotation about the jet's axis, of Δη and Δφ: radiation keeps its pT, but not its direction to the beams."""
    SMEARING = "smearing"
    """Moves particles in η and φ at random, by 100 MeV / pT, as soft ones are measured badly (arXiv:2108.04253)."""


class Show(enum.Enum):
    """The forms in which a training shows its progress, beside lines."""

    BAR = "bar"
    """A bar that moves, in a notebook and on a terminal; lines elsewhere."""


class ModuleInputs(enum.Enum):
    """What a Flax module of one's own looks at."""

    OBSERVABLES = "observables"
    """(B, F), the columns of jets."""
    PARTICLES = "particles"
    """(B, P, F), the columns of particles, and their mask (B, P)."""


class Recipe(enum.Enum):
    """The published choices for the training of a network."""

    LGATR_SLIM = "lgatr-slim"
    LORENTZ_NET = "lorentz-net"
    PARTICLE_FLOW = "particle-flow"
    PARTICLE_NET = "particle-net"
    PARTICLE_TRANSFORMER = "particle-transformer"
