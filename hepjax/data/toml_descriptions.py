"""Descriptions of datasets in TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepjax.choices import Role, Spectrum
from hepjax.data.dataset import check_dataset
from hepjax.errors import InputError, errors_of_reading, file_problem
from hepjax.registry import similar_names_hint
from hepjax.types import Dataset, FileName, Index, OneHot, Reweighting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MOST_BYTES = 2**20
_GEV = (Role.PX, Role.PY, Role.PZ, Role.ENERGY, Role.PT, Role.MASS, Role.JET_PT, Role.JET_MASS)
_RAD = (Role.PHI, Role.PHI_REL, Role.JET_PHI)

_TEXT, _TEXTS, _TABLE = "a text", "a list of texts", "a table"
_TABLE_OF_TEXTS, _TABLE_OF_LISTS, _UNITS = "a table of texts", "a table of lists of texts", "a unit or a table of units"
_TABLE_OF_EDGES = "a table of lists of numbers"
_PARTICLES = {role.value: _TEXT for role in Role if not role.of_jets}
_JETS = {role.value.removeprefix("jet_"): _TEXT for role in Role if role.of_jets}
_KEYS: dict[str, dict[str, str]] = {
    "": {
        **dict.fromkeys(("name", "selection", "weights"), _TEXT),
        **dict.fromkeys(("background", "observers"), _TEXTS),
        **dict.fromkeys(("particles", "jets", "labels", "reweight"), _TABLE),
        **dict.fromkeys(("derived", "titles"), _TABLE_OF_TEXTS),
        "arrays": _TABLE_OF_LISTS,
    },
    "particles": _PARTICLES | {"columns": _TEXTS, "features": _TEXTS, "units": _UNITS},
    "jets": _JETS | {"columns": _TEXTS, "features": _TEXTS, "units": _UNITS},
    "reweight": {"bins": _TABLE_OF_EDGES, "to": _TEXT},
    "labels": {"columns": _TEXTS, "undefined": _TEXT, "column": _TEXT, "files": _TEXTS, "classes": _TEXTS},
}
"""Table of a description → its keys, and what each of them is."""


def read_toml(path: str | Path) -> Dataset:
    r"""Reads a description in TOML; `docs/own-jets.md` says what may stand in it.

    Args:
      path: of the file.

    Returns:
      The dataset.

    Raises:
      InputError: there is no such file, it is no TOML, has a key that is unknown or of another type, or contradicts
        itself; names the file and the key.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "mine.toml").write_text('[particles]\npt = "p_pt"\neta = "p_eta"')
    ...     read_toml(f"{folder}/mine.toml").roles[Role.PT]
    'p_pt'
    """
    path = Path(path)
    try:
        tree = tomllib.loads(text_of_description(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        words = "it is nested too deeply" if isinstance(error, RecursionError) else shown(error)
        raise InputError(f"{path}: no TOML ({words}); correct it") from error
    for name, keys in _KEYS.items():
        _check_keys(path, name, tree if not name else tree.get(name, {}), keys)
    particles, jets = tree.get("particles", {}), tree.get("jets", {})
    roles = {Role(key): column for key, column in particles.items() if key in _PARTICLES}
    roles |= {Role(f"jet_{key}"): column for key, column in jets.items() if key in _JETS}
    derived = tree.get("derived", {})
    dataset = Dataset(
        name=tree.get("name", path.stem),
        particle_columns=tuple(particles.get("columns", ())),
        jet_columns=tuple(jets.get("columns", ())),
        **_labels(path, tree.get("labels", {})),
        weights=tree.get("weights"),
        roles=roles,
        units={**_units(particles, roles, derived), **_units(jets, roles, derived)},
        features=tuple(jets.get("features", ())),
        particle_features=tuple(particles.get("features", ())),
        observers=tuple(tree.get("observers", ())),
        background=tuple(tree.get("background", ())),
        titles=tree.get("titles", {}),
        arrays={name: tuple(columns) for name, columns in tree.get("arrays", {}).items()},
        derived=derived,
        selection=tree.get("selection", ""),
        reweighting=_reweighting(tree.get("reweight")),
    )
    check_dataset(dataset, str(path))
    return dataset


def text_of_description(path: Path) -> str:
    """Reads the text of a description.

    Raises:
      InputError: there is no such file, or it is no text of a megabyte or less.
    """
    if problem := file_problem(path):
        raise InputError(f"{path}: {problem}; give the file that describes the columns")
    with errors_of_reading(path):
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: expected a description of at most {_MOST_BYTES:,} bytes; give a shorter one")
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: no text ({error.reason}); give a description in UTF-8") from error


def shown(value: object) -> str:
    """Returns what a description says as words of one line for a message.

    >>> shown("a  b")
    'a b'
    """
    text = " ".join(str(value).split())[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def default_units(roles: Mapping[Role, str]) -> dict[str, str]:
    """Returns the usual units of columns, by their roles: GeV for momenta, energies and masses, and radians.

    >>> default_units({Role.PT: "a", Role.PHI: "b", Role.ETA: "c"})
    {'a': 'GeV', 'b': 'rad'}
    """
    units = {column: "GeV" for role, column in roles.items() if role in _GEV}
    return units | {column: "rad" for role, column in roles.items() if role in _RAD}


def class_names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names of classes that columns of zeros and ones tell.

    >>> class_names(("label_QCD", "jet_isTop"))
    ('QCD', 'Top')
    """
    beginnings = ("label_", "jet_is", "fj_is", "is_", "j_")
    return tuple(
        next((column.removeprefix(start) for start in beginnings if column.startswith(start)), column) or column
        for column in columns
    )


def _check_keys(path: Path, name: str, table: Mapping[str, Any], keys: Mapping[str, str]) -> None:
    """Refuses keys that are unknown, and values of another type."""
    start = f"{path}: [{name}] " if name else f"{path}: "
    for key, value in table.items():
        if key not in keys:
            raise InputError(f"{start}{shown(key)}: unknown; {similar_names_hint(key, tuple(keys))}")
        if not _FITS[keys[key]](value):
            found = type(value).__name__ if isinstance(value, dict | list) else repr(value)
            raise InputError(f"{start}{key}: expected {keys[key]}, found {shown(found)}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_table_of_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_edges(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)


_FITS: dict[str, Callable[[Any], bool]] = {
    _TEXT: _is_text,
    _TEXTS: _is_texts,
    _TABLE: lambda value: isinstance(value, dict),
    _TABLE_OF_TEXTS: _is_table_of_texts,
    _TABLE_OF_LISTS: lambda value: isinstance(value, dict) and all(map(_is_texts, value.values())),
    _TABLE_OF_EDGES: lambda value: isinstance(value, dict) and all(map(_is_edges, value.values())),
    _UNITS: lambda value: _is_text(value) or _is_table_of_texts(value),
}


def _reweighting(table: Mapping[str, Any] | None) -> Reweighting | None:
    if table is None:
        return None
    bins = {name: tuple(map(float, edges)) for name, edges in table.get("bins", {}).items()}
    return Reweighting(bins, table.get("to", Spectrum.FLAT.value))


def _labels(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataset that say its labels."""
    if not table:
        return {}
    kinds = [kind for kind in ("columns", "column", "files") if kind in table]
    if len(kinds) != 1:
        raise InputError(
            f"{path}: [labels] expected columns (one a class), column (a whole number or Boolean) or files (beginnings "
            f"of their names), one of them; found {' and '.join(kinds) or 'none'}"
        )
    if "undefined" in table and kinds != ["columns"]:
        raise InputError(f"{path}: [labels] undefined: goes with columns; leave it out")
    columns = tuple(table.get("columns", ()))
    if "classes" not in table and not columns:
        raise InputError(f"{path}: [labels] classes: expected the names of the classes, in the order of the labels")
    labels: OneHot | Index | FileName = OneHot(columns, table.get("undefined"))
    if kinds == ["column"]:
        labels = Index(table["column"])
    elif kinds == ["files"]:
        labels = FileName(tuple(table["files"]))
    return {"labels": labels, "classes": tuple(table.get("classes", class_names(columns)))}


def _units(table: Mapping[str, Any], roles: Mapping[Role, str], derived: Mapping[str, str]) -> dict[str, str]:
    """The units of the columns of a table: those of their roles where nothing else is said."""
    own = {role: column for role, column in roles.items() if column in table.values()}
    units, said = default_units(own), table.get("units", {})
    if isinstance(said, str):
        return {column: said if unit == "GeV" and column not in derived else unit for column, unit in units.items()}
    return {**units, **said}
