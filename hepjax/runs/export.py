"""Trained taggers as files that run without hepjax, each with a model card beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hepjax import export as formats
from hepjax import models, report
from hepjax.choices import ExportFormat, Precision
from hepjax.data import atomic_files
from hepjax.data.atomic_hdf5 import check_target
from hepjax.data.datasets import hls4ml
from hepjax.runs import predictions, run_folder, taggers
from hepjax.version import __version__


def export(
    folder: Path, out: Path, kind: ExportFormat = ExportFormat.ONNX, *, calibrated: bool = False
) -> tuple[Path, ...]:
    """Writes a run's tagger as a file of raw columns in, probabilities out, and its model card.

    Args:
      folder: of the run.
      out: a new file; its card is OUT.md, and of StableHLO OUT.json holds what else JAX must know.
      kind: the format.
      calibrated: with the temperature that fits the validation part best.

    Returns:
      The files, the tagger's first.

    Raises:
      InputError: the folder is not a run's, its tagger cannot be exported, or a file exists or cannot be written.
    """
    card, beside = (Path(f"{out}.{suffix}") for suffix in ("md", "json"))
    targets = [out, card] + [beside] * (kind is ExportFormat.STABLEHLO)
    for path in targets:
        check_target(path, f"--out {path}")
    trained, record = taggers.read_run(folder)
    networks = [one._replace(precision=Precision.FLOAT32) for one in trained]  # what every runtime has
    temperature = taggers.read_temperature(folder) if calibrated else 1.0
    answer, example = taggers.make_answer(networks, temperature), networks[0].recipe.example
    experiment = run_folder.read_experiment(folder)[0]
    facts = {
        "model": json.dumps(models.to_json(experiment.model)),
        "plugins": json.dumps([str(path) for path in experiment.plugins]),
        "classes": json.dumps(record["classes"]),
        "columns": json.dumps(networks[0].recipe.columns),
        "temperature": str(temperature),
        "hepjax": __version__,
    }
    if kind is ExportFormat.ONNX:
        atomic_files.write_bytes(out, formats.to_onnx(answer, example, facts))
    else:
        data = formats.to_stablehlo(answer, example)
        atomic_files.write_bytes(out, data)
        atomic_files.write_text(beside, formats.describe_stablehlo(answer, example, data, facts))
    about: dict[str, Any] = {"kind": kind, "temperature": temperature, "pt_range": _pt_range(folder)}
    about["units"] = {column: _unit(column) for column in networks[0].recipe.columns}
    words = report.model_card(out.name, record, run_folder.read_metrics(folder), networks[0].recipe.columns, **about)
    atomic_files.write_text(card, words)
    return tuple(targets)


def _pt_range(folder: Path) -> tuple[float, float] | None:
    """Of the test jets, where a run of an older hepjax has not left them out."""
    path = folder / "test.h5"
    pt = predictions.read_predictions(path).observables.get("j_pt") if path.exists() else None
    return None if pt is None or not len(pt) else (float(pt.min()), float(pt.max()))


def _unit(column: str) -> str:
    """The unit of a column of the public layout; "" for a pure number, GeV for the images of files.

    >>> [_unit(name) for name in ("j1_pt", "j1_phirel", "j_mass_mmdt", "j_zlogz", "jetImage")]
    ['GeV', 'rad', 'GeV', '', 'GeV']
    """
    energy = column.endswith(("_px", "_py", "_pz", "_e", "_pt")) or column.startswith(("j_tau1_", "j_tau2_", "j_tau3_"))
    if energy or "_mass" in column or column not in {*hls4ml.JET_COLUMNS, *hls4ml.PARTICLE_COLUMNS}:
        return "GeV"
    return "rad" if "_phi" in column else ""
