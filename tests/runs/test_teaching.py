"""Trainings with a teacher: every jet has its predictions, whatever teacher, student and memory."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import hepjax
from hepjax import InputError
from hepjax.cli import app, parsing
from hepjax.inputs import load_subsets, open_files, pipelines
from hepjax.models import MLP
from hepjax.runs import stored, taggers, teaching, train
from hepjax.tasks.classification import Classification

pytestmark = pytest.mark.usefixtures("brief")
FEW = ("--epochs", "1", "--batch-size", "64", "--patience", "None", "--hidden", "4", "--features", "j_pt", "j_mass")


@pytest.fixture
def taught(trained_runs, tmp_path):
    """A function that trains a small student, and opens its run."""

    def run(teacher, *words, out="student"):
        jets = trained_runs("deepsets").parent / "jets.h5"
        command = ["train", "mlp", *FEW, "--data", str(jets), "--teacher", str(teacher), "--out", str(tmp_path / out)]
        train.run(parsing.parse([*command, *words]))
        return stored.open_run(tmp_path / out)

    return run


@pytest.mark.parametrize("memory", [4.0, 1e-6])
@pytest.mark.parametrize("name", ["deepsets", "ensemble"])
def test_each_jet_has_the_predictions_of_its_own_row(trained_runs, name, memory):
    """In memory and streamed, from a teacher that sees other inputs than the student."""
    task, folder = Classification(teacher=trained_runs(name)), trained_runs("deepsets").parent
    opened, teacher = open_files.open_split_files([folder / "jets.h5"]), teaching.open_teacher(task)
    pipeline = pipelines.make_pipeline(MLP(features=("j_pt",)), 5, opened.data.dataset)
    jets = load_subsets.load_subsets(opened, pipeline, task.read, seed=0, memory=memory)
    jets = teaching.attach_predictions(teacher, jets, task, folds=False)
    expected = taggers.load(trained_runs(name))(opened.data[:])
    for subset in jets[:3]:
        assert (subset.data is None) == (memory < 1)
        seen = []
        for places, batch in subset.blocks([3]):
            np.testing.assert_allclose(batch.taught, expected[subset.rows[places]], rtol=1e-4, atol=1e-6)
            seen += places.tolist()
        assert sorted(seen) == list(range(len(subset.rows)))


def test_columns_are_put_into_the_order_of_the_jets_classes(trained_runs):
    task, folder = Classification(teacher=trained_runs("mlp")), trained_runs("deepsets").parent
    opened, teacher = open_files.open_split_files([folder / "jets.h5"]), teaching.open_teacher(task)
    plain, outputs = teacher.predictor, teacher.predictor.outputs[::-1]

    class Turned(type(plain)):
        pass

    turned = Turned(**{**vars(plain), "outputs": outputs, "predict": lambda inputs: plain.predict(inputs)[:, ::-1]})
    jets = load_subsets.load_subsets(
        opened, pipelines.make_pipeline(MLP(), 5, opened.data.dataset), task.read, seed=0, memory=4.0
    )
    both = [
        teaching.attach_predictions(teacher._replace(predictor=each), jets, task, folds=False).train.data.taught
        for each in (plain, turned)
    ]
    np.testing.assert_array_equal(*both)


def test_folds_ensembles_and_a_resume(trained_runs, taught):
    teacher = trained_runs("deepsets")
    for option, number in (("--folds", "3"), ("--ensemble", "2")):
        assert len(taught(teacher, option, number, out=option[2:]).members) == int(number)
    run = taught(teacher, "--teacher-share", "0.9")
    assert run.experiment.task == Classification(teacher=teacher, teacher_share=0.9)
    assert run.record["teacher"]["folder"] == str(teacher)
    train.run(parsing.parse(["train", "--resume", "--out", str(run.folder), "--epochs", "2"]))
    whole, found = taught(teacher, "--teacher-share", "0.9", "--epochs", "2", out="whole"), stored.open_run(run.folder)
    assert found.history[1][:4] == whole.history[1][:4]


def test_streamed_jets_are_taught_the_same(trained_runs, taught):
    losses = [taught(trained_runs("mlp"), "--memory", m, out=f"m{m}").history[0].val_loss for m in ("4", "1e-6")]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_a_student_of_nothing_but_its_teacher_comes_to_predict_as_it_does(trained_runs, tmp_path):
    """Labels count nothing here: what is learned is the teacher."""
    jets = hepjax.read_jets([trained_runs("deepsets").parent / "jets.h5"])
    task = Classification(teacher=trained_runs("mlp"), teacher_share=1.0, teacher_temperature=1.0)
    model = MLP(hidden=(8,), features=("j_pt", "j_mass", "j_zlogz"))
    options = {"epochs": 60, "batch_size": 30, "learning_rate": 0.03, "show": None, "out": tmp_path / "student"}
    student, teacher = hepjax.train(model, jets, task=task, **options), hepjax.load(trained_runs("mlp"))
    expected, plain = teacher(jets[:]), np.full(5, 0.2)
    far = np.abs(expected - plain).mean()
    assert np.abs(student(jets[:]) - expected).mean() < 0.3 * far


def test_an_exported_file_teaches(trained_run, taught, tmp_path):
    app.main(["export", str(trained_run("mlp")), "--out", str(tmp_path / "mlp.onnx")])
    run = taught(tmp_path / "mlp.onnx")
    assert run.record["teacher"]["folder"].endswith("mlp.onnx")


@pytest.mark.parametrize(
    "words, message",
    [
        (("--teacher-temperature", "0"), "--teacher-temperature: expected more than 0"),
        (("--teacher-share", "1.5"), "--teacher-share: expected 0 to 1"),
        (
            ("--insensitive.to", "j_mass", "--insensitive.by", "adversary"),
            "--teacher: expected none where an adversary",
        ),
    ],
)
def test_options_that_make_no_sense(trained_runs, taught, words, message):
    with pytest.raises(InputError, match=message):
        taught(trained_runs("mlp"), *words)


def test_teachers_that_cannot_teach(trained_run, taught, other_file, tmp_path):
    pair = other_file("pair.h5", classes=("qcd", "top"), observables=("j_pt", "j_mass"))
    folder = trained_run("mlp")
    with pytest.raises(InputError, match=r"classes are g, q, w, z, t, those of the jets qcd, top; name a teacher"):
        taught(folder, "--data", str(pair))
    with pytest.raises(InputError, match=r"--teacher .*nowhere: .*no such folder or file"):
        taught(tmp_path / "nowhere")
    (tmp_path / "net.pt").write_bytes(b"cposix\nsystem\n(S'touch hacked'\ntR.")
    with pytest.raises(InputError, match=r"--teacher .*net.pt: "):
        taught(tmp_path / "net.pt")
    other = ("--task", "regression", "--target", "j_mass", "--out", str(tmp_path / "regression"))
    train.run(parsing.parse(["train", "linear", "--features", "j_pt", "--epochs", "1", *other]))
    with pytest.raises(InputError, match="has learned regression, expected classification"):
        taught(tmp_path / "regression")
    assert not (tmp_path / "student").exists()


def test_a_teacher_that_has_changed_ends_the_training(trained_run, taught):
    run = taught(teacher := trained_run("mlp"))
    shutil.rmtree(teacher)
    shutil.copytree(run.folder, teacher)
    with pytest.raises(InputError, match="is not the one that the run began with"):
        train.run(parsing.parse(["train", "--resume", "--out", str(run.folder), "--epochs", "2"]))


def test_a_teacher_that_has_seen_the_jets_to_test_on_is_told(trained_runs, taught, caplog):
    taught(trained_runs("mlp"), "--seed", "5")
    assert "the teacher" in caplog.text
    assert "are among the training jets" in caplog.text


def test_distance_correlation_goes_with_a_teacher(trained_runs, taught):
    plain = taught(trained_runs("mlp"), out="plain").history[0].val_loss
    both = taught(trained_runs("mlp"), "--insensitive.to", "j_mass", "--insensitive.strength", "5", out="both")
    assert both.history[0].val_loss > plain
