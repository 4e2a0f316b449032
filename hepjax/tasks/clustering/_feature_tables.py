"""Checks of feature tables, and their conversion to centered float32, which preserves small differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from hepjax.types import Array


def is_traced_table(x: Any) -> bool:
    """Tests if an array is a tracer, as under `jax.jit`, so that only its shape can be checked."""
    return isinstance(x, jax.core.Tracer)


def checked_features(x: Any, name: str = "x", columns: int | None = None) -> Array:
    """Checks that a table is (N, F) of finite numbers and returns it as a NumPy or JAX array.

    Args:
      x: (N, F) features.
      name: name of the argument, for the message.
      columns: expected number of columns, F; None accepts any number.

    Raises:
      InputError: the table has another shape, or a number is not finite.
    """
    table: Array = x if isinstance(x, jax.Array) else np.asarray(x)
    if table.ndim != 2 or 0 in table.shape:
        raise InputError(f"{name}: expected shape (N, F), a row for each jet, found {table.shape}")
    if columns is not None and table.shape[1] != columns:
        raise InputError(f"{name}: expected {columns} columns, found {table.shape[1]}; give the same features")
    if not is_traced_table(table):
        bad = ~np.isfinite(np.asarray(table))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"{name}: expected finite numbers, found {bad.sum()} NaN or infinite, first in row {row}, column "
                f"{column}; remove those jets"
            )
    return table


def column_means(x: Array) -> Array:
    """Returns (F,) float32 means of the columns."""
    return x.mean(axis=0, dtype=np.float64).astype(np.float32) if isinstance(x, np.ndarray) else jnp.mean(x, axis=0)


def subtract_column_means(x: Array, shift: Array) -> jax.Array:
    """Returns (N, F) float32 x - shift; float64 arrays on the host are subtracted before they are rounded."""
    if isinstance(x, np.ndarray) and not is_traced_table(shift):
        return jnp.asarray((x - np.asarray(shift, np.float64)).astype(np.float32))
    return jnp.asarray(x, jnp.float32) - shift
