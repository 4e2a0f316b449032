"""Jets as clouds of particles, for the tests of what generates them."""

import numpy as np
import pytest

from hepjax.tasks import generation


@pytest.fixture
def small_clouds():
    """A function that draws clouds of 1 to `slots` particles, of two classes."""

    def draw(rng, count=40, slots=5):
        mask = np.arange(slots) < rng.integers(1, slots + 1, (count, 1))
        share = -np.sort(-rng.uniform(0.01, 0.3, (count, slots)), axis=1)
        values = np.concatenate([rng.normal(0, 0.1, (count, slots, 2)), share[..., None]], axis=-1)
        pt = rng.uniform(900, 1100, count)
        return generation.Clouds(np.where(mask[..., None], values, 0), mask, pt, np.arange(count) % 2)

    return draw
