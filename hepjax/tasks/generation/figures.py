"""Figures of merit of a generator: −ln p of simulated jets, and distances of generated jets from simulated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import evaluation
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepjax.evaluation import FloorComparison
    from hepjax.tasks.structures import Predictions

    Distances = Mapping[str, Mapping[str, Mapping[str, FloorComparison]]]

PREFIX = "generated_"
"""Of the names of generated columns among the observables of predictions."""
GENERATOR = "generated"
"""What the generator is called among distances."""

_FEWEST = 10  # test jets of a class that is compared


def measure(predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
    """Computes the figures of merit of metrics.json.

    Args:
      predictions: (n, 1) −ln p; with targets, and where jets were generated with these among the observables.
      classes: the names of the classes.

    Returns:
      `loss`, the mean of −ln p in nats; `loss_of`, the same by class; `distances` beside their floor, of all jets and
      of each class; and `intervals`.

    Raises:
      InputError: no jet has a finite −ln p.
    """
    loss, near = _mean(predictions, np.ones(len(predictions.values), bool))
    if loss is None:
        raise InputError("test: no jet has a finite -ln p; give jets of the classes that were learned, or train again")
    metrics: dict[str, Any] = {
        "loss": loss,
        "test_jets": len(predictions.values),
        "without_density": int((~np.isfinite(predictions.values[:, 0])).sum()),
        "intervals": {"loss": near, "loss_of": {}},
        "loss_of": {},
    }
    for c, name in enumerate(classes):
        rows = labels_of(predictions) == c
        if rows.any():
            metrics["loss_of"][name], metrics["intervals"]["loss_of"][name] = _mean(predictions, rows)
    metrics["distances"] = {
        kind: {column: _plain(pair[GENERATOR]) for column, pair in rows.items()}
        for kind, rows in distances(predictions, classes).items()
    }
    return metrics


def distances(predictions: Predictions, classes: Sequence[str]) -> Distances:
    """Compares generated with simulated jets, by observable.

    One half of the test jets is the truth, the other half the second simulated sample, whose classes the generated jets
    have that are compared.

    Args:
      predictions: with generated jets among the observables; without them nothing is compared.
      classes: the names of the classes.

    Returns:
      "all" and each class with ten test jets or more → observable → `GENERATOR` → the distance and its floor.
    """
    names = generated_names(predictions)
    if not names:
        return {}
    labels = labels_of(predictions)
    present = [c for c in range(len(classes)) if (labels == c).sum() >= _FEWEST]
    if not present:
        return {}
    first, second = (half[np.isin(labels[half], present)] for half in halves(labels))
    simulated, generated = (stack_columns(predictions, names, prefix) for prefix in ("", PREFIX))
    renumbered = np.searchsorted(present, labels)
    return evaluation.distances_by_class(
        {GENERATOR: generated[second]},
        (simulated[first], renumbered[first]),
        (simulated[second], renumbered[second]),
        names,
        [classes[c] for c in present],
    )


def halves(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divides jets into two samples with the same classes, but for one jet each.

    Args:
      labels: (n,) class indices.

    Returns:
      The rows of both.

    >>> [rows.tolist() for rows in halves(np.array([0, 0, 1, 1]))]
    [[0, 2], [1, 3]]
    """
    parts = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    first, second = (np.sort(np.concatenate([part[i::2] for part in parts])) for i in (0, 1))
    return first, second


def stack_columns(predictions: Predictions, names: Sequence[str], prefix: str = "") -> np.ndarray:
    """Returns (n, F) observables of jets.

    Args:
      predictions: with these observables.
      names: of the F observables.
      prefix: `PREFIX` for generated jets.
    """
    return np.stack([predictions.observables[f"{prefix}{name}"] for name in names], axis=1)


def labels_of(predictions: Predictions) -> np.ndarray:
    """Returns (n,) class indices, −1 for jets of classes that are not learned or not known.

    Args:
      predictions: of the jets.
    """
    if predictions.targets is None:
        return np.full(len(predictions.values), -1)
    return predictions.targets[:, 0].astype(np.int64)


def generated_names(predictions: Predictions) -> list[str]:
    """Returns the observables that are there both of simulated and of generated jets.

    Args:
      predictions: of test jets.
    """
    return [name for name in predictions.observables if f"{PREFIX}{name}" in predictions.observables]


def spectra(
    predictions: Predictions, names: Sequence[str], classes: Sequence[str], prefix: str = ""
) -> dict[str, dict[str, np.ndarray]]:
    """Returns the values of observables by class.

    Args:
      predictions: with these observables.
      names: of the observables.
      classes: the names of the classes; those without jets are left out.
      prefix: `PREFIX` for generated jets.
    """
    rows = {label: labels_of(predictions) == c for c, label in enumerate(classes)}
    return {
        name: {
            label: predictions.observables[f"{prefix}{name}"][inside] for label, inside in rows.items() if inside.any()
        }
        for name in names
    }


def _mean(predictions: Predictions, rows: np.ndarray) -> tuple[float | None, list[float] | None]:
    """Computes the mean of −ln p over jets that have one, and the ends of its 68 % interval."""
    finite = rows & np.isfinite(predictions.values[:, 0])
    if not finite.any():
        return None, None
    values = predictions.values[finite, 0].astype(np.float64)
    weights = np.ones(len(values)) if predictions.weights is None else predictions.weights[finite]
    if not weights.sum() > 0:
        return None, None
    low, high = evaluation.mean_interval(values, weights)
    interval = [float(low), float(high)] if np.isfinite(low) else None
    return float(np.average(values, weights=weights)), interval


def _plain(pair: FloorComparison) -> dict[str, float | None]:
    return {
        "distance": pair.generated.distance,
        "uncertainty": pair.generated.uncertainty,
        "floor": pair.floor.distance,
        "floor_uncertainty": pair.floor.uncertainty,
        "ratio": pair.ratio if np.isfinite(pair.ratio) else None,
    }
