"""Recognition of columns: by a dataset that was given, by one that is known, or by the columns themselves."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np

from hepjax.choices import Role
from hepjax.data import datasets
from hepjax.data.dataset import check_dataset, label_columns
from hepjax.data.dataset_json import dataset_from_json
from hepjax.data.derived import can_be_derived, file_columns, with_derived
from hepjax.data.momenta import FROM_MOMENTA, derivable_roles
from hepjax.data.standard_columns import STANDARD_COLUMNS, can_be_computed, expand_sets, standard_sources
from hepjax.errors import InputError
from hepjax.types import Dataset, FileName, Index, OneHot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.data.containers import Header

    Sample = Callable[[Sequence[str]], np.ndarray]
    """Jet columns → (n, columns) values of a few jets of the file."""

DESCRIPTION = "hepjax_dataset"
"""The attribute of a file that describes its dataset."""
UNNAMED = "unnamed"
"""The name of a dataset that nobody has registered."""
LABEL = "label_"
"""The beginning of the names of label columns in any dataset."""
LABELS = {"label", "labels", "class", "target", "truth", "is_signal", "y"}
"""The names of label columns of whole numbers in any dataset, in small letters."""
MOST_CLASSES = 1000
WEIGHTS = "weights"
"""The name of event weights in any dataset."""

_ROLE_NAMES = tuple(role.value for role in Role if role in FROM_MOMENTA | {Role.CHARGE, Role.VALID})
_PARTICLE_FEATURES = (
    Role.PT, Role.PT_REL, Role.ENERGY, Role.ENERGY_REL, Role.ETA_REL, Role.PHI_REL, Role.DELTA_R,
)  # fmt: skip
"""The default of networks of particles where no dataset says more: how hard a particle is, and its place in the jet."""


def recognize_columns(
    header: Header, given: Dataset | str | None, sample: Sample, *, unlabeled: bool = False
) -> Dataset:
    """Says what the columns of a file mean.

    Args:
      header: of the file.
      given: a dataset, or the name of one; None recognizes it by the columns.
      sample: reads jet columns of a few jets, where labels are told by their values.
      unlabeled: accept a file with none of the labels of the dataset that was given, and no weights then.

    Returns:
      The dataset, with all columns that the file has; those that nobody knows are carried by name.

    Raises:
      InputError: the dataset that was given contradicts itself or names what the file lacks, or labels are not whole.
    """
    if given is None and header.description is not None:
        given = _described_by_file(header)
    given = datasets.get(given) if isinstance(given, str) else given
    held = header
    if given is not None:
        check_dataset(given)
        given = _derivable_part(given, header) if unlabeled else given
        header = with_derived(header, given.derived)
    recognized = (
        datasets.get(header.named_by)
        if header.named_by
        else datasets.recognize(header.particle_names, header.jet_names) or _dataset_by_role_names(header)
    )
    for name in () if given else (*recognized.particle_columns, *_ROLE_NAMES):
        if name in header.passed and name not in (*header.particle_names, *header.jet_names):
            raise _passed_over(header, name, "particle")
    narrowed = _narrow_known_dataset(recognized, header)
    dataset = narrowed if given is None else _fit_given_dataset(given, narrowed, header, unlabeled)
    dataset = dataclasses.replace(dataset, weights=dataset.weights or _recognize_weights(header))
    apart = {*label_columns(dataset), dataset.weights}
    # What labels are computed from would tell the class.
    named = {*dataset.jet_columns, *dataset.features, *dataset.observers, *dataset.roles.values()}
    apart |= file_columns(label_columns(dataset), dataset, held) - named
    if dataset.labels is None:
        labels = _recognize_labels(held, recognized, dataset, sample)
        classes = _recognize_classes(recognized, labels, sample)
        background = tuple(name for name in recognized.background if name in classes)
        dataset = dataclasses.replace(dataset, labels=labels, classes=classes, background=background)
        apart |= {*label_columns(recognized), *label_columns(dataset)}
    dataset = dataclasses.replace(
        dataset,
        particle_columns=_known_columns_first(dataset.particle_columns, header.particle_names),
        jet_columns=_known_columns_first(dataset.jet_columns, [name for name in header.jet_names if name not in apart]),
        images=header.images,
    )
    dataset = dataclasses.replace(
        dataset,
        features=dataset.features
        or tuple(name for name in dataset.jet_columns if name not in dataset.observers and not name.startswith(LABEL)),
        particle_features=dataset.particle_features or default_particle_features(dataset),
    )
    check_dataset(dataset, str(header.path))
    return dataset


def _described_by_file(header: Header) -> Dataset:
    """The dataset that a file describes itself."""
    try:
        return dataset_from_json(json.loads(header.description or ""))
    except (InputError, RecursionError, ValueError) as error:
        raise InputError(
            f"{header.path}: its description of the dataset is damaged ({error}); give the dataset, or make it again"
        ) from error


def check_same_columns(first: Header, other: Header) -> None:
    """Refuses files whose columns differ.

    Args:
      first: of one file.
      other: of another.

    Raises:
      InputError: names the other file and the columns.
    """
    for what, a, b in (
        ("particle", first.particle_names, other.particle_names),
        ("jet", first.jet_names, other.jet_names),
    ):
        if {*a} != {*b}:
            columns = ", ".join(sorted({*a} ^ {*b}))
            raise InputError(
                f"{other.path}: its {what} columns differ from those of {first.path}: {columns}; "
                "read these files apart, or make them again with the same columns"
            )


def _known_columns_first(known: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """The known names first, in their order, then all others as they stand in the file."""
    return (*known, *(name for name in columns if name not in known))


def _dataset_by_role_names(header: Header) -> Dataset:
    """The dataset of a file that calls columns by the names of their roles, or by names that nobody knows."""
    names = {False: header.particle_names, True: header.jet_names}
    return Dataset(UNNAMED, roles={role: role.value for role in Role if role.value in names[role.of_jets]})


def _narrow_known_dataset(dataset: Dataset, header: Header) -> Dataset:
    """The part of a known dataset that a file has."""
    particles, jets = {*header.particle_names}, {*header.jet_names}
    roles = {role: name for role, name in dataset.roles.items() if name in (jets if role.of_jets else particles)}
    kinds = {role.of_jets for role in roles}
    roles |= {role: name for role, name in _dataset_by_role_names(header).roles.items() if role.of_jets not in kinds}
    narrowed = dataclasses.replace(
        dataset,
        particle_columns=tuple(name for name in dataset.particle_columns if name in particles),
        jet_columns=tuple(name for name in dataset.jet_columns if name in jets),
        classes=(),
        labels=None,
        weights=dataset.weights if dataset.weights in (*header.jet_names, *header.series) else None,
        background=(),
        roles=roles,
        features=tuple(name for name in dataset.features if name in jets),
        observers=tuple(name for name in dataset.observers if name in jets),
    )
    # A preferred column that the file lacks is derived where that is possible.
    role_of = {name: role for role, name in dataset.roles.items() if not role.of_jets}
    role_of |= {role.value: role for role in derivable_roles(narrowed)}
    known = derivable_roles(narrowed)
    whole = dataclasses.replace(narrowed, particle_columns=header.particle_names)
    preferred = (
        name if name in particles or can_be_computed(name, whole)
        else role_of[name].value if role_of.get(name) in known else None
        for name in dataset.particle_features
    )  # fmt: skip
    return dataclasses.replace(narrowed, particle_features=tuple(filter(None, preferred)))


def _derivable_part(dataset: Dataset, header: Header) -> Dataset:
    """The dataset without labels and weights that would be computed from columns which the file lacks."""
    known = {*label_columns(dataset), dataset.weights}
    lost = {name for name in dataset.derived if name in known and not can_be_derived(name, dataset, header)}
    return dataclasses.replace(
        dataset, derived={name: text for name, text in dataset.derived.items() if name not in lost}
    )


def _fit_given_dataset(dataset: Dataset, narrowed: Dataset, header: Header, unlabeled: bool) -> Dataset:
    """A dataset that was given, if the file has all that it names; roles that it does not know are the usual ones."""
    if isinstance(dataset.labels, OneHot) and dataset.labels.undefined not in header.jet_names:
        dataset = dataclasses.replace(dataset, labels=dataset.labels._replace(undefined=None))
    if unlabeled and label_columns(dataset) and not {*label_columns(dataset)} & {*header.jet_names}:
        weights = dataset.weights if dataset.weights in (*header.jet_names, *header.series) else None
        dataset = dataclasses.replace(dataset, classes=(), labels=None, background=(), weights=weights)
    dataset = dataclasses.replace(dataset, particle_features=expand_sets(dataset.particle_features))
    if not dataset.roles:
        units, titles = {**narrowed.units, **dataset.units}, {**narrowed.titles, **dataset.titles}
        dataset = dataclasses.replace(dataset, roles=narrowed.roles, units=units, titles=titles)
    _check_dataset_columns(dataset, header)
    return dataset


def default_particle_features(dataset: Dataset) -> tuple[str, ...]:
    """Returns what networks of particles see where a dataset does not say it: kinematics, or else all columns.

    >>> default_particle_features(Dataset("toy", ("a",), roles={Role.PT_REL: "a"}))
    ('a',)
    """
    known = derivable_roles(dataset)
    preferred = tuple(dataset.roles.get(role, role.value) for role in _PARTICLE_FEATURES if role in known)
    return preferred or tuple(name for name in dataset.particle_columns if name != dataset.roles.get(Role.VALID))


def _recognize_weights(header: Header) -> str | None:
    places = [names for names in (header.jet_names, header.series) if WEIGHTS in names]
    if len(places) > 1:
        raise InputError(f"{header.path}: has both a jet column and a dataset called {WEIGHTS}; rename one of them")
    return WEIGHTS if places else None


def _recognize_labels(
    header: Header, known: Dataset, narrowed: Dataset, sample: Sample
) -> OneHot | Index | FileName | None:
    """Finds the labels of a file; columns of zeros and ones are told by the values of a few jets."""
    names = header.jet_names
    flags = tuple(name for name in names if name.startswith(LABEL))
    if isinstance(known.labels, FileName) or (flags and {*flags} == {*label_columns(known)}):
        return known.labels
    if known.labels is None and (index := _recognize_label_index(names, sample)):
        return index
    if flags:
        if len(flags) == 1:
            raise InputError(
                f"{header.path}: {flags[0]} is the only column {LABEL}…, which tells no classes; give each class a "
                f"column, or describe the file by a Dataset with labels=Index({flags[0]!r})"
            )
        return OneHot(flags)
    expected = label_columns(known)
    undefined = known.labels.undefined if isinstance(known.labels, OneHot) else None
    needed = tuple(name for name in expected if name != undefined)
    whole = bool(needed) and {*needed} <= {*names}
    apart = {*narrowed.jet_columns, *narrowed.roles.values(), *expected, narrowed.weights}
    others = [name for name in names if name not in apart]
    if whole and isinstance(known.labels, OneHot):
        labels: OneHot | Index | FileName | None = OneHot(needed, undefined if undefined in names else None)
    else:
        labels = known.labels if whole else None
    if not others and (whole or not {*needed} & {*names}):
        return labels
    present = [name for name in needed if name in names]
    flags = _recognize_label_flags([*present, *others], sample, present if whole else ())
    if flags and {*present} <= {*flags}:
        return OneHot(flags, undefined if undefined in names else None)
    if present and not whole:
        here, lacking = (", ".join(name for name in needed if (name in names) is has) for has in (True, False))
        raise InputError(
            f"{header.path}: has the label columns {here} of the dataset {known.name} but lacks {lacking}, "
            "and those it has do not add up to 1; give all label columns or none, or describe the file by a Dataset"
        )
    return labels


def _recognize_label_index(names: Sequence[str], sample: Sample) -> Index | None:
    """The column of whole numbers, two or more, that is called by what labels are called."""
    for name in names:
        if name.lower() in LABELS:
            values = sample([name])
            if (values == np.floor(values)).all() and values.min() == 0 and 1 <= values.max() < MOST_CLASSES:
                return Index(name)
    return None


def _recognize_label_flags(names: Sequence[str], sample: Sample, enough: Sequence[str]) -> tuple[str, ...]:
    """The columns of zeros and ones that add up to 1 in each row; none where those of `enough` do so already."""
    if len(names) < 2:
        return ()
    values = sample(names)
    binary = ((values == 0) | (values == 1)).all(axis=0)
    if enough and (values[:, [names.index(name) for name in enough]].sum(axis=1) == 1).all():
        return ()
    flags = tuple(name for name, is_flag in zip(names, binary, strict=True) if is_flag)
    return flags if len(flags) >= 2 and (values[:, binary].sum(axis=1) == 1).all() else ()


def _recognize_classes(known: Dataset, labels: OneHot | Index | FileName | None, sample: Sample) -> tuple[str, ...]:
    if labels is None:
        return ()
    if isinstance(labels, Index) and not known.classes:
        return tuple(map(str, range(int(sample([labels.column]).max()) + 1)))
    named = dict(zip(label_columns(known), known.classes, strict=False)) if isinstance(known.labels, OneHot) else {}
    if not isinstance(labels, OneHot):
        return known.classes
    return tuple(named.get(name, name.removeprefix("j_").removeprefix(LABEL)) for name in labels.columns)


def _passed_over(header: Header, name: str, kind: str) -> InputError:
    return InputError(f"{header.path}: {name} is {header.passed[name]}; expected a {kind} column of numbers")


def _check_dataset_columns(dataset: Dataset, header: Header) -> None:
    """Refuses a dataset that names what the file lacks."""
    derived = {role.value for role in derivable_roles(dataset)}
    whole = dataclasses.replace(dataset, particle_columns=header.particle_names)
    for name in STANDARD_COLUMNS.intersection(dataset.particle_features) - {*header.passed}:
        standard_sources(name, whole, f"{header.path}: features")
        derived.add(name)
    particles = dict.fromkeys(dataset.particle_columns, "a particle column")
    particles |= {name: "one to learn from" for name in dataset.particle_features if name not in derived}
    jets = dict.fromkeys(dataset.jet_columns, "a jet column") | dict.fromkeys(dataset.features, "a feature")
    jets |= dict.fromkeys(label_columns(dataset), "a label")
    for role, name in dataset.roles.items():
        (jets if role.of_jets else particles)[name] = role.value
    for kind, wanted, columns in (
        ("particle", particles, header.particle_names),
        ("jet", jets, header.jet_names),
    ):
        for name, what in wanted.items():
            if name in header.passed and name not in columns:
                raise _passed_over(header, name, kind)
            if name not in columns:
                raise InputError(
                    f"{header.path}: lacks the {kind} column {name}, which the dataset {dataset.name} names as {what}; "
                    f"its {kind} columns are {', '.join(columns) or 'none'}; correct the dataset, or read without it"
                )
    if dataset.weights is not None and dataset.weights not in (*header.jet_names, *header.series):
        raise InputError(
            f"{header.path}: has no column and no dataset {dataset.weights}, which the dataset {dataset.name} names as "
            "the weights; correct the dataset, or read without it"
        )
