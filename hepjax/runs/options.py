"""A whole training: data, model, optimizer, and where the results go."""

from __future__ import annotations

import dataclasses
from math import inf
from pathlib import Path  # noqa: TC003 — tyro and cattrs read the annotations at run time
from typing import TYPE_CHECKING, Any

from hepjax.choices import Augmentation, Norm, Optimizer, Precision, Schedule, Strategy, choose_fields
from hepjax.errors import InputError
from hepjax.models.registry import MODELS
from hepjax.tasks.registry import TASKS, default_task
from hepjax.types import Rule
from hepjax.types.short_repr import short_repr

if TYPE_CHECKING:
    from hepjax.models.model import Model
    from hepjax.tasks.task import Task
else:
    Model = Task = Any  # models are Flax's, which `--help` must not wait for; both come from registries

DEFAULT_MODEL = "mlp"
"""Name of the model that is trained where none is named."""


def default_model() -> Model:
    """Returns the model that is trained where none is named, with its default options."""
    model: Model = MODELS.get(DEFAULT_MODEL)()
    return model


MOST_MEMBERS = 1000
"""Trainings at once."""
_MOST_EPOCHS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Optimization:
    """Options of the optimizer."""

    name: Optimizer = Optimizer.ADAM
    """The optimizer: one of optax, or ranger, rectified Adam inside Lookahead; own is one given in Python."""
    learning_rate: float | None = None
    """The learning rate, at its peak where a schedule changes it. Default: the one that is known to suit the model."""
    schedule: Schedule = Schedule.CONSTANT
    """How the learning rate changes; plateau divides it by ten when the training loss stands still, flat-then-decay
    takes it to a hundredth over the last three tenths of the epochs, cosine-restarts has waves of 4, 8, 16 … epochs."""
    schedule_epochs: int | None = None
    """Over how many epochs the schedule goes; after them the rate stays what it is at their end. Default: --epochs."""
    warmup_epochs: float = 0.0
    """A linear rise of the learning rate over the first epochs."""
    plateau_patience: int = 5
    """Epochs without progress before the plateau schedule lowers the learning rate."""
    momentum: float | None = None
    """For sgd, rmsprop, lars and adafactor."""
    weight_decay: float | None = None
    """For adamw and the other optimizers that have it; biases, scales and tokens are exempt."""
    clip_norm: float | None = None
    """Gradients longer than this are shortened to it."""
    average: float | None = None
    """Keep a moving average of the parameters, with this decay a step, such as 0.999: it is validated and saved."""
    pieces: int = 1
    """Compute a batch in so many pieces, which takes less memory and a third more time; the step is the same."""
    penalties: tuple[tuple[float, float], ...] = ()
    """Pairs of p and strength: adds strength times the sum of |weight|^p to the loss; biases are exempt."""

    def __repr__(self) -> str:
        """Shows its options."""
        return short_repr(self)

    def __post_init__(self) -> None:
        """Takes choices by their names too."""
        choose_fields(self)


@dataclasses.dataclass(frozen=True)
class Devices:
    """Options of the devices that a training runs on."""

    count: int | None = None
    """How many devices; the default is all that this machine has."""
    strategy: Strategy = Strategy.JIT
    """How a step is spread over several: one program for all, or one for each."""
    shard_optimizer: bool = False
    """Divide the optimizer's state among the devices, for models that need the memory."""

    def __post_init__(self) -> None:
        """Takes choices by their names too."""
        choose_fields(self)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Train a model on files of jets, measure it, and draw what it has learned.

    With no files it trains on the sample of simulated jets that comes with hepjax.
    """

    model: Model = dataclasses.field(default_factory=default_model)
    """The network to train."""
    data: tuple[Path, ...] = ()
    """Files or folders of jets to train on."""
    dataset: str | None = None
    """The dataset that says what columns mean: its name, or a file, .toml or .yaml; recognized by default."""
    where: str = ""
    """Which jets stay, by an expression over columns: "jet_pt > 500 and abs(jet_eta) < 2"."""
    val: tuple[Path, ...] = ()
    """Files to validate on; without any, a fifth of the jets is set apart."""
    test: tuple[Path, ...] = ()
    """Files to test on; without any, a fifth of the jets is set apart."""
    allow_external: bool = False
    """Let files have data in other files outside their own folder, by links or virtual datasets; refused otherwise."""
    task: Task = dataclasses.field(default_factory=default_task)
    """What it shall learn of the jets."""
    reweight: tuple[str, ...] = ()
    """Give all classes the same spectrum in training: columns, each with the edges of its bins, jet_pt 500 700 1000."""
    reweight_to: str = "flat"
    """That spectrum: flat, the mean of the classes' own, or that of the class that is named."""
    start_from: Path | None = None
    """Start from the trained network in this run folder, with a new head where classes or task are others."""
    new_head: bool = False
    """Draw the head of --from anew, also where its outputs are those of this run."""
    body_rate: float = 1.0
    """The learning rate of what --from has trained is this times that of the rest; 0 freezes it."""
    out: Path | None = None
    """Folder for the results; the default is the next free one of runs/MODEL-1, runs/MODEL-2, …"""
    epochs: int = 50
    """How many times to go through the training jets."""
    batch_size: int = 128
    """Jets in a step; 0 takes all of them, which is plain gradient descent."""
    optimizer: Optimization = Optimization()
    devices: Devices = Devices()
    patience: int | None = 10
    """Stop when the validation loss has not fallen for so many epochs; None never stops early."""
    min_change: float = 0.0
    """By how much the validation loss must fall to count."""
    augment: tuple[Augmentation, ...] = ()
    """Change training jets at random in each step: mirror images, a rotation about the jet's axis (rotation), one about
    the beams (azimuth), a boost along the beams, directions smeared by 100 MeV / pT; refused where columns misfit."""
    lengths: int = 6
    """To how many numbers of particles jets are padded, at most; 1 pads all jets alike."""
    precision: Precision = Precision.FLOAT32
    """What the network computes with; parameters and sums are float32 always."""
    folds: int | None = None
    """Cross-validate: so many folds, each tested by a model that never saw it; all train at once."""
    ensemble: int | None = None
    """Train so many models at once, from different starts; their predictions are combined."""
    rates: tuple[float, ...] = ()
    """Train with each of these learning rates at once, and keep the best by its validation loss."""
    sizes: tuple[int, ...] = ()
    """A learning curve: train on so many of the training jets each, all at once; that of the most stands for all."""
    seed: int = 0
    """Of everything random: the split, the first parameters, the order of jets, dropout."""
    memory: float = 4.0
    """Gigabytes that the jets of a process may take; more are read anew from their files in every epoch."""
    coordinator: str | None = None
    """Several processes: host:port of the first; srun and mpirun need none."""
    processes: int | None = None
    """Several processes: how many."""
    process: int | None = None
    """Several processes: the number of this one, from 0."""
    cluster: bool = False
    """Several processes: JAX finds the others by itself, as on a TPU pod."""
    profile: bool = False
    """Trace the second epoch, into the folder profile, for TensorBoard (XProf) and ui.perfetto.dev."""
    tensorboard: bool = False
    """Write the history into the folder tensorboard too (needs `pip install 'hepjax[tensorboard]'`)."""
    resume: bool = False
    """Go on with the run in --out; the other options are taken from there."""
    plugins: tuple[Path, ...] = ()
    """Python files of your own that register models; imported first, and again wherever this run is opened."""

    def __repr__(self) -> str:
        """Shows its options."""
        return short_repr(self)

    def __post_init__(self) -> None:
        """Takes choices by their names too, and edges of bins as numbers; fills in the model's learning rate."""
        choose_fields(self)
        object.__setattr__(self, "reweight", tuple(f"{x}" for x in self.reweight))
        if self.optimizer.name is not Optimizer.OWN:
            object.__setattr__(self, "optimizer", dataclasses.replace(self.optimizer, learning_rate=self.learning_rate))

    @property
    def learning_rate(self) -> float:
        """The one that is asked for, or that of the model."""
        if self.optimizer.learning_rate is not None:
            return self.optimizer.learning_rate
        return self.model.learning_rate


def check(experiment: Experiment) -> None:
    """Refuses options that make no sense, before any work is done.

    Args:
      experiment: the options.

    Raises:
      InputError: names the option, what is expected, and what was found.

    >>> check(Experiment())
    """
    from hepjax.models.fields import model_rules

    e, names = experiment, " ".join(kind.value for kind in experiment.augment)
    rules: tuple[Rule, ...] = (
        Rule("--epochs", e.epochs, 1 <= e.epochs <= _MOST_EPOCHS, f"1 to {_MOST_EPOCHS:,}"),
        Rule("--batch-size", e.batch_size, 0 <= e.batch_size < 2**31, "1 or more, below 2^31, or 0 for all jets"),
        Rule(
            "--batch-size",
            e.batch_size,
            e.batch_size != 1 or getattr(e.model, "norm", None) is not Norm.BATCH,
            "2 or more for batch normalization, or --norm layer",
        ),
        Rule("--patience", e.patience, e.patience is None or e.patience >= 1, "1 or more"),
        Rule("--min-change", e.min_change, e.min_change >= 0, "0 or more"),
        Rule("--folds", e.folds, e.folds is None or 3 <= e.folds <= MOST_MEMBERS, f"3 to {MOST_MEMBERS:,}"),
        Rule("--folds", e.folds, not (e.folds and (e.val or e.test)), "none where --val or --test is given"),
        Rule("--ensemble", e.ensemble, e.ensemble is None or 2 <= e.ensemble <= MOST_MEMBERS, f"2 to {MOST_MEMBERS:,}"),
        Rule(
            "--rates",
            e.rates,
            len({f"{rate:g}" for rate in e.rates}) == len(e.rates) != 1,
            "two different ones or more",
        ),
        Rule("--rates", e.rates, all(0 < rate < inf for rate in e.rates), "more than 0"),
        Rule("--sizes", e.sizes, len(set(e.sizes)) == len(e.sizes) != 1, "two different ones or more"),
        Rule("--sizes", e.sizes, all(size >= 1 for size in e.sizes), "1 or more"),
        Rule(
            "--folds, --ensemble, --rates, --sizes",
            (e.folds, e.ensemble, e.rates, e.sizes),
            sum(map(bool, (e.folds, e.ensemble, e.rates, e.sizes))) <= 1,
            "one of them",
        ),
        Rule("--folds", e.folds, not (e.folds and e.task.folds_problem()), e.task.folds_problem()),
        Rule(
            "--precision",
            e.precision.value,
            not (problem := e.task.precision_problem(e.precision)),
            problem,
        ),
        Rule("--augment", names, len({*e.augment}) == len(e.augment), "each kind once"),
        Rule("--augment", names, not (names and e.task.augmentation_problem()), e.task.augmentation_problem()),
        Rule("--lengths", e.lengths, e.lengths >= 1, "1 or more"),
        Rule("--memory", e.memory, 0 < e.memory < inf, "more than 0"),
        Rule("--seed", e.seed, 0 <= e.seed < 2**32, "0 or more, below 2^32"),
    )
    _check_task_and_model(e.task, e.model)
    if e.reweight:
        _check_reweighting(e)
    for option, value, good, expected in (
        *rules,
        *_start_rules(e),
        *_optimizer_rules(e.optimizer, e.learning_rate, e.epochs),
        *_piece_rules(e),
        *e.task.rules(),
        *model_rules(e.model),
    ):
        if not good:
            raise InputError(f"{option}: expected {expected}, found {value}")


def _start_rules(e: Experiment) -> tuple[Rule, ...]:
    """Returns the conditions on what a training starts from, and on rates that an optimizer of one's own has inside."""
    own = e.optimizer.name is Optimizer.OWN
    return (
        Rule("--body-rate", e.body_rate, 0 <= e.body_rate < inf, "0 or more"),
        Rule("--body-rate", e.body_rate, not own or e.body_rate == 1, "1 with an optimizer of your own"),
        Rule("--rates", e.rates, not (own and e.rates), "none with an optimizer of your own"),
        Rule("--body-rate", e.body_rate, e.start_from is not None or e.body_rate == 1, "1 without --from"),
        Rule("--new-head", e.new_head, e.start_from is not None or not e.new_head, "none without --from"),
    )


def _check_reweighting(experiment: Experiment) -> None:
    """Refuses bins that are none, and tasks that take no weights."""
    from hepjax.data.reweighting import parse_bins

    if problem := experiment.task.weights_problem():
        raise InputError(f"--reweight: {problem}; leave it out")
    try:
        parse_bins(experiment.reweight)
    except InputError as error:
        raise InputError(f"--reweight: {error}") from error


def _optimizer_rules(o: Optimization, rate: float, epochs: int) -> tuple[Rule, ...]:
    """Returns the conditions on the options of the optimizer."""
    one_cycle, own = o.schedule is Schedule.ONE_CYCLE, o.name is Optimizer.OWN
    penalties = all(p > 0 and s >= 0 for p, s in o.penalties) and len(dict(o.penalties)) == len(o.penalties)
    length = epochs if o.schedule_epochs is None else o.schedule_epochs
    names = ("momentum", "weight_decay", "clip_norm", "warmup_epochs")
    parts = [(name.replace("_", "-"), getattr(o, name)) for name in names]
    return (
        *(Rule(f"--optimizer.{name}", given, not own or not given, "none: it has its own") for name, given in parts),
        Rule("--optimizer.learning-rate", rate, 0 < rate < inf, "more than 0"),
        Rule("--optimizer.schedule-epochs", length, 1 <= length <= _MOST_EPOCHS, f"1 to {_MOST_EPOCHS:,}"),
        Rule(
            "--optimizer.warmup-epochs",
            o.warmup_epochs,
            0 <= o.warmup_epochs < length,
            "0 or more, below the schedule's epochs",
        ),
        Rule(
            "--optimizer.warmup-epochs",
            o.warmup_epochs,
            not (one_cycle and o.warmup_epochs),
            "0: one-cycle has its own",
        ),
        Rule("--optimizer.plateau-patience", o.plateau_patience, o.plateau_patience >= 1, "1 or more"),
        Rule("--optimizer.momentum", o.momentum, o.momentum is None or 0 <= o.momentum < 1, "0 or more, below 1"),
        Rule("--optimizer.weight-decay", o.weight_decay, o.weight_decay is None or o.weight_decay >= 0, "0 or more"),
        Rule("--optimizer.average", o.average, o.average is None or 0 < o.average < 1, "more than 0, below 1"),
        Rule("--optimizer.clip-norm", o.clip_norm, o.clip_norm is None or o.clip_norm > 0, "more than 0"),
        Rule("--optimizer.penalties", o.penalties, penalties, "different p > 0, each with a strength of 0 or more"),
    )


def _piece_rules(e: Experiment) -> tuple[Rule, ...]:
    """Returns the conditions on the pieces of a batch; how many jets all of them are is not known yet."""
    pieces, needed = e.optimizer.pieces, 2 if getattr(e.model, "norm", None) is Norm.BATCH else 1
    most = (e.batch_size or 2**31) // needed
    share = "two jets" if needed == 2 else "a jet"
    words = f"1 to {most}, so that each has {share} of a batch of {e.batch_size}" if e.batch_size else "1 or more"
    return (Rule("--optimizer.pieces", pieces, 1 <= pieces <= most, words),)


def _check_task_and_model(task: Task, model: Model) -> None:
    """Refuses a task and a model that do not go together."""
    name, serves = TASKS.name_of(task), model.serves
    if serves and name not in serves:
        command = f"hepjax train {MODELS.name_of(model)}"
        raise InputError(f"{command}: does not serve the task {name}; run {command} --task {serves[0]}")
    task.for_model(model)
