"""What a run was, in words: its model, its data, and all that is needed to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hepjax.report.names import drawn
from hepjax.report.page_markup import (
    MISSING,
    Html,
    column_head,
    find,
    is_number,
    join,
    number,
    row_head,
    tag,
    whole_table,
)
from hepjax.version import __version__

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

_PARTS = {"train": "training", "val": "validation", "test": "test"}
_SAMPLE = "the sample that comes with hepjax"


def model_words(record: Mapping[str, Any]) -> str:
    """The model's name and size.

    >>> model_words({"experiment": {"model": {"name": "mlp"}}, "cost": {"parameters": 4389}})
    'mlp, 4,389 parameters'
    """
    name, parameters = find(record, "experiment", "model", "name"), find(record, "cost", "parameters")
    return ", ".join(
        [str(name or "model not recorded"), *([f"{number(parameters)} parameters"] if is_number(parameters) else [])]
    )


def option_words(record: Mapping[str, Any]) -> str:
    """The model's options in a line.

    >>> option_words({"experiment": {"model": {"name": "mlp", "hidden": [8, 4], "norm": "none"}}})
    'hidden 8 4, norm none'
    """
    options = find(record, "experiment", "model") or {}
    return ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in options.items() if key != "name")


def data_words(record: Mapping[str, Any]) -> Html:
    """The files, the jets of each part, the classes and the fingerprint.

    >>> data_words({"experiment": {"data": []}, "jets": {"train": 60, "test": 20}, "classes": ["q", "t"]})
    'the sample that comes with hepjax; 60 training, 20 test jets; classes q, t'
    """
    files = [name for key in ("data", "val", "test") for name in find(record, "experiment", key) or ()]
    words: list[Any] = [", ".join(map(str, files)) if files else _SAMPLE]
    counts = record.get("jets") or {}
    if counts:
        words.append(f"{', '.join(f'{number(n)} {_PARTS.get(part, part)}' for part, n in counts.items())} jets")
    if record.get("classes"):
        words.append(f"classes {', '.join(drawn(str(name)) for name in record['classes'])}")
    if "fingerprint" in record:
        words.append(join("fingerprint ", tag("code", record["fingerprint"])))
    return join(*(join("; " if i else "", word) for i, word in enumerate(words)))


def repeat(record: Mapping[str, Any], metrics: Mapping[str, Any], made: dt.datetime) -> Html:
    """The command, the versions, the facts and all options.

    Args:
      record: what is in experiment.json.
      metrics: what is in metrics.json.
      made: when the page was made.

    Returns:
      The inside of a section.
    """
    versions = record.get("versions") or {}
    parts: list[Html] = []
    if record.get("command"):
        words = "The command, as it was typed; a path in it is meant from the folder in which it was typed."
        parts += [tag("h3", "Command"), tag("p", words), copyable(str(record["command"]), "the command")]
    pinned = " ".join(shlex.quote(f"{name}=={version}") for name, version in versions.items() if name != "python")
    if pinned:
        python = f", on Python {versions['python']}" if "python" in versions else ""
        parts += [tag("h3", "Environment"), tag("p", f"The packages that it ran with{python}.")]
        parts.append(copyable(f"pip install {pinned}", "the line that installs the packages"))
    facts = [tag("div", tag("dt", title), tag("dd", value)) for title, value in _facts(record, metrics, made)]
    parts += [tag("h3", "Facts"), tag("dl", *facts, class_="facts")]
    options = dict(flat(record.get("experiment") or {}))
    if options:
        rows = [
            tag("tr", row_head(name), tag("td", tag("code", _plain(value)), class_="text"))
            for name, value in options.items()
        ]
        head = tag("tr", column_head("Option", 0), column_head("Value", 1, class_="text"))
        table = whole_table("All options of the run", [head], rows)
        parts += [tag("h3", "Options"), tag("details", tag("summary", f"All {len(options)} options"), table)]
    return join(*parts)


def copyable(text: str, what: str) -> Html:
    """A block of text with room for a button that copies it."""
    return tag("div", tag("pre", tag("code", text), tabindex="0", role="region", aria_label=what), class_="copy")


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as pairs with dotted names.

    >>> dict(flat({"model": {"name": "mlp"}, "seed": 0}))
    {'model.name': 'mlp', 'seed': 0}
    """
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _facts(record: Mapping[str, Any], metrics: Mapping[str, Any], made: dt.datetime) -> Iterator[tuple[str, Any]]:
    experiment = record.get("experiment") or {}
    for key, title in (("data", "Data files"), ("val", "Validation files"), ("test", "Test files")):
        files = experiment.get(key) or []
        if files or key not in ("val", "test"):
            yield title, join(*(tag("code", file, class_="file") for file in files)) if files else _SAMPLE
    if "fingerprint" in record:
        yield "Fingerprint of the jets", tag("code", record["fingerprint"])
    for part, count in (record.get("jets") or {}).items():
        yield f"{_PARTS.get(part, part).capitalize()} jets", number(count)
    counted = metrics.get("jets") or {}
    if counted:
        yield "Test jets by class", ", ".join(f"{drawn(name)} {number(count)}" for name, count in counted.items())
    if experiment.get("seed") is not None:
        yield "Seed", str(experiment["seed"])
    if record.get("devices"):
        yield "Devices", ", ".join(map(str, record["devices"]))
    if record.get("versions"):
        yield "Versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    yield (
        "This page",
        join(
            "made ",
            tag("time", f"{made:%d %B %Y, %H:%M}", datetime=made.isoformat(timespec="minutes")),
            f" by hepjax {__version__}",
        ),
    )


def _plain(value: Any) -> str:
    """An option's value as it is written on the command line."""
    if isinstance(value, list | tuple):
        return " ".join(map(_plain, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return MISSING if value is None else str(value)
