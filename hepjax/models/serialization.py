"""Models to JSON and back: a dict of options with the model's name, `{"name": "mlp", "hidden": [64], …}`."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from hepjax.errors import InputError
from hepjax.models.fields import options_in, options_of
from hepjax.models.registry import MODELS
from hepjax.registry import similar_names_hint

if TYPE_CHECKING:
    import cattrs

    from hepjax.models.model import Model

_OLD_NAMES = {"neighbours": "neighbors"}
"""Options as they were called in version 0.1 → as they are called now."""


def to_json(model: Model) -> dict[str, Any]:
    """Returns a model's name and options as JSON's types; the number of outputs is the task's, and not among them.

    Args:
      model: of a registered class.

    Raises:
      InputError: the class is not registered, or JSON cannot hold an option.

    >>> from hepjax.models import Logistic
    >>> to_json(Logistic(features=("j_pt",)))
    {'name': 'logistic', 'features': ['j_pt'], 'degree': 1}
    """
    kind = type(model)
    tree: dict[str, Any] = {"name": MODELS.name_of(kind)}
    for name, value in options_of(model).items():
        plain = _model_options_converter().unstructure(value)
        try:
            tree[name] = json.loads(json.dumps(plain))
        except TypeError as error:
            raise InputError(
                f"{tree['name']}: {name}={value!r} cannot be saved as JSON ({error}); give a plain value"
            ) from error
    return tree


def from_json(tree: Mapping[str, Any]) -> Model:
    """Returns the model of a name and options.

    Args:
      tree: from `to_json`, of this version or an older one; options that are missing have their defaults.

    Raises:
      InputError: the name or an option is unknown, or a value does not fit.

    >>> from hepjax.models import MLP
    >>> from_json({"name": "mlp", "hidden": [8]}) == MLP(hidden=(8,))
    True
    >>> from_json({"name": "mlp", "hiden": [8]})
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: model mlp: there is no option hiden; did you mean hidden?
    """
    if not isinstance(tree, Mapping):
        raise InputError(f"model: expected its name and options, found {tree!r:.80}")
    given = {_OLD_NAMES.get(key, key): value for key, value in tree.items()}
    if not isinstance(name := given.pop("name", None), str):
        raise InputError(f"model: expected a name, found {name!r}")
    kind = MODELS.get(name)
    options = {option.name: option for option in options_in(kind)}
    for key in given:
        if key not in options:
            raise InputError(f"model {name}: there is no option {key}; {similar_names_hint(key, tuple(options))}")
    values = {}
    for key, value in given.items():
        try:
            values[key] = _model_options_converter().structure(value, options[key].type)
        except Exception as error:  # whatever a type says of another one
            raise InputError(f"model {name}: {key}={value!r:.80} does not fit ({error})") from error
    missing = [key for key, option in options.items() if option.default is dataclasses.MISSING and key not in values]
    if missing:
        raise InputError(f"model {name}: expected {' and '.join(missing)}, which have no default")
    model: Model = kind(**values)
    return model


def make_strict_converter(**options: Any) -> cattrs.Converter:
    """Makes a converter that takes JSON's types for what they are: no number for a word, no fraction for an integer.

    Args:
      options: of cattrs.

    >>> make_strict_converter().structure(3, float)
    3.0
    """
    from cattrs.preconf.json import make_converter

    converter = make_converter(**options)
    for kind, accepted in ((bool, bool), (int, int), (str, str), (float, int | float)):
        converter.register_structure_hook(kind, functools.partial(_plain, accepted=accepted))
    converter.register_unstructure_hook(Path, str)
    converter.register_structure_hook(Path, lambda value, _: Path(converter.structure(value, str)))
    converter.register_structure_hook_func(_is_sequence, functools.partial(_sequence, converter))
    return converter


def _plain(value: Any, kind: Any, *, accepted: Any) -> Any:
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")
    plain = kind(value)
    if kind is float and not math.isfinite(plain):
        raise ValueError(f"expected a finite number, found {value}")
    return plain


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _sequence(converter: cattrs.Converter, value: Any, kind: Any) -> Any:
    """A list as a tuple; a word is not the list of its letters."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list, found {type(value).__name__}")
    of = get_args(kind)
    if of[-1] is Ellipsis:
        return tuple(converter.structure(each, of[0]) for each in value)
    if len(of) != len(value):
        raise ValueError(f"expected {len(of)} values, found {len(value)}")
    return tuple(converter.structure(each, one) for each, one in zip(value, of, strict=True))


@functools.cache
def _model_options_converter() -> cattrs.Converter:
    return make_strict_converter()
