"""The loop: epochs of compiled blocks of steps, folded over a `Progress` that can be saved and gone on from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.training.schedules import learning_rate
from hepjax.training.stopping import should_stop, watch
from hepjax.types import Epoch, Progress, TrainState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import optax

    from hepjax.training.step import EvalStep, TrainStep
    from hepjax.training.windows import Programs, TrainWindow
    from hepjax.types import Batch, PyTree, StepMetrics, Window


_REMEDY = "lower the learning rate, clip gradients, or look for extreme values"


class DivergedError(InputError):
    """The loss, a gradient or a parameter became NaN or infinite; `state` is the last good one."""

    def __init__(self, message: str, state: TrainState) -> None:
        """Args: message, for the user; state, the last good one."""
        super().__init__(message)
        self.state = state


def start(params: PyTree, model_state: PyTree, optimizer: optax.GradientTransformation, key: jax.Array) -> Progress:
    """A training before its first epoch.

    Args:
      params: the model's parameters.
      model_state: its other variables.
      optimizer: the optax transformation.
      key: () typed PRNG key of the run.

    Returns:
      The progress that `fit` starts from.
    """
    state = TrainState(params, model_state, optimizer.init(params), jnp.zeros((), jnp.int32), key)
    return Progress(0, state, state, float("inf"), 0, float("inf"), ())


def fit(
    progress: Progress,
    train: Callable[[int], Iterable[Window]],
    val: Callable[[], Iterable[Batch]],
    programs: Programs,
    *,
    epochs: int,
    schedule: optax.Schedule,
    patience: int | None = None,
    min_change: float = 0.0,
    on_epoch: Callable[[Progress], None] = lambda progress: None,  # noqa: ARG005
) -> Progress:
    """Trains until `epochs` are done or the validation loss has stopped falling.

    Args:
      progress: from `start`, or saved after an earlier epoch.
      train: epoch number, from 1 → windows of steps; a window is one compiled program.
      val: → batches of few shapes.
      programs: the compiled steps over a window, and evaluation of a batch; from `compile_here`.
      epochs: the total, those already done included.
      schedule: step → learning rate, for the history.
      patience: epochs to wait for the validation loss to fall; None never stops early.
      min_change: by how much it must fall to count.
      on_epoch: called after each epoch, to save and to show.

    Returns:
      The progress at the end; `best` is the state with the lowest validation loss.

    Raises:
      DivergedError: a loss, gradient or parameter is not finite.
    """
    run_window, evaluate = programs
    while progress.epoch < epochs and not should_stop(progress, patience):
        state, loss, weight, seconds, waiting = _train_epoch(run_window, progress.state, train(progress.epoch + 1))
        val_loss, val_accuracy = _evaluate(evaluate, state, val())
        if not np.isfinite(val_loss):
            words = f"training diverged: the validation loss is {val_loss:g} after step {int(state.step)}; {_REMEDY}"
            raise DivergedError(words, progress.state)
        row = Epoch(
            epoch=progress.epoch + 1,
            train_loss=loss / weight,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=learning_rate(schedule, state),
            seconds=seconds,
            jets_per_second=weight / seconds,
            waiting=waiting / seconds,
        )
        progress = watch(progress, state, row, min_change)
        on_epoch(progress)
    return progress


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


def _train_epoch(
    run_window: TrainWindow, state: TrainState, windows: Iterable[Window]
) -> tuple[TrainState, float, float, float, float]:
    """The state after all windows; the sums of loss and weight; the seconds, and those of them spent waiting."""
    # The program donates its state, so it is given a copy: the last epoch's stays alive.
    state, start = jax.tree.map(jnp.copy, state), time.perf_counter()
    loss = weight = waiting = 0.0
    coming = iter(windows)
    while True:
        asked = time.perf_counter()
        window = next(coming, None)
        waiting += time.perf_counter() - asked
        if window is None:
            return state, loss, weight, time.perf_counter() - start, waiting
        state, metrics = run_window(state, window)
        metrics = jax.device_get(metrics)
        if not metrics.finite.all():
            raise _diverged(state, metrics)
        loss += float(np.sum(metrics.loss * metrics.weight, dtype=np.float64))
        weight += float(np.sum(metrics.weight, dtype=np.float64))


def _evaluate(eval_step: EvalStep, state: TrainState, batches: Iterable[Batch]) -> tuple[float, float]:
    """Mean loss and accuracy over all batches, added up in float64."""
    rows = [jax.device_get(eval_step(state, batch)[:3]) for batch in batches]
    loss, correct, weight = (float(sum(np.float64(x) for x in column)) for column in zip(*rows, strict=True))
    return loss / weight, correct / weight


def _diverged(state: TrainState, metrics: StepMetrics) -> DivergedError:
    first = int(np.argmin(metrics.finite))
    largest = {
        jax.tree_util.keystr(path, simple=True, separator="/"): float(size[first])
        for path, size in jax.tree_util.tree_leaves_with_path(metrics.largest_gradient)
    }
    name = max(largest, key=lambda name: np.nan_to_num(largest[name], nan=np.inf))
    return DivergedError(
        f"training diverged at step {int(state.step) + 1}: the loss is {metrics.loss[first]:g} and the largest "
        f"gradient {largest[name]:g}, in {name}; {_REMEDY}",
        state,
    )
