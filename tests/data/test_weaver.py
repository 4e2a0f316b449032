"""The data YAML of weaver-core: read as it is, and giving the inputs that weaver-core gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepjax import InputError, inputs, read_jets
from hepjax.choices import Role
from hepjax.data import cut_flow
from hepjax.data.datasets import jetclass
from hepjax.types import OneHot, Reweighting

yaml = pytest.importorskip("yaml")
from hepjax.data.weaver import read_yaml  # noqa: E402 - after the package that it needs

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
VARIABLES = """
   part_mask: ak.ones_like(part_energy)
   part_pt: np.hypot(part_px, part_py)
   part_pt_log: np.log(part_pt)
   part_e_log: np.log(part_energy)
   part_logptrel: np.log(part_pt/jet_pt)
   part_logerel: np.log(part_energy/jet_energy)
   part_deltaR: np.hypot(part_deta, part_dphi)
   never_needed: ak.argsort(part_pt)
"""
INPUTS = """
   pf_features:
      length: 128
      pad_mode: wrap
      vars:
         - [part_pt_log, 1.7, 0.7]
         - [part_e_log, 2.0, 0.7]
         - [part_logptrel, -4.7, 0.7]
         - [part_logerel, -4.7, 0.7]
         - [part_deltaR, 0.2, 4.0]
         - [part_deta, null]
         - part_dphi
   pf_vectors:
      length: 128
      vars: [[part_px, null], [part_py, null], [part_pz, null], [part_energy, null]]
   pf_mask:
      length: 128
      vars: [[part_mask, null]]
"""
LABELS = f"""
   type: simple
   value: [{", ".join(f"label_{name}" for name in jetclass.CLASSES)}]
"""
KINEMATIC = f"""
selection:
new_variables:{VARIABLES}
preprocess:
   method: manual
inputs:{INPUTS}
labels:{LABELS}
observers: [jet_pt, n_parts]
weights:
"""
SCRAPS = ["\0", "null", "[", "]", "{", ": ", "- ", "&a ", "*a", "!!int ", "\n", "1e999", ".nan", "[[]]", "~", "é", "|"]


def described(folder, text):
    (folder / "data.yaml").write_text(text)
    return read_yaml(folder / "data.yaml")


@pytest.fixture
def jets_file(tmp_path):
    """A few jets with the columns of JetClass."""
    rng = np.random.default_rng(0)
    count, slots = 40, 5
    p3 = rng.normal(0, 20, (count, slots, 3))
    particles = dict(zip(("part_px", "part_py", "part_pz"), np.moveaxis(p3, -1, 0), strict=True))
    particles["part_energy"] = np.linalg.norm(p3, axis=-1)
    particles |= {name: rng.normal(0, 0.3, (count, slots)) for name in ("part_deta", "part_dphi")}
    flags = np.eye(10)[rng.integers(0, 10, count)]
    jets = {"jet_pt": rng.uniform(500, 1000, count), "jet_energy": rng.uniform(600, 2000, count)}
    jets |= {f"label_{name}": flags[:, i] for i, name in enumerate(jetclass.CLASSES)}
    np.savez(tmp_path / "jets.npz", **particles, **jets, label=flags[:, 1], w1=np.full(count, 2.0), w2=flags[:, 0] + 1)
    return tmp_path / "jets.npz"


def test_jets_of_jetclass_give_the_inputs_of_weaver_core(tmp_path):
    jets_path = REFERENCE / "real_jets" / "jetclass_500.npz"
    if not jets_path.exists():
        pytest.skip("shared/reference is not here")
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    with np.load(jets_path) as real, np.load(REFERENCE / "particlenet" / "kin_jetclass_500.npz") as reference:
        p4, mask, plane, labels = (real[name] for name in ("p4", "mask", "deta_dphi", "labels"))
        true = np.moveaxis(reference["features"], 1, 2)[:, : mask.shape[1]]
        held = reference["mask"][:, : mask.shape[1]].astype(bool)
    total = np.where(mask[..., None], p4, 0).astype(np.float64).sum(1)
    columns = dict(zip(("part_px", "part_py", "part_pz", "part_energy"), np.moveaxis(p4, -1, 0), strict=True))
    columns |= {"part_deta": plane[..., 0], "part_dphi": plane[..., 1]}
    table = {name: [row[here] for row, here in zip(x, mask, strict=True)] for name, x in columns.items()}
    table |= {"jet_pt": np.hypot(total[:, 0], total[:, 1]), "jet_energy": total[:, 3]}
    table |= {f"label_{name}": labels == i for i, name in enumerate(jetclass.CLASSES)}
    parquet.write_table(arrow.table(table), tmp_path / "jets.parquet")
    (tmp_path / "kin.yaml").write_text(KINEMATIC)
    jets = read_jets(tmp_path / "jets.parquet", dataset=str(tmp_path / "kin.yaml"))
    np.testing.assert_array_equal(np.asarray(jets.labels), labels)
    found = inputs.sequences(jets, jets.dataset.particle_features)
    np.testing.assert_array_equal(found.mask[:, : mask.shape[1]], held)
    np.testing.assert_allclose(found.values[:, : mask.shape[1]][held], true[held], atol=2e-5)


def test_what_it_says_of_a_dataset(tmp_path):
    dataset = described(tmp_path, KINEMATIC)
    assert dataset.classes == jetclass.CLASSES
    assert dataset.labels == OneHot(tuple(f"label_{name}" for name in jetclass.CLASSES))
    assert dataset.derived["part_logptrel_scaled"] == "clip((part_logptrel - -4.7) * 0.7, -5.0, 5.0)"
    assert {*dataset.derived} & {"part_mask", "never_needed"} == set()  # nothing needs them
    assert dataset.particle_features[-3:] == ("part_deltaR_scaled", "part_deta", "part_dphi")
    assert dataset.observers == ("jet_pt", "n_parts")
    known = {role: jetclass.ROLES[role] for role in (Role.PX, Role.ENERGY, Role.ETA_REL, Role.PHI_REL, Role.JET_PT)}
    assert {role: dataset.roles[role] for role in known} == known
    assert dataset.roles[Role.PT] == "part_pt"
    assert dataset.units["part_px"] == "GeV"


def test_selection_labels_by_expressions_and_weights(tmp_path, jets_file, caplog):
    text = KINEMATIC.replace(
        "selection:", "selection:\n   (jet_pt > 600) &\n   (part_n > 2)\ntest_time_selection: jet_pt > 0"
    )
    text = text.replace("new_variables:", "new_variables:\n   part_n: ak.num(part_px)\n   is_b: 1-label")
    text = text.replace(LABELS, "\n   type: simple\n   value: [label, is_b]\n")
    text = text.replace("weights:", "weights:\n   use_precomputed_weights: true\n   weight_branches: [w1, w2]")
    (tmp_path / "data.yaml").write_text(text)
    jets = read_jets(jets_file, dataset=str(tmp_path / "data.yaml"))
    with np.load(jets_file) as file:
        kept = file["jet_pt"] > 600
        assert cut_flow(jets) == {"all": 40, "jet_pt > 600": kept.sum(), "part_n > 2": kept.sum()}
        np.testing.assert_array_equal(np.asarray(jets.labels), 1 - file["label"][kept])
        np.testing.assert_array_equal(np.asarray(jets.weights), (file["w1"] * file["w2"])[kept])
    assert jets.classes == ("label", "b")
    assert "label" not in jets.observable_names
    assert "test_time_selection (give --where to evaluate)" in caplog.text


def test_custom_labels_are_columns_of_jets(tmp_path, jets_file):
    labels = "\n   type: custom\n   value:\n      target: np.where(label == 1, jet_pt, jet_energy)\n"
    (tmp_path / "data.yaml").write_text(KINEMATIC.replace(LABELS, labels))
    jets = read_jets(jets_file, dataset=str(tmp_path / "data.yaml"))
    assert "target" not in jets.dataset.features
    with np.load(jets_file) as file:
        true = np.where(file["label"] == 1, file["jet_pt"], file["jet_energy"])
    found = np.asarray(jets.observables)[:, jets.observable_names.index("target")]
    np.testing.assert_allclose(found, true, rtol=1e-6)


def test_inputs_of_jets_and_what_has_no_counterpart(tmp_path, jets_file, caplog):
    more = "\n   jet_features:\n      length: null\n      vars: [[jet_pt, 500, 0.01], jet_energy]"
    more += "\n   sv_features:\n      length: 10\n      vars: [sv_pt]"
    text = KINEMATIC.replace("inputs:", f"inputs:{more}").replace("manual", "auto")
    (tmp_path / "data.yaml").write_text(text)
    jets = read_jets(jets_file, dataset=str(tmp_path / "data.yaml"))
    assert jets.dataset.features == ("jet_pt_scaled", "jet_energy")
    scaled = np.asarray(jets.observables)[:, jets.observable_names.index("jet_pt_scaled")]
    with np.load(jets_file) as file:
        np.testing.assert_allclose(scaled, np.clip((file["jet_pt"] - 500) / 100, -5, 5), rtol=1e-5)
    for words in ("input sv_features", "automatic standardization"):
        assert words in caplog.text


REWEIGHT = """weights:
   use_precomputed_weights: false
   reweight_method: flat
   reweight_vars:
      jet_pt: [500, 600, 800]
      jet_boost: [0, 0.5, 1.0, 2.0]
   reweight_classes: [label_QCD, label_Hbb]
"""
MASS = "new_variables:\n   jet_boost: jet_energy / jet_pt"


class TestReweighting:
    """Spectra that weaver-core would sample classes to are those that classes are reweighted to."""

    text = KINEMATIC.replace("new_variables:", MASS).replace("weights:", REWEIGHT)

    def test_to_flat_spectra(self, tmp_path, jets_file, caplog):
        dataset = described(tmp_path, self.text)
        bins = {"jet_pt": (500.0, 600.0, 800.0), "jet_boost": (0.0, 0.5, 1.0, 2.0)}
        assert dataset.reweighting == Reweighting(bins, "flat")
        assert "reweight_classes (all classes are reweighted)" in caplog.text
        jets = read_jets(jets_file, dataset=dataset)
        assert jets.dataset.reweighting == dataset.reweighting
        column = np.asarray(jets.observables)[:, jets.observable_names.index("jet_boost")]
        with np.load(jets_file) as file:
            np.testing.assert_allclose(column, file["jet_energy"] / file["jet_pt"], rtol=1e-6)
        assert "jet_boost" not in jets.dataset.features

    def test_to_that_of_the_first_class_from_base_weights_and_with_overflow(self, tmp_path):
        text = self.text.replace("flat", "ref\n   reweight_basewgt: w1 * w2\n   reweight_discard_under_overflow: false")
        dataset = described(tmp_path, text)
        assert dataset.reweighting.to == "QCD"
        assert dataset.reweighting.bins["jet_pt"] == (-np.inf, 600.0, np.inf)
        assert dataset.derived[dataset.weights] == "w1 * w2"
        assert described(tmp_path, self.text.replace("flat", "flat\n   reweight_basewgt: w1")).weights == "w1"

    def test_by_factors_that_it_has_written_down(self, tmp_path, caplog):
        hists = "   reweight_hists:\n      label_QCD: [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]\n   class_weights: [1, 2]\n"
        dataset = described(tmp_path, self.text.replace(REWEIGHT, REWEIGHT + hists))
        assert dataset.reweighting.factors == {"QCD": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
        assert "class_weights (all classes have the same sum of weights)" in caplog.text

    @pytest.mark.parametrize(
        "old, new, message",
        [
            (
                "[500, 600, 800]",
                "[500, 400]",
                "reweighting: jet_pt: expected two rising edges of bins or more, found 500",
            ),
            ("[500, 600, 800]", "[500, x]", "weights: reweight_vars: jet_pt: expected numbers, found 'x'"),
            ("[500, 600, 800]", "500", "weights: reweight_vars: jet_pt: expected a list, found int"),
            ("flat", "other", "weights: reweight_method: expected flat or ref, found other"),
            ("flat\n", "ref\n", "weights: reweight_classes: expected a label first, the ref of all, found nothing"),
            ("flat", "flat\n   reweight_hists: {label_x: [[1]]}", "reweight_hists: label_x is none of the labels"),
            (
                "flat",
                "flat\n   reweight_hists: {label_QCD: [[1]]}",
                "reweighting: expected 6 factors of 0 or more of QCD",
            ),
            ("flat", "flat\n   reweight_hists: {label_QCD: &a [*a]}", "reweight_hists: label_QCD: expected numbers"),
            (
                "reweight_vars:",
                "reweight_xs:",
                "weights: reweight_vars: expected columns with edges of bins, found none",
            ),
        ],
    )
    def test_what_is_wrong(self, tmp_path, old, new, message):
        text = self.text.replace("[label_QCD, label_Hbb]", "[nothing]") if "found nothing" in message else self.text
        with pytest.raises(InputError) as error:
            described(tmp_path, text.replace(old, new, 1))
        assert message in str(error.value)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("observers:", "obsrvers:", "obsrvers: unknown; did you mean observers?"),
        ("[part_pt_log, 1.7, 0.7]", "[part_pt_log, 1.7, x]", "inputs: pf_features: vars: expected a name, or [name"),
        ("type: simple", "type: other", "labels: type: expected simple or custom, found 'other'"),
        ("np.log(part_pt)", "os.system(part_pt)", "'os.system(part_pt)' is not allowed"),
        ("observers: [jet_pt, n_parts]", "observers: jet_pt", "observers: expected a list, found str"),
        ("length: 128", "length: many", "length: expected a whole number of at least 1"),
        ("observers: [", "observers: [[", "no YAML"),
        ("length: 128", "length: !!int ''", "no YAML"),
        ("observers: [jet_pt, n_parts]", "observers: !!python/name:os.system", "no YAML"),
        ("weights:", "weights: {use_precomputed_weights: true}", "weight_branches: expected the names of columns"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path, old, new, message):
    assert old in KINEMATIC
    with pytest.raises(InputError) as error:
        described(tmp_path, KINEMATIC.replace(old, new, 1))
    assert str(error.value).startswith(f"{tmp_path / 'data.yaml'}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(KINEMATIC)), st.sampled_from(SCRAPS)), min_size=1, max_size=4))
def test_a_damaged_file_gives_a_dataset_or_one_clear_line(tmp_path, edits):
    text = KINEMATIC
    for place, scrap in edits:
        text = text[:place] + scrap + text[place + len(scrap) :]
    message = ""
    try:
        assert described(tmp_path, text).name == "data"
    except InputError as error:
        message = str(error)
    assert not message or message.startswith(f"{tmp_path / 'data.yaml'}: ")
    assert message.isprintable()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(InputError, match=r"needs the package yaml; pip install 'hepjax\[weaver\]'"):
        described(tmp_path, KINEMATIC)
