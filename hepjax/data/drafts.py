"""First descriptions of files in TOML, with guessed roles, labels and weights, to be edited."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.choices import Role
from hepjax.data.atomic_files import write_text
from hepjax.data.guesses import guess_roles
from hepjax.data.readers import read_jets
from hepjax.data.remote import path_of
from hepjax.data.toml_descriptions import default_units, shown
from hepjax.errors import InputError
from hepjax.types import FileName, Index, OneHot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hepjax.types import Dataset, Jets

_SAMPLE = 1000
"""The jets that the unit of momenta is told by."""
_MOST_GEV = 20_000.0
"""Particles of more pT or energy are counted in MeV, for no collider has made them."""
_NUMBERED = re.compile(r"(^|[_:./])(event|run|lumi|entry|mcchannel|gen|truth|true|mc|aux|sim)", re.IGNORECASE)
"""What stands in the names of columns that nothing should be learned from."""
_NO_LABELS = """# [labels]                     # there are none that could be told; one of these:
# columns = ["is_a", "is_b"]    # a column of 0 and 1 for each class
# column = "label"              # a whole number from 0, or a Boolean
# files = ["a", "b"]            # the beginnings of the names of files
# classes = ["a", "b"]"""


def write_draft(
    path: Path, files: Sequence[Path], dataset: Dataset | str | None = None, *, allow_external: bool = False
) -> None:
    """Writes the draft of a description.

    Args:
      path: of a new file.
      files: the one that is described.
      dataset: as in `draft`, like the next one.
      allow_external: the same.

    Raises:
      InputError: there is such a file already, or more than one to describe.
    """
    if len(files) != 1:
        raise InputError(f"--draft {path}: expected one file to describe, found {len(files)}")
    if path.exists() or path.suffix.lower() != ".toml":
        found = "exists already" if path.exists() else "expected a name that ends in .toml"
        raise InputError(f"--draft {path}: {found}; give another name")
    write_text(path, draft(files[0], dataset=dataset, allow_external=allow_external))


def draft(path: str | Path, *, dataset: Dataset | str | None = None, allow_external: bool = False) -> str:
    """Drafts the description of a file.

    Args:
      path: of the file.
      dataset: what is known of its columns; as in `hepjax.read_jets`, like the next one.
      allow_external: let files have data in other files outside their own folder.

    Returns:
      TOML that `hepjax.data.toml_descriptions.read_toml` reads, with comments.

    Raises:
      InputError: the file cannot be opened.

    >>> from hepjax.data import list_files
    >>> draft(list_files(None)[0]).splitlines()[6:9]
    ['[particles]                  # role = "column"', 'px = "j1_px"', 'py = "j1_py"']
    """
    jets = read_jets(path, dataset=dataset, allow_external=allow_external)
    return "\n".join(_lines(path_of(path), jets)) + "\n"


def _lines(path: Path, jets: Jets) -> Iterator[str]:
    known = jets.dataset
    of_particles = _roles(known, known.particle_columns, of_jets=False)
    of_jets = _roles(known, known.jet_columns, of_jets=True)
    apart = [name for name in known.jet_columns if _NUMBERED.search(name) and name not in of_jets.values()]
    weights = known.weights or next((name for name in known.jet_columns if "weight" in name.lower()), None)
    observers = [name for name in dict.fromkeys([*known.observers, *apart]) if name != weights]
    features = [name for name in known.features if name not in {*observers, weights}]
    mev = _in_mev(jets, of_particles)
    yield f"# A draft of {shown(path.name)}: edit what was guessed wrong, and read it with --dataset."
    yield f"name = {_text(path.stem)}"
    yield from (
        [f"weights = {_text(weights)}"] if weights else ['# weights = "…"               # a column of event weights']
    )
    yield f"observers = {_texts(observers)}   # carried, but not learned from"
    yield '# selection = "jet_pt > 500"   # which jets stay'
    yield from ("", '[particles]                  # role = "column"')
    yield from (f"{role.value} = {_text(name)}" for role, name in of_particles.items())
    yield f"features = {_texts(known.particle_features)}"
    yield from _units(known, of_particles, known.particle_columns, mev=mev)
    yield from ("", "[jets]")
    yield from (f"{role.value.removeprefix('jet_')} = {_text(name)}" for role, name in of_jets.items())
    yield f"features = {_texts(features)}"
    yield from _units(known, of_jets, known.jet_columns, mev=mev)
    yield ""
    yield from _labels(known)
    if known.arrays:
        yield from ("", "[arrays]                     # the columns of arrays that do not name them")
        yield from (f"{_text(name)} = {_texts(columns)}" for name, columns in known.arrays.items())
    yield from ("", "[derived]", '# log_pt = "log(part_pt)"     # column = "expression"')
    yield from (f"{_text(name)} = {_text(expression)}" for name, expression in known.derived.items())


def _roles(known: Dataset, columns: Iterable[str], *, of_jets: bool) -> dict[Role, str]:
    """The roles that are known, and those that names tell."""
    roles = {role: name for role, name in known.roles.items() if role.of_jets == of_jets}
    guessed = guess_roles((name for name in columns if name not in roles.values()), of_jets=of_jets)
    return {role: name for role in Role if (name := roles.get(role, guessed.get(role))) is not None}


def _in_mev(jets: Jets, roles: Mapping[Role, str]) -> bool:
    """Whether momenta without a known unit are too large for GeV."""
    name = roles.get(Role.PT) or roles.get(Role.ENERGY) or roles.get(Role.PX)
    if name is None or jets.dataset.units.get(name):
        return False
    column = np.asarray(jets.constituents[:_SAMPLE])[..., jets.particle_names.index(name)]
    return bool(np.abs(column).max(initial=0) > _MOST_GEV)


def _units(known: Dataset, roles: Mapping[Role, str], columns: Iterable[str], *, mev: bool) -> Iterator[str]:
    usual = default_units(roles)
    own = {name: known.units.get(name) or ("MeV" if mev and unit == "GeV" else unit) for name, unit in usual.items()}
    own |= {name: known.units[name] for name in columns if name not in usual and known.units.get(name)}
    other = {name: unit for name, unit in own.items() if usual.get(name) != unit}
    if other:
        yield f"units = {{{', '.join(f'{_text(name)} = {_text(unit)}' for name, unit in other.items())}}}"


def _labels(known: Dataset) -> Iterator[str]:
    labels = known.labels
    if labels is None:
        yield _NO_LABELS
        return
    yield "[labels]"
    match labels:
        case OneHot(columns, undefined):
            yield f"columns = {_texts(columns)}"
            if undefined:
                yield f"undefined = {_text(undefined)}"
        case Index(column):
            yield f"column = {_text(column)}"
        case FileName(beginnings):
            yield f"files = {_texts(beginnings)}"
    yield f"classes = {_texts(known.classes)}"


def _text(value: Any) -> str:
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _texts(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"
