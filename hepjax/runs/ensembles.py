"""Which trainings an experiment asks for, and which of them stand for all.

Folds of a cross-validation, models of an ensemble, learning rates to choose from, or numbers of training jets are one
program, mapped over its members, whose states are divided among the devices. A single training is a member too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.runs.options import Experiment
    from hepjax.types import Epoch, Progress

ALONE: dict[str, Any] = {"folds": None, "ensemble": None, "rates": (), "sizes": ()}
"""The options of a single training."""


class Member(NamedTuple):
    """A training among those of an experiment."""

    name: str
    """Its folder in that of the run; empty for a single training."""
    train: np.ndarray
    """(n,) the jets to train on, numbered through the training, validation and test part, and so the others."""
    val: np.ndarray
    test: np.ndarray
    rate: float
    """The learning rate."""


def asks_for_ensemble(experiment: Experiment) -> bool:
    """Returns whether an experiment asks for several trainings at once.

    >>> from hepjax.runs.options import Experiment
    >>> asks_for_ensemble(Experiment()), asks_for_ensemble(Experiment(folds=5))
    (False, True)
    """
    return bool(experiment.folds or experiment.ensemble or experiment.rates or experiment.sizes)


def count_members(experiment: Experiment) -> int:
    """Counts the trainings that an experiment asks for.

    >>> from hepjax.runs.options import Experiment
    >>> count_members(Experiment()), count_members(Experiment(rates=(0.1, 0.2)))
    (1, 2)
    """
    return experiment.folds or experiment.ensemble or len(experiment.rates) or len(experiment.sizes) or 1


def member_names(experiment: Experiment) -> tuple[str, ...]:
    """Names the trainings that an experiment asks for, which are folders in that of the run.

    >>> from hepjax.runs.options import Experiment
    >>> member_names(Experiment(ensemble=2)), member_names(Experiment())
    (('model-1', 'model-2'), ('',))
    """
    if experiment.folds or experiment.ensemble:
        kind = "fold" if experiment.folds else "model"
        return tuple(f"{kind}-{i + 1}" for i in range(count_members(experiment)))
    if experiment.rates or experiment.sizes:
        return tuple(f"rate-{rate:g}" for rate in experiment.rates) + tuple(f"size-{n}" for n in experiment.sizes)
    return ("",)


def choose_members(experiment: Experiment, split: Sequence[np.ndarray]) -> tuple[Member, ...]:
    """Lists the trainings that an experiment asks for.

    Args:
      experiment: the options.
      split: the training, validation and test jets of a single training.

    Returns:
      The members. Of k folds, each is tested once; the next one validates, the others are trained on. Of several sizes
      the jets of a smaller one are among those of a larger one.

    Raises:
      InputError: there are fewer jets to train on than a size asks for.
    """
    (train, val, test), rate = split, experiment.learning_rate
    names = member_names(experiment)
    if experiment.folds:
        order = np.random.default_rng(experiment.seed).permutation(np.concatenate(split))
        folds = [np.sort(fold) for fold in np.array_split(order, experiment.folds)]
        turns = [np.roll(np.arange(len(folds)), -i) for i in range(len(folds))]
        rest = [np.sort(np.concatenate([folds[j] for j in others])) for _, _, *others in turns]
        return tuple(Member(names[i], rest[i], folds[turn[1]], folds[i], rate) for i, turn in enumerate(turns))
    if experiment.ensemble:
        return tuple(Member(name, train, val, test, rate) for name in names)
    if experiment.rates:
        return tuple(Member(name, train, val, test, rate) for name, rate in zip(names, experiment.rates, strict=True))
    if not experiment.sizes:
        return (Member(names[0], train, val, test, rate),)
    if max(experiment.sizes) > len(train):
        raise InputError(f"--sizes: there are {len(train)} jets to train on, found {max(experiment.sizes)}; give fewer")
    order = np.random.default_rng(experiment.seed).permutation(train)
    return tuple(
        Member(name, np.sort(order[:size]), val, test, rate) for name, size in zip(names, experiment.sizes, strict=True)
    )


def choose_best_member(experiment: Experiment, good: Sequence[int], histories: Sequence[Sequence[Epoch]]) -> int:
    """Chooses the training that stands for all where one does.

    Args:
      experiment: the options.
      good: the numbers of the members that did not diverge, one or more.
      histories: of each of them.

    Returns:
      Its place in `good`: of several sizes that of the largest, otherwise that of the lowest validation loss.

    >>> from hepjax.runs.options import Experiment
    >>> choose_best_member(Experiment(sizes=(50, 900, 300)), [0, 2], [])
    1
    """
    if experiment.sizes:
        return int(np.argmax([experiment.sizes[i] for i in good]))
    return int(np.argmin([min(row.val_loss for row in history) for history in histories]))


def diverged_members(members: Sequence[Member], progress: Sequence[Progress]) -> dict[str, str]:
    """Lists the members that diverged.

    Args:
      members: the trainings.
      progress: how far each has come.

    Returns:
      Name → where and how.
    """
    pairs = zip(members, progress, strict=True)
    return {member.name: row.divergence for member, row in pairs if row.divergence}


def ensemble_verdict_text(
    experiment: Experiment, members: Sequence[Member], metrics: dict[str, Any], best: int, diverged: dict[str, str]
) -> str:
    """Says in a sentence what several trainings found.

    Args:
      experiment: the options.
      members: those that did not diverge.
      metrics: the figures of merit of all, with those of each member.
      best: the place of the one that stands for all.
      diverged: from `diverged_members`.

    Returns:
      The words.
    """
    lost = "; ".join(f"{name} diverged {words}" for name, words in diverged.items())
    lost = f". Left out: {lost}" if lost else ""
    if experiment.rates:
        return f"The best of {len(members) + len(diverged)} learning rates is {members[best].rate:g}{lost}"
    if experiment.sizes:
        most = f"The figures are those of {len(members[best].train):,} training jets"
        return f"{most}, the most of {len(members)} sizes{lost}"
    key = experiment.task.headline
    mean = np.mean([of_member[key] for of_member in metrics["members"].values()])
    together = f", together {metrics[key]:.4f}" if experiment.ensemble else ""
    return f"{len(members)} trainings: {key} {mean:.4f} ± {metrics['spread'][key]:.4f}{together}{lost}"
