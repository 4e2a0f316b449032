"""What a model lets others see of its inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jax
    from flax import linen as nn


def sow_for_inspection(module: nn.Module, name: str, x: jax.Array) -> jax.Array:
    """Passes x on, to be seen in flax's collection `intermediates` and changed by that of `perturbations`.

    Where nobody asks for these collections, as in a training, it is nothing.

    Args:
      module: inside whose call this is.
      name: in both collections.
      x: an array of any shape.

    Returns:
      x, plus `perturbations[name]` where that is given.

    >>> import jax
    >>> from flax import linen as nn
    >>> class Twice(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, x):
    ...         return 2 * sow_for_inspection(self, "x", x)
    >>> float(Twice().apply({}, 3.0)), float(Twice().apply({"perturbations": {"x": 1.0}}, 3.0))
    (6.0, 8.0)
    """
    module.sow("intermediates", name, x)
    # Parameters are drawn with all collections open, and would come with an array of the batch's size.
    return x if module.is_initializing() else module.perturb(name, x)
