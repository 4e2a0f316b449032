"""Pictures: what is in them, that nothing overlaps or leaves the page, and that saving is whole or nothing."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import image
from matplotlib.colors import to_rgb

from hepjax.errors import InputError
from hepjax.evaluation import auc, class_curves, confusion_matrix, normalize_rows
from hepjax.report import confusion_figure, history_figure, roc_figure, save, scores_figure
from hepjax.types import Epoch, Scores


def toy(classes, jets=1500, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), jets)
    logits = 1.3 * rng.normal(size=(jets, len(classes)))
    logits[np.arange(jets), labels] += 2
    p = np.exp(logits)
    return Scores(
        (p / p.sum(axis=1, keepdims=True)).astype(np.float32), labels, rng.uniform(0.5, 1.5, jets), tuple(classes)
    )


def history(epochs, falling_rate=False):
    return [
        Epoch(e, 0.5 + 1 / e, 0.55 + 1 / e + 0.01 * e, 0.8 - 0.4 / e, 1e-3 * 0.8 ** (e * falling_rate), 1.0, 1e5)
        for e in range(1, epochs + 1)
    ]


FIVE = toy("gqwzt")
MANY = toy([f"class_{i}" for i in range(8)])
FIGURES = {
    "roc": lambda: roc_figure(FIVE, label="hepjax simulation"),
    "roc two classes": lambda: roc_figure(toy(["background", "signal"])),
    "confusion": lambda: confusion_figure(FIVE, label="hepjax simulation"),
    "confusion long names": lambda: confusion_figure(toy(["background", "signal"])),
    "scores": lambda: scores_figure(FIVE, label="hepjax simulation"),
    "scores two classes": lambda: scores_figure(toy(["background", "signal"])),
    "scores eight classes": lambda: scores_figure(MANY),
    "history": lambda: history_figure(history(12), label="hepjax simulation"),
    "history with rate": lambda: history_figure(history(60, falling_rate=True)),
    "history of one epoch": lambda: history_figure(history(1)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_saved_picture_is_a_png_of_the_right_size(name, tmp_path):
    figure = FIGURES[name]()
    save(figure, tmp_path / "picture.png")
    pixels = image.imread(tmp_path / "picture.png")
    width, height = figure.get_size_inches()
    assert pixels.shape[:2] == (round(150 * height), round(150 * width))
    assert pixels[..., :3].std() > 0.02


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_leaves_the_page_or_covers_another(name, assert_legible):
    assert_legible(FIGURES[name]())


def test_roc_curves_are_the_exact_ones_on_a_log_axis():
    figure = roc_figure(FIVE)
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    assert axes.get_xlabel() == "Signal efficiency"
    assert axes.get_ylabel() == "Background efficiency (mistag rate)"
    curves = class_curves(FIVE)
    assert len(axes.lines) == 6  # five classes and the random guess
    for line, name, drawn in zip(axes.lines, curves, "gqWZt", strict=False):
        assert line.get_label() == f"{drawn}   AUC {auc(curves[name]):.3f}"
        points = set(zip(curves[name].tpr, curves[name].fpr, strict=True))
        assert set(zip(*line.get_data(), strict=True)) <= points
    assert len({line.get_color() for line in axes.lines}) == 6
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in axes.lines[:5]}) == 5


def test_a_long_curve_is_thinned_but_keeps_its_ends():
    figure = roc_figure(toy("gq", jets=50_000))
    line = figure.axes[0].lines[0]
    assert 500 < len(line.get_xdata()) <= 2002
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (0, 1)


def test_roc_leaves_out_a_class_without_jets():
    rows = FIVE.labels != 2
    part = Scores(FIVE.scores[rows], FIVE.labels[rows], FIVE.weights[rows], FIVE.classes)
    labels = [line.get_label()[0] for line in roc_figure(part).axes[0].lines]
    assert labels == ["g", "q", "Z", "t", "R"]


def test_roc_needs_two_classes():
    rows = FIVE.labels == 2
    with pytest.raises(InputError, match="two classes or more"):
        roc_figure(Scores(FIVE.scores[rows], FIVE.labels[rows], FIVE.weights[rows], FIVE.classes))


def test_history_shows_losses_best_epoch_and_a_changing_rate():
    rows = history(12, falling_rate=True)
    loss, accuracy, rate = history_figure(rows).axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [row.train_loss for row in rows])
    np.testing.assert_allclose(loss.lines[1].get_ydata(), [row.val_loss for row in rows])
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [row.val_accuracy for row in rows])
    np.testing.assert_allclose(rate.lines[0].get_ydata(), [row.learning_rate for row in rows])
    best = min(rows, key=lambda row: row.val_loss).epoch
    assert loss.lines[2].get_xdata() == [best, best]
    assert f"Best epoch ({best})" in [text.get_text() for text in loss.get_legend().get_texts()]
    assert rate.get_xlabel() == "Epoch"
    assert rate.get_yscale() == "log"
    assert len(history_figure(history(12)).axes) == 2
    unknown = [row._replace(val_accuracy=float("nan")) for row in rows]  # of a task without classes
    assert [axes.get_ylabel() for axes in history_figure(unknown).axes] == ["Loss", "Learning rate"]


def test_history_without_validation_or_with_broken_losses_is_still_drawn(tmp_path):
    rows = [row._replace(val_loss=float("nan"), val_accuracy=float("nan")) for row in history(5)]
    rows[-1] = rows[-1]._replace(train_loss=float("inf"))
    figure = history_figure(rows)
    save(figure, tmp_path / "history.png")
    assert "Best" not in "".join(text.get_text() for text in figure.axes[0].get_legend().get_texts())
    with pytest.raises(InputError, match="history"):
        history_figure([])


def test_confusion_numbers_are_the_matrix_and_readable():
    figure = confusion_figure(FIVE)
    axes = figure.axes[0]
    percent = 100 * normalize_rows(confusion_matrix(FIVE))
    assert [text.get_text() for text in axes.texts] == [f"{value:.1f}" for value in percent.ravel()]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list("gqWZt")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted class", "True class")


def test_numbers_contrast_with_every_cell():
    """WCAG contrast of at least 4.5 between number and cell, from 0 to 100 %."""

    def luminance(color):
        c = np.array(to_rgb(color))
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    for right in range(0, 101, 4):
        p = np.zeros((200, 2))
        labels = np.repeat([0, 1], 100)
        p[np.arange(200), np.where(np.arange(200) % 100 < right, labels, 1 - labels)] = 1
        axes = confusion_figure(Scores(p, labels, np.ones(200), ("a", "b"))).axes[0]
        cells = axes.images[0]
        for text, value in zip(axes.texts, cells.get_array().ravel(), strict=True):
            light, dark = sorted([luminance(text.get_color()), luminance(cells.cmap(cells.norm(value))[:3])])[::-1]
            assert (light + 0.05) / (dark + 0.05) > 4.5, value


def test_score_distributions_add_up_to_one_per_true_class():
    figure = scores_figure(FIVE)
    assert [axes.get_xlabel() for axes in figure.axes] == [*(f"{name} score" for name in "gqWZt"), ""]
    for c, axes in enumerate(figure.axes[:5]):
        assert axes.get_yscale() == "log"
        steps = [patch for patch in axes.patches if not patch.get_fill()]
        assert len(steps) == 5
        for i, patch in enumerate(steps):
            values, edges, _ = patch.get_data()
            assert values.sum() == pytest.approx(1)
            center = (values * (edges[1:] + edges[:-1]) / 2).sum()
            chosen = FIVE.labels == i
            mean = np.average(FIVE.scores[chosen, c], weights=FIVE.weights[chosen])
            assert center == pytest.approx(mean, abs=0.0125)
    assert [text.get_text() for text in figure.axes[5].get_legend().get_texts()] == list("gqWZt")


def test_a_label_stands_only_where_it_is_asked_for():
    assert confusion_figure(FIVE).axes[0].get_title(loc="left") == ""
    assert confusion_figure(FIVE, label="hepjax simulation").axes[0].get_title(loc="left") == "hepjax simulation"


def test_saving_replaces_whole_files_and_leaves_nothing_else(tmp_path, monkeypatch):
    figure = history_figure(history(3))
    target = tmp_path / "history.png"
    save(figure, target)
    before = target.read_bytes()

    def fill_the_disk(path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", fill_the_disk)
    with pytest.raises(InputError, match="No space"):
        save(figure, target)
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_the_same_picture_gives_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        save(history_figure(history(4)), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("suffix, start", [(".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_vector_formats(tmp_path, suffix, start):
    save(history_figure(history(3)), tmp_path / f"history{suffix}")
    assert (tmp_path / f"history{suffix}").read_bytes().startswith(start)


@pytest.mark.parametrize(
    "path, words", [("picture.docx", "found '.docx'"), ("picture", "found ''"), ("absent/a.png", "does not exist")]
)
def test_a_path_that_cannot_be_written_is_named(tmp_path, path, words):
    with pytest.raises(InputError, match=words):
        save(history_figure(history(2)), tmp_path / path)


def test_style_stays_inside():
    before = dict(mpl.rcParams)
    confusion_figure(FIVE)
    assert dict(mpl.rcParams) == before


def test_importing_the_package_loads_neither_matplotlib_nor_jax():
    code = (
        "import sys, hepjax.report; print(sorted({'matplotlib', 'jax', 'jinja2', 'rich', 'mplhep'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
