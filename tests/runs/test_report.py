"""The page of a run, from its folder alone and from its jets."""

from __future__ import annotations

import re
import shutil

import h5py
import pytest

from hepjax import InputError, models
from hepjax.data.datasets import hls4ml
from hepjax.runs import options, records, report, run_folder, train

FEW = {"epochs": 1, "batch_size": 64, "patience": None}
EXPECTED = {
    "mlp": ["Permutation importance", "Which observables the last hidden layer"],
    "logistic": ["Permutation importance"],
    "deepsets": ["Permutation importance", "Which particles of one t jet speak for t", "the last hidden layer"],
    "interaction-network": ["Which particles of one t jet", "edges, neighbors or attention", "the last hidden layer"],
    "graph-network": ["Which particles of one t jet", "edges, neighbors or attention", "the last hidden layer"],
    "convnet": ["Permutation importance", "Which pixels speak for the true class", "the last hidden layer"],
}


def headings(page):
    return [re.sub("<[^>]+>", "", words) for words in re.findall(r"<h2[^>]*>(.*?)</h2>", page)]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A run on the sample that comes with hepjax."""
    folder = tmp_path_factory.mktemp("runs") / "mlp"
    train.run(options.Experiment(models.MLP(hidden=(8,)), out=folder, epochs=2))
    return folder


def test_a_page_tells_the_whole_run(sample, drawn):
    seen = []
    page = report.write_run_page(sample, show=seen.append)
    assert page == sample / "report.html"
    text = page.read_text()
    assert len(text) < 5e6
    for title in (
        "Summary",
        "Figures of merit",
        "ROC curves",
        "Confusion",
        "Working points",
        "Calibration",
        "History",
        "Rejection and significance",
        "Efficiency and mistag rate in bins",
        "Mass sculpting",
        "Jets",
        "What the network looks at",
        "How to repeat it",
    ):
        assert title in headings(text), title
    assert seen == [title for title in headings(text) if title in set(seen)]
    metrics = records.read_json(sample / "metrics.json")
    assert f"{metrics['classes']['t']['auc']:.4f}" in text
    assert str(run_folder.read_experiment(sample)[1]["fingerprint"]) in text


@pytest.mark.parametrize("name", EXPECTED)
def test_what_the_network_looks_at(name, trained_runs, tmp_path):
    text = report.write_run_page(trained_runs(name), tmp_path / "page.html").read_text()
    assert "What the network looks at" in headings(text)
    for words in EXPECTED[name]:
        assert words in text, words
    assert not (trained_runs(name) / "report.html").exists()


def test_one_column_and_jets_without_particles_draw_no_plane(jet_file, tmp_path):
    path = jet_file(count=150)
    with h5py.File(path, "r+") as file:
        file[hls4ml.CONSTITUENTS][::4] = 0
    for name, columns in (("one", ("j1_pt",)), ("two", ("j1_pt", "j1_etarel"))):
        model = models.DeepSets(particle=(3,), hidden=(), particles=12, columns=columns)
        train.run(options.Experiment(model, (path,), out=tmp_path / name, **FEW))
        text = report.write_run_page(tmp_path / name).read_text()
        assert ("Which particles of one t jet" in text) == (name == "two")


@pytest.mark.parametrize(
    "name, title",
    [("folds", "What the network looks at"), ("ensemble", "Bias and variance"), ("sizes", "Learning curve")],
)
def test_many_trainings(name, title, trained_runs, tmp_path):
    text = report.write_run_page(trained_runs(name), tmp_path / "page.html").read_text()
    assert title in headings(text)
    assert ("of fold-1" in text) == (name == "folds")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, write_jets):
    """A folder of a run, and of jets that no other run was trained on."""
    folder = tmp_path_factory.mktemp("gone")
    model = models.MLP(hidden=(4,), features=("j_pt", "j_mass", "j_zlogz"))
    path = write_jets(folder / "jets.h5", count=150)
    train.run(options.Experiment(model, (path,), out=folder / "run", **FEW))
    return folder


class TestJetsAreGone:
    @pytest.fixture
    def run(self, trained, tmp_path, write_jets):
        """A copy of the run, and its jets, which a test may change."""
        shutil.copytree(trained / "run", tmp_path / "run")
        yield tmp_path / "run", trained / "jets.h5"
        write_jets(trained / "jets.h5", count=150)

    def test_files_are_missing(self, run, caplog):
        folder, path = run
        path.unlink()
        text = report.write_run_page(folder).read_text()
        assert "What the network looks at" not in headings(text)
        assert "the jets could not be read" in text
        assert "no such file" in caplog.text

    def test_other_jets_have_taken_their_place(self, run, write_jets):
        folder, path = run
        with h5py.File(path, "r+") as file:
            file[hls4ml.JETS][:, -6:] = file[hls4ml.JETS][:, -6:][::-1]
        assert "other jets than when it was tested" in report.write_run_page(folder).read_text()
        write_jets(path, count=20)
        assert "fewer jets than when it was tested" in report.write_run_page(folder).read_text()

    def test_a_folder_of_an_older_hepjax(self, run, caplog):
        folder, _ = run
        (folder / "test.h5").unlink()
        with pytest.raises(InputError, match=r"test\.h5: expected a file, found none"):
            report.write_run_page(folder)
        run_folder.change_record(folder, {"format": 1, "identity": None, "files": None})
        text = report.write_run_page(folder).read_text()
        assert "ROC curves" not in headings(text)
        assert "Figures of merit" in headings(text)
        assert "from an older hepjax" in caplog.text


def test_a_run_that_has_not_ended_has_no_page(sample, tmp_path):
    shutil.copytree(sample, tmp_path / "run")
    run_folder.change_record(tmp_path / "run", {"files": None})
    with pytest.raises(InputError, match="its training has not ended"):
        report.write_run_page(tmp_path / "run")
    with pytest.raises(InputError, match="cannot be written"):
        report.write_run_page(sample, tmp_path / "none" / "page.html")
