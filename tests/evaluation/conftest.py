from __future__ import annotations

import numpy as np
import pytest

from hepjax.types import Scores


@pytest.fixture
def toy(rng):
    """2,000 jets of five classes with a useful tagger's probabilities, and weights."""
    labels = rng.integers(0, 5, 2000)
    logits = rng.normal(size=(2000, 5))
    logits[np.arange(2000), labels] += 1.5
    p = np.exp(logits)
    return Scores(p / p.sum(axis=1, keepdims=True), labels, rng.uniform(0.1, 2, 2000), ("g", "q", "w", "z", "t"))
