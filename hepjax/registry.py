"""Names to models, datasets and tasks: those of this library, of installed packages, and of a user's own files."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import os
import re
import sys
from functools import cache, cached_property
from importlib import metadata, util
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

V = TypeVar("V")

_PLUGIN = "hepjax_plugin:"
"""What the names of modules begin with that are users' files."""
_BEING_IMPORTED: list[Path] = []
_DEFINED: dict[str, Any] = {}
"""Where classes of this process are defined → the classes."""


class Registry(Generic[V]):
    """The named things of one kind; names are known before anything is imported.

    A name comes from a file of the package (`particle_net.py` is "particle-net" where it registers that name), from an
    entry point of an installed package, or from a call of `register`. This is the library's one state of modules.

    >>> models = Registry("model", package="hepjax.models", entry_points="hepjax.models")
    >>> "interaction-network" in models.names()
    True
    >>> models.register("toy", dict)
    <class 'dict'>
    >>> models.get("toy"), models.name_of({})
    (<class 'dict'>, 'toy')
    """

    def __init__(
        self, kind: str, *, package: str, entry_points: str, unlisted: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Makes a registry.

        Args:
          kind: what is registered, in one word, for messages.
          package: the package whose files register one value each.
          entry_points: the group of entry points in which installed packages name theirs.
          unlisted: names that are known, but not among `names()` → the module of the package that registers them.
        """
        self.kind, self.package, self.group, self.unlisted = kind, package, entry_points, unlisted
        self._values: dict[str, V] = {}
        self._places: dict[str, str] = {}

    def __repr__(self) -> str:
        """Lists the names."""
        return f"<{self.kind}s: {', '.join(self.names())}>"

    def names(self) -> tuple[str, ...]:
        """Returns all names, sorted; imports nothing."""
        found = {*self._files_by_name, *(point.name for point in self._points()), *self._values}
        return tuple(sorted(found - self.unlisted.keys()))

    def get(self, name: str) -> V:
        """Returns the value of a name, and imports what is needed for it.

        Args:
          name: as on the command line.

        Raises:
          InputError: nobody has registered the name, two have, or the file or package that has fails to import.
        """
        if name not in self._values and name in self.unlisted:
            importlib.import_module(f"{self.package}.{self.unlisted[name]}")
        if name not in self._values:
            files = self._files_by_name
            points = [point for point in self._points() if point.name == name]
            sources = [*([str(files[name])] if name in files else []), *map(_describe_entry_point, points)]
            if len(sources) > 1:
                raise InputError(f"{self.kind} {name}: registered by {' and by '.join(sources)}; remove one of them")
            if not sources:
                raise InputError(f"{self.kind}: there is no {name}; {similar_names_hint(name, self.names())}")
            if points:
                self._load_name(points[0])
            else:
                importlib.import_module(f"{self.package}.{name.replace('-', '_')}")
        return self._values[name]

    @overload
    def register(self, name: str) -> Callable[[V], V]: ...
    @overload
    def register(self, name: str, value: V) -> V: ...
    def register(self, name: str, value: Any = None) -> Any:
        """Registers a value by a call, or the class or function that this decorates.

        Args:
          name: as on the command line: lower-case letters, digits and hyphens.
          value: None returns a decorator.

        Returns:
          The value, or the decorator.

        Raises:
          InputError: the name is taken, or not one for a command line.
        """
        place = _caller_of_register()
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
            raise InputError(
                f"{self.kind} {name!r}, registered at {place}: expected a name of lower-case letters, digits and "
                "single hyphens, such as my-model"
            )

        def keep(value: V) -> V:
            self._check_name_is_free(name, place)
            self._values[name], self._places[name] = value, place
            return value

        return keep if value is None else keep(value)

    def name_of(self, value: object) -> str:
        """Returns the name of a registered value, or of an instance of a registered class.

        Args:
          value: a value that was registered, or a direct instance of one.

        Raises:
          InputError: it is not registered.
        """
        for name, registered in self._values.items():
            same = type(registered) is type(value) and registered == value
            if registered is value or registered is type(value) or same:
                return name
        title = value.__name__ if isinstance(value, type) else type(value).__name__
        raise InputError(f'{self.kind}: {title} has no name; register its class by hepjax\'s register("a-name")')

    def summary(self, name: str) -> str:
        """Returns one line about a value: the first of its docstring, read without importing a file of the package.

        Args:
          name: one of `names()`.
        """
        if (path := self._files_by_name.get(name)) is not None:
            return _docstring_summary_in_file(path, name)
        if name in self._values:
            return (inspect.getdoc(self._values[name]) or "").partition("\n")[0]
        return next((f"From {_describe_entry_point(point)}." for point in self._points() if point.name == name), "")

    def _check_name_is_free(self, name: str, place: str) -> None:
        other, file = self._places.get(name), self._files_by_name.get(name)
        if other is None and file is not None and place.rpartition(":")[0] != str(file):
            other = str(file)
        if other not in {None, place}:  # a file that is imported again registers the same anew
            raise InputError(f"{self.kind} {name}: registered at {other} and again at {place}; give another name")

    @cached_property
    def _files_by_name(self) -> dict[str, Path]:
        """Name → the file of the package that registers it; a folder's is its __init__.py."""
        spec = util.find_spec(self.package)
        files: dict[str, Path] = {}
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            for path in (*Path(folder).glob("*.py"), *Path(folder).glob("*/__init__.py")):
                stem = path.parent.name if path.name == "__init__.py" else path.stem
                name = stem.replace("_", "-")
                if not stem.startswith("_") and _file_registers_name(path.read_text(encoding="utf-8"), name):
                    files[name] = path
        return files

    def _points(self) -> Sequence[metadata.EntryPoint]:
        return _entry_points(self.group, tuple(sys.path))

    def _load_name(self, point: metadata.EntryPoint) -> None:
        try:
            value = point.load()
        except Exception as error:  # a plug-in may fail in any way
            raise InputError(
                f"{self.kind} {point.name}: {_describe_entry_point(point)} fails to import "
                f"({type(error).__name__}: {_one_line_summary(error)}); upgrade, repair or uninstall that package"
            ) from error
        if point.name not in self._values:
            self._values[point.name], self._places[point.name] = value, _describe_entry_point(point)


def import_plugin(path: Path) -> None:
    """Imports a user's file, which registers models, datasets or tasks; a second time, or while it runs, does nothing.

    Args:
      path: a Python file.

    Raises:
      InputError: there is no such file, or it fails to import.
    """
    path = Path(os.path.realpath(path.expanduser()))  # which does not mind a loop of links
    name = f"{_PLUGIN}{path}"
    if module_of_file(path) is not None:
        return
    if not path.is_file():
        raise InputError(f"plug-in {path}: there is no such file; give the Python file by --plugins")
    spec = util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"plug-in {path}: expected a Python file, whose name ends in .py")
    module = util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being imported
    _BEING_IMPORTED.append(path)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, InputError):
            raise InputError(f"plug-in {path}: {error}") from error
        if isinstance(error, Exception):
            raise InputError(
                f"plug-in {path}: fails to import ({type(error).__name__}: {_one_line_summary(error)}); "
                "correct the file"
            ) from error
        raise
    finally:
        _BEING_IMPORTED.pop()


def plugin_being_imported() -> Path | None:
    """Returns the user's file that is being imported at this moment; None where none is.

    >>> plugin_being_imported()
    """
    return _BEING_IMPORTED[-1] if _BEING_IMPORTED else None


def module_of_file(path: Path) -> ModuleType | None:
    """Returns the module of a Python file that this process has imported, as a plug-in or otherwise, or is running.

    Args:
      path: the file, without links.

    >>> module_of_file(Path(os.path.realpath(__file__))).__name__
    'hepjax.registry'
    """
    plugin = sys.modules.get(f"{_PLUGIN}{path}")
    others = (module for module in list(sys.modules.values()) if getattr(module, "__file__", None))
    return plugin or next((each for each in others if os.path.realpath(str(each.__file__)) == str(path)), None)


def plugins() -> tuple[ModuleType, ...]:
    """Returns the modules of the user's files that were imported as plug-ins, in that order."""
    return tuple(module for name, module in list(sys.modules.items()) if name.startswith(_PLUGIN))


def define(place: str, value: V) -> V:
    """Keeps what this process knows by a place, for `defined`; a later definition takes the place of an earlier one.

    Args:
      place: where it is defined, in words that are recorded.
      value: a class.

    Returns:
      The value.
    """
    _DEFINED[place] = value
    return value


def defined(place: str) -> Any:
    """Returns what this process knows by a place; None where it knows nothing.

    >>> define("shelf:Toy", dict), defined("shelf:Toy")
    (<class 'dict'>, <class 'dict'>)
    """
    return _DEFINED.get(place)


def submodule(package: str, name: str) -> ModuleType:
    """Imports a module of a package when it is first asked for, as `package.name`.

    Args:
      package: its full name.
      name: of the module.

    Raises:
      AttributeError: the package has no such module.

    >>> submodule("hepjax.data", "containers").__name__
    'hepjax.data.containers'
    """
    if name.startswith("_") or util.find_spec(f"{package}.{name}") is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return importlib.import_module(f"{package}.{name}")


def similar_names_hint(name: str, known: Sequence[str]) -> str:
    """Returns words that name what was probably meant.

    Args:
      name: an unknown name.
      known: the names that there are.

    >>> similar_names_hint("mpl", ("gru", "mlp"))
    'did you mean mlp?'
    >>> similar_names_hint("x", ("gru", "mlp"))
    'there are gru, mlp'
    """
    near = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known) or 'none'}"


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[metadata.EntryPoint, ...]:  # noqa: ARG001
    """Lists entry points, which takes milliseconds, once for each `sys.path`."""
    return tuple(metadata.entry_points(group=group))


def _file_registers_name(text: str, name: str) -> bool:
    """Returns whether a file registers a name, as a decorator or a call at the left margin."""
    return re.search(rf'^(@|\w+ = )?(\w+\.)?register\(\s*"{name}"', text, re.MULTILINE) is not None


@cache
def _docstring_summary_in_file(path: Path, name: str) -> str:
    """The first line of the docstring of the class that a file registers, or of the file where it is no class."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and any(
            isinstance(call, ast.Call) and call.args and getattr(call.args[0], "value", None) == name
            for call in node.decorator_list
        ):
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def _describe_entry_point(point: metadata.EntryPoint) -> str:
    package = f" of {point.dist.name}" if point.dist is not None else ""
    return f"the entry point {point.name} = {point.value}{package}"


def _caller_of_register() -> str:
    """File and line of whoever calls `register`."""
    frame = sys._getframe(2)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _one_line_summary(error: BaseException) -> str:
    return " ".join(str(error).split())
