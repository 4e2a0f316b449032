"""What a classifier looks at: sections of a run's page with jets, importances, gradients and hidden features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import inputs as representations
from hepjax import models, report
from hepjax.choices import Role
from hepjax.data.momenta import derivable_roles
from hepjax.errors import InputError
from hepjax.evaluation import explanation
from hepjax.report import Picture, Section, Table, class_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hepjax.tasks.task_types import Case, TrainedNetwork
    from hepjax.types import Sequences

_PLANE = (Role.ETA_REL, Role.PHI_REL)
_SIZES = (Role.PT, Role.PT_REL)
_REPEATS = 5
_DPI = 70
_PIXELS = 40
"""Along a side of a jet's picture, of 0.02 each: what lies within the jet's radius."""


def explanation_sections(case: Case) -> Iterator[Section]:
    """Yields pictures of the jets, and what the network looks at.

    Args:
      case: a trained classifier and some test jets.
    """
    if {Role.PT, *_PLANE} <= derivable_roles(case.jets.dataset):
        yield _explained_jets(case)
    yield _explanation_pictures(case)


def _explained_jets(case: Case) -> Section:
    images = representations.images(case.jets, particles=min(case.jets.constituents.shape[1], 100), pixels=_PIXELS)
    first = [int(np.argmax(case.targets == c)) for c in np.unique(case.targets)]
    shared: dict[str, Any] = {"classes": case.outputs}
    single = report.image_figure(images[first], case.targets[first], **shared)
    return Section(
        "Jets",
        f"Transverse momentum per pixel, of {len(images):,} test jets.",
        (
            _explanation_picture(
                report.image_figure(images, case.targets, **shared), "The mean of each class", wide=True
            ),
            _explanation_picture(single, "One jet of each class", wide=True),
        ),
    )


def _explanation_pictures(case: Case) -> Section:
    inputs = case.pipeline.load(case.jets, slice(None))
    seen = jax.jit(case.networks[0].pipeline.transform)(case.networks[0].scaling, inputs)
    pictures, tables = [], []
    if not case.pipeline.images:
        importance = explanation.permutation_importance(case.predict, inputs, case.targets, repeats=_REPEATS)
        figure = report.importance_figure(importance.mean, importance.std, case.pipeline.columns)
        pictures.append(_explanation_picture(figure, "What the mean AUC loses when a column is shuffled among jets"))
        tables.append(_importance_table(importance, case.pipeline.columns))
    pictures += [_explanation_picture(*pair) for pair in _draw_class_relevance(case, inputs, seen)]
    pictures += [_explanation_picture(*pair) for pair in _draw_hidden_correlations(case, seen)]
    words = f"Asked of {len(case.targets):,} test jets" + (f" of {case.member}." if case.member else ".")
    if len(case.networks) > 1:
        words += " Gradients and hidden features are those of the first network of the ensemble."
    return Section("What the network looks at", words, pictures, tables)


def _importance_table(importance: explanation.Importance, columns: tuple[str, ...]) -> Table:
    order = np.argsort(-importance.mean)
    rows = [[columns[i], importance.mean[i], importance.std[i]] for i in order]
    note = f"The mean AUC is {importance.score:.4f} with all columns; {_REPEATS} shuffles each."
    return Table("Permutation importance", ["Column", "Drop of the mean AUC", "Standard deviation"], rows, note)


def _draw_class_relevance(case: Case, inputs: Any, seen: Any) -> Iterator[tuple[Any, str]]:
    """Draws what speaks for the true class in images, on average; or in one jet, of the last class."""
    if not hasattr(seen, "_fields"):
        if np.ndim(seen) == 4:
            relevance = explanation.gradient_times_input(
                _relative_logits(case.networks[0], len(seen)), seen, case.targets
            )
            pixels = np.expm1(np.asarray(seen))
            figure = report.saliency_figure(relevance, pixels, case.targets, case.outputs)
            yield figure, "Which pixels speak for the true class: gradient times input, the mean of each class"
        return
    filled = np.asarray(inputs.mask).any(axis=1)
    if len(case.pipeline.columns) < 2 or not filled.any():  # no plane to draw in, or nothing to draw
        return
    first = int(np.argmax(np.where(filled, case.targets, -1)))
    jet = slice(first, first + 1)
    label, single = case.targets[jet], jax.tree.map(lambda x: np.asarray(x)[jet], inputs)
    yield from _draw_relevance_in_jet(case.networks[0], single, label, class_label(case.outputs[label[0]]), case)


def _draw_relevance_in_jet(
    network: TrainedNetwork, jet: Sequences, label: np.ndarray, name: str, case: Case
) -> Iterator[tuple[Any, str]]:
    seen, mask = jax.jit(network.pipeline.transform)(network.scaling, jet), np.asarray(jet.mask)
    relevance = explanation.gradient_times_input(_relative_logits(network, 1), seen, label)
    if hasattr(seen, "n_node"):
        relevance = explanation.by_particle(relevance, mask)
    particles, values = relevance[0].sum(axis=-1)[mask[0]], np.asarray(jet.values)[mask]
    columns, roles = case.pipeline.columns, case.jets.dataset.roles
    plane, sizes = ([roles.get(role, role.value) for role in wanted] for wanted in (_PLANE, _SIZES))
    places: dict[str, Any] = {
        "plane": plane if {*plane} <= {*columns} else None,
        "size": next((column for column in sizes if column in columns), None),
    }
    figure = report.relevance_figure(values, columns, particles=particles, **places)
    yield figure, f"Which particles of one {name} jet speak for {name}: gradient times input"
    kinds = models.InteractionNetwork, models.GraphNetwork, models.ParticleNet, models.ParticleTransformer
    if isinstance(network.pipeline.network, kinds):
        rounds = explanation.message_relevance(
            network.pipeline.network, network.params, network.model_state, seen, label, mask
        )
        messages = sum(each.relevance[0] for each in rounds)[np.ix_(mask[0], mask[0])]
        figure = report.relevance_figure(values, columns, particles=particles, messages=messages, **places)
        yield (
            figure,
            f"Which messages between particles of that jet speak for {name}: edges, neighbors or attention",
        )


def _relative_logits(network: TrainedNetwork, jets: int) -> Callable[[Any], jax.Array]:
    """Logits less their mean: what raises all of them alike speaks for no class."""
    apply = models.make_apply(network.pipeline.network)

    def logits(x: Any) -> jax.Array:
        outputs = apply(network.params, network.model_state, x, jnp.ones(jets, bool), None)[0][:jets]
        return outputs - outputs.mean(axis=-1, keepdims=True)

    return logits


def _draw_hidden_correlations(case: Case, seen: Any) -> Iterator[tuple[Any, str]]:
    network = case.networks[0]
    try:
        layers = explanation.hidden_features(network.pipeline.network, network.params, network.model_state, seen)
    except InputError:  # a linear model has none
        return
    if not case.jets.observable_names:
        return
    name, last = list(layers.items())[-1]
    values = np.asarray(case.jets.observables, np.float64)
    kept = np.flatnonzero(np.isfinite(values).all(axis=0))
    names = [case.jets.observable_names[i] for i in kept]
    correlations = explanation.spearman(last[: len(values)], values[:, kept])
    if np.isfinite(correlations).any():
        yield (
            report.correlation_figure(correlations, names),
            f"Which observables the last hidden layer ({name}) follows: rank correlation",
        )


def _explanation_picture(figure: Any, caption: str, *, wide: bool = False) -> Picture:
    return Picture(report.png(figure, _DPI), caption, caption, wide)
