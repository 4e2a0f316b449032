"""The preparation of observables as arrays of one shape, which travel with a network and work inside of its program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from hepjax.tasks.generation.distributions import MOST_KNOTS, TAIL, Distribution, share_below
from hepjax.tasks.generation.preparation import (
    COORDINATES,
    WHOLE,
    Preparation,
    fit_coordinates,
    from_coordinates,
    whiten,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepjax.types import Array

    Arrays = Mapping[str, Array]

_QUANTILES = 200
_OBSERVABLES = 16


def blank_preparation_arrays(classes: int) -> dict[str, jax.Array]:
    """Returns arrays of the shapes that `fit_preparation_arrays` gives.

    Args:
      classes: number of classes, C.
    """
    shapes = {
        "counts": (classes,),
        "values": (classes, COORDINATES, MOST_KNOTS),
        "shares": (classes, COORDINATES, MOST_KNOTS),
        "mean": (classes, COORDINATES),
        "factor": (classes, COORDINATES, COORDINATES),
        "low": (classes, _OBSERVABLES),
        "high": (classes, _OBSERVABLES),
        "reference": (classes, COORDINATES, _QUANTILES),
    }
    blank = {name: jnp.zeros(shape) for name, shape in shapes.items()}
    return blank | {"factor": jnp.broadcast_to(jnp.eye(COORDINATES), shapes["factor"])}


def fit_preparation_arrays(
    coordinates: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Fits a preparation to training jets.

    Args:
      coordinates: (N, 12) from `to_coordinates`.
      labels: (N,) indices into `classes`.
      classes: the names of the C classes; of those without a jet nothing is learned.

    Returns:
      Name → (C, …) float32; `counts` (C,) are the jets of each class.

    Raises:
      InputError: for the reasons of `fit_coordinates`.
    """
    counts = np.bincount(labels, minlength=len(classes))
    present = np.flatnonzero(counts)
    places = np.searchsorted(present, np.arange(len(classes))).clip(max=len(present) - 1)  # any for absent classes
    x = from_coordinates(coordinates)
    fit = fit_coordinates(coordinates, x, np.searchsorted(present, labels), [classes[int(c)] for c in present])
    padded = [[_pad_distribution_knots(distribution) for distribution in of_class] for of_class in fit.distributions]
    values, shares = (np.stack([np.stack([pair[i] for pair in row]) for row in padded]) for i in (0, 1))
    arrays = {"values": values, "shares": shares, "mean": fit.mean, "factor": fit.factor}
    arrays |= {"low": fit.low, "high": fit.high, "reference": fit.reference}
    return {name: array[places].astype(np.float32) for name, array in arrays.items()} | {
        "counts": counts.astype(np.float32)
    }


def preparation_of_arrays(arrays: Arrays, classes: Sequence[str]) -> Preparation:
    """Returns the preparation of some arrays, to restore observables by.

    Args:
      arrays: from `fit_preparation_arrays`.
      classes: the names of the classes.
    """
    wide = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    distributions = tuple(
        tuple(
            Distribution(values[np.isfinite(values)], shares[np.isfinite(values)])
            for values, shares in zip(*of_class, strict=True)
        )
        for of_class in zip(wide["values"], wide["shares"], strict=True)
    )
    rest = {name: wide[name] for name in ("mean", "factor", "low", "high", "reference")}
    return Preparation(distributions, classes=tuple(classes), generated=wide["reference"], **rest)


def prepare_rows(arrays: Arrays, coordinates: jax.Array, labels: jax.Array, uniform: jax.Array) -> jax.Array:
    """Converts coordinates to nearly normal numbers, as `prepare` does, as a pure function of JAX arrays.

    Args:
      arrays: from `fit_preparation_arrays`.
      coordinates: (B, 12), NaN where undefined.
      labels: (B,) int32 class indices.
      uniform: (B, 25) random numbers between 0 and 1, from `row_uniforms`.

    Returns:
      (B, 12) numbers.
    """
    smear, inside, normal = jnp.split(uniform, [1, 1 + COORDINATES], axis=1)
    spread = coordinates + jnp.where(jnp.arange(COORDINATES) == WHOLE, smear, 0)
    of_columns = jax.vmap(share_below, in_axes=(0, 0, 1, 1), out_axes=1)
    of_classes = jax.vmap(of_columns, in_axes=(0, 0, None, None))(arrays["values"], arrays["shares"], spread, inside)
    shares = of_classes[labels, jnp.arange(len(labels))]
    scores = jnp.where(jnp.isnan(coordinates), jnp.nan, ndtri(jnp.clip(shares, TAIL, 1 - TAIL)))
    numbers: jax.Array = whiten(scores, arrays["mean"][labels], arrays["factor"][labels], ndtri(normal))
    return numbers


def row_uniforms(values: jax.Array, labels: jax.Array, count: int) -> jax.Array:
    """Makes random numbers of each row, which depend on that row alone: a jet has the same ones in every batch.

    Args:
      values: (B, F) float32; NaN counts as 0.
      labels: (B,) integers.
      count: number of random numbers, K.

    Returns:
      (B, K) float32 between 0 and 1, by the finalizer of MurmurHash3.

    >>> uniform = row_uniforms(jnp.linspace(0, 1, 1000)[:, None], jnp.zeros(1000, int), 2)
    >>> bool(abs(uniform.mean() - 0.5) < 0.03), bool(abs(jnp.corrcoef(uniform.T)[0, 1]) < 0.1)
    (True, True)
    """
    bits = jax.lax.bitcast_convert_type(jnp.where(jnp.isnan(values), 0, values).astype(jnp.float32), jnp.uint32)
    state = _mix_row_bits(labels.astype(jnp.uint32) + jnp.uint32(1))
    for f in range(values.shape[1]):
        state = _mix_row_bits(state ^ bits[:, f])
    steps = jnp.arange(1, count + 1, dtype=jnp.uint32) * jnp.uint32(0x9E3779B9)
    numbers = _mix_row_bits(state[:, None] + steps) >> 9
    return (numbers.astype(jnp.float32) + 0.5) / 2**23


def _mix_row_bits(x: jax.Array) -> jax.Array:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> shift)) * jnp.uint32(factor)
    return x ^ (x >> 16)


def _pad_distribution_knots(distribution: Distribution) -> tuple[np.ndarray, np.ndarray]:
    """Fills a distribution up to the most knots there can be: with infinity, and the last share."""
    missing = (0, MOST_KNOTS - len(distribution.values))
    values = distribution.values.astype(np.float32)
    return np.pad(values, missing, constant_values=np.inf), np.pad(distribution.shares, missing, mode="edge")
