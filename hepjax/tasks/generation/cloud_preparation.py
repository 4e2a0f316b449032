"""What a generator of clouds keeps of its training jets, as arrays of fixed shapes among its variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.generation.cloud_encoding import CLOUD_COLUMNS, FEWEST, Clouds, CloudScaling, fit_cloud_scaling
from hepjax.types import Scaling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import jax

    from hepjax.types import Array, Conditioned

    Arrays = Mapping[str, Array]

TEMPLATES = 4096
"""The most training jets of a class whose number of particles and pT are kept, to draw those of new jets from."""

_SEED = 0  # of the draw of the jets that are kept
_PAIRS = ("particles", "jets", "totals")


def blank_arrays(classes: int, particles: int) -> dict[str, jax.Array]:
    """Returns arrays of the shapes that `fit_arrays` gives.

    Args:
      classes: number of classes, C.
      particles: number of particles of a jet, P.
    """
    shapes = {"particles": (particles, len(CLOUD_COLUMNS)), "jets": (2,), "totals": (2,)}
    return {
        "counts": jnp.zeros(classes),
        "multiplicity": jnp.zeros((classes, TEMPLATES)),
        "pt": jnp.zeros((classes, TEMPLATES)),
        **{f"{name}_mean": jnp.zeros(shape) for name, shape in shapes.items()},
        **{f"{name}_std": jnp.ones(shape) for name, shape in shapes.items()},
    }


def fit_arrays(inputs: Conditioned, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Fits the scaling to training jets, and keeps numbers of particles and pT of some.

    Args:
      inputs: of N jets, from `cloud_inputs`.
      classes: the names of the C classes; of those without a jet nothing is learned.

    Returns:
      Name → float32: `counts` (C,) the jets of each class that are kept; `multiplicity` and `pt` (C, TEMPLATES) of
      these; and the mean and deviation of `CloudScaling`'s parts.

    Raises:
      InputError: there are few jets of a class.
    """
    rng, labels = np.random.default_rng(_SEED), inputs.condition[:, 0].astype(np.int64)
    counts = np.bincount(labels, minlength=len(classes))
    few = [f"{counts[c]} of {name}" for c, name in enumerate(classes) if 0 < counts[c] < FEWEST]
    if few:
        raise InputError(
            f"classes: expected {FEWEST} jets or more of each to learn from, found {', '.join(few)}; give more jets, "
            "or leave the class out"
        )
    templates = np.zeros((2, len(classes), TEMPLATES), np.float32)
    features = np.stack([inputs.values.mask.sum(axis=1), inputs.condition[:, 1]])
    for c in range(len(classes)):
        rows = rng.permutation(np.flatnonzero(labels == c))[:TEMPLATES]
        templates[:, c, : len(rows)] = features[:, rows]
    scaling = fit_cloud_scaling(inputs)
    arrays: dict[str, np.ndarray] = {"counts": counts.clip(max=TEMPLATES).astype(np.float32)}
    arrays |= {"multiplicity": templates[0], "pt": templates[1]}
    for name, pair in zip(_PAIRS, scaling, strict=True):
        arrays |= {f"{name}_mean": np.asarray(pair.mean), f"{name}_std": np.asarray(pair.std)}
    return arrays


def to_scaling(arrays: Arrays) -> CloudScaling:
    """Returns the scaling of some arrays.

    Args:
      arrays: from `fit_arrays`, of NumPy or JAX.
    """
    return CloudScaling(*(Scaling(arrays[f"{name}_mean"], arrays[f"{name}_std"]) for name in _PAIRS))


def draw_templates(arrays: Arrays, labels: np.ndarray, classes: Sequence[str], seed: int) -> Clouds:
    """Draws number of particles and pT together from a training jet of the same class, for each label.

    Args:
      arrays: from `fit_arrays`.
      labels: (M,) class indices.
      classes: the names of the classes.
      seed: seed of the draws.

    Returns:
      M clouds whose particles are all 0.

    Raises:
      InputError: a class was not among the training jets.
    """
    known = {name: np.asarray(arrays[name]) for name in ("counts", "multiplicity", "pt")}
    absent = [classes[int(c)] for c in np.unique(labels) if known["counts"][c] == 0]
    if absent:
        raise InputError(f"labels: {', '.join(absent)} was not among the training jets; choose of the other classes")
    places = np.random.default_rng(seed).integers(known["counts"][labels].astype(np.int64))
    slots = len(arrays["particles_mean"])
    mask = np.arange(slots) < known["multiplicity"][labels, places][:, None]
    values = np.zeros((*mask.shape, len(CLOUD_COLUMNS)))
    return Clouds(values, mask, known["pt"][labels, places].astype(np.float64), labels)
