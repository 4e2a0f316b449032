"""The weights of a run's jets: checked, and changed where classes are balanced or reweighted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax import runtime
from hepjax.data.reweighting import parse_bins
from hepjax.errors import InputError
from hepjax.inputs import event_weights
from hepjax.runs.ensembles import choose_members
from hepjax.types import Reweighting

if TYPE_CHECKING:
    from hepjax.inputs.load_subsets import Splits
    from hepjax.runs.options import Experiment
    from hepjax.types import Dataset


def weigh_training_jets(experiment: Experiment, jets: Splits, source: str) -> tuple[Splits, dict[str, float]]:
    """Gives jets the weights that they are learned from with.

    Args:
      experiment: the options.
      jets: with the weights of their files.
      source: the files, for messages.

    Returns:
      The jets, and what is recorded of their weights: {} where all count the same.

    Raises:
      InputError: weights cannot be used, or the jets cannot be reweighted as it is asked for.
    """
    reweighting, task = asked_reweighting(experiment, jets.dataset), experiment.task
    figures = event_weights.weight_figures(jets)
    if figures:
        _check_weights(experiment, jets, source)
    if reweighting is None:
        return jets, figures
    if problem := task.weights_problem():
        raise InputError(
            f"{source}: the dataset {jets.dataset.name} reweights jets, but {problem}; describe it without"
        )
    columns = task.columns(jets.dataset)
    groups = {name: task.weight_groups(getattr(jets, name).targets, columns) for name in jets.split._fields}
    names = groups["train"][1]
    jets, of_reweighting = event_weights.reweighted(
        jets,
        reweighting,
        {name: numbers for name, (numbers, _) in groups.items()},
        names,
        tested_too=bool(experiment.folds),
    )
    _check_weights(experiment, jets, source)
    return jets, figures | of_reweighting


def asked_reweighting(experiment: Experiment, dataset: Dataset) -> Reweighting | None:
    """Returns the spectrum that classes shall have: of the options, or else of the dataset, or else equal sums.

    Args:
      experiment: the options.
      dataset: of the jets.

    >>> from hepjax.runs.options import Experiment
    >>> from hepjax.types import Dataset
    >>> asked_reweighting(Experiment(reweight=("jet_pt", 500, 1000)), Dataset("toy")).bins
    {'jet_pt': (500.0, 1000.0)}
    """
    if experiment.reweight:
        return Reweighting(parse_bins(experiment.reweight), experiment.reweight_to)
    if dataset.reweighting is not None:
        return dataset.reweighting
    return Reweighting({}) if experiment.task.balances_classes() else None


def _check_weights(experiment: Experiment, jets: Splits, source: str) -> None:
    """Refuses weights that a training cannot be learned from or measured with."""
    parts, task = jets[:3], experiment.task
    targets, learned, measured = (
        np.concatenate([runtime.gather(getattr(part, name)) for part in parts])
        for name in ("targets", "weights", "event_weights")
    )
    columns = task.columns(jets.dataset)
    for member in choose_members(experiment, np.split(np.arange(sum(jets.counts)), np.cumsum(jets.counts[:2]))):
        for weights, names in ((learned, ("train", "val")), (measured, ("val", "test"))):
            rows = {name: getattr(member, name) for name in names}
            task.check_weights(
                {name: weights[chosen] for name, chosen in rows.items()},
                {name: targets[chosen] for name, chosen in rows.items()},
                columns,
                source,
                member.name,
            )
