"""Do jets fall into five heaps by themselves? k-means on observables, on principal components, on learned features.

    python experiments/jet_structure.py
    python experiments/jet_structure.py --data jets.h5

A tagger is trained on the 16 observables of the training jets; what its last hidden layer makes of them is compared
with the observables themselves. Centers and axes are found without labels on the training jets, and measured on test
jets: purity and adjusted Rand index (ARI), with bootstrap errors. Clusters at random are the floor, the tagger's own
answers the ceiling.
Expected in a minute on 20,000 jets, 4,000 of them to test on: purity 0.43 and ARI 0.17 on observables and on five
components, 0.67 and 0.36 on learned features; the tagger itself has accuracy 0.72 and ARI 0.43 (all ± 0.01).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import tyro

import hepjax
from hepjax import evaluation, models, report
from hepjax.data import atomic_files
from hepjax.evaluation import explanation
from hepjax.inputs import apply_scaling, fit_scaling
from hepjax.runs import options
from hepjax.runs import train as experiment
from hepjax.tasks import clustering


@dataclasses.dataclass(frozen=True)
class JetStructure:
    """Clusters jets."""

    clusters: int = 5
    """As many as there are classes."""
    components: tuple[int, ...] = (2, 5)
    """Principal components of the observables that are clustered too."""
    starts: int = 20
    """Of each k-means, of which the lowest inertia counts."""
    data: tuple[Path, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""
    epochs: int = 30
    """Epochs of the tagger; the best one counts."""
    seed: int = 0
    """Seed of the split, the tagger's first parameters, the first centers."""
    out: Path = Path("runs/jet-structure")
    """A new folder, with pictures, figures.json and the tagger's run folder."""


def learned(network: hepjax.tasks.TrainedNetwork, x: np.ndarray) -> np.ndarray:
    """Computes what the last hidden layer holds, (N, 32)."""
    inputs = network.pipeline.transform(network.scaling, x)
    layers = explanation.hidden_features(network.pipeline.network, network.params, network.model_state, inputs)
    return [*layers.values()][-1]


def cluster(train: np.ndarray, test: np.ndarray, chosen: JetStructure) -> np.ndarray:
    """Returns the clusters of test jets, (N,), whose centers are those of training jets."""
    fitted = clustering.kmeans(train, chosen.clusters, jax.random.key(chosen.seed), starts=chosen.starts)
    return np.asarray(clustering.nearest(test, fitted.centers))


def run(chosen: JetStructure) -> dict[str, dict[str, tuple[float, float]]]:
    """Trains, clusters and draws; returns purity and adjusted Rand index of each, with their errors."""
    atomic_files.check_new(chosen.out)
    common = {"data": chosen.data, "epochs": chosen.epochs, "seed": chosen.seed, "out": chosen.out / "tagger"}
    folder, _ = experiment.run(options.Experiment(models.MLP(), patience=None, **common))
    tagger, split, jets = hepjax.load(folder), np.load(folder / "split.npz"), hepjax.read_jets(chosen.data or None)
    rows = [np.sort(split[part]) for part in ("train", "test")]
    labels, given = np.asarray(jets.labels)[rows[1]], [tagger.pipeline.load(jets, part) for part in rows]
    spaces = {"observables": given, "learned features": [learned(tagger.networks[0], x) for x in given]}
    tables = {name: [apply_scaling(fit_scaling(parts[0]), x) for x in parts] for name, parts in spaces.items()}
    for count in chosen.components:
        axes = clustering.fit_pca(tables["observables"][0], count)
        tables[f"{count} components"] = [np.asarray(clustering.apply_pca(axes, x)) for x in tables["observables"]]
    clusters = {name: cluster(*parts, chosen) for name, parts in tables.items()}
    for name in ("observables", "learned features"):
        axes = clustering.fit_pca(tables[name][0], 2)
        names = tuple(f"Component {i} ({100 * share:.0f} %)" for i, share in enumerate(axes.ratio, 1))
        points, label = clustering.apply_pca(axes, tables[name][1]), name.capitalize()
        figure = report.plane_figure(points, labels, clusters[name], jets.classes, axes=names, label=label)
        report.save(figure, chosen.out / f"{name.replace(' ', '-')}.png")
    clusters["random"] = np.random.default_rng(chosen.seed).integers(chosen.clusters, size=len(labels))
    clusters["the tagger's answers"] = tagger.predict(given[1]).argmax(axis=1)
    figures = {name: evaluation.cluster_figures(of_jets, labels) for name, of_jets in clusters.items()}
    atomic_files.write_json(chosen.out / "figures.json", figures)
    return figures


if __name__ == "__main__":
    for name, figures in run(tyro.cli(JetStructure, description=__doc__)).items():
        print(f"{name:22}" + "".join(f"  {what} {value:.3f} ± {error:.3f}" for what, (value, error) in figures.items()))
