"""A `Dataset` as JSON, in run folders, exported taggers and files of jets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax.choices import Role
from hepjax.data.dataset import TUPLES
from hepjax.errors import InputError
from hepjax.types import Dataset, FileName, Index, OneHot, Reweighting

if TYPE_CHECKING:
    from collections.abc import Mapping


def dataset_to_json(dataset: Dataset) -> dict[str, Any]:
    """Returns a dataset as plain dicts and lists; `dataset_from_json` reads them.

    >>> dataset_from_json(dataset_to_json(Dataset("toy", roles={Role.PT: "a"}))) == Dataset("toy", roles={Role.PT: "a"})
    True
    """
    labels = dataset.labels
    return {
        "name": dataset.name,
        **{name: list(getattr(dataset, name)) for name in TUPLES},
        "labels": None if labels is None else {type(labels).__name__: labels._asdict()},
        "weights": dataset.weights,
        "roles": {role.value: name for role, name in dataset.roles.items()},
        "units": dict(dataset.units),
        "titles": dict(dataset.titles),
        **({"arrays": {name: list(names) for name, names in dataset.arrays.items()}} if dataset.arrays else {}),
        **({"derived": dict(dataset.derived)} if dataset.derived else {}),
        **({"selection": dataset.selection} if dataset.selection else {}),
        **({"reweighting": _reweighting_to_json(dataset.reweighting)} if dataset.reweighting else {}),
    }


def dataset_from_json(tree: Mapping[str, Any]) -> Dataset:
    """Reads a dataset from what `dataset_to_json` made.

    Args:
      tree: dicts and lists.

    Returns:
      The dataset.

    Raises:
      InputError: it is none, or has a key that is unknown.
    """
    try:
        known = {*TUPLES, "name", "labels", "weights", "roles", "units", "titles", "arrays", "derived", "selection"}
        known |= {"reweighting"}
        if unknown := sorted({*tree} - known):
            raise InputError(f"dataset: unknown {', '.join(unknown)}; expected {', '.join(sorted(known))}")
        return Dataset(
            name=_text(tree["name"]),
            **{name: _texts(tree.get(name, ())) for name in TUPLES},
            labels=_labels_from_json(tree.get("labels")),
            weights=None if tree.get("weights") is None else _text(tree["weights"]),
            roles={Role(role): _text(name) for role, name in tree.get("roles", {}).items()},
            units={_text(name): _text(unit) for name, unit in tree.get("units", {}).items()},
            titles={_text(name): _text(title) for name, title in tree.get("titles", {}).items()},
            arrays={_text(name): _texts(names) for name, names in tree.get("arrays", {}).items()},
            derived={_text(name): _text(expression) for name, expression in tree.get("derived", {}).items()},
            selection=_text(tree.get("selection", "")),
            reweighting=_reweighting_from_json(tree.get("reweighting")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"dataset: not a description of one ({error!r}); write it again") from error


def _labels_from_json(tree: Any) -> OneHot | Index | FileName | None:
    if tree is None:
        return None
    ((kind, fields),) = tree.items()
    if kind == "FileName":
        return FileName(_texts(fields["beginnings"]))
    if kind == "OneHot":
        return OneHot(_texts(fields["columns"]), None if fields["undefined"] is None else _text(fields["undefined"]))
    return {"Index": Index}[kind](**{name: _text(value) for name, value in fields.items()})


def _reweighting_to_json(reweighting: Reweighting) -> dict[str, Any]:
    """Edges become texts, for JSON has no infinite numbers."""
    edges = {name: [repr(float(edge)) for edge in edges] for name, edges in reweighting.bins.items()}
    factors = {name: [repr(float(factor)) for factor in each] for name, each in reweighting.factors.items()}
    return {"bins": edges, "to": reweighting.to, "factors": factors}


def _reweighting_from_json(tree: Any) -> Reweighting | None:
    if tree is None:
        return None
    bins, factors = (
        {_text(name): tuple(map(float, _texts(values))) for name, values in tree[key].items()}
        for key in ("bins", "factors")
    )
    return Reweighting(bins, _text(tree["to"]), factors)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, found {value!r}")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"expected a list of texts, found {values!r}")
    return tuple(map(_text, values))
