"""Model cards, which tell the users of an exported tagger what they must know (arXiv:1810.03993)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hepjax.choices import ExportFormat, choose
from hepjax.report.labels import class_label
from hepjax.report.number_text import MISSING, PARTS, SAMPLE, option_list, trained_on_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FIGURES = (
    ("auc", "AUC", "{:.4f}"),
    ("tpr_at_fpr_0.01", "efficiency at a mistag rate of 1 %", "{:.3f}"),
    ("background_rejection_at_0.5", "background rejection at an efficiency of 50 %", "{:,.1f}"),
)


def model_card(
    name: str,
    record: Mapping[str, Any],
    metrics: Mapping[str, Any],
    columns: Sequence[str],
    kind: ExportFormat | str = ExportFormat.ONNX,
    *,
    units: Mapping[str, str] | None = None,
    temperature: float = 1.0,
    pt_range: tuple[float, float] | None = None,
    output: str = "probabilities",
    paragraphs: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Writes the model card of an exported tagger in Markdown.

    Args:
      name: the name of the exported file.
      record: the content of experiment.json.
      metrics: the content of metrics.json; figures that are missing are left out.
      columns: the columns that the tagger reads, in their order; for images of the files their names.
      kind: the file's format.
      units: column → its unit, such as "GeV", "" for a pure number; the table has a dash for columns that it lacks.
      temperature: the temperature that divides the logarithms of the probabilities.
      pt_range: the lowest and highest pT of the test jets, GeV.
      output: the name of the file's output.
      paragraphs: title of a section → paragraphs that replace those of a classifier; None is a classifier.

    Returns:
      The text: model, inputs, outputs, data, training, figures of merit with their intervals, limits, how to run it and
      how to repeat it.

    >>> record = {"experiment": {"model": {"name": "mlp", "features": ["j_pt"]}}, "classes": ["q", "t"]}
    >>> text = model_card("tagger.onnx", record, {"accuracy": 0.9, "loss": 0.3, "classes": {}}, ["j_pt"])
    >>> text.splitlines()[0]
    '# tagger.onnx'
    """
    kind = choose(ExportFormat, kind, "kind")
    classes = [str(each) for each in record.get("classes") or ()]
    own = "Figures of merit" in (paragraphs or {})
    calibrated = "" if temperature == 1 else f" They are calibrated with the temperature {temperature:.3f}."
    sections = {
        "Model": _card_model(kind, record),
        "Inputs": _card_inputs(record, columns, units or {}),
        "Output": [
            f"`probabilities`, (N, {len(classes)}) float32, a column a class: {_card_class_list(classes)}.",
            "Each row adds up to 1. Scaling and softmax are inside." + calibrated,
        ],
        "Data": [*_card_data(record, metrics), *filter(None, [trained_on_sentence(metrics)])],
        "Training": _card_training(record, metrics),
        "Figures of merit": [] if own else _card_figures(metrics),
        "Limits": _card_limits(record, classes, pt_range),
        "How to run it": _card_running(name, kind, record, columns, output),
        "How to repeat it": _card_repeating(record),
        **(paragraphs or {}),
    }
    if imported := record.get("imported"):
        sections = {title: parts for title, parts in sections.items() if title not in {"Training", "Figures of merit"}}
        sections["Data"] = [
            f"Weights of the file `{imported['file']}` (SHA-256 `{imported['sha256']}`), which others have trained.",
            "What on, and how good they are, was not recorded. Measure them with `hepjax evaluate`.",
        ]
    body = "\n\n".join("\n\n".join([f"## {title}", *parts]) for title, parts in sections.items())
    return f"# {name}\n\nA {'model' if own else 'tagger'} of particle jets, made with hepjax.\n\n{body}\n"


def weights_sections(classes: Sequence[str], code: Sequence[str]) -> dict[str, list[str]]:
    """Returns what a model card says of a file of weights, which gives logits in a network of weaver-core.

    Args:
      classes: in the order of the outputs.
      code: lines of Python that load the file.

    >>> weights_sections(["q", "t"], ["import torch"])["How to run it"][-1].splitlines()
    ['```python', 'import torch', '```']
    """
    return {
        "Output": [
            f"`logits`, (N, {len(classes)}) float32, a column a class: {_card_class_list(classes)}.",
            "Their softmax gives the probabilities. The scaling is in the first batch normalization.",
        ],
        "How to run it": ["`pip install torch weaver-core`, then", "\n".join(["```python", *code, "```"])],
    }


def _card_model(file: ExportFormat, record: Mapping[str, Any]) -> list[str]:
    options, size = record["experiment"]["model"], (record.get("cost") or {}).get("parameters")
    parameters = f", {size:,} parameters" if size else ""
    form = {
        ExportFormat.ONNX: "ONNX",
        ExportFormat.STABLEHLO: "StableHLO for `jax.export`, for CPUs, NVIDIA GPUs and TPUs",
        ExportFormat.TORCH: "a state dict for weaver-core's class",
    }[file]
    return [
        f"{options.get('name', 'model')}{parameters}. The file is {form}; the number of jets N is free.",
        f"Options: {option_list(options)}.",
    ]


def _card_inputs(record: Mapping[str, Any], columns: Sequence[str], units: Mapping[str, str]) -> list[str]:
    model = record["experiment"]["model"]
    rows = [f"| {place} | `{column}` | {_card_unit_text(units.get(column))} |" for place, column in enumerate(columns)]
    table = "\n".join(["| place | column | unit |", "| --- | --- | --- |", *rows])
    if "features" in model:
        words = (
            f"`features`, (N, {len(columns)}) float32: the observables of each jet as the files have them, not scaled."
        )
        return [words, table]
    if model.get("images"):
        side = model["pixels"]
        words = f"`images`, (N, {side}, {side}, {len(columns)}) float32: pT per pixel in GeV; axis 1 is Δφ, axis 2 Δη."
        return [words, table]
    order = f"falling `{model['order_by']}`" if model.get("order_by") else "falling pT"
    slots = model["particles"]
    return [
        f"`particles`, (N, {slots}, {len(columns)}) float32: the particles in the order of {order}, not scaled.",
        f"At most {slots} are read. What is left of the places is padding, zeros behind the last particle.",
        f"`mask`, (N, {slots}) bool: true for a particle, false for padding.",
        table,
    ]


def _card_data(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    experiment = record["experiment"]
    files = [str(file) for key in ("data", "val", "test") for file in experiment.get(key) or ()]
    words = [f"Trained on {', '.join(files) or SAMPLE}."]
    counts, tested = record.get("jets") or {}, metrics.get("jets") or {}
    if counts:
        words.append("Split: " + ", ".join(f"{n:,} {PARTS.get(part, part)} jets" for part, n in counts.items()) + ".")
    if tested:
        words.append(
            "Test jets by class: " + ", ".join(f"{class_label(key)} {n:,.0f}" for key, n in tested.items()) + "."
        )
    if record.get("fingerprint"):
        words.append(f"Fingerprint of the jets: `{record['fingerprint']}`.")
    return ["\n".join(words)]


def _card_training(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    experiment = record["experiment"]
    names = ("epochs", "patience", "batch_size", "optimizer", "seed", "precision", "folds", "ensemble")
    options = option_list({name: experiment[name] for name in names if experiment.get(name) is not None})
    words = [f"Options: {options}."] if options else []
    if metrics.get("best_epoch") is not None:
        words.append(f"The parameters are those of epoch {metrics['best_epoch']}, the best on the validation part.")
    if metrics.get("verdict"):
        words.append(metrics["verdict"]["words"])
    return ["\n".join(words) or "Not recorded."]


def _card_figures(metrics: Mapping[str, Any]) -> list[str]:
    intervals, bounds = metrics.get("intervals") or {}, metrics.get("bounds") or {}
    lines = ["On the test part; in brackets the 68 % interval."]
    overall = [
        f"{key} {_card_figure_text(metrics[key], '{:.4f}', intervals.get(key))}"
        for key in ("accuracy", "loss")
        if key in metrics
    ]
    lines.append(", ".join(overall).capitalize() + ".")
    rows = []
    for name, figures in (metrics.get("classes") or {}).items():
        class_intervals, class_bounds = (intervals.get("classes") or {}).get(name) or {}, bounds.get(name) or {}
        cells = [
            _card_figure_text(figures.get(key), form, class_intervals.get(key), class_bounds.get(key))
            for key, _, form in _FIGURES
        ]
        rows.append(f"| {class_label(name)} | {' | '.join(cells)} |")
    head = [f"| class | {' | '.join(title for _, title, _ in _FIGURES)} |", "| --- " * (len(_FIGURES) + 1) + "|"]
    fitted = metrics.get("calibration") or {}
    parts = ["\n".join(lines), *(["\n".join([*head, *rows])] if rows else [])]
    if fitted.get("expected_calibration_error") is not None:
        error = fitted["expected_calibration_error"]
        parts.append(f"Expected calibration error: {error:.4f}; temperature {fitted.get('temperature') or 1:.3f}.")
    return parts


def _card_limits(record: Mapping[str, Any], classes: Sequence[str], pt_range: tuple[float, float] | None) -> list[str]:
    simulated = "" if record["experiment"].get("data") else " It was trained on simulated jets, not on measured ones."
    tested_range = f" Its figures hold for jets of {pt_range[0]:,.0f} to {pt_range[1]:,.0f} GeV." if pt_range else ""
    return [
        "\n".join(
            [
                f"- It knows {_card_class_list(classes)} only: others get one of these names, without a warning.",
                f"- Its figures of merit hold for jets like those of its test part.{tested_range}{simulated}",
                "- Other energies, jet radii, detectors, pile-up or generators change its inputs; how far its",
                "  answers change was not measured. Measure it on your jets with `hepjax evaluate` first.",
                "- The classes' shares in the training part are in the probabilities; for other shares, use ratios.",
                "- A missing number is not refused: replace or leave out jets with NaN before.",
            ]
        )
    ]


def _card_running(
    name: str, kind: ExportFormat, record: Mapping[str, Any], columns: Sequence[str], output: str
) -> list[str]:
    model, count = record["experiment"]["model"], len(columns)
    if "features" in model:
        code_lines = [f"features = np.zeros((2, {count}), np.float32)  # your jets"]
    elif model.get("images"):
        code_lines = [f"images = np.zeros((2, {model['pixels']}, {model['pixels']}, {count}), np.float32)  # your jets"]
    else:
        code_lines = [
            f"particles = np.zeros((2, {model['particles']}, {count}), np.float32)  # your jets",
            "mask = particles.any(axis=-1)",
        ]
    inputs = [line.split(" ", 1)[0] for line in code_lines]
    if kind is ExportFormat.STABLEHLO:
        code = [
            "import numpy as np",
            "from jax import export",
            *code_lines,
            f'tagger = export.deserialize(bytearray(np.fromfile("{name}", np.uint8)))',
            f"{output} = tagger.call({', '.join(inputs)})",
        ]
        package = "pip install jax flatbuffers numpy"
    else:
        fed = ", ".join(f'"{each}": {each}' for each in inputs)
        code = [
            "import numpy as np, onnxruntime",
            *code_lines,
            f'session = onnxruntime.InferenceSession("{name}")',
            f'{output} = session.run(["{output}"], {{{fed}}})[0]',
        ]
        package = "pip install onnxruntime numpy"
    block = "\n".join(["```python", *code, "```"])
    return [f"`{package}`, then", block, f"Or with hepjax: `hepjax predict {name} --data JETS.h5 --out scores.h5`."]


def _card_repeating(record: Mapping[str, Any]) -> list[str]:
    versions = record.get("versions") or {}
    pinned = " ".join(f"{package}=={version}" for package, version in versions.items() if package != "python")
    python = f"Python {versions['python']}" if "python" in versions else "Python"
    lines = ["```sh", *([f"pip install {pinned}  # {python}"] if pinned else []), str(record.get("command", "")), "```"]
    return ["\n".join(line for line in lines if line)]


def _card_figure_text(
    value: float | None, form: str, interval: Sequence[float] | None = None, bound: float | None = None
) -> str:
    """Formats a figure of merit with its interval, or its bound where too few jets give no figure.

    >>> _card_figure_text(0.5, "{:.2f}", [0.4, 0.6]), _card_figure_text(None, "{:.0f}", None, 30)
    ('0.50 (0.40 to 0.60)', 'above 30 at 95 % C.L.')
    """
    if value is None:
        return MISSING if bound is None else f"above {form.format(bound)} at 95 % C.L."
    return form.format(value) + (f" ({form.format(interval[0])} to {form.format(interval[1])})" if interval else "")


def _card_unit_text(unit: str | None) -> str:
    """Formats a unit for the table of inputs: 1 for a pure number, a dash for an unknown unit.

    >>> _card_unit_text("GeV"), _card_unit_text(""), _card_unit_text(None) == MISSING
    ('GeV', '1', True)
    """
    return MISSING if unit is None else unit or "1"


def _card_class_list(names: Sequence[str]) -> str:
    return ", ".join(class_label(name) for name in names)
