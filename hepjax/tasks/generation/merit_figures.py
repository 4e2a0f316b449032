"""Figures of merit of a generator: losses of simulated jets, and distances of generated jets from simulated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import evaluation
from hepjax.errors import InputError
from hepjax.tasks.generation.cloud_encoding import present

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepjax.evaluation import FloorComparison
    from hepjax.tasks.task_types import Predictions

    Distances = Mapping[str, Mapping[str, Mapping[str, FloorComparison]]]

MOST = 100_000
"""The most particles of a sample that distances are computed of."""
GENERATOR = "generated"
"""What the generator is called among distances."""

_FEWEST = 10  # test jets of a class that is compared


def measure_generator(predictions: Predictions, classes: Sequence[str]) -> dict[str, Any]:
    """Computes the figures of merit of metrics.json.

    Args:
      predictions: (n, 1) −ln p or matching errors; with targets, and generated jets among the additions where there are
        some.
      classes: the names of the classes.

    Returns:
      `loss`, their mean; `loss_of`, the same by class; `distances` beside their floor, of all jets and
      of each class; and `intervals`.

    Raises:
      InputError: no jet has a finite −ln p.
    """
    loss, near = _mean_nll(predictions, np.ones(len(predictions.values), bool))
    if loss is None:
        raise InputError(
            f"test: no jet has a finite {predictions.columns[0]}; give jets of the classes that were learned, or train "
            "again"
        )
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
            metrics["loss_of"][name], metrics["intervals"]["loss_of"][name] = _mean_nll(predictions, rows)
    metrics["distances"] = {
        kind: {column: _distances_to_json(pair[GENERATOR]) for column, pair in rows.items()}
        for kind, rows in generated_distances(predictions, classes).items()
    }
    return metrics


def generated_distances(predictions: Predictions, classes: Sequence[str]) -> Distances:
    """Compares generated with simulated jets, by column.

    Args:
      predictions: with generated jets among the additions; without them nothing is compared.
      classes: the names of the classes.

    Returns:
      "all" and each class with ten test jets or more → column → `GENERATOR` → the distance and its floor.
    """
    names = generated_names(predictions)
    if not names:
        return {}
    simulated = {name: predictions.observables[name] for name in names}
    return column_distances({GENERATOR: predictions.additions}, simulated, labels_of(predictions), classes)


def column_distances(
    generated: Mapping[str, Mapping[str, np.ndarray]],
    simulated: Mapping[str, np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    seed: int = 0,
) -> Distances:
    """Compares jets of several generators with simulated ones of the same classes, by column.

    One half of the simulated jets is the truth, the other half the second simulated sample, whose classes the generated
    jets have that are compared.

    Args:
      generated: generator → column → values of n jets, (n,), or (n, P) of their particles, NaN where there is none.
      simulated: column → values of n jets.
      labels: (n,) class indices of both.
      classes: the names of the classes.
      seed: seed of the bootstrap and of the divisions.

    Returns:
      "all" and each class with ten jets or more → column → generator → the distance and its floor. Particles are taken
      as often as the smallest sample has some, `MOST` at most, and as independent of each other.
    """
    kept = [c for c in range(len(classes)) if (labels == c).sum() >= _FEWEST]
    if not kept:
        return {}
    found: dict[str, dict[str, dict[str, FloorComparison]]] = {}
    for kind, chosen in {"all": kept, **{classes[c]: [c] for c in kept}}.items():
        first, second = (half[np.isin(labels[half], chosen)] for half in halves(labels))
        found[kind] = {}
        for name, column in simulated.items():
            samples = [column[first], column[second], *(of[name][second] for of in generated.values())]
            truth, other, *made = _equally_many(samples, seed)
            pairs = dict(zip(generated, made, strict=True))
            found[kind][name] = evaluation.compare_each_to_floor(pairs, truth, other, seed=seed)
    return found


def comparison_problem(own: Predictions, other: Predictions) -> str:
    """Returns why two generators cannot be compared, or "": they make other columns, or other numbers of particles.

    Args:
      own: of the first.
      other: of the second.
    """
    shapes = [{name: x.shape[1:] for name, x in of.observables.items()} for of in (own, other)]
    if shapes[0].keys() != shapes[1].keys():
        makes = [", ".join(of) for of in shapes]
        return f"makes {makes[1]}, not {makes[0]}; compare generators of the same columns"
    for name, shape in shapes[0].items():
        if shapes[1][name] != shape:
            return f"makes {shapes[1][name][0]} particles, not {shape[0]}; compare generators of as many"
    return ""


def compare(first: Predictions, second: Predictions, classes: Sequence[str]) -> dict[str, Any]:
    """Compares two generators on the same jets.

    Args:
      first: with targets.
      second: of the same jets in the same order.
      classes: the names of the classes.

    Returns:
      `loss`, over jets for which both have one, and `distances`: "all" and each class → column; each a `Difference`, or
      None where there is nothing to compare. Errors of distances are those of both generators' samples.
    """
    finite = np.isfinite(first.values[:, 0]) & np.isfinite(second.values[:, 0])
    change = second.values[finite, 0].astype(np.float64) - first.values[finite, 0]
    weights = np.ones(len(change)) if first.weights is None else first.weights[finite]
    measured = [generated_distances(predictions, classes) for predictions in (first, second)]
    return {
        "loss": evaluation.mean_difference(change, weights) if weights.sum() > 0 else None,
        "distances": {
            kind: {name: _difference(of[name][GENERATOR], measured[1][kind][name][GENERATOR]) for name in of}
            for kind, of in measured[0].items()
            if kind in measured[1]
        },
    }


def _difference(first: FloorComparison, second: FloorComparison) -> evaluation.Difference:
    a, b = first.generated, second.generated
    value, error = b.distance - a.distance, float(np.hypot(a.uncertainty, b.uncertainty))
    return evaluation.Difference(value, error, evaluation.two_sided(value, error))


def _equally_many(samples: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Returns the values of jets as they are, and of particles equally many of each sample."""
    if samples[0].ndim == 1:
        return list(samples)
    values, rng = [present(sample) for sample in samples], np.random.default_rng(seed)
    count = min(MOST, *map(len, values))
    return [rng.choice(sample, count, replace=False) for sample in values]


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


def stack_columns(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Returns (n, F) observables of jets.

    Args:
      columns: `observables` of predictions, or the generated ones among their `additions`.
      names: of the F observables.
    """
    return np.stack([columns[name] for name in names], axis=1)


def labels_of(predictions: Predictions) -> np.ndarray:
    """Returns (n,) class indices, −1 for jets of classes that are not learned or not known.

    Args:
      predictions: of the jets.
    """
    if predictions.targets is None:
        return np.full(len(predictions.values), -1)
    return predictions.targets[:, 0].astype(np.int64)


def generated_names(predictions: Predictions) -> list[str]:
    """Returns the columns that are there both of simulated and of generated jets.

    Args:
      predictions: of test jets.
    """
    return [name for name in predictions.observables if name in predictions.additions]


def generated_spectra(
    columns: Mapping[str, np.ndarray], names: Sequence[str], labels: np.ndarray, classes: Sequence[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Returns the values of columns by class.

    Args:
      columns: `observables` of predictions, or the generated ones among their `additions`.
      names: of the columns.
      labels: (n,) class indices.
      classes: the names of the classes; those without jets are left out.
    """
    rows = {label: labels == c for c, label in enumerate(classes)}
    return {
        name: {label: present(columns[name][inside]) for label, inside in rows.items() if inside.any()}
        for name in names
    }


def _mean_nll(predictions: Predictions, rows: np.ndarray) -> tuple[float | None, list[float] | None]:
    """Computes the mean of the first column over jets that have one, and the ends of its 68 % interval."""
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


def _distances_to_json(pair: FloorComparison) -> dict[str, float | None]:
    return {
        "distance": pair.generated.distance,
        "uncertainty": pair.generated.uncertainty,
        "floor": pair.floor.distance,
        "floor_uncertainty": pair.floor.uncertainty,
        "ratio": pair.ratio if np.isfinite(pair.ratio) else None,
    }
