"""The vocabulary: the few structures that the stages hand to each other.

Every field says shape, dtype, unit and what padding looks like.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.types.columns import FileName as FileName  # noqa: TC001 — for others
from hepjax.types.columns import Index as Index  # noqa: TC001 — for others
from hepjax.types.columns import OneHot as OneHot  # noqa: TC001 — for others
from hepjax.types.columns import Reweighting as Reweighting  # noqa: TC001 — for others
from hepjax.types.short_repr import short_repr, some_names, table_html

if TYPE_CHECKING:
    from collections.abc import Mapping

    import jax
    import numpy as np

    Array = jax.Array | np.ndarray
    PyTree = Any


class Rule(NamedTuple):
    """A condition on an option, and the function that checks it."""

    option: str
    """Its name on the command line, such as "--radius"."""
    value: object
    good: bool
    expected: str
    """What is expected, in words that follow "expected"."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A description of the columns of jets, their names and meaning, as a plain value.

    `hepjax.data.dataset` has the functions on it. Where it describes files that are still to be opened, `()` for the
    columns means all that a file has; the `dataset` of jets names them all.
    """

    name: str
    particle_columns: tuple[str, ...] = ()
    """All columns of particles, in order."""
    jet_columns: tuple[str, ...] = ()
    """All columns of jets that are neither labels nor weights, in order: the observables."""
    classes: tuple[str, ...] = ()
    """The names of the classes, in the order of the labels; empty where there are no labels."""
    labels: OneHot | Index | FileName | None = None
    """The columns of the labels; None where there are none."""
    weights: str | None = None
    """The jet column, or the dataset of one number a jet, that holds event weights; None is 1 for each jet."""
    roles: Mapping[Any, str] = dataclasses.field(default_factory=dict)
    """`hepjax.choices.Role` → the column that has it."""
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Column or image → "GeV", "MeV", "rad" or ""; columns that are not named have none."""
    features: tuple[str, ...] = ()
    """The jet columns that models of jet columns learn from by default."""
    particle_features: tuple[str, ...] = ()
    """The particle columns that models of particles learn from by default; the value of a role is one to derive."""
    images: tuple[str, ...] = ()
    """The images that come with the jets."""
    observers: tuple[str, ...] = ()
    """Jet columns that are carried but not learned from by default, such as the truth and the number of the event."""
    background: tuple[str, ...] = ()
    """The classes that are background by default where a task needs some; empty is all."""
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Column → the label of an axis that shows it, unit included."""
    arrays: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Array of a file that does not name its columns → their names, in the order of its last axis."""
    derived: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Column → the expression over columns, in GeV, that it is computed by when files are read; also of labels."""
    selection: str = ""
    """The expression that tells which jets of files stay; "" is all."""
    reweighting: Reweighting | None = None
    """The spectrum that classes shall have in training where options name none; None leaves weights as they are."""


@dataclasses.dataclass(frozen=True, repr=False)
class Jets:
    """N jets of at most P particles, in memory or still on disk.

    Fields may be NumPy arrays or lazy rows that read their file when they are indexed or turned into an array.
    `len(jets)` is N; `jets[rows]`, with a slice or an integer array, is a `Jets` in memory.
    """

    constituents: Any
    """(N, P, F) float32, the columns `particle_names`, by falling pT; padding is zero."""
    mask: Any
    """(N, P) bool, True for a particle, False for padding."""
    observables: Any
    """(N, G) float32, the columns `observable_names`; G is 0 where there are none."""
    labels: Any | None
    """(N,) int32, the index into `classes`; None where there are no labels."""
    dataset: Dataset
    """The names and meaning of the columns."""
    weights: Any | None = None
    """(N,) float32 event weights, of any sign; None is 1 for each."""
    images: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Dataset name → (N, H, W) float32 pT per pixel, GeV; those that `read_jets` was asked for."""

    @property
    def particle_names(self) -> tuple[str, ...]:
        """The names of the F columns of particles."""
        return self.dataset.particle_columns

    @property
    def observable_names(self) -> tuple[str, ...]:
        """The names of the G columns of jets."""
        return self.dataset.jet_columns

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty where there are no labels."""
        return self.dataset.classes

    def __len__(self) -> int:
        """The number of jets."""
        return int(self.constituents.shape[0])

    def __repr__(self) -> str:
        """Says how many jets of which dataset there are, and what they have."""
        columns = f"{len(self.particle_names)} columns of particles, {len(self.observable_names)} of jets"
        classes = f", classes {some_names(self.classes)}" if self.classes else ""
        return f"<{self._title()}, {columns}{classes}>"

    def _title(self) -> str:
        slots = self.constituents.shape[1] if len(getattr(self.constituents, "shape", ())) > 1 else "?"
        return f"{len(self):,} jets of {self.dataset.name}, up to {slots} particles"

    def _repr_html_(self) -> str:
        """Shows in a notebook what they have."""
        rows = {"classes": self.classes, "columns of particles": self.particle_names, "of jets": self.observable_names}
        return table_html(self._title(), {name: some_names(names, 30) or "none" for name, names in rows.items()})

    def __getitem__(self, rows: slice | np.ndarray) -> Jets:
        """The jets of these rows, read into memory.

        Raises:
          TypeError: the rows are no slice and no one-dimensional array.
        """
        import numpy as np

        key: Any = rows
        if not isinstance(key, slice) and (isinstance(key, tuple) or np.ndim(key) != 1):
            raise TypeError(f"index jets with a slice or a one-dimensional array, such as jets[3:4]; found {rows!r}")
        return self._take(rows)

    def _take(self, rows: slice | np.ndarray) -> Jets:
        return dataclasses.replace(
            self,
            constituents=self.constituents[rows],
            mask=self.mask[rows],
            observables=self.observables[rows],
            labels=None if self.labels is None else self.labels[rows],
            weights=None if self.weights is None else self.weights[rows],
            images={name: image[rows] for name, image in self.images.items()},
        )


class Sequences(NamedTuple):
    """The particles of N jets as padded lists of F named columns."""

    values: Any
    """(N, P, F) float32; padding is 0."""
    mask: Any
    """(N, P) bool, True for a particle; a jet's particles come first, its padding last."""

    @property
    def lengths(self) -> Any:
        """(N,) integer, the particles of each jet."""
        return self.mask.sum(-1)


class ParticleInputs(NamedTuple):
    """The particles of N jets for a network that asks for more than scaled columns."""

    values: Any
    """(N, P, F) float32, scaled; padding is 0."""
    mask: Any
    """(N, P) bool, True for a particle; a jet's particles come first, its padding last."""
    points: Any = None
    """(N, P, 2) float32 places relative to the jet, Δη and Δφ in radians; None where they are not asked for."""
    momenta: Any = None
    """(N, P, 4) float32 px, py, pz and energy, GeV; None where they are not asked for."""
    pairs: Any = None
    """(N, P (P + 1) / 2, 4) float32 features of pairs, those of particle i and j ≤ i at i (i + 1) / 2 + j; None where
    they are not asked for."""


class Batch(NamedTuple):
    """B examples of one fixed shape."""

    inputs: Any
    """A pytree of arrays whose first axis is B."""
    targets: Array
    """(B,) int32 class indices, or (B, D) float32 for regression; padding is 0."""
    weights: Array
    """(B,) float32 example weights of any sign; padding is 0 and therefore counts nowhere."""
    nuisance: Array | None = None
    """(B,) float32 ranks, from 0 to 1, of what the answers shall not tell; None where there is no such thing."""
    taught: Array | None = None
    """(B, K) float32, what a trained model predicts for the same examples; None where there is no teacher."""

    @property
    def truth(self) -> tuple[Array, ...]:
        """Returns what a loss takes besides the predictions: targets, weights, and the nuisance and what is taught."""
        further = (each for each in (self.nuisance, self.taught) if each is not None)
        return (self.targets, self.weights, *further)


class Conditioned(NamedTuple):
    """Inputs of a network that is told what they are of."""

    values: Any
    """(B, ...) float32."""
    condition: Array
    """(B, K) float32, such as the class as 0 and 1."""


class Reconstruction(NamedTuple):
    """The output of an autoencoder for B examples."""

    values: Array
    """(B, ...) float32, its inputs as it gives them back."""
    mean: Array
    """(B, L) float32, of the latent distribution; the code itself where there is no distribution."""
    log_variance: Array
    """(B, L) float32, of the latent distribution; (B, 0) where there is none."""


class Window(NamedTuple):
    """Examples that lie on D devices, and K steps over them."""

    data: tuple[Batch, ...]
    """One for each length that jets are padded to; its arrays are (D, n, ...), n examples a device."""
    bucket: Array
    """(K,) int32, the place in `data` of each step's examples; len(data) for a step that only fills up the window."""
    examples: Array
    """(K, D, b) int32, the b examples that each device gives to a step, out of its n; -1 fills up. Of M trainings at
    once (K, M, 1, b), for all of them share the examples of `data`."""


class TrainState(NamedTuple):
    """The values that a training step reads and writes."""

    params: PyTree
    model_state: PyTree
    """The model's other variables, such as running averages; an empty dict where it has none."""
    opt_state: PyTree
    step: Array
    """() int32, the number of steps done."""
    key: Array
    """() typed PRNG key; step s draws from `fold_in(key, s)`."""
    average: PyTree = ()
    """The moving averages of `params` and `model_state`, as a pair; () where none are kept."""


class StepMetrics(NamedTuple):
    """The measurements of a step."""

    loss: Array
    """() the batch's loss, penalty left out."""
    weight: Array
    """() the batch's total weight."""
    size: Array
    """() the sum of the absolute values of its weights, by which the loss counts; 0 for a step that takes nothing."""
    largest_gradient: PyTree
    """() the largest absolute gradient in each parameter array."""
    finite: Array
    """() bool, whether the loss, all gradients and all new parameters are."""


class EvalMetrics(NamedTuple):
    """Sums over a batch, to be added up and divided by the weight, and the model's answers."""

    loss: Array
    """() weighted sum."""
    correct: Array
    """() total weight of the examples whose largest logit is the true class; NaN where targets are no classes."""
    weight: Array
    """() total weight."""
    outputs: Array
    """(B, ...) what the model said, padding too."""


class Epoch(NamedTuple):
    """A row of the history."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    jets_per_second: float
    waiting: float = 0.0
    """The share of the seconds spent waiting for input."""


class Progress(NamedTuple):
    """The progress of a training, without its states."""

    epoch: int = 0
    """Epochs done."""
    best_loss: float = float("inf")
    """The lowest validation loss so far; infinite before the first epoch."""
    epochs_without_improvement: int = 0
    """Epochs since the validation loss last fell by the minimum change."""
    best_counted_loss: float = float("inf")
    """The validation loss that the next must undercut by the minimum change."""
    history: tuple[Epoch, ...] = ()
    divergence: str = ""
    """Where and how the training diverged, which ended it; empty where it did not."""


class Ensemble(NamedTuple):
    """The state of one or several trainings after some epochs: what is saved, and all that is needed to go on."""

    state: TrainState
    """Of a single training. Of M trainings at once each array has a first axis of M or more: further states, which
    nothing is trained for, fill up the devices."""
    best: TrainState
    """The same, each with the lowest validation loss so far."""
    members: tuple[Progress, ...]
    """M of them."""

    @property
    def stacked(self) -> bool:
        """Returns whether the states have an axis of members."""
        return len(self.state.step.shape) > 0

    @property
    def furthest(self) -> Progress:
        """The progress of the member that has done the most epochs."""
        return max(self.members, key=lambda member: member.epoch)

    @property
    def history(self) -> tuple[Epoch, ...]:
        """The epochs of the member that has done the most."""
        return self.furthest.history


class Scaling(NamedTuple):
    """Statistics of the training part, to standardize by: (x - mean) / std; values far outside are not counted."""

    mean: Array
    """(F,) float32."""
    std: Array
    """(F,) float32; 1 where a feature is constant."""


class Moments(NamedTuple):
    """The contribution of some rows to the statistics of all."""

    rows: float
    """How many."""
    mean: Array
    """(F,) float64, of all values but the suspects."""
    squares: Array
    """(F,) float64, the sum of squared distances to the mean, of the same values."""
    suspects: Any = ()
    """(K, 2) float64, the columns and values of what may lie far outside the rest; () for none."""


class Scores(NamedTuple):
    """A classifier's answer to N jets."""

    scores: Array
    """(N, C) class probabilities."""
    labels: Array
    """(N,) integer class indices."""
    weights: Array | None
    """(N,) example weights; None is 1 for each."""
    classes: tuple[str, ...]
    """The C class names, in the order of the columns of `scores`."""


# Arrays are shown by their shapes.
for _kind in (
    Dataset, Sequences, ParticleInputs, Batch, Conditioned, Reconstruction, Window, TrainState, StepMetrics,
    EvalMetrics, Progress, Ensemble, Scaling, Moments, Scores,
):  # fmt: skip
    _kind.__repr__ = short_repr  # type: ignore[method-assign]
