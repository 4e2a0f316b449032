"""Keras models, layer by layer, as one Flax module."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.errors import FlaxError

from hepjax.choices import Activation
from hepjax.errors import InputError
from hepjax.models.layers.activations import FUNCTIONS
from hepjax.models.pretrained.keras_files import read_keras, read_keras_architecture

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import numpy as np

    from hepjax.types import PyTree

    Step = nn.Module | Callable[[Any], Any]

_ACTIVATIONS = {
    "linear": Activation.IDENTITY,
    "relu": Activation.RELU,
    "elu": Activation.ELU,
    "selu": Activation.SELU,
    "sigmoid": Activation.SIGMOID,
    "softplus": Activation.SOFTPLUS,
    "tanh": Activation.TANH,
}
_TO_PROBABILITIES = {"sigmoid", "softmax"}
_NAMES = {
    "kernel": ("params", "kernel"),
    "bias": ("params", "bias"),
    "gamma": ("params", "scale"),
    "beta": ("params", "bias"),
    "moving_mean": ("batch_stats", "mean"),
    "moving_variance": ("batch_stats", "var"),
}
"""Keras' name of a weight → the collection and name in Flax."""


class Layers(nn.Module):
    """Layers one after the other; what Keras calls a sequential model.

    Attributes:
      layers: Flax modules and functions of one array.
    """

    layers: tuple[Step, ...]

    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Args: x, (B, ...) float; mask, (B,) bool, False for rows that batch statistics leave out.

        Returns: (B, C) logits. Training draws from the rng `dropout`.
        """
        for layer in self.layers:
            if isinstance(layer, nn.BatchNorm):
                rows = None if mask is None else jnp.reshape(mask, (-1,) + (1,) * (x.ndim - 1))
                x = layer(x, use_running_average=not train, mask=rows)
            elif isinstance(layer, nn.Dropout):
                x = layer(x, deterministic=not train)
            else:
                x = layer(x)
        return x


def keras(
    weights: str | os.PathLike[str], architecture: str | os.PathLike[str] | None = None
) -> tuple[Layers, PyTree, PyTree]:
    """A dense or convolutional tagger that was trained in Keras 2, such as the example models of hls4ml.

    A softmax or sigmoid at the end is left out, so that logits come out. Known layers: Dense, Conv1D, Conv2D,
    BatchNormalization, Activation, Dropout, Flatten, MaxPooling and AveragePooling in one and two dimensions.

    Args:
      weights: the HDF5 file of `model.save_weights`, or of `model.save`, which holds the architecture too.
      architecture: the JSON file of `model.to_json()`; None reads it from `weights`.

    Returns:
      The module, called as `module(x, mask=None, train=False)` with x of Keras' shape and scaling; its parameters;
      and its other variables, an empty dict without batch normalization.

    Raises:
      InputError: a file cannot be read, a layer is not known, or weights and architecture differ.

    >>> keras("weights.h5", "model.json")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: model.json: cannot be read (no such file); give the JSON file of model.to_json()
    """
    entries = read_keras_architecture(weights, architecture)
    source = weights if architecture is None else architecture
    steps: list[Step] = []
    places: dict[str, str] = {}
    for entry in entries:
        name = str(entry["config"]["name"])
        places[name] = f"layers_{len(steps)}"
        try:
            steps += _keras_layer_steps(entry["class_name"], entry["config"], entry is entries[-1])
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(f"{source}: layer {name!r} ({entry.get('class_name')}): {error}") from error
    module = Layers(tuple(steps))
    expected = _expected_keras_shapes(module, entries, source)
    found = _flax_variables_of_keras(read_keras(weights), places, weights)
    _check_keras_shapes(expected, found, {place: name for name, place in places.items()}, weights)
    return module, found.pop("params", {}), found


def _keras_layer_steps(kind: str, config: Mapping[str, Any], last: bool) -> list[Step]:
    """The Flax modules and functions of one Keras layer."""
    if kind not in _BUILDERS:
        raise ValueError(f"not a known layer; known are {', '.join(_BUILDERS)}")
    if config.get("data_format", "channels_last") != "channels_last":
        raise ValueError(f"expected data_format channels_last, found {config['data_format']!r}")
    steps = _BUILDERS[kind](config)
    activation = config.get("activation", "linear")
    if last and activation in _TO_PROBABILITIES:
        return steps
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation {activation!r} is not known here; known are {', '.join(_ACTIVATIONS)}")
    return steps if activation == "linear" else [*steps, FUNCTIONS[_ACTIVATIONS[activation]]]


def _keras_axis_sizes(axes: int, config: Mapping[str, Any], name: str, default: Any = None) -> tuple[int, ...]:
    """A size for each axis."""
    sizes = config.get(name) or default
    if not isinstance(sizes, list) or len(sizes) != axes or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise ValueError(f"{name}: expected {axes} positive integers, found {sizes}")
    return tuple(sizes)


def _keras_convolution(axes: int, config: Mapping[str, Any]) -> list[Step]:
    return [
        nn.Conv(
            config["filters"],
            _keras_axis_sizes(axes, config, "kernel_size"),
            strides=_keras_axis_sizes(axes, config, "strides"),
            padding=config["padding"].upper(),
            kernel_dilation=_keras_axis_sizes(axes, config, "dilation_rate", [1] * axes),
            feature_group_count=config.get("groups", 1),
            use_bias=config["use_bias"],
        )
    ]


def _keras_batch_norm(config: Mapping[str, Any]) -> list[Step]:
    axis = config.get("axis", -1)
    if axis not in (-1, [-1]):
        raise ValueError(f"expected axis -1, found {axis}")
    return [
        nn.BatchNorm(
            momentum=config["momentum"],
            epsilon=config["epsilon"],
            use_bias=config["center"],
            use_scale=config["scale"],
        )
    ]


def _keras_pool(function: Callable[..., jax.Array], axes: int, config: Mapping[str, Any]) -> list[Step]:
    window = _keras_axis_sizes(axes, config, "pool_size")
    strides = _keras_axis_sizes(axes, config, "strides", list(window))
    return [functools.partial(function, window_shape=window, strides=strides, padding=config["padding"].upper())]


def _keras_flatten(x: jax.Array) -> jax.Array:
    return jnp.reshape(x, (x.shape[0], -1))


# Keras divides by the part of a window that lies inside the image.
_mean_pool = functools.partial(nn.avg_pool, count_include_pad=False)

_BUILDERS: dict[str, Callable[[Mapping[str, Any]], list[Step]]] = {
    "InputLayer": lambda _: [],
    "Dense": lambda config: [nn.Dense(config["units"], use_bias=config["use_bias"])],
    "Conv1D": functools.partial(_keras_convolution, 1),
    "Conv2D": functools.partial(_keras_convolution, 2),
    "BatchNormalization": _keras_batch_norm,
    "Activation": lambda _: [],
    "Dropout": lambda config: [nn.Dropout(config["rate"])],
    "Flatten": lambda _: [_keras_flatten],
    "MaxPooling1D": functools.partial(_keras_pool, nn.max_pool, 1),
    "MaxPooling2D": functools.partial(_keras_pool, nn.max_pool, 2),
    "AveragePooling1D": functools.partial(_keras_pool, _mean_pool, 1),
    "AveragePooling2D": functools.partial(_keras_pool, _mean_pool, 2),
}
"""Keras' name of a layer → its parts, the activation apart."""


def _expected_keras_shapes(module: Layers, entries: list[dict[str, Any]], source: Any) -> PyTree:
    """The shapes of all variables, by collection, layer and name."""
    shape = entries[0]["config"].get("batch_input_shape") if entries else None
    if not isinstance(shape, list) or not all(isinstance(length, int) for length in shape[1:]):
        raise InputError(f"{source}: expected the input's shape in the first layer, batch_input_shape, found {shape}")
    try:
        return jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, *shape[1:]))))
    except (ArithmeticError, FlaxError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{source}: the layers do not fit the input {shape} or each other ({reason})") from error


def _flax_variables_of_keras(
    layers: Mapping[str, Mapping[str, np.ndarray]], places: Mapping[str, str], path: Any
) -> dict[str, Any]:
    """Keras' weights under their names in Flax."""
    variables: dict[str, Any] = {}
    for layer, arrays in layers.items():
        for name, array in arrays.items():
            if name not in _NAMES or layer not in places:
                raise InputError(
                    f"{path}: layer {layer!r}: its {name!r} is not in the architecture; give the right pair"
                )
            collection, flax_name = _NAMES[name]
            variables.setdefault(collection, {}).setdefault(places[layer], {})[flax_name] = jnp.asarray(
                array, jnp.float32
            )
    return variables


def _check_keras_shapes(expected: PyTree, found: PyTree, names: Mapping[str, str], path: Any) -> None:
    """Raises InputError at the first variable whose shape is not the architecture's."""
    wanted, got = (
        {tuple(str(part.key) for part in key): leaf.shape for key, leaf in jax.tree.leaves_with_path(tree)}
        for tree in (expected, found)
    )
    for key in sorted(set(wanted) | set(got)):
        if wanted.get(key) != got.get(key):
            raise InputError(
                f"{path}: layer {names[key[1]]!r}: the architecture has {key[2]} {wanted.get(key)}, "
                f"the file {got.get(key)}; give the right pair"
            )
