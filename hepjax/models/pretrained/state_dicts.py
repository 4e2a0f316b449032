"""From the arrays of PyTorch's layers to those of Flax, with every array that fits nowhere named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_TRACKED = "num_batches_tracked"
_SHOWN = 5


class StateDict:
    """Arrays of a state dict, which are taken one by one; those that nobody has taken are an error.

    Attributes:
      source: what messages call the file.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], source: str) -> None:
        """Takes the arrays; a prefix that all names share, as `module.` or `mod.`, is left out."""
        names = [name for name in arrays if not name.endswith(_TRACKED)]
        first = names[0].partition(".")[0] + "." if names else ""
        cut = len(first) if all(name.startswith(first) for name in names) else 0
        self._arrays = {name[cut:]: arrays[name] for name in names}
        self._left = set(self._arrays)
        self.source = source

    def __contains__(self, name: str) -> bool:
        """Returns whether there is an array of this name."""
        return name in self._arrays

    def count(self, prefix: str, suffix: str) -> int:
        """Returns how many arrays there are whose names have a number, from 0 on, between a prefix and a suffix."""
        number = 0
        while f"{prefix}{number}{suffix}" in self._arrays:
            number += 1
        return number

    def take(self, name: str, axes: int, width: int | None = None) -> np.ndarray:
        """Takes an array.

        Args:
          name: of the array.
          axes: how many it must have.
          width: the length of its last axis, if it is known.

        Returns:
          The array, float32.

        Raises:
          InputError: there is none, or it has another shape, or it is not finite.
        """
        if name not in self._arrays:
            raise InputError(f"{self.source}: has no {name}; give the weights of this network")
        array = self._arrays[name]
        if array.ndim != axes or (width is not None and array.shape[-1] != width):
            expected = ", ".join(["…"] * (axes - 1) + [str("…" if width is None else width)])
            raise InputError(f"{self.source}: {name}: expected the shape ({expected}), found {array.shape}")
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise InputError(f"{self.source}: {name}: expected finite floating-point numbers; get the file again")
        self._left.discard(name)
        return np.asarray(array, np.float32)

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of an array, () where there is none."""
        return self._arrays[name].shape if name in self._arrays else ()

    def kernel(self, name: str, inputs: int, axes: int = 2) -> Any:
        """Takes the weight of a dense layer or a convolution over single slots; returns (inputs, outputs)."""
        weight = self._arrays.get(f"{name}.weight")
        if weight is not None and weight.ndim == axes and weight.shape[1] != inputs:
            raise InputError(f"{self.source}: {name}.weight: expected {inputs} inputs, found {weight.shape[1]}")
        weight = self.take(f"{name}.weight", axes)
        return jnp.asarray(weight.reshape(weight.shape[:2]).T)

    def dense(self, name: str, inputs: int, axes: int = 2) -> dict[str, Any]:
        """Takes weight and bias of a dense layer; returns Flax's kernel and bias."""
        kernel = self.kernel(name, inputs, axes)
        return {"kernel": kernel, "bias": jnp.asarray(self.take(f"{name}.bias", 1, kernel.shape[1]))}

    def norm(self, name: str, width: int) -> dict[str, Any]:
        """Takes weight and bias of a normalization; returns Flax's scale and bias."""
        return {
            "scale": jnp.asarray(self.take(f"{name}.weight", 1, width)),
            "bias": jnp.asarray(self.take(f"{name}.bias", 1, width)),
        }

    def averages(self, name: str, width: int) -> dict[str, Any]:
        """Takes the running averages of a batch normalization; returns Flax's mean and variance."""
        return {
            "mean": jnp.asarray(self.take(f"{name}.running_mean", 1, width)),
            "var": jnp.asarray(self.take(f"{name}.running_var", 1, width)),
        }

    def check_all_taken(self, network: str, ignored: Collection[str] = ()) -> None:
        """Refuses arrays that nobody has taken.

        Raises:
          InputError: lists them.
        """
        left = sorted(self._left - {*ignored})
        if left:
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            raise InputError(
                f"{self.source}: no {network} of this library: it has no place for {', '.join(left[:_SHOWN])}{more}"
            )
