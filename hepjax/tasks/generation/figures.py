"""Figures of merit of a generator: −ln p of simulated jets, and distances of generated jets from simulated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepjax.evaluation import FloorComparison
    from hepjax.tasks.structures import Predictions

    Distances = Mapping[str, Mapping[str, Mapping[str, FloorComparison]]]

PREFIX = "generated_"
"""Of the names of generated columns among the observables of predictions."""
GENERATOR = "generated"
"""What the generator is called among distances."""


def measure(predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
    """Computes the figures of merit of metrics.json.

    Args:
      predictions: (n, 1) −ln p; with targets, and where jets were generated with these among the observables.
      classes: the names of the classes.

    Returns:
      `loss`, the mean of −ln p in nats, also by class; distances over their floor, of all jets and of each class; and
      intervals.
    """
    loss, near = _mean(predictions, np.ones(len(predictions.values), bool))
    metrics: dict[str, Any] = {
        "loss": loss,
        "test_jets": int(len(predictions.values)),
        "without_density": int((~np.isfinite(predictions.values[:, 0])).sum()),
        "intervals": {"loss": near, "classes": {}},
        "classes": {},
    }
    for c, name in enumerate(classes):
        rows = predictions.targets == c
        if rows.any():
            metrics["classes"][name], metrics["intervals"]["classes"][name] = _mean(predictions, rows)
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
    if not names or predictions.targets is None:
        return {}
    labels = predictions.targets
    present = [c for c in range(len(classes)) if (labels == c).sum() >= 10]
    halves: list[list[np.ndarray]] = [[], []]
    for c in present:
        rows = np.flatnonzero(labels == c)
        for half, part in zip(halves, (rows[::2], rows[1::2]), strict=True):
            half.append(part)
    if not present:
        return {}
    first, second = (np.sort(np.concatenate(half)) for half in halves)
    simulated, generated = (_stack(predictions, prefix, names) for prefix in ("", PREFIX))
    renumbered = np.searchsorted(present, labels)
    return evaluation.distances_by_class(
        {GENERATOR: generated[second]},
        (simulated[first], renumbered[first]),
        (simulated[second], renumbered[second]),
        names,
        [classes[c] for c in present],
    )


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
    rows = {label: predictions.targets == c for c, label in enumerate(classes)}
    return {
        name: {
            label: predictions.observables[f"{prefix}{name}"][inside] for label, inside in rows.items() if inside.any()
        }
        for name in names
    }


def _stack(predictions: Predictions, prefix: str, names: Sequence[str]) -> np.ndarray:
    return np.stack([predictions.observables[f"{prefix}{name}"] for name in names], axis=1)


def _mean(predictions: Predictions, rows: np.ndarray) -> tuple[float | None, list[float] | None]:
    """Computes the mean of −ln p over jets that have one, and the ends of its 68 % interval."""
    finite = rows & np.isfinite(predictions.values[:, 0])
    if not finite.any():
        return None, None
    values = predictions.values[finite, 0].astype(np.float64)
    weights = np.ones(len(values)) if predictions.weights is None else predictions.weights[finite]
    if not weights.sum() > 0:
        return None, None
    shares = weights / weights.sum()
    mean = float(shares @ values)
    error = float(np.sqrt(np.sum((shares * (values - mean)) ** 2)))
    return mean, [mean - error, mean + error]


def _plain(pair: FloorComparison) -> dict[str, float | None]:
    return {
        "distance": pair.generated.distance,
        "uncertainty": pair.generated.uncertainty,
        "floor": pair.floor.distance,
        "floor_uncertainty": pair.floor.uncertainty,
        "ratio": pair.ratio if np.isfinite(pair.ratio) else None,
    }
