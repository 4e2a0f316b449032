"""Optimizers by name, with clipping and a reduction on plateaus."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import optax
import optax.contrib

from hepjax.choices import Optimizer, choose
from hepjax.errors import InputError
from hepjax.training.body_rates import Body, with_body_rate
from hepjax.training.ranger import lookahead, rectified_adam
from hepjax.training.weights import mask_of_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array, PyTree


def make_optimizer(
    kind: Optimizer | str,
    schedule: optax.Schedule,
    *,
    momentum: float | None = None,
    weight_decay: float | None = None,
    clip_norm: float | None = None,
    plateau_patience: int | None = None,
    steps_per_epoch: int = 1,
    peak: float | None = None,
    body: Body | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Makes an optax optimizer.

    Args:
      kind: which; a name, such as "adam", will do.
      schedule: step → learning rate.
      momentum: for the optimizers that have one.
      weight_decay: for the optimizers that have one; of weights proper alone, as `weights.mask_of_weights` tells, but
        for novograd, which decays all.
      clip_norm: the global norm that gradients are clipped to; None does not clip.
      plateau_patience: epochs without a fall of the training loss after which the learning rate is divided by ten;
        None never.
      steps_per_epoch: needed for plateaus.
      peak: a factor on the schedule that lies in the state, as the hyperparameter `learning_rate`, so that several
        trainings at once can have one each; see `with_rates`. None leaves it out.
      body: the parameters that have another rate; None is none of them.

    Returns:
      The transformation; its update takes `value`, the loss.

    Raises:
      InputError: there is no such optimizer, or it has no momentum or weight decay and one is given.

    >>> from hepjax.choices import Optimizer
    >>> optimizer = make_optimizer(Optimizer.SGD, optax.constant_schedule(0.5), momentum=0.9)
    >>> updates, _ = optimizer.update({"w": 1.0}, optimizer.init({"w": 0.0}), {"w": 0.0}, value=1.0)
    >>> float(updates["w"])
    -0.5
    """
    kind = choose(Optimizer, kind, "kind")
    if kind is Optimizer.OWN:
        raise InputError("optimizer: own is a transformation of optax, which is given itself; see docs/own-model.md")
    make: Callable[..., Any] = rectified_adam if kind is Optimizer.RANGER else getattr(optax, kind.value)
    accepted = inspect.signature(make).parameters
    given = {name: x for name, x in (("momentum", momentum), ("weight_decay", weight_decay)) if x is not None}
    for name in given:
        if name not in accepted:
            raise InputError(f"{name}: {kind.value} has none; leave it out or choose another optimizer")
    masks = {name: mask_of_weights for name in ("mask", "weight_decay_mask") if name in accepted}

    make = make if body is None else with_body_rate(make, body)

    def make_with(learning_rate: Any = None) -> optax.GradientTransformation:
        rates = schedule if learning_rate is None else lambda step: learning_rate * schedule(step)
        transformation: optax.GradientTransformation = make(rates, **given, **masks)
        return transformation

    parts = [make_with() if peak is None else optax.inject_hyperparams(make_with)(learning_rate=peak)]
    if clip_norm is not None:
        parts.insert(0, optax.clip_by_global_norm(clip_norm))
    if plateau_patience is not None:
        # Averaged over an epoch, so that the noise of single batches does not count.
        parts.append(optax.contrib.reduce_on_plateau(patience=plateau_patience, accumulation_size=steps_per_epoch))
    if kind is Optimizer.RANGER:
        parts.append(lookahead())
    return optax.with_extra_args_support(optax.chain(*parts))


def is_transformation(x: object) -> bool:
    """Returns whether something is an optimizer of optax.

    >>> is_transformation(optax.sgd(0.1)), is_transformation("sgd")
    (True, False)
    """
    return isinstance(x, optax.GradientTransformation)


def with_loss(transformation: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Makes any transformation of optax one that `make_train_step` takes: its update is given `value`, the loss.

    Args:
      transformation: that may pass over the loss.
    """
    return optax.with_extra_args_support(transformation)


def with_rates(opt_state: PyTree, rates: Array) -> PyTree:
    """Gives each of several trainings at once a learning rate of its own.

    Args:
      opt_state: stacked states of an optimizer with a `peak`.
      rates: (R,) what the schedule is multiplied by.

    Returns:
      The states.
    """
    return optax.tree.set(opt_state, learning_rate=jnp.asarray(rates))
