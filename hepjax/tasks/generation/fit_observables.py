"""Training of generators of jet observables: a normalizing flow, a variational autoencoder, and a baseline."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hepjax import evaluation, models, training
from hepjax.choices import Optimizer, Schedule
from hepjax.errors import InputError
from hepjax.inputs import apply_scaling, batching, fit_scaling
from hepjax.tasks import generation
from hepjax.training import losses
from hepjax.types import Batch, Conditioned, Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hepjax.types import Array, Epoch, PyTree, TrainState

CODES = 8
"""The number of latent dimensions of the variational autoencoder."""
VALIDATION = 0.15
"""The share of the training jets that is used for validation."""

_CALIBRATION = 5000  # generated jets of each class for the calibration of spectra
_DECAY = 0.995  # decay per step of the average of the parameters of a flow


class ObservableGenerator(NamedTuple):
    """A trained generator of jet observables."""

    make: Callable[[Any, int], np.ndarray]
    """A function from ((N,) class indices, seed) to (N, 16) float32 `hls4ml.STANDARD_FEATURES`."""
    nll: Callable[[Any, Any], np.ndarray]
    """A function from ((N, 16) observables, (N,) class indices) to (N,) -ln p in nats.

    The density is that of the coordinates of `generation.prepare`. If only an upper bound on the mean is known, all N
    numbers are this bound.
    """


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


class _Splits(NamedTuple):
    preparation: generation.Preparation
    train: Batch
    val: Batch


def fit_flow(
    x: Any,
    labels: Any,
    classes: Sequence[str],
    fitting: Fitting = Fitting(),  # noqa: B008
    *,
    layers: int = 8,
    hidden: tuple[int, ...] = (64, 64),
) -> ObservableGenerator:
    """Trains a conditional normalizing flow of the observables of all classes.

    A flow that diverges, or is no longer invertible, has an infinite validation loss: training then stops, and the last
    good state is used.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.
      labels: (N,) indices into `classes`.
      classes: names of the C classes.
      fitting: settings of the training.
      layers: number of layers of the flow; see `models.CouplingFlow`.
      hidden: widths of the hidden layers of its networks.

    Returns:
      The generator, with the parameters averaged over the last steps.

    Raises:
      InputError: for the reasons of `generation.fit_preparation`, or the flow is not invertible.
    """
    parts, key = _prepare_splits(x, labels, classes, fitting.seed), jax.random.key(fitting.seed)
    network = models.CouplingFlow(outputs=generation.COORDINATES, conditions=len(classes), layers=layers, hidden=hidden)
    apply = models.make_apply(network)
    first, _ = models.initialize(network, key, jax.tree.map(lambda values: values[:2], parts.train.inputs))
    averaged = generation.with_parameter_average(apply, _DECAY)
    plan = make_fitting_plan(averaged, losses.mean_answer, len(parts.train.targets), fitting)
    start = (first, generation.start_average(first, {}))
    state = fit_network("flow", start, plan, parts[1:], fitting, len(parts.val.targets))
    params = {"params": state.model_state[generation.AVERAGE]}
    to_latent, from_latent = (partial(network.apply, params, method=name) for name in ("to_latent", "from_latent"))
    evaluate = partial(_evaluate, plan, state, len(parts.val.targets))
    if not np.isfinite(evaluate(parts.val.inputs)[0]).all():
        generation.check_flow(to_latent, from_latent, *parts.val.inputs)  # raises an error that explains the problem
    seed = fitting.seed + 1
    return _make_generator(parts.preparation, from_latent, generation.COORDINATES, lambda x: evaluate(x)[0], seed)


def fit_vae(x: Any, labels: Any, classes: Sequence[str], fitting: Fitting = Fitting()) -> ObservableGenerator:  # noqa: B008
    """Trains a class-conditional variational autoencoder (arXiv:1312.6114) with `generation.variational_loss`.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.
      labels: (N,) indices into `classes`.
      classes: names of the C classes.
      fitting: settings of the training.

    Returns:
      The generator; its -ln p is an upper bound on the mean.

    Raises:
      InputError: for the reasons of `generation.fit_preparation`.
    """
    parts, key = _prepare_splits(x, labels, classes, fitting.seed), jax.random.key(fitting.seed)
    vae = models.VariationalAutoencoder(outputs=generation.COORDINATES, hidden=(128, 64), latent=CODES)
    first = models.initialize(vae, key, jax.tree.map(lambda values: values[:1], parts.train.inputs))
    network = models.make_apply(vae)

    def apply(params: PyTree, state: PyTree, inputs: Conditioned, mask: Any, step_key: jax.Array | None) -> Any:
        # Validation draws codes too, with a fixed key: without them its loss would not be a bound.
        return network(params, state, inputs, mask, key if step_key is None else step_key)

    plan = make_fitting_plan(apply, generation.variational_loss, len(parts.train.targets), fitting)
    state = fit_network("VAE", first, plan, parts[1:], fitting)
    evaluate = partial(_evaluate, plan, state, len(parts.val.targets))

    def decode(z: Array, condition: Array) -> Any:
        return vae.apply({"params": state.params}, z, condition, method="decode")

    def bound(inputs: Conditioned) -> np.ndarray:
        return np.full(len(inputs.values), evaluate(inputs)[1])

    residuals = evaluate(parts.val.inputs)[0].values - parts.val.inputs.values
    from_latent = generation.noisy_decoder(decode, np.sqrt(np.mean(residuals**2, axis=0)))
    return _make_generator(parts.preparation, from_latent, CODES + generation.COORDINATES, bound, fitting.seed + 1)


def fit_normal(x: Any, labels: Any, classes: Sequence[str], fitting: Fitting = Fitting()) -> ObservableGenerator:  # noqa: B008
    """Fits the baseline, a multivariate normal distribution of the normal scores of each class.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.
      labels: (N,) indices into `classes`.
      classes: names of the C classes.
      fitting: settings, of which only the seed is used.

    Returns:
      The generator. It reproduces the spectra of each class, and all correlations that a covariance can describe.

    Raises:
      InputError: for the reasons of `generation.fit_preparation`.
    """
    parts = _prepare_splits(x, labels, classes, fitting.seed)
    return _make_generator(
        parts.preparation, lambda z, _: z, generation.COORDINATES, lambda inputs: generation.normal_nll(inputs.values)
    )


def classifier_two_sample_auc(
    generated: Mapping[str, Any],
    truth: Any,
    labels: Any,
    truth_labels: Any,
    fitting: Fitting = Fitting(),  # noqa: B008
) -> dict[str, evaluation.Distance]:
    """Computes the AUC of classifiers between generated and simulated jets; 0.5 means indistinguishable.

    The classifiers are multilayer perceptrons, which are sensitive to correlations as well as to spectra.

    Args:
      generated: mapping from generator to (N, 16) observables. Further simulated jets as one entry give the floor.
      truth: (M, 16) observables of simulated jets.
      labels: (N,) class indices of the generated jets, which are inputs of the network.
      truth_labels: (M,) class indices of `truth`.
      fitting: settings of each training, on 40 % of the jets; 20 % are for validation, 40 % for the AUC.

    Returns:
      A mapping from generator to the AUC and its standard deviation.
    """
    kinds = np.concatenate([labels, truth_labels])
    targets = np.repeat(np.array([1, 0], np.int32), [len(labels), len(truth)])
    rows = batching.split(len(kinds), seed=fitting.seed, fractions=(0.4, 0.2, 0.4), labels=targets)
    model, loss, kind = (
        models.MLP(hidden=(64, 64), outputs=2),
        losses.categorical_cross_entropy,
        np.eye(max(kinds) + 1)[kinds],
    )
    plan, aucs = make_fitting_plan(models.make_apply(model), loss, len(rows.train), fitting), {}
    first = models.initialize(model, jax.random.key(fitting.seed), np.zeros((1, np.shape(truth)[1] + kind.shape[1])))
    for name, jets in generated.items():
        x = np.concatenate([jets, truth])
        inputs = np.concatenate([apply_scaling(fit_scaling(x[rows.train]), x), kind], axis=1).astype(np.float32)
        data = Batch(inputs, targets, np.ones(len(x), np.float32))
        train, val, test = (Batch(*(values[part] for values in data[:3])) for part in rows)
        best = fit_network(f"{name} against simulation", first, plan, (train, val), fitting)
        aucs[name] = separation(plan.programs.evaluate(best, test).outputs, test.targets)
    return aucs


def _prepare_splits(x: Any, labels: Any, classes: Sequence[str], seed: int) -> _Splits:
    """Fits the preparation on the training split, and prepares training and validation splits."""
    x, labels = np.asarray(x), np.asarray(labels)
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < 2 * generation.FEWEST_JETS:
        few = [f"{counts[c]} of {name}" for c, name in enumerate(classes) if counts[c] < 2 * generation.FEWEST_JETS]
        raise InputError(
            f"classes: expected {2 * generation.FEWEST_JETS} jets or more of each to learn from, found "
            f"{', '.join(few)}; give more jets, or leave the class out"
        )
    rows = batching.split(len(x), seed=seed, fractions=(1 - VALIDATION, VALIDATION, 0.0), labels=labels)
    preparation = generation.fit_preparation(x[rows.train], labels[rows.train], classes, seed=seed)
    data = _batch(_inputs(preparation, x, labels, seed))
    train, val = (jax.tree.map(lambda values, part=part: values[part], data) for part in (rows.train, rows.val))
    return _Splits(preparation, train, val)


def _inputs(preparation: generation.Preparation, x: Any, labels: Any, seed: int) -> Conditioned:
    condition = np.eye(len(preparation.classes), dtype=np.float32)[labels]
    return Conditioned(generation.prepare(preparation, x, labels, seed=seed), condition)


def _batch(inputs: Conditioned) -> Batch:
    return Batch(inputs, inputs.values, np.ones(len(inputs.values), np.float32))


def _evaluate(plan: FittingPlan, state: TrainState, size: int, inputs: Conditioned) -> tuple[Any, float]:
    """Returns the outputs of a network for N jets and its mean loss, with the validation program for `size` jets."""
    blocks = batching.eval_batches(_batch(inputs), batch_size=size)
    results = [jax.device_get(plan.programs.evaluate(state, block)) for block in blocks]
    outputs = jax.tree.map(
        lambda *parts: np.concatenate(parts)[: len(inputs.values)], *(result.outputs for result in results)
    )
    loss, weight = (
        np.sum(column, dtype=np.float64) for column in zip(*((m.loss, m.weight) for m in results), strict=True)
    )
    return outputs, float(loss / weight)


def _make_generator(
    preparation: generation.Preparation,
    from_latent: Callable[[Array, Array], Any],
    latent: int,
    nll: Callable[[Conditioned], Any],
    seed: int | None = None,
) -> ObservableGenerator:
    """Makes the generator; a seed enables the calibration of its spectra to those of the training split."""
    eye = np.eye(len(preparation.classes), dtype=np.float32)
    if seed is not None:
        kinds = np.repeat(np.arange(len(eye)), _CALIBRATION)
        sample = generation.sample_flow(from_latent, eye[kinds], latent, seed)
        preparation = generation.calibrate(preparation, sample, kinds)

    def make(labels: Any, seed: int) -> np.ndarray:

        z = generation.sample_flow(from_latent, eye[np.asarray(labels)], latent, seed)
        observables: np.ndarray = generation.restore_observables(preparation, z, labels)
        return observables

    return ObservableGenerator(make, lambda x, labels: np.asarray(nll(_inputs(preparation, x, labels, 0)), np.float64))


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
      The AUC and its standard deviation from the bootstrap.

    >>> separation(np.array([[0.0, 1.0], [1.0, 0.0]] * 20), np.array([1, 0] * 20)).distance
    1.0
    """
    probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
    scores = Scores(probabilities, generated, None, ("simulated", "generated"))
    figures = evaluation.figures_of_merit(scores)
    low, high = evaluation.bootstrap_intervals(scores, figures)["classes"]["generated"]["auc"] or (0.0, 1.0)
    return evaluation.Distance(figures["classes"]["generated"]["auc"], (high - low) / 2)
