"""Progress without a terminal: a line now and then, so that a batch log does not stay silent until the end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hepjax.cli import app, progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until `clock.now` is set."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


@pytest.fixture
def batch_log():
    return Console(file=io.StringIO(), highlight=False, markup=False)


def test_a_line_every_half_a_minute(clock, batch_log):
    with progress.progress_bar(batch_log, "simulating", 10_000, "jets") as advance:
        for seconds in range(0, 100, 10):
            clock.now = float(seconds)
            advance(250, "12 jets/s")
    assert batch_log.file.getvalue().splitlines() == [
        f"simulating: {jets} of 10,000 jets, 12 jets/s" for jets in ("1,000", "1,750", "2,500")
    ]


def test_an_unknown_total_and_no_words(clock, batch_log):
    with progress.progress_bar(batch_log, "predicting", None, "jets") as advance:
        clock.now = 31.0
        advance(5000)
    assert batch_log.file.getvalue() == "predicting: 5,000 jets\n"


def test_no_line_where_the_log_has_them_or_a_terminal_a_bar(clock, batch_log):
    terminal = Console(file=io.StringIO(), force_terminal=True)
    for console, logged in ((batch_log, True), (terminal, False)):
        with progress.progress_bar(console, "training", 9, "epochs", logged=logged) as advance:
            clock.now += 31.0
            advance(1)
    assert not batch_log.file.getvalue()
    assert "training: 1 of 9" not in terminal.file.getvalue()


def test_transfers_tell_how_far_they_are(clock, batch_log):
    with progress.transfer_bar(batch_log) as show:
        for seconds, done in ((0, 0), (10, 10**7), (31, 3 * 10**7), (40, 4 * 10**7)):
            clock.now = float(seconds)
            show("downloading a.tar.gz", done, 10**9)
        clock.now = 80.0
        show("unpacking a.tar.gz", 0, None)
    assert batch_log.file.getvalue().splitlines() == [
        "downloading a.tar.gz", "downloading a.tar.gz: 30 of 1,000 MB", "unpacking a.tar.gz",
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["evaluate", "predict", "compare", "report"])
def test_long_commands_are_not_silent(command, trained_runs, tmp_path, monkeypatch, capsys):
    run, jets = str(trained_runs("mlp")), ("--data", str(trained_runs("mlp").parent / "jets.h5"))
    words = {
        "evaluate": (run, *jets), "predict": (run, *jets, "--out", str(tmp_path / "scores.h5")),
        "compare": (run, run, *jets), "report": (run, "--out", str(tmp_path / "report.html")),
    }[command]  # fmt: skip
    monkeypatch.setattr(progress, "EVERY", 0.0)
    app.main([command, *words])
    expected = "reporting: 1 sections" if command == "report" else "predicting: 200 jets"
    assert expected in capsys.readouterr().out
