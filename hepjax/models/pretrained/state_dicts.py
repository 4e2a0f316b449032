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
NORM_EPSILON = 1e-5
"""What batch normalization adds to the variance, in Flax as in PyTorch."""


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


def dense_arrays(name: str, layer: Mapping[str, Any], axes: int = 2) -> dict[str, np.ndarray]:
    """Returns the arrays of a dense layer, or of a convolution over single slots, under PyTorch's names.

    Args:
      name: of the layer.
      layer: Flax's kernel (inputs, outputs), and bias where there is one.
      axes: of PyTorch's weight.

    >>> dense_arrays("fc", {"kernel": np.zeros((2, 3))}, axes=4)["fc.weight"].shape
    (3, 2, 1, 1)
    """
    kernel = np.asarray(layer["kernel"], np.float32).T
    arrays = {f"{name}.weight": kernel.reshape(*kernel.shape, *[1] * (axes - 2))}
    return arrays | ({f"{name}.bias": np.asarray(layer["bias"], np.float32)} if "bias" in layer else {})


def norm_arrays(
    name: str, layer: Mapping[str, Any], averages: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Returns the arrays of a normalization under PyTorch's names.

    Args:
      name: of the layer.
      layer: Flax's scale, and bias where there is one.
      averages: mean and variance of a batch normalization; None of another one.

    >>> list(norm_arrays("norm", {"scale": np.ones(2)}))
    ['norm.weight']
    """
    arrays = {f"{name}.weight": layer["scale"], **({f"{name}.bias": layer["bias"]} if "bias" in layer else {})}
    if averages is not None:
        arrays |= {f"{name}.running_mean": averages["mean"], f"{name}.running_var": averages["var"]}
    plain = {key: np.asarray(array, np.float32) for key, array in arrays.items()}
    return plain if averages is None else {**plain, f"{name}.{_TRACKED}": np.zeros((), np.int64)}


def fold_scaling(
    layer: Mapping[str, Any], averages: Mapping[str, Any], mean: Any, width: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Makes a batch normalization of scaled inputs one of the inputs themselves.

    Args:
      layer: scale and bias (F,).
      averages: mean and variance (F,).
      mean: (F,) that is subtracted from the inputs before.
      width: (F,) that they are divided by then, above 0.

    Returns:
      The layer and the averages that give the same for inputs that are not scaled, float64.

    >>> unit = {"scale": np.ones(1), "bias": np.zeros(1)}
    >>> fold_scaling(unit, {"mean": np.zeros(1), "var": np.ones(1)}, np.array([5.0]), np.array([2.0]))[1]
    {'mean': array([5.]), 'var': array([4.])}
    """
    mu, sigma, m, v, scale = (
        np.asarray(x, np.float64) for x in (mean, width, averages["mean"], averages["var"], layer["scale"])
    )
    wide = sigma**2 * v
    scale = scale * np.sqrt(wide + NORM_EPSILON) / (sigma * np.sqrt(v + NORM_EPSILON))
    return {**layer, "scale": scale}, {"mean": mu + sigma * m, "var": wide}
