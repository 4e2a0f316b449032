"""Files of other columns and classes: what their columns are taken for."""

from __future__ import annotations

import dataclasses
import logging

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepjax import InputError, read_jets
from hepjax.choices import Role
from hepjax.data import datasets, summarize
from hepjax.data.datasets import hls4ml
from hepjax.types import Dataset, Index, OneHot


def with_jet_columns(columns):
    """The `jets` dataset and its names, of name → values."""
    return {
        hls4ml.JETS: np.stack([np.asarray(x, np.float32) for x in columns.values()], axis=1),
        hls4ml.JET_NAMES: np.array([*columns], "S"),
    }


class TestLabels:
    def test_two_classes(self, other_file):
        jets = read_jets(other_file(classes=("qcd", "top")))
        assert jets.classes == ("qcd", "top")
        assert jets.dataset.labels == OneHot(("label_qcd", "label_top"))
        np.testing.assert_array_equal(jets[:].labels, np.arange(60) % 2)
        assert jets.observable_names == ("j_pt", "j_mass")

    def test_ten_classes(self, other_file):
        names = tuple(f"c{i}" for i in range(10))
        jets = read_jets(other_file(classes=names))
        assert jets.classes == names
        np.testing.assert_array_equal(jets[:].labels, np.arange(60) % 10)

    def test_some_of_the_public_classes(self, other_file):
        jets = read_jets(other_file(classes=("g", "q"), prefix="j_"))
        assert (jets.classes, jets.dataset.background) == (("g", "q"), ("g", "q"))

    def test_six_classes_of_which_five_are_public(self, other_file):
        jets = read_jets(other_file(classes=(*hls4ml.CLASSES, "h"), prefix="j_"))
        assert jets.classes == ("g", "q", "w", "z", "t", "h")
        assert jets.observable_names == ("j_pt", "j_mass")
        np.testing.assert_array_equal(jets[:].labels, np.arange(60) % 6)

    def test_a_flag_beside_the_public_classes_is_a_column(self, other_file, rng):
        flag = rng.integers(0, 2, 60)
        columns = {f"j_{name}": np.arange(60) % 5 == i for i, name in enumerate(hls4ml.CLASSES)} | {"j_charged": flag}
        jets = read_jets(other_file(**with_jet_columns(columns)))
        assert jets.classes == hls4ml.CLASSES
        assert jets.observable_names == ("j_charged",)

    def test_columns_of_zeros_and_ones_of_any_name(self, other_file):
        jets = read_jets(other_file(classes=("is_b", "is_c", "is_light"), prefix=""))
        assert jets.classes == ("is_b", "is_c", "is_light")

    def test_of_a_file_that_is_sorted_by_class(self, other_file):
        top = np.arange(4000) >= 2500
        columns = {"m": np.linspace(0.1, 0.9, 4000), "qcd": ~top, "top": top, "j_high": np.arange(4000) > 3000}
        file = other_file(count=4000, slots=3, **with_jet_columns(columns))
        assert read_jets(file).classes == ()  # the third flag does not add up: no labels
        columns.pop("j_high")
        jets = read_jets(other_file("two.h5", count=4000, slots=3, **with_jet_columns(columns)))
        assert jets.classes == ("qcd", "top")
        np.testing.assert_array_equal(jets[:].labels, top)

    def test_none(self, other_file):
        jets = read_jets(other_file(classes=()))
        assert (jets.labels, jets.classes, jets.observable_names) == (None, (), ("j_pt", "j_mass"))

    def test_no_observables(self, other_file):
        jets = read_jets(other_file(observables=()))
        assert (jets.classes, jets.observable_names, jets.observables.shape) == (("qcd", "top"), (), (60, 0))
        assert jets[:5].observables.shape == (5, 0)
        assert jets[:5].labels.tolist() == [0, 1, 0, 1, 0]

    def test_nothing_of_jets(self, other_file):
        jets = read_jets(other_file(observables=(), classes=()))
        assert (jets.labels, jets.observables.shape) == (None, (60, 0))
        assert jets[:].observables.shape == (60, 0)

    def test_given_as_numbers(self, other_file):
        columns = {"m": np.linspace(0, 1, 60), "kind": np.arange(60) % 3}
        dataset = Dataset("kinds", classes=("a", "b", "c"), labels=Index("kind"))
        jets = read_jets(other_file(**with_jet_columns(columns)), dataset=dataset)
        np.testing.assert_array_equal(jets[:].labels, np.arange(60) % 3)
        assert jets.labels.dtype == np.int32
        assert (jets.observable_names, jets.dataset.features) == (("m",), ("m",))
        for bad in (3, -1, 0.5):
            columns["kind"] = np.where(np.arange(60) == 41, bad, 0)
            wrong = other_file(f"{bad}.h5", **with_jet_columns(columns))
            with pytest.raises(InputError, match=r"has rows whose labels are not whole numbers .* in kind: 41;"):
                read_jets(wrong, dataset=dataset)[:]

    def test_that_are_no_longer_one_hot_further_on(self, other_file):
        file = other_file(count=400)
        with h5py.File(file, "r+") as opened:
            opened[hls4ml.JETS][333, -2:] = 1
        with pytest.raises(InputError, match=r"one-hot over label_qcd, label_top: 333; the first has 1, 1; remove"):
            read_jets(file)[:]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
    @given(
        labels=st.lists(st.integers(0, 3), min_size=2, max_size=40),
        flags=st.lists(st.sampled_from([0.0, 1.0, 0.5]), min_size=40, max_size=40),
        observable=st.floats(0.01, 0.99),
    )
    def test_are_told_by_their_values(self, other_file, labels, flags, observable):
        """Columns of zeros and ones that add up to 1 in each row, and nothing else, are labels."""
        count = len(labels)
        columns = {f"k{i}": np.equal(labels, i) for i in range(4)} | {"m": np.full(count, observable)}
        file = other_file(f"{count}.h5", count=count, **with_jet_columns(columns))
        jets = read_jets(file)
        assert jets.classes == ("k0", "k1", "k2", "k3")
        np.testing.assert_array_equal(jets[:].labels, labels)
        spoilt = columns | {"k0": np.asarray(flags[:count])}
        rows = np.stack([np.asarray(spoilt[f"k{i}"], float) for i in range(4)], axis=1)
        found = read_jets(other_file(f"{count}.h5", count=count, **with_jet_columns(spoilt)))
        binary = ((rows == 0) | (rows == 1)).all(axis=0)
        expected = [f"k{i}" for i in np.flatnonzero(binary)] if (rows[:, binary].sum(axis=1) == 1).all() else []
        assert list(found.classes) == expected


class TestColumns:
    def test_further_ones_are_carried_by_name(self, jet_file):
        file = jet_file()
        with h5py.File(file) as opened:
            particles, jets = opened[hls4ml.CONSTITUENTS][()], opened[hls4ml.JETS][()]
        charge, width = np.ones_like(particles[..., :1]), np.arange(25.0, dtype=np.float32)[:, None]
        filled = (particles[..., hls4ml.PARTICLE_COLUMNS.index("j1_e")] > 0)[..., None]
        more = jet_file(
            "more.h5",
            **{
                hls4ml.CONSTITUENTS: np.concatenate([charge, particles, 2 * filled], axis=-1),
                hls4ml.PARTICLE_NAMES: np.array(["my_charge", *hls4ml.PARTICLE_COLUMNS, hls4ml.PARTICLE_ID], "S"),
                hls4ml.JETS: np.concatenate([width, jets], axis=-1),
                hls4ml.JET_NAMES: np.array(["my_width", *hls4ml.JET_COLUMNS], "S"),
            },
        )
        a, b = read_jets(file), read_jets(more)
        assert b.particle_names == (*hls4ml.PARTICLE_COLUMNS, "my_charge", hls4ml.PARTICLE_ID)
        assert b.observable_names == (*hls4ml.OBSERVABLE_COLUMNS, "my_width")
        assert (b.dataset.features, b.dataset.name) == (hls4ml.STANDARD_FEATURES, "hls4ml")
        np.testing.assert_array_equal(b[:].constituents[..., :16], a[:].constituents)
        np.testing.assert_array_equal(b[:].constituents[..., 17], 2 * b[:].mask)
        # A name without a column is told, not dropped in silence.
        assert [summarize(path).missing for path in (file, more)] == [(hls4ml.PARTICLE_ID,), ()]
        np.testing.assert_array_equal(b[:].observables[:, 53], np.arange(25))
        np.testing.assert_array_equal(a[:].labels, b[:].labels)

    def test_of_nobody_are_called_by_their_roles(self, other_file):
        names = ("px", "py", "pz", "energy")
        dataset = read_jets(other_file(columns=names, observables=("jet_mass", "x"))).dataset
        assert dataset.name == "unnamed"
        assert dataset.roles == {Role(name): name for name in (*names, "jet_mass")}
        assert dataset.features == ("jet_mass", "x")
        assert dataset.particle_features == ("pt", "pt_rel", "energy", "energy_rel", "eta_rel", "phi_rel", "delta_r")

    def test_of_particles_may_be_called_so_where_those_of_jets_are_known(self, other_file):
        dataset = read_jets(other_file(columns=("px", "py", "pz", "energy"))).dataset
        assert (dataset.name, dataset.roles[Role.JET_PT], dataset.roles[Role.PX]) == ("hls4ml", "j_pt", "px")

    def test_without_any_meaning(self, other_file):
        dataset = read_jets(other_file(columns=("a", "b", "c", "d"))).dataset
        assert dataset.particle_features == ("a", "b", "c", "d")

    def test_that_are_missing_are_derived_where_they_can_be(self, other_file):
        dataset = read_jets(other_file()).dataset
        assert dataset.particle_features == ("pt", "pt_rel", "j1_e", "energy_rel", "eta_rel", "phi_rel", "delta_r")
        assert dataset.name == "hls4ml"
        assert dataset.features == ("j_pt", "j_mass")  # none of the standard ones is there
        assert {"j1_pt", "j_zlogz"} <= {*summarize(other_file("b.h5")).missing}

    def test_particles_of_no_known_pt_keep_their_order(self, other_file):
        file = other_file(columns=("a", "b", "c", "d"))
        with h5py.File(file) as opened:
            expected = opened[hls4ml.CONSTITUENTS][()]
        jets = read_jets(file)[:]
        np.testing.assert_array_equal(jets.constituents, expected)
        np.testing.assert_array_equal(jets.mask, (expected != 0).any(axis=-1))

    def test_particles_are_sorted_by_pt_of_px_and_py(self, other_file, rng):
        file = other_file()
        with h5py.File(file, "r+") as opened:
            expected = opened[hls4ml.CONSTITUENTS][()]
            opened[hls4ml.CONSTITUENTS][...] = expected[:, rng.permutation(12)]
        np.testing.assert_array_equal(read_jets(file)[:].constituents, expected)

    def test_of_files_that_differ(self, other_file):
        with pytest.raises(
            InputError, match=r"b.h5: its jet columns differ from those of .*a.h5: tau; read these files"
        ):
            read_jets([other_file("a.h5"), other_file("b.h5", observables=("j_pt", "j_mass", "tau"))])
        with pytest.raises(InputError, match=r"its particle columns differ .*: charge; read"):
            read_jets([other_file("a.h5"), other_file("b.h5", particle_extra=("charge",))])

    def test_in_another_order_are_the_same(self, other_file):
        a = other_file("a.h5", observables=("x", "y"))
        with h5py.File(a) as opened:
            values, names = opened[hls4ml.JETS][()], opened[hls4ml.JET_NAMES][()]
        order = [3, 1, 0, 2]
        b = other_file("b.h5", **{hls4ml.JETS: values[:, order], hls4ml.JET_NAMES: names[order]})
        jets = read_jets([a, b])
        np.testing.assert_array_equal(jets[:60].observables, jets[60:].observables)
        np.testing.assert_array_equal(jets[:60].labels, jets[60:].labels)


class TestWeights:
    def test_as_a_dataset(self, other_file, rng):
        weights = rng.normal(size=60)
        jets = read_jets([other_file("a.h5", weights=weights), other_file("b.h5", weights=2 * weights)])
        assert jets.dataset.weights == "weights"
        np.testing.assert_array_equal(jets.weights, np.concatenate([weights, 2 * weights]).astype(np.float32))
        np.testing.assert_array_equal(jets[55:65].weights, jets.weights[55:65], strict=True)

    def test_as_a_column(self, other_file):
        columns = {"m": np.ones(60) / 2, "weights": np.arange(60) - 30}
        jets = read_jets(other_file(**with_jet_columns(columns)))
        assert (jets.observable_names, jets[:2].weights.tolist()) == (("m",), [-30, -29])

    def test_of_another_name(self, other_file):
        file = other_file(training_weights=np.full(60, 3))
        assert read_jets(file).weights is None
        dataset = Dataset("toy", weights="training_weights")
        assert read_jets(file, dataset=dataset)[:2].weights.tolist() == [3, 3]

    def test_are_in_the_summary(self, other_file):
        summary = summarize(other_file(weights=np.arange(60.0)))
        assert summary.ranges["weights"] == (0, 29.5, 59)
        assert summary.classes == {"qcd": 30, "top": 30}


class TestGiven:
    def test_by_name(self, jet_file):
        jets = read_jets(jet_file(), dataset="hls4ml")
        assert jets.dataset == read_jets(jet_file()).dataset

    def test_labels_before_all_else(self, other_file):
        file = other_file(classes=("a", "b", "c"))
        dataset = Dataset("two", classes=("b", "c"), labels=OneHot(("label_b", "label_c")))
        with pytest.raises(InputError, match="one-hot over label_b, label_c: 0, 3"):
            read_jets(file, dataset=dataset)[:]

    def test_takes_the_usual_roles_and_labels_where_it_names_none(self, other_file):
        jets = read_jets(other_file(), dataset=Dataset("mine", features=("j_mass",)))
        assert jets.dataset.roles[Role.ENERGY] == "j1_e"
        assert (jets.classes, jets.dataset.features) == (("qcd", "top"), ("j_mass",))
        assert jets.dataset.units["j1_e"] == "GeV"

    @pytest.mark.parametrize(
        "changes, words",
        [
            (
                {"particle_columns": ("j1_px", "charge")},
                "particle column charge, which .* toy names as a particle column",
            ),
            ({"roles": {Role.PT: "ptt"}}, "lacks the particle column ptt, which the dataset toy names as pt; its"),
            ({"roles": {Role.JET_PT: "ptt"}}, "lacks the jet column ptt, which the dataset toy names as jet_pt"),
            ({"features": ("tau",)}, "lacks the jet column tau, .* as a feature; its jet columns are j_pt, j_mass"),
            ({"particle_features": ("d0",)}, "lacks the particle column d0, .* as one to learn from"),
            ({"weights": "w"}, "has no column and no dataset w, which the dataset toy names as the weights"),
            ({"classes": ("a", "b"), "labels": OneHot(("a", "b"))}, "lacks the jet column a, .* as a label"),
        ],
    )
    def test_what_the_file_lacks_is_named(self, other_file, changes, words):
        with pytest.raises(InputError, match=words) as caught:
            read_jets(other_file(), dataset=dataclasses.replace(Dataset("toy"), **changes))
        assert "other.h5" in str(caught.value)
        assert "correct the dataset" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_package_that_fails_to_import_is_passed_over_with_a_warning(monkeypatch, caplog):
    def get(name):
        raise InputError(f"dataset {name}: fails to import")

    monkeypatch.setattr(datasets.DATASETS, "names", lambda: ("broken",))
    monkeypatch.setattr(datasets.DATASETS, "get", get)
    with caplog.at_level(logging.WARNING, "hepjax"):
        assert datasets.recognize(["j1_pt"], []) is None
    assert "dataset broken: fails to import" in caplog.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_headers_are_refused_or_harmless(other_file, data):
    """Names that are cut, exchanged, emptied or doubled: one clear line, or jets of these columns."""
    names = [*data.draw(st.lists(st.text("jlabe_tqwx\n\x00é", max_size=9), min_size=2, max_size=6)), "label_qcd"]
    raw = np.array([name.encode() for name in names])
    try:
        jets = read_jets(other_file("damaged.h5", **{hls4ml.JET_NAMES: raw}))
        part = jets[:]
    except InputError as error:
        assert "damaged.h5" in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert part.observables.shape == (60, len(jets.observable_names))
