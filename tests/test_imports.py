"""The house rules of docs/architecture.md, read off the syntax trees: who may know whom, and what stays out."""

from __future__ import annotations

import ast
import pathlib
import resource
import subprocess
import sys
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
HELP_SECONDS = 0.5

COMMON = {"choices", "errors", "kinematics", "masking", "schema", "types"}
MAY_KNOW = {
    "choices": set(),
    "errors": set(),
    "schema": set(),
    "types": set(),
    "masking": set(),
    "kinematics": {"masking"},
    "hdf5_files": {"errors"},
    "readers": COMMON | {"hdf5_files"},
    "fetch": COMMON,
    "simulation": COMMON | {"hdf5_files"},
    "observables": COMMON,
    "representations": COMMON,
    "batches": COMMON,
    "models": COMMON,
    "losses": COMMON,
    "training": COMMON,
    "parallel": COMMON,
    "compilation": {"errors", "types"},
    "evaluation": COMMON,
    "report": COMMON | {"evaluation"},
    "explanation": COMMON,
    "export": COMMON,
    "structure": COMMON,
    "anomalies": COMMON,
    "generation": COMMON,
    "reinforcement": COMMON,
    "transients": COMMON,
    "independence": COMMON,
    "classical": COMMON,
    # What follows belongs to the room where the stages meet.
    "options": COMMON,
    "console": set(),
    "profiling": COMMON,
    "events": COMMON,
    "runs": COMMON | {"options"},
    "predictions": COMMON | {"hdf5_files"},
}
"""Top-level module or folder → what else of hepjax it may import."""
MEETING_PLACES = {
    "__init__",
    "__main__",
    "bench",
    "cli",
    "cloud_generators",
    "commands",
    "compare",
    "detectors",
    "experiment",
    "generators",
    "many",
    "nuisances",
    "results",
    "parts",
    "plan",
    "recipes",
    "reporting",
    "shipping",
    "taggers",
}
"""These may import anything of hepjax."""

ONLY_IN = {
    "cattrs": {"runs"},
    "fastjet": {"simulation"},
    "gymnasium": {"reinforcement"},
    "h5py": {"hdf5_files", "models/published", "readers"},
    "isal": {"readers"},
    "matplotlib": {"report"},
    "mplhep": {"report"},
    "optax": {"losses", "training"},
    "pooch": {"fetch"},
    "pyhepmc": {"simulation"},
    "pythia8mc": {"simulation"},
    "requests": {"fetch"},
    "sklearn": {"classical"},
    "rich": {"cli", "console", "report"},
    "tensorboard": {"events"},
    "tyro": {"cli", "commands"},
}
"""Package → the modules and folders that may import it."""
COMPILED = {"chex", "flax", "jax", "jaxlib", "jraph", "optax", "orbax"}
WITHOUT_JAX = {"console", "errors", "evaluation", "fetch", "options", "readers", "runs", "schema", "simulation"}
JRAPH_FILES = {"graphs.py", "interaction.py", "types.py"}
CHEX_TYPES = {"Array", "ArrayTree", "Numeric", "PRNGKey", "Scalar", "Shape", "dataclass"}
DEVICE_WORDS = {
    "Mesh", "NamedSharding", "PartitionSpec", "PositionalSharding", "device_count", "distributed", "local_device_count",
    "make_mesh", "pmap", "process_count", "process_index", "shard_map",
}  # fmt: skip
MUTATORS = {"add", "append", "clear", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
HEAVY = {"chex", "flax", "h5py", "jax", "matplotlib", "mplhep", "numpy", "optax", "orbax", "pooch", "requests", "scipy"}

PLAIN_WORDS = {"__init__", "__main__", "choices", "commands", "console", "errors", "options", "schema", "types"}
"""Modules of names and fields, without behaviour of their own to test."""
CROSSING = {"test_benchmarks", "test_experiments", "test_imports", "test_readme"}
"""Tests of the project as a whole."""


def imports(tree):
    """Every imported (module, name), wherever it stands; the name is None for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)


def packages(tree):
    return {module.split(".")[0] for module, _ in imports(tree)}


def stage(path):
    """`hepjax/readers/hdf5.py` → readers, `hepjax/losses.py` → losses."""
    return pathlib.PurePath(path).parts[1].removesuffix(".py")


def lies_in(path, place):
    """`hepjax/readers/hdf5.py` lies in readers, `hepjax/models/published/pytorch.py` in models/published."""
    return pathlib.PurePath(path).with_suffix("").is_relative_to(pathlib.PurePath("hepjax", place))


def known(tree):
    """The modules and folders of hepjax that a file imports."""
    for module, name in imports(tree):
        first, *rest = module.split(".")
        if first == "hepjax":
            word = rest[0] if rest else name
            if word in MAY_KNOW or word in MEETING_PLACES:
                yield word


def knows_only_its_own(path, tree):
    own = stage(path)
    if own not in MEETING_PLACES:
        if own not in MAY_KNOW:
            yield f"{own} is new: say in MAY_KNOW whom it may know"
        for word in sorted(set(known(tree)) - MAY_KNOW.get(own, set()) - {own}):
            yield f"{own} may not know {word}"


def imports_by_full_name(path, tree):
    for module, _ in imports(tree):
        if module.startswith("."):
            yield f"relative import of {module}"


def knows_nothing_outside(path, tree):
    for package in sorted(packages(tree) & {"benchmarks", "docs", "experiments", "tests"}):
        yield f"the library may not know {package}"


def packages_in_their_place(path, tree):
    own, found = stage(path), packages(tree)
    for package in sorted(found & set(ONLY_IN)):
        if not any(lies_in(path, place) for place in ONLY_IN[package]):
            yield f"{package} belongs in {sorted(ONLY_IN[package])}"
    if own in WITHOUT_JAX:
        yield from (f"{own} does without {package}" for package in sorted(found & COMPILED))
    if "jraph" in found and pathlib.PurePath(path).name not in JRAPH_FILES:
        yield f"jraph belongs in {sorted(JRAPH_FILES)}"


def chex_for_types_only(path, tree):
    names = {name for module, name in imports(tree) if module.split(".")[0] == "chex" and name}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "chex":
            names.add(node.attr)
    yield from (f"chex.{name} is for tests" for name in sorted(names - CHEX_TYPES))


def words(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")


def devices_in_parallel(path, tree):
    if stage(path) != "parallel":
        yield from (f"{word} belongs in parallel.py" for word in sorted(set(words(tree)) & DEVICE_WORDS))


def no_eval(path, tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            yield f"{node.func.id}() in line {node.lineno}"


def no_utils(path, tree):
    if {"utils", "util", "helpers", "misc"} & {part.removesuffix(".py") for part in pathlib.PurePath(path).parts}:
        yield "a name that says nothing"


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def no_module_state(path, tree):
    """Names of the module that a function rebinds or changes in place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"global {', '.join(node.names)}"
    targets = [node.targets for node in tree.body if isinstance(node, ast.Assign)]
    targets += [[node.target] for node in tree.body if isinstance(node, ast.AnnAssign)]
    module = {target.id for group in targets for target in group if isinstance(target, ast.Name)}
    for function in functions(tree):
        own = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        for node in ast.walk(function):
            changed = None
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
                changed = node.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
                changed = node.func.value
            if isinstance(changed, ast.Name) and changed.id in module - own:
                yield f"{function.name} changes {changed.id}"


def no_magic_strings(path, tree):
    """Enums and functions choose behaviour; a parameter that is compared with a string is a choice in disguise."""
    if any(name == "Literal" for _, name in imports(tree)):
        yield "Literal: use an enum"
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


# Each rule, with a file that breaks it: (path, source, a word of the complaint).
RULES = {
    knows_only_its_own: [
        ("hepjax/models/new.py", "from hepjax import losses", "losses"),
        ("hepjax/models/new.py", "from hepjax.data.hdf5 import read_jets", "readers"),
        ("hepjax/models/new.py", "def f():\n    import hepjax.inputs.batching.arrays", "batches"),
        ("hepjax/losses.py", "from hepjax.models import MLP", "models"),
        ("hepjax/training/loop.py", "from hepjax import report", "report"),
        ("hepjax/training/loop.py", "from hepjax import experiment", "experiment"),
        ("hepjax/evaluation/roc.py", "import hepjax.training", "training"),
        ("hepjax/report/tables.py", "from hepjax import runs", "runs"),
        ("hepjax/batches/arrays.py", "from hepjax.runs.options import Experiment", "options"),
        ("hepjax/types.py", "from hepjax import masking", "masking"),
        ("hepjax/novelty.py", "", "novelty"),
    ],
    imports_by_full_name: [("hepjax/models/new.py", "from ..readers import read_jets", "relative")],
    knows_nothing_outside: [("hepjax/cli.py", "from experiments import dense_tagger", "experiments")],
    packages_in_their_place: [
        ("hepjax/readers/hdf5.py", "import jax.numpy as jnp", "jax"),
        ("hepjax/simulation/run.py", "from flax import linen", "flax"),
        ("hepjax/models/mlp.py", "import optax", "optax"),
        ("hepjax/runs.py", "import h5py", "h5py"),
        ("hepjax/models/mlp.py", "import h5py", "h5py"),
        ("hepjax/models/published_weights.py", "def f():\n    import h5py", "h5py"),
        ("hepjax/evaluation/roc.py", "from matplotlib import pyplot", "matplotlib"),
        ("hepjax/batches/arrays.py", "import jraph", "jraph"),
        ("hepjax/experiment.py", "def f():\n    import tyro", "tyro"),
    ],
    chex_for_types_only: [
        ("hepjax/losses.py", "import chex\nchex.assert_rank(1, 0)", "assert_rank"),
        ("hepjax/losses.py", "from chex import assert_shape", "assert_shape"),
    ],
    devices_in_parallel: [
        ("hepjax/training/loop.py", "import jax\njax.pmap(f)", "pmap"),
        ("hepjax/experiment.py", "from jax.sharding import Mesh", "Mesh"),
        ("hepjax/experiment.py", "import jax\njax.process_count()", "process_count"),
        ("hepjax/cli.py", "import jax.distributed", "distributed"),
    ],
    no_eval: [("hepjax/cli.py", "eval('1')", "eval")],
    no_utils: [("hepjax/utils.py", "", "nothing"), ("hepjax/utils/text.py", "", "nothing")],
    no_module_state: [
        ("hepjax/cli.py", "x = 0\ndef f():\n    global x", "global"),
        ("hepjax/cli.py", "seen = {}\ndef f():\n    seen['a'] = 1", "seen"),
        ("hepjax/cli.py", "seen: list = []\ndef f():\n    seen.append(1)", "seen"),
    ],
    no_magic_strings: [
        ("hepjax/losses.py", "def f(kind):\n    return kind == 'mean'", "kind"),
        ("hepjax/losses.py", "from typing import Literal", "Literal"),
    ],
    short_functions: [("hepjax/losses.py", "def f():\n" + "    pass\n" * (MAX_FUNCTION_LINES + 1), "61 lines")],
}
# Files that come close to breaking a rule, and do not.
FINE = {
    knows_only_its_own: ("hepjax/report/new.py", "from hepjax.evaluation import auc\nfrom hepjax import __version__"),
    packages_in_their_place: ("hepjax/representations/graphs.py", "import jax\nimport jraph"),
    chex_for_types_only: ("hepjax/types.py", "import chex\n@chex.dataclass\nclass A:\n    x: chex.Array"),
    devices_in_parallel: ("hepjax/parallel.py", "from jax.sharding import Mesh"),
    no_module_state: ("hepjax/cli.py", "seen = {}\ndef f():\n    seen = {}\n    seen['a'] = 1"),
    short_functions: (
        "hepjax/losses.py",
        'def f():\n    """' + "words\n" * 99 + '"""\n' + "    pass\n" * MAX_FUNCTION_LINES,
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


@pytest.mark.parametrize("rule, path, source, word", [(rule, *case) for rule, cases in RULES.items() for case in cases])
def test_the_rule_sees_a_breach(rule, path, source, word):
    complaints = list(rule(path, ast.parse(source)))
    assert complaints
    assert word in " ".join(complaints)


@pytest.mark.parametrize("rule", FINE, ids=lambda rule: rule.__name__)
def test_the_rule_lets_pass_what_is_allowed(rule):
    path, source = FINE[rule]
    assert not list(rule(path, ast.parse(source)))


def test_no_file_is_long(library):
    assert not {path: n for path, source in library.items() if (n := len(source.splitlines())) > MAX_FILE_LINES}


def sibling_imports(paths_and_sources):
    names = {pathlib.PurePath(path).stem for path in paths_and_sources}
    for path, source in paths_and_sources.items():
        for package in sorted(packages(ast.parse(source)) & (names | {"experiments"})):
            yield f"{path} knows {package}"


def test_one_experiment_does_not_know_another():
    scripts = {path.relative_to(ROOT): path.read_text() for path in (ROOT / "experiments").glob("*.py")}
    assert not list(sibling_imports(scripts))
    assert list(sibling_imports({"experiments/a.py": "import b", "experiments/b.py": ""})) == [
        "experiments/a.py knows b"
    ]


def unmirrored(modules, tests):
    """Modules without tests, and tests without a module; both as paths below hepjax/ and tests/."""
    stages = {pathlib.PurePath(path).parts[0].removesuffix(".py") for path in modules}
    tested = {
        pathlib.PurePath(path).parts[0].removesuffix(".py").removeprefix("test_")
        for path in tests
        if pathlib.PurePath(path).name.startswith("test_")
    }
    crossing = {name.removeprefix("test_") for name in CROSSING}
    return sorted(stages - tested - PLAIN_WORDS), sorted(tested - stages - crossing)


def test_tests_mirror_the_package(library):
    modules = [path.relative_to("hepjax") for path in library]
    tests = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("*.py")]
    assert unmirrored(modules, tests) == ([], [])


def test_the_mirror_shows_what_is_missing():
    assert unmirrored(["losses.py", "models/mlp.py"], ["test_losses.py", "sculptures/test_mlp.py"]) == (
        ["models"],
        ["sculptures"],
    )


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
    assert "numpy" in loaded_by("import hepjax; hepjax.physics.kinematics; import numpy")


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
