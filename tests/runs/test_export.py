"""From a run folder to files that run elsewhere."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from hepjax import InputError, load, read_jets
from hepjax.choices import ExportFormat, Precision
from hepjax.runs import export


@pytest.mark.parametrize("kind", [ExportFormat.ONNX, ExportFormat.STABLEHLO])
@pytest.mark.parametrize("name", ["mlp", "bfloat16", "ensemble"])
def test_an_exported_file_is_the_tagger(trained_runs, tmp_path, name, kind):
    files = export.export_run(trained_runs(name), tmp_path / f"tagger.{kind.value}", kind)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files}
    tagger, jets = load(files[0]), read_jets()[:200]
    own = load(trained_runs(name))
    assert (tagger.classes, tagger.columns) == (own.classes, own.columns)
    # A run in bfloat16 is exported in float32.
    networks = [one._replace(precision=Precision.FLOAT32) for one in own.networks]
    expected = export.make_predict(networks, own.task)(own.pipeline.load(jets, slice(None)))
    np.testing.assert_allclose(tagger(jets), expected, atol=1e-5)
    assert tagger(jets[:0]).shape == (0, 5)


@pytest.mark.parametrize("kind", [ExportFormat.ONNX, ExportFormat.STABLEHLO])
def test_calibrated(trained_runs, tmp_path, kind):
    file = export.export_run(trained_runs("mlp"), tmp_path / f"tagger.{kind.value}", kind, calibrated=True)[0]
    jets = read_jets()[:50]
    np.testing.assert_allclose(load(file)(jets), load(trained_runs("mlp"), calibrated=True)(jets), atol=1e-5)
    with pytest.raises(InputError, match="is calibrated or not since its export"):
        load(file, calibrated=True)


def test_the_card_stands_beside_it(trained_runs, tmp_path):
    _, card = export.export_run(trained_runs("mlp"), tmp_path / "tagger.onnx")
    text = card.read_text()
    for words in ("# tagger.onnx", "j_zlogz", "GeV", "onnxruntime", "g, q, W, Z, t"):
        assert words in text, words
    found = json.loads((trained_runs("mlp") / "metrics.json").read_text())
    assert f"{found['classes']['t']['auc']:.4f}" in text


class TestRefused:
    def test_files_that_exist(self, trained_runs, tmp_path):
        (tmp_path / "a.onnx.md").write_text("mine")
        with pytest.raises(InputError, match=r"a\.onnx\.md: exists already"):
            export.export_run(trained_runs("mlp"), tmp_path / "a.onnx")
        assert [path.name for path in tmp_path.iterdir()] == ["a.onnx.md"]

    @pytest.mark.parametrize("kind", [ExportFormat.ONNX, ExportFormat.STABLEHLO])
    def test_cut_short(self, trained_runs, tmp_path, kind):
        file = export.export_run(trained_runs("mlp"), tmp_path / f"tagger.{kind.value}", kind)[0]
        whole = file.read_bytes()
        for part in (0, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:part])
            with pytest.raises(InputError, match=rf"tagger\.{kind.value}: .*export"):
                load(file)

    def test_another_opset(self, trained_runs, tmp_path):
        onnx = pytest.importorskip("onnx")
        file = export.export_run(trained_runs("mlp"), tmp_path / "tagger.onnx")[0]
        made = onnx.load(file)
        made.opset_import[0].version = 9
        onnx.save(made, file)
        with pytest.raises(InputError, match=r"expected ONNX opset 18.*found 9"):
            load(file)

    @pytest.mark.parametrize(
        "model, words",
        [
            ("oracle 7", "its metadata is damaged"),
            ('{"name": "oracle"}', "model: there is no oracle; .* models of your own need --plugins FILE.py"),
            ('{"name": "mlp", "wisdom": 3}', "model mlp: there is no option wisdom"),
        ],
    )
    def test_facts_of_another_program(self, trained_runs, tmp_path, model, words):
        onnx = pytest.importorskip("onnx")
        file = export.export_run(trained_runs("mlp"), tmp_path / "tagger.onnx")[0]
        made = onnx.load(file)
        next(fact for fact in made.metadata_props if fact.key == "model").value = model
        made.metadata_props.remove(next(fact for fact in made.metadata_props if fact.key == "sha256"))
        onnx.save(made, file)
        with pytest.raises(InputError, match=words):
            load(file)

    def test_a_run_that_has_not_ended(self, trained_runs, tmp_path):
        with pytest.raises(InputError, match="not the folder of a run"):
            export.export_run(tmp_path, tmp_path / "a.onnx")


def test_the_stablehlo_runs_in_jax_alone(trained_runs, tmp_path):
    file = export.export_run(trained_runs("mlp"), tmp_path / "tagger.stablehlo", ExportFormat.STABLEHLO)[0]
    call = jax.export.deserialize(bytearray(file.read_bytes())).call
    tagger, jets = load(trained_runs("mlp")), read_jets()
    for count in (1, 7):
        x = tagger.pipeline.load(jets, slice(count))
        np.testing.assert_allclose(call(x), tagger(x), atol=1e-6)
