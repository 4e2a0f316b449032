"""Trainings that start from a trained network: what they take over, keep, and refuse."""

from __future__ import annotations

import json
import logging
import shutil

import chex
import jax
import numpy as np
import pytest

import hepjax
from hepjax import InputError
from hepjax.cli import parsing
from hepjax.models import MLP
from hepjax.runs import records, run_folder, stored, train

pytestmark = pytest.mark.usefixtures("brief")
HEAD = "['MLP_0']['Dense_1']"
FEW = ("--epochs", "1", "--batch-size", "64", "--patience", "None")


@pytest.fixture
def before(trained_runs):
    return trained_runs("deepsets")


@pytest.fixture
def jets(before):
    return str(before.parent / "jets.h5")


@pytest.fixture
def tuned(before, jets, tmp_path):
    """A function that trains from the trained deepsets, and opens the new run."""

    def run(*words, out="new", start=before):
        command = ["train", *FEW, "--from", str(start), "--data", jets, "--out", str(tmp_path / out)]
        name, words = (words[:1], words[1:]) if words and not words[0].startswith("-") else ((), words)
        command = ["train", *name, *command[1:], *words]
        train.run(parsing.parse(command))
        return stored.open_run(tmp_path / out)

    return run


def flat(network):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(network.params)}


def test_a_frozen_body_predicts_another_thing(before, tuned):
    run, known = tuned("--task", "regression", "--target", "j_mass", "--body-rate", "0"), stored.open_run(before)
    assert run.experiment.model == known.experiment.model
    old, new = flat(known.network), flat(run.network)
    same = {name for name in old if old[name].shape == new[name].shape and (old[name] == new[name]).all()}
    assert {name for name in old if name.startswith(HEAD)} == old.keys() - same
    chex.assert_trees_all_equal(run.network.scaling, known.network.scaling)
    assert run.record["start_from"]["sha256"] == records.checksum(before / stored.BEST)


def test_the_same_classes_keep_their_head(before, tuned, caplog):
    """Before the first step both are one network; trained with a rate of nearly nothing they still are."""
    caplog.set_level(logging.INFO, logger="hepjax")
    slow = ("--optimizer.learning-rate", "1e-12")
    run = tuned(*slow)
    chex.assert_trees_all_close(run.network.params, stored.open_run(before).network.params, atol=1e-7)
    assert "6 of its arrays, its head" in caplog.text
    anew = flat(tuned(*slow, "--new-head", out="anew").network)
    changed = [name for name, leaf in flat(run.network).items() if not np.allclose(anew[name], leaf, atol=1e-5)]
    assert changed == [f"{HEAD}['bias']", f"{HEAD}['kernel']"]


def test_folds_and_ensembles_all_start_from_it(before, tuned):
    known, slow = stored.open_run(before).network, ("--optimizer.learning-rate", "1e-12", "--new-head")
    for option, count in (("--folds", 3), ("--ensemble", 2)):
        run = tuned(*slow, option, str(count), out=option[2:])
        networks = [member.network for member in run.members]
        assert len(networks) == count
        for network in networks:
            chex.assert_trees_all_close(network.params["Dense_0"], known.params["Dense_0"], atol=1e-7)
            chex.assert_trees_all_equal(network.scaling, known.scaling)
        heads = [network.params["MLP_0"]["Dense_1"]["kernel"] for network in networks]
        assert not np.allclose(heads[0], heads[1])
        assert run.members[1].record["start_from"] == run.record["start_from"]


def test_it_goes_on_and_wants_the_same_start(before, tuned, tmp_path):
    copy = shutil.copytree(before, tmp_path / "before")
    run = tuned("--body-rate", "0.1", start=copy)
    again = ["train", "--resume", "--out", str(run.folder), "--epochs", "2"]
    train.run(parsing.parse(again))
    found = stored.open_run(run.folder)
    assert (len(found.history), found.experiment.body_rate) == (2, 0.1)
    whole = tuned("--body-rate", "0.1", "--epochs", "2", start=copy, out="whole")
    chex.assert_trees_all_equal(found.network.params, whole.network.params)
    shutil.rmtree(copy)
    shutil.copytree(run.folder, copy)
    with pytest.raises(InputError, match="its network is not the one that the run began with"):
        train.run(parsing.parse([*again[:-1], "3"]))
    shutil.rmtree(copy)
    with pytest.raises(InputError, match=r"no experiment\.json"):
        train.run(parsing.parse([*again[:-1], "3"]))


def test_another_width_is_named_in_one_line_and_drawn_anew(tuned, caplog):
    run = tuned("deepsets", "--particle", "3", "--hidden", "4")
    (line,) = [each.message for each in caplog.records if "do not fit" in each.message]
    assert line.count("\n") == 0
    assert "MLP_0/Dense_0/kernel (3, 4), not (3, 3)" in line
    assert "MLP_0/Dense_1/kernel (4, 5), not (3, 5)" in line
    assert run.experiment.model.hidden == (4,)


def test_other_inputs_are_scaled_anew(before, tuned, caplog):
    run = tuned("--columns", "j1_pt", "j1_etarel")
    assert "which are scaled anew" in caplog.text
    assert "Dense_0/kernel (2, 3), not (3, 3)" in caplog.text
    assert run.network.scaling.mean.shape == (2,)
    kept = tuned("--columns", "j1_pt", "j1_etarel", "j1_e", out="renamed")
    assert "in their places and with their scaling" in caplog.text
    chex.assert_trees_all_equal(kept.network.scaling, stored.open_run(before).network.scaling)


def test_python(before, jets, tmp_path):
    tagger = hepjax.train(jets=[jets], start_from=str(before), body_rate=0, epochs=1, show=None, out=tmp_path / "run")
    assert tagger.pipeline.network.particle == (3,)
    named = hepjax.train("deepsets", [jets], start_from=before, epochs=1, show=None, out=tmp_path / "named")
    assert named.pipeline.network == tagger.pipeline.network
    with pytest.raises(InputError, match="has a deepsets, the model to train is a mlp; train a deepsets"):
        hepjax.train(MLP(), [jets], start_from=before, show=None, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (("mlp",), "has a deepsets, the model to train is a mlp"),
        (
            ("deepsets", "--particle", "7", "--hidden", "9", "--new-head"),
            "nothing of its network fits: .*Dense_0/kernel",
        ),
        (("--body-rate", "-1"), "--body-rate: expected 0 or more"),
        (("--body-rate", "nan"), "--body-rate: expected 0 or more"),
    ],
)
def test_what_fits_not_at_all_is_refused_before_any_work(tuned, tmp_path, words, message):
    with pytest.raises(InputError, match=message):
        tuned(*words)
    assert list(tmp_path.iterdir()) == []


def test_several_networks_are_no_start(trained_runs, tuned):
    with pytest.raises(InputError, match=r"has 3 networks; name the folder of one: .*folds/fold-1"):
        tuned(start=trained_runs("folds"))


def test_no_run_to_start_from(jets, tmp_path):
    for path in (tmp_path / "nowhere", tmp_path / "file.pt"):
        (tmp_path / "file.pt").write_bytes(b"cposix\nsystem\n(S'touch hacked'\ntR.")
        with pytest.raises(InputError, match=r"not the folder of a run, it has no experiment\.json"):
            parsing.parse(["train", "--from", str(path), "--data", jets])
    assert not (tmp_path / "hacked").exists()
    for words, option in ((("--body-rate", "0.1"), "--body-rate"), (("--new-head",), "--new-head")):
        with pytest.raises(InputError, match=f"{option}: expected .* without --from"):
            train.run(parsing.parse(["train", "mlp", *words, "--out", str(tmp_path / "run")]))


def test_a_changed_record_is_noticed(tuned):
    run = tuned()
    record = json.loads((run.folder / "experiment.json").read_text())
    record["start_from"]["sha256"] = "0" * 64
    (run.folder / "experiment.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="was changed since it was written"):
        run_folder.read_experiment(run.folder)
