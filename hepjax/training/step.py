"""The training step and the evaluation step, as pure functions to be compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from hepjax.types import TrainState

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array, Batch, PyTree


class StepMetrics(NamedTuple):
    """What a step tells of itself."""

    loss: jax.Array
    """() the batch's loss, penalty left out."""
    weight: jax.Array
    """() the batch's total weight."""
    largest_gradient: PyTree
    """() the largest absolute gradient in each parameter array."""
    finite: jax.Array
    """() bool, whether the loss, all gradients and all new parameters are."""


class EvalMetrics(NamedTuple):
    """Sums over a batch, to be added up and divided by the weight, and the model's answers."""

    loss: jax.Array
    """() weighted sum."""
    correct: jax.Array
    """() total weight of the examples whose largest logit is the true class; 0 for regression."""
    weight: jax.Array
    """() total weight."""
    outputs: jax.Array
    """(B, ...) what the model said, padding too."""


def make_train_step(
    apply: Callable[..., Any],
    loss: Callable[..., jax.Array],
    optimizer: optax.GradientTransformationExtraArgs,
    penalty: Callable[[PyTree], jax.Array] = lambda params: jnp.zeros(()),  # noqa: ARG005
) -> Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]]:
    """The step: gradients of loss and penalty on one batch, and the optimizer's update.

    Args:
      apply: (params, model_state, inputs, mask, key) → (outputs, model_state).
      loss: (outputs, targets, weights) → () mean over the true examples.
      optimizer: any optax transformation that takes extra arguments; it is given `value`, the loss.
      penalty: params → () term added to the loss.

    Returns:
      The function (state, batch) → (state, metrics).
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        def objective(params: PyTree) -> tuple[jax.Array, tuple[jax.Array, PyTree]]:
            key = jax.random.fold_in(state.key, state.step)
            outputs, model_state = apply(params, state.model_state, batch.inputs, batch.weights > 0, key)
            value = loss(outputs, batch.targets, batch.weights)
            return value + penalty(params), (value, model_state)

        grads, (value, model_state) = jax.grad(objective, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params, value=value)
        params = optax.apply_updates(state.params, updates)
        largest, size = jax.tree.map(lambda x: jnp.max(jnp.abs(x)), (grads, params))
        finite = jnp.isfinite(jnp.stack([value, *jax.tree.leaves((largest, size))])).all()
        metrics = StepMetrics(value, jnp.sum(batch.weights), largest, finite)
        return TrainState(params, model_state, opt_state, state.step + 1, state.key), metrics

    return step


def make_eval_step(
    apply: Callable[..., Any], loss: Callable[..., jax.Array]
) -> Callable[[TrainState, Batch], EvalMetrics]:
    """The evaluation of one batch, without dropout and with running averages.

    Args:
      apply: (params, model_state, inputs, mask, key) → (outputs, model_state).
      loss: (outputs, targets, weights) → () mean over the true examples.

    Returns:
      The function (state, batch) → sums and answers.
    """

    def step(state: TrainState, batch: Batch) -> EvalMetrics:
        outputs, _ = apply(state.params, state.model_state, batch.inputs, batch.weights > 0, None)
        weight = jnp.sum(batch.weights)
        value = loss(outputs, batch.targets, batch.weights)
        correct = jnp.sum(_correct(outputs, batch.targets) * batch.weights)
        return EvalMetrics(value * weight, correct, weight, outputs)

    return step


def _correct(outputs: jax.Array, targets: Array) -> jax.Array:
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        return jnp.zeros(targets.shape[0])
    predicted = jnp.argmax(outputs, axis=-1) if outputs.ndim > 1 else outputs > 0
    return predicted == targets
