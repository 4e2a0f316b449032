"""Grooming by reinforcement learning: the tree of a jet as environment, and a deep Q-network as agent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule
from hepjax.tasks.grooming.dqn import (
    Agent,
    AgentDivergedError,
    AgentMetrics,
    AgentProgress,
    Learner,
    Settings,
    Transition,
    epsilon,
    make_learner,
    td_loss,
    train_agent,
)
from hepjax.tasks.grooming.environment import (
    HIGH,
    LOW,
    OBSERVED,
    Environment,
    Step,
    Walk,
    greedy,
    groomed,
    grooming,
    make_groomer,
    observe,
    reset,
    step,
)
from hepjax.tasks.grooming.gymnasium_env import gymnasium_environment
from hepjax.tasks.grooming.replay import Replay, add, empty, sample_transitions
from hepjax.tasks.grooming.rewards import TOP_QUARK, W_BOSON, RewardConstants, make_reward

__all__ = [
    "HIGH",
    "LOW",
    "OBSERVED",
    "TOP_QUARK",
    "W_BOSON",
    "Agent",
    "AgentDivergedError",
    "AgentMetrics",
    "AgentProgress",
    "Environment",
    "Learner",
    "Replay",
    "RewardConstants",
    "Settings",
    "Step",
    "Transition",
    "Walk",
    "add",
    "empty",
    "epsilon",
    "greedy",
    "groomed",
    "grooming",
    "gymnasium_environment",
    "make_groomer",
    "make_learner",
    "make_reward",
    "observe",
    "reset",
    "sample_transitions",
    "step",
    "td_loss",
    "train_agent",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
