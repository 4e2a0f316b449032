"""What the README and the quickstart tell a reader to do."""

from __future__ import annotations

import importlib.resources
import pathlib
import re
import typing

import pytest

from hepjax import models
from hepjax.cli import app, parsing
from hepjax.runs import options

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TUTORIAL = [ROOT / "docs" / "simulation.md", *sorted((ROOT / "docs" / "tutorial").glob("*.md"))]
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text()


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_readme_example_trains_a_tagger(tmp_path, monkeypatch, capsys):
    (example,) = blocks(README, "python")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example, names)  # noqa: S102 — the text is our own
    *_, shape, auc = capsys.readouterr().out.splitlines()
    assert shape == "(1000, 5)"
    assert 0.8 < float(auc) < 1
    assert {"page.html", "tagger.onnx", "my-tagger"} <= {path.name for path in tmp_path.iterdir()}


def test_the_examples_of_quickstart_and_evaluation_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in blocks(QUICKSTART, "python"):
        exec(example, names)  # noqa: S102 — the text is our own
    assert (names["folder"] / "metrics.json").is_file()
    assert names["p"].shape == (100, 5)
    for example in blocks((ROOT / "docs" / "evaluation.md").read_text(), "python"):
        exec(example, names)  # noqa: S102 — the text is our own
    assert names["metrics"]["classes"]["t"]["auc"] > 0.8
    assert names["found"].divergence > names["found"].expected


@pytest.mark.parametrize("page", TUTORIAL, ids=lambda page: page.stem)
def test_the_commands_of_the_tutorial_are_understood(page):
    told = re.findall(r"^hepjax (.+)$", "\n".join(blocks(page.read_text(), "sh")), re.MULTILINE)
    assert told
    for words in told:
        command = parsing.parse(words.split())
        if isinstance(command, options.Experiment):
            options.check(command)
    for script in re.findall(r"python (experiments/\w+\.py)", page.read_text()):
        assert (ROOT / script).is_file()


@pytest.mark.parametrize("text", [README, QUICKSTART], ids=["README", "quickstart"])
def test_commands_are_those_of_the_command_line(text):
    known = {"train", *(kind.__name__.lower() for kind in typing.get_args(parsing.Command) if kind in app._ACTIONS)}
    told = re.findall(
        r"^(?:pip install \S+ && )?hepjax (\w+)(?: (\w+)$)?", "\n".join(blocks(text, "(?:sh|text)")), re.MULTILINE
    )
    assert {command for command, _ in told} <= known
    assert {command for command, _ in told} == known
    assert {model for command, model in told if command == "train" and model} <= set(models.MODELS.names())


def test_continuous_integration_runs_the_readme_s_test_command():
    runner = (ROOT / ".ci" / "run").read_text()
    command = re.search(r"^command='(.*)'$", runner, re.MULTILINE)[1]
    assert f"{command}\n" in blocks(README, "sh")
    assert 'bash -c "$command"' in runner


def test_the_installed_package_holds_the_sample_and_its_types():
    package = importlib.resources.files("hepjax")
    assert 1_000_000 < len((package / "data" / "jets_30p.h5").read_bytes()) <= 6 * 1024**2
    assert (package / "py.typed").is_file()
