"""Training of two flows that generate jets as clouds of particles, and comparison with simulated jets.

A study beside the task `generation`, with a loop of its own: two networks are trained one after the other.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import evaluation, models, training
from hepjax.choices import Optimizer, Schedule
from hepjax.inputs import batching
from hepjax.tasks import generation
from hepjax.training import losses
from hepjax.types import Batch, Scores, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hepjax.tasks.generation import Clouds
    from hepjax.types import Epoch, TrainState

VALIDATION = 0.15
"""The share of the training jets that is used for validation."""
HIDDEN = (64, 64, 64)
"""The widths of the hidden layers of the network of totals."""
TOTALS_EPOCHS = 4
"""The factor on the number of epochs for the network of totals, which is small."""
MOST = 100_000
"""The largest number of particles of a sample for which distances are computed."""


class Fitting(NamedTuple):
    """Settings of a training by Adam with a learning rate that falls to 0; the best epoch is kept."""

    epochs: int = 40
    learning_rate: float = 2e-3
    batch_size: int = 128
    seed: int = 0
    """The seed of the split, the initial parameters, the order of jets and the random numbers."""
    log: Callable[[str], None] = lambda words: None  # noqa: ARG005
    """A function that is called with a line of text if a training diverges."""
    on_epoch: Callable[[str, Epoch], None] = lambda name, epoch: None  # noqa: ARG005

    """A function that is called with the name of the network and the epoch after each epoch."""


class CloudGenerator(NamedTuple):
    """A trained generator of jets as clouds of particles."""

    make: Callable[[Clouds, int], Clouds]
    """A function from (like, seed) to clouds with the classes, numbers of particles and pT of `like`."""
    like: Callable[[np.ndarray, int], Clouds]
    """A function from ((N,) class indices, seed) to template clouds, drawn from the training jets."""
    view: Callable[[Clouds], Sequences]
    """A function from clouds to the input of its network, which suits a classifier too."""


def fit_cloud_generator(
    clouds: Clouds,
    classes: Sequence[str],
    fitting: Fitting = Fitting(),  # noqa: B008
    *,
    steps: int = 40,
    network: models.CloudVelocity = models.CloudVelocity(),  # noqa: B008
) -> CloudGenerator:
    """Trains both flows of `generation.make_generator` by flow matching.

    Args:
      clouds: N jets.

      classes: names of the C classes.
      fitting: settings of both trainings; a validation split determines the best epoch.
      steps: number of steps of the ODE solver.
      network: network of the particles.

    Returns:
      The generator, with the parameters averaged over the last steps.

    Raises:
      InputError: a split has no jets of a class.
    """
    rows = batching.split(
        len(clouds.pt), seed=fitting.seed, fractions=(1 - VALIDATION, VALIDATION, 0.0), labels=clouds.labels
    )
    train, val, key = clouds.take(rows.train), clouds.take(rows.val), jax.random.key(fitting.seed)
    scaling, count, networks, params = generation.fit_cloud_scaling(train), len(classes), [], []
    view = jax.jit(generation.make_view(scaling))
    for name, model, prepare, encode, augment, epochs in (
        (
            "totals",
            models.MLP(hidden=HIDDEN, outputs=2),
            generation.flat_view,
            generation.encode_totals,
            None,
            TOTALS_EPOCHS,
        ),
        ("particles", network, view, generation.encode_particles, generation.mirror, 1),
    ):
        parts = [
            Batch(encode(part, scaling, count), np.zeros((len(part.pt), 1), np.float32), np.ones_like(part.pt, "f4"))
            for part in (train, val)
        ]
        example = jax.tree.map(lambda x: x[:1], parts[0].inputs)
        inputs = jax.jit(lambda x: prepare(generation.at_time(x, np.zeros(1))))(example)  # noqa: B023
        first, state = models.initialize(model, key, inputs)
        networks.append(generation.with_view(models.make_apply(model), prepare))
        apply = generation.with_parameter_average(generation.make_matching(networks[-1], augment))
        start = (first, generation.start_average(first, state))
        longer = fitting._replace(epochs=fitting.epochs * epochs)
        best = _fit_with_warmup(name, apply, start, losses.mean_answer, (parts[0], parts[1]), longer)
        params.append(best.model_state[generation.AVERAGE])
    generate = generation.make_generator(networks[0], networks[1], scaling, count, steps=steps)

    def like(labels: np.ndarray, seed: int) -> Clouds:
        return train.take(generation.draw_jets(train, labels, seed))

    def view_of(clouds: Clouds) -> Sequences:
        values, mask = jax.device_get(view(generation.encode_particles(clouds, scaling, count)).values)
        return Sequences(values, mask)

    return CloudGenerator(partial(generate, (params[0], params[1])), like, view_of)


def cloud_two_sample_auc(
    generated: Sequences,
    truth: Sequences,
    fitting: Fitting = Fitting(),  # noqa: B008
) -> evaluation.Distance:
    """Computes the AUC of a deep-sets classifier between two samples of jets; 0.5 means indistinguishable.

    Args:
      generated: N generated jets.
      truth: M simulated jets.
      fitting: settings of the training, on 40 % of the jets; 20 % are for validation, 40 % for the AUC.

    Returns:
      The AUC and its standard deviation.
    """
    x = jax.tree.map(lambda *both: np.concatenate(both), generated, truth)
    targets = np.repeat(np.array([1, 0], np.int32), [len(generated.mask), len(truth.mask)])
    rows = batching.split(len(targets), seed=fitting.seed, fractions=(0.4, 0.2, 0.4), labels=targets)
    data = Batch(x, targets, np.ones(len(targets), np.float32))
    train, val, test = (jax.tree.map(lambda values, part=part: values[part], data) for part in rows)
    model = models.DeepSets(particle=(64, 64, 32), hidden=(64,), outputs=2)
    first = models.initialize(model, jax.random.key(fitting.seed), jax.tree.map(lambda v: v[:1], train.inputs))
    apply = models.make_apply(model)
    best = _fit_with_warmup("classifier", apply, first, losses.categorical_cross_entropy, (train, val), fitting)
    return separation(
        jax.jit(apply)(best.params, best.model_state, test.inputs, test.weights > 0, None)[0], test.targets
    )


def cloud_distances(
    generated: Mapping[str, Clouds], truth: Clouds, other: Clouds, classes: Sequence[str], *, seed: int = 0
) -> dict[str, dict[str, dict[str, evaluation.FloorComparison]]]:
    """Compares the distances between generated and simulated clouds with those between simulated samples.

    Args:
      generated: mapping from generator to N jets with the classes of `other`.
      truth: simulated jets that no generator was trained on.
      other: N further simulated jets.
      classes: names of the C classes.
      seed: seed of the bootstrap and of the divisions.

    Returns:
      A mapping from "all" and each class to mass, pT, multiplicity, and Δη, Δφ, pT share of particles to generator to
      the distance and its floor. For particles, every sample is reduced to the size of the smallest, at most 100,000;
      their errors ignore correlations between particles of a jet.
    """
    quantities = {
        name: generation.cloud_quantities(clouds, classes)
        for name, clouds in {**generated, "truth": truth, "other": other}.items()
    }
    distances: dict[str, dict[str, dict[str, evaluation.FloorComparison]]] = {}
    for kind in ("all", *classes):
        distances[kind] = {}
        for quantity in quantities["truth"]:
            values = {
                name: np.concatenate([x for label, x in sample[quantity].items() if kind in ("all", label)])
                for name, sample in quantities.items()
            }
            if quantity in generation.CLOUD_COLUMNS:
                rng, count = np.random.default_rng(seed), min(MOST, *map(len, values.values()))
                values = {name: rng.choice(x, count, replace=False) for name, x in values.items()}
            reference, more = values.pop("truth"), values.pop("other")
            distances[kind][quantity] = evaluation.compare_each_to_floor(values, reference, more, seed=seed)
    return distances


def _fit_with_warmup(
    name: str, apply: Any, first: Any, loss: Any, parts: tuple[Batch, Batch], fitting: Fitting
) -> TrainState:
    """Trains with a learning-rate warm-up, which flows need, and returns the best or last good state."""
    train, val = parts
    plan = make_fitting_plan(apply, loss, len(train.targets), fitting, clip_norm=1.0, most_warmup=100)
    return fit_network(name, first, plan, parts, fitting, min(500, len(val.targets)))


class FittingPlan(NamedTuple):
    """A compiled training for data of fixed shapes."""

    programs: training.Programs
    optimizer: Any
    schedule: Any


def make_fitting_plan(
    apply: Any, loss: Any, jets: int, fitting: Fitting, *, clip_norm: float = 5.0, most_warmup: int = 0
) -> FittingPlan:
    """Compiles a training by Adam with a learning rate that falls to 0.

    Args:
      apply: function of the network.
      loss: function from (outputs, targets, weights) to the () mean loss.
      jets: number of training jets.
      fitting: settings of the training.
      clip_norm: largest norm of the gradient; larger gradients are scaled down.
      most_warmup: largest number of warm-up steps; the warm-up takes at most a tenth of all steps.

    Returns:
      The plan.
    """
    steps = fitting.epochs * batching.steps_of(jets, fitting.batch_size)
    schedule = training.make_schedule(
        Schedule.COSINE, fitting.learning_rate, steps=steps, warmup_steps=min(most_warmup, steps // 10)
    )
    optimizer = training.make_optimizer(Optimizer.ADAM, schedule, clip_norm=clip_norm)
    step, measure = training.make_train_step(apply, loss, optimizer), training.make_eval_step(apply, loss)
    return FittingPlan(training.compile_here(step, measure), optimizer, schedule)


def fit_network(
    name: str, first: Any, plan: FittingPlan, data: tuple[Batch, Batch], fitting: Fitting, at_once: int | None = None
) -> TrainState:
    """Trains a network.

    Args:
      name: name of the network, for messages.
      first: initial parameters and other variables.
      plan: plan from `make_fitting_plan`.
      data: training and validation data.
      fitting: settings of the training.
      at_once: number of jets per call of the validation; None means all.

    Returns:
      The best state, or the last good state if the training diverges.
    """
    train, val = data
    try:
        return training.fit(
            training.start(first[0], first[1], plan.optimizer, jax.random.key(fitting.seed)),
            train=batching.make_windows(train, batch_size=fitting.batch_size, seed=fitting.seed),
            val=lambda: batching.eval_batches(val, batch_size=at_once or len(val.targets)),
            programs=plan.programs,
            epochs=fitting.epochs,
            schedule=plan.schedule,
            on_epoch=lambda progress: fitting.on_epoch(name, progress.history[-1]),
        ).best
    except training.DivergedError as error:
        fitting.log(f"{name}: {error}; the last good state is kept")
        return error.state


def separation(logits: Any, generated: Any) -> evaluation.Distance:
    """Computes the AUC of a classifier between generated and simulated jets, with its error.

    Args:
      logits: (N, 2) logits of "simulated" and "generated".
      generated: (N,) 1 for generated jets, 0 for simulated jets.

    Returns:
      The AUC and half of its 68 % interval.

    >>> separation(np.array([[0.0, 1.0], [1.0, 0.0]] * 20), np.array([1, 0] * 20)).distance
    1.0
    """
    probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
    scores = Scores(probabilities, generated, None, ("simulated", "generated"))
    figures = evaluation.figures_of_merit(scores)
    low, high = evaluation.figure_intervals(scores, figures)["classes"]["generated"]["auc"] or (0.0, 1.0)
    return evaluation.Distance(figures["classes"]["generated"]["auc"], (high - low) / 2)
