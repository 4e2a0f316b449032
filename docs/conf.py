"""The site: MyST pages, and a reference that is generated from docstrings."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import pkgutil
import re
import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from flax import linen as nn

import hepjax

if TYPE_CHECKING:
    from collections.abc import Iterator

project = "hepjax"
author = "The hepjax developers"
project_copyright = "2026, the hepjax developers"
version = release = hepjax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build", "jupyter_execute"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# Notebooks have no outputs in the repository; each build runs them, in a folder of their own.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

html_theme = "furo"
html_title = f"hepjax {release}"

# A single backtick is code in our docstrings.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 100
suppress_warnings = ["ref.python"]  # the same short name in two packages

# What a reader looks for first; each is a page.
ORDER = (
    "data", "types", "choices", "physics", "inputs", "models", "tasks", "training", "runtime", "evaluation", "report",
    "export", "runs", "numerics", "registry", "errors",
)  # fmt: skip
INNER = {
    "hepjax.physics.simulation": ("conditions", "processes", "detector", "clustering", "columns"),
    "hepjax.inputs": ("jetclass_inputs",),
    "hepjax.training": ("losses", "decorrelation", "step", "stopping"),
    "hepjax.runtime": ("compilation", "profiling", "tensorboard"),
    "hepjax.models": ("model",),
}
"""Modules that a package does not export, and that are worth reading about; of one that exports nothing all are."""


def inside(package: ModuleType) -> Iterator[ModuleType]:
    """A module, and what it holds that has its own section on its page."""
    yield package
    for found in pkgutil.iter_modules(getattr(package, "__path__", ())):
        name = f"{package.__name__}.{found.name}"
        if found.ispkg:
            yield from inside(importlib.import_module(name))
        elif not found.name.startswith("_") and (
            not hasattr(package, "__all__") or found.name in INNER.get(package.__name__, ())
        ):
            yield importlib.import_module(name)


def public(module: ModuleType) -> list[tuple[str, object]]:
    """What a module exports; where it has no list, the functions, classes and constants that its source defines."""
    names = list(getattr(module, "__all__", ()))
    if not names:
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.append(node.name)
            elif isinstance(node, ast.Assign):
                words = [target.id for target in node.targets if isinstance(target, ast.Name)]
                names += [word for word in words if word.isupper() and len(word) > 1]
    return [(name, getattr(module, name)) for name in names if not name.startswith("_")]


def kind(x: object) -> str:
    """The word of autodoc for it."""
    if inspect.isclass(x):
        return "exception" if issubclass(x, Exception) else "class"
    return "function" if inspect.isfunction(inspect.unwrap(x)) else "data"  # type: ignore[arg-type]


def belongs(x: object, module: ModuleType) -> bool:
    """Whether a function or class is defined in the package of a module, which may hand on others."""
    package = ".".join(module.__name__.split(".")[:2])
    return f"{inspect.unwrap(x).__module__}.".startswith(f"{package}.")  # type: ignore[arg-type]


def section(module: ModuleType, title: str, underline: str, without: frozenset[int] = frozenset()) -> str:
    """A module's page or part of a page, in reStructuredText: what it is for, a table, then everything in full."""
    members = [(name, x) for name, x in public(module) if not isinstance(x, ModuleType) and id(x) not in without]
    members = [(name, x) for name, x in members if kind(x) == "data" or belongs(x, module)]
    kinds = {name: kind(x) for name, x in members}
    listed = [name for name in kinds if kinds[name] != "data"]
    lines = [title, underline * len(title), "", f".. automodule:: {module.__name__}", "   :no-members:", ""]
    lines += [f".. currentmodule:: {module.__name__}", ""]
    if len(listed) > 1:
        lines += [".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in listed), ""]
    for name, x in members:
        lines += [f".. auto{kinds[name]}:: {name}"]
        if kinds[name] == "class":
            lines += ["   :members:"]
            if callable(vars(x).get("__call__")):
                lines += ["   :special-members: __call__"]
            if not issubclass(x, nn.Module) and not getattr(x, "_is_protocol", False):
                lines += ["   :undoc-members:"]
        if kinds[name] == "data":
            lines += [] if isinstance(x, str | int | float | tuple) else ["   :no-value:"]
        lines.append("")
    return "\n".join(lines)


def write_reference() -> None:
    """Writes docs/api: one page for each public module of hepjax."""
    folder = Path(__file__).parent / "api"
    folder.mkdir(exist_ok=True)
    modules = {name: importlib.import_module(f"hepjax.{name}") for name in ORDER}
    pages = {"index.md": INDEX + "\n".join(modules) + "\n```\n"}
    for name, module in modules.items():
        parts, exported = [section(module, f"hepjax.{name}", "=")], frozenset[int]()
        for x in inside(module):
            if x is not module:
                parts.append(section(x, x.__name__, "-", exported))
            exported |= {id(member) for _, member in public(x) if callable(member)}
        pages[f"{name}.rst"] = "\n".join(parts)
    for old in folder.glob("*"):
        if old.name not in pages:
            old.unlink()
    for file, text in pages.items():
        path = folder / file
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def draw_pictures() -> None:
    """Runs the Python of the pages that show pictures, which draws these, all of these and nothing else."""
    docs = Path(__file__).parent
    for page in (docs / "simulation.md", *sorted((docs / "tutorial").glob("*.md"))):
        names: dict[str, object] = {}
        text, pictures = page.read_text(), page.parent / "pictures"
        pictures.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            with contextlib.chdir(folder):
                for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
                    exec(block, names)  # noqa: S102 — the text is our own
            drawn = {path.name for path in Path(folder).iterdir()}
            if drawn != (expected := set(re.findall(r"!\[[^\]]+\]\(pictures/([\w.]+)\)", text))):
                raise ValueError(f"{page}: shows {sorted(expected)}, its code draws {sorted(drawn)}")
            for name in drawn:
                shutil.move(Path(folder) / name, pictures / name)


INDEX = """# Reference

Everything public, from the docstrings. Shapes stand in brackets, `(N, P, 16)`; momenta are in GeV, angles in radians.
`hepjax.read_jets`, `hepjax.load`, `hepjax.Jets` and `hepjax.InputError` are short names for
`hepjax.data.read_jets`, `hepjax.runs.taggers.load`, `hepjax.types.Jets` and `hepjax.errors.InputError`.

```{toctree}
:maxdepth: 1

"""


def tidy(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are written for a reader of the source; a few characters mean something else to Sphinx."""
    if what in ("attribute", "data"):
        # Napoleon takes the words before a colon for a type.
        lines[:] = inspect.cleandoc("\n".join(ATTRIBUTES.pop(name, lines))).splitlines()
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()
    for i, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            # "classes: C." would become a list that starts at C, and |w| is a size here, not a substitution.
            parts = re.split(r"(`[^`]*`)", re.sub(r"^(\s*:\w+ [^:]+: [A-Z])\.", r"\1\\.", line))
            lines[i] = "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


ATTRIBUTES: dict[str, list[str]] = {}
FIRST_WORDS = {(inspect.getdoc(x) or "").splitlines()[0] for x in (dict, float, int, str, tuple)}


def keep_attribute(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Runs before Napoleon, `tidy` after it."""
    if what in ("attribute", "data"):
        # A constant without words of its own has those of its type.
        ATTRIBUTES[name] = [] if lines and lines[0] in FIRST_WORDS else list(lines)


def shorten(
    app: object, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Leaves out what Flax adds to every module, and options, whose defaults stand beside their fields."""
    if what == "class" and obj.__module__.startswith("hepjax.runs.options"):
        return "", None
    if what == "class" and issubclass(obj, nn.Module):  # type: ignore[arg-type]
        signature = re.sub(r",? ?parent: .*(?=\)$)", "", signature or "")
    return signature, returns


def setup(app: object) -> None:
    """Called by Sphinx."""
    write_reference()
    draw_pictures()
    connect = app.connect  # type: ignore[attr-defined]
    connect("autodoc-process-docstring", keep_attribute, priority=1)
    connect("autodoc-process-docstring", tidy)
    connect("autodoc-process-signature", shorten)
