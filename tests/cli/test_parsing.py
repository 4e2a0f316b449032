"""How words become a command: the names of models first, then the options of the chosen one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hepjax import InputError, models
from hepjax.choices import Norm
from hepjax.cli import parsing
from hepjax.cli.options import Bench
from hepjax.runs import options
from hepjax.tasks.registry import TASKS


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


def test_a_task_brings_its_options():
    assert parsing.parse(["train", "mlp"]).task == options.default_task()
    kind = TASKS.get("regression")
    for words in (
        "train mlp --task regression --target j_mass j_pt --loss huber",
        "train --target j_mass j_pt --task=regression --loss huber mlp",
    ):
        command = parsing.parse(words.split())
        assert command.task == kind(target=("j_mass", "j_pt"), loss=type(kind().loss)("huber"))
        assert isinstance(command.model, models.MLP)
    with pytest.raises(InputError, match="task: there is no regresion; did you mean regression"):
        parsing.parse(["train", "--task", "regresion"])


@pytest.mark.parametrize("name", TASKS.names())
def test_help_of_a_task(name, capsys):
    with pytest.raises(SystemExit):
        parsing.parse(["train", "--task", name, "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert ("--target" in text) is (name == "regression")
    for each in TASKS.names():
        assert f"{each}: {TASKS.summary(each)}" in text


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


@pytest.mark.parametrize(
    "words, called",
    [
        (["mlp", "--lr", "1e-3"], "--lr: is called --optimizer.learning-rate"),
        (["--bs=64"], "--bs: is called --batch-size"),
        (["--network-config", "net.py"], "--network-config: is called hepjax train MODEL"),
        (["deepsets", "--optimizer", "adam"], "--optimizer: is called --optimizer.name"),
        (["--num-epochs", "3"], "--num-epochs: is called --epochs"),
    ],
)
def test_options_of_other_programs_are_told_by_name(words, called):
    with pytest.raises(InputError, match=called):
        parsing.parse(["train", *words])
