#!/usr/bin/env -S uv run --script

# /// script
# dependencies = ["nox[uv]>=2025.10"]
# ///

"""The checks of this project; `nox` runs lint, types, tests and docs; studies and benchmarks run by name."""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2025.10"
nox.options.default_venv_backend = "uv|virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")


def group(name: str) -> list[str]:
    return nox.project.dependency_groups(PROJECT, name)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, spelling, likely mistakes, who may import whom, and the habits of Scientific Python."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo", "--no-cache")
    session.run("codespell")
    session.run("repo-review", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Static types, strictly."""
    session.install(".[export,gymnasium,sim]", *group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Tests and docstring examples, of the package as it is built and installed."""
    session.install(".[sim,test]")
    session.env["PYTHONDONTWRITEBYTECODE"] = ""  # where it is set, each process that a test starts compiles all modules
    # On two cores, 700 tests that train took 145 s by worksteal, 157 to 161 s by load, loadscope and loadfile.
    # The console script, unlike `python -m pytest`, leaves the checkout out of sys.path.
    session.run("pytest", *(session.posargs or ["--numprocesses=2", "--dist=worksteal", "tests", "--pyargs", "hepjax"]))


@nox.session(default=False)
def studies(session: nox.Session) -> None:
    """What the experiments claim, measured; takes minutes."""
    session.install(".[sim,test]")
    session.run("pytest", "-m", "study", *(session.posargs or ["--numprocesses=2", "--dist=worksteal", "tests"]))


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in docs/_build/html; a warning is an error."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-E", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session(default=False, venv_backend="virtualenv")
def bench(session: nox.Session) -> None:
    """Speed against peers; by pip, which takes a CPU build of torch from wherever PIP_FIND_LINKS points."""
    session.install(".[bench,sim]", "torch==2.13.0")
    for script in session.posargs or sorted(map(str, Path("benchmarks").glob("*.py"))):
        session.run("python", script)


if __name__ == "__main__":
    nox.main()
