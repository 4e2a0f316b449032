"""What each model option stands for: the network, what is read of the jets for it, and how that becomes its input."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import inputs as representations
from hepjax import models
from hepjax.choices import Channels, Precision
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.inputs import apply_scaling, moments
from hepjax.models import FeatureModel, GraphModel, ImageModel, Model, ParticleModel
from hepjax.types import Moments, Scaling, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Jets, PyTree

_P4 = ("j1_px", "j1_py", "j1_pz", "j1_e")
_ANGLES = ("j1_etarel", "j1_phirel")


class Recipe(NamedTuple):
    """How jets become the answers of a network."""

    network: Model
    read: Callable[[Jets, slice | np.ndarray], Any]
    """(jets, rows) → a pytree of host arrays, one row a jet: no more than the device needs."""
    moments: Callable[[Any], Moments]
    """What `read` gave of some training jets → what they add to the statistics to scale by."""
    represent: Callable[[Scaling, Any], Any]
    """(scaling, what was read) → the network's input; runs on the device, compiled with the network."""
    example: Any
    """What `read` gives of one jet, with zeros in it."""
    columns: tuple[str, ...]
    """The names of the last axis of what is read."""
    scaled: int
    """F, the columns that are scaled."""
    images: tuple[str, ...] = ()
    """The images that the files must have."""
    spare: int | None = None
    """Slots of padding that a jet must keep where its list of particles is cut shorter; None where it must not be."""


def make_recipe(model: Model, classes: int) -> Recipe:
    """The recipe of a model.

    Args:
      model: says what it sees by its base class, and by its options.
      classes: C.

    Returns:
      The recipe.

    Raises:
      InputError: the model does not say what it sees.

    >>> import hepjax
    >>> recipe = make_recipe(models.DeepSets(particles=20), classes=5)
    >>> recipe.read(hepjax.read_jets(), slice(3)).values.shape
    (3, 20, 7)
    """
    network = _with_columns(model).clone(outputs=classes)
    if isinstance(network, FeatureModel):
        return _of_features(network)
    if isinstance(network, ImageModel):
        return _of_images(network)
    if isinstance(network, GraphModel):
        return _of_graphs(network)
    if isinstance(network, ParticleModel):
        return _of_sequences(network)
    raise InputError(
        f"model {type(model).__name__}: does not say what it sees; make it a subclass of hepjax.models.FeatureModel, "
        "ParticleModel, SequenceModel, GraphModel or ImageModel"
    )


def _with_columns(model: Model) -> Model:
    """The model with the columns it learns from, where it leaves them to the data set."""
    columns: dict[str, Any] = {}
    if isinstance(model, FeatureModel) and not model.features:
        columns["features"] = hls4ml.STANDARD_FEATURES
    if isinstance(model, ParticleModel) and not model.columns:
        columns["columns"] = hls4ml.PARTICLE_FEATURES
    if isinstance(model, GraphModel) and not model.by:
        columns["by"] = _ANGLES
    return model.clone(**columns)


def make_apply(recipe: Recipe, scaling: Scaling, precision: Precision = Precision.FLOAT32) -> models.Apply:
    """The pure function from what was read to logits.

    Args:
      recipe: of the model.
      scaling: fitted on the training part.
      precision: of the network; its input is made, and its logits are given, in float32.

    Returns:
      (params, model_state, inputs, mask, key) → (logits, model_state).
    """
    network = models.make_apply(recipe.network)

    def cast(tree: PyTree, dtype: Any) -> PyTree:
        return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)

    def apply(
        params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        seen = recipe.represent(scaling, inputs)
        if precision is not Precision.FLOAT32:
            params, seen = cast((params, seen), precision.value)
        logits, model_state = network(params, model_state, seen, mask, key)
        logits, model_state = cast((logits, model_state), jnp.float32)
        return logits[: mask.shape[0]], model_state  # a batch of graphs ends with its padding

    return apply


def initialise(recipe: Recipe, key: jax.Array) -> tuple[PyTree, PyTree]:
    """Draws the network's parameters.

    Args:
      recipe: of the model.
      key: () typed PRNG key.

    Returns:
      The parameters, and the other variables.
    """
    return models.initialize(recipe.network, key, recipe.represent(blank_scaling(recipe), recipe.example))


def blank_scaling(recipe: Recipe) -> Scaling:
    """The scaling that changes nothing.

    Args:
      recipe: of the model.

    Returns:
      Means of 0 and deviations of 1.
    """
    return Scaling(np.zeros(recipe.scaled, np.float32), np.ones(recipe.scaled, np.float32))


def _of_features(model: FeatureModel) -> Recipe:
    return Recipe(
        network=model,
        read=lambda jets, rows: representations.tabular(jets, model.features, rows=rows),
        moments=moments,
        represent=apply_scaling,
        example=np.zeros((1, len(model.features)), np.float32),
        columns=model.features,
        scaled=len(model.features),
    )


def _of_sequences(model: ParticleModel) -> Recipe:
    return Recipe(
        network=model,
        read=partial(_read_sequences, model.columns, model.particles, getattr(model, "order_by", None)),
        moments=lambda x: moments(x.values, x.mask),
        represent=lambda scaling, x: x._replace(values=apply_scaling(scaling, x.values, x.mask)),
        example=_no_particles(model.particles, model.columns),
        columns=model.columns,
        scaled=len(model.columns),
        spare=model.min_padding(),
    )


def _of_graphs(model: GraphModel) -> Recipe:
    by = model.by if model.neighbors or model.radius else ()
    p4 = _P4 if model.edge_features else ()
    columns = tuple(dict.fromkeys((*model.columns, *by, *p4)))

    def represent(scaling: Scaling, x: Sequences) -> Any:
        scaled = apply_scaling(scaling, x.values, x.mask)
        return representations.build_graph(
            scaled[..., : len(model.columns)],
            x.mask,
            neighbours=model.neighbors,
            radius=model.radius,
            points=representations.coordinates(x.values, columns, by) if by else None,
            p4=x.values[..., [columns.index(name) for name in p4]] if p4 else None,
        )

    return Recipe(
        network=model,
        read=partial(_read_sequences, columns, model.particles, None),
        moments=lambda x: moments(x.values, x.mask),
        represent=represent,
        example=_no_particles(model.particles, columns),
        columns=columns,
        scaled=len(columns),
        spare=model.min_padding(),
    )


def _of_images(model: ImageModel) -> Recipe:
    """A pixel is given as ln(1 + GeV): between few and many GeV lie three orders of magnitude."""
    shared: dict[str, Any] = {"value": model.value, "channels": model.channels}
    columns = representations.image_columns(**shared)

    def read(jets: Jets, rows: slice | np.ndarray) -> Any:
        if model.images:
            return _checked(representations.file_images(jets, model.images, rows=rows), model)
        found = _read_sequences(columns, model.particles, None, jets, rows)
        if model.channels is Channels.CHARGED_NEUTRAL:
            representations.check_masses_known(found.values[..., [columns.index(name) for name in _P4]])
        return found

    def draw(particles: Sequences) -> jax.Array:
        grid: dict[str, Any] = {"pixels": model.pixels, "size": model.pixel_size}
        turns: dict[str, Any] = {"rotate": model.rotate, "flip": model.flip}
        return representations.draw(particles, columns=columns, **grid, **shared, **turns)

    blank = np.zeros((1, model.pixels, model.pixels, len(model.images)), np.float32)
    return Recipe(
        network=model,
        read=read,
        moments=lambda _: Moments(1, np.zeros(0), np.zeros(0)),
        represent=lambda _, x: jnp.log1p(x if model.images else draw(x)),
        example=blank if model.images else _no_particles(model.particles, columns),
        columns=model.images or columns,
        scaled=0,
        images=model.images,
    )


def _checked(images: np.ndarray, model: ImageModel) -> np.ndarray:
    if images.shape[1:3] != (model.pixels, model.pixels):
        found, names = " by ".join(map(str, images.shape[1:3])), ", ".join(model.images)
        raise InputError(f"--pixels: expected those of {names} in the files, {found}, found {model.pixels}")
    if images.min(initial=0) < 0:
        raise InputError(f"--images: expected pT of 0 or more in {', '.join(model.images)}, found {images.min():g}")
    return images


def _read_sequences(
    columns: tuple[str, ...], particles: int, order_by: str | None, jets: Jets, rows: slice | np.ndarray
) -> Sequences:
    return representations.sequences(jets, columns, particles=particles, order_by=order_by, rows=rows)


def _no_particles(particles: int, columns: tuple[str, ...]) -> Sequences:
    return Sequences(np.zeros((1, particles, len(columns)), np.float32), np.zeros((1, particles), bool))
