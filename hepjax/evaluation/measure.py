"""All that is measured of scores, and what a reader must be told about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError
from hepjax.evaluation._inputs import checked
from hepjax.evaluation.bootstrap import bootstrap_intervals
from hepjax.evaluation.calibration import expected_calibration_error, fit_temperature, scaled
from hepjax.evaluation.intervals import FEWEST
from hepjax.evaluation.metrics import figures_of_merit

if TYPE_CHECKING:
    from hepjax.types import Scores


def measure(scores: Scores) -> dict[str, Any]:
    """All figures of merit of some scores, with their intervals.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      What `figures_of_merit` gives, and `intervals` by `bootstrap_intervals`.

    Raises:
      InputError: for scores that are not class probabilities, or labels or weights that do not fit them.

    >>> import numpy as np
    >>> from hepjax.types import Scores
    >>> found = measure(Scores(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]), None, ("q", "t")))
    >>> found["accuracy"], found["intervals"]["accuracy"]
    (1.0, None)
    """
    metrics = figures_of_merit(scores)
    return metrics | {"intervals": bootstrap_intervals(scores, metrics)}


def calibration_figures(val: Scores, test: Scores) -> dict[str, float | None]:
    """How far probabilities are from frequencies, and the temperature that brings them nearer.

    Args:
      val: of jets that the temperature is fitted on.
      test: of the jets that are measured.

    Returns:
      temperature, or None where none can be fitted; expected_calibration_error of the test jets, and the same with the
      temperature.

    Raises:
      InputError: for scores that are not sound.
    """
    found: dict[str, float | None] = {"expected_calibration_error": expected_calibration_error(test)}
    try:
        temperature = fit_temperature(val)
    except InputError:
        return found | {"temperature": None, "expected_calibration_error_scaled": None}
    after = expected_calibration_error(scaled(test, temperature))
    return found | {"temperature": temperature, "expected_calibration_error_scaled": after}


def remarks(scores: Scores) -> list[str]:
    """What a reader must know before trusting figures of merit.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      A line for each class without jets, with fewer than ten, or whose score is the same for all jets.

    Raises:
      InputError: for scores that are not sound.

    >>> import numpy as np
    >>> from hepjax.types import Scores
    >>> remarks(Scores(np.full((30, 2), 0.5), np.repeat([0, 1], 15), None, ("q", "t")))[0]
    'the q score is 0.5 for all jets: its figures of merit are those of a guess'
    """
    found = checked(scores)
    lines = []
    for c, name in enumerate(found.classes):
        count = found.effective[c]
        low, high = found.p[:, c].min(), found.p[:, c].max()
        if count == 0:
            lines.append(f"class {name} has no jets: it has no figures of merit, and is no background to others")
        elif count < FEWEST:
            lines.append(f"class {name} has {count:.3g} jets: its figures of merit have no intervals below {FEWEST}")
        if low == high and len(found.p) > 1:
            lines.append(f"the {name} score is {low:g} for all jets: its figures of merit are those of a guess")
    return lines
