"""Expressions over columns, such as `jet_pt > 500 and abs(jet_eta) < 2`: parsed by a whitelist, never by `eval`."""

from __future__ import annotations

import ast
import functools
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Compute = Callable[[Mapping[str, np.ndarray], np.ndarray], Any]
    """(columns, which are particles) → the values."""

_LONGEST, _DEEPEST = 10_000, 50
"""The most characters of an expression, and of expressions inside each other."""

_MODULES = {"np", "numpy", "ak", "awkward", "math"}
"""The prefixes that functions may have; all of them mean the same function."""
_KINDS_OF_COLUMNS = {"jets", "particles"}
"""The prefixes that tell a column of jets from a column of particles of the same name."""
_CONSTANTS = {"pi": np.pi, "e": np.e, "inf": np.inf}

_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    **{
        name: (1, getattr(np, name))
        for name in [
            "abs", "absolute", "fabs", "sign", "sqrt", "cbrt", "square", "reciprocal", "exp", "exp2", "expm1", "log",
            "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
            "arcsinh", "arccosh", "arctanh", "deg2rad", "rad2deg", "radians", "degrees", "floor", "ceil", "trunc",
            "rint", "isnan", "isfinite", "isinf", "nan_to_num", "logical_not",
        ]
    },
    **{
        name: (2, getattr(np, name))
        for name in [
            "arctan2", "hypot", "power", "float_power", "mod", "remainder", "fmod", "minimum", "maximum", "add",
            "subtract", "multiply", "divide", "true_divide", "floor_divide", "greater", "greater_equal", "less",
            "less_equal", "equal", "not_equal", "logical_and", "logical_or", "logical_xor",
        ]
    },
    "acos": (1, np.arccos), "asin": (1, np.arcsin), "atan": (1, np.arctan), "atan2": (2, np.arctan2),
    "pow": (2, np.power), "round": (1, np.rint), "where": (3, np.where), "clip": (3, np.clip),
    "ones_like": (1, lambda x: np.ones_like(x, np.float64)), "zeros_like": (1, lambda x: np.zeros_like(x, np.float64)),
    "full_like": (2, lambda x, value: np.broadcast_to(value, np.shape(x))),
}  # fmt: skip
"""Function → how many values it takes, and how it acts on each number by itself."""

_OVER_PARTICLES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "num": lambda _, mask: mask.sum(1),
    "count": lambda _, mask: mask.sum(1),
    "count_nonzero": lambda x, mask: ((x != 0) & mask).sum(1),
    "sum": lambda x, mask: np.where(mask, x, 0).sum(1),
    "prod": lambda x, mask: np.where(mask, x, 1).prod(1),
    "any": lambda x, mask: ((x != 0) & mask).any(1),
    "all": lambda x, mask: ((x != 0) | ~mask).all(1),
    "mean": lambda x, mask: np.where(mask, x, 0).sum(1) / mask.sum(1),
    "min": lambda x, mask: np.where(mask, x, np.inf).min(1, initial=np.inf),
    "max": lambda x, mask: np.where(mask, x, -np.inf).max(1, initial=-np.inf),
}
"""Function → (values (n, P), which are particles (n, P)) → one number a jet (n,)."""

_LOGICAL: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Not: np.logical_not,
    ast.Invert: np.logical_not,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
    ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or,
    ast.BitXor: np.logical_xor,
}
_ARITHMETIC: dict[type[ast.AST], Callable[..., Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class Expression(NamedTuple):
    """An expression that was checked: it can do no more than the tables of this file say."""

    text: str
    columns: tuple[str, ...]
    """The columns that it reads, sorted."""
    compute: Compute


def parse_expression(text: str) -> Expression:
    """Parses an expression over columns.

    It may have numbers, names of columns, `+ - * / // % **`, comparisons, `and or not & | ~`, and functions of NumPy
    and awkward by name, with or without `np.` or `ak.`. Functions such as `sum`, `max` and `num` go over the particles
    of each jet; `part_pt[:, 0]` is the value of its first particle. `jets.pt` and `particles.pt` tell columns of the
    same name apart.

    Args:
      text: such as "jet_pt > 500 and abs(jet_eta) < 2".

    Returns:
      The expression, checked.

    Raises:
      InputError: it is no such expression; says where and what is allowed.

    >>> parse_expression("np.hypot(part_px, part_py) / jet_pt").columns
    ('jet_pt', 'part_px', 'part_py')
    """
    if len(text) > _LONGEST:
        raise InputError(f"expression {text[:40]!r}…: {len(text)} characters; write at most {_LONGEST}")
    names: set[str] = set()
    try:
        compute = _compile(ast.parse(text.strip(), mode="eval").body, names)
    except _NotAllowedError as error:
        raise InputError(f"expression {text[:200]!r}: {error}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(f"expression {text[:200]!r}: cannot be read ({what}); write it as in Python") from error
    return Expression(text, tuple(sorted(names)), compute)


def expression_problems(texts: Mapping[str, str]) -> Iterator[str]:
    """Yields what is wrong with expressions.

    Args:
      texts: what each is of, for messages → the expression.
    """
    for name, text in texts.items():
        try:
            parse_expression(text)
        except InputError as error:
            yield f"{name}: {error}"


def conjuncts(text: str) -> tuple[str, ...]:
    """Splits an expression into the parts that `and` or `&` joins, each one once.

    Args:
      text: such as "jet_pt > 500 and abs(jet_eta) < 2".

    Returns:
      The parts, in order; none of an empty text.

    Raises:
      InputError: as `parse_expression`.

    >>> conjuncts("jet_pt > 500 and abs(jet_eta) < 2")
    ('jet_pt > 500', 'abs(jet_eta) < 2')
    """

    def parts(node: ast.AST) -> list[str]:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return [part for value in values for part in parts(value)]
            case ast.BinOp(op=ast.BitAnd(), left=left, right=right):
                return [*parts(left), *parts(right)]
        return [ast.unparse(node)]

    if not text.strip():
        return ()
    parse_expression(text)
    return tuple(dict.fromkeys(parts(ast.parse(text.strip(), mode="eval").body)))


def evaluate(expression: Expression, columns: Mapping[str, np.ndarray], mask: np.ndarray) -> np.ndarray:
    """Evaluates an expression for N jets.

    Args:
      expression: from `parse_expression`.
      columns: name → (N,) a number a jet, or (N, P) a number a particle.
      mask: (N, P) bool, True for a particle.

    Returns:
      (N,) or (N, P) float64 or bool, the value of each jet or particle; that of padding has no meaning.

    Raises:
      InputError: it names a column that there is not, or goes over particles where there are none.

    >>> part_pt = np.array([[4.0, 1.0], [2.0, 0.0]])
    >>> evaluate(parse_expression("sum(part_pt) > 3"), {"part_pt": part_pt}, part_pt > 0).tolist()
    [True, False]
    """
    if missing := [name for name in expression.columns if name not in columns]:
        raise InputError(
            f"expression {expression.text!r}: there is no column {', '.join(missing)}; "
            f"the columns are {', '.join(sorted(columns))}"
        )
    with np.errstate(all="ignore"):
        try:
            value = np.asarray(expression.compute(columns, mask))
        except (ArithmeticError, TypeError, ValueError) as error:
            raise InputError(f"expression {expression.text!r}: cannot be computed ({error}); correct it") from error
    if value.ndim == 0:
        value = np.broadcast_to(value, (len(mask),))
    return value if value.dtype == bool else value.astype(np.float64)


class _NotAllowedError(Exception):
    """Says what is not on the lists."""


def _compile(node: ast.AST, names: set[str], depth: int = 0) -> Compute:
    """Turns a part of an expression that is on the lists into a function, and adds the columns that it reads."""
    if depth > _DEEPEST:
        raise _NotAllowedError(f"more than {_DEEPEST} expressions inside each other; write less")
    compile_kind = _KINDS.get(type(node))
    if compile_kind is None:
        raise _not_allowed(node)
    return compile_kind(node, names, functools.partial(_compile, names=names, depth=depth + 1))


def _constant(node: ast.Constant, _: set[str], __: Any) -> Compute:
    if not isinstance(node.value, bool | int | float):
        raise _not_allowed(node)
    value = node.value if isinstance(node.value, bool) else float(node.value)
    return lambda *_: value


def _name(node: ast.Name, names: set[str], _: Any) -> Compute:
    if node.id in _CONSTANTS:
        return lambda *_: _CONSTANTS[node.id]
    names.add(node.id)
    return lambda columns, _: columns[node.id]


def _attribute(node: ast.Attribute, names: set[str], _: Any) -> Compute:
    if isinstance(node.value, ast.Name) and node.value.id in _KINDS_OF_COLUMNS:
        name = f"{node.value.id}.{node.attr}"
        names.add(name)
        return lambda columns, _: columns[name]
    if _without_module(node) not in _CONSTANTS:
        raise _not_allowed(node)
    return lambda *_: _CONSTANTS[node.attr]


def _unary(node: ast.UnaryOp, _: set[str], inner: Callable[[ast.AST], Compute]) -> Compute:
    return _operation(node, node.op, inner(node.operand))


def _binary(node: ast.BinOp, _: set[str], inner: Callable[[ast.AST], Compute]) -> Compute:
    return _operation(node, node.op, inner(node.left), inner(node.right))


def _boolean(node: ast.BoolOp, _: set[str], inner: Callable[[ast.AST], Compute]) -> Compute:
    return functools.reduce(functools.partial(_operation, node, node.op), map(inner, node.values))


def _comparison(node: ast.Compare, _: set[str], inner: Callable[[ast.AST], Compute]) -> Compute:
    sides = [inner(side) for side in (node.left, *node.comparators)]
    pairs = zip(node.ops, sides, sides[1:], strict=False)
    return functools.reduce(
        functools.partial(_operation, node, ast.And()), [_operation(node, op, a, b) for op, a, b in pairs]
    )


def _choice(node: ast.IfExp, _: set[str], inner: Callable[[ast.AST], Compute]) -> Compute:
    return _of_aligned(np.where, [inner(part) for part in (node.test, node.body, node.orelse)])


def _subscript(node: ast.Subscript, _: set[str], inner: Callable[[ast.AST], Compute]) -> Compute:
    """Compiles `column[:, k]`, the value of one particle of each jet; NaN where a jet has fewer."""
    match node.slice:
        case ast.Tuple(elts=[ast.Slice(lower=None, upper=None, step=None), ast.Constant(value=int() as place)]):
            column = inner(node.value)
        case _:
            raise _not_allowed(node)

    def one_particle(columns: Mapping[str, np.ndarray], mask: np.ndarray) -> np.ndarray:
        values = _of_particles(column(columns, mask), "[:, k]")
        if place >= values.shape[1]:
            return np.full(len(values), np.nan)
        return np.where(mask[:, place], values[:, place].astype(np.float64), np.nan)

    return one_particle


def _call(node: ast.Call, _: set[str], inner: Callable[[ast.AST], Compute]) -> Compute:
    name = node.func.id if isinstance(node.func, ast.Name) else _without_module(node.func)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    arguments = list(node.args)
    if name in _OVER_PARTICLES and {*keywords} <= {"axis"}:
        axis = [*arguments[1:], *keywords.values()]
        if len(arguments) < 1 or len(axis) > 1 or any(ast.unparse(each) not in {"1", "-1"} for each in axis):
            raise _NotAllowedError(f"{name} takes one column, and goes over its particles: write axis=1")
        column, over = inner(arguments[0]), _OVER_PARTICLES[name]
        return lambda columns, mask: over(_of_particles(column(columns, mask), name), mask)
    if name not in _FUNCTIONS or keywords:
        raise _not_allowed(node)
    count, function = _FUNCTIONS[name]
    if len(arguments) != count:
        raise _NotAllowedError(f"{name} takes {count} value{'s' * (count > 1)}, found {len(arguments)}")
    return _of_aligned(function, [inner(argument) for argument in arguments])


_KINDS: dict[type[ast.AST], Callable[[Any, set[str], Any], Compute]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.BoolOp: _boolean,
    ast.Compare: _comparison,
    ast.IfExp: _choice,
    ast.Subscript: _subscript,
    ast.Call: _call,
}


def _without_module(node: ast.AST) -> str | None:
    """The name of what is in a module that is allowed."""
    match node:
        case ast.Attribute(value=ast.Name(id=module), attr=name) if module in _MODULES:
            return name
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id=module), attr="JaggedArray"), attr=name):
            return name if module in _MODULES else None
    return None


def _not_allowed(node: ast.AST) -> _NotAllowedError:
    return _NotAllowedError(
        f"{ast.unparse(node)[:60]!r} is not allowed; write numbers, columns, + - * / ** < > == and or not, "
        f"column[:, 0], and the functions {', '.join(sorted({*_FUNCTIONS, *_OVER_PARTICLES}))}"
    )


def _operation(node: ast.AST, op: ast.AST, *sides: Compute) -> Compute:
    if type(op) in _LOGICAL:
        return _of_aligned(_LOGICAL[type(op)], sides)
    if type(op) not in _ARITHMETIC:
        raise _not_allowed(node)
    return _of_aligned(lambda *values: _ARITHMETIC[type(op)](*map(_number, values)), sides)


def _number(value: Any) -> Any:
    """Booleans count as 0 and 1 where they are computed with."""
    return value * 1.0 if np.asarray(value).dtype == bool else value


def _of_aligned(function: Callable[..., Any], parts: Sequence[Compute]) -> Compute:
    """Computes a function of values of jets and particles: those of jets get an axis of particles beside others."""

    def compute(columns: Mapping[str, np.ndarray], mask: np.ndarray) -> Any:
        values = [part(columns, mask) for part in parts]
        if max(np.ndim(value) for value in values) == 2:
            values = [value[:, None] if np.ndim(value) == 1 else value for value in values]
        return function(*values)

    return compute


def _of_particles(value: Any, name: str) -> np.ndarray:
    if np.ndim(value) != 2:
        raise ValueError(f"{name} goes over particles; give it a column of particles")
    return np.asarray(value)
