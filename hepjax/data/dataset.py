"""Functions on a `Dataset`: columns by role, what follows from them, and checks."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any

from hepjax.choices import Role, choose
from hepjax.errors import InputError
from hepjax.types import Dataset, FileName, Index, OneHot, Reweighting

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import numpy as np

P4 = (Role.PX, Role.PY, Role.PZ, Role.ENERGY)
"""The roles of a four-momentum, in the order of `hepjax.physics.kinematics`."""
BINNED = (Role.JET_PT, Role.JET_ETA, Role.JET_MASS, Role.JET_MULTIPLICITY)
"""The roles of the jet columns that figures of merit are binned in; a run keeps those of its test jets."""
PARTICLE_ORDER = (Role.VALID, Role.ENERGY, Role.PT, Role.PT_REL, Role.PX, Role.PY)
"""The roles of columns by which particles are told from padding, and ordered."""
UNITS = ("GeV", "MeV", "rad", "")

_ENERGIES = (Role.ENERGY, Role.PT, Role.PX, Role.PY, Role.PZ, Role.MASS)


def column(dataset: Dataset, role: Role | str) -> str:
    """Returns the column that has a role.

    Args:
      dataset: of some jets.
      role: of particles or jets.

    Raises:
      InputError: there is no such role, or no column has it; names the columns that there are and the remedy.

    >>> column(Dataset("toy", ("a",), roles={Role.PT: "a"}), Role.PT)
    'a'
    """
    role = choose(Role, role, "role")
    if role in dataset.roles:
        return dataset.roles[role]
    columns = dataset.jet_columns if role.of_jets else dataset.particle_columns
    kind = "jet" if role.of_jets else "particle"
    raise InputError(
        f"dataset {dataset.name}: no {kind} column has the role {role.value}; the {kind} columns are "
        f"{', '.join(columns) or 'none'}; say which it is by a Dataset with roles={{Role.{role.name}: …}}"
    )


def binned_columns(dataset: Dataset) -> tuple[str, ...]:
    """Returns the jet columns that figures of merit are binned in, those of `BINNED` that there are.

    >>> binned_columns(Dataset("toy", (), ("m",), roles={Role.JET_MASS: "m"}))
    ('m',)
    """
    return tuple(dataset.roles[role] for role in BINNED if role in dataset.roles)


def unit_of_column(dataset: Dataset, name: str) -> str:
    """Returns the unit of a column, an image, or a column that is derived, which has the name of its role.

    Args:
      dataset: of the jets.
      name: of the column.

    Returns:
      "GeV", "MeV", "rad", or "" where there is none.

    >>> toy = Dataset("toy", ("a", "b"), roles={Role.PX: "a"}, units={"a": "MeV"})
    >>> unit_of_column(toy, "a"), unit_of_column(toy, "pt"), unit_of_column(toy, "phi_rel"), unit_of_column(toy, "b")
    ('MeV', 'MeV', 'rad', '')
    """
    columns = {*dataset.particle_columns, *dataset.jet_columns, *dataset.images}
    if name in dataset.units or name in columns or name not in {role.value for role in Role}:
        return dataset.units.get(name, "")
    role = Role(name)
    if role in dataset.roles:
        return dataset.units.get(dataset.roles[role], "")
    if role in {Role.PHI, Role.PHI_REL}:
        return "rad"
    if role not in _ENERGIES:
        return ""
    others = (*_ENERGIES, Role.JET_PT)
    return next((unit_of_column(dataset, dataset.roles[other]) for other in others if other in dataset.roles), "")


def grows_with_energy(dataset: Dataset, names: Sequence[str]) -> np.ndarray:
    """Returns (F,) bool, which of the columns grow with the energy of a jet: those in GeV or MeV.

    >>> grows_with_energy(Dataset("toy", units={"m": "GeV"}), ["m", "eta"]).tolist()
    [True, False]
    """
    import numpy as np

    return np.array([unit_of_column(dataset, name) in {"GeV", "MeV"} for name in names], bool)


def particle_mask(values: np.ndarray, names: Sequence[str], roles: Mapping[Role, str]) -> np.ndarray:
    """Tells particles from padding, which is zero.

    Args:
      values: (..., F) columns of particles.
      names: the F names of the columns.
      roles: of the columns.

    Returns:
      (...) bool: what the file says, or else E > 0, pT > 0, relative pT > 0, px and py not both 0, or any column that
      is not 0.

    >>> import numpy as np
    >>> particle_mask(np.array([[0.0, 1.0], [2.0, 0.0]]), ["pt", "eta"], {Role.PT: "pt"}).tolist()
    [False, True]
    """
    import numpy as np

    for role in (Role.VALID, Role.ENERGY, Role.PT, Role.PT_REL):
        if role in roles:
            return np.asarray(values[..., names.index(roles[role])] > 0)
    if Role.PX in roles and Role.PY in roles:
        px, py = (values[..., names.index(roles[role])] for role in (Role.PX, Role.PY))
        return np.asarray((px != 0) | (py != 0))
    return np.asarray((values != 0).any(axis=-1))


def particle_hardness(values: np.ndarray, names: Sequence[str], roles: Mapping[Role, str]) -> np.ndarray | None:
    """Returns (...) what particles are ordered by: pT, or pT relative to the jet, in the file's unit.

    Args:
      values: (..., F) columns of particles.
      names: the F names of the columns.
      roles: of the columns.

    Returns:
      None where no column tells it; the order of the file stays then.

    >>> import numpy as np
    >>> particle_hardness(np.array([[3.0, 4.0]]), ["a", "b"], {Role.PX: "a", Role.PY: "b"}).tolist()
    [5.0]
    """
    import numpy as np

    for role in (Role.PT, Role.PT_REL):
        if role in roles:
            return np.asarray(values[..., names.index(roles[role])])
    if Role.PX in roles and Role.PY in roles:
        px, py = (values[..., names.index(roles[role])] for role in (Role.PX, Role.PY))
        return np.asarray(np.hypot(px, py))
    return None


def dataset_in_gev(dataset: Dataset) -> Dataset:
    """Returns the dataset of jets whose columns in MeV have become columns in GeV.

    >>> dataset_in_gev(Dataset("toy", units={"pt": "MeV", "phi": "rad"})).units
    {'pt': 'GeV', 'phi': 'rad'}
    """
    units = {name: "GeV" if unit == "MeV" else unit for name, unit in dataset.units.items()}
    return dataclasses.replace(dataset, units=units) if units != dataset.units else dataset


def gev_factors(dataset: Dataset, names: Sequence[str]) -> np.ndarray | None:
    """Returns (F,) float32 factors that make columns in MeV columns in GeV; None where there are none in MeV.

    >>> gev_factors(Dataset("toy", units={"pt": "MeV"}), ["pt", "eta"]).tolist()
    [0.0010000000474974513, 1.0]
    """
    import numpy as np

    in_mev = [dataset.units.get(name) == "MeV" for name in names]
    return np.where(in_mev, np.float32(1e-3), np.float32(1)) if any(in_mev) else None


def as_description(dataset: Dataset) -> Dataset:
    """Returns the dataset of some jets as it describes other files, which may have other columns beside those it names.

    >>> as_description(Dataset("toy", ("pt", "x"), roles={Role.PT: "pt"})).particle_columns
    ()
    """
    return dataclasses.replace(dataset, particle_columns=(), jet_columns=(), images=())


def check_dataset(dataset: Dataset, where: str = "") -> None:
    """Refuses a dataset that contradicts itself.

    Args:
      dataset: any.
      where: the file or argument that it comes from, for the message.

    Raises:
      InputError: a field is of another type, a column has two roles, a name stands twice, classes and labels do not
        fit, a label is among what is learned from, or a unit is unknown.

    >>> check_dataset(Dataset("toy", classes=("a", "b")))
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: dataset toy: has the classes a, b but no labels that tell them; give labels=OneHot(…) or \
Index(…), or leave the classes out
    """
    start = f"{where}: dataset {dataset.name}" if where else f"dataset {dataset.name}"
    for problem in _type_problem(dataset):
        raise InputError(f"{start}: {problem}")
    from hepjax.data.expressions import expression_problems  # it brings numpy, which help must not wait for
    from hepjax.data.reweighting import reweighting_problems

    problems = (*_repeated_names(dataset), *_label_problem(dataset), *_role_and_unit_problem(dataset))
    problems += tuple(reweighting_problems(dataset))
    expressions = {f"derived column {name}": text for name, text in dataset.derived.items()}
    for problem in (*problems, *expression_problems(expressions | {"selection": dataset.selection or "True"})):
        raise InputError(f"{start}: {problem}")


def label_columns(dataset: Dataset) -> tuple[str, ...]:
    """Returns the jet columns that hold labels, the one of undefined jets last.

    >>> label_columns(Dataset("toy", classes=("a", "b"), labels=OneHot(("is_a", "is_b"))))
    ('is_a', 'is_b')
    """
    if isinstance(dataset.labels, OneHot):
        return (*dataset.labels.columns, *([dataset.labels.undefined] if dataset.labels.undefined else []))
    return (dataset.labels.column,) if isinstance(dataset.labels, Index) else ()


TUPLES = (
    "particle_columns",
    "jet_columns",
    "classes",
    "features",
    "particle_features",
    "images",
    "background",
    "observers",
)
"""The fields that are tuples of names."""


def _type_problem(dataset: Any) -> Iterator[str]:
    """Yields fields whose types are others: a text would count as a list of letters, and the name of a role as none."""
    for name in TUPLES:
        listed = getattr(dataset, name)
        if not isinstance(listed, tuple | list) or not all(isinstance(value, str) for value in listed):
            yield f"expected {name} to be a tuple of names, such as ('pt', 'eta'), found {listed!r}"
    if dataset.labels is not None and not isinstance(dataset.labels, OneHot | Index | FileName):
        yield f"expected labels to be OneHot(…), Index(…) or None, found {dataset.labels!r}"
    if dataset.weights is not None and not isinstance(dataset.weights, str):
        yield f"expected weights to be the name of a column, found {dataset.weights!r}"
    if dataset.reweighting is not None and not isinstance(dataset.reweighting, Reweighting):
        yield f"expected reweighting to be Reweighting(…), found {dataset.reweighting!r}"
    if not isinstance(dataset.selection, str):
        yield f"expected selection to be an expression, such as 'jet_pt > 500', found {dataset.selection!r}"
    for name, kind in (("roles", Role), ("units", str), ("titles", str), ("derived", str)):
        for key, value in getattr(dataset, name).items():
            if not isinstance(key, kind) or not isinstance(value, str):
                meant = "a Role, such as Role.PT" if kind is Role else "a column"
                yield f"expected {name} to map {meant} to a text, found {key!r}: {value!r}"


def _repeated_names(dataset: Dataset) -> Iterator[str]:
    names = {name: getattr(dataset, name) for name in TUPLES} | {"labels": label_columns(dataset)}
    for what, listed in names.items():
        if twice := repeated_values(listed):
            yield f"{what} names {', '.join(twice)} more than once; name each once"


def repeated_values(names: Collection[str]) -> list[str]:
    """Returns the names that stand twice or more.

    >>> repeated_values(["a", "b", "a"])
    ['a']
    """
    return [name for name, count in collections.Counter(names).items() if count > 1]


def _label_problem(dataset: Dataset) -> Iterator[str]:
    labels, classes = dataset.labels, ", ".join(dataset.classes)
    if labels is None and classes:
        yield (
            f"has the classes {classes} but no labels that tell them; give labels=OneHot(…) or Index(…), or leave the "
            "classes out"
        )
    if labels is not None and len(dataset.classes) < 2:
        yield f"has labels but {'only the class ' + classes if classes else 'no classes'}; name two classes or more"
    if isinstance(labels, FileName) and len(labels.beginnings) != len(dataset.classes):
        yield f"{len(dataset.classes)} classes ({classes}) but {len(labels.beginnings)} names of files; name one each"
    if isinstance(labels, OneHot) and classes and len(labels.columns) != len(dataset.classes):
        yield (
            f"{len(dataset.classes)} classes ({classes}) but {len(labels.columns)} label columns "
            f"({', '.join(labels.columns)}): no label can be the rest; name one column for each class"
        )
    if unknown := [name for name in dataset.background if name not in dataset.classes]:
        yield f"background names {', '.join(unknown)}, which is no class; the classes are {classes or 'none'}"
    reserved = {*label_columns(dataset), *([dataset.weights] if dataset.weights else [])}
    if dataset.weights in label_columns(dataset):
        yield f"{dataset.weights} is both a label and the weights; give each a column"
    for what in ("jet_columns", "features"):
        if both := reserved & {*getattr(dataset, what)}:
            names = ", ".join(sorted(both))
            yield f"{what} names {names}, which is a label or weight and would be learned from; leave it out"
    of_jets = {name: role for role, name in dataset.roles.items() if role.of_jets}
    if both := reserved & {*of_jets}:
        yield f"{min(both)} has the role {of_jets[min(both)].value} but is a label or weight; give each a column"


def _role_and_unit_problem(dataset: Dataset) -> Iterator[str]:
    for of_jets in (False, True):
        owners: dict[str, list[str]] = {}
        for role, name in dataset.roles.items():
            if role.of_jets == of_jets:
                owners.setdefault(name, []).append(role.value)
        for name, roles in owners.items():
            if len(roles) > 1:
                yield f"column {name} has two roles, {' and '.join(roles)}; give it one"
    for name, unit in dataset.units.items():
        if unit not in UNITS:
            yield f"column {name} has the unknown unit {unit!r}; give GeV, MeV, rad, or none"
        if unit == "MeV" and name in dataset.derived:
            yield f"derived column {name} has the unit MeV, but expressions are of columns in GeV; give GeV"
