"""The page of a run: what its folder holds, and what its tagger says of jets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.data import atomic_files
from hepjax import evaluation, models, report, inputs as representations
from hepjax.evaluation import explanation
from hepjax.inputs import subsets
from hepjax.runs import predictions, run_folder, taggers
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.report import Picture, Section, Table, class_label
from hepjax.types import Sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hepjax.runs.options import Experiment
    from hepjax.runs.predictions import Predictions
    from hepjax.runs.taggers import Tagger, Trained
    from hepjax.types import Jets, Scores

EFFICIENCY = 0.5
"""The signal efficiency of the cuts that are looked at in bins."""
JETS = 1000
"""Jets at most that pictures and explanations take."""
_PLANE = ("j1_etarel", "j1_phirel")
_SIZES = ("j1_pt", "j1_ptrel")
_REPEATS = 5
_DPI = 70
_PIXELS = 40
"""Along a side of a jet's picture, of 0.02 each: what lies within the jet's radius."""
_LEAST = 20
"""Jets below which no efficiency is drawn in bins."""

log = logging.getLogger("hepjax")


class _Case(NamedTuple):
    """A tagger and some of its test jets."""

    tagger: Tagger
    jets: Jets
    labels: np.ndarray

    @property
    def network(self) -> Trained:
        return self.tagger.networks[0]


def write(folder: Path, out: Path | None = None, show: Callable[[str], None] = lambda words: None) -> Path:  # noqa: ARG005
    """Writes the page of a run.

    Args:
      folder: of the run, whose training has ended.
      out: the file; None is report.html in the folder. An older one is replaced.
      show: called with the title of each section that is ready.

    Returns:
      The file.

    Raises:
      InputError: the folder is not a run's, or is damaged; or the page cannot be written.
    """
    experiment, record = run_folder.read_experiment(folder)
    metrics, history = run_folder.read_metrics(folder), run_folder.read_history(folder)
    test = predictions.read_predictions(folder / "test.h5") if (folder / "test.h5").exists() else None
    sections = []
    for section in _sections(folder, experiment, record, metrics, test):
        show(section.title)
        sections.append(section)
    scores = None if test is None else test.measured()
    target = folder / "report.html" if out is None else out
    atomic_files.write_text(target, report.page(str(folder), record, metrics, history, scores, sections))
    return target


def _sections(
    folder: Path, experiment: Experiment, record: dict[str, Any], metrics: dict[str, Any], test: Predictions | None
) -> Iterator[Section]:
    if experiment.sizes:
        yield _learning_curve(experiment, metrics)
    if "bias_and_variance" in metrics:
        yield _bias_and_variance(metrics["bias_and_variance"])
    if test is None:
        log.warning("%s: has no test.h5, from an older hepjax: the page has nothing of single jets", folder)
        return
    scores = test.measured()
    remarks = evaluation.remarks(scores)
    if remarks:
        yield Section("To be kept in mind", ". ".join(f"{words[0].upper()}{words[1:]}" for words in remarks) + ".")
    yield _performance(scores)
    yield from _in_bins(scores, test)
    # Of folds each model has seen most of these jets: the first is asked about its own.
    source = folder / record["members"][0] if experiment.folds else folder
    try:
        case = _read(source)
    except InputError as error:
        log.warning("no pictures of jets, and nothing of what the network looks at: %s", error)
        yield Section("Jets", f"Not shown, for the jets could not be read: {error}.")
        return
    yield _jets(case)
    yield _explained(case, source.name if experiment.folds else "")


def _performance(scores: Scores) -> Section:
    return Section(
        "Rejection and significance",
        "Bands are 68 % intervals; curves end where fewer than ten background jets are left.",
        (
            _picture(report.rejection_figure(scores), "Background rejection of each class over its efficiency"),
            _picture(
                report.significance_figure(scores),
                "Significance improvement: efficiency over the root of the mistag rate",
            ),
        ),
    )


def _in_bins(scores: Scores, test: Predictions) -> Iterator[Section]:
    counts = np.bincount(np.asarray(scores.labels), minlength=len(scores.classes))
    names = [name for name, n in zip(scores.classes, counts, strict=True) if n >= _LEAST]
    if not test.observables or len(names) < 2:
        return
    observables = {name: test.observables[name] for name in hls4ml.BINNED if name in test.observables}
    bins = int(np.clip(min(counts[counts >= _LEAST]) / _LEAST, 3, 8))
    edges = {name: evaluation.bin_edges(values, bins) for name, values in observables.items()}
    cut = f"the cut on a class's probability that keeps {EFFICIENCY:.0%} of its jets"
    yield Section(
        "Efficiency and mistag rate in bins",
        f"What share of the jets of each true class passes {cut}, with 68 % intervals.",
        [
            _picture(
                report.rates_figure(scores, name, observables, EFFICIENCY, edges),
                f"The cut on the {class_label(name)} probability",
                wide=True,
            )
            for name in names
        ],
        [_rate_table(scores, name, "j_pt", observables["j_pt"], edges["j_pt"]) for name in names if "j_pt" in edges],
    )
    if "j_mass" in test.observables:
        yield Section(
            "Mass sculpting",
            "The mass of the background before and after a cut: a tagger that has learnt the mass leaves a peak where "
            "the signal has its own. The Jensen-Shannon divergence stands beside what chance alone would give.",
            [
                _picture(
                    report.sculpting_figure(scores, name, test.observables["j_mass"], "j_mass"),
                    f"All other jets, cut on the {class_label(name)} probability",
                )
                for name in names
            ],
        )


def _rate_table(scores: Scores, name: str, observable: str, values: np.ndarray, edges: np.ndarray) -> Table:
    selected = evaluation.selection(scores, name, EFFICIENCY)
    found = evaluation.class_rates_in_bins(scores, selected, values, edges)
    rows = [
        [f"{edges[i]:.4g} to {edges[i + 1]:.4g}"]
        + [
            tuple(np.round((one.rate[i], one.low[i], one.high[i]), 3)) if one.jets[i] else None
            for one in found.values()
        ]
        for i in range(len(edges) - 1)
    ]
    label = report.column_label(observable).replace("$p_T$", "pT")
    return Table(f"Cut on {class_label(name)}, in bins of {label}", [label, *map(class_label, found)], rows)


def _learning_curve(experiment: Experiment, metrics: dict[str, Any]) -> Section:
    found = [metrics["members"][f"size-{size}"] for size in experiment.sizes]
    figure = report.learning_curve_figure(experiment.sizes, found)
    words = "How good the tagger gets with more jets to learn from: a curve that still rises says that more would help."
    return Section("Learning curve", words, [_picture(figure, "Loss and AUC on the same test jets")])


def _bias_and_variance(found: dict[str, float]) -> Section:
    rows = [
        ["Mean Brier score of a member", found["brier"]],
        ["Bias² and noise, which no averaging removes", found["bias_and_noise"]],
        ["Variance from one training to the next", found["variance"]],
    ]
    table = Table("Brier score of the test jets", ["Part", "Value"], rows)
    return Section("Bias and variance", f"What the scatter of {found['members']:.0f} trainings costs.", (), (table,))


def _read(folder: Path) -> _Case:
    experiment, _ = run_folder.read_experiment(folder)
    tagger, test = taggers.load(folder), predictions.read_predictions(folder / "test.h5")
    files = experiment.test or experiment.data
    jets = taggers.open_jets(tagger, files)
    rows, labels = np.asarray(test.rows), np.asarray(test.labels)
    if rows.max() >= len(jets):
        raise InputError(f"{subsets.names(files)}: holds fewer jets than when it was tested")
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:JETS])
    found = jets[rows[chosen]]
    if found.labels is None or (np.asarray(found.labels) != labels[chosen]).any():
        raise InputError(f"{subsets.names(files)}: holds other jets than when it was tested")
    return _Case(tagger, found, labels[chosen])


def _jets(case: _Case) -> Section:
    images = representations.images(case.jets, particles=min(case.jets.constituents.shape[1], 100), pixels=_PIXELS)
    first = [int(np.argmax(case.labels == c)) for c in np.unique(case.labels)]
    shared: dict[str, Any] = {"classes": case.tagger.classes}
    single = report.image_figure(images[first], case.labels[first], **shared)
    return Section(
        "Jets",
        f"Transverse momentum per pixel, of {len(images):,} test jets.",
        (
            _picture(report.image_figure(images, case.labels, **shared), "The mean of each class", wide=True),
            _picture(single, "One jet of each class", wide=True),
        ),
    )


def _explained(case: _Case, member: str) -> Section:
    inputs = case.tagger.recipe.read(case.jets, slice(None))
    seen = case.network.recipe.represent(case.network.scaling, inputs)
    pictures, tables = [], []
    if not case.tagger.recipe.images:
        importance = explanation.permutation_importance(case.tagger.scores, inputs, case.labels, repeats=_REPEATS)
        figure = report.importance_figure(importance.mean, importance.std, case.tagger.columns)
        pictures.append(_picture(figure, "What the mean AUC loses when a column is shuffled among jets"))
        tables.append(_importance_table(importance, case.tagger.columns))
    pictures += [_picture(*found) for found in _looked_at(case, inputs, seen)]
    pictures += [_picture(*found) for found in _hidden(case, seen)]
    words = f"Asked of {len(case.labels):,} test jets" + (f" of {member}." if member else ".")
    if len(case.tagger.networks) > 1:
        words += " Gradients and hidden features are those of the first network of the ensemble."
    return Section("What the network looks at", words, pictures, tables)


def _importance_table(importance: explanation.Importance, columns: tuple[str, ...]) -> Table:
    order = np.argsort(-importance.mean)
    rows = [[columns[i], importance.mean[i], importance.std[i]] for i in order]
    note = f"The mean AUC is {importance.score:.4f} with all columns; {_REPEATS} shuffles each."
    return Table("Permutation importance", ["Column", "Drop of the mean AUC", "Standard deviation"], rows, note)


def _looked_at(case: _Case, inputs: Any, seen: Any) -> Iterator[tuple[Any, str]]:
    """What speaks for the true class in images, on average; or in one jet, of the last class."""
    if not hasattr(seen, "_fields"):
        if np.ndim(seen) == 4:
            found = explanation.gradient_times_input(_relative_logits(case.network, len(seen)), seen, case.labels)
            pixels = np.expm1(np.asarray(seen))
            figure = report.saliency_figure(found, pixels, case.labels, case.tagger.classes)
            yield figure, "Which pixels speak for the true class: gradient times input, the mean of each class"
        return
    filled = np.asarray(inputs.mask).any(axis=1)
    if len(case.tagger.columns) < 2 or not filled.any():  # no plane to draw in, or nothing to draw
        return
    first = int(np.argmax(np.where(filled, case.labels, -1)))
    jet = slice(first, first + 1)
    label, one = case.labels[jet], jax.tree.map(lambda x: np.asarray(x)[jet], inputs)
    yield from _in_one_jet(case.network, one, label, class_label(case.tagger.classes[label[0]]), case.tagger.columns)


def _in_one_jet(
    network: Trained, jet: Sequences, label: np.ndarray, name: str, columns: tuple[str, ...]
) -> Iterator[tuple[Any, str]]:
    seen, mask = network.recipe.represent(network.scaling, jet), np.asarray(jet.mask)
    found = explanation.gradient_times_input(_relative_logits(network, 1), seen, label)
    if not isinstance(seen, Sequences):
        found = explanation.by_particle(found, mask)
    particles, values = found[0].sum(axis=-1)[mask[0]], np.asarray(jet.values)[mask]
    places: dict[str, Any] = {
        "plane": _PLANE if set(_PLANE) <= set(columns) else None,
        "size": next((column for column in _SIZES if column in columns), None),
    }
    figure = report.relevance_figure(values, columns, particles=particles, **places)
    yield figure, f"Which particles of one {name} jet speak for {name}: gradient times input"
    if isinstance(network.recipe.network, models.InteractionNetwork | models.GraphNetwork):
        rounds = explanation.message_relevance(
            network.recipe.network, network.params, network.model_state, seen, label, mask
        )
        messages = sum(each.relevance[0] for each in rounds)[np.ix_(mask[0], mask[0])]
        figure = report.relevance_figure(values, columns, particles=particles, messages=messages, **places)
        yield figure, f"Which messages between particles of that jet speak for {name}: the learnt edges"


def _relative_logits(network: Trained, jets: int) -> Callable[[Any], jax.Array]:
    """Logits less their mean: what raises all of them alike speaks for no class."""
    apply = models.make_apply(network.recipe.network)

    def logits(x: Any) -> jax.Array:
        found = apply(network.params, network.model_state, x, jnp.ones(jets, bool), None)[0][:jets]
        return found - found.mean(axis=-1, keepdims=True)

    return logits


def _hidden(case: _Case, seen: Any) -> Iterator[tuple[Any, str]]:
    network = case.network
    try:
        layers = explanation.hidden_features(network.recipe.network, network.params, network.model_state, seen)
    except InputError:  # a linear model has none
        return
    name, last = list(layers.items())[-1]
    values = np.asarray(case.jets.observables, np.float64)
    kept = np.flatnonzero(np.isfinite(values).all(axis=0))
    names = [case.jets.observable_names[i] for i in kept]
    found = explanation.spearman(last[: len(values)], values[:, kept])
    if np.isfinite(found).any():
        yield (
            report.correlation_figure(found, names),
            f"Which observables the last hidden layer ({name}) follows: rank correlation",
        )


def _picture(figure: Any, caption: str, *, wide: bool = False) -> Picture:
    return Picture(report.png(figure, _DPI), caption, caption, wide)
