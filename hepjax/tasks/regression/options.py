"""The options of a regression."""

from __future__ import annotations

import dataclasses

from hepjax.choices import RegressionLoss
from hepjax.tasks.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressionOptions(Task):
    """The options of a regression, which the figures of merit and the pages need too."""

    target: tuple[str, ...] = ()
    """The jet columns to predict, by name; `hepjax info` lists them. They are never among the inputs."""
    loss: RegressionLoss = RegressionLoss.SQUARED_ERROR
    """What is minimized, of targets in units of their spread."""
    huber_delta: float = 1.0
    """Of the Huber loss: residuals larger than this count linearly, in units of the target's spread."""
    quantiles: tuple[float, ...] = (0.16, 0.5, 0.84)
    """Of the quantile loss: the levels to learn, 0.5 among them."""
