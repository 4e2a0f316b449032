"""Tests of expressions over columns: the right values, and nothing that is not on the list."""

import contextlib
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepjax.data.expressions import evaluate, parse_expression
from hepjax.errors import InputError

MASK = np.array([[True, True, True], [True, False, False], [False, False, False]])
PX = np.array([[3.0, -1.0, 2.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
PY = np.array([[4.0, 1.0, -2.0], [12.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
JET_PT = np.array([10.0, 20.0, 0.0])
COLUMNS = {"part_px": PX, "part_py": PY, "jet_pt": JET_PT, "is_top": np.array([True, False, False])}


def value(text):
    return evaluate(parse_expression(text), COLUMNS, MASK)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("np.hypot(part_px, part_py)", np.hypot(PX, PY)),
        ("part_px / jet_pt", [[0.3, -0.1, 0.2], [0.25, 0, 0], [np.nan] * 3]),
        ("jet_pt > 5 and jet_pt < 15", [True, False, False]),
        ("5 < jet_pt < 15", [True, False, False]),
        ("(jet_pt > 5) & ~(jet_pt > 15)", [True, False, False]),
        ("not is_top or jet_pt == 10", [True, True, True]),
        ("ak.num(part_px, axis=1)", [3, 1, 0]),
        ("ak.sum(part_px, axis=-1)", [4, 5, 0]),
        ("np.sum(part_px, 1)", [4, 5, 0]),
        ("max(part_px)", [3, 5, -np.inf]),
        ("ak.mean(part_px, axis=1)", [4 / 3, 5, np.nan]),
        ("ak.any(part_px > 4, axis=1)", [False, True, False]),
        ("ak.all(part_px > 0, axis=1)", [False, True, True]),
        ("ak.ones_like(part_px)", np.ones((3, 3))),
        ("part_px[:, 1]", [-1, np.nan, np.nan]),
        ("part_px[:, 7]", [np.nan] * 3),
        ("-is_top + 2", [1, 2, 2]),
        ("is_top + is_top", [2, 0, 0]),
        ("np.where(jet_pt > 15, part_px, 0)", [[0, 0, 0], [5, 0, 0], [0, 0, 0]]),
        ("1 if jet_pt > 15 else part_px", [[3, -1, 2], [1, 1, 1], [0, 0, 0]]),
        ("np.clip(jet_pt, 0, 15) ** 2 // 3 % 7", [33 % 7, 75 % 7, 0]),
        ("np.arctan2(part_py, part_px)", np.arctan2(PY, PX)),
        ("2 * np.pi", [2 * np.pi] * 3),
    ],
)
def test_right_values(text, expected):
    np.testing.assert_allclose(value(text), np.asarray(expected, float), rtol=1e-15)


def test_names_of_columns_and_not_of_functions():
    assert parse_expression("np.log(part_pt / jet_pt) + abs(abs)").columns == ("abs", "jet_pt", "part_pt")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "jet_pt.__class__",
        "np.load('x')",
        "np.fromfile(jet_pt)",
        "(lambda: 0)()",
        "[x for x in jet_pt]",
        "{1: 2}",
        "'text'",
        "jet_pt[0]",
        "part_px[::2]",
        "os.getcwd()",
        "np.linalg.inv(jet_pt)",
        "f'{jet_pt}'",
        "(x := 3)",
        "np.sum(*jet_pt)",
        "np.hypot(jet_pt, out=jet_pt)",
        "1j",
        "None",
        "await jet_pt",
        "jet_pt @ jet_pt",
        "jet_pt << 100",
    ],
)
def test_what_is_not_on_the_list_is_refused(text):
    with pytest.raises(InputError, match=r"is not allowed|cannot be read|takes"):
        parse_expression(text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "cannot be read"),
        ("jet_pt >", "cannot be read"),
        ("x\0y", "cannot be read"),
        ("x" * 20_000, "20000 characters"),
        ("(" * 300 + "x" + ")" * 300, "cannot be read"),
        ("-" * 300 + "x", "inside each other"),
        ("np.hypot(jet_pt)", "hypot"),
        ("np.where(jet_pt)", "where"),
        ("np.sum(part_px, axis=0)", "write axis=1"),
        ("ak.num()", "write axis=1"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        parse_expression(text)


def test_a_column_that_there_is_not():
    with pytest.raises(InputError, match=r"no column jet_eta; the columns are is_top, jet_pt"):
        value("abs(jet_eta) < 2")


def test_particles_are_wanted():
    with pytest.raises(InputError, match="goes over particles"):
        value("sum(jet_pt)")


@pytest.mark.parametrize("text", ["9 ** 9 ** 9 ** 9 ** 9", "1 / 0", "10.0 ** 400", "5 % 0"])
def test_constants_never_hang_or_crash(text):
    with pytest.raises(InputError, match="cannot be computed"):
        value(text)


@given(st.text(alphabet="jet_ptrxy 0123456789.+-*/%()[]:,<>=!&|~andotk'\"\n", max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(InputError):
        assert value(text).shape in {(3,), (3, 3)}
