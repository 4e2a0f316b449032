"""Names of a folder, of entry points and of calls, and what is said of those that do not work."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import pytest

from hepjax import InputError, registry
from hepjax.registry import Registry, import_plugin


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A package `zoo` with a registry of its own, some animals and some files that are none."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    animal = 'from zoo import register\n\n@register("{}")\nclass Animal:\n    """{}\n\n    More."""\n'
    (folder / "__init__.py").write_text(
        "from hepjax.registry import Registry\n"
        'ANIMALS = Registry("animal", package="zoo", entry_points="zoo.animals")\nregister = ANIMALS.register\n'
    )
    (folder / "cat.py").write_text(animal.format("cat", "It purrs."))
    (folder / "polar_bear.py").write_text(animal.format("polar-bear", "It is white."))
    (folder / "fish.py").write_text('"""Fish swim."""\nfrom zoo import register\n\nFISH = register("fish", (1, 2))\n')
    (folder / "dog").mkdir()
    (folder / "dog" / "__init__.py").write_text(animal.format("dog", "It barks."))
    (folder / "tools.py").write_text("raise RuntimeError\n")
    (folder / "_hidden.py").write_text(animal.format("hidden", "No."))
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("zoo").ANIMALS
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo"]:
        del sys.modules[name]


def entry(monkeypatch, name, load, package="pets"):
    point = SimpleNamespace(name=name, value="pets.all:Pet", dist=SimpleNamespace(name=package), load=load)
    before = registry._entry_points
    monkeypatch.setattr(
        registry,
        "_entry_points",
        lambda group, path: (*before(group, path), point) if group == "zoo.animals" else before(group, path),
    )


def test_names_and_summaries_import_nothing(zoo):
    assert zoo.names() == ("cat", "dog", "fish", "polar-bear")
    assert [zoo.summary(name) for name in zoo.names()] == ["It purrs.", "It barks.", "Fish swim.", "It is white."]
    assert not [name for name in sys.modules if name.startswith("zoo.")]


def test_a_name_imports_its_file_alone(zoo):
    bear = zoo.get("polar-bear")
    assert [name for name in sys.modules if name.startswith("zoo.")] == ["zoo.polar_bear"]
    assert bear is zoo.get("polar-bear")
    assert zoo.name_of(bear) == zoo.name_of(bear()) == "polar-bear"
    assert zoo.get("fish") == (1, 2)
    assert zoo.name_of((1, 2)) == "fish"


def test_unknown(zoo):
    with pytest.raises(InputError, match=re.escape("animal: there is no polar-bare; did you mean polar-bear?")):
        zoo.get("polar-bare")
    with pytest.raises(InputError, match="there is no xyz; there are cat, dog, fish, polar-bear"):
        zoo.get("xyz")
    with pytest.raises(InputError, match="animal: int has no name"):
        zoo.name_of(3)
    with pytest.raises(InputError, match="animal: bool has no name"):
        zoo.name_of(bool)


def test_a_call_and_a_decorator(zoo):
    zoo.register("mouse", 1.5)

    @zoo.register("rat")
    class Rat:
        """It hides.

        More.
        """

    assert zoo.names() == ("cat", "dog", "fish", "mouse", "polar-bear", "rat")
    assert (zoo.get("mouse"), zoo.get("rat"), zoo.summary("rat")) == (1.5, Rat, "It hides.")


def test_twice(zoo):
    zoo.register("mouse", 1)
    with pytest.raises(InputError) as error:
        zoo.register("mouse", 2)
    assert re.fullmatch(
        rf"animal mouse: registered at {re.escape(__file__)}:\d+ and again at {re.escape(__file__)}:\d+; "
        "give another name",
        str(error.value),
    )
    for known in ("cat", "dog"):  # before and after its import
        with pytest.raises(
            InputError, match=rf"animal {known}: registered at .*{known}.* and again at .*test_registry"
        ):
            zoo.register(known, 3)
        zoo.get(known)
        with pytest.raises(InputError, match=rf"animal {known}: registered at .*{known}.* and again at"):
            zoo.register(known, 3)


@pytest.mark.parametrize("name", ["Mouse", "a mouse", "-mouse", "mouse_1", "", "mouse--1"])
def test_names_of_a_command_line(zoo, name):
    with pytest.raises(InputError, match="expected a name of lower-case letters"):
        zoo.register(name, 1)


class TestEntryPoints:
    def test_loaded_when_asked_for(self, zoo, monkeypatch):
        loads = []
        entry(monkeypatch, "pet", lambda: loads.append(1) or 42)
        assert "pet" in zoo.names()
        assert zoo.summary("pet") == "From the entry point pet = pets.all:Pet of pets."
        assert not loads
        assert zoo.get("pet") == zoo.get("pet") == 42
        assert loads == [1]
        assert zoo.name_of(42) == "pet"

    def test_one_that_registers_itself(self, zoo, monkeypatch):
        entry(monkeypatch, "pet", lambda: zoo.register("pet", 42))
        assert zoo.get("pet") == 42

    def test_one_that_fails(self, zoo, monkeypatch):
        def load():
            raise ImportError("no module\nnamed x")

        entry(monkeypatch, "pet", load)
        assert "pet" in zoo.names()
        with pytest.raises(InputError) as error:
            zoo.get("pet")
        assert str(error.value) == (
            "animal pet: the entry point pet = pets.all:Pet of pets fails to import (ImportError: no module named x); "
            "upgrade, repair or uninstall that package"
        )
        assert zoo.get("cat")

    def test_two_of_one_name(self, zoo, monkeypatch):
        entry(monkeypatch, "cat", lambda: 1)
        with pytest.raises(
            InputError, match=r"animal cat: registered by .*cat.py and by the entry point cat = .*; rem"
        ):
            zoo.get("cat")


class TestPlugins:
    def test_once(self, tmp_path, capsys):
        path = tmp_path / "mine.py"
        path.write_text("print('imported')\n")
        for _ in range(2):
            import_plugin(path)
        assert capsys.readouterr().out == "imported\n"

    @pytest.mark.parametrize(
        "text, words",
        [
            ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
            ("x = \n", "SyntaxError"),
            ("1 / 0\n", "ZeroDivisionError: division by zero"),
            (
                'from hepjax.models import register\nregister("mlp", 1)\n',
                "model mlp: registered at .*mlp.py.* and again at .*mine.py:2; give another name",
            ),
        ],
    )
    def test_failing(self, tmp_path, text, words):
        path = tmp_path / "mine.py"
        path.write_text(text)
        for _ in range(2):
            with pytest.raises(InputError, match=rf"plug-in .*mine\.py: .*{words}"):
                import_plugin(path)

    def test_missing(self, tmp_path):
        with pytest.raises(InputError, match=r"plug-in .*none\.py: there is no such file"):
            import_plugin(tmp_path / "none.py")
        (tmp_path / "mine.txt").touch()
        with pytest.raises(InputError, match=r"mine\.txt: expected a Python file"):
            import_plugin(tmp_path / "mine.txt")


def test_an_empty_registry():
    empty = Registry("thing", package="hepjax.no_such_package", entry_points="hepjax.none")
    assert empty.names() == ()
    with pytest.raises(InputError, match="thing: there is no x; there are none"):
        empty.get("x")
