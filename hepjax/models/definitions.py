"""Where classes are defined, as words by which another process finds them, and the fields of modules as JSON."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import json
import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flax import linen as nn

from hepjax import registry
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

_PUBLIC = ("flax.linen", "jax.nn", "jax.numpy")
"""Modules that name functions for the public; those that define them may move from version to version."""
_PLACE, _FIELDS = "$place", "$fields"
"""The keys in JSON of what is found by its place, and of the fields of a module."""
_OF_FLAX = ("parent", "name")


def place_of(value: Any) -> str:
    """Names where a class or a function is defined.

    Args:
      value: one that was defined by `class` or `def`.

    Returns:
      `package.module:Name`; or `/path/file.py:Name` of a script, and of a module that belongs to no installed package.

    >>> place_of(nn.Dense)
    'flax.linen.linear:Dense'
    """
    for name in _PUBLIC if not isinstance(value, type) else ():
        public = str(getattr(value, "__name__", ""))
        if getattr(sys.modules.get(name), public, None) is value:
            return f"{name}:{public}"
    module = sys.modules.get(value.__module__)
    home, file, spec = value.__module__, getattr(module, "__file__", None), getattr(module, "__spec__", None)
    if home == "__main__" and spec is not None:  # python -m package.module
        home = spec.name
    if file and not getattr(module, "__package__", None) and not _is_installed(file):
        home = os.path.realpath(file)
    return f"{home}:{value.__qualname__}"


def find(place: str) -> Any:
    """Finds what is defined at a place, and imports what is needed for it.

    Args:
      place: from `place_of`.

    Returns:
      The class or function; what this process has defined there comes first.

    Raises:
      InputError: it is not there; says what to do.

    >>> find("flax.linen:relu") is nn.relu
    True
    >>> find("flax.linen:reelu")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: flax.linen:reelu: there is no reelu in flax.linen; define it there again, or train again
    """
    if (known := registry.defined(place)) is not None:
        return known
    home, _, names = place.rpartition(":")
    if "<" in names or not home:
        raise InputError(
            f"{place}: was defined inside of a function, in another process, and cannot be found; define it at the top "
            "of a Python file, and train again"
        )
    found: Any = _module_at(home, place)
    for name in names.split("."):
        found = getattr(found, name, None)
        if found is None:
            remedy = "define it there again, or train again"
            if home == "__main__":
                remedy = "it was defined in a notebook; define it there again, or in a Python file, and train again"
            raise InputError(f"{place}: there is no {names} in {home}; {remedy}")
    return found


def fields_of(module: nn.Module) -> tuple[str, ...]:
    """Writes the fields of a Flax module as words.

    Args:
      module: its fields hold numbers, words, tuples, dicts, other modules, classes, or functions that can be imported.

    Returns:
      A word `name=JSON` for each field; fields that JSON cannot hold are left out where they have their defaults.

    Raises:
      InputError: a field holds something else.

    >>> fields_of(nn.Dense(3, use_bias=False))[:2]
    ('features=3', 'use_bias=false')
    """
    return tuple(f"{name}={json.dumps(value)}" for name, value in _fields_to_json(module).items())


def read_fields(words: Iterable[str]) -> dict[str, Any]:
    """Reads the fields of a Flax module.

    Args:
      words: from `fields_of`.

    Returns:
      Name of a field → its value; lists are tuples.

    Raises:
      InputError: a word is no `name=JSON`, or what it names cannot be found.

    >>> read_fields(("hidden=[64, 32]", 'activation={"$place": "flax.linen:relu"}'))["hidden"]
    (64, 32)
    """
    fields = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            fields[name] = _from_json(json.loads(text))
        except (RecursionError, json.JSONDecodeError) as error:
            raise InputError(f"--arguments: expected name=JSON, found {word!r:.80}") from error
    return fields


def make_module(place: str, fields: Mapping[str, Any]) -> nn.Module:
    """Makes the Flax module of a place and fields, which belongs to no other module yet.

    Args:
      place: from `place_of`.
      fields: from `read_fields`.

    Raises:
      InputError: there is no such class, it is no Flax module, or it does not take the fields.
    """
    return module_of_class(find(place), place, fields)


def module_of_class(kind: Any, place: str, fields: Mapping[str, Any]) -> nn.Module:
    """Makes the Flax module of a class; as `make_module`, where the class is known."""
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise InputError(f"{place}: expected a class of Flax modules, found {type(kind).__name__}; train again")
    try:
        return kind(**fields, parent=None)
    except TypeError as error:
        raise InputError(f"{place}: does not take the fields that it had ({error}); restore them") from error


def _is_installed(file: str) -> bool:
    """Returns whether a file is one of an installed package or of Python itself, which every process finds."""
    homes = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}
    return any(Path(file).is_relative_to(home) for home in homes)


def _module_at(home: str, place: str) -> ModuleType:
    if home.endswith(".py"):
        return _module_of_script(Path(os.path.realpath(home)), place)
    try:
        return importlib.import_module(home)
    except Exception as error:  # a user's module may fail in any way
        raise InputError(
            f"{place}: {home} cannot be imported ({type(error).__name__}: {' '.join(str(error).split())}); install its "
            "package, or put its folder into PYTHONPATH"
        ) from error


def _module_of_script(path: Path, place: str) -> ModuleType:
    """The module of a script; one of the same name that was given by --plugins stands for one that is gone."""
    if path.is_file():
        registry.import_plugin(path)
    if (found := registry.module_of_file(path)) is not None:
        return found
    moved = [module for module in registry.plugins() if Path(str(module.__file__)).name == path.name]
    if len(moved) != 1:
        raise InputError(f"{place}: there is no such file; give the Python file by --plugins")
    return moved[0]


def _fields_to_json(module: nn.Module) -> dict[str, Any]:
    written = {}
    for field in dataclasses.fields(module):
        if not field.init or field.name in _OF_FLAX:
            continue
        value = getattr(module, field.name)
        try:
            written[field.name] = _to_json(value)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError) or not _is_default(field, value):
                name = f"{type(module).__name__}.{field.name}"
                raise InputError(
                    f"{name}: {error}; give numbers, words, tuples, modules, or functions that are defined at the top "
                    "of a Python file"
                ) from error
    return written


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    return value is made or (type(value) is type(made) and bool(np.all(value == made)))


def _to_json(value: Any) -> Any:
    """The value in JSON's types.

    Raises:
      TypeError: JSON cannot hold it.
      ValueError: it is a number that is not finite.
    """
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None or (isinstance(plain, bool | int | float | str) and not isinstance(plain, enum.Enum)):
        json.dumps(plain, allow_nan=False)
        return plain
    if isinstance(plain, list | tuple):
        return [_to_json(each) for each in plain]
    if isinstance(plain, Mapping):
        if wrong := [name for name in plain if not isinstance(name, str) or name.startswith("$")]:
            raise TypeError(f"the key {wrong[0]!r} cannot be recorded")
        return {name: _to_json(each) for name, each in plain.items()}
    if isinstance(plain, nn.Module):
        return {_PLACE: registered_place(type(plain)), _FIELDS: _fields_to_json(plain)}
    return {_PLACE: _place_of_constant(plain.type if isinstance(plain, np.dtype) else plain)}


def _place_of_constant(value: Any) -> str:
    """The place of a class, a function or a choice, if it can be found there again."""
    place = ""
    if isinstance(value, enum.Enum):
        place = f"{place_of(type(value))}.{value.name}"
    elif isinstance(value, type) and issubclass(value, nn.Module):
        place = registered_place(value)
    elif callable(value) and hasattr(value, "__qualname__"):
        place = place_of(value)
    try:
        known = find(place) is value
    except InputError:
        known = False
    if not known:
        raise TypeError(f"{value!r:.60} cannot be recorded")
    return place


def registered_place(kind: type) -> str:
    """Returns the place of a class, which this process will find by it from now on.

    Args:
      kind: any class.
    """
    place = place_of(kind)
    registry.define(place, kind)
    return place


def _from_json(tree: Any) -> Any:
    if isinstance(tree, list):
        return tuple(map(_from_json, tree))
    if not isinstance(tree, dict):
        return tree
    if isinstance(place := tree.get(_PLACE), str):
        fields = tree.get(_FIELDS)
        return find(place) if not isinstance(fields, dict) else make_module(place, _from_json(fields))
    return {name: _from_json(value) for name, value in tree.items()}
