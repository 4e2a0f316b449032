"""Pictures of generated jets, what the page of a run says of them, and their file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import report
from hepjax.data.atomic_hdf5 import new_file
from hepjax.data.datasets import hls4ml
from hepjax.report import Picture, Section, Summary, Table
from hepjax.tasks.generation import figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from hepjax.tasks.structures import Predictions

_DPI = 70
_DRAWN = 3
_MASS = "j_mass_mmdt"
_SPECTRA = (_MASS, "j_multiplicity", "j_d2_b2_mmdt")
_FILE = "generated.h5"


def pictures(predictions: Predictions, classes: Sequence[str]) -> dict[str, Figure]:
    """Draws spectra of generated on those of simulated jets, and distances over their floor.

    Args:
      predictions: with targets and generated jets; without them nothing is drawn.
      classes: the names of the classes.

    Returns:
      File name → figure.
    """
    names = figures.generated_names(predictions)
    distances = figures.distances(predictions, classes)
    if not distances:
        return {}
    chosen = [name for name in _SPECTRA if name in names] or names[:_DRAWN]
    simulated, generated = (figures.spectra(predictions, chosen, classes, prefix) for prefix in ("", figures.PREFIX))
    return {
        "spectra.png": report.cloud_spectra_figure(simulated, generated),
        "distances.png": report.distances_figure(distances["all"]),
    }


def sections(predictions: Predictions | None, metrics: Mapping[str, Any], classes: Sequence[str]) -> Iterator[Section]:
    """Yields the sections of a page.

    Args:
      predictions: of the test jets; None where they were not kept.
      metrics: what metrics.json holds.
      classes: the names of the classes.
    """
    near = (metrics.get("intervals") or {}).get("loss_of") or {}
    rows: list[list[Any]] = [[name, _triple(value, near.get(name))] for name, value in metrics["loss_of"].items()]
    head = ["Class", "-ln p of simulated test jets, nats"]
    yield Section(
        "Likelihood",
        "Of the prepared numbers of test jets, given their class; intervals are 68 %. Of an autoencoder it is a bound.",
        (),
        (Table("-ln p by class", head, rows),),
    )
    if not metrics["distances"]:
        return
    named = {} if predictions is None else pictures(predictions, classes)
    captions = {
        "spectra.png": "Generated jets (lines) on simulated ones (shaded), and their ratio",
        "distances.png": "Wasserstein-1 distances over that of two simulated samples",
    }
    panels = [Picture(report.png(named[name], _DPI), words, words, True) for name, words in captions.items() if named]
    words = "As many jets as test jets, of their classes. The floor is the distance of two simulated samples."
    yield Section("Generated jets", words, panels, tuple(_distance_tables(metrics["distances"])))


def summary(metrics: Mapping[str, Any]) -> Summary:
    """Returns what stands at the top of a page.

    Args:
      metrics: what metrics.json holds.
    """
    cards = [("Loss", f"{metrics['loss']:.4f}", "-ln p of test jets, nats")]
    sentences = []
    if (ratio := typical_ratio(metrics)) is not None:
        cards.append(("Distance over floor", f"{ratio:.2f}", "median of the observables"))
        sentences.append((" Generated jets are ", f"{ratio:.2f}", " times as far from simulated ones as these are."))
    if "test_jets" in metrics:
        cards.append(("Test jets", f"{metrics['test_jets']:,}", ""))
    return Summary(sentences, cards)


def card(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns paragraphs of a model card.

    Args:
      record: what experiment.json holds.
      metrics: what metrics.json holds.
    """
    ratio = typical_ratio(metrics)
    words = "" if ratio is None else f" Distances are {ratio:.2f} times their floor, in the median of observables."
    return {
        "Output": [f"{', '.join(record.get('outputs') or ('nll',))}: -ln p of a jet given its class, in nats."],
        "Figures of merit": [f"-ln p of test jets: {metrics['loss']:.4f} nats.{words}"],
        "Limits": ["It generates jets like those that it was trained on, within the range of their observables."],
    }


def typical_ratio(metrics: Mapping[str, Any]) -> float | None:
    """Returns the median over observables of distances over their floor; None without generated jets.

    Args:
      metrics: what metrics.json holds.
    """
    ratios = [row["ratio"] for row in (metrics["distances"].get("all") or {}).values() if row["ratio"] is not None]
    return float(np.median(ratios)) if ratios else None


def write_jets(folder: Path, predictions: Predictions, classes: Sequence[str]) -> None:
    """Writes generated jets to generated.h5 in the layout of files of jets, one for each test jet.

    Args:
      folder: of the run.
      predictions: with targets and generated jets; without them nothing is written.
      classes: the names of the classes.
    """
    names = figures.generated_names(predictions)
    if not names:
        return
    x = np.stack([predictions.observables[f"{figures.PREFIX}{name}"] for name in names], axis=1)
    labels = (figures.labels_of(predictions)[:, None] == np.arange(len(classes))).astype(np.float32)
    new = folder / f".{_FILE}"  # a run that goes on measures anew: the old file stays until the new one is whole
    new.unlink(missing_ok=True)
    with new_file(new, str(folder / _FILE)) as opened:
        file = opened.file
        file[hls4ml.JETS] = np.concatenate([x, labels], axis=1)
        file[hls4ml.JET_NAMES] = np.array([*names, *(f"label_{name}" for name in classes)], "S")
        # Files of jets list particles; these have none.
        file[hls4ml.CONSTITUENTS] = np.zeros((len(x), 1, len(hls4ml.PARTICLE_COLUMNS)), np.float32)
        file[hls4ml.PARTICLE_NAMES] = np.array(hls4ml.PARTICLE_COLUMNS, "S")
        opened.check()
    new.replace(folder / _FILE)


def _distance_tables(distances: Mapping[str, Any]) -> Iterator[Table]:
    head = ["", "Distance", "its error", "Floor", "its error", "Ratio"]
    keys = ("distance", "uncertainty", "floor", "floor_uncertainty", "ratio")

    def cells(row: Mapping[str, Any]) -> list[Any]:
        return [None if row[key] is None else float(f"{row[key]:.4g}") for key in keys]

    yield Table("Wasserstein-1 distances of all jets", head, [[k, *cells(row)] for k, row in distances["all"].items()])
    column = _MASS if _MASS in distances["all"] else next(iter(distances["all"]))
    rows = [[kind, *cells(of_kind[column])] for kind, of_kind in distances.items()]
    yield Table(f"Wasserstein-1 distances of {column} by class", head, rows)


def _triple(value: float | None, near: Sequence[float] | None) -> Any:
    numbers = None if value is None else tuple(float(f"{x:.5g}") for x in (value, *(near or ())))
    return numbers if numbers is None or len(numbers) > 1 else numbers[0]
