"""Pictures of what a network has learned. Red speaks for a class, blue against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.report.graphs import center_graph_window, particle_areas, plane_columns
from hepjax.report.jets import COLOR_RANGE, label_outer_axes, mean_images_by_class
from hepjax.report.labels import class_label, column_label
from hepjax.report.style import line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIGNED = "RdBu_r"
_SHOWN = 99.7  # percent of the pixels that are not 0 that keep clear of the ends of the color scale


def importance_figure(
    mean: np.ndarray,
    std: np.ndarray,
    names: Sequence[str],
    *,
    quantity: str = "Drop of the mean AUC",
    most: int = 20,
    label: str = "",
) -> Figure:
    """Draws how much a tagger loses when a feature is shuffled, the most important feature on top.

    Args:
      mean: (G,) the mean loss of each feature or group, from `hepjax.evaluation.explanation.permutation_importance`.
      std: (G,) its standard deviation over repeats, drawn as an error bar.
      names: G column names or groups' names.
      quantity: the name of the loss, for the axis.
      most: the number of features to draw; the least important are left out.
      label: text above the axes.

    Returns:
      The figure.

    Raises:
      InputError: there is nothing to draw, or the three do not fit each other.

    >>> figure = importance_figure(np.array([0.1, 0.2]), np.array([0.01, 0.01]), ["j_pt", "j_mass"])
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['Jet mass', 'Jet $p_T$']
    """
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    if not mean.shape == std.shape == (len(names),) or not len(names):
        raise InputError(
            f"names: expected one for each mean and std, found {len(names)} for shapes {mean.shape} and {std.shape}"
        )
    order = np.argsort(-mean, kind="stable")[:most]
    with style():
        figure = new_figure(9.5, 1.9 + 0.42 * len(order))
        axes = figure.subplots()
        bars: dict[str, Any] = {"ecolor": "0.25", "capsize": 3, "error_kw": {"elinewidth": 1.5}}
        axes.barh(np.arange(len(order)), mean[order], xerr=std[order], height=0.7, color=line_color(0), **bars)
        axes.axvline(0, color="0.4", linewidth=1.2)
        axes.set_yticks(np.arange(len(order)), [_label_without_unit(names[i]) for i in order], fontsize="small")
        axes.set(xlabel=f"{quantity} when shuffled", ylim=(len(order) - 0.4, -0.6))
        axes.tick_params(axis="y", which="both", length=0)
        axes.minorticks_off()
        axes.locator_params(axis="x", nbins=6)
        put_figure_label(axes, label)
    return figure


def saliency_figure(
    saliency: np.ndarray,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    classes: Sequence[str] = (),
    *,
    size: float = 0.02,
    axes: tuple[str, str] = ("Δη", "Δφ [rad]"),
    label: str = "",
) -> Figure:
    """Draws which pixels speak for a class, beneath the image itself, for one jet or the means of each class.

    Args:
      saliency: (H, W, C), one jet, or (N, H, W, C), from `hepjax.evaluation.explanation.gradient_times_input`;
        channels add up.
      images: the images of the same jets, GeV; None draws the saliency alone.
      labels: (N,) indices into `classes`, for a mean of each; None is the mean of all.
      classes: the class names; those without jets have no panel.
      size: the width of a pixel in Δη and Δφ.
      axes: the labels of the horizontal and the vertical axis.
      label: text above the axes.

    Returns:
      The figure. One jet has its image on the left, classes have theirs on top.

    Raises:
      InputError: shapes or labels do not fit, or every pixel is 0.

    >>> figure = saliency_figure(np.eye(40)[..., None] - 0.1, np.eye(40)[..., None])
    >>> len(figure.axes[0].images), len(figure.axes[1].images)
    (1, 1)
    """
    arrays = [np.asarray(x) for x in (images, saliency) if x is not None]
    if arrays[0].shape[:-1] != arrays[-1].shape[:-1]:
        raise InputError(f"images: expected the shape of saliency, {arrays[1].shape}, found {arrays[0].shape}")
    means = [mean_images_by_class(x.sum(axis=-1, keepdims=True), labels, classes) for x in arrays]
    names = list(means[0])
    if not all(any(mean.any() for mean in row.values()) for row in means):
        raise InputError(
            "saliency: every pixel is 0; give jets with particles, and a network that has learned something"
        )
    height, width, _ = means[0][names[0]].shape
    reach = np.array([-width, width, -height, height]) * size / 2
    single = len(names) == 1
    lines, columns = (1, len(means)) if single else (len(means), len(names))
    with style():
        figure = new_figure(*((0.6 + 6.6 * columns, 5.9) if single else (2.6 + 3.5 * columns, 1.3 + 3.6 * lines)))
        figure.set_layout_engine("compressed")
        grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        for spots, row, last in zip(grid.T if single else grid, means, (len(means) == 1, True), strict=False):
            pixels = [row[name][..., 0] for name in names]
            look = _signed_relevance_scale(pixels) if last else _logarithmic_image_scale(pixels)
            for spot, picture in zip(spots, pixels, strict=True):
                drawing: Any = spot.imshow(
                    picture if last else np.where(picture > 0, picture, np.nan),
                    origin="lower", extent=reach.tolist(), interpolation="nearest", **look["show"],
                )  # fmt: skip
            bar = figure.colorbar(drawing, ax=list(spots), extend=look["extend"], aspect=28)
            bar.set_label("Gradient × input" if last else "$p_T$ per pixel [GeV]", fontsize="small")  # noqa: RUF001
        for spot, name in zip(grid[0], names, strict=False):
            spot.set_title(class_label(name), loc="right", fontsize="medium")
        label_outer_axes(grid, lines * columns, axes)
        put_figure_label(grid[0, 0], label)
    return figure


def relevance_figure(
    values: np.ndarray,
    columns: Sequence[str],
    *,
    particles: np.ndarray | None = None,
    messages: np.ndarray | None = None,
    strongest: int = 50,
    plane: tuple[str, str] | None = None,
    size: str | None = None,
    label: str = "",
) -> Figure:
    """Draws the particles of a jet, colored by what each adds to a class's logit, and the messages between them.

    Args:
      values: (n, F) columns of the particles, unscaled; without padding.
      columns: the F names.
      particles: (n,) relevance of each; None leaves them gray.
      messages: (n, n) relevance, [receiver, sender]; both directions of a pair add up to one line. None draws none.
      strongest: the number of pairs to draw.
      plane: the columns across and up, such as η and φ relative to the jet; None is the first two columns.
      size: the column that the areas of particles are proportional to, such as pT; None draws all of one size.
      label: text above the axes.

    Returns:
      The figure.

    Raises:
      InputError: the names do not fit the values, there is no particle, or the relevance has another shape.

    >>> figure = relevance_figure(np.eye(2), ["j1_etarel", "j1_phirel"], particles=np.array([0.5, -1.0]))
    >>> figure.axes[1].get_xlabel()
    'Gradient × input of the particle'
    """
    values = np.asarray(values)
    across, up = plane_columns(columns, plane, size)
    n = len(values)
    if values.shape != (n, len(columns)) or n == 0:
        raise InputError(f"values: expected (n, {len(columns)}) of one particle or more, found {values.shape}")
    for name, relevance, shape in (("particles", particles, (n,)), ("messages", messages, (n, n))):
        if relevance is not None and np.shape(relevance) != shape:
            raise InputError(f"{name}: expected shape {shape}, found {np.shape(relevance)}; leave the padding out")
    at = values[:, [list(columns).index(across), list(columns).index(up)]].astype(np.float64)
    with style():
        figure = new_figure(9.6 if size else 8.2, 7.8 + 0.9 * ((particles is not None) + (messages is not None)))
        axes = figure.subplots()
        bars = []
        if messages is not None:
            bars.append((_draw_strongest_messages(axes, at, np.asarray(messages, np.float64), strongest), "message"))
        look: dict[str, Any] = {"edgecolor": "0.35", "linewidth": 0.8, "alpha": 0.85}
        areas = particle_areas(axes, values, columns, size, {**look, "color": "0.8"})
        paint: dict[str, Any] = {"color": "0.8"}
        if particles is not None:
            top = float(np.abs(particles).max()) or 1.0
            paint = {"c": particles, "cmap": _SIGNED, "vmin": -top, "vmax": top}
        nodes = axes.scatter(at[:, 0], at[:, 1], s=areas, zorder=3, **paint, **look)
        if particles is not None:
            bars.append((nodes, "particle"))
        for drawing, what in bars:
            bar = figure.colorbar(drawing, ax=axes, location="bottom", aspect=32, shrink=0.9)
            bar.set_label(f"Gradient × {what if what == 'message' else 'input of the particle'}", fontsize="small")  # noqa: RUF001
            bar.ax.minorticks_off()
        center_graph_window(axes, at)
        axes.set(xlabel=column_label(across), ylabel=column_label(up))
        put_figure_label(axes, label)
    return figure


def correlation_figure(
    correlations: np.ndarray, observables: Sequence[str], *, most: int = 20, label: str = ""
) -> Figure:
    """Draws the correlations of hidden features with observables.

    Args:
      correlations: (H, K), from `hepjax.evaluation.explanation.pearson` or `spearman`; features with NaN only, which
        are constant, are left out.
      observables: the K names.
      most: the number of observables to draw, those that a feature follows most closely.
      label: text above the axes.

    Returns:
      The figure. The observable that is followed most closely is on top; features stand with the one that they follow.

    Raises:
      InputError: the names do not fit, or every correlation is NaN.

    >>> figure = correlation_figure(np.array([[0.1, -0.9], [0.5, 0.2]]), ["j_pt", "j_mass"])
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['Jet mass', 'Jet $p_T$']
    """
    table = np.asarray(correlations, np.float64)
    if table.ndim != 2 or table.shape[1] != len(observables):
        raise InputError(f"observables: expected {table.shape[-1]} names, found {len(observables)}")
    strength = np.nan_to_num(np.abs(table))
    varying = np.flatnonzero(np.isfinite(table).any(axis=1))
    if not varying.size:
        raise InputError("correlations: every one is NaN, as of constant features; give more jets or another layer")
    rows = np.argsort(-strength.max(axis=0), kind="stable")[:most]
    follows = strength[np.ix_(varying, rows)].argmax(axis=1)
    signed = table[varying, rows[follows]]
    order = np.lexsort((-signed, follows))
    ordered = table[np.ix_(varying[order], rows)].T
    with style():
        figure = new_figure(float(np.clip(6.0 + 0.16 * len(varying), 9.5, 18)), 2.2 + 0.42 * len(rows))
        axes = figure.subplots()
        axes.set_facecolor("0.85")
        image = axes.imshow(ordered, cmap=_SIGNED, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_yticks(range(len(rows)), [_label_without_unit(observables[k]) for k in rows], fontsize="small")
        axes.set_xticks([])
        axes.tick_params(which="both", length=0)
        axes.minorticks_off()
        constant = len(table) - len(varying)
        note = f" ({constant} more are constant)" if constant else ""
        axes.set_xlabel(f"{len(varying)} hidden features{note}, by what they follow", fontsize="medium")
        bar = figure.colorbar(image, ax=axes, aspect=24)
        bar.set_label("Correlation")
        bar.ax.minorticks_off()
        put_figure_label(axes, label)
    return figure


def _label_without_unit(name: str) -> str:
    """Returns a column's label without its unit, which belongs to a value."""
    return column_label(name).removesuffix(" [GeV]").removesuffix(" [rad]")


def _logarithmic_image_scale(pixels: list[np.ndarray]) -> dict[str, Any]:
    """Returns the color scale of images, as `image_figure` has it."""
    from matplotlib.colors import LogNorm

    positive = np.concatenate([picture[picture > 0] for picture in pixels])
    top = float(positive.max(initial=0)) or 1.0
    low = max(float(positive.min(initial=top / 10)), top / COLOR_RANGE)
    norm = LogNorm(low if low < top else top / 10, top)
    below = "min" if positive.min(initial=top) < low else "neither"
    return {"show": {"norm": norm, "cmap": "viridis"}, "extend": below}


def _signed_relevance_scale(pixels: list[np.ndarray]) -> dict[str, Any]:
    """Returns a color scale around 0 that all but a few pixels keep within."""
    sizes = np.abs(np.concatenate([picture[picture != 0] for picture in pixels]))
    top = float(np.percentile(sizes, _SHOWN))
    return {"show": {"cmap": _SIGNED, "vmin": -top, "vmax": top}, "extend": "both" if sizes.max() > top else "neither"}


def _draw_strongest_messages(axes: Axes, at: np.ndarray, messages: np.ndarray, strongest: int) -> Any:
    """Draws the strongest pairs, the strongest of them last and widest."""
    from matplotlib.collections import LineCollection

    first, second = np.triu_indices(len(at), k=1)
    both = messages[first, second] + messages[second, first]
    chosen = np.argsort(np.abs(both), kind="stable")[max(len(both) - strongest, 0) :]
    chosen = chosen[both[chosen] != 0]
    top = float(np.abs(both[chosen]).max(initial=0)) or 1.0
    ends = at[np.stack([first[chosen], second[chosen]], axis=1)]
    widths = 0.6 + 4.4 * np.abs(both[chosen]) / top
    lines = LineCollection(list(ends), cmap=_SIGNED, linewidths=widths, alpha=0.8, zorder=2)
    lines.set_array(both[chosen])
    lines.set_clim(-top, top)
    return axes.add_collection(lines)
