"""New jets out of random numbers: a normalizing flow and a variational autoencoder draw the 16 observables of a class.

    python experiments/generate_observables.py
    python experiments/generate_observables.py --data jets.h5 --test others.h5

Both learn the observables as normal numbers (`hepjax.tasks.generation.prepare`); a multivariate normal distribution of
these, with each class's covariance, is their baseline. Figures of merit, each beside its floor, that of two simulated
samples: Wasserstein-1 distances to simulated jets (arXiv:2106.11535), and the AUC of a classifier that tells generated
from simulated jets (arXiv:2106.05285). And -ln p of simulated jets.

Expected in half a minute on the sample that comes with hepjax, which teaches 2,500 jets: W1 of the mass at its floor,
AUC 0.59 for the flow and 0.65 for the baseline (± 0.02), -ln p 15.2 and 17.1 nats. In a minute on 20,000 jets, with
40,000 others: 1.5 times the floor (below 2 for each class), AUC 0.62 and 0.96, 12.7 and 17.0. The VAE adds nothing.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from hepjax import evaluation, report
from hepjax.data import atomic_files, readers
from hepjax.data.datasets import hls4ml
from hepjax.inputs import batching, tabular
from hepjax.tasks import generation
from hepjax.tasks.generation import fit_observables

NAMES, DRAWN = hls4ml.STANDARD_FEATURES, ("j_mass_mmdt", "j_multiplicity", "j_d2_b2_mmdt")


@dataclasses.dataclass(frozen=True)
class GenerateObservables:
    """Trains generators of jet observables and measures what they make."""

    classes: tuple[str, ...] = hls4ml.CLASSES
    """To generate."""
    data: tuple[Path, ...] = ()
    """Files of jets to learn from; none is the sample that comes with hepjax."""
    test: tuple[Path, ...] = ()
    """Files of independent jets to compare with, of which twice as many are used; none takes half of `data`."""
    epochs: int = 20
    """Of each network; the best one counts."""
    learning_rate: float = 2e-3
    """Of Adam, falling to 0."""
    seed: int = 0
    """Of the split, the first parameters, the order of jets and the random numbers."""
    out: Path = Path("runs/generate-observables")
    """A new folder for spectra.png, distances.png, table.md and figures.json."""


def read(paths: tuple[Path, ...], options: GenerateObservables) -> tuple[np.ndarray, np.ndarray]:
    """(N, 16) observables and (N,) classes of the jets asked for."""
    jets = readers.read_jets(list(paths) or None)
    labels = generation.choose_classes(jets.labels, jets.classes, options.classes)
    return tabular(jets)[labels >= 0], labels[labels >= 0]


def parts(options: GenerateObservables) -> list[tuple[np.ndarray, np.ndarray]]:
    """Jets to learn from, those to compare with, and others as many."""
    (x, y), seed = read(options.data, options), options.seed
    if not options.test:
        return [(x[i], y[i]) for i in batching.split(len(x), seed=seed, fractions=(0.5, 0.25, 0.25), labels=y)]
    new, kinds = read(options.test, options)
    rows = np.random.default_rng(seed).permutation(len(new))[: 2 * len(x)]
    return [(x, y), *((new[some], kinds[some]) for some in (rows[::2], rows[1::2]))]


def run(options: GenerateObservables) -> dict[str, Any]:
    """Trains, generates, measures and draws; returns the figures of merit."""
    atomic_files.check_new(options.out)
    known, (x, y), (more, kinds) = parts(options)
    fitting = fit_observables.Fitting(
        options.epochs, options.learning_rate, seed=options.seed, log=print, on_epoch=tell
    )
    fits = {"flow": fit_observables.fit_flow, "VAE": fit_observables.fit_vae, "normal": fit_observables.fit_normal}
    trained = {name: fit(*known, options.classes, fitting) for name, fit in fits.items()}
    made = {name: one.make(kinds, options.seed) for name, one in trained.items()}
    found = evaluation.distances_by_class(made, (x, y), (more, kinds), NAMES, options.classes, seed=options.seed)
    auc = fit_observables.classifier_two_sample_auc({"floor": more, **made}, x, kinds, y, fitting)
    nll = ((name, one.nll(x, y)) for name, one in trained.items())
    likely = {name: evaluation.Distance(z.mean(), z.std() / len(z) ** 0.5) for name, z in nll}
    figures = {"distances": found, "auc": auc, "nll": likely}
    options.out.mkdir(parents=True)
    (options.out / "figures.json").write_text(json.dumps(figures, indent=1, default=float))
    (options.out / "table.md").write_text(report.generation_table(*figures.values(), "j_mass_mmdt"))
    report.save(report.distances_figure(found["all"]), options.out / "distances.png")
    names, pairs = [*enumerate(options.classes)], ((x, y), (made["flow"], kinds))
    seen = ({f: {c: z[k == i, NAMES.index(f)] for i, c in names} for f in DRAWN} for z, k in pairs)
    report.save(report.cloud_spectra_figure(*seen), options.out / "spectra.png")
    return figures


def tell(name: str, epoch: Any) -> None:
    """Prints every fifth epoch of a generator."""
    if epoch.epoch % 5 == 0 and name in {"flow", "VAE"}:
        print(f"{name} {epoch.epoch}: -ln p {epoch.train_loss:.3f}, of new jets {epoch.val_loss:.3f}", flush=True)


if __name__ == "__main__":
    print(report.generation_table(*run(tyro.cli(GenerateObservables, description=__doc__)).values(), "j_mass_mmdt"))
