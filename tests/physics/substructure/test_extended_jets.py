"""Observables added to jets of any columns, in memory and from file to file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import hepjax
from hepjax import InputError
from hepjax.choices import Role
from hepjax.cli import app
from hepjax.data.datasets import hls4ml
from hepjax.data.writing import ROWS
from hepjax.physics.substructure import extended_jets, from_jets, with_observables, write_with_observables
from hepjax.types import Index


@pytest.fixture(scope="module")
def sample():
    return hepjax.read_jets()[:60]


@pytest.fixture(scope="module")
def bare(sample):
    """The same jets of another layout: three columns of jets, and weights."""
    dataset = dataclasses.replace(
        sample.dataset,
        name="bare",
        jet_columns=("event", "j_mass", "score"),
        features=("score",),
        roles={role: name for role, name in sample.dataset.roles.items() if not role.of_jets},
        labels=Index("kind"),
        weights="w",
        images=(),
    )
    observables = np.stack([np.arange(60), np.full(60, 7), np.linspace(0, 1, 60)], axis=1).astype(np.float32)
    return dataclasses.replace(
        sample, dataset=dataset, observables=observables, weights=np.linspace(-1, 2, 60).astype(np.float32)
    )


def test_observables_are_those_that_the_files_hold(sample, bare):
    found = with_observables(bare)
    assert found.observable_names[3:] == tuple(name for name in hls4ml.OBSERVABLE_COLUMNS if name != "j_mass")
    np.testing.assert_array_equal(found.observables[:, :3], bare.observables)
    columns = [hls4ml.OBSERVABLE_COLUMNS.index(name) for name in found.observable_names[3:]]
    np.testing.assert_array_equal(found.observables[:, 3:], from_jets(sample)[:, columns])
    whole = sample.mask.sum(1) < 30  # those whose particles are all in the file, which keeps 12 bits of each number
    stored = np.asarray(sample.observables)[whole]
    assert whole.sum() >= 5
    for name, digits in (("j_pt", 2e-4), ("j_multiplicity", 0), ("j_tau1_b1", 2e-2), ("j_c1_b1", 2e-2)):
        place = hls4ml.OBSERVABLE_COLUMNS.index(name)
        values = found.observables[whole, found.observable_names.index(name)]
        np.testing.assert_allclose(values, stored[:, place], rtol=digits)


def test_columns_get_their_meaning_where_no_other_has_it(bare):
    found = with_observables(bare, ["j_pt", "j_tau1_b1"]).dataset
    assert found.roles[Role.JET_PT] == "j_pt"
    assert Role.JET_MASS not in found.roles
    assert (found.units["j_tau1_b1"], found.features) == ("GeV", ("score", "j_pt", "j_tau1_b1"))


@pytest.mark.parametrize("end", ["h5", "parquet"])
def test_all_else_stays_from_file_to_file(bare, tmp_path, monkeypatch, end):
    monkeypatch.setattr(extended_jets, "ROWS", 25)
    hepjax.write_jets(tmp_path / "bare.h5", bare)
    counts = []
    lazy = hepjax.read_jets(tmp_path / "bare.h5")
    added = write_with_observables(tmp_path / f"new.{end}", lazy, ["j_multiplicity", "j_pt"], counts.append)
    found, expected = hepjax.read_jets(tmp_path / f"new.{end}"), with_observables(bare, added)
    assert (added, counts) == (("j_multiplicity", "j_pt"), [25, 25, 10])
    assert found.observable_names == expected.observable_names
    assert found.dataset.roles == expected.dataset.roles
    for name in ("constituents", "mask", "observables", "labels", "weights"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_images_go_along_into_hdf5_only(sample, bare, tmp_path, caplog):
    image = {"jetImage": np.arange(60 * 4, dtype=np.float32).reshape(60, 2, 2)}
    held = dataclasses.replace(bare, dataset=dataclasses.replace(bare.dataset, images=("jetImage",)), images=image)
    hepjax.write_jets(tmp_path / "bare.h5", held)
    lazy = hepjax.read_jets(tmp_path / "bare.h5")
    write_with_observables(tmp_path / "new.h5", lazy, ["j_pt"])
    found = hepjax.read_jets(tmp_path / "new.h5", images=["jetImage"])
    np.testing.assert_array_equal(found.images["jetImage"], image["jetImage"])
    write_with_observables(tmp_path / "new.parquet", lazy, ["j_pt"])
    assert "jetImage stay behind" in caplog.text


@pytest.mark.parametrize(
    "names, said",
    [
        (["j_mas"], "there is no j_mas; did you mean j_mass"),
        (["j_mass"], "have the column j_mass already"),
        (["j_pt", "j_pt"], "different names"),
        ([], "different names"),
    ],
)
def test_what_cannot_be_added_is_refused(bare, tmp_path, names, said):
    with pytest.raises(InputError, match=f"^observables: .*{said}"):
        write_with_observables(tmp_path / "new.h5", bare, names)
    assert not [*tmp_path.iterdir()]


def test_nothing_is_left_of_what_ends_early(bare, tmp_path, monkeypatch):
    monkeypatch.setattr(extended_jets, "ROWS", 25)
    for end in ("h5", "parquet"):
        with pytest.raises(KeyboardInterrupt):
            write_with_observables(tmp_path / f"new.{end}", bare, None, interrupt)
    assert not [*tmp_path.iterdir()]


def interrupt(_):
    raise KeyboardInterrupt


def test_jets_without_momenta_and_taken_names_are_refused_first(bare, tmp_path):
    roles = {role: name for role, name in bare.dataset.roles.items() if role is Role.PT}
    poor = dataclasses.replace(bare, dataset=dataclasses.replace(bare.dataset, roles=roles))
    with pytest.raises(InputError, match="px"):
        write_with_observables(tmp_path / "new.h5", poor)
    (tmp_path / "new.h5").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_with_observables(tmp_path / "new.h5", bare)
    with pytest.raises(InputError, match=r"ends in \.h5 or \.parquet"):
        write_with_observables(tmp_path / "new.root", bare)
    assert (tmp_path / "new.h5").read_text() == "mine"


def test_the_command_writes_them(bare, tmp_path, capsys):
    hepjax.write_jets(tmp_path / "bare.h5", bare)
    words = ["observables", f"{tmp_path}/bare.h5", "--out", f"{tmp_path}/new.parquet", "--where", "event >= 30"]
    app.main([*words, "--observables", "j_pt", "j_multiplicity", "--particles", "20"])
    assert "30 jets with 2 observables added" in capsys.readouterr().out
    found = hepjax.read_jets(tmp_path / "new.parquet")
    assert found.observable_names == ("event", "j_mass", "score", "j_pt", "j_multiplicity")
    assert found.constituents.shape == (30, 20, 16)
    with pytest.raises(SystemExit):
        app.main(["observables", str(hepjax.data.list_files(None)[0]), "--out", f"{tmp_path}/more.h5"])
    assert "the jets have all 53 already" in capsys.readouterr().err


def test_blocks_are_small_enough_for_any_memory():
    assert ROWS * 128 * 20 * 4 < 2**27
