"""Grooming with the interface of Gymnasium, for agents of other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hepjax.errors import InputError
from hepjax.physics import kinematics
from hepjax.tasks.grooming.environment import groomed, grooming

if TYPE_CHECKING:
    import gymnasium

    from hepjax.physics.substructure.trees import Tree
    from hepjax.tasks.grooming.rewards import Reward
    from hepjax.types import Array


def gymnasium_environment(
    trees: Tree, reward: Reward, signal: Array | None = None, background_share: float = 0.5
) -> gymnasium.Env[np.ndarray, np.int64]:
    """Makes a `gymnasium.Env` of `grooming`: an observation is a splitting, action 1 drops its softer branch.

    Args:
      trees: trees of N jets; those without a splitting are never drawn.
      reward: reward of each step; see `make_reward`.
      signal: (N,) bool, True for signal; None means that all jets are signal.
      background_share: probability to draw a background jet, if there are both kinds.

    Returns:
      The environment, with a `spec` to make copies. Its `info` has the index of the `jet`, its current `mass` in GeV,
      and the (M,) `mask` of its remaining particles. The same seed draws the same jets.

    Raises:
      InputError: Gymnasium is not installed, no jet has a splitting, or a shape does not fit.
    """
    try:
        import gymnasium
    except ImportError as error:
        raise InputError("gymnasium: not installed; pip install 'hepjax[gymnasium]'") from error
    environment = grooming(trees, reward, signal, background_share)
    reset, advance, remaining = jax.jit(environment.reset), jax.jit(environment.step), jax.jit(groomed)

    def describe(state: Any) -> dict[str, Any]:
        jet, walk = jax.device_get(state)
        mask = remaining(jax.tree.map(lambda x: x[jet], trees), walk.dropped)
        return {"jet": int(jet), "mass": float(kinematics.mass(np.asarray(walk.p4))), "mask": np.asarray(mask)}

    class JetGrooming(gymnasium.Env[np.ndarray, np.int64]):
        """An environment that grooms one jet after another."""

        observation_space = gymnasium.spaces.Box(-1, 1, (environment.size,), np.float32)
        action_space = gymnasium.spaces.Discrete(environment.actions)
        metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 — as Gymnasium has it

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[np.ndarray, dict[str, Any]]:
            super().reset(seed=seed, options=options)
            key = jax.random.key(int(self.np_random.integers(2**31)))
            self._state, observation = reset(key)
            return np.asarray(observation), describe(self._state)

        def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            after = advance(self._state, np.int32(action))
            self._state = after.state
            return np.asarray(after.observation), float(after.reward), bool(after.done), False, describe(self._state)

    instance = JetGrooming()
    instance.spec = gymnasium.envs.registration.EnvSpec("hepjax/JetGrooming-v0", entry_point=lambda **_: JetGrooming())
    return instance
