"""All figures of merit of scores with their intervals, and warnings for the reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import checked_class_scores
from hepjax.evaluation.calibration import expected_calibration_error, fit_temperature, scale_scores
from hepjax.evaluation.figure_intervals import figure_intervals
from hepjax.evaluation.intervals import FEWEST, effective_count
from hepjax.evaluation.metrics import figures_of_merit

if TYPE_CHECKING:
    from hepjax.types import Scores


def measure(scores: Scores) -> dict[str, Any]:
    """Computes all figures of merit of scores, with their intervals.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      The result of `figures_of_merit`, and `intervals` from `figure_intervals`.

    Raises:
      InputError: scores are not class probabilities, or labels or weights do not fit them.

    >>> import numpy as np
    >>> from hepjax.types import Scores
    >>> metrics = measure(Scores(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]), None, ("q", "t")))
    >>> metrics["accuracy"], metrics["intervals"]["accuracy"]
    (1.0, None)
    """
    metrics = figures_of_merit(scores)
    return metrics | {"intervals": figure_intervals(scores, metrics)}


def calibration_figures(val: Scores, test: Scores) -> dict[str, float | None]:
    """Computes calibration errors, and the temperature that reduces them.

    Args:
      val: scores of the jets to fit the temperature on.
      test: scores of the jets to evaluate.

    Returns:
      `temperature`, or None if no temperature fits; `expected_calibration_error` of the test jets, and
      `expected_calibration_error_scaled` after temperature scaling.

    Raises:
      InputError: scores are not valid.
    """
    figures: dict[str, float | None] = {"expected_calibration_error": expected_calibration_error(test)}
    try:
        temperature = fit_temperature(val)
    except InputError:
        return figures | {"temperature": None, "expected_calibration_error_scaled": None}
    after = expected_calibration_error(scale_scores(test, temperature))
    return figures | {"temperature": temperature, "expected_calibration_error_scaled": after}


def remarks(scores: Scores) -> list[str]:
    """Lists the reasons why some figures of merit may not be trustworthy.

    Args:
      scores: class probabilities, labels and weights.

    Returns:
      A line for each class without jets, with fewer than ten, or whose score is the same for all jets; and one on
      negative weights.

    Raises:
      InputError: scores are not valid.

    >>> import numpy as np
    >>> from hepjax.types import Scores
    >>> remarks(Scores(np.full((30, 2), 0.5), np.repeat([0, 1], 15), None, ("q", "t")))[0]
    'the q score is 0.5 for all jets: its figures of merit are those of a guess'
    """
    checked = checked_class_scores(scores)
    lines = []
    if checked.weights is not None and (negative := float((checked.weights < 0).mean())):
        lines.append(
            f"{negative:.1%} of the jets have negative weights: all are worth {effective_count(checked.weights):,.0f} "
            f"of {len(checked.weights):,} jets, and there is no largest significance improvement"
        )
    for c, name in enumerate(checked.classes):
        count = checked.effective[c]
        low, high = checked.p[:, c].min(), checked.p[:, c].max()
        if count == 0:
            lines.append(f"class {name} has no jets: it has no figures of merit, and is no background to others")
        elif count < FEWEST:
            lines.append(f"class {name} has {count:.3g} jets: its figures of merit have no intervals below {FEWEST}")
        if low == high and len(checked.p) > 1:
            lines.append(f"the {name} score is {low:g} for all jets: its figures of merit are those of a guess")
    return lines
