"""Jets as clouds of massless particles, and their encoding for flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError
from hepjax.numerics import safe_sqrt
from hepjax.physics import kinematics
from hepjax.types import Conditioned, Scaling, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


CLOUD_COLUMNS = ("j1_etarel", "j1_phirel", "j1_ptrel")
"""The generated columns of a particle."""
FEWEST = 10
"""The smallest number of jets of a class that a generator can be trained on."""

_MOST = 1.02  # the shares of pT add up to about 1 at most; rounding of files adds a little
_LEAST = 1e-3
_CONSTANT = 1e-6  # a deviation below this share of the mean is that of rounding
_LIGHTEST = 1.0  # GeV; a single particle has no mass, and no logarithm of it


class Clouds(NamedTuple):
    """N jets as at most P massless particles, in NumPy."""

    values: np.ndarray
    """(N, P, 3) float, the columns `CLOUD_COLUMNS`: Δη, Δφ in radians, pT over that of the jet; padding is 0."""
    mask: np.ndarray
    """(N, P) bool, True for a particle; they come first, by falling pT."""
    pt: np.ndarray
    """(N,) the whole jet's pT, GeV."""
    labels: np.ndarray
    """(N,) int, class indices."""

    def take(self, rows: Any) -> Clouds:
        """Selects rows of the clouds."""
        return Clouds(*(x[rows] for x in self))


class CloudScaling(NamedTuple):
    """Statistics of the training split for standardization."""

    particles: Scaling
    """(P, 3) mean and deviation of Δη, Δφ and ln of the pT share of the particles of each rank."""
    jets: Scaling
    """(2,) mean and deviation of the number of particles and of ln of pT in GeV."""
    totals: Scaling
    """(2,) mean and deviation of ln of the mass in GeV and of -ln(1.02 - Σ pT shares)."""


def make_clouds(sequences: Sequences, pt: Any, labels: Any, classes: Sequence[str], chosen: Sequence[str]) -> Clouds:
    """Checks the training jets of a generator and selects the requested classes.

    Args:
      sequences: (N, P, 3) values of the columns `CLOUD_COLUMNS`, and their mask.
      pt: (N,) jet pT, GeV.
      labels: (N,) indices into `classes`; None is refused.
      classes: the names of the classes in the files.
      chosen: the classes to select; their order is that of the new labels.

    Returns:
      The clouds; jets without particles are left out.

    Raises:
      InputError: jets have no labels, a class is not in the files or has fewer than ten jets, or a momentum share or a
        pT is not positive and finite.

    >>> two = Sequences(np.full((20, 2, 3), 0.1), np.ones((20, 2), bool))
    >>> clouds = make_clouds(two, np.full(20, 1e3), np.repeat([0, 1], 10), ("q", "t"), ("t",))
    >>> len(clouds.pt), set(clouds.labels.tolist())
    (10, {0})
    """
    if labels is None:
        raise InputError("labels: a generator of each class needs jets with labels, found none; give other files")
    values, mask = np.asarray(sequences.values, np.float64), np.asarray(sequences.mask)
    pt, labels = np.asarray(pt, np.float64), np.asarray(labels)
    if values.shape != (*mask.shape, len(CLOUD_COLUMNS)):
        raise InputError(f"particles: expected the columns {', '.join(CLOUD_COLUMNS)}, found shape {values.shape}")
    for name in chosen:
        count = int(np.sum((labels == classes.index(name)) & mask.any(axis=1))) if name in classes else 0
        if count == 0:
            present = [label for i, label in enumerate(classes) if (labels == i).any()]
            raise InputError(f"classes: {name} is not in the files, which hold {', '.join(present)}; choose of these")
        if count < FEWEST:
            raise InputError(
                f"classes: expected {FEWEST} jets of {name} or more to learn from, found {count}; give more files"
            )
    places = np.full(len(classes), -1)
    places[[classes.index(name) for name in chosen]] = np.arange(len(chosen))
    keep = (places[labels] >= 0) & mask.any(axis=1)
    return check_clouds(Clouds(np.where(mask[..., None], values, 0), mask, pt, places[labels]).take(keep))


def check_clouds(clouds: Clouds) -> Clouds:
    """Refuses clouds of which nothing can be learned, and returns them.

    Args:
      clouds: N jets.

    Raises:
      InputError: a momentum share or a pT is not positive and finite, or an angle not finite.
    """
    particles = clouds.values[clouds.mask]
    if not (np.isfinite(particles).all() and (particles[:, 2] > 0).all() and (clouds.pt > 0).all()):
        raise InputError("particles: expected finite angles and positive pT, found others; remove those jets")
    return clouds


def cloud_observables(clouds: Clouds) -> dict[str, np.ndarray]:
    """Computes the observables of the sum of the particles of each cloud.

    Args:
      clouds: N jets.

    Returns:
      (N,) `j_mass` and `j_pt` in GeV of the sum of the particles; `share`, the sum of their pT over the pT of the whole
      jet; `j_multiplicity`, the number of particles.

    >>> back_to_back = np.array([[[0.0, 0.3, 0.5], [0.0, -0.3, 0.5]]])
    >>> clouds = Clouds(back_to_back, np.ones((1, 2), bool), np.array([1000.0]), np.array([0]))
    >>> cloud_observables(clouds)["j_mass"].round(2).item(), (1000 * np.sin(0.3)).round(2).item()
    (295.52, 295.52)
    """
    eta, phi, share = np.moveaxis(np.asarray(clouds.values, np.float64), -1, 0)
    share = np.where(clouds.mask, share, 0)
    total = kinematics.from_pt_eta_phi_mass(share * clouds.pt[:, None], eta, phi, np.zeros_like(eta)).sum(axis=1)
    return {
        "j_mass": kinematics.mass(total),
        "j_pt": kinematics.pt(total),
        "share": share.sum(axis=1),
        "j_multiplicity": clouds.mask.sum(axis=1).astype(np.float64),
    }


def cloud_columns(clouds: Clouds) -> dict[str, np.ndarray]:
    """Collects the quantities in which generated and simulated jets are compared, as columns.

    Args:
      clouds: N jets.

    Returns:
      `j_mass`, `j_pt`, `j_multiplicity`, (N,) float32 of the sum of the particles; and the `CLOUD_COLUMNS`, (N, P) of
      particles, NaN where there is none.
    """
    observables = cloud_observables(clouds)
    columns = {name: observables[name] for name in ("j_mass", "j_pt", "j_multiplicity")}
    columns |= {name: np.where(clouds.mask, clouds.values[..., f], np.nan) for f, name in enumerate(CLOUD_COLUMNS)}
    return {name: column.astype(np.float32) for name, column in columns.items()}


def cloud_quantities(clouds: Clouds, classes: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Collects the values of `cloud_columns` by class.

    Args:
      clouds: N jets.
      classes: names of the C classes.

    Returns:
      Column → class → (n,) values, of jets or of particles.
    """
    return {
        name: {label: present(column[clouds.labels == i]) for i, label in enumerate(classes)}
        for name, column in cloud_columns(clouds).items()
    }


def present(column: np.ndarray) -> np.ndarray:
    """Returns the (n,) values of a column: of jets all, of particles those that there are.

    >>> present(np.array([[1.0, 2.0], [3.0, np.nan]])).tolist()
    [1.0, 2.0, 3.0]
    """
    return column if column.ndim == 1 else column[~np.isnan(column)]


def pixels(clouds: Clouds, count: int = 40, size: float = 0.02) -> np.ndarray:
    """Converts jets to images of pT.

    Args:
      clouds: N jets.
      count: number of pixels along Δη and along Δφ, centered on the axis.
      size: size of a pixel.

    Returns:
      (N, count, count) float32 pT in GeV; axis 1 is Δφ, axis 2 is Δη. Particles outside of the image are ignored.

    >>> cloud = Clouds(np.array([[[0.01, -0.01, 0.5]]]), np.ones((1, 1), bool), np.array([1000.0]), np.array([0]))
    >>> pixels(cloud, 2)[0].tolist()
    [[0.0, 500.0], [0.0, 0.0]]
    """
    places = np.floor(clouds.values[..., 1::-1] / size + count / 2).astype(int)
    inside = clouds.mask & ((places >= 0) & (places < count)).all(axis=-1)
    jets = np.broadcast_to(np.arange(len(clouds.pt))[:, None], inside.shape)
    images = np.zeros((len(clouds.pt), count, count), np.float32)
    np.add.at(images, (jets[inside], *places[inside].T), (clouds.values[..., 2] * clouds.pt[:, None])[inside])
    return images


def cloud_inputs(clouds: Clouds) -> Conditioned:
    """Collects what a generator is given of jets; masses are computed here, in float64.

    Args:
      clouds: N jets.

    Returns:
      Float32: `Sequences` of (N, P, 3) Δη, Δφ and pT share, and (N, 4) conditions: class index, pT and mass in GeV, and
      the sum of the pT shares.
    """
    observables = cloud_observables(clouds)
    columns = [clouds.labels, clouds.pt, observables["j_mass"], observables["share"]]
    values = np.where(clouds.mask[..., None], clouds.values, 0).astype(np.float32)
    return Conditioned(Sequences(values, clouds.mask), np.stack(columns, axis=1).astype(np.float32))


def fit_cloud_scaling(inputs: Conditioned) -> CloudScaling:
    """Computes the means and standard deviations of the training split.

    Args:
      inputs: of N jets, from `cloud_inputs`.

    Returns:
      The statistics; a deviation is 1 where a feature is constant, or a rank has fewer than two particles.
    """
    mask = np.asarray(inputs.values.mask)
    particles = _cloud_particles(inputs.values)
    each = [
        _cloud_feature_scaling(of_rank[inside])
        for of_rank, inside in zip(particles.swapaxes(0, 1), mask.T, strict=True)
    ]
    return CloudScaling(
        Scaling(np.stack([rank.mean for rank in each]), np.stack([rank.std for rank in each])),
        _cloud_feature_scaling(_cloud_jets(inputs)),
        _cloud_feature_scaling(_cloud_totals(inputs)),
    )


def encode_totals(inputs: Conditioned, scaling: CloudScaling, classes: int) -> Conditioned:
    """Encodes the totals of jets as data of the first flow; pure, for JAX arrays.

    Args:
      inputs: of B jets, from `cloud_inputs`.
      scaling: statistics of the training split.
      classes: number of classes, C.

    Returns:
      (B, 2) standardized totals, and (B, C + 2) conditions: the one-hot class, and the standardized number of particles
      and ln pT.
    """
    given = jax.tree.map(jnp.asarray, inputs)
    kind = jax.nn.one_hot(given.condition[:, 0].astype(jnp.int32), classes)
    condition = jnp.concatenate([kind, _standardize_cloud_features(_cloud_jets(given), scaling.jets)], axis=1)
    return Conditioned(_standardize_cloud_features(_cloud_totals(given), scaling.totals), condition)


def encode_particles(inputs: Conditioned, scaling: CloudScaling, classes: int) -> Conditioned:
    """Encodes the particles of jets as data of the second flow; pure, for JAX arrays.

    Args:
      inputs: of B jets, from `cloud_inputs`.
      scaling: statistics of the training split.
      classes: number of classes, C.

    Returns:
      `Sequences` of (B, P, 3) standardized particles, and (B, C + 4) conditions: those of `encode_totals` followed by
      the totals.
    """
    given, totals = jax.tree.map(jnp.asarray, inputs), encode_totals(inputs, scaling, classes)
    mask = given.values.mask
    values = jnp.where(
        mask[..., None], _standardize_cloud_features(_cloud_particles(given.values), scaling.particles), 0
    )
    return Conditioned(Sequences(values, mask), jnp.concatenate([totals.condition, totals.values], axis=1))


def make_view(scaling: CloudScaling) -> Callable[[Conditioned], Conditioned]:
    """Makes the function that adds derived features to the inputs of the network of particles.

    Args:
      scaling: statistics of the training split.

    Returns:
      A function of points (B, P, 3) with their mask, and of conditions. It adds the one-hot rank, the transverse
      momentum and the contribution to the squared mass of each particle, (B, P, 3 + P + 4), and it appends their sums
      and the mass, as shares of the pT of the jet, to the conditions: five more numbers.
    """
    slots = len(scaling.particles.mean)

    def view(inputs: Conditioned) -> Conditioned:
        mask = jnp.asarray(inputs.values.mask)
        values = jnp.where(mask[..., None], inputs.values.values, 0)
        eta, phi, log_share = jnp.moveaxis(values * scaling.particles.std + scaling.particles.mean, -1, 0)
        share = jnp.where(mask, jnp.exp(jnp.minimum(log_share, 1.0)), 0)
        terms = jnp.stack([share, share * eta, share * phi, share * (eta**2 + phi**2)], axis=-1)
        sums = jnp.sum(terms, axis=1)
        mass = safe_sqrt(sums[:, 0] * sums[:, 3] - sums[:, 1] ** 2 - sums[:, 2] ** 2)
        # The factors make all numbers of order one.
        added = jnp.concatenate([sums * jnp.array([2, 20, 20, 50]), 10 * mass[:, None]], axis=1)
        ranks = jnp.broadcast_to(jnp.eye(slots), (len(share), slots, slots))
        features = jnp.concatenate([values, ranks, terms * jnp.array([10, 100, 100, 500])], axis=-1)
        return Conditioned(Sequences(features, mask), jnp.concatenate([inputs.condition, added], axis=1))

    return view


def mirror(key: jax.Array, values: Sequences) -> Sequences:
    """Reflects the Δη and Δφ of each jet at random, which gives up to four equally probable jets.

    Args:
      key: () typed PRNG key.
      values: (B, P, F) features, Δη and Δφ first, with means near 0.

    Returns:
      The reflected features, of the same shape.
    """
    x = jnp.asarray(values.values)
    sign = jax.random.rademacher(key, (len(x), 1, 2), x.dtype)
    return values._replace(values=jnp.concatenate([x[..., :2] * sign, x[..., 2:]], axis=-1))


def decode_totals(values: np.ndarray, scaling: CloudScaling) -> tuple[np.ndarray, np.ndarray]:
    """Decodes the totals that the first flow generated.

    Args:
      values: (N, 2) standardized totals.
      scaling: statistics as in `encode_totals`.

    Returns:
      (N,) masses in GeV and (N,) shares of the pT of the jet.
    """
    log_mass, log_rest = (np.asarray(values, np.float64) * scaling.totals.std + scaling.totals.mean).T
    return np.exp(log_mass), np.maximum(_MOST - np.exp(-log_rest), _LEAST)


def decode_particles(values: np.ndarray, like: Clouds, scaling: CloudScaling) -> Clouds:
    """Decodes the particles that the second flow generated, sorted by falling pT.

    Args:
      values: (N, P, 3) standardized particles.
      like: N jets that provide masks, pT and labels.
      scaling: statistics as in `encode_particles`.

    Returns:
      The clouds. No particle has more than the pT of the jet.
    """
    features = np.asarray(values, np.float64) * scaling.particles.std + scaling.particles.mean
    features[..., 2] = np.exp(np.minimum(features[..., 2], 0))
    features = np.where(like.mask[..., None], features, 0)
    order = np.argsort(-features[..., 2], axis=1, kind="stable")
    return like._replace(values=np.take_along_axis(features, order[..., None], axis=1))


def _cloud_particles(particles: Any) -> Any:
    """Returns (N, P, 3) Δη, Δφ and ln of the pT share, 0 in the padding; of NumPy or JAX arrays."""
    xp = particles.values.__array_namespace__()
    share = xp.log(xp.where(particles.mask, particles.values[..., 2], 1))
    return xp.concatenate([particles.values[..., :2], share[..., None]], axis=-1)


def _cloud_jets(inputs: Conditioned) -> Any:
    """Returns (N, 2) number of particles and ln pT; finite in rows of zeros, which fill up batches."""
    xp: Any = inputs.condition.__array_namespace__()
    pt = inputs.condition[:, 1]
    return xp.stack([xp.sum(inputs.values.mask, axis=1).astype(pt.dtype), xp.log(xp.maximum(pt, _LEAST))], axis=1)


def _cloud_totals(inputs: Conditioned) -> Any:
    """Returns (N, 2) ln of the mass and -ln(1.02 - Σ pT shares)."""
    xp: Any = inputs.condition.__array_namespace__()
    mass, share = inputs.condition[:, 2], inputs.condition[:, 3]
    return xp.stack([xp.log(xp.maximum(mass, _LIGHTEST)), -xp.log(xp.maximum(_MOST - share, _LEAST))], axis=1)


def _cloud_feature_scaling(features: np.ndarray) -> Scaling:
    """Computes mean and deviation of (n, F) features, in float64; n may be 0."""
    width = features.shape[1]
    mean, std = np.zeros(width), np.ones(width)
    if len(features) > 1:
        mean, std = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    constant = std <= _CONSTANT * np.maximum(np.abs(mean), 1)
    return Scaling(mean.astype(np.float32), np.where(constant, 1.0, std).astype(np.float32))


def _standardize_cloud_features(features: Any, scaling: Scaling) -> Any:
    return (features - scaling.mean) / scaling.std
