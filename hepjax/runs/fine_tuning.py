"""Opens the trained network that a training starts from, and finds out which of its layers fit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import jax
import numpy as np

from hepjax import models
from hepjax.errors import InputError
from hepjax.inputs import pipelines
from hepjax.models import transfer
from hepjax.runs import records, stored
from hepjax.runs.starts import Start, own_columns
from hepjax.types import Scaling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.runs.options import Experiment
    from hepjax.runs.stored import Run
    from hepjax.types import Dataset, PyTree

log = logging.getLogger("hepjax")


def open_start(
    experiment: Experiment, pipeline: InputPipeline, dataset: Dataset, saved: Mapping[str, Any] | None = None
) -> Start | None:
    """Opens the trained network that an experiment starts from.

    Its head is drawn anew where its predictions are others than those to be learned, or where that is asked for.

    Args:
      experiment: the options, with the columns of the model named.
      pipeline: of its model.
      dataset: of the jets.
      saved: what experiment.json holds of a run that goes on; None of a new one.

    Returns:
      The start; None where the experiment names none.

    Raises:
      InputError: the folder is not that of one trained network of the same kind, nothing of it fits, or it has changed
        since the run began.
    """
    if experiment.start_from is None:
        return None
    folder = experiment.start_from
    try:
        source = stored.open_run(folder)
        networks, used = stored.networks_of(source), stored.members_in_use(source)
    except InputError as error:
        raise InputError(f"--from {folder}: {error}") from error
    if len(networks) > 1:
        raise InputError(f"--from {folder}: has {len(networks)} networks; name the folder of one: {used[0].folder}")
    (network,), path = networks, used[0].folder / stored.BEST
    record = {"folder": str(folder), "sha256": records.checksum(path)}
    if saved is not None and (saved.get("start_from") or {}).get("sha256") != record["sha256"]:
        raise InputError(f"--from {folder}: its network is not the one that the run began with; start a new run")
    known, kind = (models.MODELS.name_of(type(each)) for each in (network.pipeline.network, pipeline.network))
    if known != kind:
        raise InputError(f"--from {folder}: has a {known}, the model to train is a {kind}; train a {known}")
    shapes = _shapes(pipeline, pipeline.network)
    anew, head = experiment.new_head or _learns_others(experiment, dataset, source), frozenset[tuple[str, ...]]()
    if anew:
        more = pipeline.network.with_outputs(pipeline.network.outputs + 1)
        head = transfer.paths_of_head(shapes[0], _shapes(pipeline, more)[0])
    plan = transfer.plan_transfer((network.params, network.model_state), shapes, head)
    if not plan.params:
        misfits = transfer.misfits_text(plan.misfits) or "all of it is its head, which is drawn anew"
        raise InputError(f"--from {folder}: nothing of its network fits: {misfits}; train without --from")
    scaling = _known_scaling(network.pipeline.network, pipeline.network, network.scaling)
    _tell(experiment, plan, anew=anew, scaled=bool(len(scaling.mean)) or not pipeline.scaled)
    return Start(plan, scaling, record, source.trained)


def _shapes(pipeline: InputPipeline, network: models.Model) -> tuple[PyTree, PyTree]:
    """The shapes of the parameters and the other variables of a network that sees what a pipeline gives."""
    changed = pipeline._replace(network=network)
    shapes: tuple[PyTree, PyTree] = jax.eval_shape(
        lambda: pipelines.initialize_from_example(changed, jax.random.key(0))
    )
    return shapes


def _learns_others(experiment: Experiment, dataset: Dataset, source: Run) -> bool:
    """Returns whether the outputs of an experiment mean something else than those of a trained network."""
    task, known = experiment.task, source.experiment.task
    return type(task) is not type(known) or task.columns(dataset) != known.columns(source.dataset)


def _known_scaling(known: models.Model, network: models.Model, scaling: Scaling) -> Scaling:
    """The scaling of the columns that both networks see in the same places; none where they see other numbers."""
    before, now = own_columns(known), own_columns(network)
    if before != now:
        log.warning(
            "--from: its inputs were %s, and are %s now, %s", ", ".join(before), ", ".join(now),
            "in their places and with their scaling" if len(before) == len(now) else "which are scaled anew",
        )  # fmt: skip
    count = len(now) if len(before) == len(now) else 0
    return Scaling(*(np.asarray(x)[:count] for x in scaling))


def _tell(experiment: Experiment, plan: transfer.Transfer, *, anew: bool, scaled: bool) -> None:
    taken, head = len(plan.params), "a new head" if anew else "its head"
    kept = "" if scaled else ", inputs scaled anew"
    log.info("starting from %s: %d of its arrays, %s%s", experiment.start_from, taken, head, kept)
    if plan.misfits:
        log.warning("--from: layers that do not fit are drawn anew: %s", transfer.misfits_text(plan.misfits))
