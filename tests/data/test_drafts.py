"""Drafts of descriptions: what names tell, and that they can be read again."""

from __future__ import annotations

import tomllib

import h5py
import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.choices import Role
from hepjax.data import draft, list_files, write_draft
from hepjax.data.guesses import guess_roles
from hepjax.data.toml_descriptions import read_toml
from hepjax.types import Index


def read_again(folder, path):
    (folder / "draft.toml").write_text(draft(path))
    return read_jets(path, dataset=str(folder / "draft.toml")), read_jets(path)


@pytest.mark.parametrize(
    "names, of_jets, roles",
    [
        (("Particle.PT", "Particle.Eta", "Particle.Phi", "Particle.E"), False, "pt eta phi energy"),
        (("pfcand_pt_log", "pfcand_etarel", "pfcand_phirel", "pfcand_charge"), False, "- eta_rel phi_rel charge"),
        (("truth_pt", "constit_pt", "constit_deta", "constit_dphi"), False, "- pt eta_rel phi_rel"),
        (("jets:pt", "fj_mass", "jet_nparticles", "fj_genjet_eta"), True, "jet_pt jet_mass jet_multiplicity -"),
        (("pt", "jet_pt"), True, "jet_pt -"),
    ],
)
def test_roles_by_usual_names(names, of_jets, roles):
    expected = {name: role for name, role in zip(names, roles.split(), strict=True) if role != "-"}
    assert {name: role.value for role, name in guess_roles(names, of_jets=of_jets).items()} == expected


def test_of_an_unknown_file(tmp_path):
    rng = np.random.default_rng(0)
    pt = np.sort(rng.exponential(30_000, (60, 4)), 1)[:, ::-1]
    particles = {"cand_pt": pt, "cand_eta": rng.normal(size=pt.shape), "cand_phi": rng.normal(size=pt.shape)}
    more = {"jet_pt": pt.sum(1), "event": np.arange(60), "mc_weight": np.ones(60), "truth_id": np.arange(60)}
    np.savez(tmp_path / "jets.npz", **particles, **more, y=np.arange(60) % 3)
    jets, _ = read_again(tmp_path, tmp_path / "jets.npz")
    dataset = read_toml(tmp_path / "draft.toml")
    assert dataset.roles == {
        Role.PT: "cand_pt", Role.ETA: "cand_eta", Role.PHI: "cand_phi", Role.JET_PT: "jet_pt",
    }  # fmt: skip
    assert dataset.units == {"cand_pt": "MeV", "cand_phi": "rad", "jet_pt": "MeV"}
    assert (dataset.labels, dataset.classes) == (Index("y"), ("0", "1", "2"))
    assert dataset.weights == "mc_weight"
    assert dataset.observers == ("event", "truth_id")
    assert dataset.features == ("jet_pt",)
    np.testing.assert_allclose(np.asarray(jets.constituents)[..., 0], pt / 1000, rtol=1e-6)


def test_of_a_known_file(tmp_path):
    jets, known = read_again(tmp_path, list_files(None)[0])
    for name in ("classes", "labels", "features", "particle_features", "roles", "observers"):
        assert getattr(jets.dataset, name) == getattr(known.dataset, name)
    np.testing.assert_array_equal(jets[:50].constituents, known[:50].constituents)


def test_of_a_file_without_labels_or_usual_names(tmp_path, other_file):
    path = other_file(classes=(), observables=('we"ird', "x\\y"))
    jets, known = read_again(tmp_path, path)
    assert jets.labels is None
    assert jets.observable_names == known.observable_names
    commented = (tmp_path / "draft.toml").read_text()
    assert '# columns = ["is_a", "is_b"]' in commented
    assert tomllib.loads(commented.replace("# [labels]", "[labels]"))["labels"] == {}


def test_of_arrays_without_names(tmp_path):
    x = np.abs(np.random.default_rng(0).normal(size=(30, 5, 4)))
    np.savez(tmp_path / "qg.npz", X=x, y=np.arange(30) % 2)
    jets, known = read_again(tmp_path, tmp_path / "qg.npz")
    assert jets.particle_names == known.particle_names
    np.testing.assert_array_equal(jets[:].labels, known[:].labels)


def test_nothing_is_overwritten(tmp_path, other_file):
    path = other_file()
    (tmp_path / "old.toml").touch()
    with pytest.raises(InputError, match=r"old\.toml: exists already"):
        write_draft(tmp_path / "old.toml", [path])
    with pytest.raises(InputError, match="expected one file to describe, found 2"):
        write_draft(tmp_path / "new.toml", [path, path])
    with pytest.raises(InputError, match=r"ends in \.toml"):
        write_draft(tmp_path / "new.txt", [path])
    write_draft(tmp_path / "new.toml", [path])
    with h5py.File(path) as file:
        assert len(read_jets(path, dataset=str(tmp_path / "new.toml"))) == len(file["jets"])
