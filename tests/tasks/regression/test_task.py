"""Regression as a task: its options, its targets, and what is refused."""

from __future__ import annotations

import dataclasses

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError, load, models, read_jets, tasks
from hepjax.choices import RegressionLoss
from hepjax.data import datasets
from hepjax.data.datasets import hls4ml
from hepjax.runs import evaluate, options, predict, predictions, records, train
from hepjax.tasks import Predictions
from hepjax.tasks.regression import Regression, merit_figures
from hepjax.tasks.regression.predictions import gaussian_mixture_moments, predictions_in_units
from hepjax.training import losses

HLS4ML = datasets.get("hls4ml")
FEW = {"epochs": 2, "batch_size": 64, "patience": None}


@pytest.fixture
def file(jet_file):
    return lambda name="jets.h5", **columns: change(jet_file(name, count=120), **columns)


def change(path, **columns):
    with h5py.File(path, "r+") as opened:
        for name, values in columns.items():
            opened[hls4ml.JETS][:, hls4ml.JET_COLUMNS.index(name)] = values
    return path


SMALL = models.MLP(hidden=(4,))


def run(path, out, model=SMALL, **changes):
    task = Regression(**{"target": ("j_mass",)} | changes)
    return train.run(options.Experiment(model, (path,), task=task, out=out, **FEW))


class TestOptions:
    @pytest.mark.parametrize(
        "changes, words",
        [
            ({"target": ()}, "--target: expected one jet column or more"),
            ({"target": ("j_mass", "j_mass")}, "--target: expected different columns"),
            ({"huber_delta": 0.0}, "--huber-delta: expected more than 0"),
            ({"quantiles": (0.5, 0.1)}, "--quantiles: expected rising levels"),
            ({"quantiles": (0.1, 0.9)}, "--quantiles: expected .* 0.5 among them"),
            ({"quantiles": (0.0, 0.5)}, "--quantiles: expected rising levels between 0 and 1"),
        ],
    )
    def test_refused(self, changes, words, tmp_path):
        task = Regression(**{"target": ("j_mass",)} | changes)
        with pytest.raises(InputError, match=words):
            train.run(options.Experiment(models.MLP(), task=task, out=tmp_path / "run"))

    def test_come_back_from_json(self):
        task = Regression(target=("j_mass", "j_pt"), loss=RegressionLoss.QUANTILES, quantiles=(0.1, 0.5))
        assert tasks.from_json(tasks.to_json(task)) == task

    @pytest.mark.parametrize(
        "loss, outputs, columns",
        [
            (RegressionLoss.SQUARED_ERROR, 2, ("j_mass", "j_pt")),
            (RegressionLoss.HUBER, 2, ("j_mass", "j_pt")),
            (RegressionLoss.GAUSSIAN, 4, ("j_mass", "j_pt", "j_mass_width", "j_pt_width")),
            (RegressionLoss.QUANTILES, 4, ("j_mass_q0.1", "j_mass_q0.5", "j_pt_q0.1", "j_pt_q0.5")),
        ],
    )
    def test_columns_of_each_loss(self, loss, outputs, columns):
        task = Regression(target=("j_mass", "j_pt"), loss=loss, quantiles=(0.1, 0.5))
        assert (task.outputs(HLS4ML), task.columns(HLS4ML)) == (outputs, columns)


class TestTargets:
    def test_are_read_by_name_or_role(self):
        jets = read_jets()
        by_name, by_role = (Regression(target=(name,)).read(jets, slice(5)) for name in ("j_mass", "jet_mass"))
        np.testing.assert_array_equal(by_name, by_role)
        assert (by_name.shape, by_name.dtype) == ((5, 1), np.float32)

    def test_are_no_inputs_by_default(self, file, tmp_path):
        run(file(), tmp_path / "run", target=("j_mass_mmdt", "j_zlogz"))
        model = load(tmp_path / "run")
        assert set(model.columns) == {*HLS4ML.features} - {"j_mass_mmdt", "j_zlogz"}

    @pytest.mark.parametrize("name", ["j_mass", "jet_mass"])
    def test_are_refused_as_inputs(self, file, tmp_path, name):
        with pytest.raises(InputError, match=f"--features: {name} is a target of --target"):
            run(file(), tmp_path / "run", models.MLP(features=("j_pt", name)))
        assert not (tmp_path / "run").exists()

    def test_column_that_files_lack(self, file, tmp_path):
        with pytest.raises(InputError, match=r"jets\.h5: --target: the jets have no j_mas; did you mean .*j_mass"):
            run(file(), tmp_path / "run", target=("j_mas",))

    def test_label_column(self, file, tmp_path):
        with pytest.raises(InputError, match=r"jets\.h5: --target: the jets have no j_g"):
            run(file(), tmp_path / "run", target=("j_g",))

    def test_constant(self, file, tmp_path):
        with pytest.raises(InputError, match=r"jets\.h5: column j_mass, a target, is 80 in all jets of the train part"):
            run(file(j_mass=80), tmp_path / "run")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, file, tmp_path, value):
        masses = np.arange(120.0)
        masses[7] = value
        with pytest.raises(InputError, match=r"jets\.h5: .*j_mass.*remove those jets"):
            run(file(j_mass=masses), tmp_path / "run")
        assert not (tmp_path / "run").exists()
        with pytest.raises(InputError, match="jets: column j_mass, a target, is not finite in 1 of 120 jets"):
            Regression(target=("j_mass",)).check_targets({"test": masses[:, None]}, ("j_mass",), "jets")

    @pytest.mark.parametrize("part", ["train", "val", "test"])
    def test_absurd_targets_are_refused(self, part):
        parts = {name: np.linspace(1, 200, 100, dtype=np.float32)[:, None] for name in ("train", "val", "test")}
        Regression(target=("j_mass",)).check_targets(parts, ("j_mass",), "jets")
        parts[part][7] = 1e11
        with pytest.raises(InputError, match=f"j_mass, a target, is 1e.11 in a jet of the {part} part, far outside"):
            Regression(target=("j_mass",)).check_targets(parts, ("j_mass",), "jets")

    def test_jets_without_the_target_can_be_predicted(self, file, jet_file, tmp_path):
        run(file(), tmp_path / "run", models.DeepSets(particle=(3,), hidden=(), particles=8))
        kept = [i for i, name in enumerate(hls4ml.JET_COLUMNS) if name != "j_mass"]
        with h5py.File(file("whole.h5")) as opened:
            changes = {hls4ml.JETS: opened[hls4ml.JETS][:, kept]}
        names = np.array(hls4ml.JET_COLUMNS, "S")[kept]
        bare = jet_file("bare.h5", count=120, **changes, **{hls4ml.JET_NAMES: names})
        predict.predict_files(tmp_path / "run", [bare], tmp_path / "p.h5")
        assert predictions.read_predictions(tmp_path / "p.h5").targets is None
        with pytest.raises(InputError, match=r"bare\.h5: no targets, so nothing can be measured"):
            evaluate.evaluate_model(tmp_path / "run", [bare])
        with pytest.raises(InputError, match="no j_mass, so nothing can be measured"):
            evaluate.evaluate_model(tmp_path / "p.h5")

    def test_unlabeled_jets_can_be_learned_from(self, jet_file, tmp_path):
        with h5py.File(jet_file(count=120)) as opened:
            changes = {name: opened[name][..., :53] for name in (hls4ml.JETS, hls4ml.JET_NAMES)}
        _, metrics = run(jet_file("unlabeled.h5", count=120, **changes), tmp_path / "run")
        assert metrics["test_jets"] == 24
        assert load(tmp_path / "run").classes == ()


class TestScaling:
    def test_statistics_are_those_of_the_training_part(self, file, tmp_path):
        path = file(j_mass=80 + 20 * np.random.default_rng(0).normal(size=120))
        out, _ = run(path, tmp_path / "run")
        jets, (network,) = read_jets(path), load(out).networks
        train_rows = np.load(out / "split.npz")["train"]
        masses = np.asarray(jets.observables)[train_rows, jets.observable_names.index("j_mass")]
        assert network.statistics["mean"] == pytest.approx(masses.mean(), rel=1e-5)
        assert network.statistics["width"] == pytest.approx(masses.std(), rel=1e-4)

    def test_each_fold_has_its_own(self, file, tmp_path):
        task = Regression(target=("j_mass",))
        path = file(j_mass=80 + 20 * np.random.default_rng(0).normal(size=120))
        out, _ = train.run(options.Experiment(SMALL, (path,), task=task, out=tmp_path / "run", folds=3, **FEW))
        means = [float(network.statistics["mean"][0]) for network in load(out).networks]
        assert len(set(means)) == 3
        values = np.asarray(read_jets(path).observables)[:, hls4ml.OBSERVABLE_COLUMNS.index("j_mass")]
        rows = np.load(out / "fold-1" / "split.npz")["train"]
        assert means[0] == pytest.approx(values[rows].mean(), rel=1e-5)

    @pytest.mark.parametrize("loss", RegressionLoss)
    def test_losses_scale_with_the_targets(self, loss, rng):
        """What is minimized, and in scaled units what is predicted, does not depend on the targets' unit."""
        task = Regression(target=("a", "b"), loss=loss)
        y = rng.normal(5, 3, size=(50, 2)).astype(np.float32)
        outputs, w = rng.normal(size=(50, task.outputs(HLS4ML))).astype(np.float32), np.ones(50, np.float32)
        values = []
        for unit in (1.0, 1000.0):
            statistics = task.statistics(unit * y, w)
            value = task.mean_loss(jnp.array(outputs), jnp.array(unit * y), jnp.array(w), statistics)
            values.append((value, task.predict(jnp.array(outputs), statistics) / unit))
        np.testing.assert_allclose(values[0][0], values[1][0], rtol=1e-4)
        np.testing.assert_allclose(values[0][1], values[1][1], rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("loss", RegressionLoss)
    def test_numpy_losses_are_those_that_train(self, loss, rng):
        """Of targets whose mean is 0 and whose spread is 1, the measured loss is the trained one."""
        task = Regression(target=("a",), loss=loss)
        y = rng.normal(size=(400, 1))
        y = ((y - y.mean()) / y.std()).astype(np.float32)
        statistics = {"mean": np.zeros(1, np.float32), "width": np.ones(1, np.float32)}
        outputs = jnp.array(np.sort(rng.normal(size=(400, task.outputs(HLS4ML))), axis=1), jnp.float32)
        trained = task.mean_loss(outputs, jnp.array(y), jnp.ones(400), statistics)
        if loss is RegressionLoss.SQUARED_ERROR:
            np.testing.assert_allclose(trained, losses.mean_squared_error(outputs, jnp.array(y)), rtol=1e-6)
        values = np.asarray(task.predict(outputs, statistics))
        measured = task.evaluate(Predictions(values, y, task.columns(HLS4ML)))["loss"]
        assert measured == pytest.approx(float(trained), rel=1e-4)


class TestPredictions:
    def test_quantiles_never_cross(self, rng):
        statistics = {"mean": jnp.array([1.0, 2.0]), "width": jnp.array([3.0, 4.0])}
        outputs = jnp.array(rng.normal(size=(30, 10)))
        values = np.asarray(predictions_in_units(outputs, statistics, RegressionLoss.QUANTILES, 5)).reshape(30, 2, 5)
        assert (np.diff(values, axis=-1) >= 0).all()
        expected = np.sort(np.asarray(outputs).reshape(30, 2, 5), axis=-1)
        np.testing.assert_allclose(values[:, 1], 2 + 4 * expected[:, 1], rtol=1e-5)

    def test_mixture_has_the_moments_of_its_members(self, rng):
        members = np.concatenate([rng.normal(size=(3, 1, 1)), rng.uniform(0.5, 2, size=(3, 1, 1))], axis=2)
        ((mean, width),) = gaussian_mixture_moments(members)
        drawn = np.concatenate([rng.normal(m, w, 400_000) for (m, w) in members[:, 0]])
        assert mean == pytest.approx(drawn.mean(), abs=0.01)
        assert width == pytest.approx(drawn.std(), rel=0.01)

    def test_in_bins_are_the_truth_and_observables_but_the_target(self, rng):
        truth = rng.uniform(50, 150, size=(500, 1)).astype(np.float32)
        observables = {"j_mass": truth[:, 0], "j_pt": rng.uniform(900, 1100, 500).astype(np.float32)}
        task = Regression(target=("j_mass",))
        known = Predictions(1.1 * truth, truth, ("j_mass",), observables=observables)
        bins = task.evaluate(known)["in_bins"]["j_mass"]
        assert bins["relative"]
        assert list(bins["observables"]) == ["true j_mass", "j_pt"]
        np.testing.assert_allclose(bins["observables"]["j_pt"]["bias"], 0.1, atol=1e-5)
        assert sum(bins["observables"]["true j_mass"]["jets"]) == 500

    def test_pictures_of_each_loss(self, rng):
        truth = rng.uniform(50, 150, size=(100, 1))
        pictures = {"response.png", "predicted_against_true.png", "resolution_j_mass.png"}
        for loss, values, more in (
            (RegressionLoss.HUBER, truth, set()),
            (RegressionLoss.GAUSSIAN, np.c_[truth, np.ones(100)], {"pulls.png"}),
            (RegressionLoss.QUANTILES, truth + np.array([-1, 0, 1]), {"coverage.png"}),
        ):
            task = Regression(target=("j_mass",), loss=loss)
            assert set(task.pictures(Predictions(values, truth, task.columns(HLS4ML)))) == pictures | more


def test_weights_are_those_of_jets(rng):
    """A jet of weight 0 is a jet that is not there."""
    truth = rng.uniform(50, 150, size=(300, 1))
    known = Predictions(truth + rng.normal(size=(300, 1)), truth, ("j_mass",))
    task = Regression(target=("j_mass",))
    weights = np.r_[np.zeros(100), np.full(200, 2.0)]
    whole, part = task.evaluate(known._replace(weights=weights)), task.evaluate(known.take(slice(100, None)))
    for name, value in part["targets"]["j_mass"].items():
        assert whole["targets"]["j_mass"][name] == pytest.approx(value), name


def test_calibration_is_refused(file, tmp_path):
    out, _ = run(file(), tmp_path / "run")
    with pytest.raises(InputError, match="--calibrated: only class probabilities can be calibrated"):
        load(out, calibrated=True)


def test_runs_of_other_targets_are_not_compared(file, tmp_path):
    from hepjax.runs import compare

    path = file()
    for name in ("j_mass", "j_pt"):
        run(path, tmp_path / name, target=(name,))
    with pytest.raises(InputError, match=r"j_mass: predicts j_pt, not j_mass; compare models that predict"):
        compare.compare_models([tmp_path / "j_mass", tmp_path / "j_pt"])
    same = compare.compare_models([tmp_path / "j_mass", tmp_path / "j_mass"])
    assert same.differences[0]["loss"].value == 0
    assert same.task.comparison_table(["a", "b"], same.metrics, same.differences, same.jets).row_count == 3


def test_history_has_no_accuracy(file, tmp_path):
    out, _ = run(file(), tmp_path / "run")
    assert all(np.isnan(row.val_accuracy) for row in records.read_history(out / "history.csv"))
    assert "val accuracy" not in (out / "log.txt").read_text()


def test_figures_need_targets():
    task = Regression(target=("j_mass",))
    with pytest.raises(InputError, match="no j_mass, so nothing can be measured"):
        merit_figures.regression_estimates(task, Predictions(np.ones((3, 1)), None, ("j_mass",)))


def test_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Regression(target=("j_mass",)).target = ()
