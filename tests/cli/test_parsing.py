"""How words become a command: the names of models first, then the options of the chosen one."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from hepjax import InputError, models
from hepjax.choices import Norm
from hepjax.cli import parsing
from hepjax.cli.options import Bench
from hepjax.registry import Registry
from hepjax.runs import options
from hepjax.tasks.classification.options import Insensitivity


@dataclasses.dataclass(frozen=True)
class Toward(Insensitivity):
    """In place of a task with options of its own."""

    target: tuple[str, ...] = ()
    """Columns."""


@pytest.fixture
def choice(monkeypatch):
    """`--insensitive NAME`, as `--task NAME` would be."""
    registry = Registry("way", package="hepjax.none", entry_points="hepjax.none")
    registry.register("plain", Insensitivity)
    registry.register("toward", Toward)
    monkeypatch.setattr(parsing, "CHOICES", (parsing.Choice("insensitive", registry, "plain"),))


def test_options_stand_before_and_after_the_model():
    expected = options.Experiment(models.MLP(hidden=(8, 4), norm=Norm.BATCH), epochs=3, seed=1)
    for words in (
        "train mlp --hidden 8 4 --norm batch --epochs 3 --seed 1",
        "train --epochs 3 mlp --hidden 8 4 --seed 1 --norm batch",
        "train --epochs=3 --seed 1 mlp --norm batch --hidden 8 4",
    ):
        assert parsing.parse(words.split()) == expected


def test_every_model_has_its_defaults():
    for name in models.MODELS.names():
        assert parsing.parse(["train", name]) == options.Experiment(models.MODELS.get(name)())
    assert parsing.parse(["train"]) == options.Experiment()


def test_other_commands():
    assert parsing.parse(["bench", "mlp", "gru", "--rounds", "2"]) == Bench(("mlp", "gru"), rounds=2)


@pytest.mark.parametrize(
    "words, meant",
    [("train mpl", "mlp"), ("train --epochs 3 interaction-netwrok --edge 3", "interaction-network")],
)
def test_a_misspelt_model(words, meant):
    with pytest.raises(InputError, match=f"model: there is no .*; did you mean {meant}"):
        parsing.parse(words.split())


@pytest.mark.parametrize(
    "words, told",
    [
        ("train mlp --hiden 8", "--hidden"),
        ("train mlp --neighbors 8", "--neighbors"),
        ("train graph-network --neighbours 8", "--neighbors"),
        ("train mlp gru", "gru"),
        ("train mlp --hidden x", "hidden"),
        ("train mlp --outputs 3", "--outputs"),
        ("train mlp --name 3", "--name"),
    ],
)
def test_wrong_options(words, told, capsys):
    with pytest.raises(SystemExit) as end:
        parsing.parse(words.split())
    assert end.value.code == 2
    output = capsys.readouterr()
    assert told in output.err + output.out


def test_a_choice_brings_its_options(choice):
    assert parsing.parse(["train", "mlp"]).insensitive == Insensitivity()
    for words in (
        "train mlp --insensitive toward --target j_mass j_pt --strength 2",
        "train --target j_mass j_pt --insensitive=toward --strength 2 mlp",
    ):
        command = parsing.parse(words.split())
        assert command.insensitive == Toward(target=("j_mass", "j_pt"), strength=2)
        assert isinstance(command.model, models.MLP)
    with pytest.raises(InputError, match="way: there is no towards; did you mean toward"):
        parsing.parse(["train", "--insensitive", "towards"])


def test_help_of_a_choice(choice, capsys):
    with pytest.raises(SystemExit):
        parsing.parse(["train", "--insensitive", "toward", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--target" in text
    assert "toward: In place of a task with options of its own." in text


@pytest.mark.parametrize("words", ["--help", "train --help", "bench --help", "info --help"])
def test_help_waits_for_neither_jax_nor_flax(words):
    program = f"""
import sys
from hepjax.cli import parsing
try:
    parsing.parse({words.split()})
except SystemExit:
    pass
slow = {{"jax", "flax", "scipy", "h5py", "matplotlib"}} & set(sys.modules)
assert not slow, slow
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_help_of_a_model_imports_no_other():
    program = """
import sys
from hepjax.cli import parsing
try:
    parsing.parse(["train", "logistic", "--help"])
except SystemExit:
    pass
others = {name for name in sys.modules if name.startswith("hepjax.models.")}
assert not {"hepjax.models.mlp", "hepjax.models.interaction_network", "hepjax.models.gru"} & others, others
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
