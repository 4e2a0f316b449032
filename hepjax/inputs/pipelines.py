"""From jets to the input of each kind of model: what is loaded on the host, and what becomes of it on the device."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import inputs as representations
from hepjax import models
from hepjax.choices import Channels, FurtherInput, PixelScale, Precision, Role, choose
from hepjax.data.dataset import P4
from hepjax.data.momenta import derivable_roles
from hepjax.data.standard_columns import can_be_computed, expand_sets
from hepjax.errors import InputError
from hepjax.inputs import apply_scaling, moments, replace_far
from hepjax.models import FeatureModel, GraphModel, ImageModel, Model, ParticleModel
from hepjax.types import Moments, ParticleInputs, Scaling, Sequences
from hepjax.types.short_repr import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.types import Dataset, Jets, PyTree

_ANGLES = (Role.ETA_REL, Role.PHI_REL)


class InputPipeline(NamedTuple):
    """The functions that turn jets into the input of a network."""

    network: Model
    load: Callable[[Jets, slice | np.ndarray], Any]
    """(jets, rows) → a pytree of host arrays, one row a jet: no more than the device needs."""
    statistics: Callable[[Any], Moments]
    """What `load` gave of some training jets → what they add to the statistics to scale by."""
    transform: Callable[[Scaling, Any], Any]
    """(scaling, what was loaded) → the network's input; runs on the device, compiled with the network."""
    example: Any
    """What `load` gives of one jet, with zeros in it."""
    columns: tuple[str, ...]
    """The names of the last axis of what is loaded."""
    scaled: int
    """F, the columns that are scaled."""
    images: tuple[str, ...] = ()
    """The images that the files must have."""
    spare: int | None = None
    """Slots of padding that a jet must keep where its list of particles is cut shorter; None where it must not be."""
    read_out: Callable[[Any, Any], jax.Array] = lambda outputs, _: outputs
    """(what the network gives, what it was given) → (B, outputs), which loss and predictions are made of."""

    def __repr__(self) -> str:
        """Shows arrays by their shapes."""
        return short_repr(self)


def make_pipeline(model: Model, outputs: int, dataset: Dataset) -> InputPipeline:
    """Makes the pipeline of a model.

    Args:
      model: says what it sees by its base class, and by its options.
      outputs: of the network.
      dataset: of the jets that the model learns from; names the columns that the model leaves open.

    Returns:
      The pipeline.

    Raises:
      InputError: the model does not say what it sees, or the jets have nothing of that kind.

    >>> import hepjax
    >>> jets = hepjax.read_jets()
    >>> pipeline = make_pipeline(models.DeepSets(particles=20), 5, jets.dataset)
    >>> pipeline.load(jets, slice(3)).values.shape
    (3, 20, 7)
    """
    network = resolve_model_columns(model, dataset)
    models.check_model(network)  # with the columns known, which some bounds depend on
    network = network.clone(outputs=network.output_count(outputs))
    if isinstance(network, FeatureModel):
        return _feature_pipeline(network)
    if isinstance(network, ImageModel):
        return _image_pipeline(network, dataset)
    if isinstance(network, GraphModel):
        return _graph_pipeline(network, dataset)
    if isinstance(network, ParticleModel):
        return _sequence_pipeline(network, dataset)
    raise InputError(
        f"model {type(model).__name__}: does not say what it sees; make it a subclass of hepjax.models.FeatureModel, "
        "ParticleModel, SequenceModel, GraphModel or ImageModel"
    )


def resolve_model_columns(model: Model, dataset: Dataset) -> Model:
    """Returns a model with the columns that it learns from, where it leaves them to the jets' dataset.

    Args:
      model: any.
      dataset: of the jets.

    Returns:
      The same model with all its columns named, to be recorded.

    Raises:
      InputError: the jets have no columns of the kind.

    >>> from hepjax.data import datasets
    >>> resolve_model_columns(models.MLP(), datasets.get("hls4ml")).features[:2]
    ('j_zlogz', 'j_c1_b0_mmdt')
    """
    columns: dict[str, Any] = {}
    if isinstance(model, FeatureModel) and not model.features:
        if not dataset.features:
            raise InputError(
                f"--features: the jets of the dataset {dataset.name} have no jet columns to learn from; train a model "
                "of particles, such as deepsets, or give files with jet columns"
            )
        columns["features"] = dataset.features
    if isinstance(model, ParticleModel):
        columns["columns"] = expand_sets(model.columns or _default_columns(model, dataset))
    if isinstance(model, GraphModel) and not model.by:
        columns["by"] = _columns_of_roles(_ANGLES, dataset)
    return model.clone(**columns)


def _default_columns(model: ParticleModel, dataset: Dataset) -> tuple[str, ...]:
    """The columns that a model prefers, if the jets have what they follow from; else those the dataset names."""
    if model.default_columns is None:
        return dataset.particle_features
    preferred = expand_sets(model.default_columns)
    known = all(name in dataset.particle_columns or can_be_computed(name, dataset) for name in preferred)
    return preferred if known else dataset.particle_features


def _columns_of_roles(roles: Sequence[Role], dataset: Dataset) -> tuple[str, ...]:
    """The columns that have these roles; the name of the role where it is to be derived."""
    return tuple(dataset.roles.get(role, role.value) for role in roles)


def make_apply(
    pipeline: InputPipeline, scaling: Scaling, precision: Precision | str = Precision.FLOAT32
) -> models.Apply:
    """Makes the pure function from what was loaded to the outputs that the task reads out.

    Args:
      pipeline: of the model.
      scaling: fitted on the training part.
      precision: of the network; its input is made, and its outputs are given, in float32.

    Returns:
      (params, model_state, inputs, mask, key) → (outputs, model_state).
    """
    precision, network = choose(Precision, precision, "precision"), models.make_apply(pipeline.network)

    def cast(tree: PyTree, dtype: Any) -> PyTree:
        return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)

    def apply(
        params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        seen = pipeline.transform(scaling, inputs)
        given = seen
        if precision is not Precision.FLOAT32:
            params, given = cast((params, seen), precision.value)
        outputs, model_state = network(params, model_state, given, mask, key)
        outputs, model_state = cast((outputs, model_state), jnp.float32)
        return pipeline.read_out(outputs, seen)[: mask.shape[0]], model_state  # a batch of graphs ends with its padding

    return apply


def initialize_from_example(pipeline: InputPipeline, key: jax.Array) -> tuple[PyTree, PyTree]:
    """Draws the network's parameters.

    Args:
      pipeline: of the model.
      key: () typed PRNG key.

    Returns:
      The parameters, and the other variables.
    """

    def draw(key: jax.Array) -> tuple[PyTree, PyTree]:
        return models.initialize(pipeline.network, key, pipeline.transform(blank_scaling(pipeline), pipeline.example))

    # Parameters depend on the shapes of the input alone: compiled together, the input is never made.
    drawn: tuple[PyTree, PyTree] = jax.jit(draw)(key)
    return drawn


def blank_scaling(pipeline: InputPipeline) -> Scaling:
    """Returns the scaling that changes nothing.

    Args:
      pipeline: of the model.

    Returns:
      Means of 0 and deviations of 1.
    """
    return Scaling(np.zeros(pipeline.scaled, np.float32), np.ones(pipeline.scaled, np.float32))


def _feature_pipeline(model: FeatureModel) -> InputPipeline:
    return InputPipeline(
        network=model,
        load=lambda jets, rows: representations.tabular(jets, model.features, rows=rows),
        statistics=moments,
        transform=apply_scaling,
        example=np.zeros((1, len(model.features)), np.float32),
        columns=model.features,
        scaled=len(model.features),
    )


def _check_further_inputs(model: ParticleModel, dataset: Dataset) -> None:
    """Refuses jets that lack the places or the momenta that a network looks at."""
    known = derivable_roles(dataset)
    for kind in model.further_inputs():
        what, roles = ("places", _ANGLES) if kind is FurtherInput.POINTS else ("four-momenta", P4)
        if not {*roles} <= known:
            raise InputError(
                f"model {type(model).__name__}: looks at {what} of particles, which the jets of the dataset "
                f"{dataset.name} lack; say which columns are {', '.join(role.value for role in roles)} in a "
                "description (--dataset), or train a model of any columns, such as deepsets"
            )


def _sequence_pipeline(model: ParticleModel, dataset: Dataset) -> InputPipeline:
    asked = model.further_inputs()
    _check_further_inputs(model, dataset)
    angles = _columns_of_roles(_ANGLES, dataset) if FurtherInput.POINTS in asked else ()
    p4 = _columns_of_roles(P4, dataset) if {FurtherInput.MOMENTA, FurtherInput.PAIRS} & {*asked} else ()
    columns = tuple(dict.fromkeys((*model.columns, *angles, *p4)))

    def sequence_transform(scaling: Scaling, x: Sequences) -> Sequences | ParticleInputs:
        scaled = apply_scaling(scaling, x.values, x.mask)[..., : len(model.columns)]
        if not asked:
            return x._replace(values=scaled)
        values = jnp.where(x.mask[..., None], replace_far(scaling, x.values), 0)
        points, momenta = (
            values[..., [columns.index(name) for name in names]] if names else None for names in (angles, p4)
        )
        return ParticleInputs(
            scaled,
            x.mask,
            points=points,
            momenta=momenta if FurtherInput.MOMENTA in asked else None,
            pairs=representations.all_pair_features(momenta) if FurtherInput.PAIRS in asked else None,
        )

    return InputPipeline(
        network=model,
        load=partial(_read_sequences, columns, model),
        statistics=lambda x: moments(x.values, x.mask),
        transform=sequence_transform,
        example=_no_particles_error(model.particles, columns),
        columns=columns,
        scaled=len(columns),
        spare=model.min_padding(),
    )


def _graph_pipeline(model: GraphModel, dataset: Dataset) -> InputPipeline:
    by = model.by if model.neighbors or model.radius else ()
    p4 = _columns_of_roles(P4, dataset) if model.edge_features else ()
    columns = tuple(dict.fromkeys((*model.columns, *by, *p4)))
    azimuths = representations.azimuths(dataset)

    def graph_transform(scaling: Scaling, x: Sequences) -> Any:
        scaled = apply_scaling(scaling, x.values, x.mask)
        values = jnp.where(x.mask[..., None], replace_far(scaling, x.values), x.values)
        return representations.build_graph(
            scaled[..., : len(model.columns)],
            x.mask,
            neighbors=model.neighbors,
            radius=model.radius,
            points=representations.coordinates(values, columns, by, azimuths) if by else None,
            p4=values[..., [columns.index(name) for name in p4]] if p4 else None,
        )

    return InputPipeline(
        network=model,
        load=partial(_read_sequences, columns, model),
        statistics=lambda x: moments(x.values, x.mask),
        transform=graph_transform,
        example=_no_particles_error(model.particles, columns),
        columns=columns,
        scaled=len(columns),
        spare=model.min_padding(),
    )


def _image_pipeline(model: ImageModel, dataset: Dataset) -> InputPipeline:
    shared: dict[str, Any] = {"value": model.value, "channels": model.channels}
    roles = representations.image_columns(**shared)
    columns = _columns_of_roles([Role(role) for role in roles], dataset)
    if model.channels is Channels.CHARGED_NEUTRAL and not model.images:
        representations.check_masses_there(dataset)

    def load_image_particles(jets: Jets, rows: slice | np.ndarray) -> Any:
        if model.images:
            return _check_image_inputs(representations.file_images(jets, model.images, rows=rows), model)
        particles = _read_sequences(columns, model, jets, rows)
        if model.channels is Channels.CHARGED_NEUTRAL:
            representations.check_masses_known(particles.values[..., [roles.index(role.value) for role in P4]])
        return particles

    def draw_image_batch(particles: Sequences) -> jax.Array:
        grid: dict[str, Any] = {"pixels": model.pixels, "size": model.pixel_size}
        turns: dict[str, Any] = {"rotate": model.rotate, "flip": model.flip}
        return representations.draw(particles, columns=roles, **grid, **shared, **turns)

    scale = representations.amplitudes if model.pixel_scale is PixelScale.AMPLITUDE else jnp.log1p
    blank = np.zeros((1, model.pixels, model.pixels, len(model.images)), np.float32)
    return InputPipeline(
        network=model,
        load=load_image_particles,
        statistics=lambda _: Moments(1, np.zeros(0), np.zeros(0)),
        transform=lambda _, x: scale(x if model.images else draw_image_batch(x)),
        example=blank if model.images else _no_particles_error(model.particles, columns),
        columns=model.images or columns,
        scaled=0,
        images=model.images,
    )


def _check_image_inputs(images: np.ndarray, model: ImageModel) -> np.ndarray:
    if images.shape[1:3] != (model.pixels, model.pixels):
        size, names = " by ".join(map(str, images.shape[1:3])), ", ".join(model.images)
        raise InputError(f"--pixels: expected those of {names} in the files, {size}, found {model.pixels}")
    if images.min(initial=0) < 0:
        raise InputError(f"--images: expected pT of 0 or more in {', '.join(model.images)}, found {images.min():g}")
    return images


def _read_sequences(
    columns: tuple[str, ...], model: ParticleModel | ImageModel, jets: Jets, rows: slice | np.ndarray
) -> Sequences:
    """The first particles of jets; for models that pass over padding, jets of few slots are filled up with it."""
    asked, order_by = model.particles, getattr(model, "order_by", None)
    fills = isinstance(model, ParticleModel) and model.min_padding() == 0
    particles = min(asked, int(jets.constituents.shape[1])) if fills else asked
    read = representations.sequences(jets, columns, particles=particles, order_by=order_by, rows=rows)
    missing = ((0, 0), (0, asked - particles))
    return Sequences(np.pad(read.values, (*missing, (0, 0))), np.pad(read.mask, missing)) if particles < asked else read


def _no_particles_error(particles: int, columns: tuple[str, ...]) -> Sequences:
    return Sequences(np.zeros((1, particles, len(columns)), np.float32), np.zeros((1, particles), bool))
