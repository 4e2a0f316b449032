"""What the answers of an experiment shall not tell: an observable of its jets, or the scale of their energies."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from hepjax import models, runtime
from hepjax.choices import Decorrelation
from hepjax.data.dataset import grows_with_energy
from hepjax.errors import InputError
from hepjax.training import decorrelation
from hepjax.training.decorrelation import ADVERSARY
from hepjax.types import Sequences

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import jax

    from hepjax.inputs.batching.stream import Block
    from hepjax.inputs.subsets import Part, Parts
    from hepjax.models import Apply
    from hepjax.tasks.classification.options import Insensitivity
    from hepjax.training.decorrelation import Loss
    from hepjax.types import Batch, Dataset, PyTree

_ADVERSARY = models.MLP(hidden=(32, 32), outputs=decorrelation.BINS)
_ROWS = 100_000
"""Jets whose observables are read at once."""


def is_asked(insensitive: Insensitivity) -> bool:
    """Whether there is anything that the answers shall not tell.

    >>> from hepjax.runs.options import Insensitivity
    >>> is_asked(Insensitivity()), is_asked(Insensitivity(to="j_mass"))
    (False, True)
    """
    return insensitive.to is not None or insensitive.energy_scale > 0


def is_contest(insensitive: Insensitivity) -> bool:
    """Whether the tagger is trained against an adversary, so that its two losses are not of the same kind.

    >>> from hepjax.runs.options import Insensitivity
    >>> is_contest(Insensitivity(to="j_mass", by=Decorrelation.ADVERSARY))
    True
    """
    return is_asked(insensitive) and insensitive.by is Decorrelation.ADVERSARY


def resolve(insensitive: Insensitivity, dataset: Dataset) -> Insensitivity:
    """Returns the options with their background named, which is that of the jets' dataset where they name none.

    Args:
      insensitive: the options.
      dataset: of the jets.

    Raises:
      InputError: a class is not one of the jets'.

    >>> from hepjax.data import datasets
    >>> from hepjax.runs.options import Insensitivity
    >>> resolve(Insensitivity(to="j_mass"), datasets.get("hls4ml")).background
    ('g', 'q')
    """
    if not is_asked(insensitive):
        return insensitive
    for option in ("background", "signal"):
        if unknown := [name for name in getattr(insensitive, option) if name not in dataset.classes]:
            raise InputError(
                f"--insensitive.{option}: expected different ones of {', '.join(dataset.classes)}, "
                f"found {', '.join(unknown)}"
            )
    background = insensitive.background or dataset.background or dataset.classes
    if not all({*background} - {name} for name in insensitive.signal or ("",)):
        raise InputError(
            f"--insensitive.background: expected a class that is not the signal, found {', '.join(background)}"
        )
    return dataclasses.replace(insensitive, background=background)


def attach(jets: Parts, columns: Sequence[str], insensitive: Insensitivity, seed: int) -> Parts:
    """Gives each jet its nuisance.

    Args:
      jets: as they were read.
      columns: of what was read.
      insensitive: says what the nuisance is.
      seed: of shifted energies.

    Returns:
      The same, with ranks in their batches: of an observable the share of training jets that have less of it, among
      those that count; of the energy scale that of its factor, by which the energies of training and validation jets
      are multiplied. Test jets stay as they are.

    Raises:
      InputError: the files lack the observable, it is not finite, or a class that counts has no jets.
    """
    if not is_asked(insensitive):
        return jets
    own = {"train": jets.train, "val": jets.val, "test": jets.test}
    classes = jets.dataset.classes
    ranks = _of_energies(own, seed) if insensitive.to is None else _of_observable(own, insensitive, classes)

    def changed(part: Part, rank: np.ndarray) -> Part:
        factor = (1 + insensitive.energy_scale * (2 * rank - 1)).astype(np.float32)

        def told(batch: Batch, places: Any) -> Batch:
            shifted = insensitive.energy_scale > 0
            inputs = scale_energies(batch.inputs, columns, factor[places], jets.dataset) if shifted else batch.inputs
            return batch._replace(inputs=inputs, nuisance=rank[places])

        def blocks(given: Sequence[int]) -> Iterator[Block]:
            return ((places, told(batch, places)) for places, batch in part.blocks(given))

        data = None if part.data is None else told(part.data, slice(None))
        return part._replace(data=data, blocks=blocks)

    train, val, test = (changed(part, ranks[name]) for name, part in own.items())
    return jets._replace(train=train, val=val, test=test)


def scale_energies(inputs: Any, columns: Sequence[str], factor: np.ndarray, dataset: Dataset) -> Any:
    """Jets as they would look with another calibration: all energies of each jet are multiplied by one factor.

    Args:
      inputs: what a pipeline has read of N jets.
      columns: its columns; those in GeV or MeV change. No particle crosses a threshold, and no jet is clustered anew.
      factor: (N,).
      dataset: of the jets, for the units.

    Returns:
      The same structure.

    >>> from hepjax.data import datasets
    >>> jets, columns = np.array([[80.0, 0.3]]), ("j_mass", "j_tau32_b1")
    >>> scale_energies(jets, columns, np.array([1.05]), datasets.get("hls4ml")).tolist()
    [[84.0, 0.3]]
    """
    if isinstance(inputs, Sequences):
        return inputs._replace(values=scale_energies(inputs.values, columns, factor, dataset))
    by = factor.reshape(-1, *[1] * (inputs.ndim - 1)).astype(inputs.dtype)
    return np.where(grows_with_energy(dataset, columns), inputs * by, inputs)


def add_adversary(insensitive: Insensitivity, params: PyTree, key: jax.Array, classes: int) -> PyTree:
    """The parameters of a tagger, with those of its adversary where it is trained against one.

    Args:
      insensitive: says how.
      params: of the tagger.
      key: () typed PRNG key.
      classes: C.

    Returns:
      The parameters.
    """
    if not is_contest(insensitive):
        return params
    signal = len(insensitive.signal) or classes - len(insensitive.background) or classes
    return {**params, ADVERSARY: models.initialize(_ADVERSARY, key, jnp.zeros((1, signal)))[0]}


def make_losses(
    insensitive: Insensitivity, apply: Apply, loss: Loss, classes: Sequence[str]
) -> tuple[Apply, Loss, Loss]:
    """What is trained, and by which loss.

    Args:
      insensitive: says what the answers shall not tell, and how that is reached.
      apply: the model's function.
      loss: (logits, labels, weights) → () mean.
      classes: the C names.

    Returns:
      The function to train; its loss; and the loss that validates, which adds the distance correlation in both ways.
    """
    if not is_asked(insensitive):
        return apply, loss, loss
    background = jnp.array([name in insensitive.background for name in classes])
    signal = _signal(insensitive, classes)
    correlated = decorrelation.correlation_loss(loss, insensitive.strength, background, signal)
    if not is_contest(insensitive):
        return apply, correlated, correlated
    contest = decorrelation.contest(apply, models.make_apply(_ADVERSARY), insensitive.strength, background, signal)
    return contest, decorrelation.contest_loss(loss, background, signal), correlated


def _signal(insensitive: Insensitivity, classes: Sequence[str]) -> list[int]:
    """The classes whose answers count; all where none is named and all are background."""
    others = insensitive.signal or [name for name in classes if name not in insensitive.background]
    return [classes.index(name) for name in others or classes]


def _of_energies(own: dict[str, Part], seed: int) -> dict[str, np.ndarray]:
    """Ranks drawn at random, by a jet's row in its file; the energies of test jets are as they are."""
    drawn = [
        np.random.default_rng([seed, i]).random(len(part.jets or ()), np.float32) for i, part in enumerate(own.values())
    ]
    ranks = {name: some[part.rows] for some, (name, part) in zip(drawn, own.items(), strict=True)}
    return ranks | {"test": np.full_like(ranks["test"], 0.5)}


def _of_observable(own: dict[str, Part], insensitive: Insensitivity, classes: Sequence[str]) -> dict[str, np.ndarray]:
    values = {name: _observable(part, str(insensitive.to)) for name, part in own.items()}
    counts = np.isin(own["train"].labels, [classes.index(name) for name in insensitive.background])
    known = np.sort(runtime.gather(values["train"][counts]))
    if not len(known):
        words = " or ".join(insensitive.background)
        raise InputError(
            f"--insensitive.background: no jet to train on is of class {words}; name classes that the files have"
        )
    return {name: (np.searchsorted(known, some) / len(known)).astype(np.float32) for name, some in values.items()}


def _observable(part: Part, name: str) -> np.ndarray:
    jets = part.jets
    if jets is None or name not in jets.observable_names:
        raise InputError(f"--insensitive.to: expected an observable of the files, found {name}; hepjax info lists them")
    blocks = np.array_split(part.rows, max(len(part.rows) // _ROWS, 1))
    place = jets.observable_names.index(name)
    values = np.concatenate([np.asarray(jets.observables[block])[:, place] for block in blocks])
    if not np.isfinite(values).all():
        raise InputError(
            f"--insensitive.to: {name} is not finite in {(~np.isfinite(values)).sum()} jets; leave them out"
        )
    return values
