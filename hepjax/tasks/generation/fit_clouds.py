"""Generators of jets as clouds of particles: two flows are trained, and what they make is measured."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import evaluation, models
from hepjax.inputs import batching
from hepjax.tasks import generation
from hepjax.tasks.generation.fit_observables import VALIDATION, Fitting, learn, make_plan, separation
from hepjax.training import losses
from hepjax.types import Batch, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hepjax.tasks.generation import Clouds
    from hepjax.types import TrainState

HIDDEN = (64, 64, 64)
"""The layers of the network of totals."""
MANY = 4
"""So many times the epochs has the network of totals, which is small."""
MOST = 100_000
"""Particles of a sample that distances are measured with, at most."""


class CloudGenerator(NamedTuple):
    """What has learnt to make jets as clouds of particles."""

    make: Callable[[Clouds, int], Clouds]
    """(like, seed) → clouds of the classes, numbers of particles and pT of `like`."""
    like: Callable[[np.ndarray, int], Clouds]
    """((N,) class indices, seed) → jets to be alike in that, drawn out of those that it has learnt from."""
    view: Callable[[Clouds], Sequences]
    """What its network sees of clouds; so can a classifier."""


def fit_cloud_generator(
    clouds: Clouds,
    classes: Sequence[str],
    fitting: Fitting = Fitting(),  # noqa: B008
    *,
    steps: int = 40,
    network: models.CloudVelocity = models.CloudVelocity(),  # noqa: B008
) -> CloudGenerator:
    """Trains both flows of `generation.make_generator` by flow matching; see there how jets are made.

    Args:
      clouds: N jets.
      classes: C names.
      fitting: how both are trained; a part of the jets tells the best epoch.
      steps: of the ODE's solver.
      network: of the particles.

    Returns:
      The generator, with the parameters averaged over the last steps.

    Raises:
      InputError: a part is left without jets of a class.
    """
    rows = batching.split(
        len(clouds.pt), seed=fitting.seed, fractions=(1 - VALIDATION, VALIDATION, 0.0), labels=clouds.labels
    )
    train, val, key = clouds.take(rows.train), clouds.take(rows.val), jax.random.key(fitting.seed)
    scaling, count, networks, params = generation.fit_clouds(train), len(classes), [], []
    view = jax.jit(generation.make_view(scaling))
    for name, model, see, encode, augment, epochs in (
        ("totals", models.MLP(hidden=HIDDEN, outputs=2), generation.flat_view, generation.encode_totals, None, MANY),
        ("particles", network, view, generation.encode_particles, generation.mirror, 1),
    ):
        parts = [
            Batch(encode(part, scaling, count), np.zeros((len(part.pt), 1), np.float32), np.ones_like(part.pt, "f4"))
            for part in (train, val)
        ]
        one = jax.tree.map(lambda x: x[:1], parts[0].inputs)
        first, state = models.initialize(model, key, jax.jit(lambda x: see(generation.at_time(x, np.zeros(1))))(one))  # noqa: B023
        networks.append(generation.seen_by(models.make_apply(model), see))
        apply = generation.averaged(generation.make_matching(networks[-1], augment))
        start = (first, generation.start_average(first, state))
        longer = fitting._replace(epochs=fitting.epochs * epochs)
        found = _learn(name, apply, start, losses.mean_answer, (parts[0], parts[1]), longer)
        params.append(found.model_state[generation.AVERAGE])
    generate = generation.make_generator(networks[0], networks[1], scaling, count, steps=steps)

    def like(labels: np.ndarray, seed: int) -> Clouds:
        return train.take(generation.draw_jets(train, labels, seed))

    def seen(some: Clouds) -> Sequences:
        values, mask = jax.device_get(view(generation.encode_particles(some, scaling, count)).values)
        return Sequences(values, mask)

    return CloudGenerator(partial(generate, (params[0], params[1])), like, seen)


def tell_clouds_apart(
    found: Sequences,
    truth: Sequences,
    fitting: Fitting = Fitting(),  # noqa: B008
) -> evaluation.Distance:
    """The AUC of deep sets that tell two samples of jets apart by their particles; 0.5 where they cannot.

    Args:
      found: N jets, such as generated ones.
      truth: M simulated jets.
      fitting: how it is trained, on 40 % of the jets; 20 % tell the best epoch, 40 % the AUC.

    Returns:
      The AUC and its standard deviation.
    """
    x = jax.tree.map(lambda *both: np.concatenate(both), found, truth)
    targets = np.repeat(np.array([1, 0], np.int32), [len(found.mask), len(truth.mask)])
    rows = batching.split(len(targets), seed=fitting.seed, fractions=(0.4, 0.2, 0.4), labels=targets)
    data = Batch(x, targets, np.ones(len(targets), np.float32))
    train, val, test = (jax.tree.map(lambda values, part=part: values[part], data) for part in rows)
    model = models.DeepSets(particle=(64, 64, 32), hidden=(64,), outputs=2)
    first = models.initialize(model, jax.random.key(fitting.seed), jax.tree.map(lambda v: v[:1], train.inputs))
    apply = models.make_apply(model)
    best = _learn("classifier", apply, first, losses.categorical_cross_entropy, (train, val), fitting)
    return separation(
        jax.jit(apply)(best.params, best.model_state, test.inputs, test.weights > 0, None)[0], test.targets
    )


def cloud_distances(
    made: Mapping[str, Clouds], truth: Clouds, other: Clouds, classes: Sequence[str], *, seed: int = 0
) -> dict[str, dict[str, dict[str, evaluation.FloorComparison]]]:
    """How far generated clouds lie from simulated ones, beside how far simulated ones lie from each other.

    Args:
      made: generator → N jets with the classes of `other`.
      truth: simulated jets that none has learnt from.
      other: N simulated jets more.
      classes: C names.
      seed: of the bootstrap and of the divisions.

    Returns:
      "all" and each class → mass, pT, multiplicity, and Δη, Δφ, pT share of particles → generator → both distances.
      Of particles as many are taken of each as the smallest sample has, 100,000 at most; their errors leave out that
      a jet has many.
    """
    quantities = {
        name: generation.cloud_quantities(clouds, classes)
        for name, clouds in {**made, "truth": truth, "other": other}.items()
    }
    found: dict[str, dict[str, dict[str, evaluation.FloorComparison]]] = {}
    for kind in ("all", *classes):
        found[kind] = {}
        for quantity in quantities["truth"]:
            values = {
                name: np.concatenate([x for one, x in each[quantity].items() if kind in ("all", one)])
                for name, each in quantities.items()
            }
            if quantity in generation.CLOUD_COLUMNS:
                rng, count = np.random.default_rng(seed), min(MOST, *map(len, values.values()))
                values = {name: rng.choice(x, count, replace=False) for name, x in values.items()}
            reference, more = values.pop("truth"), values.pop("other")
            found[kind][quantity] = evaluation.compare_each_to_floor(values, reference, more, seed=seed)
    return found


def _learn(name: str, apply: Any, first: Any, loss: Any, parts: tuple[Batch, Batch], fitting: Fitting) -> TrainState:
    """Trains with a warm-up, which flows need; returns the best state, or the last good one."""
    train, val = parts
    plan = make_plan(apply, loss, len(train.targets), fitting, clip_norm=1.0, most_warmup=100)
    return learn(name, first, plan, parts, fitting, min(500, len(val.targets)))
