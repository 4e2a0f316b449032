"""Trained taggers in use: from a run folder or an exported file, jets in, class probabilities out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import evaluation, models, training
from hepjax.training import losses
from hepjax.runs import ensembles, run_folder
from hepjax.inputs import subsets, pipelines
from hepjax.errors import InputError
from hepjax.runs.setup import make_scorer
from hepjax.types import Jets, Scaling, Sequences, TrainState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hepjax.choices import Precision
    from hepjax.inputs.pipelines import Recipe
    from hepjax.runs.options import Experiment
    from hepjax.types import PyTree

_SMALLEST = float(np.finfo(np.float32).tiny)
"""What a probability that underflowed to 0 is taken for: the smallest normal float32."""


class Trained(NamedTuple):
    """One trained network, as a run folder keeps it."""

    classes: int
    recipe: Recipe
    params: PyTree
    model_state: PyTree
    scaling: Scaling
    precision: Precision
    experiment: Experiment
    """The options that it was trained with."""


@dataclasses.dataclass(frozen=True)
class Tagger:
    """A trained tagger: a function of jets."""

    classes: tuple[str, ...]
    """What the C columns of its answer stand for."""
    columns: tuple[str, ...]
    """What the columns of an array that is given to it must be, in their own units (GeV, radians)."""
    recipe: Recipe = dataclasses.field(repr=False)
    """How jets are read for it."""
    scores: Callable[[Any], np.ndarray] = dataclasses.field(repr=False)
    """What `recipe.read` gives of N jets → (N, C) float32 class probabilities."""
    networks: tuple[Trained, ...] = dataclasses.field(default=(), repr=False)
    """Their mean probability is the answer; none where it comes from an exported file."""
    temperature: float = 1.0
    """Logarithms of probabilities were divided by this to calibrate them."""

    def __call__(self, jets: Jets | Sequences | np.ndarray) -> np.ndarray:
        """The class probabilities of some jets.

        Args:
          jets: `Jets`, in memory or lazy; or an array of the `columns`, not scaled: (N, F) of a tagger of observables,
            (N, P, F) of one of particles, zeros behind a jet's last particle, or `Sequences`; or (N, H, W, images).

        Returns:
          (N, C) float32.

        Raises:
          InputError: columns or particles are missing, an array has another shape, or numbers are not finite.
        """
        if isinstance(jets, Jets):
            blocks = [self.scores(inputs) for inputs, _ in subsets.blocks(self.check(jets), self.recipe)]
            return np.concatenate(blocks or [np.zeros((0, len(self.classes)), np.float32)])
        return self.scores(self._inputs(jets))

    def check(self, jets: Jets, name: str = "jets") -> Jets:
        """The same jets, if they are of the tagger's classes.

        Args:
          jets: any.
          name: for the message.

        Raises:
          InputError: their classes are others.
        """
        if jets.classes != self.classes:
            raise InputError(
                f"{name}: the jets' classes are {', '.join(jets.classes)}, those of the tagger "
                f"{', '.join(self.classes)}; give jets of the same classes"
            )
        return jets

    def _inputs(self, given: Sequences | np.ndarray) -> Any:
        example, listed = self.recipe.example, isinstance(self.recipe.example, Sequences)
        values = np.asarray(given.values if isinstance(given, Sequences) else given, np.float32)
        expected = (example.values if listed else example).shape[1:]
        fits = values.ndim == len(expected) + 1 and values.shape[-1] == expected[-1]
        fits &= values.shape[1] <= expected[0] if listed and fits else values.shape[1:] == expected
        if not fits or isinstance(given, Sequences) > listed:
            shape = ", ".join(map(str, ("N", *expected)))
            raise InputError(f"jets: expected ({shape}), the columns {', '.join(self.columns)}; found {values.shape}")
        if not np.isfinite(values).all():
            raise InputError("jets: expected finite numbers, found NaN or infinite ones; remove those jets")
        if not listed:
            return values
        mask = np.asarray(given.mask) if isinstance(given, Sequences) else values.any(axis=-1)
        if (np.diff(mask.astype(np.int8), axis=1) > 0).any():
            raise InputError("jets: expected a jet's particles first and its padding last, found padding in between")
        missing = expected[0] - values.shape[1]
        return Sequences(np.pad(values, ((0, 0), (0, missing), (0, 0))), np.pad(mask, ((0, 0), (0, missing))))


def load(path: str | Path, *, calibrated: bool = False) -> Tagger:
    """Reads a trained tagger.

    Args:
      path: a run folder, of which the best model is taken, and of folds or an ensemble all, which answer with their
        mean probability; or a file that `hepjax export` made.
      calibrated: divide the logarithms of the probabilities by the temperature that fits the validation part best.

    Returns:
      The tagger.

    Raises:
      InputError: the folder is not a run's, is damaged, or comes from a newer hepjax; it has no temperature; or the
        file cannot be used.

    >>> load("no-such-run")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: no-such-run: no such folder or file; give a run folder or an exported tagger
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such folder or file; give a run folder or an exported tagger")
    if path.is_file():
        if calibrated:
            raise InputError(f"{path}: is calibrated or not since its export; leave out calibrated")
        return _load_file(path)
    networks, record = read_run(path)
    temperature = read_temperature(path) if calibrated else 1.0
    score = [_scores(one) for one in networks]

    def scores(inputs: Any) -> np.ndarray:
        mean: np.ndarray = np.mean([one(inputs) for one in score], axis=0)
        return mean if temperature == 1 else evaluation.apply_temperature(mean, temperature).astype(np.float32)

    recipe = networks[0].recipe
    return Tagger(tuple(record["classes"]), recipe.columns, recipe, scores, networks, temperature)


def read_run(folder: Path) -> tuple[tuple[Trained, ...], dict[str, Any]]:
    """Reads the networks of a run folder.

    Args:
      folder: of the run.

    Returns:
      The best network; of folds or an ensemble all, of learning rates and sizes the one that stands for
      all; and what experiment.json holds.

    Raises:
      InputError: the folder is not a run's, is damaged, or comes from a newer hepjax.
    """
    experiment, record = run_folder.read_experiment(folder)
    if "members" not in record:
        classes = len(record["classes"])
        recipe = pipelines.make_recipe(experiment.model, classes)
        # Shapes alone: nothing is drawn or compiled to have a template.
        shapes = jax.eval_shape(lambda: pipelines.initialise(recipe, jax.random.key(0)))
        template = (*shapes, pipelines.blank_scaling(recipe))
        params, model_state, scaling = training.restore(folder / "checkpoints" / "best.msgpack", template)
        return (Trained(classes, recipe, params, model_state, scaling, experiment.precision, experiment),), record
    members = ensembles.members_in_use(folder, experiment, record)
    return tuple(network for name in members for network in read_run(folder / name)[0]), record


def read_temperature(folder: Path) -> float:
    """The temperature that was fitted on the validation part of a run.

    Args:
      folder: of the run.

    Raises:
      InputError: the run has none.
    """
    metrics = run_folder.read_metrics(folder)
    found = metrics.get("calibration", {}).get("temperature")
    if found is None:
        raise InputError(
            f"{folder}: metrics.json has no temperature to calibrate with; use it as it is, or train again"
        )
    return float(found)


def make_answer(networks: Sequence[Trained], temperature: float = 1.0) -> Callable[[Any], jax.Array]:
    """The pure function of a tagger, from what its recipe reads to probabilities, scaling and softmax included.

    Args:
      networks: whose mean probability is the answer.
      temperature: divides the logarithms of the probabilities.

    Returns:
      What `recipe.read` gives of N jets → (N, C) class probabilities; to be compiled or exported.
    """

    def answer(inputs: Any) -> jax.Array:
        mask = jnp.ones(jax.tree.leaves(inputs)[0].shape[0], bool)
        found = []
        for one in networks:
            apply = pipelines.make_apply(one.recipe, one.scaling, one.precision)
            found.append(jax.nn.softmax(apply(one.params, one.model_state, inputs, mask, None)[0]))
        mean = sum(found[1:], found[0]) / len(found)
        if temperature == 1:
            return mean
        return jax.nn.softmax(jnp.log(jnp.maximum(mean, _SMALLEST)) / temperature)

    return answer


def open_jets(tagger: Tagger, files: Sequence[Path]) -> Jets:
    """The files' jets, lazily.

    Args:
      tagger: for which they are read.
      files: none is the sample that comes with hepjax.

    Raises:
      InputError: a file is not usable, or the classes are not those of the tagger.
    """
    return tagger.check(subsets.open_jets(files, tagger.recipe), subsets.names(files))


def score_blocks(tagger: Tagger, jets: Jets) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Answers jets so many at a time that they fit in memory.

    Args:
      tagger: that answers.
      jets: lazy jets.

    Yields:
      (n, C) probabilities, and (n,) labels where they are known.
    """
    for inputs, labels in subsets.blocks(jets, tagger.recipe):
        yield tagger.scores(inputs), labels


def _scores(network: Trained) -> Callable[[Any], np.ndarray]:
    """Compiled, in few shapes, on all devices."""
    recipe = network.recipe
    apply = pipelines.make_apply(recipe, network.scaling, network.precision)
    cost = models.cost(apply, network.params, network.model_state, recipe.example)
    eval_step = training.make_eval_step(apply, losses.categorical_cross_entropy)
    state = TrainState(network.params, network.model_state, (), np.zeros((), np.int32), jax.random.key(0))
    logits = make_scorer(recipe, eval_step, state, cost)

    def scores(inputs: Any) -> np.ndarray:
        found = np.asarray(jax.device_get(jax.nn.softmax(logits(inputs))))
        return found.reshape(len(found), network.classes)  # of no jets, the logits have no columns

    return scores


def _load_file(path: Path) -> Tagger:
    from hepjax import export

    run, facts = export.read(path)
    try:
        model, classes = run_folder.model_from_json(facts["model"]), tuple(json.loads(facts["classes"]))
    except Exception as error:  # whatever json and cattrs say of words that hepjax did not write
        raise InputError(f"{path}: was not exported by hepjax, or is damaged ({error!r}); export again") from error
    recipe = pipelines.make_recipe(model, len(classes))
    return Tagger(classes, recipe.columns, recipe, run)
