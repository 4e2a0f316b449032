"""The loop: epochs of compiled windows of steps, folded over an `Ensemble` that can be saved and gone on from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.choices import Optimizer, Schedule
from hepjax.errors import InputError
from hepjax.training.averaging import averaged
from hepjax.training.ensembles import choose_member_states, start, window_of_active_members
from hepjax.training.optimizers import make_optimizer
from hepjax.training.schedules import learning_rates, make_schedule
from hepjax.training.step import make_train_step
from hepjax.training.stopping import should_stop, watch_validation_loss
from hepjax.types import Ensemble, Epoch, TrainState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import optax

    from hepjax.training.step import TrainStep
    from hepjax.training.window_programs import Programs
    from hepjax.types import Batch, PyTree, StepMetrics, Window


_REMEDY = "lower the learning rate, clip gradients, or look for extreme values"


class DivergedError(InputError):
    """The loss, a gradient or a parameter of every training became NaN or infinite."""

    def __init__(self, message: str, ensemble: Ensemble) -> None:
        """Args: message, for the user; ensemble, the trainings, each with its last good state."""
        super().__init__(message)
        self.ensemble = ensemble

    @property
    def state(self) -> TrainState:
        """The last good state; of several trainings at once those of all."""
        return self.ensemble.state


def fit(
    ensemble: Ensemble,
    train: Callable[[int], Iterable[Window]],
    val: Callable[[], Iterable[Any]],
    programs: Programs,
    *,
    epochs: int,
    schedule: optax.Schedule | None,
    patience: int | None = None,
    min_change: float = 0.0,
    on_epoch: Callable[[Ensemble], object] = lambda ensemble: None,  # noqa: ARG005
) -> Ensemble:
    """Trains until each member has done `epochs`, its validation loss has stopped falling, or it has diverged.

    A member that diverges keeps its last good state, and the others go on.

    Args:
      ensemble: from `start`, or saved after an earlier epoch.
      train: epoch number, from 1 → windows of steps; a window is one compiled program.
      val: → what `programs.evaluate` takes, in few shapes.
      programs: the compiled steps over a window, and the evaluation.
      epochs: the total, those already done included.
      schedule: step → learning rate, for the history; None takes it from the optimizer's state, and is NaN where that
        does not hold it.
      patience: epochs to wait for the validation loss to fall; None never stops early.
      min_change: by how much it must fall to count.
      on_epoch: called after each epoch, to save and to show; the training ends where it returns True.

    Returns:
      The trainings at the end; `best` is the state with the lowest validation loss. Where moving averages of the
      parameters are kept, they are validated, and `best` has them as its parameters.

    Raises:
      DivergedError: a loss, gradient or parameter of every member is not finite.
    """
    while any(active := [p.epoch < epochs and not should_stop(p, patience) for p in ensemble.members]):
        # States that fill up the devices have no examples either.
        rows = np.pad(np.array(active), (0, _count_state_rows(ensemble) - len(active)))
        number = ensemble.furthest.epoch + 1
        trained = _train_epoch(programs, ensemble, rows, train(number))
        ensemble = _end_epoch(programs, ensemble, trained, number, val, schedule, min_change)
        if all(progress.divergence for progress in ensemble.members):
            raise DivergedError(_all_diverged_text(ensemble), ensemble)
        if on_epoch(ensemble) is True:
            break
    return ensemble


def run_steps(train_step: TrainStep, state: TrainState, batch: Batch, steps: int) -> tuple[TrainState, StepMetrics]:
    """Takes many steps on one batch, which is plain gradient descent where the batch is all the data.

    Pure, to be compiled and lifted with `vmap`; nothing is saved or watched.

    Args:
      train_step: from `make_train_step`.
      state: to start from.
      batch: JAX arrays.
      steps: how many.

    Returns:
      The state after them, and their metrics, stacked.
    """
    return jax.lax.scan(lambda state, _: train_step(state, batch), state, length=steps)


def fit_full_batch(
    apply: Callable[..., Any],
    loss: Callable[..., jax.Array],
    params: PyTree,
    model_state: PyTree,
    data: Batch,
    key: jax.Array,
    *,
    learning_rate: float,
    steps: int,
) -> tuple[TrainState, StepMetrics]:
    """Fits by plain gradient descent on all the data at once, with Adam at a rate that falls to 0.

    Pure, to be compiled and lifted with `vmap`; nothing is saved or watched.

    Args:
      apply: as in `make_train_step`.
      loss: as in `make_train_step`.
      params: the first parameters.
      model_state: the model's other variables.
      data: JAX arrays.
      key: () typed PRNG key, for dropout.
      learning_rate: the first.
      steps: how many.

    Returns:
      The state after them, and their metrics, stacked.

    >>> from hepjax.training.losses import mean_squared_error
    >>> from hepjax.types import Batch
    >>> data = Batch(jnp.arange(3.0)[:, None], 2 * jnp.arange(3.0)[:, None], jnp.ones(3))
    >>> def apply(params, model_state, inputs, mask, key):
    ...     return params * inputs, model_state
    >>> key = jax.random.key(0)
    >>> state, _ = fit_full_batch(apply, mean_squared_error, jnp.ones(()), {}, data, key, learning_rate=0.1, steps=300)
    >>> round(float(state.params), 2)
    2.0
    """
    optimizer = make_optimizer(Optimizer.ADAM, make_schedule(Schedule.COSINE, learning_rate, steps=steps))
    first = start(params, model_state, optimizer, key).state
    return run_steps(make_train_step(apply, loss, optimizer), first, data, steps)


class _Trained(NamedTuple):
    """The steps of an epoch, taken; R is the number of states, 1 for a single training."""

    state: TrainState
    active: np.ndarray
    """(R,) bool, the members that are trained still."""
    loss: np.ndarray
    """(R,) float64, the sum over all examples."""
    weight: np.ndarray
    """(R,) float64, of all examples."""
    divergences: dict[int, str]
    """Where and how members diverged."""
    seconds: float
    waiting: float
    """Those of the seconds that were spent waiting for input."""


@jax.jit
def _copy_state(state: TrainState) -> TrainState:
    return jax.tree.map(jnp.copy, state)  # type: ignore[no-any-return]


def _train_epoch(programs: Programs, ensemble: Ensemble, active: np.ndarray, windows: Iterable[Window]) -> _Trained:
    # The program donates its state, so it is given a copy: the last epoch's stays alive.
    state, start = _copy_state(ensemble.state), time.perf_counter()
    loss, weight = np.zeros((2, len(active)))
    waiting, divergences, coming = 0.0, {}, iter(windows)
    while active.any():
        asked = time.perf_counter()
        window = next(coming, None)
        waiting += time.perf_counter() - asked
        if window is None:
            break
        state, of_steps = programs.run_window(
            state, window_of_active_members(active, window) if ensemble.stacked else window
        )
        metrics = jax.tree.map(np.atleast_2d, jax.device_get(of_steps))  # (R, K)
        finite = metrics.finite.all(axis=1)
        for i in np.flatnonzero(active & ~finite):
            steps_done = np.atleast_1d(state.step)[i]
            divergences[int(i)] = _describe_diverged_step(steps_done, jax.tree.map(lambda x, i=i: x[i], metrics))
        active = active & finite
        loss[active] += np.sum(metrics.loss[active] * metrics.size[active], axis=1, dtype=np.float64)
        weight[active] += np.sum(metrics.weight[active], axis=1, dtype=np.float64)
    return _Trained(state, active, loss, weight, divergences, time.perf_counter() - start, waiting)


def _end_epoch(
    programs: Programs,
    ensemble: Ensemble,
    trained: _Trained,
    number: int,
    val: Callable[[], Iterable[Any]],
    schedule: optax.Schedule | None,
    min_change: float,
) -> Ensemble:
    """Validates, and adds the epoch to the progress of each member that was trained to its end."""
    state, active, divergences = trained.state, trained.active, dict(trained.divergences)
    val_loss, val_accuracy = np.zeros((2, len(active)))
    if active.any():
        val_loss, val_accuracy = _evaluate_members(programs, averaged(state), val(), len(active))
    lost = active & ~np.isfinite(val_loss)
    if lost.any():
        steps = np.atleast_1d(state.step)
        for i in lost.nonzero()[0].tolist():
            divergences[i] = f"after step {steps[i]}: the validation loss is {val_loss[i]:g}"
        state = choose_member_states(~lost, state, ensemble.state)
    rates, members, better = learning_rates(schedule, state), list(ensemble.members), np.zeros(len(active), bool)
    for i, progress in enumerate(ensemble.members):
        if i in divergences:
            members[i] = progress._replace(divergence=divergences[i])
        elif trained.active[i]:
            row = Epoch(
                epoch=number,
                train_loss=float(trained.loss[i] / trained.weight[i]),
                val_loss=float(val_loss[i]),
                val_accuracy=float(val_accuracy[i]),
                learning_rate=float(rates[i]),
                seconds=trained.seconds,
                jets_per_second=float(trained.weight[i] / trained.seconds),
                waiting=trained.waiting / trained.seconds,
            )
            members[i] = watch_validation_loss(progress, row, min_change)
            better[i] = members[i].best_loss < progress.best_loss
    best = choose_member_states(better, averaged(state), ensemble.best) if better.any() else ensemble.best
    return Ensemble(state, best, tuple(members))


def _evaluate_members(
    programs: Programs, state: TrainState, batches: Iterable[Any], rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Computes (R,) mean losses and accuracies over all batches, added up in float64."""
    sums = np.zeros((3, rows))
    for batch in batches:
        sums += np.array(jax.device_get(programs.evaluate(state, batch)[:3]), np.float64).reshape(3, rows, -1).sum(2)
    loss, correct, weight = sums
    counted = np.where(weight > 0, weight, 1)
    return loss / counted, correct / counted


def _count_state_rows(ensemble: Ensemble) -> int:
    """Counts the states: the members, and those that fill up the devices."""
    return int(ensemble.state.step.size)


def _describe_diverged_step(steps_done: int, metrics: StepMetrics) -> str:
    """Says what was not finite in the first bad one of the K steps of one training."""
    first = int(np.argmin(metrics.finite))
    largest = {
        jax.tree_util.keystr(path, simple=True, separator="/"): float(size[first])
        for path, size in jax.tree_util.tree_leaves_with_path(metrics.largest_gradient)
    }
    name = max(largest, key=lambda name: np.nan_to_num(largest[name], nan=np.inf))
    return (
        f"at step {int(steps_done) + 1}: the loss is {metrics.loss[first]:g} and the largest gradient "
        f"{largest[name]:g}, in {name}"
    )


def _all_diverged_text(ensemble: Ensemble) -> str:
    """Says for the user how the trainings diverged."""
    count, first = len(ensemble.members), ensemble.members[0].divergence
    trainings = "training diverged" if count == 1 else f"all {count} trainings diverged, the first"
    return f"{trainings} {first}; {_REMEDY}"
