"""A contract: whatever is typed, hepjax does it, or says in a line or in help what is wrong, at once."""

from __future__ import annotations

import random

import pytest

from hepjax.cli import app

VALUES = (
    "", "0", "-1", "1e9", "1e300", "nan", "inf", "-inf", "99999999999999999999", "1000000000000", "é", "\x00",
    "x" * 300, "[]", "1,2", "0x10", "../..", "/dev/null", "a b", "-", "\udcff", "None", "{}", "$(true)",
)  # fmt: skip
OPTIONS = {
    "train mlp": (
        "--epochs", "--batch-size", "--patience", "--min-change", "--lengths", "--seed", "--memory", "--folds",
        "--ensemble", "--rates", "--sizes", "--optimizer.learning-rate", "--optimizer.warmup-epochs",
        "--optimizer.plateau-patience", "--optimizer.momentum", "--optimizer.weight-decay", "--optimizer.clip-norm",
        "--optimizer.penalties", "--optimizer.schedule-epochs", "--optimizer.name", "--optimizer.schedule",
        "--devices.count", "--devices.strategy", "--precision", "--task", "--dataset", "--val", "--test",
        "--plugins", "--coordinator", "--processes", "--process", "--insensitive.to", "--insensitive.energy-scale",
        "--insensitive.strength", "--insensitive.background", "--hidden", "--features", "--activation", "--dropout",
        "--norm",
    ),
    "train logistic": (
        "--degree", "--features",
    ),
    "train lstm": (
        "--units", "--order-by", "--particles", "--columns",
    ),
    "train graph-network": (
        "--rounds", "--edge", "--neighbors", "--radius", "--by",
    ),
    "train convnet": (
        "--filters", "--kernels", "--pixels", "--pixel-size", "--pool", "--images", "--channels",
    ),
    "train coupling-flow --task generation": (
        "--layers", "--bins", "--classes",
    ),
    "train autoencoder --task anomaly": (
        "--latent", "--contamination", "--background",
    ),
    "train deepsets --task regression --target j_mass": (
        "--loss", "--quantiles", "--huber-delta", "--target",
    ),
    "evaluate none": (
        "--data", "--out", "--dataset",
    ),
    "predict none --out s.h5": (
        "--data", "--dataset",
    ),
    "export none --out m.onnx": (
        "--format",
    ),
    "compare none none": (
        "--data", "--json",
    ),
    "info none": (
        "--dataset",
    ),
    "simulate none/a.h5": (
        "--jets", "--seed", "--particles", "--jobs", "--pt", "--radius", "--keep", "--label",
    ),
    "fetch": (
        "", "--to", "--part", "--files",
    ),
}  # fmt: skip
CONFLICTS = (
    "train --resume", "train --resume --out none", "train mlp --folds 3 --ensemble 3", "train mlp --rates 1 1",
    "train mpl", "train mlp nonsense", "--plugins", "train --plugins x.py", "tran", "", "--debug=1",
    "train mlp --epochs 3 --epochs", "train mlp --rates 0.1 0.1000000001", "train coupling-flow",
    "train mlp --task anomaly", "compare", "compare none",
    "train mlp --optimizer.schedule one-cycle --optimizer.warmup-epochs 1", "evaluate", "predict none", "report",
    "train --coordinator garbage --processes 2 --process 0",
    "train --coordinator 127.0.0.1:99999 --processes 2 --process 1",
    "train --coordinator localhost:1 --processes 2 --process 2", "train --process 1", "train --processes 2",
    "simulate none/a.h5 --seed 99999999999999999999", "simulate a.h5 --label w", "train mlp --hidden 1000000000000",
    "train logistic --degree 50", "train mlp --ensemble 1000 --hidden 100000 100000",
)  # fmt: skip


class BeginsError(Exception):
    """A training that nothing is wrong with would begin now."""


def lines(values):
    """Each conflict, and each option with some values that hardly fit; what fits is not trained."""
    rng = random.Random(0)  # noqa: S311
    yield from (line.split() for line in CONFLICTS)
    for command, options in OPTIONS.items():
        for option in options:
            for value in rng.sample(VALUES, values):
                yield [*command.split(), *([option] if option else []), value]


FEW = 60
"""Lines that are tried each time; each takes some tenths of a second."""


@pytest.mark.parametrize(
    "chosen", [list(lines(1))[::2][:FEW], pytest.param(list(lines(3)), marks=pytest.mark.study)], ids=["few", "all"]
)
def test_each_is_answered(capsys, monkeypatch, tmp_path, chosen):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def begin(*_):
        raise BeginsError

    monkeypatch.setattr("hepjax.runs.train._load_training_jets", begin)
    answers = {}
    for words in chosen:
        try:
            app.main(words)
            status = 0
        except BeginsError:
            status = None
        except SystemExit as end:
            status = end.code
        except BaseException as error:
            error.add_note(f"hepjax {words}")
            raise
        answers[tuple(words)] = (status, *capsys.readouterr())
    for words, (status, out, error) in answers.items():
        if status == app.BAD_INPUT:
            one_line = error.startswith("hepjax: ") and error.count("\n") == 1
            assert one_line or "--help" in out + error, (words, error)
            assert "Traceback" not in error, words
        else:
            assert status in {0, None}, (words, status, error)
    assert sum(status == app.BAD_INPUT for status, *_ in answers.values()) > 0.7 * len(chosen)
    assert not [path for path in tmp_path.iterdir() if path.name != "runs"]
