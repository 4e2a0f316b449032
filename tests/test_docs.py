"""What the pages about jets of one's own, and for people who come from other libraries, tell a reader to do."""

from __future__ import annotations

import pathlib
import re
import shlex

import numpy as np
import pytest

import hepjax
from hepjax.cli import app, parsing
from hepjax.runs import options

DOCS = pathlib.Path(__file__).parents[1] / "docs"
LINE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SLOTS = 12


def blocks(page, *languages):
    return [text for language, text in LINE.findall((DOCS / f"{page}.md").read_text()) if language in languages]


def commands(text):
    lines = (shlex.split(line, comments=True) for line in text.splitlines())
    return [words[1:] for words in lines if words[:1] == ["hepjax"]]


def run(page, names):
    """Runs the commands and the Python of a page in order, up to where a description of all keys begins."""
    for language, text in LINE.findall((DOCS / f"{page}.md").read_text().split("## The description")[0]):
        for words in commands(text) if language == "sh" else ():
            app.main(words)
        if language == "python":
            exec(text, names)  # noqa: S102 — the text is our own
    return names


def toy(count, seed):
    """Particles (N, P) in pt, η and φ, of two classes that differ in how far they lie apart, and their mask."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pt = -np.sort(-rng.uniform(5, 200, (count, SLOTS)), axis=1)
    eta, phi = (rng.normal(0, 0.05 + 0.25 * labels[:, None], (count, SLOTS)) for _ in range(2))
    mask = np.arange(SLOTS) < rng.integers(6, SLOTS + 1, (count, 1))
    return pt, eta, phi, mask, labels


def write_root(path, particles, jets, mask):
    awkward, uproot = (
        pytest.importorskip(name, reason="the extra `root` is not installed") for name in ("awkward", "uproot")
    )
    lists = {
        name: awkward.values_astype(awkward.Array([list(x[m]) for x, m in zip(values, mask, strict=True)]), "float32")
        for name, values in particles.items()
    }
    with uproot.recreate(path) as file:
        file.mktree("tree", dict.fromkeys(jets, np.float32) | dict.fromkeys(lists, "var * float32"))
        file["tree"].extend({name: np.asarray(x, np.float32) for name, x in jets.items()} | lists)


def test_own_jets_come_from_a_root_file_to_a_report(tmp_path, monkeypatch, brief):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("jets.root", "others.root")):
        pt, eta, phi, mask, labels = toy(200, seed)
        jets = {
            "jet_pt": np.linspace(600, 1400, 200), "jet_eta": 0 * labels, "jet_phi": 0 * labels,
            "event": np.arange(200) // 2, "is_qcd": 1 - labels, "is_top": labels, "event_weight": 1 + labels,
        }  # fmt: skip
        particles = {"cand_pt": pt, "cand_eta": eta, "cand_phi": phi, "cand_charge": np.sign(eta)}
        write_root(name, particles, jets, mask)
    (description,) = blocks("own-jets", "toml")
    pathlib.Path("mine.toml").write_text(description)
    names = run("own-jets", {})
    assert {"report.html", "tagger.onnx", "runs"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "runs/mine/report.html").is_file()
    assert len(names["jets"]) == 100
    commands_and_code = [*blocks("own-jets", "sh"), *blocks("own-jets", "python")]
    assert all(len(text.splitlines()) <= 10 for text in commands_and_code)


def test_a_data_yaml_of_weaver_core_trains(tmp_path, monkeypatch, brief):
    pytest.importorskip("yaml", reason="the extra `weaver` is not installed")
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("train.root", "test.root")):
        pt, eta, phi, mask, labels = toy(200, seed)
        p4 = hepjax.physics.kinematics.from_pt_eta_phi_mass(pt, eta, phi, 0 * pt)
        jets = {
            "jet_pt": np.linspace(450, 900, 200),
            "jet_eta": 0 * labels,
            "label_QCD": 1 - labels,
            "label_Tbqq": labels,
        }
        particles = dict(zip(("part_px", "part_py", "part_pz", "part_energy"), np.moveaxis(p4, -1, 0), strict=True))
        write_root(name, {**particles, "part_deta": eta, "part_dphi": phi}, jets, mask)
    (description,) = blocks("from-weaver", "yaml")
    pathlib.Path("jets.yaml").write_text(description)
    run("from-weaver", {})
    seen = hepjax.load("runs/kin")
    assert seen.outputs == ("QCD", "Tbqq")
    assert seen.pipeline.columns[-2:] == ("part_deta", "part_dphi")
    assert (tmp_path / "runs/kin/report.html").is_file()
    assert (tmp_path / "predictions.h5").is_file()


def test_arrays_of_energyflow_and_jetnet_train(brief, capsys):
    pt, eta, phi, mask, labels = toy(200, 0)
    ids = np.random.default_rng(1).choice([22, 211, -211, 130], pt.shape)
    jet_data = np.stack([pt.sum(1), 0 * labels, 100 + 0 * labels], axis=1)
    names = {
        "X": np.stack([pt, eta, phi, ids], axis=-1) * mask[..., None],
        "y": labels,
        "particle_data": np.stack([eta, phi, pt / pt.sum(1, keepdims=True), mask], axis=-1) * mask[..., None],
        "jet_data": jet_data,
    }
    names = run("from-energyflow-jetnet", names)
    assert len(names["tagger"].pipeline.columns) == 13
    assert (names["e2"].shape, names["e3"].shape) == ((2,), (3, 2))
    assert len(names["jets"]) == 200
    assert re.fullmatch(r"W1M \d+\.\d\d ± \d+\.\d\d GeV\n", capsys.readouterr().out.splitlines(keepends=True)[-1])


def test_examples_of_observables_and_standard_columns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"jets": hepjax.read_jets()[:50]}
    (standard,) = (text for text in blocks("datasets", "python") if "jetclass_inputs" in text)
    for text in (standard, *blocks("observables", "python")):
        exec(text, names)  # noqa: S102 — the text is our own
    assert capsys.readouterr().out.splitlines()[0] == "(3, 128, 7)"
    assert hepjax.read_jets("more.h5").observable_names[-1] == "j_multiplicity"


@pytest.mark.parametrize("page", ["own-jets", "from-weaver", "from-energyflow-jetnet", "observables", "datasets"])
def test_commands_are_understood(page):
    """Also those in the text and in tables, which name options."""
    text = (DOCS / f"{page}.md").read_text()
    told = [words for block in blocks(page, "sh") for words in commands(block)]
    told += [
        shlex.split(words)[1:] for words in re.findall(r"`(hepjax (?:train|import|info|observables) [^`…]+)`", text)
    ]
    assert told
    for words in (words for words in told if not {"--plugins", "--help"} & {*words}):
        command = parsing.parse(words)
        if isinstance(command, options.Experiment):
            options.check(command)


def test_options_that_the_page_for_weaver_core_names_are_there(capsys):
    table = (DOCS / "from-weaver.md").read_text().split("## The command line")[1].split("## The data YAML")[0]
    ours = [cell for row in table.splitlines() if row.count("|") == 3 for cell in [row.split("|")[2]]]
    with pytest.raises(SystemExit):
        parsing.parse(["train", "mlp", "--help"])
    train = {*re.findall(r"--[a-z][a-z.-]+", capsys.readouterr().out)}
    named = {word for cell in ours for word in re.findall(r"--[a-z][a-z.-]+", cell)}
    assert named - train <= {"--as", "--target"}
