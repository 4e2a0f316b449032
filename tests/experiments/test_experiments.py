"""Every experiment, run small: what its docstring claims must hold."""

import dataclasses
import importlib.util
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hepjax import InputError, evaluation, read_jets
from hepjax.batches import split
from hepjax.representations import tabular

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAMES = sorted(path.stem for path in EXPERIMENTS.glob("*.py"))


def load(name):
    spec = importlib.util.spec_from_file_location(f"experiments_{name}", EXPERIMENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look annotations up
    spec.loader.exec_module(module)
    return module


def options_of(module):
    """The one class of options, which all experiments have."""
    (found,) = [x for x in vars(module).values() if dataclasses.is_dataclass(x) and x.__module__ == module.__name__]
    return found


def assert_pictures(folder, *names):
    for name in names:
        assert (folder / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert {path.name for path in folder.glob("*.png")} == set(names)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_short_frozen_and_says_how_to_run_it_and_what_to_expect(name):
    source = (EXPERIMENTS / f"{name}.py").read_text()
    module = load(name)
    options = options_of(module)
    assert len(source.splitlines()) < 100
    assert f"python experiments/{name}.py" in module.__doc__
    assert "Expected in" in module.__doc__
    with pytest.raises(dataclasses.FrozenInstanceError):
        options().seed = 1
    assert options().out == Path("runs") / name.replace("_", "-")


@pytest.mark.parametrize("name", NAMES)
def test_each_refuses_a_folder_that_exists_before_any_work(name, tmp_path, monkeypatch):
    module = load(name)
    monkeypatch.setattr("hepjax.training.make_train_step", lambda *_: pytest.fail("it started to train"))
    with pytest.raises(InputError, match="exists already"):
        module.run(options_of(module)(out=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_linear_regression_finds_the_closed_form(tmp_path):
    module = load("linear_regression")
    found = module.run(module.LinearRegression(points=300, seed=3, out=tmp_path / "a" / "b"))
    line, polynomial, learned = (np.array(found[name]) for name in ("line", "polynomial", "learned width"))
    assert max(line[2], polynomial[2], learned[2]) < 1e-4
    assert polynomial[0] < 0.6 * line[0]  # the mean squared error of the curve
    assert abs(learned[0] / polynomial[0] - 1) < 0.1
    assert learned[1] < polynomial[1] - 0.05 < line[1] - 0.2  # -ln L per point
    assert_pictures(tmp_path / "a" / "b", "curves.png")


def test_linear_regression_measures_the_distance_to_the_closed_form():
    """A curve that is off by 0.1 everywhere is told to be."""
    module = load("linear_regression")
    data = module.measure(50, np.random.default_rng(0))
    slope, offset = np.polyfit(np.asarray(data.inputs)[:, 0], np.asarray(data.targets)[:, 0], 1)

    def off(x):
        return np.concatenate([slope * x + offset + 0.1, np.zeros_like(x)], axis=1)

    assert module.compare(off, 1, data, data)[2] == pytest.approx(0.1, abs=1e-5)


def test_linear_regression_learns_the_width(tmp_path):
    module = load("linear_regression")
    data = module.measure(5000, np.random.default_rng(1))
    curve = module.fit(module.models.Linear(2, 5), data, module.jax.random.key(0))
    x = np.linspace(-0.9, 0.9, 7, dtype=np.float32)[:, None]
    np.testing.assert_allclose(np.exp(curve(x)[:, 1:] / 2), 0.3 + 0.2 * x, rtol=0.1)


def test_logistic_regression_agrees_with_scikit_learn_and_goes_around_the_signal(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    module = load("logistic_signal_background")
    found = module.run(module.SignalBackground(out=tmp_path / "new"))
    jets = read_jets()
    x, labels = tabular(jets, ("j_mass_mmdt", "j_multiplicity")), np.asarray(jets.labels)
    wanted = np.isin(labels, [jets.classes.index(c) for c in "wqt"])
    x, signal = x[wanted], labels[wanted] == jets.classes.index("w")
    rows = split(len(x), seed=0, fractions=(0.6, 0.0, 0.4))
    for degree in (1, 2):
        oracle = make_pipeline(
            StandardScaler(),
            PolynomialFeatures(degree, include_bias=False),
            LogisticRegression(C=1e6, class_weight="balanced", max_iter=10_000),
        ).fit(x[rows.train], signal[rows.train])
        expected = evaluation.auc(evaluation.roc_curve(oracle.decision_function(x[rows.test]), signal[rows.test]))
        assert evaluation.auc(found[f"boundary of degree {degree}"]) == pytest.approx(expected, abs=1e-3)
    straight, curved = (evaluation.auc(found[f"boundary of degree {degree}"]) for degree in (1, 2))
    assert straight == pytest.approx(0.67, abs=0.03)
    assert curved == pytest.approx(0.85, abs=0.03)
    assert_pictures(tmp_path / "new", "boundary.png")


@pytest.mark.parametrize("form,parameters", [("hls4ml", 4_389), ("jedi-net-dense", 14_725)])
def test_dense_tagger_has_its_published_size(form, parameters):
    module = load("dense_tagger")
    widths = (16, *module.FORMS[module.Form(form)].hidden, 5)
    assert sum(a * b + b for a, b in itertools.pairwise(widths)) == parameters


def test_dense_tagger_tags(tmp_path):
    module = load("dense_tagger")
    metrics = module.run(module.DenseTagger(form=module.Form.JEDI_NET_DENSE, epochs=4, out=tmp_path / "new"))
    assert metrics["accuracy"] > 0.55
    assert min(found["auc"] for found in metrics["classes"].values()) > 0.75
    assert_pictures(tmp_path / "new", "roc.png", "history.png", "confusion.png", "scores.png")
    record = json.loads((tmp_path / "new" / "experiment.json").read_text())["experiment"]
    assert record["model"]["hidden"] == [80, 80, 80]
    assert (record["model"]["activation"], record["model"]["dropout"]) == ("elu", 0.1)


def test_bias_and_variance_add_up_and_are_those_of_least_squares(tmp_path):
    module = load("bias_variance")
    options = module.BiasVariance(fits=400, degrees=(1, 4), seed=5, out=tmp_path / "new")
    found = module.run(options)
    grid, truth = module.GRID[:, 0], module.TRUTH[:, 0]
    rows = np.linspace(0, len(grid) - 1, options.points).round().astype(int)
    for degree, (noise, bias_squared, variance, measured, uncertainty) in found.items():
        assert abs(measured - (noise + bias_squared + variance)) < 4 * uncertainty
        assert uncertainty < 0.03 * measured
        assert variance > 4 * uncertainty  # so that the sum would fail without it
        basis = np.vander(grid, degree + 1)
        hat = basis @ np.linalg.pinv(basis[rows])  # the points → the fit on the grid
        assert noise == pytest.approx(0.09)
        assert bias_squared == pytest.approx(((hat @ truth[rows] - truth) ** 2).mean(), abs=0.003)
        assert variance == pytest.approx(0.09 * (hat**2).sum(axis=1).mean(), rel=0.2)
    assert found[1][1] > 100 * abs(found[4][1])  # a line is biased
    assert found[4][2] > 1.5 * found[1][2]  # a rich model scatters
    assert_pictures(tmp_path / "new", "decomposition.png")


def test_the_error_that_bias_and_variance_explain_is_measured_on_new_points():
    module = load("bias_variance")
    options = module.BiasVariance(fits=400, points=len(module.GRID))
    noise, bias_squared, variance, measured, uncertainty = module.take_apart(4, options)
    assert abs(measured - (noise + bias_squared + variance)) < 3 * uncertainty
    # On its own points a fit with p parameters looks better by 2 σ² p / n: that would be noticed.
    assert 2 * 0.09 * 5 / options.points > 6 * uncertainty
