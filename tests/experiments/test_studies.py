"""What the docstrings of experiments claim must hold; `nox -s studies` measures it."""

import itertools
import json
import shutil

import numpy as np
import pytest

from hepjax import evaluation, read_jets
from hepjax.inputs import tabular
from hepjax.inputs.batching import split
from hepjax.tasks.classification import baselines

from .conftest import EXPERIMENTS, assert_pictures, load

pytestmark = [pytest.mark.study, pytest.mark.usefixtures("drawn")]


def test_oracle_judges_simulated_jets(tmp_path):
    for package in ("pythia8mc", "fastjet"):
        pytest.importorskip(package, reason="the extra `sim` is not installed")
    weights = EXPERIMENTS.parents[1] / "shared" / "reference" / "jedinet" / "IN_150_withSumO.npz"
    if not weights.is_file():
        pytest.skip(f"the published parameters are not at {weights}")
    module = load("oracle")
    options = module.Oracle(weights=weights, jets=150, seeds=2, out=tmp_path / "oracle")
    table = module.run(options)
    published, found = ([float(cell.split()[0]) for cell in line.split("|")[2:7]] for line in table.splitlines()[2:])
    assert published == list(module.PUBLISHED)
    # 60 jets a class: AUCs are known to 0.02.
    assert np.abs(np.array(found) - published).max() < 0.06
    assert module.run(options) == table == (tmp_path / "oracle" / "table.md").read_text()


def test_linear_regression_finds_the_closed_form(tmp_path):
    module = load("linear_regression")
    found = module.run(module.LinearRegression(points=300, seed=3, out=tmp_path / "a" / "b"))
    line, polynomial, learned = (np.array(found[name]) for name in ("line", "polynomial", "learned width"))
    assert max(line[2], polynomial[2], learned[2]) < 1e-4
    assert polynomial[0] < 0.6 * line[0]  # the mean squared error of the curve
    assert abs(learned[0] / polynomial[0] - 1) < 0.1
    assert learned[1] < polynomial[1] - 0.05 < line[1] - 0.2  # -ln L per point
    assert_pictures(tmp_path / "a" / "b", "curves.png")


def test_linear_regression_learns_the_width(tmp_path):
    module = load("linear_regression")
    data = module.measure(5000, np.random.default_rng(1))
    curve = module.fit(module.models.Linear(outputs=2, degree=5), data, module.jax.random.key(0))
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
    assert straight == pytest.approx(0.66, abs=0.03)
    assert curved == pytest.approx(0.90, abs=0.03)
    assert_pictures(tmp_path / "new", "boundary.png")


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


RUN_PICTURES = ("roc.png", "history.png", "confusion.png", "scores.png")


def mean_auc(metrics):
    return np.mean([found["auc"] for found in metrics["classes"].values()])


def recorded_model(folder):
    return json.loads((folder / "experiment.json").read_text())["experiment"]["model"]


@pytest.mark.parametrize("loss", ["gaussian", "quantiles", "huber", "squared-error"])
def test_mass_regression_beats_the_mean_by_far_and_knows_its_errors(tmp_path, loss):
    module = load("mass_regression")
    metrics = module.run(module.MassRegression(loss=module.RegressionLoss(loss), out=tmp_path / "new"))
    figures = metrics["targets"]["j_mass"]
    assert figures["truth_spread"] == pytest.approx(42.5, abs=2)
    assert figures["root_mean_squared_error"] == pytest.approx(10 if loss == "gaussian" else 8, abs=2)
    assert figures["relative_resolution"] == pytest.approx(0.10 if loss == "gaussian" else 0.075, abs=0.02)
    if loss == "gaussian":
        assert figures["pull_resolution"] == pytest.approx(1.0, abs=0.15)
        assert figures["coverage_68"] == pytest.approx(0.68, abs=0.06)


def test_convnet_tagger_sees_more_in_turned_jets(tmp_path):
    module = load("convnet_tagger")
    small = {"pixels": 20, "epochs": 3}
    plain = module.run(module.ConvnetTagger(**small, out=tmp_path / "plain"))
    turned = module.run(module.ConvnetTagger(**small, rotate=True, flip=True, out=tmp_path / "turned"))
    assert mean_auc(plain) > 0.7
    assert mean_auc(turned) > mean_auc(plain) + 0.01
    assert_pictures(tmp_path / "turned", "images.png", *RUN_PICTURES)
    model = recorded_model(tmp_path / "turned")
    assert (model["pixels"], model["rotate"], model["flip"]) == (20, True, True)


def test_recurrent_tagger_tags(tmp_path):
    module = load("recurrent_tagger")
    options = module.RecurrentTagger(cell="lstm", bidirectional=True, units=(24,), epochs=8, out=tmp_path / "new")
    assert mean_auc(module.run(options)) > 0.75
    model = recorded_model(tmp_path / "new")
    assert (model["name"], model["units"], model["bidirectional"]) == ("lstm", [24], True)
    assert_pictures(tmp_path / "new", *RUN_PICTURES)


def test_jedinet_tags(tmp_path):
    module = load("jedinet")
    assert mean_auc(module.run(module.JediNet(epochs=4, out=tmp_path / "new"))) > 0.7
    assert recorded_model(tmp_path / "new")["masked"] is True
    assert_pictures(tmp_path / "new", *RUN_PICTURES)


def test_knn_graph_tagger_compares_few_neighbors_with_all(tmp_path):
    module = load("knn_graph_tagger")
    found = module.run(module.KnnGraphTagger(neighbors=(2,), particles=8, epochs=1, out=tmp_path / "new"))
    few, all_pairs = found["2-neighbors"], found["all-neighbors"]
    assert min(mean_auc(few), mean_auc(all_pairs)) > 0.6
    assert few["parameters"] == all_pairs["parameters"]
    assert few["flop_per_jet"] < 0.5 * all_pairs["flop_per_jet"]
    assert_pictures(tmp_path / "new", "2-neighbors.png", "all-neighbors.png")
    models = [recorded_model(tmp_path / "new" / name) for name in found]
    assert [model["neighbors"] for model in models] == [2, None]


def test_compare_taggers_puts_all_on_the_same_jets_in_one_table(tmp_path):
    module = load("compare_taggers")
    networks = (module.Network["mlp"], module.Network["convnet1d"])
    table = module.run(module.CompareTaggers(networks=networks, epochs=2, out=tmp_path / "new"))
    assert (tmp_path / "new" / "table.md").read_text() == table
    assert_pictures(tmp_path / "new", "roc.png")
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert [len(row) for row in rows] == [len(header)] * (2 + 5)
    for row in rows[:2]:
        folder = tmp_path / "new" / row[0]
        metrics = json.loads((folder / "metrics.json").read_text())
        aucs = [found["auc"] for found in metrics["classes"].values()]
        for cell, auc in zip(row[1:7], [*aucs, np.mean(aucs)], strict=True):
            value, sigma = cell.removesuffix(")").split("(")
            assert float(value) == pytest.approx(auc, abs=6e-4)
            assert 4 <= int(sigma) <= 30  # 0.015 is what Hanley and McNeil give 200 jets against 800 at 0.85
        assert int(row[7].replace(",", "")) > 1000
    splits = [np.load(tmp_path / "new" / network.name / "split.npz")["test"] for network in networks]
    np.testing.assert_array_equal(*splits)


def test_compare_taggers_has_trees_and_support_vectors_on_the_very_same_jets(tmp_path):
    module = load("compare_taggers")
    chosen = (module.Network["mlp"], module.Classical["svm"], module.Classical["trees"])
    table = module.run(module.CompareTaggers(networks=chosen, epochs=2, out=tmp_path / "new"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:5]]
    assert [row[0] for row in rows] == ["svm", "trees", "mlp"]  # what needs scikit-learn comes first
    cells = {row[0]: [tuple(map(float, cell.rstrip(")").split("("))) for cell in row[1:7]] for row in rows}
    jets, split = read_jets(), np.load(tmp_path / "new" / "mlp" / "split.npz")
    x, labels = tabular(jets), np.asarray(jets.labels)
    train, val = ((x[split[part]], labels[split[part]]) for part in ("train", "val"))
    p = baselines.boosted_trees(train, val, 5)(x[split["test"]])  # trees do not care for scaling
    aucs = [evaluation.auc(evaluation.roc_curve(p[:, c], labels[split["test"]] == c)) for c in range(5)]
    np.testing.assert_allclose([value for value, _ in cells["trees"]], [*aucs, np.mean(aucs)], atol=2e-3)
    assert 0.87 < cells["svm"][5][0] < cells["trees"][5][0] - 0.005
    for row in (rows[0], rows[2]):
        gain, sigma = map(float, row[10].rstrip(")").split("("))
        assert gain == pytest.approx(cells[row[0]][5][0] - cells["trees"][5][0], abs=1.5e-3)
        assert 1 <= sigma < 0.9 * np.hypot(cells[row[0]][5][1], cells["trees"][5][1])  # the luck of the jets cancels
    assert (rows[1][7:9], rows[1][10]) == (["", ""], "")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"mlp", "roc.png", "table.md"}


@pytest.mark.skipif(shutil.which("g++") is None, reason="the firmware is compiled by g++")
def test_hls4ml_mlp_answers_as_onnx_runtime_does(tmp_path):
    module = load("hls4ml_mlp")
    found = module.run(module.Firmware(epochs=1, out=tmp_path / "run"))
    assert found["largest difference"] < 0.01
    assert found["same class"] > 0.98


def test_a_graph_network_tells_circles_from_rings_and_a_perceptron_does_not(tmp_path):
    module = load("circle_or_ring")
    found = module.run(module.CircleOrRing(sets=1000, epochs=12, out=tmp_path / "new"))
    assert found["graph network"] > 0.7
    assert found["graph network"] > found["MLP"] + 0.15
    assert_pictures(tmp_path / "new", "points.png")


def test_an_agent_learns_to_groom_w_jets_at_least_as_well_as_mmdt(tmp_path, capsys, monkeypatch):
    module = load("groom_by_learning")
    monkeypatch.delitem(module.REWARDS, "t")  # one agent is enough
    found = module.run(module.GroomByLearning(steps=3000, out=tmp_path / "new"))
    w = {groomer: {window: one["width"] for window, one in windows.items()} for groomer, windows in found["w"].items()}
    for window in ("40%", "68%"):
        assert w["agent of w"][window][0] < w["mMDT"][window][0] + w["mMDT"][window][1]
    # Not by doing nothing: the agent drops what shifts the peak of no grooming upwards.
    places = {groomer: windows["68%"]["place"][0] for groomer, windows in found["w"].items()}
    assert places["agent of w"] < places["no grooming"]
    assert "agent of w: step 3000 of 3000, loss 0." in capsys.readouterr().out
    assert json.loads((tmp_path / "new" / "figures.json").read_text()).keys() == {"w"}
    assert (tmp_path / "new" / "table.md").read_text().count("| agent of w |") == 1
    assert_pictures(tmp_path / "new", "masses.png")


def test_decorrelated_tagger_pays_for_what_it_does_not_know(tmp_path):
    module = load("decorrelated_tagger")
    options = module.DecorrelatedTagger(correlation=(10.0,), adversary=(), epochs=30, out=tmp_path / "new")
    found = module.run(options)
    plain, blind, in_bins = (found[name][1] for name in ("plain", "distance-correlation-10", "plain, cut in bins"))
    assert plain.efficiency == 0.8
    assert plain.auc > blind.auc > 0.6
    assert blind.divergence < 0.5 * plain.divergence
    assert plain.auc > in_bins.auc > 0.7
    assert json.loads((tmp_path / "new" / "figures.json").read_text())["plain"][1]["auc"] == plain.auc
    assert {path.name for path in (tmp_path / "new").glob("*.png")} == {"trade_off_50.png", "trade_off_80.png"}


def test_energy_scale_moves_a_plain_tagger_most(tmp_path):
    module = load("energy_scale")
    found = module.run(module.EnergyScale(shift=0.1, correlation=30.0, epochs=8, out=tmp_path / "new"))
    assert set(found) == {"plain", "shifted jets", "distance correlation", "adversary"}
    assert found["plain"]["auc"] > 0.7
    assert found["plain"]["efficiency"] > 0.05
    assert found["distance correlation"]["efficiency"] < found["plain"]["efficiency"]


def test_jets_cluster_better_in_what_a_tagger_has_learnt(tmp_path):
    module = load("jet_structure")
    found = module.run(module.JetStructure(epochs=25, starts=4, components=(16,), out=tmp_path / "new"))
    purity, rand = ({name: one[key] for name, one in found.items()} for key in ("purity", "adjusted_rand_index"))
    for figures in (purity, rand):
        order = ("random", "observables", "learned features", "the tagger's answers")
        for (low, error), (high, other) in itertools.pairwise(figures[name] for name in order):
            assert low + error < high - other
    assert abs(rand["random"][0]) < 0.01
    assert rand["16 components"][0] == pytest.approx(rand["observables"][0], abs=0.03)  # the axes are only turned
    metrics = json.loads((tmp_path / "new" / "tagger" / "metrics.json").read_text())
    assert purity["the tagger's answers"][0] >= metrics["accuracy"] - 1e-6
    assert json.loads((tmp_path / "new" / "figures.json").read_text())["random"]["purity"] == [*purity["random"]]
    assert_pictures(tmp_path / "new", "observables.png", "learned-features.png")


def test_generated_particles_have_the_masses_of_simulated_jets(tmp_path, monkeypatch):
    module = load("generate_particles")
    seen = []

    def tell_apart(first, second, *, seed):  # which has tests of its own
        seen.append(first)
        return evaluation.Distance(0.5, 0.1)

    monkeypatch.setattr(module, "two_clouds_auc", tell_apart)
    small = {"particles": 12, "layers": 2, "epochs": 40, "classes": ("q", "t")}
    found = module.run(module.GenerateParticles(**small, learning_rate=5e-3, out=tmp_path / "new"))
    assert_pictures(tmp_path / "new", "distances.png")
    assert_pictures(tmp_path / "new" / "run", "distances.png", "history.png", "images.png", "spectra.png")
    assert list(found["distances"]) == ["all", "q", "t"]
    for kind, of_kind in found["distances"].items():
        mass = of_kind["j_mass"]
        assert mass["flow"].generated.distance < 2 * mass["flow"].floor.distance + mass["flow"].floor.uncertainty, kind
        assert mass["flow"].generated.distance < 0.8 * mass["independent"].generated.distance
    written = json.loads((tmp_path / "new" / "figures.json").read_text())
    assert written["distances"]["t"]["j_mass"]["flow"][0] == list(found["distances"]["t"]["j_mass"]["flow"].generated)
    assert list(written["auc"]) == ["floor", "flow", "independent"]
    assert "j_mass" in (tmp_path / "new" / "table.md").read_text()
    _, flow, independent = seen  # after one half of the simulated jets
    np.testing.assert_array_equal(flow.mask, independent.mask)
    assert np.isfinite(flow.values).all()


def test_a_network_finds_chirps_and_does_not_beat_the_likelihood_ratio(tmp_path, monkeypatch, capsys):
    module = load("transient_search")
    small = module.models.ConvNet1D(filters=(16, 16), kernels=(16, 16), hidden=(16,), outputs=2)
    monkeypatch.setattr(module, "NETWORKS", {"ConvNet": (small, 8)})  # one is enough
    options = module.TransientSearch(snr=(6.0, 12.0), epochs=4, steps=32, segments=512, out=tmp_path / "new")
    found = module.run(options)
    assert list(found) == ["matched filter", "likelihood ratio", "ConvNet", "excess power"]
    loud = {name: one.efficiency[0.01].rate[-1] for name, one in found.items()}
    assert loud["matched filter"] == loud["likelihood ratio"] == 1
    assert loud["ConvNet"] > 0.8 > loud["excess power"]
    assert found["excess power"].auc + 0.02 < found["ConvNet"].auc < found["likelihood ratio"].auc + 0.005
    assert "ConvNet epoch 4/4  train loss 0." in capsys.readouterr().out
    assert (tmp_path / "new" / "table.md").read_text().count("| ConvNet |") == 1
    assert_pictures(tmp_path / "new", "chirp.png", "detections.png")


def test_generated_observables_are_like_simulated_ones_and_the_flow_beats_its_baseline(tmp_path, capsys):
    module = load("generate_observables")
    options = module.GenerateObservables(classes=("q", "t"), epochs=5, learning_rate=8e-3, out=tmp_path / "new")
    found = module.run(options)
    for name in ("all", "q", "t"):
        assert found["distances"][name]["j_mass_mmdt"]["flow"].ratio < 4
    aucs = found["auc"]
    assert aucs["floor"].distance == pytest.approx(0.5, abs=4 * aucs["floor"].uncertainty)
    assert max(one.distance for one in aucs.values()) < 0.8
    nll = found["nll"]
    assert nll["flow"].distance < nll["normal"].distance - 0.3
    assert nll["flow"].distance < nll["VAE"].distance - 0.3  # a bound
    assert "epoch 5/5  train loss 1" in capsys.readouterr().out
    assert json.loads((tmp_path / "new" / "figures.json").read_text()).keys() == {"distances", "auc", "nll"}
    assert (tmp_path / "new" / "table.md").read_text().count("| j_mass_mmdt |") == 1
    assert_pictures(tmp_path / "new", "distances.png", "spectra.png")


def test_autoencoders_find_what_they_have_not_seen(tmp_path, monkeypatch):
    module = load("anomaly_detection")
    monkeypatch.setattr(
        module, "KINDS", {"convolutional": module.KINDS["convolutional"]}
    )  # the others take as long each
    options = module.AnomalyDetection(contamination=(0.01,), anomalies=("w", "t"), epochs=4, out=tmp_path / "new")
    figures = module.run(options)
    assert list(figures) == ["w", "t", "w+t"]
    found = {kind: some["0.01"] for kind, some in figures.items()}
    assert found["t"]["convolutional: both"]["auc"]["value"] > 0.85
    for kind, key in (("w", "background_rejection_at_0.3"), ("w", "background_rejection_at_0.5"), ("w+t", "auc")):
        assert found[kind]["convolutional: both"][key]["value"] > found[kind]["groomed mass"][key]["value"]
    assert json.loads((tmp_path / "new" / "figures.json").read_text()) == figures
    assert "## W + t, 1 % among the jets to learn from" in (tmp_path / "new" / "table.md").read_text()
    assert_pictures(tmp_path / "new", "roc_0.01.png", "contamination.png")
