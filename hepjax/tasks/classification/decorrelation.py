"""Taggers whose predictions do not tell a nuisance: an observable of the jets, or the scale of their energies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from hepjax import models, runtime
from hepjax.data.dataset import grows_with_energy
from hepjax.errors import InputError
from hepjax.inputs.columns import read_columns
from hepjax.tasks.classification.options import has_adversary, signal_classes
from hepjax.tasks.task_types import Objective
from hepjax.training import decorrelation
from hepjax.training.decorrelation import ADVERSARY
from hepjax.types import Sequences

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import jax

    from hepjax.inputs.batching.stream import Block
    from hepjax.inputs.load_subsets import Splits, Subset
    from hepjax.models import Apply
    from hepjax.tasks.classification.options import Insensitivity
    from hepjax.training.decorrelation import Loss
    from hepjax.types import Batch, Dataset, PyTree

_ADVERSARY = models.MLP(hidden=(32, 32), outputs=decorrelation.BINS)


def attach_nuisance(splits: Splits, columns: Sequence[str], insensitive: Insensitivity, seed: int) -> Splits:
    """Gives each jet its nuisance.

    Args:
      splits: as they were read.
      columns: of what was read.
      insensitive: says what the nuisance is; it is asked for.
      seed: of shifted energies.

    Returns:
      The same, with ranks in their batches: of an observable the share of training jets that have less of it, among
      those that count; of the energy scale that of its factor, by which the energies of training and validation jets
      are multiplied. Test jets stay as they are.

    Raises:
      InputError: the files lack the observable, it is not finite, or a class that counts has no jets.
    """
    subsets = {"train": splits.train, "val": splits.val, "test": splits.test}
    in_energy = grows_with_energy(splits.dataset, columns)
    if insensitive.to is None:
        ranks = _draw_energy_ranks(subsets, seed)
    else:
        ranks = _ranks_of_nuisance_observable(subsets, insensitive, splits.dataset)

    def change(subset: Subset, rank: np.ndarray) -> Subset:
        factor = (1 + insensitive.energy_scale * (2 * rank - 1)).astype(np.float32)

        def with_nuisance(batch: Batch, places: Any) -> Batch:
            shifted = insensitive.energy_scale > 0
            inputs = scale_energies(batch.inputs, in_energy, factor[places]) if shifted else batch.inputs
            return batch._replace(inputs=inputs, nuisance=rank[places])

        def blocks(seeds: Sequence[int]) -> Iterator[Block]:
            return ((places, with_nuisance(batch, places)) for places, batch in subset.blocks(seeds))

        data = None if subset.data is None else with_nuisance(subset.data, slice(None))
        return subset._replace(data=data, blocks=blocks)

    train, val, test = (change(subset, ranks[name]) for name, subset in subsets.items())
    return splits._replace(train=train, val=val, test=test)


def scale_energies(inputs: Any, in_energy: np.ndarray, factor: np.ndarray) -> Any:
    """Returns jets as they would look with another calibration: all energies of each are multiplied by one factor.

    Args:
      inputs: what a pipeline has loaded of N jets.
      in_energy: (F,) bool, the columns that grow with energy; no particle crosses a threshold, and no jet is clustered
        anew.
      factor: (N,).

    Returns:
      The same structure.

    >>> scale_energies(np.array([[80.0, 0.3]]), np.array([True, False]), np.array([1.05])).tolist()
    [[84.0, 0.3]]
    """
    if isinstance(inputs, Sequences):
        return inputs._replace(values=scale_energies(inputs.values, in_energy, factor))
    by = factor.reshape(-1, *[1] * (inputs.ndim - 1)).astype(inputs.dtype)
    return np.where(in_energy, inputs * by, inputs)


def draw_adversary(insensitive: Insensitivity, dataset: Dataset, key: jax.Array) -> dict[str, PyTree]:
    """Draws the parameters of the adversary of a tagger.

    Args:
      insensitive: says which predictions it reads.
      dataset: of the jets.
      key: () typed PRNG key.

    Returns:
      Name → parameters.
    """
    width = len(signal_classes(insensitive, dataset))
    return {ADVERSARY: models.initialize(_ADVERSARY, key, jnp.zeros((1, width)))[0]}


def make_decorrelation_objective(insensitive: Insensitivity, dataset: Dataset, apply: Apply, loss: Loss) -> Objective:
    """Returns what is trained, and by which losses; validation adds the distance correlation in both ways.

    Args:
      insensitive: says what the predictions shall not tell, and how that is reached; it is asked for.
      dataset: of the jets.
      apply: the model's function.
      loss: (logits, labels, weights) → () mean.
    """
    background = jnp.array([name in insensitive.background for name in dataset.classes])
    signal = signal_classes(insensitive, dataset)
    correlated = decorrelation.correlation_loss(loss, insensitive.strength, background, signal)
    if not has_adversary(insensitive):
        return Objective(apply, correlated, apply, correlated)
    contest = decorrelation.make_adversarial_contest(
        apply, models.make_apply(_ADVERSARY), insensitive.strength, background, signal
    )
    return Objective(contest, decorrelation.make_contest_loss(loss, background, signal), apply, correlated)


def _draw_energy_ranks(subsets: Mapping[str, Subset], seed: int) -> dict[str, np.ndarray]:
    """Ranks drawn at random, by a jet's row in its file; the energies of test jets are as they are."""
    ranks = {}
    for i, (name, subset) in enumerate(subsets.items()):
        drawn = np.random.default_rng([seed, i]).random(len(subset.jets or ()), np.float32)
        ranks[name] = drawn[subset.rows]
    return ranks | {"test": np.full_like(ranks["test"], 0.5)}


def _ranks_of_nuisance_observable(
    subsets: Mapping[str, Subset], insensitive: Insensitivity, dataset: Dataset
) -> dict[str, np.ndarray]:
    values = {name: _read_nuisance_observable(subset, str(insensitive.to)) for name, subset in subsets.items()}
    names = insensitive.background
    counts = np.isin(subsets["train"].targets, [dataset.classes.index(name) for name in names])
    known = np.sort(runtime.gather(values["train"][counts]))
    if not len(known):
        raise InputError(
            f"--insensitive.background: no jet to train on is of class {' or '.join(names)}; name classes that the "
            "files have"
        )
    return {name: (np.searchsorted(known, each) / len(known)).astype(np.float32) for name, each in values.items()}


def _read_nuisance_observable(subset: Subset, name: str) -> np.ndarray:
    jets = subset.jets
    if jets is None or name not in jets.observable_names:
        raise InputError(f"--insensitive.to: expected an observable of the files, found {name}; hepjax info lists them")
    values = read_columns(jets, subset.rows, (name,))[:, 0]
    if not np.isfinite(values).all():
        raise InputError(
            f"--insensitive.to: {name} is not finite in {(~np.isfinite(values)).sum()} jets; leave them out"
        )
    return values
