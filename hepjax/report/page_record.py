"""What a run was, in words: its model, its data, and all that is needed to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hepjax.report.labels import class_label
from hepjax.report.number_text import (
    MISSING,
    PARTS,
    SAMPLE,
    find_nested_value,
    is_number,
    number_text,
    option_list,
    option_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def describe_run(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Describes a run in words.

    Args:
      record: the content of experiment.json.
      metrics: the content of metrics.json.

    Returns:
      The texts by the names that the templates use; those that were not recorded are empty.

    >>> record = {"experiment": {"model": {"name": "mlp", "hidden": [8, 4]}, "seed": 0}, "cost": {"parameters": 4389}}
    >>> text = describe_run(record, {})
    >>> text["model"], text["model_options"], text["data"]
    ('mlp, 4,389 parameters', 'hidden 8 4', 'the sample that comes with hepjax')
    """
    versions, experiment = record.get("versions") or {}, record.get("experiment") or {}
    return {
        "model": _model_record(record),
        "model_options": option_list(experiment.get("model") or {}, MISSING),
        "data": _data_record(record),
        "packages": " ".join(shlex.quote(f"{name}=={text}") for name, text in versions.items() if name != "python"),
        "python": versions.get("python", ""),
        "files": dict(_files_record(experiment)),
        "metadata": list(_metadata_record(record, metrics)),
        "options": {name: option_text(value, MISSING) for name, value in flat_option_pairs(experiment)},
    }


def flat_option_pairs(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields nested mappings as pairs with dotted names.

    >>> dict(flat_option_pairs({"model": {"name": "mlp"}, "seed": 0}))
    {'model.name': 'mlp', 'seed': 0}
    """
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat_option_pairs(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _model_record(record: Mapping[str, Any]) -> str:
    name, parameters = (
        find_nested_value(record, "experiment", "model", "name"),
        find_nested_value(record, "cost", "parameters"),
    )
    size = f", {number_text(parameters)} parameters" if is_number(parameters) else ""
    return f"{name or 'model not recorded'}{size}"


def _data_record(record: Mapping[str, Any]) -> str:
    """Returns the files, the jets of each part and the classes."""
    files = [
        str(name) for key in ("data", "val", "test") for name in find_nested_value(record, "experiment", key) or ()
    ]
    words = [", ".join(files) or SAMPLE]
    counts, classes = record.get("jets") or {}, record.get("classes") or ()
    if counts:
        words.append(f"{', '.join(f'{number_text(n)} {PARTS.get(part, part)}' for part, n in counts.items())} jets")
    if classes:
        words.append(f"classes {', '.join(class_label(str(name)) for name in classes)}")
    return "; ".join(words)


def _files_record(experiment: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for key, title in (("data", "Data files"), ("val", "Validation files"), ("test", "Test files")):
        files = experiment.get(key) or []
        if files or key not in ("val", "test"):
            yield title, files


def _weights_record(weights: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what event weights and reweighting leave of the jets.

    >>> dict(_weights_record({"jets": 1000.0, "effective": 360.0, "negative": 0.2}))
    {'Event weights': 'all jets are worth 360 of 1,000 jets of one weight; 20.0% are negative'}
    """
    if "effective" in weights:
        words = f"all jets are worth {weights['effective']:,.0f} of {weights['jets']:,.0f} jets of one weight"
        negative = weights.get("negative", 0.0)
        yield "Event weights", words + (f"; {negative:.1%} are negative" if negative else "")
    if "effective_training" in weights:
        lost = [
            f"{weights[key]:.1%} {words}"
            for key, words in (("outside", "lie outside of the bins"), ("unmatched", "lie where a class has none"))
            if weights.get(key)
        ]
        words = f"reweighted, they are worth {weights['effective_training']:,.0f} jets of one weight"
        yield "Weights of training jets", "; ".join([words, *lost])


def _metadata_record(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part, count in (record.get("jets") or {}).items():
        yield f"{PARTS.get(part, part).capitalize()} jets", number_text(count)
    counts, seed = metrics.get("jets") or {}, find_nested_value(record, "experiment", "seed")
    if counts:
        yield (
            "Test jets by class",
            ", ".join(f"{class_label(name)} {number_text(count)}" for name, count in counts.items()),
        )
    yield from _weights_record(record.get("weights") or {})
    if seed is not None:
        yield "Seed", str(seed)
    if record.get("devices"):
        yield "Devices", ", ".join(map(str, record["devices"]))
    if record.get("versions"):
        yield "Versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())
