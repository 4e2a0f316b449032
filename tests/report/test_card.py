"""The model card says what a stranger must know, and its example runs."""

from __future__ import annotations

import contextlib
import re

import jax
import numpy as np
import pytest

from hepjax import export
from hepjax.choices import ExportFormat
from hepjax.report.card import model_card
from hepjax.types import Sequences

METRICS = {
    "accuracy": 0.6543,
    "loss": 0.91,
    "classes": {
        "g": {"auc": 0.8812, "tpr_at_fpr_0.01": 0.21, "background_rejection_at_0.5": 15.2},
        "t": {"auc": 0.95, "tpr_at_fpr_0.01": None, "background_rejection_at_0.5": None},
    },
    "jets": {"g": 510, "t": 490},
    "best_epoch": 17,
    "verdict": {"kind": "good", "words": "It fits well."},
    "intervals": {"accuracy": [0.64, 0.67], "loss": None, "classes": {"g": {"auc": [0.87, 0.89]}}},
    "bounds": {"t": {"background_rejection_at_0.5": 42.0}},
    "calibration": {"temperature": 1.25, "expected_calibration_error": 0.034},
}


def record(**model):
    return {
        "command": "hepjax train --seed 3 mlp",
        "experiment": {"model": model, "data": [], "seed": 3, "epochs": 50, "optimizer": {"name": "adam"}},
        "classes": ["g", "t"],
        "jets": {"train": 3000, "val": 1000, "test": 1000},
        "cost": {"parameters": 1234},
        "fingerprint": "abc123",
        "versions": {"hepjax": "0.1.0", "jax": "0.10.1", "python": "3.11.7"},
    }


UNITS = {"j_pt": "GeV", "j_zlogz": "", "j1_pt": "GeV", "j1_phirel": "rad"}
MLP = record(name="mlp", features=["j_pt", "j_zlogz"], hidden=[8])
PARTICLES = record(name="deepsets", particles=6, columns=["j1_pt", "j1_phirel", "j1_etarel"])
PIXELS = record(name="convnet", particles=6, pixels=8, images=["jetImage"])


def test_it_says_what_a_stranger_must_know():
    text = model_card("tagger.onnx", MLP, METRICS, ["j_pt", "j_zlogz"], units=UNITS, pt_range=(800, 1600))
    for words in (
        "# tagger.onnx", "mlp, 1,234 parameters", "`features`, (N, 2) float32", "| 0 | `j_pt` | GeV |",
        "| 1 | `j_zlogz` | 1 |",
        "a column a class: g, t.", "the sample that comes",
        "3,000 training jets, 1,000 validation jets, 1,000 test jets", "g 510, t 490", "abc123", "seed 3", "epochs 50",
        "name adam", "epoch 17", "It fits well.", "accuracy 0.6543 (0.6400 to 0.6700), loss 0.9100".capitalize(),
        "| g | 0.8812 (0.8700 to 0.8900) | 0.210 | 15.2 |", "above 42.0 at 95 % C.L.", "0.0340; temperature 1.250",
        "800 to 1,600 GeV", "simulated jets", "hepjax train --seed 3 mlp", "hepjax==0.1.0 jax==0.10.1  # Python 3.11.7",
    ):  # fmt: skip
        assert words in text, words
    assert not re.search(r"None|nan|\{\}", text)
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        f"## {title}"
        for title in ("Model", "Inputs", "Output", "Data", "Training", "Figures of merit", "Limits", "How to run it",
                      "How to repeat it")
    ]  # fmt: skip


def test_particles_and_images_say_what_padding_is():
    text = model_card("t.onnx", PARTICLES, METRICS, ["j1_pt", "j1_phirel", "j1_etarel"], units=UNITS)
    assert "`particles`, (N, 6, 3) float32" in text
    assert "falling pT" in text
    assert "zeros behind the last particle" in text
    assert "`mask`, (N, 6) bool" in text
    assert "| 1 | `j1_phirel` | rad |" in text
    assert "| 2 | `j1_etarel` | – |" in text  # noqa: RUF001
    ordered = record(**PARTICLES["experiment"]["model"], order_by="j1_e")
    assert "falling `j1_e`" in model_card("t.onnx", ordered, METRICS, ["j1_pt"])
    assert "`images`, (N, 8, 8, 1) float32: pT per pixel in GeV" in model_card("t.onnx", PIXELS, METRICS, ["jetImage"])


def test_it_says_which_test_jets_were_trained_on():
    found = {"trained_on": {"test": {"jets": 30, "of": 400, "share": 0.075}}}
    text = model_card("tagger.onnx", MLP, METRICS | found, ["j_pt", "j_zlogz"], units=UNITS)
    assert "30 of 400 test jets (7.5%) are among the training jets" in text.split("## Data")[1].split("## Training")[0]
    assert "training jets:" not in model_card("tagger.onnx", MLP, METRICS, ["j_pt", "j_zlogz"], units=UNITS)


def test_it_does_without_what_an_old_run_lacks():
    bare = {"experiment": {"model": {"name": "mlp", "features": ["j_pt"]}, "data": ["a.h5"]}, "classes": ["g", "t"]}
    text = model_card(
        "t.stablehlo",
        bare,
        {"accuracy": 0.5, "loss": 1.0, "classes": {}},
        ["j_pt"],
        ExportFormat.STABLEHLO,
        temperature=1.5,
    )
    assert "Trained on a.h5." in text
    assert "temperature 1.500" in text
    assert "simulated" not in text
    assert "None" not in text


EXAMPLES = {
    "features": (MLP, np.zeros((1, 2), np.float32), ["j_pt", "j_zlogz"]),
    "particles": (
        PARTICLES,
        Sequences(np.zeros((1, 6, 3), np.float32), np.zeros((1, 6), bool)),
        ["j1_pt", "j1_phirel", "j1_etarel"],
    ),
    "images": (PIXELS, np.zeros((1, 8, 8, 1), np.float32), ["jetImage"]),
}


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("form", [ExportFormat.ONNX, ExportFormat.STABLEHLO])
def test_its_example_runs(form, kind, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    about, example, columns = EXAMPLES[kind]

    def answer(inputs):
        x = inputs.values * inputs.mask[..., None] if isinstance(inputs, Sequences) else inputs
        return jax.nn.softmax(x.reshape(x.shape[0], -1)[:, :2])

    made = export.to_onnx(answer, example, {}) if form is ExportFormat.ONNX else export.to_stablehlo(answer, example)
    (tmp_path / "tagger").write_bytes(made)
    (code,) = re.findall(r"```python\n(.*?)```", model_card("tagger", about, METRICS, columns, form), re.DOTALL)
    assert len(code.splitlines()) <= 6
    names = {}
    with contextlib.chdir(tmp_path):
        exec(code, names)  # noqa: S102 -- it is the card's own
    np.testing.assert_allclose(np.asarray(names["probabilities"]), 0.5)


def test_another_task_replaces_what_is_said_of_a_tagger():
    said = {"Output": ["`predictions`, (N, 1) float32, in GeV."], "Figures of merit": ["Resolution 7.5 GeV."]}
    text = model_card("m.onnx", MLP, {"loss": 0.5}, ["j_pt", "j_zlogz"], output="predictions", paragraphs=said)
    assert "A model of particle jets" in text
    assert "## Output\n\n`predictions`, (N, 1) float32, in GeV.\n\n## Data" in text
    assert "## Figures of merit\n\nResolution 7.5 GeV.\n\n## Limits" in text
    assert 'predictions = session.run(["predictions"]' in text
    assert "probabilities" not in text.split("## Limits")[0]
