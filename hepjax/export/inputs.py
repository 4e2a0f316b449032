"""What a tagger reads, by name: the same for every format."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax.errors import InputError
from hepjax.types import Sequences

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from hepjax.types import PyTree

FORMAT = "1"
"""Of the facts in an exported file; a higher number comes from a newer hepjax."""
OUTPUTS = ("probabilities", "predictions")
"""What the output may be called: probabilities of a classifier, predictions of any other model."""
NAMES = (["features"], ["images"], ["particles", "mask"])
"""The names of the inputs, in their order."""
SYMBOL = "batch"
"""The name of the first axis, which may have any size."""
_MEMORY = 2**23
"""Bytes of the largest array while jets are answered: it stays in a processor's cache, which halves the time."""


class Slot(NamedTuple):
    """One input."""

    name: str
    shape: tuple[int, ...]
    """Of one jet."""
    dtype: np.dtype[Any]


def slots(example: PyTree) -> list[Slot]:
    """The inputs of a tagger.

    Args:
      example: what is read of jets: `Sequences`, an array (N, F) of features or an array (N, H, W, C) of images.

    Returns:
      One for each array.

    Raises:
      InputError: it is none of these.

    >>> [slot.name for slot in slots(np.zeros((1, 16), np.float32))]
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
    return [Slot(name, x.shape[1:], x.dtype) for name, x in zip(names, arrays, strict=True)]


def flat(answer: Callable[[PyTree], jax.Array], example: PyTree) -> Callable[..., jax.Array]:
    """The same function of plain arrays, written for one jet where jets have more than features.

    Lists of particles and images are answered one by one and lifted with `vmap`: no size in between mixes the number of
    jets with another then.

    Args:
      answer: pytree of arrays → (N, C).
      example: tells the pytree.

    Returns:
      The function of its arrays.
    """
    leaves, tree = jax.tree.flatten(example)

    def together(*arrays: jax.Array) -> jax.Array:
        return answer(jax.tree.unflatten(tree, arrays))

    def one(*arrays: jax.Array) -> jax.Array:
        return together(*(array[None] for array in arrays))[0]

    return together if len(leaves) == 1 and leaves[0].ndim == 2 else jax.vmap(one)


def specs(wanted: Sequence[Slot]) -> list[jax.ShapeDtypeStruct]:
    """The inputs with a symbolic first axis."""
    (batch,) = jax.export.symbolic_shape(SYMBOL)
    return [jax.ShapeDtypeStruct((batch, *slot.shape), slot.dtype) for slot in wanted]


def jets_at_once(bytes_of_one: int) -> int:
    """How many jets should be answered at once, at most, for speed and memory.

    >>> jets_at_once(1_000), jets_at_once(100_000), jets_at_once(10_000_000)
    (4096, 83, 1)
    """
    return min(max(_MEMORY // max(bytes_of_one, 1), 1), 4096)


def need(package: str) -> None:
    """Refuses to go on without a package of the extra.

    Args:
      package: its name.

    Raises:
      InputError: it is not installed.

    >>> need("numpy")
    """
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"exported taggers need {package}, which is not installed; pip install 'hepjax[export]'"
        ) from error


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file.

    Args:
      path: of the file.

    Returns:
      Its bytes.

    Raises:
      InputError: it is missing, or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; hepjax export makes one of a run folder") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file that hepjax export made") from error


def check_format(path: str | os.PathLike[str], found: str | None) -> None:
    """Refuses a file that hepjax did not make, or a newer one did.

    Args:
      path: of the file, for the message.
      found: the format that it names; None where it names none.

    Raises:
      InputError: it is another.

    >>> check_format("a.onnx", FORMAT)
    """
    if found is None:
        raise InputError(f"{path}: no facts of hepjax in it: made by another program, or cut short; export again")
    if found != FORMAT:
        raise InputError(
            f"{path}: format {found}, expected {FORMAT}; it comes from another hepjax: update, or export again"
        )


def in_blocks(
    run: Callable[[list[np.ndarray]], np.ndarray], wanted: Sequence[Slot], classes: int, most: int
) -> Callable[[PyTree], np.ndarray]:
    """A function of any number of jets, which it answers some at a time.

    Args:
      run: arrays of at most `most` jets → (N, C).
      wanted: what the arrays must be.
      classes: C.
      most: jets at once.

    Returns:
      Pytree of arrays → (N, C) float32; raises InputError where the arrays are others than wanted.
    """

    def answer(inputs: PyTree) -> np.ndarray:
        arrays = [np.asarray(array) for array in jax.tree.leaves(inputs)]
        _check(arrays, wanted)
        arrays = [x.astype(slot.dtype, copy=False) for x, slot in zip(arrays, wanted, strict=True)]
        blocks = range(math.ceil(len(arrays[0]) / most))
        found = [run([x[i * most : (i + 1) * most] for x in arrays]) for i in blocks]
        return np.concatenate(found) if found else np.zeros((0, classes), np.float32)

    return answer


def _check(arrays: Sequence[np.ndarray], wanted: Sequence[Slot]) -> None:
    if len(arrays) != len(wanted):
        raise InputError(f"inputs: expected {' and '.join(slot.name for slot in wanted)}, found {len(arrays)} arrays")
    for array, slot in zip(arrays, wanted, strict=True):
        fits = array.ndim == len(slot.shape) + 1 and array.shape[1:] == slot.shape
        if not fits or len(array) != len(arrays[0]) or (array.dtype == bool) != (slot.dtype == bool):
            shape = ", ".join(("N", *map(str, slot.shape)))
            raise InputError(
                f"{slot.name}: expected ({shape}) {slot.dtype}, the same N for all, found {array.shape} {array.dtype}; "
                "read the jets as the tagger's facts say"
            )
