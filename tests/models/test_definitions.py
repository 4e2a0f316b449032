"""Tests of how classes and functions are found again, and of fields as words."""

import enum
import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from hepjax import InputError, registry
from hepjax.models import definitions

SOURCE = """
from flax import linen as nn

def double(x):
    return 2 * x

class Net(nn.Module):
    width: int = 3
"""


class Kind(enum.Enum):
    ONE = 1


class Holder(nn.Module):
    value: object = None


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 0.25, "relu", (), (64, (32, "a")), {"a": (1, None)}, nn.relu, jax.nn.gelu, jnp.tanh, nn.Dense,
        jnp.float32, np.float64, Kind.ONE, nn.Dense(3, use_bias=False), (nn.Dense(4, name=None), nn.relu),
        {"inner": Holder((nn.Dense(1),))}, len,
    ],
)  # fmt: skip
def test_fields_come_back(value):
    words = definitions.fields_of(Holder(value))
    assert definitions.read_fields(words) == {"value": value}


def test_lists_come_back_as_tuples_and_numbers_of_numpy_as_numbers():
    assert definitions.read_fields(definitions.fields_of(Holder([1, [2]]))) == {"value": (1, (2,))}
    assert definitions.read_fields(definitions.fields_of(Holder(np.int64(3)))) == {"value": 3}
    assert definitions.read_fields(definitions.fields_of(Holder(np.dtype("float32")))) == {"value": np.float32}


@pytest.mark.parametrize(
    "value", [lambda x: x, functools.partial(len, "a"), object(), {1: 2}, {"$place": 1}, np.zeros(3), float("nan")]
)
def test_what_cannot_be_recorded_is_named(value):
    with pytest.raises(InputError, match=r"^Holder.value: .*; give numbers, words"):
        definitions.fields_of(Holder(value))


def test_a_default_that_json_cannot_hold_is_left_out():
    words = dict(word.split("=", 1) for word in definitions.fields_of(nn.Dense(3)))
    assert words["features"] == "3"
    assert "kernel_init" not in words
    assert definitions.module_of_class(nn.Dense, "nn:Dense", definitions.read_fields(("features=3",))) == nn.Dense(3)


@pytest.mark.parametrize("word", ["x", "x=", "x={", "x=[", "x=" + "[" * 100_000])
def test_words_that_are_no_json(word):
    with pytest.raises(InputError, match="expected name=JSON"):
        definitions.read_fields((word,))


@pytest.mark.parametrize(
    "place, message",
    [
        ("", "inside of a function"),
        ("Net", "inside of a function"),
        ("tests:f.<locals>.Net", "inside of a function"),
        ("no_such_package.nets:Net", r"no_such_package.nets cannot be imported \(ModuleNotFoundError"),
        ("..nets:Net", "cannot be imported"),
        ("/no/such/file.py:Net", "there is no such file; give the Python file by --plugins"),
        ("flax.linen:Dence", "there is no Dence in flax.linen"),
        ("__main__:Nyet", "defined in a notebook"),
    ],
)
def test_places_where_nothing_is(place, message):
    with pytest.raises(InputError, match=message):
        definitions.find(place)


@pytest.mark.parametrize("place", ["os:system", "builtins:dict", "flax.linen:relu", "hepjax.registry:Registry"])
def test_only_flax_modules_are_made(place):
    with pytest.raises(InputError, match="expected a class of Flax modules"):
        definitions.make_module(place, {})


def test_fields_that_the_class_has_no_more():
    with pytest.raises(InputError, match="does not take the fields that it had"):
        definitions.make_module("flax.linen:Dense", {"features": 3, "biased": True})


def test_a_class_of_a_file_is_found_in_another_process_and_after_the_file_has_moved(tmp_path):
    path, moved = tmp_path / "nets.py", tmp_path / "new" / "nets.py"
    path.write_text(SOURCE)
    program = (
        "import nets; from hepjax.models import definitions as d; print(d.place_of(nets.Net), d.place_of(nets.double))"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    place, function = found.stdout.split()
    assert (place, function) == (f"{path}:Net", f"{path}:double")
    try:
        assert definitions.find(place)(width=4).width == 4
        assert definitions.find(function)(2) == 4
        del sys.modules[f"hepjax_plugin:{path}"]
        moved.parent.mkdir()
        path.rename(moved)
        with pytest.raises(InputError, match="no such file"):
            definitions.find(place)
        registry.import_plugin(moved)
        assert definitions.find(place)().width == 3
    finally:
        for file in (path, moved):
            sys.modules.pop(f"hepjax_plugin:{file}", None)


def test_a_file_that_is_running_is_not_run_again(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(
        f"{SOURCE}\nprint('once')\nfrom hepjax.models import definitions as d\n"
        "print(d.find(d.place_of(Net)) is Net, d.find(d.place_of(double)) is double)\n"
    )
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["once", "True", "True"]


def test_what_this_process_has_defined_comes_first():
    class Local(nn.Module):
        pass

    place = definitions.registered_place(Local)
    assert "<locals>" in place
    assert definitions.find(place) is Local
