"""Output that cannot show all letters, is closed, or is read by nobody: neither a traceback nor another exit status."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys

import pytest

from hepjax.cli import app, output

TABLE = "╭──┬──╮ ε_S ± 0.5 − 1 ≤ 2 … é 漢"  # noqa: RUF001


@pytest.fixture
def stream(monkeypatch):
    """Standard output of an encoding: a function that puts it there."""

    def put(encoding):
        made = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr("sys.stdout", made)
        return made

    return put


def test_what_an_encoding_lacks_is_written_plainly(stream):
    for encoding, expected in (
        ("ascii", b"+--+--+ epsilon_S +- 0.5 - 1 <= 2 ... \\xe9 \\u6f22"),
        ("latin-1", b"+--+--+ epsilon_S \xb1 0.5 - 1 <= 2 ... \xe9 \\u6f22"),
        ("utf-8", TABLE.encode()),
    ):
        made = stream(encoding)
        output.prepare()
        sys.stdout.write(TABLE)
        sys.stdout.flush()
        assert made.buffer.getvalue() == expected


def test_a_name_that_is_no_text_is_written(stream):
    made = stream("utf-8")
    output.prepare()
    sys.stdout.write(os.fsdecode(b"a\xff"))
    sys.stdout.flush()
    assert made.buffer.getvalue() == b"a\\udcff"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_tables_and_log_lines_come_in_any_encoding(stream, trained_runs, encoding):
    made = stream(encoding)
    app.main(["info", str(trained_runs("mlp"))])
    logging.StreamHandler(sys.stdout).emit(logging.LogRecord("hepjax", logging.INFO, "", 0, TABLE, (), None))
    sys.stdout.flush()
    text = made.buffer.getvalue().decode(encoding)
    assert "AUC" in text
    assert "accuracy" in text


def test_a_reader_that_has_gone_does_not_end_the_work(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", gone)
        lines = output.Lines(gone)
        for number in range(3):
            lines.handle(logging.LogRecord("hepjax", logging.INFO, "", 0, f"epoch {number}", (), None))
        output.make_console().print("a table")


@pytest.mark.parametrize("closed, status", [(">&-", 0), (">&- 2>&-", 0), ("<&- >&- 2>&-", 0), ("| true", 0)])
def test_closed_streams_keep_the_exit_status(trained_runs, closed, status):
    command = f"{sys.executable} -m hepjax info {trained_runs('mlp')} {closed}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", command], stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (status, b"")


def test_bad_input_is_told_by_its_status_where_nobody_hears():
    done = subprocess.run(["/bin/bash", "-c", f"{sys.executable} -m hepjax info nowhere >&- 2>&-"], check=False)
    assert done.returncode == app.BAD_INPUT


@pytest.mark.parametrize("given, level", [(None, "3"), ("1", "3"), ("0", "0"), ("2", "2")])
def test_the_compiler_is_quiet_unless_the_user_asks(monkeypatch, given, level):
    """Also where a process that has imported jax starts the command line, as a notebook does: jax leaves a 1 there."""
    if given is None:
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    else:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", given)
    monkeypatch.setenv("MPLBACKEND", "module://of_the_notebook_alone")
    output.prepare_environment()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == level
    assert os.environ["MPLBACKEND"] == "agg"


def test_jax_leaves_the_level_that_counts_as_none():
    program = "import os; import jax; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == output._LEVEL_OF_JAX
