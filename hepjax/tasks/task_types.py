"""The structures that tasks and drivers hand to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from hepjax.types.short_repr import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import jax
    import numpy as np

    from hepjax.choices import Precision
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.models import Apply
    from hepjax.types import Dataset, Jets, PyTree, Scaling


class Layout(NamedTuple):
    """The names that a task's predictions have in files."""

    values: str = "predictions"
    """Dataset (N, K) of the predictions."""
    targets: str = "targets"
    """Dataset (N,) or (N, D) of the targets."""
    columns: str = "columns"
    """Attribute that names the K columns."""
    exported: str = "predictions"
    """The output of an exported file."""


class TrainedOn(TypedDict):
    """How many jets of a part are training jets."""

    jets: int
    of: int
    """All jets of the part."""
    share: float


class _Needed(TypedDict):
    loss: float


class Figures(_Needed, total=False):
    """The content of metrics.json, whatever the task; `loss` is always there."""

    intervals: dict[str, Any] | None
    verdict: dict[str, str]
    best_epoch: int | None
    calibration: dict[str, float | None]
    bias_and_variance: dict[str, float]
    members: dict[str, dict[str, Any]]
    """The figures of each of several trainings."""
    spread: dict[str, Any]
    """The standard deviation of each figure over them."""
    diverged: dict[str, str]
    trained_on: dict[str, TrainedOn]
    """Of the parts "val" and "test", where they have training jets."""


class Predictions(NamedTuple):
    """The predictions of a trained model for N jets, and what is known of the jets."""

    values: np.ndarray
    """(N, K) float32: class probabilities, or numbers in the targets' units."""
    targets: np.ndarray | None
    """(N,) int32 or (N, D) float32, where known."""
    columns: tuple[str, ...]
    """The names of the K columns."""
    rows: np.ndarray | None = None
    """(N,) int64, the jets' rows in their files, where these are not all."""
    observables: Mapping[str, np.ndarray] = {}
    """Name → (N,) or (N, …) float32, what is known of the jets themselves; figures of merit may be binned in it."""
    weights: np.ndarray | None = None
    """(N,) of the jets; None is 1 for each."""
    additions: Mapping[str, np.ndarray] = {}
    """Name → (N,) or (N, …) float32, what `Task.complete` has added by the trained networks."""

    def __repr__(self) -> str:
        """Shows arrays by their shapes."""
        return short_repr(self)

    def take(self, places: np.ndarray | slice) -> Predictions:
        """Returns the predictions of some of the jets.

        Args:
          places: (n,) integers or bool, or a slice.
        """
        return self._replace(
            values=self.values[places],
            targets=None if self.targets is None else self.targets[places],
            rows=None if self.rows is None else self.rows[places],
            observables={name: values[places] for name, values in self.observables.items()},
            weights=None if self.weights is None else self.weights[places],
            additions={name: values[places] for name, values in self.additions.items()},
        )


class Objective(NamedTuple):
    """The function that is trained, its loss and penalties."""

    apply: Apply
    """(params, model_state, inputs, mask, key) → (outputs, model_state); what is trained."""
    loss: Callable[..., jax.Array]
    """(outputs, targets, weights) → () mean; given the nuisance too where batches have one."""
    val_apply: Apply
    """The function of the network alone, for validation and predictions."""
    val_loss: Callable[..., jax.Array]
    """The loss of its outputs."""


class TrainedNetwork(NamedTuple):
    """A trained network, as a run folder keeps it."""

    pipeline: InputPipeline
    params: PyTree
    model_state: PyTree
    scaling: Scaling
    precision: Precision
    statistics: Mapping[str, np.ndarray]
    """What the task has computed of the training targets, and of the outputs after the training."""

    def __repr__(self) -> str:
        """Shows arrays by their shapes."""
        return short_repr(self)


class Case(NamedTuple):
    """A trained model and some of its test jets, in memory, to look at how it predicts."""

    jets: Jets
    """n jets, of which no other array here has more."""
    targets: np.ndarray
    """(n,) or (n, D)."""
    outputs: tuple[str, ...]
    """The names of the K columns of predictions."""
    pipeline: InputPipeline
    """How the jets are loaded."""
    predict: Callable[[Any], np.ndarray]
    """What the pipeline loads of n jets → (n, K) predictions."""
    networks: Sequence[TrainedNetwork]
    """One or more, whose predictions are combined."""
    member: str
    """The name of the fold that the networks are of, or ""."""


class Results(NamedTuple):
    """A finished run, to be reported on."""

    metrics: Mapping[str, Any]
    """What metrics.json holds."""
    test: Predictions | None
    """The predictions of the test jets; None where an older hepjax did not keep them."""
    dataset: Dataset
    """What the columns of the jets mean."""
    sizes: tuple[int, ...]
    """The training jets of each training of a learning curve."""
    read_case: Callable[[], Case]
    """Reads some test jets again; raises InputError where they are not there any more."""
