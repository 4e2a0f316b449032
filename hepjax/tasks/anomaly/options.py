"""The options of anomaly detection."""

from __future__ import annotations

import dataclasses

from hepjax.choices import AnomalyLoss  # noqa: TC001 — tyro and cattrs read the annotations at run time
from hepjax.tasks.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnomalyOptions(Task):
    """Says what is background, what shall be found, and what is minimized."""

    background: tuple[str, ...] = ()
    """The classes to learn; the default is what the data set names, or else all jets, whatever they are."""
    anomalies: tuple[str, ...] = ()
    """The classes to find; the default is all others."""
    contamination: float = 0.0
    """The share of anomalies among the jets to learn from, unmarked and drawn by the seed: 0, or from 0.001 to 0.1."""
    loss: AnomalyLoss | None = None
    """What is minimized; the default is the negative ELBO where codes are distributions, or else the error."""
