"""Every experiment trained for an epoch on a few jets; what its docstring claims is measured by test_studies.py."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from hepjax import InputError, evaluation, models, types
from hepjax.data import datasets
from hepjax.data.datasets import hls4ml
from hepjax.inputs import pipelines
from hepjax.models import MODELS
from hepjax.runs import records, run_folder

from .conftest import EXPERIMENTS, NAMES, assert_pictures, load, options_of

FILES = {
    "checkpoints", "experiment.json", "history.csv", "history.jsonl", "log.txt", "metrics.json", "split.npz", "test.h5",
    "history.png", "trained_jets.msgpack",
}  # fmt: skip
PICTURES = {
    "anomaly": {"roc.png", "scores.png"},
    "classification": {"confusion.png", "roc.png", "scores.png"},
    "generation": {"distances.png", "generated.h5", "spectra.png"},
    "regression": {"predicted_against_true.png", "pulls.png", "resolution_j_mass.png", "response.png"},
}
RUN = FILES | PICTURES["classification"]
SMALL = {
    "anomaly_detection": (
        {"epochs": 1, "anomalies": ("w", "t"), "contamination": (0.1,)},
        {"figures.json", "table.md", "roc_0.1.png", "contamination.png", "runs_0.1"},
    ),
    "bias_variance": ({"fits": 8, "degrees": (1, 3)}, {"decomposition.png"}),
    "circle_or_ring": ({"sets": 100, "epochs": 1}, {"points.png"}),
    "convnet_tagger": ({"epochs": 1, "pixels": 8, "rotate": True}, RUN | {"images.png"}),
    "decorrelated_tagger": (
        {"epochs": 1, "correlation": (10.0,), "adversary": (1.0,)},
        {
            "adversary-1",
            "distance-correlation-10",
            "figures.json",
            "plain",
            "trade_off_50.png",
            "trade_off_80.png",
        },
    ),
    "dense_tagger": ({"epochs": 1}, RUN),
    "energy_scale": ({"epochs": 1}, {"adversary", "distance-correlation", "figures.json", "plain", "shifted-jets"}),
    "generate_observables": (
        {"epochs": 1, "classes": ("q", "t")},
        {"figures.json", "table.md", "distances.png", "spectra.png", "flow"},
    ),
    "generate_particles": (
        {"epochs": 1, "particles": 4, "layers": 1, "classes": ("q", "t")},
        {"figures.json", "table.md", "distances.png", "run"},
    ),
    "groom_by_learning": ({"steps": 20}, {"figures.json", "table.md", "masses.png"}),
    "jedinet": ({"epochs": 1}, RUN),
    "jet_structure": (
        {"epochs": 1, "starts": 2, "components": (2,)},
        {"figures.json", "learned-features.png", "observables.png", "tagger"},
    ),
    "knn_graph_tagger": (
        {"epochs": 1, "neighbors": (2,), "particles": 6},
        {"2-neighbors", "2-neighbors.png", "all-neighbors", "all-neighbors.png"},
    ),
    "linear_regression": ({"points": 50}, {"curves.png"}),
    "logistic_signal_background": ({}, {"boundary.png"}),
    "mass_regression": ({"epochs": 1}, FILES | PICTURES["regression"]),
    "recurrent_tagger": ({"epochs": 1, "units": (4,), "particles": 6, "bidirectional": True}, RUN),
    "transient_search": ({"epochs": 1, "steps": 2, "segments": 64}, {"chirp.png", "detections.png", "table.md"}),
}
"""Name → options that make it small, and what it leaves in its folder."""
FEWER = {
    "anomaly_detection": ("KINDS", "dense, observables"),
    "generate_observables": ("MODELS", "flow"),
    "groom_by_learning": ("REWARDS", "w"),
    "transient_search": ("NETWORKS", "ConvNet"),
}
"""Where one of several networks or agents is enough: name → the table of these, and the one to keep."""
CHANCE = evaluation.Distance(0.5, 0.1)
GIVEN = {
    "generate_observables": ("experiments_generate_observables.two_sample_auc", lambda *_, **__: CHANCE),
    "generate_particles": ("experiments_generate_particles.two_clouds_auc", lambda *_, **__: CHANCE),
}
"""What takes long and has tests of its own: name → a function, and what stands in for it."""
ELSEWHERE = {
    "compare_taggers": "a test of its own",
    "distill": "a test of its own",
    "jetclass": "a test of its own",
    "pretrain_finetune": "a test of its own",
    "quark_gluon": "a test of its own",
    "top_tagging": "a test of its own",
    "hls4ml_mlp": "test_studies.py, for it needs hls4ml",
    "oracle": "test_studies.py, for it needs the published parameters",
}


def refuse(word):
    pytest.fail(f"{word} in a file of figures")


def test_every_experiment_is_run():
    assert sorted({**SMALL, **ELSEWHERE}) == NAMES


@pytest.mark.parametrize("name", SMALL)
def test_each_trains_for_an_epoch_and_leaves_its_results(name, few_jets, tmp_path, monkeypatch, brief, capsys):
    module = load(name)
    if name in FEWER:
        table, key = FEWER[name]
        monkeypatch.setattr(module, table, {key: getattr(module, table)[key]})
    if name in GIVEN:
        monkeypatch.setattr(*GIVEN[name])
    changes, expected = SMALL[name]
    kind, jets = options_of(module), "pair" if "classes" in changes else "few"
    for field in dataclasses.fields(kind):
        if field.name in ("data", "test"):
            changes = changes | {field.name: (few_jets / f"{jets}-{field.name}.h5",)}
    out = tmp_path / "a" / "b"
    assert module.run(kind(**changes, out=out))
    assert {path.name for path in out.iterdir()} == expected
    assert_pictures(out, *(file for file in expected if file.endswith(".png")))
    for path in out.rglob("*.json"):
        assert json.loads(path.read_text(), parse_constant=refuse)
    for folder in (path.parent for path in out.rglob("experiment.json")):
        task = run_folder.read_experiment(folder)[1]["experiment"]["task"]["name"]
        assert {path.name for path in folder.iterdir()} >= FILES | PICTURES[task]
        assert len(records.read_history(folder / "history.csv")) == 1
    for path in out.glob("*.md"):
        assert re.search(r"^\|( :?-+:? \|)+$", path.read_text(), re.MULTILINE)


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


@pytest.mark.parametrize("name", sorted({*NAMES} - {"oracle"}))  # which goes on where it stopped
def test_each_refuses_a_folder_that_exists_before_any_work(name, tmp_path, monkeypatch):
    module = load(name)
    monkeypatch.setattr("hepjax.training.make_train_step", lambda *_: pytest.fail("it started to train"))
    with pytest.raises(InputError, match="exists already"):
        module.run(options_of(module)(out=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_linear_regression_measures_the_distance_to_the_closed_form():
    """A curve that is off by 0.1 everywhere is told to be."""
    module = load("linear_regression")
    data = module.measure(50, np.random.default_rng(0))
    slope, offset = np.polyfit(np.asarray(data.inputs)[:, 0], np.asarray(data.targets)[:, 0], 1)

    def off(x):
        return np.concatenate([slope * x + offset + 0.1, np.zeros_like(x)], axis=1)

    assert module.compare(off, 1, data, data)[2] == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize("form,parameters", [("hls4ml", 4_389), ("jedi-net-dense", 14_725)])
def test_dense_tagger_has_its_published_size(form, parameters):
    module = load("dense_tagger")
    widths = (16, *module.FORMS[module.Form(form)].hidden, 5)
    assert sum(a * b + b for a, b in itertools.pairwise(widths)) == parameters


def test_convnet_tagger_draws_what_the_network_sees():
    module = load("convnet_tagger")
    plain, turned = (module.draw(module.ConvnetTagger(rotate=turn, flip=turn)) for turn in (False, True))

    def up_against_right(figure):
        """How far the mean W jet reaches along the vertical axis, over the horizontal one."""
        image = next(axes for axes in figure.axes if axes.get_title(loc="right") == "W").images[0].get_array().filled(0)
        place = np.arange(len(image)) - (len(image) - 1) / 2
        return (image.sum(axis=1) @ place**2) / (image.sum(axis=0) @ place**2)

    assert up_against_right(plain) == pytest.approx(1, abs=0.15)
    assert up_against_right(turned) > 2


# Counted by hand: 32 → 50 → 25 → 12 for edges, 28 → 50 → 25 → 6 for nodes, 30 · 6 → 50 → 25 → 5.
@pytest.mark.parametrize("form,parameters", [("30", 16_573), ("100", 33_625), ("150-sum", 8_481)])
def test_jedinet_has_its_published_size(form, parameters):
    module = load("jedinet")
    pipeline = pipelines.make_pipeline(module.FORMS[module.Form(f"published-{form}")], 5, hls4ml.HLS4ML)
    params, _ = jax.eval_shape(lambda key: pipelines.initialize_from_example(pipeline, key), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == parameters


def test_jedinet_wants_files_with_the_particles_of_its_form(tmp_path):
    module = load("jedinet")
    with pytest.raises(InputError, match="30 slots"):
        module.run(module.JediNet(form=module.Form.PUBLISHED_50, out=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_knn_graph_tagger_draws_the_edges():
    module = load("knn_graph_tagger")
    options = module.KnnGraphTagger(particles=10)
    titles = [module.draw(k, options).axes[0].get_title(loc="right") for k in (3, None)]
    assert titles == ["10 particles, 30 edges", "10 particles, 90 edges"]


def test_compare_taggers_tells_what_each_was_measured_at(tmp_path, brief):
    module = load("compare_taggers")
    chosen = (module.Network["mlp"], module.Classical["trees"])
    options = module.CompareTaggers(networks=chosen, epochs=1, out=tmp_path / "new")
    table = module.run(options)
    assert (tmp_path / "new" / "table.md").read_text() == table
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert [len(row) for row in rows] == [len(header)] * (2 + 5)
    assert [row[0] for row in rows[:2]] == ["trees", "mlp"]  # what needs scikit-learn comes first
    metrics = records.read_json(tmp_path / "new" / "mlp" / "metrics.json")
    aucs = [figures["auc"] for figures in metrics["classes"].values()]
    for cell, auc in zip(rows[1][1:7], [*aucs, np.mean(aucs)], strict=True):
        assert float(cell.split("(")[0]) == pytest.approx(auc, abs=6e-4)
    assert int(rows[1][7].replace(",", "")) > 1000
    assert_pictures(tmp_path / "new", "roc.png")


def test_top_tagging_has_networks_and_trees_in_one_table(tmp_path, few_jets, brief):
    module = load("top_tagging")
    chosen = module.TopTagging((few_jets / "pair-data.h5",), ("mlp", "trees"), folds=3, epochs=1, out=tmp_path / "out")
    table = module.run(chosen)
    figures = json.loads((chosen.out / "figures.json").read_text())
    assert (chosen.out / "table.md").read_text() == table
    assert figures["trees"]["classes"]["t"]["auc"] > 0.8
    assert figures["mlp"]["jets"] == figures["trees"]["jets"]
    for name in chosen.networks:
        assert re.search(rf"^\| {name} \| 0\.\d+ \| 0\.\d+ ± 0\.\d+ \|", table, re.MULTILINE)


def test_quark_gluon_states_the_inputs_beside_every_figure(tmp_path, brief):
    """Gluon jets have more particles here, and quark jets more photons."""
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    held = np.arange(12) < 6 + 4 * (1 - labels[:, None]) + rng.integers(0, 3, (80, 1))
    ids = np.where(rng.random((80, 12)) < 0.2 + 0.6 * labels[:, None], 22, rng.choice([211, -211, 130], (80, 12)))
    pt, eta, phi = rng.uniform(1, 90, (80, 12)), rng.normal(0, 0.1, (80, 12)), rng.normal(3, 0.1, (80, 12))
    jets = np.stack([pt, eta, phi, ids], axis=-1) * held[..., None]
    np.savez(tmp_path / "QG_jets.npz", X=jets, y=1.0 * labels)
    module = load("quark_gluon")
    chosen = module.QuarkGluon((tmp_path / "QG_jets.npz",), folds=3, epochs=1, particles=8, out=tmp_path / "out")
    table = module.run(chosen)
    assert (chosen.out / "table.md").read_text() == table
    for columns, count in (("jetclass_kin", 7), ("jetclass_kinpid", 13)):
        assert re.search(rf"^\| deepsets \| {columns} \| 0\.\d+ \| 0\.\d+ ± 0\.\d+ \|", table, re.MULTILINE)
        seen = run_folder.read_experiment(chosen.out / f"deepsets-{columns}")[0].model
        assert (len(seen.columns), seen.particles) == (count, 8)


def test_distill_teaches_as_many_as_it_leaves_alone(tmp_path, few_jets, brief):
    module = load("distill")
    chosen = module.Distill((few_jets / "few-data.h5",), students=2, epochs=1, out=tmp_path / "out")
    table = module.run(chosen)
    assert (chosen.out / "table.md").read_text() == table
    figures = json.loads((chosen.out / "figures.json").read_text())
    assert [len(each) for each in figures.values()] == [1, 2, 2]
    gain = np.mean(figures["taught"], axis=0) - np.mean(figures["alone"], axis=0)
    assert f"| gain | {gain[0]:+.4f} ± " in table
    runs = {name: run_folder.read_experiment(chosen.out / name)[0] for name in ("taught", "alone")}
    assert runs["taught"].task.teacher == (chosen.out / "teacher").resolve()
    assert runs["alone"].task.teacher is None


def test_pretrain_finetune_starts_from_weights_of_others(tmp_path, few_jets, brief):
    """A file of a tiny ParticleNet of ten classes stands for the released one."""
    net = models.ParticleNet(blocks=(4,), hidden=(4,), outputs=10, columns=("jetclass_kin",), particles=6)
    pipeline = pipelines.make_pipeline(net, 10, datasets.get("jetclass"))
    params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    scaling, file = pipelines.blank_scaling(pipeline), tmp_path / "net.pt"
    file.write_bytes(models.pretrained.weaver_file("particle-net", pipeline.network, params, state, scaling))
    module, common = load("pretrain_finetune"), {"folds": 3, "epochs": 1, "particles": 6, "out": tmp_path / "out"}
    with pytest.raises(InputError, match=r"--weights .*none\.pt: no such file"):
        module.run(module.PretrainFinetune(tmp_path / "none.pt", **common))
    table = module.run(module.PretrainFinetune(file, (few_jets / "pair-data.h5",), **common))
    assert (tmp_path / "out" / "table.md").read_text() == table
    assert re.search(r"^\| gain \| [+-]0\.\d+ ± 0\.\d+ \|$", table, re.MULTILINE)
    runs = [run_folder.read_experiment(tmp_path / "out" / name)[0] for name in ("fine-tuned", "from-scratch")]
    assert runs[0].start_from == (tmp_path / "out" / "pre-trained").resolve()
    assert runs[1].start_from is None
    assert runs[0].model == runs[1].model


REFERENCE = EXPERIMENTS.parents[1] / "shared" / "reference"
REAL_JETS = REFERENCE / "real_jets" / "jetclass_500.npz"


@pytest.mark.skipif(not REAL_JETS.is_file(), reason="the real jets of JetClass are not there")
def test_jetclass_trains_on_real_jets(tmp_path, brief):
    module = load("jetclass")
    chosen = module.JetClass((REAL_JETS,), folds=3, epochs=1, batch_size=32, out=tmp_path / "out")
    table = module.run(chosen)
    assert (chosen.out / "table.md").read_text() == table
    figures = json.loads((chosen.out / "figures.json").read_text())["deepsets"]
    assert list(figures) == ["accuracy", "auc", *module.EFFICIENCIES]
    assert 0.3 < figures["auc"] < 1
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {13}


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published scores are not there")
def test_jetclass_has_the_figures_that_were_published_of_published_scores():
    """By scikit-learn, of what ParticleNet's published weights say of 500 jets."""
    with np.load(REFERENCE / "particlenet" / "kin_jetclass_500.npz") as file, np.load(REAL_JETS) as jets:
        p = np.asarray(jax.nn.softmax(file["logits"], axis=1))
        found = load("jetclass").judge(types.Scores(p, file["labels"], None, tuple(map(str, jets["classes"]))))
    assert found["accuracy"] == pytest.approx(0.718)
    assert found["auc"] == pytest.approx(0.9570, abs=5e-5)


def test_compare_taggers_without_scikit_learn_ends_before_any_training(tmp_path, monkeypatch):
    module = load("compare_taggers")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setattr("hepjax.training.make_train_step", lambda *_: pytest.fail("it started to train"))
    with pytest.raises(InputError, match=r"needs scikit-learn; pip install 'hepjax\[trees\]'"):
        module.run(module.CompareTaggers(out=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_the_published_rows_have_the_mean_that_they_say():
    module = load("compare_taggers")
    rows = [line.strip("|").split("|") for line in module.TABLE.format("").splitlines() if "published" in line]
    for row in rows:
        assert float(row[6]) == pytest.approx(np.mean([float(cell) for cell in row[1:6]]), abs=6e-4)


def test_every_model_of_the_command_line_that_sees_more_than_a_line_is_compared():
    module = load("compare_taggers")
    names = {network.name for network in module.Network}
    assert names == {name for name in MODELS.names() if not MODELS.get(name).serves} - {"linear", "logistic"}


def test_place_size_and_number_do_not_tell_circles_from_rings():
    module = load("circle_or_ring")
    (values, mask), targets, *_ = module.draw_sets(20_000, np.random.default_rng(0))
    number = mask.sum(axis=1)
    center = values.sum(axis=1) / number[:, None]
    size = (((values - center[:, None]) ** 2).sum(axis=2) * mask).sum(axis=1) / (number - 1)
    for quantity in (number, *center.T, size):
        assert evaluation.auc(evaluation.roc_curve(quantity, targets)) == pytest.approx(0.5, abs=0.03)


def test_generate_particles_wants_classes_that_are_there(tmp_path):
    module = load("generate_particles")
    with pytest.raises(InputError, match="classes: h is not in the files, which hold g, q, w, z, t"):
        module.run(module.GenerateParticles(classes=("q", "h"), out=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_generated_observables_need_their_classes(tmp_path):
    module = load("generate_observables")
    with pytest.raises(InputError, match="h is not in the files, which hold g, q, w, z, t"):
        module.run(module.GenerateObservables(classes=("q", "h"), out=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "given, words",
    [
        ({"background": ("g", "b")}, "--background: .* has no class b; there are g, q, w, z, t"),
        ({"anomalies": ("h",)}, "--anomalies: .* has no class h"),
        ({"contamination": (0.0, 0.5)}, "--contamination: expected 0 or a share from 0.001 to 0.1, found 0.5"),
        ({"anomalies": ("q", "t")}, "--anomalies: expected classes other than the background's, g, q, found q, t"),
    ],
)
def test_anomaly_detection_refuses_what_it_cannot_learn_before_it_starts(tmp_path, given, words):
    module = load("anomaly_detection")
    with pytest.raises(InputError, match=words):
        module.run(module.AnomalyDetection(**given, out=tmp_path / "new"))
    assert not (tmp_path / "new").exists()
