"""The options of a model, read off its fields: name, type, default, bounds and help."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import math
import textwrap
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from hepjax.errors import InputError
from hepjax.models.bounds import Bound, OptionType
from hepjax.types import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hepjax.models.model import Model

_NO_OPTIONS = ("outputs", "parent", "name")
"""The task's field, and those of every Flax module."""
_MOST_NUMBERS = 1000
"""The most numbers in an option with one a layer: building more layers takes longer than a user waits."""

_MOST_NAMES = 10_000
"""The most names in an option with columns."""


class Option(NamedTuple):
    """An option of a model."""

    name: str
    type: Any
    """On the command line and in JSON."""
    default: Any
    """`dataclasses.MISSING` where it must be given."""
    bounds: tuple[Bound, ...]
    help: str


def options_in(kind: type[Any]) -> tuple[Option, ...]:
    """Returns the options of a class of models, those of its base classes first.

    Args:
      kind: a subclass of `hepjax.models.Model`.

    Raises:
      InputError: a field's type is not known at run time.

    >>> from hepjax.models import Logistic
    >>> [(option.name, option.default) for option in options_in(Logistic)]
    [('features', ()), ('degree', 1)]
    """
    read: Any = _read_options  # mypy: Flax's classes have a __hash__ of another signature
    options: tuple[Option, ...] = read(kind)
    return options


@functools.cache
def _read_options(kind: type[Any]) -> tuple[Option, ...]:
    help_of = attribute_docs(kind)
    options = []
    for field in dataclasses.fields(kind):
        if field.init and field.name not in _NO_OPTIONS:
            hint = _field_type(kind, field.name)
            extra = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
            plain = get_args(hint)[0] if extra else hint
            shown = next((mark.type for mark in extra if isinstance(mark, OptionType)), plain)
            bounds = tuple(mark for mark in extra if isinstance(mark, Bound))
            options.append(Option(field.name, shown, field.default, bounds, help_of.get(field.name, "")))
    return tuple(options)


def options_of(model: Model) -> dict[str, Any]:
    """Returns the options of a model: its fields but for the number of outputs.

    >>> from hepjax.models import Logistic
    >>> options_of(Logistic(features=("j_pt",), outputs=5))
    {'features': ('j_pt',), 'degree': 1}
    """
    return {option.name: getattr(model, option.name) for option in options_in(type(model))}


def model_rules(model: Model) -> Iterator[Rule]:
    """Yields what the options of a model must keep to: the bounds of each, then the rules across several.

    >>> from hepjax.models import MLP
    >>> [rule.option for rule in model_rules(MLP(hidden=(0,))) if not rule.good]
    ['--hidden']
    """
    for option in options_in(type(model)):
        value, name = getattr(model, option.name), f"--{option.name.replace('_', '-')}"
        for bound in option.bounds:
            good = value is None or bound.holds(value)
            yield Rule(name, value, good, bound.expected)
        values = value if isinstance(value, tuple) else (value,)
        numbers = [each for each in values if isinstance(each, int | float)]
        yield Rule(name, f"{len(numbers):,}", len(numbers) <= _MOST_NUMBERS, f"{_MOST_NUMBERS:,} numbers or fewer")
        yield Rule(name, f"{len(values):,}", len(values) <= _MOST_NAMES, f"{_MOST_NAMES:,} names or fewer")
        yield Rule(name, value, all(-math.inf < each < math.inf for each in numbers), "finite numbers")
    yield from model.rules()


def check_model(model: Model) -> None:
    """Refuses a model whose options make no sense.

    Args:
      model: any.

    Raises:
      InputError: names the option, what is expected, and what was found.

    >>> from hepjax.models import MLP
    >>> check_model(MLP(dropout=1.5))
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: --dropout: expected below 1, found 1.5
    """
    for option, value, good, expected in model_rules(model):
        if not good:
            raise InputError(f"{option}: expected {expected}, found {value}")


def attribute_docs(kind: type) -> dict[str, str]:
    """Returns the docstrings of a class's attributes, its own and inherited ones, each as one line.

    Args:
      kind: a class; where its source cannot be read there are none.

    >>> from hepjax.models import Logistic
    >>> attribute_docs(Logistic)["degree"]
    'Degree of the polynomial basis; above 1 the answers are curves.'
    """
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        if base.__module__.startswith(("flax.", "builtins")):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for field, after in itertools.pairwise(body):
            text = after.value if isinstance(after, ast.Expr) else None
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Constant)
                and isinstance(text.value, str)
            ):
                docs[field.target.id] = " ".join(text.value.split())
    return docs


def _field_type(kind: type, name: str) -> Any:
    """The type of one field, evaluated where it was written."""
    home = next(base for base in kind.__mro__ if name in inspect.get_annotations(base))
    alone = type(
        home.__name__,
        (),
        {"__annotations__": {name: inspect.get_annotations(home)[name]}, "__module__": home.__module__},
    )
    try:
        return get_type_hints(alone, include_extras=True)[name]
    except NameError as error:
        raise InputError(
            f"model {kind.__name__}: the type of {name} is not known at run time ({error}); "
            "import it at the top of the file, not under TYPE_CHECKING"
        ) from error
