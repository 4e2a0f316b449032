"""The training step and the evaluation step, as pure functions to be compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax

from hepjax.training.averaging import average_over_steps
from hepjax.training.pieces import gradients_in_pieces
from hepjax.types import EvalMetrics, StepMetrics, TrainState

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array, Batch, PyTree

    TrainStep = Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]]
    EvalStep = Callable[[TrainState, Batch], EvalMetrics]


def make_train_step(
    apply: Callable[..., Any],
    loss: Callable[..., jax.Array],
    optimizer: optax.GradientTransformationExtraArgs,
    penalty: Callable[[PyTree], jax.Array] = lambda params: jnp.zeros(()),  # noqa: ARG005
    *,
    axis: str | None = None,
    pieces: int = 1,
    average: float | None = None,
) -> TrainStep:
    """Makes the step: gradients of loss and penalty on one batch, the optimizer's update, and the moving average.

    Args:
      apply: (params, model_state, inputs, mask, key) → (outputs, model_state).
      loss: (outputs, targets, weights) → () mean over the true examples; given the nuisance too where batches have one.
      optimizer: any optax transformation that takes extra arguments; it is given `value`, the loss.
      penalty: params → () term added to the loss.
      axis: the name of the devices' axis where each runs the step on its share of the batch, as under `jax.shard_map`
        or `jax.pmap`; None where the batch is whole.
      pieces: into how many a device's share of the batch is divided, to be computed one after another; see
        `pieces.gradients_in_pieces`.
      average: the decay of the moving average of parameters and other variables; None keeps none. States from `start`
        must then have one.

    Returns:
      The function (state, batch) → (state, metrics).
    """

    def mean_over_devices(x: PyTree) -> PyTree:
        return x if axis is None else jax.lax.pmean(x, axis)

    def gradients(state: TrainState, batch: Batch, key: jax.Array) -> Any:
        mask = batch.weights != 0

        def loss_of(outputs: Any) -> jax.Array:
            return loss(*_gather_device_shares((outputs, *batch.truth), axis))

        def objective(params: PyTree) -> tuple[jax.Array, tuple[jax.Array, PyTree]]:
            outputs, model_state = apply(params, state.model_state, batch.inputs, mask, key)
            value = loss_of(outputs)
            return value + penalty(params), (value, model_state)

        if pieces == 1:
            return jax.grad(objective, has_aux=True)(state.params)
        of_loss, others = gradients_in_pieces(
            apply, loss_of, pieces, state.params, state.model_state, (batch.inputs, mask), key
        )
        return jax.tree.map(jnp.add, of_loss, jax.grad(penalty)(state.params)), others

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        key = jax.random.fold_in(state.key, state.step)
        key = key if axis is None else jax.random.fold_in(key, jax.lax.axis_index(axis))
        # Each device has the gradient of the whole loss through its own share, as often as there are devices.
        grads, (value, model_state) = mean_over_devices(gradients(state, batch, key))
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params, value=value)
        params = optax.apply_updates(state.params, updates)
        largest = jax.tree.map(lambda x: jnp.max(jnp.abs(x)), grads)
        nothing = sum(jnp.sum(0 * x) for x in jax.tree.leaves(params))  # NaN where a parameter is not finite
        finite = jnp.isfinite(jnp.stack([value, nothing, *jax.tree.leaves(largest)])).all()
        weights = _gather_device_shares(batch.weights, axis)
        metrics = StepMetrics(value, jnp.sum(weights), jnp.sum(jnp.abs(weights)), largest, finite)
        kept = state.average
        if average is not None:
            kept = average_over_steps(kept, (params, model_state), state.step + 1, average)
        return TrainState(params, model_state, opt_state, state.step + 1, state.key, kept), metrics

    return step


def make_eval_step(apply: Callable[..., Any], loss: Callable[..., jax.Array], *, axis: str | None = None) -> EvalStep:
    """Makes the evaluation of one batch, without dropout and with running averages.

    Args:
      apply: (params, model_state, inputs, mask, key) → (outputs, model_state).
      loss: (outputs, targets, weights) → () mean over the true examples.
      axis: as in `make_train_step`; the sums are then those of the whole batch, the outputs each device's own.

    Returns:
      The function (state, batch) → sums and outputs.
    """

    def step(state: TrainState, batch: Batch) -> EvalMetrics:
        outputs, _ = apply(state.params, state.model_state, batch.inputs, batch.weights != 0, None)
        together, targets, weights, *nuisance = _gather_device_shares((outputs, *batch.truth), axis)
        total, value = jnp.sum(jnp.abs(weights)), loss(together, targets, weights, *nuisance)
        correct = jnp.sum(_count_correct(together, targets) * weights)
        return EvalMetrics(value * total, correct, jnp.sum(weights), outputs)

    return step


def _gather_device_shares(x: PyTree, axis: str | None) -> PyTree:
    """Gathers every device's share of a batch on each; the loss of all is then one number, whatever the weights."""
    return x if axis is None else jax.lax.all_gather(x, axis, tiled=True)


def _count_correct(outputs: jax.Array, targets: Array) -> jax.Array:
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        return jnp.full(targets.shape[0], jnp.nan)
    predicted = jnp.argmax(outputs, axis=-1) if outputs.ndim > 1 else outputs > 0
    return predicted == targets
