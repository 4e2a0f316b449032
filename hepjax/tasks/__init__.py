"""What is learned from jets: each task in its own folder, known to the drivers by the interface `Task` alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule
from hepjax.tasks.registry import TASKS, default_task, from_json, register, to_json
from hepjax.tasks.task import Task
from hepjax.tasks.task_types import Case, Layout, Objective, Predictions, Results, TrainedNetwork

__all__ = [
    "TASKS",
    "Case",
    "Layout",
    "Objective",
    "Predictions",
    "Results",
    "Task",
    "TrainedNetwork",
    "default_task",
    "from_json",
    "register",
    "to_json",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
