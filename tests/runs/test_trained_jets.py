"""Jets that were trained on, where a model is measured: refused, warned of, and told by all commands after training."""

from __future__ import annotations

import dataclasses
import json
import logging

import h5py
import numpy as np
import pytest

from hepjax import InputError, models
from hepjax.data.datasets import hls4ml
from hepjax.inputs import jet_hashes, load_subsets, open_files
from hepjax.runs import (
    compare,
    ensembles,
    evaluate,
    options,
    predict,
    report,
    run_folder,
    stored,
    train,
    trained_jets,
)
from hepjax.runs.setup import make_task_pipeline
from hepjax.tasks.classification import Classification

pytestmark = pytest.mark.usefixtures("brief")

MODELS = {
    "observables": models.MLP(hidden=(2,)),
    "particles": models.DeepSets(particles=9, columns=("j1_pt", "j1_etarel")),
    "pixels": models.ConvNet(pixels=8),
}


def examine(*data, model="observables", memory=4.0, val=(), test=(), **several):
    """What a run would find before it trains."""
    experiment = options.Experiment(MODELS[model], **several)
    opened = open_files.open_split_files(data, val=val, test=test)
    pipeline = make_task_pipeline(experiment.model, experiment.task, opened.data.dataset)
    jets = load_subsets.load_subsets(opened, pipeline, Classification().read, seed=0, memory=memory)
    members = ensembles.choose_members(experiment, np.split(np.arange(sum(jets.counts)), np.cumsum(jets.counts[:2])))
    found = trained_jets.examine(experiment, jets, members)
    trained_jets.check(found, opened.sources)
    return found


def change(path, name, rows, values):
    with h5py.File(path, "r+") as file:
        file[name][rows] = values
    return path


def copy_rows(path, source, count):
    """The first jets of another file, with other labels, take the places of the last ones."""
    with h5py.File(path, "r+") as file, h5py.File(source) as other:
        for name in (hls4ml.CONSTITUENTS, hls4ml.JETS):
            file[name][-count:] = other[name][:count]
        flags = file[hls4ml.JETS][-count:]
        flags[:, -6:] = np.roll(flags[:, -6:-1], 1, axis=1)[:, [0, 1, 2, 3, 4, 4]] * [1, 1, 1, 1, 1, 0]
        file[hls4ml.JETS][-count:] = flags
    return path


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("memory", [4.0, 1e-5], ids=["memory", "stream"])
@pytest.mark.parametrize("model", MODELS)
class TestBeforeTraining:
    @pytest.fixture
    def train_file(self, jet_file):
        return jet_file("train.h5", count=100)

    def test_other_jets_are_said_nothing_of(self, train_file, jet_file, model, memory, caplog):
        found = examine(train_file, jet_file("more.h5", count=50, seed=1), model=model, memory=memory)
        assert found.overlaps == {"val": (0, 30), "test": (0, 30)}
        assert not warnings_of(caplog)

    @pytest.mark.parametrize("part", ["val", "test"])
    def test_a_copy_is_refused(self, train_file, jet_file, model, memory, part):
        kind = {"val": "validation", "test": "test"}[part]
        words = (
            rf"copy\.h5, .*rest\.h5: 100 of 125 {kind} jets \(80\.0%\) are training .* or give other jets by --{part}$"
        )
        own = {"val": jet_file("own.h5", count=40, seed=3), "test": jet_file("mine.h5", count=40, seed=4)}
        files = {name: (path,) for name, path in own.items()}
        files[part] = (jet_file("copy.h5", count=100), jet_file("rest.h5", seed=1))
        with pytest.raises(InputError, match=words):
            examine(train_file, **files, model=model, memory=memory)

    def test_some_jets_are_warned_of_once_whatever_their_labels(self, train_file, jet_file, model, memory, caplog):
        test = copy_rows(jet_file("test.h5", count=50, seed=1), train_file, 24)
        with h5py.File(test) as file, h5py.File(train_file) as other:
            assert not (file[hls4ml.JETS][-24:, -6:] == other[hls4ml.JETS][:24, -6:]).all(axis=1).any()
        found = examine(
            train_file, val=(jet_file("val.h5", count=40, seed=2),), test=(test,), model=model, memory=memory
        )
        assert found.overlaps == {"val": (0, 40), "test": (24, 50)}
        (words,) = warnings_of(caplog)
        assert words.startswith("24 of 50 test jets (48.0%) are among the training jets: ")
        metric = {"trained_on": {"test": {"jets": 24, "of": 50, "share": 0.48}}}
        assert trained_jets.metric(found.overlaps) == metric

    def test_half_of_the_jets_are_refused(self, train_file, jet_file, model, memory):
        test = copy_rows(jet_file("test.h5", count=50, seed=1), train_file, 25)
        with pytest.raises(InputError, match=r"test\.h5: 25 of 50 test jets \(50\.0%\)"):
            examine(train_file, val=(jet_file("val.h5", count=40, seed=2),), test=(test,), model=model, memory=memory)

    def test_two_copies_in_one_folder_are_refused(self, tmp_path, jet_file, model, memory):
        (tmp_path / "jets").mkdir()
        for name in "ab":
            jet_file(f"jets/{name}.h5", count=100)
        with pytest.raises(InputError, match=r"jets: \d+ of 40 validation jets .* look for copies of a file"):
            examine(tmp_path / "jets", model=model, memory=memory)

    def test_a_file_whose_rows_repeat_is_refused(self, train_file, model, memory):
        with h5py.File(train_file, "r+") as file:
            for name in (hls4ml.CONSTITUENTS, hls4ml.JETS):
                file[name][50:] = file[name][:50]
        with pytest.raises(InputError, match=r"of 20 validation jets .* rows that repeat"):
            examine(train_file, model=model, memory=memory)

    def test_jets_without_particles_are_said_nothing_of(self, train_file, model, memory, caplog):
        change(train_file, hls4ml.CONSTITUENTS, slice(0, 80), 0)
        with h5py.File(train_file, "r+") as file:
            file[hls4ml.JETS][:80, :-6] = 0
        assert examine(train_file, model=model, memory=memory).overlaps == {"val": (0, 20), "test": (0, 20)}
        assert not [words for words in warnings_of(caplog) if "training jets" in words]


class TestSeveralTrainings:
    """Of 240 jets the last forty are the first forty once more."""

    @pytest.fixture
    def path(self, jet_file):
        path = jet_file(count=240)
        with h5py.File(path, "r+") as file:
            for name in (hls4ml.CONSTITUENTS, hls4ml.JETS):
                file[name][-40:] = file[name][:40]
        return path

    @pytest.mark.parametrize(
        "several", [{}, {"folds": 4}, {"ensemble": 2}, {"rates": (1e-3, 1e-2)}, {"sizes": (50, 144)}], ids=str
    )
    def test_each_is_compared_with_its_own_training_jets(self, path, several, caplog):
        experiment = options.Experiment(**several)
        found = examine(path, **several)
        opened = open_files.open_split_files((path,))
        order = load_subsets.batching.split(len(opened.data), seed=0)
        rows = np.concatenate([np.sort(part) for part in order])
        members = ensembles.choose_members(experiment, np.split(np.arange(240), [144, 192]))
        expected = []
        for member in members:
            train_rows = rows[member.train] % 200
            expected.append(
                {
                    name: (np.isin(rows[getattr(member, name)] % 200, train_rows).sum(), len(getattr(member, name)))
                    for name in ("val", "test")
                }
            )
        assert [one.overlaps for one in found.members] == expected
        whole = {name: [one[name] for one in expected] for name in ("val", "test")}
        combine = (lambda pairs: tuple(map(sum, zip(*pairs, strict=True)))) if "folds" in several else max
        assert found.overlaps == {name: combine(pairs) for name, pairs in whole.items()}
        assert len(warnings_of(caplog)) == 1
        trained = np.unique(np.concatenate([rows[member.train] for member in members]) % 200)
        assert len(found.trained.hashes) == len(trained)
        if "folds" in several:
            assert found.overlaps["test"].of == 240


class TestAfterTraining:
    """Of 200 jets 120 were trained on; of folds, all."""

    @pytest.fixture
    def jets(self, trained_runs):
        return trained_runs("mlp").parent / "jets.h5"

    @pytest.mark.parametrize(
        "name, expected", [("mlp", 120), ("deepsets", 120), ("convnet", 120), ("folds", 200), ("folds/fold-2", 67)]
    )
    def test_evaluation_on_the_training_file_says_so(self, trained_runs, jets, tmp_path, caplog, name, expected):
        folder, _, member = name.partition("/")
        metrics = evaluate.evaluate_model(trained_runs(folder) / member, [jets], tmp_path / "out").metrics
        assert metrics["trained_on"] == {"test": {"jets": expected, "of": 200, "share": expected / 200}}
        assert json.loads((tmp_path / "out" / "metrics.json").read_text())["trained_on"] == metrics["trained_on"]
        words = f"{jets}: {expected} of 200 test jets ({expected / 2:.1f}%) are among the training jets: "
        assert [line.startswith(words) for line in warnings_of(caplog)] == [True]

    def test_other_jets_and_predictions_are_said_nothing_of(self, trained_runs, jets, jet_file, tmp_path, caplog):
        other = jet_file("other.h5", seed=9, count=60)
        assert "trained_on" not in evaluate.evaluate_model(trained_runs("mlp"), [other]).metrics
        predict.predict_files(trained_runs("mlp"), [jets], tmp_path / "p.h5")
        assert "trained_on" not in evaluate.evaluate_model(tmp_path / "p.h5").metrics
        assert not warnings_of(caplog)

    def test_a_file_twice_is_refused(self, trained_runs, jets):
        for measure in (evaluate.evaluate_model, lambda run, files: compare.compare_models([run, run], files)):
            with pytest.raises(InputError, match=r"--data: .*jets\.h5 is there twice; give each file once"):
                measure(trained_runs("mlp"), [jets, jets])

    def test_comparison_says_so_of_each(self, trained_runs, jets, caplog):
        runs = [trained_runs(name) for name in ("mlp", "folds")]
        found = compare.compare_models(runs, [jets])
        assert [each["trained_on"]["test"]["jets"] for each in found.metrics] == [120, 200]
        lines = [line for line in warnings_of(caplog) if "training jets" in line]
        assert [line.split(" of ")[0] for line in lines] == [f"{runs[0]}: 120", f"{runs[1]}: 200"]

    def test_a_run_of_an_older_hepjax_is_said_nothing_of(self, trained_run, jets, caplog):
        folder = trained_run("mlp")
        (folder / trained_jets.FILE).unlink()
        files = json.loads((folder / "experiment.json").read_text())["files"]
        with pytest.raises(InputError, match=r"trained_jets\.msgpack: expected a file, found none"):
            stored.open_run(folder)
        run_folder.change_record(folder, {"files": {k: v for k, v in files.items() if k != trained_jets.FILE}})
        assert "trained_on" not in evaluate.evaluate_model(folder, [jets]).metrics
        assert not warnings_of(caplog)
        again = dataclasses.replace(run_folder.resumable_experiment(folder), epochs=2)
        train.run(again)
        assert stored.open_run(folder).trained.jets == 120

    @pytest.mark.parametrize(
        "changed, words",
        [
            ({"chance": 1.5}, "damaged, it holds no hashes"),
            ({"jets": 1}, "damaged, it holds no hashes"),
            ({"hashes": np.array([2, 1], np.uint64)}, "damaged, it holds no hashes"),
            ({"hashes": np.array([[1], [2]], np.uint64)}, "damaged, it holds no hashes"),
            ({"limit": np.uint64(1)}, "damaged, it holds no hashes"),
            ({"hashes": np.array([0.5])}, "holds another model"),
        ],
        ids=str,
    )
    def test_a_file_that_holds_something_else_is_refused(self, tmp_path, changed, words):
        sound = jet_hashes.TrainedJets(np.array([1, 2], np.uint64), np.uint64(2**64 - 1), 4, 0.5)
        trained_jets.write(tmp_path, sound, "")
        again = trained_jets.read(tmp_path, None)
        np.testing.assert_array_equal(again.hashes, sound.hashes)
        assert again[1:] == sound[1:]
        trained_jets.write(tmp_path, sound._replace(**changed), "")
        with pytest.raises(InputError, match=words):
            trained_jets.read(tmp_path, None)


ENTRY = {"test": {"jets": 6, "of": 60, "share": 0.1}}


@pytest.fixture(scope="module")
def run(tmp_path_factory, write_jets):
    """A run of which a tenth of the test jets were trained on, and what it was asked for."""
    folder = tmp_path_factory.mktemp("some")
    paths = [
        write_jets(folder / f"{name}.h5", count=count, seed=i)
        for i, (name, count) in enumerate({"train": 100, "val": 40, "test": 60}.items())
    ]
    copy_rows(paths[2], paths[0], 6)
    train_files, val, test = ((path,) for path in paths)
    experiment = options.Experiment(
        MODELS["observables"], train_files, val=val, test=test, out=folder / "run", epochs=1, patience=None
    )
    return experiment, train.run(experiment)[1]


class TestRunWithSomeOfThem:
    def test_has_it_in_its_figures_of_merit_and_on_its_page(self, run, caplog):
        experiment, metrics = run
        assert metrics["trained_on"] == ENTRY
        assert json.loads((experiment.out / "metrics.json").read_text())["trained_on"] == ENTRY
        page = report.write_run_page(experiment.out).read_text()
        words = (
            "6 of 60 test jets (10.0%) are among the training jets: figures of merit on them do not hold for new jets."
        )
        assert f'<strong class="badge">Caution</strong> {words}' in page
        assert f"{experiment.out}: {words}" in warnings_of(caplog)

    def test_is_told_when_its_test_part_is_compared(self, run, tmp_path, caplog):
        experiment, _ = run
        evaluate.evaluate_model(experiment.out, experiment.test, tmp_path / "evaluation")
        caplog.clear()
        found = compare.compare_models([experiment.out, tmp_path / "evaluation"])
        assert [each["trained_on"] for each in found.metrics] == [ENTRY] * 2
        assert sum("6 of 60 test jets" in line for line in warnings_of(caplog)) == 2

    def test_goes_on_with_the_same_file(self, run):
        experiment, _ = run
        path = experiment.out / trained_jets.FILE
        before = path.stat().st_mtime_ns
        _, metrics = train.run(dataclasses.replace(experiment, epochs=2, resume=True))
        assert metrics["trained_on"] == ENTRY
        assert path.stat().st_mtime_ns == before


def test_a_page_of_other_runs_has_no_caution(trained_run):
    assert "Caution" not in report.write_run_page(trained_run("mlp")).read_text()
