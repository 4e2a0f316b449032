"""Generators of jet observables, from jets to jets: a normalizing flow, a variational autoencoder, their baseline."""

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
"""Numbers in the code of the variational autoencoder."""
VALIDATION = 0.15
"""Of the jets to learn from, which tell the best epoch."""

_CALIBRATION = 5000  # jets of each class, to see what spectra a generator makes
_DECAY = 0.995  # of the average of a flow's parameters, a step


class Generator(NamedTuple):
    """What has learnt to make jets."""

    make: Callable[[Any, int], np.ndarray]
    """((N,) class indices, seed) → (N, 16) float32 observables, in the order of `hls4ml.STANDARD_FEATURES`."""
    nll: Callable[[Any, Any], np.ndarray]
    """((N, 16) observables, (N,) class indices) → (N,) -ln p in the coordinates of `generation.prepare`, in nats; the
    same number N times where only the mean is known, as an upper bound."""


class Fitting(NamedTuple):
    """How a network is trained: Adam, with a learning rate that falls to 0; the best epoch counts."""

    epochs: int = 40
    learning_rate: float = 2e-3
    batch_size: int = 128
    seed: int = 0
    """Of the split, the first parameters, the order of jets and the random numbers."""
    tell: Callable[[str], None] = lambda words: None  # noqa: ARG005
    """Given a line where a training has diverged."""
    on_epoch: Callable[[str, Epoch], None] = lambda name, epoch: None  # noqa: ARG005
    """Called after each epoch, with the name of what is trained."""


class _Parts(NamedTuple):
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
) -> Generator:
    """Trains a normalizing flow of each class's observables.

    A flow that explodes, or no longer leads back, has an infinite validation loss: training stops there, and the last
    good state is used.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.
      labels: (N,) indices into `classes`.
      classes: C names.
      fitting: how it is trained.
      layers: of the flow; see `models.CouplingFlow`.
      hidden: the widths of the layers of its small networks.

    Returns:
      The generator, with the parameters averaged over the last steps.

    Raises:
      InputError: as `generation.fit_preparation`, or the flow is not invertible.
    """
    parts, key = _parts(x, labels, classes, fitting.seed), jax.random.key(fitting.seed)
    network = models.CouplingFlow(outputs=generation.COORDINATES, conditions=len(classes), layers=layers, hidden=hidden)
    apply = models.make_apply(network)
    first, _ = models.initialize(network, key, jax.tree.map(lambda values: values[:2], parts.train.inputs))
    plan = make_plan(generation.averaged(apply, _DECAY), losses.mean_answer, len(parts.train.targets), fitting)
    state = learn(
        "flow", (first, generation.start_average(first, {})), plan, parts[1:], fitting, len(parts.val.targets)
    )
    params = {"params": state.model_state[generation.AVERAGE]}
    there, back = (partial(network.apply, params, method=way) for way in ("to_latent", "from_latent"))
    answers = partial(_answers, plan, state, len(parts.val.targets))
    if not np.isfinite(answers(parts.val.inputs)[0]).all():
        generation.check_flow(there, back, *parts.val.inputs)  # which says what is wrong
    seed = fitting.seed + 1
    return _generator(parts.preparation, back, generation.COORDINATES, lambda x: answers(x)[0], seed)


def fit_vae(x: Any, labels: Any, classes: Sequence[str], fitting: Fitting = Fitting()) -> Generator:  # noqa: B008
    """Trains a variational autoencoder that is told the class (arXiv:1312.6114); see `generation.variational_loss`.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.
      labels: (N,) indices into `classes`.
      classes: C names.
      fitting: how it is trained.

    Returns:
      The generator; its -ln p is an upper bound on the mean.

    Raises:
      InputError: as `generation.fit_preparation`.
    """
    parts, key = _parts(x, labels, classes, fitting.seed), jax.random.key(fitting.seed)
    vae = models.VariationalAutoencoder(outputs=generation.COORDINATES, hidden=(128, 64), latent=CODES)
    first = models.initialize(vae, key, jax.tree.map(lambda values: values[:1], parts.train.inputs))
    network = models.make_apply(vae)

    def apply(params: PyTree, state: PyTree, inputs: Conditioned, mask: Any, own: jax.Array | None) -> Any:
        # Validation draws codes too, the same ones each time: else its loss were no bound.
        return network(params, state, inputs, mask, key if own is None else own)

    plan = make_plan(apply, generation.variational_loss, len(parts.train.targets), fitting)
    state = learn("VAE", first, plan, parts[1:], fitting)
    answers = partial(_answers, plan, state, len(parts.val.targets))

    def decode(z: Array, condition: Array) -> Any:
        return vae.apply({"params": state.params}, z, condition, method="decode")

    def bound(inputs: Conditioned) -> np.ndarray:
        return np.full(len(inputs.values), answers(inputs)[1])

    missed = answers(parts.val.inputs)[0].values - parts.val.inputs.values
    from_latent = generation.noisy_decoder(decode, np.sqrt(np.mean(missed**2, axis=0)))
    return _generator(parts.preparation, from_latent, CODES + generation.COORDINATES, bound, fitting.seed + 1)


def fit_normal(x: Any, labels: Any, classes: Sequence[str], fitting: Fitting = Fitting()) -> Generator:  # noqa: B008
    """The baseline: each class's normal scores are taken for a multivariate normal distribution.

    Args:
      x: (N, 16) observables, in the order of `hls4ml.STANDARD_FEATURES`.
      labels: (N,) indices into `classes`.
      classes: C names.
      fitting: whose seed counts.

    Returns:
      The generator. It has each class's spectra, and all correlations that a covariance can describe.

    Raises:
      InputError: as `generation.fit_preparation`.
    """
    parts = _parts(x, labels, classes, fitting.seed)
    return _generator(
        parts.preparation, lambda z, _: z, generation.COORDINATES, lambda inputs: generation.normal_nll(inputs.values)
    )


def tell_apart(
    made: Mapping[str, Any],
    truth: Any,
    labels: Any,
    truth_labels: Any,
    fitting: Fitting = Fitting(),  # noqa: B008
) -> dict[str, evaluation.Distance]:
    """The AUC of multilayer perceptrons that tell samples of jets from simulated ones; 0.5 where they cannot.

    Spectra that are right do not help against them: they see correlations.

    Args:
      made: generator → (N, 16) observables. Other simulated jets, as one of these, give the floor.
      truth: (M, 16) those of simulated jets.
      labels: (N,) class indices of what is made, which the network is told.
      truth_labels: (M,) those of `truth`.
      fitting: of each network, on 40 % of the jets; 20 % tell the best epoch, 40 % the AUC.

    Returns:
      Generator → the AUC and its standard deviation.
    """
    kinds = np.concatenate([labels, truth_labels])
    targets = np.repeat(np.array([1, 0], np.int32), [len(labels), len(truth)])
    rows = batching.split(len(kinds), seed=fitting.seed, fractions=(0.4, 0.2, 0.4), labels=targets)
    model, loss, kind = (
        models.MLP(hidden=(64, 64), outputs=2),
        losses.categorical_cross_entropy,
        np.eye(max(kinds) + 1)[kinds],
    )
    plan, found = make_plan(models.make_apply(model), loss, len(rows.train), fitting), {}
    first = models.initialize(model, jax.random.key(fitting.seed), np.zeros((1, np.shape(truth)[1] + kind.shape[1])))
    for name, jets in made.items():
        x = np.concatenate([jets, truth])
        inputs = np.concatenate([apply_scaling(fit_scaling(x[rows.train]), x), kind], axis=1).astype(np.float32)
        data = Batch(inputs, targets, np.ones(len(x), np.float32))
        train, val, test = (Batch(*(values[part] for values in data[:3])) for part in rows)
        best = learn(f"{name} against simulation", first, plan, (train, val), fitting)
        found[name] = separation(plan.programs.evaluate(best, test).outputs, test.targets)
    return found


def _parts(x: Any, labels: Any, classes: Sequence[str], seed: int) -> _Parts:
    """The preparation of the training part, and both parts prepared."""
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
    return _Parts(preparation, train, val)


def _inputs(preparation: generation.Preparation, x: Any, labels: Any, seed: int) -> Conditioned:
    condition = np.eye(len(preparation.classes), dtype=np.float32)[labels]
    return Conditioned(generation.prepare(preparation, x, labels, seed=seed), condition)


def _batch(inputs: Conditioned) -> Batch:
    return Batch(inputs, inputs.values, np.ones(len(inputs.values), np.float32))


def _answers(plan: Plan, state: TrainState, size: int, inputs: Conditioned) -> tuple[Any, float]:
    """What a network says of N jets, and its mean loss, by the program that validates `size` of them."""
    blocks = batching.eval_batches(_batch(inputs), batch_size=size)
    found = [jax.device_get(plan.programs.evaluate(state, block)) for block in blocks]
    outputs = jax.tree.map(lambda *parts: np.concatenate(parts)[: len(inputs.values)], *(one.outputs for one in found))
    loss, weight = (
        np.sum(column, dtype=np.float64) for column in zip(*((m.loss, m.weight) for m in found), strict=True)
    )
    return outputs, float(loss / weight)


def _generator(
    preparation: generation.Preparation,
    from_latent: Callable[[Array, Array], Any],
    latent: int,
    nll: Callable[[Conditioned], Any],
    seed: int | None = None,
) -> Generator:
    """What it makes, with the spectra of the training part where a seed is given for that."""
    eye = np.eye(len(preparation.classes), dtype=np.float32)
    if seed is not None:
        kinds = np.repeat(np.arange(len(eye)), _CALIBRATION)
        made = generation.sample(from_latent, eye[kinds], latent, seed)
        preparation = generation.calibrate(preparation, made, kinds)

    def make(labels: Any, seed: int) -> np.ndarray:
        z = generation.sample(from_latent, eye[np.asarray(labels)], latent, seed)
        made: np.ndarray = generation.restore(preparation, z, labels)
        return made

    return Generator(make, lambda x, labels: np.asarray(nll(_inputs(preparation, x, labels, 0)), np.float64))


class Plan(NamedTuple):
    """A training that is ready to start, for any data of these shapes."""

    programs: training.Programs
    optimizer: Any
    schedule: Any


def make_plan(
    apply: Any, loss: Any, jets: int, fitting: Fitting, *, clip_norm: float = 5.0, most_warmup: int = 0
) -> Plan:
    """Compiles a training by Adam, with a learning rate that falls to 0.

    Args:
      apply: the function of a network.
      loss: (outputs, targets, weights) → () mean.
      jets: how many there are to train on.
      fitting: how it is trained.
      clip_norm: longer gradients are shortened to it.
      most_warmup: the learning rate rises over the first tenth of the steps, but no more than so many.

    Returns:
      The plan.
    """
    steps = fitting.epochs * batching.steps_of(jets, fitting.batch_size)
    schedule = training.make_schedule(
        Schedule.COSINE, fitting.learning_rate, steps=steps, warmup_steps=min(most_warmup, steps // 10)
    )
    optimizer = training.make_optimizer(Optimizer.ADAM, schedule, clip_norm=clip_norm)
    step, measure = training.make_train_step(apply, loss, optimizer), training.make_eval_step(apply, loss)
    return Plan(training.compile_here(step, measure), optimizer, schedule)


def learn(
    name: str, first: Any, plan: Plan, data: tuple[Batch, Batch], fitting: Fitting, at_once: int | None = None
) -> TrainState:
    """Trains a network.

    Args:
      name: of what is trained, for what is told.
      first: its parameters and other variables.
      plan: from `make_plan`.
      data: to train on, and to tell the best epoch.
      fitting: how it is trained.
      at_once: so many jets are validated at once; None is all.

    Returns:
      The best state, or the last good one where the training diverges.
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
        fitting.tell(f"{name}: {error}; the last good state is kept")
        return error.state


def separation(logits: Any, generated: Any) -> evaluation.Distance:
    """How well a classifier tells generated jets from simulated ones.

    Args:
      logits: (N, 2) of simulated and of generated.
      generated: (N,) 1 for generated jets, 0 for simulated ones.

    Returns:
      The AUC and its standard deviation, by the bootstrap.

    >>> separation(np.array([[0.0, 1.0], [1.0, 0.0]] * 20), np.array([1, 0] * 20)).distance
    1.0
    """
    probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
    scores = Scores(probabilities, generated, None, ("simulated", "generated"))
    figures = evaluation.figures_of_merit(scores)
    low, high = evaluation.bootstrap_intervals(scores, figures)["classes"]["generated"]["auc"] or (0.0, 1.0)
    return evaluation.Distance(figures["classes"]["generated"]["auc"], (high - low) / 2)
