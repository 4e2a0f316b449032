"""The rules of docs/architecture.md: that the law of pyproject.toml sees breaches, and what no tool can see."""

from __future__ import annotations

import ast
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
HELP_SECONDS = 0.5

STATE = {"hepjax/registry.py"}
"""The one file whose state may change: what is registered."""
MUTATORS = {"add", "append", "clear", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
HEAVY = {"chex", "flax", "h5py", "jax", "matplotlib", "mplhep", "numpy", "optax", "orbax", "pooch", "requests", "scipy"}
UNTESTED = {"choices", "errors", "version", "data/datasets", "models/layers"}
"""Words without behavior; known datasets, which the tests of data cover, and layers, which those of the models do."""

BREACHES = {
    "layers": ("hepjax/models/mlp.py", "if TYPE_CHECKING:\n    from hepjax.inputs.batching import stream"),
    "circles": ("hepjax/report/style.py", "import hepjax.report.page"),
    "private": ("hepjax/runs/train.py", "from hepjax.evaluation._score_checks import check_scores"),
    "outside": ("hepjax/cli/app.py", "from experiments import dense_tagger"),
    "without-jax": ("hepjax/evaluation/roc.py", "def f():\n    import jax.numpy as jnp"),
    "hdf5": ("hepjax/runs/predictions.py", "import h5py"),
    "decompression": ("hepjax/inputs/tabular.py", "import isal"),
    "downloads": ("hepjax/data/hdf5/header.py", "import requests"),
    "simulation": ("hepjax/physics/substructure/clustering.py", "import fastjet"),
    "optimizers": ("hepjax/models/mlp.py", "import optax"),
    "graphs": ("hepjax/models/mlp.py", "import jraph"),
    "pictures": ("hepjax/runs/report.py", "from matplotlib import pyplot"),
    "templates": ("hepjax/export/files.py", "import jinja2"),
    "terminal": ("hepjax/runs/train.py", "import rich.table"),
    "command-line": ("hepjax/runs/options.py", "def f():\n    import tyro"),
    "json": ("hepjax/cli/options.py", "import cattrs"),
    "exported-files": ("hepjax/runs/export.py", "import onnx"),
    "tensorboard": ("hepjax/runs/train.py", "import tensorboard"),
    "gymnasium": ("hepjax/tasks/grooming/dqn.py", "import gymnasium"),
    "trees": ("hepjax/training/losses.py", "import sklearn"),
}
"""Contract of import-linter → a file that breaks it with this line at its end."""


def law(folder):
    """What import-linter says of the library in a folder: name of each contract → whether it is kept."""
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    words = " ".join(done.stdout.split())
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    found = {one["id"]: re.search(re.escape(one["name"]) + " (KEPT|BROKEN)", words) for one in contracts}
    assert all(found.values()), done.stdout + done.stderr
    return {name: verdict[1] == "KEPT" for name, verdict in found.items()}


@pytest.fixture
def copy(tmp_path):
    pytest.importorskip("importlinter", reason="the law is kept by import-linter")
    shutil.copytree(ROOT / "hepjax", tmp_path / "hepjax", ignore=shutil.ignore_patterns("*.h5", "__pycache__"))
    return tmp_path


def test_the_library_keeps_the_law_and_each_contract_sees_a_breach(copy):
    kept = law(copy)
    assert not [name for name, good in kept.items() if not good]
    assert set(kept) == set(BREACHES)
    for path, line in BREACHES.values():
        with (copy / path).open("a") as file:
            file.write(f"\n{line}\n")
    assert not [name for name, good in law(copy).items() if good]


def test_a_new_module_needs_its_place_in_the_law(copy):
    (copy / "hepjax" / "novelty.py").touch()
    assert not law(copy)["layers"]


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def no_utils(path, tree):
    if {"utils", "util", "helpers", "misc"} & {part.removesuffix(".py") for part in pathlib.PurePath(path).parts}:
        yield "a name that says nothing"


def no_hidden_names(path, tree):
    """A package's name that a module of the same name replaces as soon as something imports that module."""
    package = ".".join(pathlib.PurePath(path).parent.parts)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for node in imports if pathlib.PurePath(path).name == "__init__.py" else ():
        for name in {alias.name for alias in node.names} & siblings(path):
            if node.module not in (package, f"{package}.{name}"):
                yield f"{name} of {node.module} is hidden by {package}.{name}"


def siblings(path):
    folder = (ROOT / path).parent
    return {p.stem for p in folder.glob("*.py")} | {p.parent.name for p in folder.glob("*/__init__.py")}


def no_module_state(path, tree):
    """Names of the module that a function changes in place; ruff finds those that it rebinds."""
    if pathlib.PurePath(path).as_posix() in STATE:
        return
    targets = [node.targets for node in tree.body if isinstance(node, ast.Assign)]
    targets += [[node.target] for node in tree.body if isinstance(node, ast.AnnAssign)]
    module = {target.id for group in targets for target in group if isinstance(target, ast.Name)}
    for function in functions(tree):
        local = {
            node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        local |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        for node in ast.walk(function):
            changed = None
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
                changed = node.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
                changed = node.func.value
            if isinstance(changed, ast.Name) and changed.id in module - local:
                yield f"{function.name} changes {changed.id}"


def no_magic_strings(path, tree):
    """Enums and functions choose behavior; a parameter that is compared with a string is a choice in disguise."""
    for function in functions(tree):
        parameters = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
        for node in ast.walk(function):
            if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id in parameters:
                for operator, right in zip(node.ops, node.comparators, strict=True):
                    texts = isinstance(right, ast.Constant) and isinstance(right.value, str) and right.value
                    if texts and isinstance(operator, ast.Eq | ast.NotEq):
                        yield f"{function.name}: {node.left.id} is compared with {right.value!r}; use an enum"


def short_functions(path, tree):
    """The body counts, without its docstring."""
    for node in functions(tree):
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        lines = node.end_lineno - body[0].lineno + 1 if body else 0
        if lines > MAX_FUNCTION_LINES:
            yield f"{node.name} has {lines} lines"


# Each rule, with files that break it, (path, source, a word of the complaint), and one that nearly does.
RULES = {
    no_utils: (
        [("hepjax/utils.py", "", "nothing"), ("hepjax/utils/text.py", "", "nothing")],
        ("hepjax/numerics.py", ""),
    ),
    no_hidden_names: (
        [("hepjax/models/__init__.py", "from hepjax.models.linear import mlp", "hidden")],
        ("hepjax/models/__init__.py", "from hepjax.models.mlp import MLP, mlp\nfrom hepjax.models import linear"),
    ),
    no_module_state: (
        [
            ("hepjax/cli.py", "seen = {}\ndef f():\n    seen['a'] = 1", "seen"),
            ("hepjax/cli.py", "seen: list = []\ndef f():\n    seen.append(1)", "seen"),
        ],
        ("hepjax/cli.py", "seen = {}\ndef f():\n    seen = {}\n    seen['a'] = 1"),
    ),
    no_magic_strings: (
        [("hepjax/losses.py", "def f(kind):\n    return kind == 'mean'", "kind")],
        ("hepjax/losses.py", "def f(kind):\n    return kind == Kind.MEAN"),
    ),
    short_functions: (
        [("hepjax/losses.py", "def f():\n" + "    pass\n" * (MAX_FUNCTION_LINES + 1), "61 lines")],
        ("hepjax/losses.py", 'def f():\n    """' + "words\n" * 99 + '"""\n' + "    pass\n" * MAX_FUNCTION_LINES),
    ),
}


@pytest.fixture(scope="module")
def library():
    """Path, relative to the root, → source."""
    return {path.relative_to(ROOT): path.read_text() for path in sorted((ROOT / "hepjax").rglob("*.py"))}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_library_keeps_the_rule(rule, library):
    assert len(library) > 50
    broken = [f"{path}: {words}" for path, source in library.items() for words in rule(path, ast.parse(source))]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_sees_breaches_and_nothing_else(rule):
    breaches, (path, source) = RULES[rule]
    for where, text, word in breaches:
        assert word in " ".join(rule(where, ast.parse(text)))
    assert not list(rule(path, ast.parse(source)))


def test_no_file_is_long(library):
    assert not {path: n for path, source in library.items() if (n := len(source.splitlines())) > MAX_FILE_LINES}


def test_one_experiment_does_not_know_another():
    scripts = {path.stem: path.read_text() for path in (ROOT / "experiments").glob("*.py")}
    known = {
        name: {word for node in ast.walk(ast.parse(source)) for word in imported(node)}
        for name, source in scripts.items()
    }
    assert not {name: words & {*scripts, "experiments"} for name, words in known.items() if words & {*scripts}}


def imported(node):
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {(node.module or "").split(".")[0]} if isinstance(node, ast.ImportFrom) else set()


def unmirrored(modules, tests):
    """Packages and root modules without tests, and folders of tests without a package, as paths below both."""
    packages = {str(path.parent) for path in modules if path.name == "__init__.py"}
    rooms = packages | {path.stem for path in modules if len(path.parts) == 1}
    folders = {str(parent) for path in tests for parent in path.parents} - {"."}
    files = {str(path.with_name(path.stem.removeprefix("test_"))) for path in tests}
    return sorted(rooms - folders - files - UNTESTED - {".", "__init__", "__main__"}), sorted(folders - packages)


def test_tests_mirror_the_package(library):
    modules = [path.relative_to("hepjax") for path in library]
    tests = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")]
    assert unmirrored(modules, tests) == ([], ["experiments"])


def test_the_mirror_shows_what_is_missing():
    modules = map(pathlib.PurePath, ["numerics.py", "models/__init__.py", "models/mlp.py"])
    tests = map(pathlib.PurePath, ["test_numerics.py", "sculptures/test_mlp.py"])
    assert unmirrored(list(modules), list(tests)) == (["models"], ["sculptures"])


def loaded_by(statement):
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()} & HEAVY


@pytest.mark.parametrize(
    "module", ["hepjax", "hepjax.cli.app", "hepjax.runs.options", "hepjax.types", "hepjax.data.datasets.hls4ml"]
)
def test_an_import_is_light(module):
    assert loaded_by(f"import {module}") == set()


def test_a_heavy_import_is_seen():
    assert "numpy" in loaded_by("import hepjax.physics.kinematics, numpy")


def cpu_seconds(command):
    """Its processor time: other work on the machine changes that little."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_comes_at_once():
    hepjax = pathlib.Path(sysconfig.get_path("scripts")) / "hepjax"
    fastest = min(cpu_seconds([hepjax, "--help"]) for _ in range(5))
    # A core whose twin is busy needs up to half as long again.
    assert fastest < 1.5 * HELP_SECONDS
