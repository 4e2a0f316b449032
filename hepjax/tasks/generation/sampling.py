"""New jets out of a trained generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hepjax.errors import InputError
from hepjax.tasks.generation import device
from hepjax.tasks.generation.cloud_encoding import Clouds, cloud_columns
from hepjax.tasks.generation.cloud_networks import CloudGenerator
from hepjax.tasks.generation.cloud_sampling import make_clouds_by
from hepjax.tasks.generation.flows import normal_nll, sample_flow
from hepjax.tasks.generation.networks import PREPARATION, ObservableGenerator, generator_decoder
from hepjax.tasks.generation.preparation import COORDINATES, calibrate, prepare, restore_observables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.tasks.generation.preparation import Preparation
    from hepjax.tasks.task_types import TrainedNetwork

_CALIBRATION = 5000  # generated jets of each class for the calibration of spectra
_SEED = 1  # of these jets


class Trained(Protocol):
    """The result of `hepjax.load`."""

    @property
    def networks(self) -> Sequence[TrainedNetwork]:
        """Returns the network, or several."""

    @property
    def task(self) -> Any:
        """Returns the task that was learned."""


def generate(tagger: Trained, labels: Any, seed: int = 0) -> np.ndarray:
    """Generates new jets of requested classes.

    Args:
      tagger: of a run of the task `generation`, from `hepjax.load(folder)`.
      labels: (N,) indices into `tagger.task.classes`, or names of classes.
      seed: seed of the random numbers.

    Returns:
      (N, 16) float32 observables, in the order of `hls4ml.STANDARD_FEATURES`. Several networks take turns.

    Raises:
      InputError: it is no generator, a class is unknown or was not among the training jets, or a number is not finite.
    """
    networks = tuple(tagger.networks)
    if not networks or not isinstance(networks[0].pipeline.network, ObservableGenerator):
        raise InputError(
            "tagger: expected the folder of a run of coupling-flow or variational-autoencoder with --task generation, "
            "loaded by hepjax.load; particles are made by generate_clouds"
        )
    return generate_by_networks(
        networks, _requested_class_indices(labels, tagger.task.classes), tagger.task.classes, seed
    )


def generate_baseline(tagger: Trained, labels: Any, seed: int = 0) -> np.ndarray:
    """Generates jets of the baseline, a multivariate normal distribution of the prepared numbers of each class.

    It reproduces the spectra of each class, and all correlations that a covariance can describe.

    Args:
      tagger: as in `generate`; of its networks the first has the preparation.
      labels: as in `generate`.
      seed: seed of the random numbers.

    Returns:
      (N, 16) float32 observables.
    """
    kinds = _requested_class_indices(labels, tagger.task.classes)
    z = np.random.default_rng(seed).normal(size=(len(kinds), COORDINATES))
    return restore_observables(_preparation_of_network(tagger), z, kinds)


def baseline_nll(tagger: Trained, x: Any, labels: Any) -> np.ndarray:
    """Computes -ln p of jets under the baseline of `generate_baseline`.

    Args:
      tagger: as there.
      x: (N, 16) observables.
      labels: as in `generate`.

    Returns:
      (N,) float64, in the same coordinates as the density of a flow.
    """
    return normal_nll(
        prepare(_preparation_of_network(tagger), x, _requested_class_indices(labels, tagger.task.classes))
    )


def _preparation_of_network(tagger: Trained) -> Preparation:
    arrays = tagger.networks[0].model_state[PREPARATION]["arrays"]
    return device.preparation_of_arrays(arrays, tagger.task.classes)


def generate_by_networks(
    networks: Sequence[TrainedNetwork], labels: np.ndarray, classes: Sequence[str], seed: int
) -> np.ndarray:
    """Generates new jets by one network, or by several in turns.

    Args:
      networks: generators.
      labels: (N,) indices into `classes`.
      classes: the names of the classes.
      seed: seed of the random numbers.

    Returns:
      (N, 16) float32 observables.

    Raises:
      InputError: a class was not among the training jets, or a number is not finite.
    """
    count, turns = len(networks), np.arange(len(labels)) % len(networks)
    parts = [
        _generate_by_network(network, labels[turns == i], classes, seed * count + i) if (turns == i).any() else None
        for i, network in enumerate(networks)
    ]
    first = next(part for part in parts if part is not None)
    jets = np.empty((len(labels), first.shape[1]), np.float32)
    for i, part in enumerate(parts):
        if part is not None:
            jets[turns == i] = part
    return jets


def generate_columns(
    networks: Sequence[TrainedNetwork], labels: np.ndarray, classes: Sequence[str], seed: int
) -> dict[str, np.ndarray]:
    """Generates new jets, as the columns in which they are compared with simulated ones.

    Args:
      networks: generators; several take turns.
      labels: (N,) indices into `classes`.
      classes: the names of the classes.
      seed: seed of the random numbers.

    Returns:
      Name → (N,) float32 of jets, or (N, P) of particles, NaN where there is none.
    """
    if isinstance(networks[0].pipeline.network, CloudGenerator):
        return cloud_columns(generate_clouds_by(networks, labels, classes, seed))
    return dict(zip(networks[0].pipeline.columns, generate_by_networks(networks, labels, classes, seed).T, strict=True))


def generate_clouds(tagger: Trained, labels: Any, seed: int = 0) -> Clouds:
    """Generates new jets of requested classes as clouds of particles.

    Args:
      tagger: of a run of `cloud-velocity` by the task `generation`, from `hepjax.load(folder)`.
      labels: (N,) indices into `tagger.task.classes`, or names of classes.
      seed: seed of the random numbers.

    Returns:
      N clouds. Several networks take turns.

    Raises:
      InputError: it is no generator of clouds, a class is unknown or was not among the training jets, or a flow
        diverges.
    """
    networks = tuple(tagger.networks)
    if not networks or not isinstance(networks[0].pipeline.network, CloudGenerator):
        raise InputError("tagger: expected the folder of a run of cloud-velocity, loaded by hepjax.load")
    return generate_clouds_by(
        networks, _requested_class_indices(labels, tagger.task.classes), tagger.task.classes, seed
    )


def generate_clouds_by(
    networks: Sequence[TrainedNetwork], labels: np.ndarray, classes: Sequence[str], seed: int
) -> Clouds:
    """Generates new clouds by one network, or by several in turns; arguments are those of `generate_by_networks`."""
    parts = []
    turns = np.arange(len(labels)) % len(networks)
    for i, network in enumerate(networks):
        if (turns == i).any():
            parts.append(make_clouds_by(network, labels[turns == i], classes, seed * len(networks) + i))
    order = np.argsort(np.argsort(turns, kind="stable"), kind="stable")
    return Clouds(*(np.concatenate(arrays)[order] for arrays in zip(*parts, strict=True)))


def _generate_by_network(network: TrainedNetwork, labels: np.ndarray, classes: Sequence[str], seed: int) -> np.ndarray:
    arrays = network.model_state[PREPARATION]["arrays"]
    absent = [classes[c] for c in np.unique(labels) if np.asarray(arrays["counts"])[c] == 0]
    if absent:
        raise InputError(f"labels: {', '.join(absent)} was not among the training jets; choose of the other classes")
    generator: Any = network.pipeline.network
    from_latent, latent = generator_decoder(generator, network.model_state)
    eye, preparation = np.eye(len(classes), dtype=np.float32), device.preparation_of_arrays(arrays, classes)
    kinds = np.repeat(np.arange(len(classes)), _CALIBRATION)
    preparation = calibrate(preparation, sample_flow(from_latent, eye[kinds], latent, _SEED), kinds)
    # Seeds are moved on, so that jets are never those of the calibration.
    return restore_observables(preparation, sample_flow(from_latent, eye[labels], latent, seed + _SEED + 1), labels)


def _requested_class_indices(labels: Any, classes: Sequence[str]) -> np.ndarray:
    values = np.asarray(labels)
    if values.ndim != 1 or not len(values):
        raise InputError(f"labels: expected the shape (N,), a class for each jet to make, found {values.shape}")
    if values.dtype.kind in "US":
        unknown = sorted({*map(str, values)} - {*classes})
        if unknown:
            raise InputError(f"labels: expected classes of {', '.join(classes)}, found {', '.join(unknown)}")
        return np.array([classes.index(str(name)) for name in values])
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= len(classes):
        raise InputError(
            f"labels: expected names of classes, or whole numbers from 0 to {len(classes) - 1}, the classes "
            f"{', '.join(classes)}; found others"
        )
    return values
