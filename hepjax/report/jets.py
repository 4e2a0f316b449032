"""Pictures of jets: images, particle columns and observables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.report.labels import class_label, column_label
from hepjax.report.style import line_color, new_figure, put_figure_label, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hepjax.types import Sequences

_DECADES = 2.5  # a positive quantity that spans more is drawn on a logarithmic axis
_TAIL = 0.25  # percent of the values left out at each end
_MANY = 2000  # values of a class, for fine bins
COLOR_RANGE = 1e5  # of the color scale of images


def image_figure(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    classes: Sequence[str] = (),
    *,
    channels: Sequence[str] = (),
    size: float = 0.02,
    axes: tuple[str, str] = ("Δη", "Δφ [rad]"),
    label: str = "",
) -> Figure:
    """Draws a jet image, or the mean of many, with one panel for each class and channel and logarithmic colors.

    Args:
      images: (H, W, C), one jet, or (N, H, W, C), whose mean is drawn; GeV. Pixels of 0 stay white.
      labels: (N,) indices into `classes`, for one mean per class; None is the mean of all.
      classes: the class names; those without jets have no panel.
      channels: the names of the C channels, such as ("charged", "neutral"); may be left out.
      size: the width of a pixel in Δη and Δφ.
      axes: the labels of the horizontal and the vertical axis, which are others if jets were rotated.
      label: text above the axes.

    Returns:
      The figure, with one color scale for all panels.

    Raises:
      InputError: the shape is neither that of a jet nor of many, labels do not fit the images, or every pixel is 0.

    >>> figure = image_figure(np.ones((4, 40, 40, 1)))
    >>> figure.axes[0].images[0].get_extent()
    [-0.4, 0.4, -0.4, 0.4]
    """
    panels = mean_images_by_class(np.asarray(images), labels, classes)
    height, width, depth = next(iter(panels.values())).shape
    if channels and len(channels) != depth:
        raise InputError(f"channels: expected {depth} names, one for each channel, found {', '.join(channels)}")
    top = max(float(mean.max()) for mean in panels.values())
    if not top > 0:
        raise InputError("images: every pixel is 0 or less; give images with some particles in their window")
    positive = np.concatenate([mean[mean > 0] for mean in panels.values()])
    extent = np.array([-width, width, -height, height]) * size / 2
    with style():
        from matplotlib.colors import LogNorm

        low = max(float(positive.min()), top / COLOR_RANGE)
        norm = LogNorm(low if low < top else top / 10, top)
        columns = len(panels) if len(panels) <= 3 or depth > 1 else math.ceil(len(panels) / 2)
        lines = depth if depth > 1 else math.ceil(len(panels) / columns)
        single = columns == lines == 1
        figure = new_figure(*((8.6, 7.4) if single else (2.4 + 4.1 * columns, 1.3 + 4.1 * lines)))
        figure.set_layout_engine("compressed")  # panels of a fixed shape, close together
        grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        spots = [(name, c) for c in range(depth) for name in panels]
        for spot, (name, c) in zip(grid.ravel(), spots, strict=False):
            pixels = panels[name][..., c]
            drawing = spot.imshow(
                np.where(pixels > 0, pixels, np.nan),
                norm=norm, cmap="viridis", origin="lower", extent=extent.tolist(), interpolation="nearest",
            )  # fmt: skip
            words = [class_label(name), channels[c] if channels else ""]
            spot.set_title(", ".join(filter(None, words)), loc="right", fontsize="medium")
        for spot in grid.ravel()[len(spots) :]:
            spot.remove()
        label_outer_axes(grid, len(spots), axes)
        below = "min" if positive.min() < norm.vmin else "neither"
        bar = figure.colorbar(drawing, ax=grid.ravel()[: len(spots)].tolist(), extend=below, aspect=12 * lines + 8)
        mean = "Mean per" if np.ndim(images) == 4 and len(images) > 1 else "Per"
        bar.set_label(f"{mean} pixel of {size:g} × {size:g} [GeV]")  # noqa: RUF001
        put_figure_label(grid[0, 0], label)
    return figure


def sequence_figure(
    sequences: Sequences,
    columns: Sequence[str],
    labels: np.ndarray | None = None,
    classes: Sequence[str] = (),
    *,
    label: str = "",
) -> Figure:
    """Draws the distribution of each particle column over all particles, one panel for each; padding does not count.

    Args:
      sequences: (N, P, F) values and their mask.
      columns: the F column names.
      labels: (N,) indices into `classes`, for one line per class; None draws all particles as one.
      classes: the class names; those without jets have no line.
      label: text above the panels.

    Returns:
      The figure. Panels show all but half a percent of the values, on a logarithmic axis where they span decades.

    Raises:
      InputError: the names do not fit the values, or there is no particle.

    >>> from hepjax.types import Sequences
    >>> two = Sequences(np.ones((2, 3, 1)), np.ones((2, 3), bool))
    >>> sequence_figure(two, ["j1_pt"]).axes[0].get_xlabel()
    '$p_T$ [GeV]'
    """
    mask = np.asarray(sequences.mask)
    if not mask.any():
        raise InputError("sequences: expected one particle or more, found none")
    particle_labels = (
        None if labels is None else np.repeat(_checked_class_labels(labels, len(mask), classes), mask.sum(axis=1))
    )
    return _column_distributions_figure(
        np.asarray(sequences.values)[mask], columns, particle_labels, classes, "particles", label
    )


def features_figure(
    x: np.ndarray,
    names: Sequence[str],
    labels: np.ndarray | None = None,
    classes: Sequence[str] = (),
    *,
    label: str = "",
) -> Figure:
    """Draws the distribution of each observable for the jets of each class, one panel for each observable.

    Args:
      x: (N, F) observables.
      names: their F names.
      labels: (N,) indices into `classes`; None draws all jets as one.
      classes: the class names; those without jets have no line.
      label: text above the panels.

    Returns:
      The figure. Panels show all but half a percent of the values, on a logarithmic axis where they span decades.

    Raises:
      InputError: the names or labels do not fit the observables, or there is no jet.

    >>> figure = features_figure(np.array([[1.0], [2.0], [4.0]]), ["j_pt"], np.array([0, 0, 1]), ("q", "t"))
    >>> figure.axes[0].get_xlabel()
    'Jet $p_T$ [GeV]'
    """
    x = np.asarray(x)
    if x.ndim != 2 or len(x) == 0:
        raise InputError(f"x: expected (N, F) observables of one jet or more, found shape {x.shape}")
    jet_labels = None if labels is None else _checked_class_labels(labels, len(x), classes)
    return _column_distributions_figure(x, names, jet_labels, classes, "jets", label)


def _column_distributions_figure(
    values: np.ndarray, names: Sequence[str], labels: np.ndarray | None, classes: Sequence[str], what: str, label: str
) -> Figure:
    """Draws one panel for each column of (M, F) values, with a legend below if there are classes."""
    if values.shape[1] != len(names) or len(names) == 0:
        raise InputError(f"names: expected {values.shape[1]}, one for each column, found {len(names)}")
    if not np.isfinite(values).all():
        raise InputError("values: found NaN or infinite ones; remove those jets")
    groups = {"": values} if labels is None else {name: values[labels == i] for i, name in enumerate(classes)}
    lines = math.ceil(len(names) / 4)
    columns = math.ceil(len(names) / lines)
    with style():
        figure = new_figure(max(6.5, 4.6 * columns), 0.4 + 3.9 * lines + 0.6 * (labels is not None))
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        handles: dict[str, Any] = {}
        for f, name in enumerate(names):
            handles = _draw_histogram_panel(panels[f], {group: rows[:, f] for group, rows in groups.items()})
            panels[f].set_xlabel(column_label(name))
            if f % columns == 0:
                panels[f].set_ylabel(f"Fraction of {what}")
        for spot in panels[len(names) :]:
            spot.remove()
        if labels is not None:
            figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=max(5, columns + 1))
        put_figure_label(panels[0], label)
    return figure


def _draw_histogram_panel(axes: Axes, groups: dict[str, np.ndarray]) -> dict[str, Any]:
    """Draws the histograms of one quantity; returns the legend's entries."""
    everything = np.concatenate([*groups.values()]).astype(np.float64)
    low, high = np.percentile(everything, [_TAIL, 100 - _TAIL])
    bins = 40 if len(everything) >= _MANY * len(groups) else 20
    decades = bool(low > 0 and np.log10(high / low) > _DECADES)
    if decades:
        edges = np.geomspace(low, high, bins + 1)
        axes.set_xscale("log")
    elif _are_whole_numbers(everything) and high - low >= 1:
        step = max(1, round((high - low) / bins))
        edges = np.arange(np.floor(low), high + step + 1, step) - 0.5
    else:
        widen = 0.5 * (abs(low) or 1.0) if high <= low else 0.0
        edges = np.linspace(low - widen, high + widen, bins + 1)
    handles: dict[str, Any] = {}
    for i, (name, values) in enumerate(groups.items()):
        if len(values):
            heights = np.histogram(values, edges)[0] / len(values)
            if len(groups) == 1:
                axes.stairs(heights, edges, fill=True, color=line_color(i), alpha=0.25)
            handles[class_label(name)] = axes.stairs(heights, edges, color=line_color(i), linewidth=1.8)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, None)
    return handles


def _are_whole_numbers(values: np.ndarray) -> bool:
    return bool((values == np.round(values)).all())


def mean_images_by_class(
    images: np.ndarray, labels: np.ndarray | None, classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns the mean image of each class with jets, or one without a name."""
    if images.ndim not in (3, 4) or images.shape[-1] > 4 or 0 in images.shape:
        raise InputError(
            f"images: expected (H, W, C), one jet, or (N, H, W, C), with 4 channels at most; found shape {images.shape}"
        )
    if images.ndim == 3:
        images = images[None]
    if labels is None:
        return {"": images.mean(axis=0, dtype=np.float64)}
    labels = _checked_class_labels(labels, len(images), classes)
    return {name: images[labels == i].mean(axis=0, dtype=np.float64) for i, name in enumerate(classes) if i in labels}


def _checked_class_labels(labels: np.ndarray, jets: int, classes: Sequence[str]) -> np.ndarray:
    """Returns labels, once they are known to be one index into the classes for each jet."""
    if not classes:
        raise InputError("classes: expected the class names that the labels are indices into, found none")
    labels = np.asarray(labels)
    fit = labels.shape == (jets,) and np.issubdtype(labels.dtype, np.integer)
    if not fit or labels.min() < 0 or labels.max() >= len(classes):
        raise InputError(
            f"labels: expected {jets} indices from 0 to {len(classes) - 1}, "
            f"found {labels.dtype} of shape {labels.shape}"
        )
    return labels


def label_outer_axes(grid: np.ndarray, filled: int, axes: tuple[str, str]) -> None:
    """Labels axes on the left and at the bottom only, where a panel has no neighbor."""
    columns = grid.shape[1]
    for place in range(filled):
        line, column = divmod(place, columns)
        if column == 0:
            grid[line, column].set_ylabel(axes[1])
        if place + columns >= filled:
            grid[line, column].set_xlabel(axes[0])
            grid[line, column].tick_params(labelbottom=True)
