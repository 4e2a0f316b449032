"""The compiled function of a trained network in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax import runtime
from hepjax.inputs import batching, load_subsets
from hepjax.runs.batch_feeds import COMPILATION_FLOP, choose_evaluation_size, predict_subset

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from hepjax import models
    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.training.step import EvalStep
    from hepjax.types import TrainState

_MIXED = 512
"""The most jets that are predicted at once where they are sorted by length: the last batch of each is filled up."""


def make_scorer(
    pipeline: InputPipeline, eval_step: EvalStep, state: TrainState, cost: models.Cost
) -> Callable[[Any], np.ndarray]:
    """Makes the function of a trained model in use.

    Args:
      pipeline: of the model.
      eval_step: from `make_eval_step`.
      state: holds the parameters.
      cost: of a prediction with all slots.

    Returns:
      What the pipeline has read of N jets → (N, C) logits; on all devices there are.
    """
    devices = runtime.make_devices(coupled=True)  # the compiler divides the work, with nothing to add up
    _, evaluate = runtime.compile_on(devices, eval_step, eval_step)
    placed = runtime.place_state(devices, state)

    def score(inputs: Any) -> np.ndarray:
        part = load_subsets.subset_of_inputs(inputs)
        # Few sizes and lengths, whatever the calls, for each is compiled.
        buckets, size = (
            batching.Buckets(),
            min(choose_evaluation_size(cost), 1 << (max(len(part.rows), 1) - 1).bit_length()),
        )
        if pipeline.spare is not None and len(part.rows) * cost.flop_per_jet > COMPILATION_FLOP:
            buckets, size = batching.even_buckets(pipeline.example.mask.shape[1], pipeline.spare), min(size, _MIXED)
        size = batching.steps_of(size, devices.here) * devices.here
        return predict_subset(evaluate, buckets, [size] * len(buckets), devices, placed, part)

    return score
