"""Numbers, intervals and options as text, the same in tables of the terminal, on the page and in model cards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING = "–"  # noqa: RUF001 -- the dash a table shows for a number that does not exist
SAMPLE = "the sample that comes with hepjax"
"""The name of the data of a run that was given no files."""
PARTS = {"train": "training", "val": "validation", "test": "test"}
"""The names of the parts that jets are split into, as experiment.json has them, and in words."""


def find_nested_value(tree: Any, *keys: str) -> Any:
    """Returns the value in nested mappings, or None where any key is missing.

    >>> find_nested_value({"a": {"b": 1}}, "a", "b"), find_nested_value({"a": None}, "a", "b")
    (1, None)
    """
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def is_number(value: Any) -> bool:
    """Returns whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_interval(value: Any) -> bool:
    """Returns whether a value is the two ends of an interval."""
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))


def number_text(value: Any, form: str = "{:.4g}") -> str:
    """Formats a number; a dash stands for a missing one, and anything else stays as it is.

    >>> number_text(0.25), number_text(1234567), number_text(None), number_text(float("nan")), number_text("a")
    ('0.25', '1,234,567', '–', '–', 'a')
    """
    if is_number(value):
        return f"{value:,}" if isinstance(value, int) else form.format(value)
    return MISSING if value is None or isinstance(value, float) else str(value)


def interval_text(interval: Sequence[float], form: str = "{:.4g}") -> str:
    """Formats the ends of an interval.

    >>> interval_text((0.5, 0.75), "{:.2f}")
    '0.50 to 0.75'
    """
    return " to ".join(form.format(end) for end in interval)


def uncertainty_text(metrics: Mapping[str, Any], key: str, form: str) -> str:
    """Returns the uncertainty of a figure of merit in words; empty where it is not known.

    >>> uncertainty_text({"intervals": {"loss": [0.5, 0.75]}}, "loss", "{:.2f}")
    '68% interval 0.50 to 0.75'
    """
    interval, spread = find_nested_value(metrics, "intervals", key), find_nested_value(metrics, "spread", key)
    if is_interval(interval):
        return f"68% interval {interval_text(interval, form)}"
    return f"± {form.format(spread)} from training to training" if is_number(spread) else ""


def option_text(value: Any, missing: str = "none") -> str:
    """Formats an option's value as it is written on the command line.

    >>> option_text([8, 4]), option_text(()), option_text(True), option_text({"name": "adam", "decay": None})
    ('8 4', 'none', 'true', 'name adam')
    """
    if isinstance(value, Mapping):
        named = {key.replace("_", " "): option_text(item) for key, item in value.items() if item is not None}
        return " ".join(f"{key} {text}" for key, text in named.items())
    if isinstance(value, list | tuple):
        return " ".join(option_text(item, missing) for item in value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return missing if value is None else str(value)


def option_list(options: Mapping[str, Any], missing: str = "none") -> str:
    """Formats options and their values as one line, without the name of what they belong to.

    >>> option_list({"name": "mlp", "hidden": [8, 4], "norm": "none"})
    'hidden 8 4, norm none'
    """
    pairs = ((key.replace("_", " "), value) for key, value in options.items() if key != "name")
    return ", ".join(f"{key} {option_text(value, missing)}" for key, value in pairs)


def certainty_sentence(metrics: Mapping[str, Any]) -> str:
    """Returns how sure the figures of merit are."""
    members, spread = metrics.get("members") or {}, metrics.get("spread")
    if metrics.get("intervals") and members:
        scatter = uncertainty_text({"spread": spread}, "accuracy", "{:.1%}")
        return "68% intervals" + (f"; the accuracy scatters by {scatter}." if scatter else ".")
    if metrics.get("intervals"):
        return (
            "68% intervals: what other samples of test jets as large as this one would have given. "
            "The scatter from training to training is not in them."
        )
    if spread:
        return f"The standard deviation over {len(members)} trainings."
    return "Not known: this run has neither intervals nor several trainings."


def overlap_text(part: str, jets: int, of: int) -> str:
    """Says how many jets of a part were trained on.

    >>> overlap_text("test", 1200, 4000), overlap_text("val", 1, 4000)
    ('1,200 of 4,000 test jets (30.0%)', '1 of 4,000 validation jets (less than 0.1%)')
    """
    share = jets / max(of, 1)
    words = f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
    return f"{jets:,} of {of:,} {PARTS.get(part, part)} jets ({words})"


def trained_on_sentence(metrics: Mapping[str, Any]) -> str:
    """Says which jets that a model was measured on are among its training jets; "" where there are none.

    >>> trained_on_sentence({"trained_on": {"test": {"jets": 3, "of": 4, "share": 0.75}}})
    '3 of 4 test jets (75.0%) are among the training jets: figures of merit on them do not hold for new jets.'
    """
    found = metrics.get("trained_on") or {}
    parts = [overlap_text(part, found[part]["jets"], found[part]["of"]) for part in ("test", "val") if part in found]
    if not parts:
        return ""
    return f"{' and '.join(parts)} are among the training jets: figures of merit on them do not hold for new jets."


def calibration_sentence(metrics: Mapping[str, Any]) -> str:
    """Returns how well probabilities are calibrated; "" where that was not measured."""
    calibration = metrics.get("calibration") or {}
    before, after = (calibration.get(f"expected_calibration_error{suffix}") for suffix in ("", "_scaled"))
    temperature = calibration.get("temperature")
    if not is_number(before):
        return ""
    scaled = ""
    if is_number(after) and is_number(temperature):
        scaled = f", and {after:.4f} with a temperature of {temperature:.3f}, fitted on the validation part"
    return (
        f"The expected calibration error is {before:.4f}{scaled}. "
        "It is the mean distance between how sure the tagger is and how often it is right."
    )
