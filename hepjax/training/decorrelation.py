"""Answers that do not tell a nuisance: distance correlation, and an adversary behind a gradient reversal.

A nuisance is what a tagger shall not depend on, such as the jet mass or the energy scale. It comes as ranks, which lie
evenly between 0 and 1. Only jets of some classes count: of the others the nuisance may well be what tells them apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from hepjax.numerics import safe_divide, safe_sqrt, weighted_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.types import Array, PyTree

    Loss = Callable[..., jax.Array]
    Apply = Callable[..., tuple[Any, PyTree]]

ADVERSARY = "adversary"
"""The name of the adversary's parameters among the tagger's."""
BINS = 16
"""The adversary says in which of so many equal parts of the ranks a jet's nuisance lies."""

_GROUP = 1024
"""Jets at most of which all pairs are looked at."""


def distance_correlation(x: Any, y: Any, weights: Any = None) -> jax.Array:
    """Computes how much two quantities depend on each other in any way: their squared distance correlation.

    Of infinitely many jets it is 0 if and only if the two are independent; of N independent ones about 1/N or more.

    Args:
      x: (N, F) float, or (N,).
      y: (N, G) float, or (N,).
      weights: (N,) not negative; None is 1. A jet of weight 0 does not count, even where its numbers are NaN.

    Returns:
      () from 0 to 1; 0 where x or y is constant.

    Reference: G. Székely, M. Rizzo, N. Bakirov, arXiv:0803.4101, eq. 2.8 to 2.10; weighted as in G. Kasieczka, D. Shih,
    arXiv:2001.05310.

    >>> x = jnp.arange(50.0)
    >>> round(float(distance_correlation(x, -2 * x)), 4), round(float(distance_correlation(x, x % 2)), 3)
    (1.0, 0.002)
    """
    w = jnp.ones(len(x)) if weights is None else jnp.asarray(weights)
    share = safe_divide(w, jnp.sum(w))
    a, b = (
        _pairwise_distances(_zero_uncounted_rows(v.reshape(len(v), -1), w), share)
        for v in (jnp.asarray(x), jnp.asarray(y))
    )
    both = _distance_covariance(a, b, share @ (a.pairs * b.pairs) @ share, share)
    variances = [_distance_covariance(x, x, x.square, share) for x in (a, b)]
    correlation: jax.Array = safe_divide(both, safe_sqrt(variances[0] * variances[1]))
    return correlation


def signal_log_odds(logits: jax.Array, background: Array, signal: Sequence[int]) -> jax.Array:
    """Computes the log odds of each signal class against the background.

    Args:
      logits: (B, C).
      background: (C,) bool; a signal class may be one of them.
      signal: S class indices.

    Returns:
      (B, S) ln p_signal − ln Σ p over the background, without the signal class.

    >>> log_odds = signal_log_odds(jnp.log(jnp.array([[0.1, 0.1, 0.8]])), jnp.array([True, True, False]), [2])
    >>> log_odds.shape, round(float(log_odds[0, 0]), 3)
    ((1, 1), 1.386)
    """
    others = [jnp.where(jnp.asarray(background).at[c].set(False), logits, -jnp.inf) for c in signal]
    columns: list[jax.Array] = [logits[:, c] - jax.nn.logsumexp(x, axis=1) for c, x in zip(signal, others, strict=True)]
    return jnp.stack(columns, axis=1)


def correlation_loss(loss: Loss, strength: float, background: Array, signal: Sequence[int]) -> Loss:
    """Adds to a loss the distance correlation of predictions and nuisance (arXiv:2001.05310, eq. 10).

    A prediction is D = p_signal / (p_signal + p_background). Background jets count by their D: where D and the nuisance
    are independent, they are so under these weights too, and the few jets that a tight cut selects do not drown.

    Args:
      loss: (logits, labels, weights) → () mean.
      strength: what the squared distance correlation is multiplied by; that of several signal classes is averaged.
      background: (C,) bool, the classes whose jets count.
      signal: S class indices.

    Returns:
      (logits (B, C), labels (B,), weights (B,), nuisance (B,) ranks) → (). Of a large batch it is the mean of some
      groups of 1,024 jets or fewer.
    """
    each = jax.vmap(jax.vmap(distance_correlation, (0, None, 0)), (0, 0, 0))

    def total(logits: jax.Array, labels: jax.Array, weights: jax.Array, nuisance: jax.Array) -> jax.Array:
        counts = weights * jnp.asarray(background)[labels]
        predictions = jax.nn.sigmoid(signal_log_odds(_zero_uncounted_rows(logits, counts), background, signal))
        counts = counts[:, None] * jax.lax.stop_gradient(predictions)
        grouped = [_reshape_in_groups(x) for x in (predictions, nuisance, counts)]
        correlations = each(jnp.moveaxis(grouped[0], 2, 1), grouped[1], jnp.moveaxis(grouped[2], 2, 1))
        added: jax.Array = weighted_mean(correlations, jnp.sum(grouped[2], axis=1))
        return loss(logits, labels, weights) + strength * added

    return total


def make_adversarial_contest(
    apply: Apply, adversary: Apply, strength: float, background: Array, signal: Sequence[int]
) -> Apply:
    """Trains a tagger against an adversary, which reads the nuisance off its predictions (arXiv:1611.01046).

    The adversary learns to do so; behind the reversed gradient (arXiv:1505.07818, eq. 13 to 15) the tagger learns to
    prevent it.

    Args:
      apply: of the tagger, (params, model_state, inputs, mask, key) → (logits, model_state).
      adversary: the same of the adversary, from log odds (B, S) to logits of `BINS` parts.
      strength: of the reversed gradient.
      background: (C,) bool.
      signal: S class indices.

    Returns:
      The same function, whose parameters hold the adversary's as `ADVERSARY`; it gives the logits of both.
    """

    def both(
        params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None
    ) -> tuple[tuple[jax.Array, jax.Array], PyTree]:
        logits, model_state = apply(params, model_state, inputs, mask, key)
        predictions = reverse_gradient(signal_log_odds(logits, background, signal), strength)
        return (logits, adversary(params[ADVERSARY], {}, predictions, mask, key)[0]), model_state

    return both


def make_contest_loss(loss: Loss, background: Array, signal: Sequence[int]) -> Loss:
    """Makes the loss of a contest: the tagger's, less the nats that the adversary knows of the nuisance.

    Args:
      loss: (logits, labels, weights) → () mean.
      background: (C,) bool, the classes whose jets count, each by its mean D as in `correlation_loss`.
      signal: S class indices.

    Returns:
      (both logits, labels (B,), weights (B,), nuisance (B,) ranks) → ().
    """

    def total(
        outputs: tuple[jax.Array, jax.Array], labels: jax.Array, weights: jax.Array, nuisance: jax.Array
    ) -> jax.Array:
        logits, guess = outputs
        counts = weights * jnp.asarray(background)[labels]
        predictions = jax.nn.sigmoid(signal_log_odds(_zero_uncounted_rows(logits, counts), background, signal))
        counts = counts * jax.lax.stop_gradient(jnp.mean(predictions, axis=1))
        place = jnp.clip((nuisance * BINS).astype(jnp.int32), 0, BINS - 1)
        likely = jnp.take_along_axis(jax.nn.log_softmax(_zero_uncounted_rows(guess, counts)), place[:, None], axis=1)[
            :, 0
        ]
        known: jax.Array = weighted_mean(likely + jnp.log(BINS), counts)
        return loss(logits, labels, weights) - known

    return total


@jax.custom_vjp
def reverse_gradient(x: jax.Array, strength: float) -> jax.Array:  # noqa: ARG001
    """Returns its argument, whose gradient is multiplied by minus `strength` on its way back.

    Args:
      x: any shape.
      strength: how much.

    Returns:
      x.

    >>> float(reverse_gradient(jnp.float32(3), 2.0)), float(jax.grad(reverse_gradient)(jnp.float32(3), 2.0))
    (3.0, -2.0)
    """
    return x


reverse_gradient.defvjp(lambda x, strength: (x, strength), lambda strength, g: (-strength * g, None))


def without_adversary(params: PyTree) -> PyTree:
    """Takes the parameters of the adversary away.

    >>> without_adversary({"Dense_0": 1, ADVERSARY: 2})
    {'Dense_0': 1}
    """
    return {name: value for name, value in params.items() if name != ADVERSARY}


def _zero_uncounted_rows(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Sets (N, F) numbers to zero where the weight is, so that gradients are too."""
    return jnp.where(weights[:, None] > 0, x, 0)


class _Distances(NamedTuple):
    pairs: jax.Array
    """(N, N) the distance of each two jets."""
    rows: jax.Array
    """(N,) the mean distance of each to all."""
    square: jax.Array
    """() the mean of the squared distances, which is twice the variance."""


def _pairwise_distances(x: jax.Array, share: jax.Array) -> _Distances:
    pairs: jax.Array = safe_sqrt(jnp.sum((x[:, None] - x[None]) ** 2, axis=-1))
    return _Distances(pairs, pairs @ share, 2 * share @ jnp.sum((x - share @ x) ** 2, axis=1))


def _distance_covariance(a: _Distances, b: _Distances, product: jax.Array, share: jax.Array) -> jax.Array:
    """Computes the mean product of centered distances without centering them; `product` is that of the plain ones."""
    covariance: jax.Array = product - 2 * share @ (a.rows * b.rows) + (share @ a.rows) * (share @ b.rows)
    return covariance


def _reshape_in_groups(x: jax.Array) -> jax.Array:
    """Reshapes (B, ...) to (groups, jets, ...), filled up with zeros."""
    groups = -(-len(x) // _GROUP)
    size = -(-len(x) // groups)
    filled = jnp.pad(x, [(0, groups * size - len(x)), *[(0, 0)] * (x.ndim - 1)])
    return filled.reshape(groups, size, *x.shape[1:])
