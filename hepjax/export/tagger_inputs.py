"""Named inputs of a tagger, common to all export formats."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax.errors import InputError, file_problem
from hepjax.types import Sequences

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from hepjax.types import PyTree

FORMAT = "1"
"""The version of the metadata in an exported file; a higher number comes from a newer hepjax."""
OUTPUTS = ("probabilities", "predictions")
"""The names of the output: probabilities of a classifier, predictions of any other model."""
NAMES = (["features"], ["images"], ["particles", "mask"])
"""The names of the inputs, in order, for each kind of tagger."""
SYMBOL = "batch"
"""The name of the first axis, whose size is free."""
_MEMORY = 2**23
"""The size limit, in bytes, of the largest intermediate array: it fits in a cache, which halves the time."""


PRODUCER = "hepjax"
"""The program that exported files say they were made by."""
_MOST_AT_ONCE = 4096
"""The largest number of jets per call."""
_LARGEST_INPUT = 2**28
"""The numbers that a jet may have, at most; more are no jet but damage."""


class InputSpec(NamedTuple):
    """The name, shape and dtype of one input."""

    name: str
    shape: tuple[int, ...]
    """The shape for one jet."""
    dtype: np.dtype[Any]


class Exported(NamedTuple):
    """A tagger of an exported file."""

    predict: Callable[[PyTree], np.ndarray]
    """The input of N jets → (N, C) float32 predictions; raises InputError if the arrays do not fit `inputs`."""
    metadata: dict[str, str]
    """The texts that were stored with it."""
    inputs: tuple[InputSpec, ...]
    """The inputs of the function in the file."""
    columns: int
    """C, the columns of its output."""
    output: str | None
    """The name of its output; None where the format has none."""


def input_specs(example: PyTree) -> list[InputSpec]:
    """Returns the specifications of the inputs of a tagger.

    Args:
      example: input of the tagger: `Sequences`, an array (N, F) of features or an array (N, H, W, C) of images.

    Returns:
      One specification for each array.

    Raises:
      InputError: the example is of another type.

    >>> [spec.name for spec in input_specs(np.zeros((1, 16), np.float32))]
    ['features']
    """
    if isinstance(example, Sequences):
        names = NAMES[2]
    elif getattr(example, "ndim", None) in {2, 4}:
        names = NAMES[0 if example.ndim == 2 else 1]
    else:
        raise InputError(
            f"example: expected Sequences, features (N, F) or images (N, H, W, C), found {type(example).__name__}"
        )
    arrays = [np.asarray(array) for array in jax.tree.leaves(example)]
    return [InputSpec(name, x.shape[1:], x.dtype) for name, x in zip(names, arrays, strict=True)]


def flatten_inputs(predict: Callable[[PyTree], jax.Array], example: PyTree) -> Callable[..., jax.Array]:
    """Converts a function of a pytree to a function of its arrays.

    Functions of particle lists and images are evaluated jet by jet under `vmap`, so that no intermediate size mixes the
    number of jets with another size.

    Args:
      predict: function from a pytree of arrays to (N, C) predictions.
      example: example of the pytree.

    Returns:
      The function of the arrays.
    """
    leaves, tree = jax.tree.flatten(example)

    def predict_batch(*arrays: jax.Array) -> jax.Array:
        return predict(jax.tree.unflatten(tree, arrays))

    def predict_jet(*arrays: jax.Array) -> jax.Array:
        return predict_batch(*(array[None] for array in arrays))[0]

    return predict_batch if len(leaves) == 1 and leaves[0].ndim == 2 else jax.vmap(predict_jet)


def symbolic_inputs(specs: Sequence[InputSpec]) -> list[jax.ShapeDtypeStruct]:
    """Returns the abstract inputs with a symbolic first axis."""
    (batch,) = jax.export.symbolic_shape(SYMBOL)
    return [jax.ShapeDtypeStruct((batch, *spec.shape), spec.dtype) for spec in specs]


def jets_per_exported_call(bytes_of_one: int) -> int:
    """Returns the largest number of jets per call that is efficient in time and memory.

    >>> jets_per_exported_call(1_000), jets_per_exported_call(100_000), jets_per_exported_call(10_000_000)
    (4096, 83, 1)
    """
    return min(max(_MEMORY // max(bytes_of_one, 1), 1), _MOST_AT_ONCE)


def require_package(package: str) -> None:
    """Checks that a package of the extra `export` is installed.

    Args:
      package: name of the package.

    Raises:
      InputError: the package is not installed.

    >>> require_package("numpy")
    """
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"exported taggers need {package}, which is not installed; pip install 'hepjax[export]'"
        ) from error


def read_exported_bytes(path: str | os.PathLike[str]) -> bytes:
    """Reads the content of a file.

    Args:
      path: path of the file.

    Returns:
      The bytes of the file.

    Raises:
      InputError: the file is missing, or cannot be read.
    """
    if problem := file_problem(path):
        raise InputError(f"{path}: {problem}; hepjax export makes a file of a run folder")
    try:
        return Path(path).read_bytes()
    except (MemoryError, OSError) as error:
        reason = getattr(error, "strerror", None) or "not enough memory"
        raise InputError(f"{path}: cannot be read ({reason}); give a file that hepjax export made") from error


def check_export_format(path: str | os.PathLike[str], version: Any, producer: str = "") -> None:
    """Refuses a file that was not written by this version of the export format.

    Args:
      path: path of the file, for the message.
      version: format version in the file; None if the file has none.
      producer: the program that the file says it was made by.

    Raises:
      InputError: the version is missing or different.

    >>> check_export_format("a.onnx", FORMAT)
    """
    if version is None:
        if producer == PRODUCER:
            raise InputError(f"{path}: cut short or damaged, the end of hepjax's metadata is missing; export again")
        maker = f", {one_line(producer)}" if producer else ""
        raise InputError(
            f"{path}: no hepjax metadata in it: made by another program{maker}; give a file that hepjax export made"
        )
    if version != FORMAT:
        raise InputError(
            f"{path}: format {one_line(version)}, expected {FORMAT}; it comes from another hepjax: update, or export "
            "again"
        )


def check_signature(path: str | os.PathLike[str], specs: Sequence[InputSpec], columns: Any, most: Any) -> None:
    """Refuses a function that no tagger can be.

    Args:
      path: path of the file, for the message.
      specs: specifications of its inputs.
      columns: columns of its output.
      most: largest number of jets per call.

    Raises:
      InputError: names what does not fit.

    >>> check_signature("a.onnx", [InputSpec("features", (3,), np.dtype(np.float32))], 5, 4096)
    """
    names = [spec.name for spec in specs]
    ranks, dtypes = {"features": 1, "images": 3, "particles": 2, "mask": 1}, {"mask": np.dtype(bool)}
    fits = names in NAMES and all(
        len(spec.shape) == ranks[spec.name]
        and spec.dtype == dtypes.get(spec.name, np.float32)
        and all(type(size) is int and size > 0 for size in spec.shape)
        and math.prod(spec.shape) <= _LARGEST_INPUT
        for spec in specs
    )
    if not fits or (names == NAMES[2] and specs[0].shape[:1] != specs[1].shape):
        found = ", ".join(f"{one_line(spec.name)} {spec.dtype}{list(spec.shape)}" for spec in specs[:9]) or "none"
        raise InputError(
            f"{path}: expected inputs features[F], images[H, W, C], or particles[P, F] and mask[P], found {found}; "
            "export the tagger again"
        )
    if type(columns) is not int or not 1 <= columns <= _LARGEST_INPUT:
        raise InputError(
            f"{path}: expected an output of one row of numbers a jet, found {one_line(columns)} columns; export the "
            "tagger again"
        )
    if type(most) is not int or not 1 <= most <= _MOST_AT_ONCE:
        raise InputError(
            f"{path}: damaged, its jets_at_once is {one_line(most)}, expected 1 to {_MOST_AT_ONCE}; export again"
        )


def one_line(text: Any) -> str:
    r"""Returns what a file or a library says in one short line.

    >>> one_line("a\nb")
    'a b'
    """
    words = " ".join(str(text).split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)[:200]


def predict_in_blocks(
    run: Callable[[list[np.ndarray]], np.ndarray], specs: Sequence[InputSpec], classes: int, most: int
) -> Callable[[PyTree], np.ndarray]:
    """Returns a function of any number of jets that evaluates them in blocks.

    Args:
      run: function from arrays of at most `most` jets to (N, C) predictions.
      specs: specifications of the arrays.
      classes: number of classes, C.
      most: largest number of jets per call.

    Returns:
      A function from a pytree of arrays to (N, C) float32; it raises InputError if the arrays do not fit `specs`.
    """

    def predict_any_number(inputs: PyTree) -> np.ndarray:
        arrays = [np.asarray(array) for array in jax.tree.leaves(inputs)]
        _check_input_arrays(arrays, specs)
        arrays = [x.astype(spec.dtype, copy=False) for x, spec in zip(arrays, specs, strict=True)]
        blocks = range(math.ceil(len(arrays[0]) / most))
        predictions = [_run(run, [x[i * most : (i + 1) * most] for x in arrays], classes) for i in blocks]
        return np.concatenate(predictions) if predictions else np.zeros((0, classes), np.float32)

    return predict_any_number


def _run(run: Callable[[list[np.ndarray]], np.ndarray], arrays: list[np.ndarray], classes: int) -> np.ndarray:
    """The predictions of one block, which the function in a file may fail to give."""
    try:
        predictions = np.asarray(run(arrays))
    except Exception as error:  # ONNX Runtime's exceptions have no other base
        raise InputError(f"the exported tagger fails ({one_line(error)}); export it again") from error
    if predictions.shape != (len(arrays[0]), classes) or predictions.dtype != np.float32:
        raise InputError(
            f"the exported tagger gives {predictions.dtype}{list(predictions.shape)} for {len(arrays[0])} jets, not "
            f"the {classes} columns that it promises; export it again"
        )
    return predictions


def _check_input_arrays(arrays: Sequence[np.ndarray], specs: Sequence[InputSpec]) -> None:
    if len(arrays) != len(specs):
        raise InputError(f"inputs: expected {' and '.join(spec.name for spec in specs)}, found {len(arrays)} arrays")
    for array, spec in zip(arrays, specs, strict=True):
        fits = array.ndim == len(spec.shape) + 1 and array.shape[1:] == spec.shape
        if not fits or len(array) != len(arrays[0]) or (array.dtype == bool) != (spec.dtype == bool):
            shape = ", ".join(("N", *map(str, spec.shape)))
            raise InputError(
                f"{spec.name}: expected ({shape}) {spec.dtype}, the same N for all, found {array.shape} {array.dtype}; "
                "read the jets as the tagger's metadata says"
            )
