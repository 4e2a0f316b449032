"""Weights and architectures that Keras 2 wrote, read without Keras."""

from __future__ import annotations

import json
import pathlib
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hepjax.data.atomic_hdf5 import escape_control_characters
from hepjax.data.hdf5.storage import Place, find_dataset, find_group
from hepjax.errors import InputError, file_problem

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    import h5py

T = TypeVar("T")

_MAX_RATIO = 1100
"""Compression shrinks no HDF5 dataset by more than this."""
_DAMAGE = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
"""What damaged files raise in h5py and in the json module."""


def read_keras(path: str | os.PathLike[str]) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of a Keras model: of its weights (`save_weights`) or of the whole model (`save`), as HDF5.

    Args:
      path: the file.

    Returns:
      Layer name → weight's name, such as `kernel`, → array of the file's shape and dtype. The layers stand in the
      model's order; those without weights have an empty dict.

    Raises:
      InputError: the file cannot be read or is no such file.

    >>> read_keras("weights.h5")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: weights.h5: cannot be read (no such file); give an HDF5 file of Keras
    """
    return _read_keras_hdf5(path, _keras_weights_of_layers)


def _keras_weights_of_layers(path: str | os.PathLike[str], file: h5py.File) -> dict[str, dict[str, np.ndarray]]:
    place = Place(file, pathlib.Path(path), allow_external=False)
    inner = find_group(place, "model_weights")
    root, start = (file["/"], "") if inner is None else (inner, "model_weights/")
    if "layer_names" not in root.attrs:
        raise InputError(f"{path}: no weights of Keras 2, the attribute layer_names is missing; save them as .h5")
    return {
        name: dict(_keras_weights_of_layer(place, start + name))
        for name in _keras_attribute_texts(root.attrs["layer_names"])
    }


def _keras_weights_of_layer(place: Place, layer: str) -> Iterator[tuple[str, np.ndarray]]:
    path, group = place.path, find_group(place, layer)
    size = path.stat().st_size
    if group is None:
        raise InputError(f"{path}: damaged, there is no layer {escape_control_characters(layer)}; get the file again")
    for full_name in _keras_attribute_texts(group.attrs["weight_names"]):
        dataset = find_dataset(place, f"{layer}/{full_name}")
        if dataset is None:
            raise InputError(
                f"{path}: damaged, there are no {escape_control_characters(full_name)}; get the file again"
            )
        if dataset.dtype.kind != "f":
            raise InputError(f"{path}: {full_name}: expected floating-point numbers, found {dataset.dtype}")
        if dataset.nbytes > _MAX_RATIO * size:
            raise InputError(f"{path}: {full_name}: {dataset.nbytes} bytes in a file of {size}; get the file again")
        array = dataset[()]
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {full_name}: holds NaN or infinite numbers; get the file again")
        yield full_name.rpartition("/")[2].partition(":")[0], array


def read_keras_architecture(
    weights: str | os.PathLike[str], architecture: str | os.PathLike[str] | None
) -> list[dict[str, Any]]:
    """The layers of a Keras model, one after the other.

    Args:
      weights: the file of weights, which holds the architecture too if the whole model was saved.
      architecture: the JSON file beside it (`model.to_json()`); None reads it from `weights`.

    Returns:
      The entry of each layer in Keras' own format, with `class_name` and `config`.

    Raises:
      InputError: there is none, it cannot be read, or the model is no chain of layers.

    >>> read_keras_architecture("weights.h5", "model.json")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: model.json: cannot be read (no such file); give the JSON file of model.to_json()
    """
    if architecture is None:
        return _keras_layer_configs(weights, _read_keras_hdf5(weights, _stored_keras_config))
    if problem := file_problem(architecture):
        raise InputError(f"{architecture}: cannot be read ({problem}); give the JSON file of model.to_json()")
    try:
        return _keras_layer_configs(architecture, pathlib.Path(architecture).read_bytes())
    except OSError as error:
        raise InputError(f"{architecture}: cannot be read ({error.strerror or error})") from error


def _keras_layer_configs(path: str | os.PathLike[str], text: str | bytes) -> list[dict[str, Any]]:
    try:
        model = json.loads(text)["config"]
        layers = list(model if isinstance(model, list) else model["layers"])
        names = [str(layer["config"]["name"]) for layer in layers]
        inputs = [[edge[0] for node in layer.get("inbound_nodes", []) for edge in node] for layer in layers]
    except _DAMAGE as error:
        raise InputError(
            f"{path}: no architecture of Keras 2 ({type(error).__name__}); give model.to_json()"
        ) from error
    for i, name in enumerate(names):
        if inputs[i] not in ([], names[max(i - 1, 0) : i]) or name in names[:i]:
            raise InputError(f"{path}: layer {name!r}: expected one input, the layer before; only chains are known")
    return layers


def _stored_keras_config(path: str | os.PathLike[str], file: h5py.File) -> str | bytes:
    config: str | bytes | None = file.attrs.get("model_config")
    if config is None:
        raise InputError(f"{path}: holds weights only; give the architecture too, the JSON file of model.to_json()")
    return config


def _read_keras_hdf5(path: str | os.PathLike[str], read: Callable[[str | os.PathLike[str], h5py.File], T]) -> T:
    """Reads an open file."""
    import h5py

    if problem := file_problem(path):
        raise InputError(f"{path}: cannot be read ({problem}); give an HDF5 file of Keras")
    try:
        # h5py's own message of a file that is missing does not tell it from one that is damaged.
        with pathlib.Path(path).open("rb"), h5py.File(path, "r") as file:
            return read(path, file)
    except InputError:
        raise
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None)
        said = f"cannot be read ({reason})" if reason else f"damaged, or no HDF5 file of Keras ({type(error).__name__})"
        raise InputError(f"{path}: {said}") from error


def _keras_attribute_texts(names: Any) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
