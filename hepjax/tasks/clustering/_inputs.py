"""Checks of tables of features, and their float32 form about 0, in which small differences survive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from hepjax.types import Array


def traced(x: Any) -> bool:
    """Whether the numbers are not known yet, as under `jax.jit`: only shapes can be checked then."""
    return isinstance(x, jax.core.Tracer)


def checked(x: Any, name: str = "x", columns: int | None = None) -> Array:
    """The same table, as a NumPy or JAX array, if it is (N, F) of finite numbers.

    Args:
      x: (N, F).
      name: for the message.
      columns: F, where it is known.

    Raises:
      InputError: it is not.
    """
    found: Array = x if isinstance(x, jax.Array) else np.asarray(x)
    if found.ndim != 2 or 0 in found.shape:
        raise InputError(f"{name}: expected shape (N, F), a row for each jet, found {found.shape}")
    if columns is not None and found.shape[1] != columns:
        raise InputError(f"{name}: expected {columns} columns, found {found.shape[1]}; give the same features")
    if not traced(found):
        bad = ~np.isfinite(np.asarray(found))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"{name}: expected finite numbers, found {bad.sum()} NaN or infinite, first in row {row}, column "
                f"{column}; remove those jets"
            )
    return found


def middle(x: Array) -> Array:
    """(F,) float32, about the mean of each column."""
    return x.mean(axis=0, dtype=np.float64).astype(np.float32) if isinstance(x, np.ndarray) else jnp.mean(x, axis=0)


def less(x: Array, shift: Array) -> jax.Array:
    """(N, F) float32, x - shift; what the host holds in float64 loses nothing by it."""
    if isinstance(x, np.ndarray) and not traced(shift):
        return jnp.asarray((x - np.asarray(shift, np.float64)).astype(np.float32))
    return jnp.asarray(x, jnp.float32) - shift
