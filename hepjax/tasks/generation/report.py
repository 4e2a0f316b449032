"""Pictures of generated jets, what the page of a run says of them, and their file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax import report
from hepjax.choices import Content
from hepjax.data.atomic_hdf5 import new_hdf5_file
from hepjax.report import Picture, Section, Summary, Table
from hepjax.tasks.generation import merit_figures
from hepjax.tasks.generation.cloud_encoding import CLOUD_COLUMNS, pixels
from hepjax.tasks.generation.files import from_columns, write_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from hepjax.tasks.task_types import Predictions

_DPI = 70
_DRAWN = 3
_IMAGES = 10_000  # jets at most whose mean images are drawn
_MASSES = ("j_mass", "j_mass_mmdt")
_SPECTRA = {
    Content.OBSERVABLES: ("j_mass_mmdt", "j_multiplicity", "j_d2_b2_mmdt"),
    Content.PARTICLES: ("j_mass", "j_pt", *CLOUD_COLUMNS),
}
_FILE = "generated.h5"
LOSSES = {
    Content.OBSERVABLES: "-ln p, nats",
    Content.PARTICLES: "matching error",
}
"""What the loss of each kind of generator is called."""
_LOSS_WORDS = {
    Content.OBSERVABLES: (
        "Likelihood",
        "Of the prepared numbers of test jets, given their class; intervals are 68 %. Of an autoencoder it is a bound.",
    ),
    Content.PARTICLES: (
        "Matching",
        "Squared differences of predicted velocities and those of lines from noise to test jets; intervals are 68 %.",
    ),
}


def generation_pictures(predictions: Predictions, classes: Sequence[str], content: Content) -> dict[str, Figure]:
    """Draws spectra of generated on those of simulated jets, distances over their floor, and images of particles.

    Args:
      predictions: with targets and generated jets; without them nothing is drawn.
      classes: the names of the classes.
      content: what was generated.

    Returns:
      File name → figure.
    """
    names = merit_figures.generated_names(predictions)
    distances = merit_figures.generated_distances(predictions, classes)
    if not distances:
        return {}
    labels = merit_figures.labels_of(predictions)
    chosen = [name for name in _SPECTRA[content] if name in names] or names[:_DRAWN]
    samples = (predictions.observables, predictions.additions)
    drawn = {
        "spectra.png": report.cloud_spectra_figure(
            merit_figures.generated_spectra(predictions.observables, chosen, labels, classes),
            merit_figures.generated_spectra(predictions.additions, chosen, labels, classes),
        ),
        "distances.png": report.distances_figure(distances["all"]),
    }
    if content is Content.PARTICLES:
        clouds = [from_columns(columns, labels).take(slice(_IMAGES)) for columns in samples]
        images = np.stack([pixels(of_sample) for of_sample in clouds], axis=-1)
        drawn["images.png"] = report.image_figure(
            images, labels[:_IMAGES], classes, channels=("simulated", "generated")
        )
    return drawn


def generation_sections(
    predictions: Predictions | None, metrics: Mapping[str, Any], classes: Sequence[str], content: Content
) -> Iterator[Section]:
    """Yields the sections of a page.

    Args:
      predictions: of the test jets; None where they were not kept.
      metrics: what metrics.json holds.
      classes: the names of the classes.
      content: what was generated.
    """
    near = (metrics.get("intervals") or {}).get("loss_of") or {}
    rows: list[list[Any]] = [
        [name, _distance_triple(value, near.get(name))] for name, value in metrics["loss_of"].items()
    ]
    title, words = _LOSS_WORDS[content]
    head = ["Class", f"{LOSSES[content]}, of simulated test jets"]
    yield Section(title, words, (), (Table(f"{LOSSES[content]}, by class", head, rows),))
    if not metrics["distances"]:
        return
    named = {} if predictions is None else generation_pictures(predictions, classes, content)
    captions = {
        "spectra.png": "Generated jets (lines) on simulated ones (shaded), and their ratio",
        "distances.png": "Wasserstein-1 distances over that of two simulated samples",
        "images.png": "Mean images of simulated and of generated jets",
    }
    panels = [Picture(report.png(figure, _DPI), captions[name], captions[name], True) for name, figure in named.items()]
    words = "As many jets as test jets, of their classes. The floor is the distance of two simulated samples."
    yield Section("Generated jets", words, panels, tuple(_generated_distance_tables(metrics["distances"])))


def generation_summary(metrics: Mapping[str, Any], content: Content) -> Summary:
    """Returns what stands at the top of a page.

    Args:
      metrics: what metrics.json holds.
      content: what was generated.
    """
    cards = [("Loss", f"{metrics['loss']:.4f}", f"{LOSSES[content]}, of test jets")]
    sentences = []
    if (ratio := typical_distance_ratio(metrics)) is not None:
        cards.append(("Distance over floor", f"{ratio:.2f}", "median of the observables"))
        sentences.append((" Generated jets are ", f"{ratio:.2f}", " times as far from simulated ones as these are."))
    if "test_jets" in metrics:
        cards.append(("Test jets", f"{metrics['test_jets']:,}", ""))
    return Summary(sentences, cards)


def generation_card(record: Mapping[str, Any], metrics: Mapping[str, Any], content: Content) -> dict[str, list[str]]:
    """Returns paragraphs of a model card.

    Args:
      record: what experiment.json holds.
      metrics: what metrics.json holds.
      content: what was generated.
    """
    ratio = typical_distance_ratio(metrics)
    words = "" if ratio is None else f" Distances are {ratio:.2f} times their floor, in the median of observables."
    return {
        "Output": [f"{', '.join(record['outputs'])}: {LOSSES[content]}, of a jet given its class."],
        "Figures of merit": [f"{LOSSES[content]}, of test jets: {metrics['loss']:.4f}.{words}"],
        "Limits": ["It generates jets like those that it was trained on, within the range of their observables."],
    }


def typical_distance_ratio(metrics: Mapping[str, Any]) -> float | None:
    """Returns the median over observables of distances over their floor; None without generated jets.

    Args:
      metrics: what metrics.json holds.
    """
    ratios = [row["ratio"] for row in (metrics["distances"].get("all") or {}).values() if row["ratio"] is not None]
    return float(np.median(ratios)) if ratios else None


def write_generated_jets(folder: Path, predictions: Predictions, classes: Sequence[str]) -> None:
    """Writes generated jets to generated.h5 in the layout of files of jets, one for each test jet.

    Args:
      folder: of the run.
      predictions: with targets and generated jets; without them nothing is written.
      classes: the names of the classes.
    """
    columns = {name: predictions.additions[name] for name in merit_figures.generated_names(predictions)}
    if not columns:
        return
    labels = merit_figures.labels_of(predictions)
    new = folder / f".{_FILE}"  # a run that goes on measures anew: the old file stays until the new one is whole
    new.unlink(missing_ok=True)
    with new_hdf5_file(new, str(folder / _FILE)) as opened:
        write_columns(opened.file, columns, labels, classes)
        opened.check()
    new.replace(folder / _FILE)


def _generated_distance_tables(distances: Mapping[str, Any]) -> Iterator[Table]:
    head = ["", "Distance", "its error", "Floor", "its error", "Ratio"]
    keys = ("distance", "uncertainty", "floor", "floor_uncertainty", "ratio")

    def cells(row: Mapping[str, Any]) -> list[Any]:
        return [None if row[key] is None else float(f"{row[key]:.4g}") for key in keys]

    yield Table("Wasserstein-1 distances of all jets", head, [[k, *cells(row)] for k, row in distances["all"].items()])
    column = next(name for name in (*_MASSES, *distances["all"]) if name in distances["all"])
    rows = [[kind, *cells(of_kind[column])] for kind, of_kind in distances.items()]
    yield Table(f"Wasserstein-1 distances of {column} by class", head, rows)


def _distance_triple(value: float | None, near: Sequence[float] | None) -> Any:
    numbers = None if value is None else tuple(float(f"{x:.5g}") for x in (value, *(near or ())))
    return numbers if numbers is None or len(numbers) > 1 else numbers[0]
