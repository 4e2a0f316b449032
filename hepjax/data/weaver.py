"""The data YAML of weaver-core (https://github.com/hqucms/weaver-core), read as a `Dataset`."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.choices import Spectrum
from hepjax.data.containers import LIST_PARTICLES
from hepjax.data.dataset import check_dataset
from hepjax.data.expressions import parse_expression
from hepjax.data.guesses import guess_roles, is_jet_name
from hepjax.data.toml_descriptions import class_names, default_units, shown, text_of_description
from hepjax.errors import InputError, import_extra
from hepjax.registry import similar_names_hint
from hepjax.types import Dataset, OneHot, Reweighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_KEYS = (
    "treename", "branch_magic", "file_magic", "selection", "test_time_selection", "preprocess", "new_variables",
    "inputs", "labels", "observers", "monitor_variables", "weights", "bucketing",
)  # fmt: skip
_UNUSED = {
    "treename": "name the tree with the file, FILE:TREE",
    "branch_magic": "name the columns as the file does",
    "file_magic": "name the columns as the file does",
    "test_time_selection": "give --where to evaluate",
    "bucketing": "jets are sorted by their lengths, see --lengths",
}
"""Key → what is done instead."""
_OTHERS = ("_mask", "_points", "_vectors")
"""The ends of the names of inputs that follow from the particles themselves."""
_SCALED = "_scaled"

log = logging.getLogger("hepjax")


class _Variable(NamedTuple):
    """A variable of an input: its name, and how weaver-core standardizes it."""

    name: str
    subtract: float | str | None = None
    multiply: float = 1.0
    low: float = -5.0
    high: float = 5.0
    pad: float = 0.0


class _Input(NamedTuple):
    """A group of variables."""

    name: str
    length: int | None
    variables: tuple[_Variable, ...]

    @property
    def of_jets(self) -> bool:
        return self.length in {None, 1}


def read_yaml(path: str | Path) -> Dataset:
    """Reads the data YAML of weaver-core as it is.

    The variables of the longest input of particles that is called …_features become what models of particles learn
    from, standardized and clipped as the file says; those of inputs without a length, what models of jet columns learn
    from. What has no counterpart here is said in a warning.

    Args:
      path: of the file.

    Returns:
      The dataset.

    Raises:
      InputError: there is no such file, it is no YAML or of another form, PyYAML is missing, or an expression is not
        among those of `hepjax.data.expressions`; names the file and the key.
    """
    path = Path(path)
    yaml = import_extra("yaml", "weaver")
    try:
        tree = yaml.safe_load(text_of_description(path))
    except (yaml.YAMLError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"{path}: no YAML ({shown(error)}); correct it") from error
    tree = _expect(path, "the file", tree, dict)
    for key in tree:
        if key not in _KEYS:
            raise InputError(f"{path}: {shown(key)}: unknown; {similar_names_hint(str(key), _KEYS)}")
    inputs = [_input(path, str(name), group) for name, group in _table(path, tree, "inputs").items()]
    new = _texts_of(path, "new_variables", _table(path, tree, "new_variables"))
    particles, remarks = _particle_input(inputs)
    derived = {name: text for name, text in new.items() if name != text}
    features: dict[bool, list[str]] = {True: [], False: []}
    for group in inputs:
        if group.of_jets or group is particles:
            features[group.of_jets].extend(_scaled(group.variables, derived))
    labels, targets = _labels(path, _table(path, tree, "labels"), derived)
    weights = _weights(path, _table(path, tree, "weights"), derived)
    reweighting, more = _reweighting(path, _table(path, tree, "weights"), labels)
    selection = _text(path, "selection", tree.get("selection"))
    observers = [*_names(path, tree, "observers"), *_names(path, tree, "monitor_variables"), *targets]
    stem = particles.name.split("_")[0] if particles else ""
    own = [
        v.name for group in inputs if group.name.split("_")[0] == stem and not group.of_jets for v in group.variables
    ]
    wanted = [*features[True], *features[False], *(labels.columns if labels else ()), *targets]
    binned = [name for name in (reweighting.bins if reweighting else ()) if name not in {*features[True], *observers}]
    observers += binned
    wanted += [*([weights] if weights else []), *(name for name in observers if name in derived)]
    momenta = [name for name in own if not name.endswith("mask")]
    kept = _needed(path, [*wanted, *momenta], selection, derived)
    names = {name for text in (selection, *kept.values()) for name in _columns(path, text)} | {*wanted, *momenta}
    roles = guess_roles((name for name in names if not is_jet_name(name) and _is_role_name(name)), of_jets=False)
    roles |= guess_roles((name for name in names if is_jet_name(name) and name not in targets), of_jets=True)
    dataset = Dataset(
        path.stem,
        classes=class_names(labels.columns) if labels else (),
        labels=labels,
        weights=weights,
        roles=roles,
        units=default_units(roles),
        features=tuple(features[True]) or tuple(name for role, name in roles.items() if role.of_jets),
        particle_features=tuple(features[False]),
        observers=tuple(dict.fromkeys(observers)),
        derived=kept,
        selection=selection,
        reweighting=reweighting,
    )
    check_dataset(dataset, str(path))
    unused = [f"{key} ({words})" for key, words in _UNUSED.items() if tree.get(key)]
    if said := [*unused, *remarks, *more, *_remarks_on_standardization(path, tree, particles)]:
        log.warning("%s: not used here: %s", path, "; ".join(said))
    return dataset


def _particle_input(inputs: Iterable[_Input]) -> tuple[_Input | None, list[str]]:
    """The input of the most particles, which is learned from, and words on those that are not."""
    named = [group for group in inputs if not group.of_jets and not group.name.endswith(_OTHERS)]
    if not named:
        return None, []
    first, *others = sorted(named, key=lambda group: (not group.name.endswith("features"), -(group.length or 0)))
    words = [f"input {group.name} (particles of one kind are read)" for group in others]
    if first.length not in {None, LIST_PARTICLES}:
        words.append(f"length {first.length} of {first.name} (give the model --particles {first.length})")
    return first, words


def _scaled(variables: Iterable[_Variable], derived: dict[str, str]) -> Iterator[str]:
    """The columns of variables; those that are standardized are added to the derived ones."""
    for variable in variables:
        if variable.subtract is None or isinstance(variable.subtract, str):
            yield variable.name
            continue
        name = f"{variable.name}{_SCALED}"
        scaled = f"({variable.name} - {variable.subtract!r}) * {variable.multiply!r}"
        derived[name] = f"clip({scaled}, {variable.low!r}, {variable.high!r})"
        yield name


def _labels(path: Path, table: Mapping[str, Any], derived: dict[str, str]) -> tuple[OneHot | None, list[str]]:
    """One column a class, and the columns of targets that are custom; expressions are added to the derived columns."""
    if not table:
        return None, []
    kind, value = table.get("type"), table.get("value")
    if kind == "simple":
        columns = tuple(_text(path, "labels: value", name) for name in _expect(path, "labels: value", value, list))
        derived |= {name: name for name in columns if not name.isidentifier()}
        return OneHot(columns), []
    if kind != "custom":
        raise InputError(f"{path}: labels: type: expected simple or custom, found {_scalar(kind)}")
    custom = _texts_of(path, "labels: value", _expect(path, "labels: value", value, dict))
    derived |= {name: text for name, text in custom.items() if name != text}
    return None, list(custom)


def _weights(path: Path, table: Mapping[str, Any], derived: dict[str, str]) -> str | None:
    """The column of weights; products and expressions are added to the derived columns."""
    if not table:
        return None
    if not table.get("use_precomputed_weights"):
        base = _text(path, "weights: reweight_basewgt", table.get("reweight_basewgt"))
        if not base or base.isidentifier():
            return base or None
        derived["base_weight"] = base
        return "base_weight"
    branches = _names(path, table, "weight_branches")
    if not branches:
        raise InputError(f"{path}: weights: weight_branches: expected the names of columns, found none")
    if len(branches) == 1:
        return branches[0]
    derived["precomputed_weight"] = " * ".join(f"({name})" for name in branches)
    return "precomputed_weight"


def _reweighting(path: Path, table: Mapping[str, Any], labels: OneHot | None) -> tuple[Reweighting | None, list[str]]:
    """The spectrum that classes shall have, and words on what is done otherwise."""
    if not table or table.get("use_precomputed_weights"):
        return None, []
    bins = {name: _edges(path, name, edges) for name, edges in _table(path, table, "reweight_vars").items()}
    if not bins:
        raise InputError(f"{path}: weights: reweight_vars: expected columns with edges of bins, found none")
    if table.get("reweight_discard_under_overflow") is False:  # the outermost bins hold all beyond
        bins = {name: (-math.inf, *edges[1:-1], math.inf) for name, edges in bins.items()}
    columns = labels.columns if labels else ()
    names = dict(zip(columns, class_names(columns), strict=True))
    listed = _names(path, table, "reweight_classes")
    method = _text(path, "reweight_method", table.get("reweight_method"))
    if method not in {"", "flat", "ref"}:
        raise InputError(f"{path}: weights: reweight_method: expected flat or ref, found {shown(method)}")
    if method == "ref" and (not listed or listed[0] not in names):
        found = shown(listed[0]) if listed else "none"
        raise InputError(f"{path}: weights: reweight_classes: expected a label first, the ref of all, found {found}")
    hists = _table(path, table, "reweight_hists")
    if unknown := [shown(name) for name in hists if name not in names]:
        raise InputError(f"{path}: weights: reweight_hists: {unknown[0]} is none of the labels; leave it out")
    factors = {
        names[key]: tuple(_numbers(path, f"weights: reweight_hists: {key}", hist, depth=len(bins)))
        for key, hist in hists.items()
    }
    remarks = ["reweight_classes (all classes are reweighted)"] if {*listed} ^ {*columns} else []
    if len({*_numbers(path, "weights: class_weights", table.get("class_weights") or [], depth=1)}) > 1:
        remarks.append("class_weights (all classes have the same sum of weights)")
    if "reweight_threshold" in table:
        remarks.append("reweight_threshold (no jet counts more than 100 times the mean)")
    return Reweighting(bins, names[listed[0]] if method == "ref" else Spectrum.FLAT.value, factors), remarks


def _edges(path: Path, name: str, edges: Any) -> tuple[float, ...]:
    return tuple(_numbers(path, f"weights: reweight_vars: {name}", edges, depth=1))


def _numbers(path: Path, where: str, values: Any, *, depth: int) -> Iterator[float]:
    """All numbers of a list of numbers, or of lists that are so deep."""
    for value in _expect(path, where, values, list):
        if depth > 1:
            yield from _numbers(path, where, value, depth=depth - 1)
        elif not isinstance(value, int | float) or isinstance(value, bool):
            raise InputError(f"{path}: {where}: expected numbers, found {_scalar(value)}")
        else:
            yield float(value)


def _remarks_on_standardization(path: Path, tree: Mapping[str, Any], particles: _Input | None) -> Iterator[str]:
    method = _text(path, "preprocess: method", _table(path, tree, "preprocess").get("method")).lower()
    automatic = particles is not None and any(isinstance(v.subtract, str) for v in particles.variables)
    if method.startswith("auto") or automatic:
        yield "automatic standardization (columns are scaled to mean 0 and standard deviation 1 in training)"


def _input(path: Path, name: str, group: Any) -> _Input:
    where = f"inputs: {name}"
    group = _expect(path, where, group, dict)
    length = group.get("length")
    if length is not None and (not isinstance(length, int) or length < 1):
        raise InputError(f"{path}: {where}: length: expected a whole number of at least 1, found {_scalar(length)}")
    variables = [_variable(path, where, each) for each in _expect(path, f"{where}: vars", group.get("vars"), list)]
    return _Input(name, length, tuple(variables))


def _variable(path: Path, where: str, given: Any) -> _Variable:
    values = given if isinstance(given, list) else [given]
    expected = "a name, or [name, subtract_by, multiply_by, clip_min, clip_max, pad_value]"
    numbers = [isinstance(x, int | float) and math.isfinite(x) for x in values[2:]]
    center = values[1] if len(values) > 1 else None
    centered = center is None or center == "auto" or (isinstance(center, int | float) and math.isfinite(center))
    if not 1 <= len(values) <= 6 or not isinstance(values[0], str) or not all(numbers) or not centered:
        raise InputError(f"{path}: {where}: vars: expected {expected}")
    return _Variable(*values)


def _needed(path: Path, wanted: Iterable[str], selection: str, derived: Mapping[str, str]) -> dict[str, str]:
    """The derived columns that are needed, in the order of the file; others, such as masks, are never computed."""
    needed: set[str] = set()
    waiting = [*wanted, *_columns(path, selection)]
    while waiting:
        name = waiting.pop()
        if name in derived and name not in needed:
            needed.add(name)
            waiting += _columns(path, derived[name])
    return {name: text for name, text in derived.items() if name in needed}


def _columns(path: Path, text: str) -> tuple[str, ...]:
    try:
        return parse_expression(text).columns if text else ()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _is_role_name(name: str) -> bool:
    return not name.endswith(_SCALED)


def _table(path: Path, tree: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = tree.get(key)
    return {} if value is None else _expect(path, key, value, dict)


def _names(path: Path, tree: Mapping[str, Any], key: str) -> list[str]:
    value = tree.get(key)
    return [_text(path, key, name) for name in ([] if value is None else _expect(path, key, value, list))]


def _texts_of(path: Path, where: str, table: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): _text(path, f"{where}: {name}", text) for name, text in table.items()}


def _text(path: Path, where: str, value: Any) -> str:
    """A text on one line; a number counts as one, for `x: 1` is an expression."""
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise InputError(f"{path}: {where}: expected a text, found {type(value).__name__}")
    return " ".join(str(value).split())


def _scalar(value: Any) -> str:
    """A value for messages; of tables and lists, which may repeat themselves, their type."""
    return type(value).__name__ if isinstance(value, dict | list) else shown(repr(value))


def _expect(path: Path, where: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        expected = "a table" if kind is dict else "a list"
        raise InputError(f"{path}: {where}: expected {expected}, found {type(value).__name__}")
    return value
