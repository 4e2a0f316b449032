"""The MLP beside gradient-boosted trees, on the same 16 features and the same split.

    hepjax simulate jets.h5 --jets 30000 --seed 11
    python benchmarks/boosted_trees.py --data jets.h5

Trains `hepjax train mlp` and scikit-learn's histogram booster, both stopped by the validation part, and prints each
class's AUC on the test part and the bootstrap interval of the difference. Expected: the MLP within 0.02 of the trees.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import tyro
from sklearn.ensemble import HistGradientBoostingClassifier

import hepjax
from hepjax import evaluation
from hepjax.choices import Schedule
from hepjax.inputs import tabular
from hepjax.models import MLP
from hepjax.runs import train
from hepjax.runs.options import Experiment, Optimization


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What to compare on."""

    data: tuple[Path, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""
    seed: int = 0
    """Of the split and of both models."""
    resamples: int = 500
    """Bootstrap resamples of the test part."""


def aucs(scores: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """One class against the rest, for each class."""
    return np.array([evaluation.auc(evaluation.roc_curve(scores[:, c], labels == c)) for c in range(classes)])


def main(comparison: Comparison) -> None:
    """Trains both and prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = Experiment(
            MLP(),
            data=comparison.data,
            out=Path(folder) / "run",
            epochs=100,
            seed=comparison.seed,
            optimizer=Optimization(schedule=Schedule.COSINE, learning_rate=2e-3),
        )
        run, _ = train.run(chosen)
        tagger, split = hepjax.load(run), np.load(run / "split.npz")
        jets = hepjax.read_jets(list(comparison.data) or None)
        x, labels = tabular(jets), np.asarray(jets.labels)
        test = split["test"]
        ours = tagger.predict(x[test])
        trees = HistGradientBoostingClassifier(max_iter=500, early_stopping=True, random_state=comparison.seed)
        trees.fit(x[split["train"]], labels[split["train"]], X_val=x[split["val"]], y_val=labels[split["val"]])
    theirs, rng = trees.predict_proba(x[test]), np.random.default_rng(comparison.seed)
    truth, classes = labels[test], len(tagger.classes)
    found = np.array([aucs(scores, truth, classes) for scores in (ours, theirs)])
    draws = rng.integers(len(test), size=(comparison.resamples, len(test)))
    resampled = np.array([[aucs(scores[rows], truth[rows], classes) for scores in (ours, theirs)] for rows in draws])
    sigma = resampled.std(axis=0)
    low, high = np.percentile(resampled[:, 0] - resampled[:, 1], [2.5, 97.5], axis=0)
    print(f"{len(split['train']):,} training and {len(test):,} test jets; AUC ± bootstrap standard deviation")
    print("class   MLP               trees             difference, 95 % interval")
    for c, name in enumerate(tagger.classes):
        columns = "   ".join(f"{auc:.4f} ± {width:.4f}" for auc, width in zip(found[:, c], sigma[:, c], strict=True))
        print(f"{name:5}   {columns}   {found[0, c] - found[1, c]:+.4f}, {low[c]:+.4f} to {high[c]:+.4f}")


if __name__ == "__main__":
    main(tyro.cli(Comparison))
