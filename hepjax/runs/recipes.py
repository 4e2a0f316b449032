"""The published choices for the training of networks, as defaults of options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.choices import Optimizer, Recipe, Schedule, choose
from hepjax.runs.options import Optimization

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Published(NamedTuple):
    """The options of an `Experiment` that a recipe sets."""

    epochs: int
    batch_size: int
    optimizer: Optimization
    patience: int | None = None
    """None of them stops early: the schedule goes to its end."""


def _weaver(rate: float, batch_size: int, decay: float) -> _Published:
    """Trains as weaver-core does by the scripts of arXiv:2202.03772."""
    chosen = Optimization(Optimizer.RANGER, rate, Schedule.FLAT_THEN_DECAY, weight_decay=decay)
    return _Published(20, batch_size, chosen)


_RECIPES: Mapping[Recipe, _Published] = {
    # arXiv:2202.03772 and its public scripts, for top tagging and quarks against gluons
    Recipe.PARTICLE_TRANSFORMER: _weaver(1e-3, 512, 0.01),
    Recipe.PARTICLE_NET: _weaver(1e-2, 512, 0.0),
    Recipe.PARTICLE_FLOW: _weaver(2e-2, 4096, 0.0),
    # arXiv:2201.08187 and its public code: four GPUs with 32 jets each
    Recipe.LORENTZ_NET: _Published(
        35, 128, Optimization(Optimizer.ADAMW, 1e-3, Schedule.COSINE_RESTARTS, warmup_epochs=5.0, weight_decay=0.01)
    ),
    # arXiv:2512.17011 and its public code: 200,000 steps over 1.2 million jets
    Recipe.LGATR_SLIM: _Published(
        21, 128, Optimization(Optimizer.LION, 3e-5, Schedule.COSINE, weight_decay=2.0, clip_norm=1.0)
    ),
}


def recipe_options(recipe: Recipe | str | None) -> dict[str, Any]:
    """Returns the options of an `Experiment` that a recipe sets, for those that are not given.

    Args:
      recipe: which; its name will do. None sets nothing.

    Returns:
      Field → value: epochs, batch_size, optimizer and patience.

    Raises:
      InputError: there is no such recipe.

    >>> recipe_options("particle-net")["optimizer"].learning_rate
    0.01
    """
    return {} if recipe is None else _RECIPES[choose(Recipe, recipe, "recipe")]._asdict()
