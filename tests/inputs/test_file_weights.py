"""Event weights as they are read from files."""

import numpy as np
import pytest

from hepjax import InputError
from hepjax.inputs.file_weights import check_event_weights, normalize_weights


def test_training_weights_are_1_on_average_whatever_their_signs():
    weights = {"train": np.array([3.0, -1.0, 4.0]), "test": np.array([1.0])}
    normalize_weights(weights)
    assert weights["train"].tolist() == [1.5, -0.5, 2.0]
    assert weights["test"].tolist() == [0.5]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(value):
    with pytest.raises(InputError, match=rf"jets\.h5: expected finite event weights, found {value} in row 12; leave"):
        check_event_weights(np.array([1.0, -1.0, value]), 10, "jets.h5")
