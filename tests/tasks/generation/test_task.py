"""The task `generation` in the drivers: flows and autoencoders of observables."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from scipy.special import logsumexp

from hepjax import InputError, load, read_jets
from hepjax.choices import Content, Precision, Role
from hepjax.data import datasets
from hepjax.data.datasets import hls4ml
from hepjax.inputs import load_subsets, tabular
from hepjax.models import MLP, CouplingFlow, VariationalAutoencoder
from hepjax.runs import options, predict, predictions, report, train
from hepjax.tasks import generation
from hepjax.tasks.generation import Generation, device, flows, merit_figures

CLASSES = ("t", "q")
row_uniforms = jax.jit(device.row_uniforms, static_argnums=2)
ANGLES = {Role.ETA: "j1_eta", Role.PHI: "j1_phi"}


def make(model, out, **changes):
    settings = {"epochs": 1, "batch_size": 256, "patience": None, "task": Generation(classes=CLASSES)}
    return options.Experiment(model=model, out=out, **(settings | changes))


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    out = tmp_path_factory.mktemp("flow") / "run"
    return train.run(make(CouplingFlow(layers=2, hidden=(8,)), out))


@pytest.fixture(scope="module")
def sample():
    jets = read_jets()
    labels = generation.choose_classes(jets.labels, jets.classes, CLASSES)
    return tabular(jets)[labels >= 0], labels[labels >= 0]


@pytest.fixture
def unread(monkeypatch):
    """Jets that must not be read, only opened."""
    monkeypatch.setattr(load_subsets, "_read_process_share", lambda *_, **__: pytest.fail("jets were read"))


def test_arrays_prepare_as_the_preparation_does(sample):
    x, labels = sample
    y = generation.to_coordinates(x).astype(np.float32)
    arrays = device.fit_preparation_arrays(y, labels, CLASSES)
    blank = device.blank_preparation_arrays(2)
    assert {name: array.shape for name, array in arrays.items()} == {name: a.shape for name, a in blank.items()}
    uniform = row_uniforms(y, labels, 25)
    z = np.asarray(jax.jit(device.prepare_rows)(arrays, y, labels, uniform))
    for c in (0, 1):
        np.testing.assert_allclose(z[labels == c].mean(axis=0), 0, atol=0.1)
        np.testing.assert_allclose(np.cov(z[labels == c].T), np.eye(12), atol=0.15)
    preparation = device.preparation_of_arrays(arrays, CLASSES)
    np.testing.assert_allclose(generation.restore_observables(preparation, z, labels), x, rtol=2e-3, atol=2e-3)


def test_random_numbers_of_a_jet_do_not_depend_on_its_batch():
    values, labels = np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(4)
    whole = row_uniforms(values, labels, 5)
    np.testing.assert_array_equal(row_uniforms(values[2:], labels[2:], 5), whole[2:])
    assert len(np.unique(np.asarray(whole))) == whole.size


def test_run_keeps_jets_and_figures(flow):
    out, metrics = flow
    jets, test = read_jets(out / "generated.h5"), predictions.read_predictions(out / "test.h5")
    assert {"spectra.png", "distances.png"} <= {path.name for path in out.iterdir()}
    assert jets.classes == CLASSES
    assert len(jets) == metrics["test_jets"] == len(test.values)
    np.testing.assert_array_equal(jets.labels, test.targets[:, 0])
    np.testing.assert_array_equal(jets.observables[:, 0], test.additions["j_zlogz"])
    assert set(metrics["distances"]) == {"all", *CLASSES}
    assert set(metrics["distances"]["all"]) == set(hls4ml.STANDARD_FEATURES)
    low, high = metrics["intervals"]["loss"]
    assert low < metrics["loss"] < high
    assert json.loads((out / "experiment.json").read_text())["outputs"] == ["nll"]
    assert "Generated jets" in report.write_run_page(out, out.parent / "page.html").read_text()


def test_an_early_flow_is_its_baseline_and_makes_jets_of_each_class(flow, sample):
    """How well a longer training learns, its experiment tests."""
    out, metrics = flow
    assert all(row["ratio"] < 4 for row in metrics["distances"]["all"].values())
    tagger = load(out)
    kinds = np.repeat(CLASSES, [300, 200])
    made = generation.generate(tagger, kinds, 5)
    assert made.shape == (500, len(hls4ml.STANDARD_FEATURES))
    assert np.isfinite(made).all()
    assert (made[:, 15] == np.round(made[:, 15])).all()
    assert np.median(made[kinds == "t", 14]) > 2 * np.median(made[kinds == "q", 14])
    x, labels = sample
    for c, name in enumerate(CLASSES):
        assert (made[kinds == name] <= x[labels == c].max(axis=0) * 1.0001 + 1e-6).all()
    np.testing.assert_array_equal(made, generation.generate(tagger, kinds, 5))
    assert (made != generation.generate(tagger, kinds, 6)).any(axis=1).all()


def test_predict_gives_minus_ln_p_and_nothing_of_other_classes(flow, tmp_path):
    out, _ = flow
    predict.predict_files(out, [], tmp_path / "nll.h5")
    nll = predictions.read_predictions(tmp_path / "nll.h5")
    learned = np.isin(read_jets().labels, [hls4ml.CLASSES.index(name) for name in CLASSES])
    assert nll.columns == ("nll",)
    np.testing.assert_array_equal(np.isfinite(nll.values[:, 0]), learned)


def test_an_autoencoder_has_a_bound_but_no_density(tmp_path):
    model = VariationalAutoencoder(hidden=(16,), latent=3)
    out, metrics = train.run(make(model, tmp_path / "run", ensemble=2))
    assert predictions.read_predictions(out / "test.h5").columns == ("nll",)
    assert 17 < metrics["loss"] < 40
    jets = read_jets()[:50]
    members = np.stack([load(out / f"model-{i}")(jets) for i in (1, 2)])
    np.testing.assert_allclose(load(out)(jets), np.log(2) - logsumexp(-members, axis=0), rtol=1e-5, atol=1e-6)
    made = generation.generate(load(out), [0, 1, 1])
    assert made.shape == (3, 16)
    with pytest.raises(InputError, match=r"has no density, so no -ln p .* train coupling-flow"):
        predict.predict_files(out, [], tmp_path / "nll.h5")


def test_streamed_jets_are_refused(tmp_path, unread):
    with pytest.raises(
        InputError, match=r"--memory: a generator is fitted to all training jets .* GB or more, found 1e-05; give more"
    ):
        train.run(make(CouplingFlow(layers=1, hidden=(4,)), tmp_path / "run", memory=1e-5))


@pytest.mark.parametrize(
    "model, changes, words",
    [
        (
            CouplingFlow(),
            {"task": None},
            "task classification; run hepjax train coupling-flow --task generation",
        ),
        (MLP(), {}, "model mlp: makes no jets; use .* coupling-flow --task generation, .* cloud-velocity --task"),
        (CouplingFlow(conditions=3), {}, "--conditions: .* leave the option out"),
        (VariationalAutoencoder(features=("j_pt",)), {}, "--features: .* leave the option out"),
        (
            CouplingFlow(),
            {"task": Generation(content=Content.PARTICLES)},
            "--content: coupling-flow makes observables, found particles; leave the option out",
        ),
        (CouplingFlow(), {"task": Generation(classes=("q", "q"))}, "--classes: expected different classes"),
        (CouplingFlow(), {"task": Generation(classes=("q", "h"))}, "h is not in the files, which hold g, q, w, z, t"),
    ],
)
def test_what_cannot_be_learned_is_refused(model, changes, words, tmp_path):
    experiment = make(model, tmp_path / "run", **changes)
    if changes.get("task", experiment.task) is None:
        experiment = dataclasses.replace(experiment, task=options.Experiment(MLP()).task)
    with pytest.raises(InputError, match=words):
        train.run(experiment)
    assert not (tmp_path / "run").exists()


def test_other_precisions_are_refused(tmp_path, unread):
    model = CouplingFlow(layers=1, hidden=(4,))
    with pytest.raises(InputError, match=r"--precision: expected float32, which generators compute in, found bfloat16"):
        train.run(make(model, tmp_path / "run", precision=Precision.BFLOAT16))


def test_few_jets_of_a_class_and_other_columns_are_refused(jet_file, tmp_path):
    few = make(CouplingFlow(), tmp_path / "run", data=(jet_file(count=100),))
    with pytest.raises(InputError, match=r"the train part has .* expected 50 or more to learn from"):
        train.run(few)
    other = jet_file("other.h5", jets=np.eye(2)[np.arange(25) % 2], jetFeatureNames=np.array(["j_q", "j_t"], "S"))
    with pytest.raises(
        InputError, match=r"other\.h5: .*(lacks the jet columns j_zlogz, .* train cloud-velocity|not in the files)"
    ):
        train.run(make(CouplingFlow(), tmp_path / "run", data=(other,)))


def test_files_that_do_not_suit_are_refused():
    dataset, particles = datasets.get("hls4ml"), Generation(content=Content.PARTICLES)
    full = dataclasses.replace(dataset, jet_columns=hls4ml.OBSERVABLE_COLUMNS, particle_columns=hls4ml.PARTICLE_COLUMNS)
    for task in (Generation(), particles):
        task.check_dataset(full, "a.h5")
        with pytest.raises(InputError, match=r"a\.h5: generators do not take event weights, here w; unweight"):
            task.check_dataset(dataclasses.replace(full, weights="w"), "a.h5")
    bare = dataclasses.replace(full, jet_columns=("j_pt", "j_mass_mmdt"))
    particles.check_dataset(bare, "a.h5")
    with pytest.raises(
        InputError, match=r"a\.h5: lacks the jet columns j_zlogz, .* needs all of j_zlogz.*; train cloud-"
    ):
        Generation().check_dataset(bare, "a.h5")
    with pytest.raises(InputError, match=r"a\.h5: no jet column has the role jet_pt"):
        particles.check_dataset(dataclasses.replace(full, roles={Role.PT: "j1_pt", **ANGLES}), "a.h5")
    with pytest.raises(InputError, match=r"a\.h5: particles: the jets have no eta_rel"):
        particles.check_dataset(dataclasses.replace(full, roles={Role.JET_PT: "j_pt"}), "a.h5")


def test_labels_to_generate_are_checked(flow):
    tagger = load(flow[0])
    for labels, words in (([2], "from 0 to 1"), ([], r"shape \(N,\)"), (["h"], "found h"), ([0.5], "found others")):
        with pytest.raises(InputError, match=words):
            generation.generate(tagger, labels)


def test_mixture_of_generators_is_that_of_their_densities():
    nll = np.array([[[1.0], [np.inf]], [[3.0], [2.0]], [[np.inf], [np.inf]]])
    expected = -np.log(np.exp(-nll).mean(axis=0))
    np.testing.assert_allclose(flows.mixture_nll(nll), expected)
    np.testing.assert_allclose(flows.mixture_nll(np.full((2, 1, 1), 800.0)), 800.0)


def test_distances_need_generated_jets():
    test = predictions.Predictions(np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32), ("nll",))
    metrics = merit_figures.measure_generator(test, ("q",))
    assert metrics["distances"] == {}
    assert metrics["loss"] == 1
    with pytest.raises(InputError, match="no jet has a finite nll"):
        merit_figures.measure_generator(test._replace(values=np.full((4, 1), np.nan)), ("q",))
