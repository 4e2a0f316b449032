"""Can a classifier tell two samples of jets apart? Trained by the driver, in folds, so that each jet is tested once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.choices import Schedule
from hepjax.data import atomic_hdf5
from hepjax.errors import InputError
from hepjax.evaluation import Distance
from hepjax.models import MLP, DeepSets
from hepjax.runs import options, train
from hepjax.tasks.generation.cloud_encoding import CLOUD_COLUMNS, cloud_columns
from hepjax.tasks.generation.files import write_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hepjax.models import Model
    from hepjax.tasks.generation.cloud_encoding import Clouds

FOLDS = 5
"""Of the cross-validation."""
_NAMES = ("first", "second")
_SEEN = (*CLOUD_COLUMNS, "j1_deltaR", "j1_pt")


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
    one_hot = {f"class_{c}": (kinds == c).astype(np.float32) for c in range(int(kinds.max()) + 1)}
    columns = dict(zip(names, x.T, strict=True)) | one_hot
    model = MLP(hidden=(64, 64), features=tuple(columns))
    return _auc(model, columns, (len(first[0]), len(second[0])), epochs=epochs, seed=seed)


def two_clouds_auc(first: Clouds, second: Clouds, *, epochs: int = 15, seed: int = 0) -> Distance:
    """Computes the AUC of deep sets between two samples of clouds; 0.5 means indistinguishable.

    They see the angles and momenta of all particles.

    Args:
      first: N jets, such as generated ones.
      second: M jets.
      epochs: of the training of each fold.
      seed: of the folds, the first parameters and the order of jets.

    Returns:
      The mean AUC of five folds, and half of its 68 % interval.
    """
    both = [cloud_columns(clouds) for clouds in (first, second)]
    columns = {name: np.concatenate([of_sample[name] for of_sample in both]) for name in both[0]}
    model = DeepSets(particles=first.mask.shape[1], columns=_SEEN, particle=(64, 64, 32), hidden=(64,))
    return _auc(model, columns, (len(first.pt), len(second.pt)), epochs=epochs, seed=seed)


def _auc(
    model: Model, columns: Mapping[str, np.ndarray], counts: tuple[int, int], *, epochs: int, seed: int
) -> Distance:
    """Trains a classifier on the columns of two samples, one behind the other."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jets.h5"
        with atomic_hdf5.new_hdf5_file(path) as new:
            write_columns(new.file, columns, np.repeat([0, 1], counts), _NAMES)
            new.check()
        metrics = train.run(
            options.Experiment(
                model=model,
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
