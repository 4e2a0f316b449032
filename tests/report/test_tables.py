from __future__ import annotations

import io
import math

import numpy as np
import pytest
from rich.console import Console

from hepjax.evaluation import figures_of_merit
from hepjax.report import epoch_line, metrics_table
from hepjax.types import Epoch, Scores


def printed(table, width=80):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return console.file.getvalue()


@pytest.fixture
def metrics(rng):
    labels = rng.integers(0, 5, 120_000)
    logits = rng.normal(size=(labels.size, 5))
    logits[np.arange(labels.size), labels] += 2.2
    p = np.exp(logits)
    return figures_of_merit(Scores(p / p.sum(1, keepdims=True), labels, np.ones(labels.size), tuple("gqwzt")))


def test_every_number_stands_in_its_class_row_within_80_columns(metrics):
    lines = printed(metrics_table(metrics)).splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split() for line in lines if line.split() and line.split()[0] in set("gqWZt")}
    assert list(rows) == list("gqWZt")
    for name, row in rows.items():
        found = metrics["classes"][name.lower()]
        expected = [f"{metrics['jets'][name.lower()]:,}"]
        expected += [f"{found[key]:.4f}" for key in ("auc", "tpr_at_fpr_0.1", "tpr_at_fpr_0.01")]
        expected += [f"{found[f'background_rejection_at_{efficiency}']:,.1f}" for efficiency in (0.3, 0.5, 0.8)]
        assert row[1:] == expected
    assert f"accuracy {metrics['accuracy']:.4f}, loss {metrics['loss']:.4f}, 120,000 jets" in " ".join(lines)


def test_uncertainties_and_bounds_stand_with_their_numbers():
    found = {
        "accuracy": 0.75,
        "loss": 0.6,
        "jets": {"w": 10},
        "classes": {"w": {"auc": 0.95, "background_rejection_at_0.3": None, "background_rejection_at_0.5": 80.0}},
        "bounds": {"w": {"background_rejection_at_0.3": 75.25}},
        "intervals": {
            "accuracy": [0.74, 0.77],
            "loss": None,
            "classes": {"w": {"auc": [0.94, 0.962], "background_rejection_at_0.5": [70.0, 100.0]}},
        },
    }
    text = printed(metrics_table(found))
    for words in ("> 75.2", "±0.0110", "±15.0", "accuracy 0.7500 ± 0.0150, loss 0.6000,", "too few background"):
        assert words in " ".join(text.split()), words
    several = printed(metrics_table(found | {"spread": {"accuracy": 0.5, "classes": {"w": {"auc": 0.25}}}}))
    assert "±0.2500" in several
    assert "standard deviation of one training" in " ".join(several.split())


def test_numbers_that_do_not_exist_are_dashes():
    found = {"accuracy": None, "loss": math.nan, "classes": {"z": {"auc": None}}}
    text = printed(metrics_table(found))
    assert "Z" in text
    assert text.count("–") == 8  # noqa: RUF001
    assert "None" not in text
    assert "nan" not in text


def test_an_epoch_is_one_line():
    line = epoch_line(Epoch(7, 0.9123, 0.9345, 0.6789, 1e-3, 1.26, 12345.6), 100)
    assert line.startswith("epoch   7/100  ")
    for part in ("train loss 0.9123", "val loss 0.9345", "val accuracy 0.6789", "1.0e-03", "1.3 s", "12,346 jets/s"):
        assert part in line
    assert "\n" not in line


def test_an_epoch_without_validation_says_nothing_of_it():
    line = epoch_line(Epoch(1, 0.9, math.nan, math.nan, 1e-3, 1.0, 1e5), 5)
    assert "val" not in line
    assert "nan" not in line
