"""Can a classifier tell two samples of jets apart? Trained by the driver, in folds, so that each jet is tested once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.choices import Schedule
from hepjax.data import atomic_hdf5
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.evaluation import Distance
from hepjax.models import MLP
from hepjax.runs import options, train

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDS = 5
"""Of the cross-validation."""
_NAMES = ("first", "second")


def two_sample_auc(
    first: tuple[Any, Any], second: tuple[Any, Any], names: Sequence[str], *, epochs: int = 20, seed: int = 0
) -> Distance:
    """Computes the AUC of a perceptron between two samples of jets; 0.5 means indistinguishable (arXiv:2106.05285).

    It sees the observables and the class, so that it is sensitive to correlations as well as to spectra.

    Args:
      first: (N, F) observables and (N,) class indices, such as of generated jets.
      second: (M, F) observables and (M,) class indices of other jets.
      names: of the F observables.
      epochs: of the training of each fold.
      seed: of the folds, the first parameters and the order of jets.

    Returns:
      The mean AUC of five folds, and half of its 68 % interval.

    Raises:
      InputError: the samples have other observables than `names`.
    """
    x = np.concatenate([np.asarray(first[0]), np.asarray(second[0])])
    kinds = np.concatenate([np.asarray(first[1]), np.asarray(second[1])])
    if x.shape[1] != len(names):
        raise InputError(f"names: expected one for each of {x.shape[1]} observables, found {len(names)}")
    sample = np.repeat([0, 1], [len(first[0]), len(second[0])])
    classes = [f"class_{c}" for c in range(int(kinds.max()) + 1)]
    columns = [*names, *classes]
    values = np.concatenate([x, np.eye(len(classes))[kinds], np.eye(2)[sample]], axis=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jets.h5"
        _write(path, values.astype(np.float32), [*columns, *(f"label_{name}" for name in _NAMES)])
        metrics = train.run(
            options.Experiment(
                model=MLP(hidden=(64, 64), features=tuple(columns)),
                data=(path,),
                out=Path(folder) / "run",
                epochs=epochs,
                folds=FOLDS,
                seed=seed,
                optimizer=options.Optimization(learning_rate=2e-3, schedule=Schedule.COSINE, clip_norm=5.0),
            )
        )[1]
    low, high = metrics["intervals"]["classes"][_NAMES[0]]["auc"]
    return Distance(metrics["classes"][_NAMES[0]]["auc"], (high - low) / 2)


def _write(path: Path, values: np.ndarray, names: Sequence[str]) -> None:
    """Writes jets without particles, which files of jets list nevertheless."""
    with atomic_hdf5.new_file(path) as new:
        new.file[hls4ml.JETS] = values
        new.file[hls4ml.JET_NAMES] = np.array(names, "S")
        new.file[hls4ml.CONSTITUENTS] = np.zeros((len(values), 1, len(hls4ml.PARTICLE_COLUMNS)), np.float32)
        new.file[hls4ml.PARTICLE_NAMES] = np.array(hls4ml.PARTICLE_COLUMNS, "S")
        new.check()
