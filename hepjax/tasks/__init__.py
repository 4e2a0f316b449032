"""What is learned from jets: each task in its own folder, known to the drivers by the interface `Task` alone."""

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
