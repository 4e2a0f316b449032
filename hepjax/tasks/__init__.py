"""What is learned from jets: each task in its own folder, known to the drivers by the interface `Task` alone."""

from hepjax.tasks.registry import TASKS, default_task, from_json, register, to_json
from hepjax.tasks.structures import Case, Layout, Objective, Predictions, Results, TrainedNetwork
from hepjax.tasks.task import Task

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
