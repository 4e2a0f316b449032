"""Known datasets: a small file in exactly the layout of each is recognized, and its columns mean what they should."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.choices import Role
from hepjax.data import datasets, with_columns
from hepjax.data.dataset import unit_of_column
from hepjax.inputs import sequences
from hepjax.inputs.open_files import open_jets
from hepjax.models import CloudVelocity
from hepjax.physics.substructure.jets import from_jets, jet_observables
from hepjax.tasks.classification import Classification
from hepjax.tasks.generation.task import Generation
from hepjax.types import Dataset, Index

COUNT, SLOTS = 12, 9
DERIVED = ("pt", "eta", "phi", "energy", "pt_rel", "eta_rel", "phi_rel", "delta_r")


@dataclasses.dataclass
class Content:
    """Jets in float64, GeV; particles by falling pT, padding is 0."""

    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    mask: np.ndarray
    axis: np.ndarray
    """(N, 3) pt, eta, phi of each jet."""
    labels: np.ndarray
    rng: np.random.Generator

    @property
    def p3(self):
        return [self.pt * np.cos(self.phi), self.pt * np.sin(self.phi), self.pt * np.sinh(self.eta)]

    @property
    def energy(self):
        return self.pt * np.cosh(self.eta)

    @property
    def places(self):
        """Δη and Δφ."""
        turned = self.phi - self.axis[:, 2:] + np.pi
        return (self.eta - self.axis[:, 1:2]) * self.mask, (turned % (2 * np.pi) - np.pi) * self.mask

    def lists(self, values):
        awkward = pytest.importorskip("awkward")
        return awkward.unflatten(values[self.mask], self.mask.sum(1))


def content(seed=0, count=COUNT, slots=SLOTS, classes=2):
    """One jet has a single particle, one all slots; jets lie around φ = ±π, too."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, slots, count)
    counts[:2] = 1, slots
    mask = np.arange(slots) < counts[:, None]
    pt = -np.sort(-rng.uniform(1, 300, (count, slots)) * mask, axis=1)
    axis = np.stack([pt.sum(1), rng.uniform(-2, 2, count), rng.uniform(-np.pi, np.pi, count)], axis=1)
    eta = (axis[:, 1:2] + rng.normal(0, 0.2, pt.shape)) * mask
    phi = ((axis[:, 2:] + rng.normal(0, 0.2, pt.shape) + np.pi) % (2 * np.pi) - np.pi) * mask
    return Content(pt, eta, phi, mask, axis, np.arange(count) % classes, rng)


def oracle(jets, axis=None):
    """The derived columns in float64; the axis is that of the file, or of the sum of the particles."""
    if axis is None:
        px, py, pz = (p.sum(1) for p in jets.p3)
        pt = np.hypot(px, py)
        axis = np.stack([pt, np.arcsinh(pz / pt), np.arctan2(py, px)], axis=1)
    moved = (jets.phi - axis[:, 2:] + np.pi) % (2 * np.pi) - np.pi
    above = jets.eta - axis[:, 1:2]
    columns = [jets.pt, jets.eta, jets.phi, jets.energy, jets.pt / axis[:, :1], above, moved, np.hypot(above, moved)]
    return np.where(jets.mask[..., None], np.stack(columns, axis=-1), 0)


def write_hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, compression="gzip", chunks=True)
    return path


def write_root(path, columns):
    uproot = pytest.importorskip("uproot")
    with uproot.recreate(path) as file:
        kinds = {name: getattr(x, "dtype", None) or x.type.content for name, x in columns.items()}
        file.mktree("tree", kinds).extend(columns)
    return path


def write_parquet(path, jets, columns, **options):
    """Columns of (N, P) values become lists."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def column(values):
        if values.ndim == 1:
            return arrow.array(values)
        starts = np.concatenate([[0], np.cumsum(jets.mask.sum(1))]).astype(np.int32)
        return arrow.ListArray.from_arrays(starts, arrow.array(values[jets.mask]))

    parquet.write_table(arrow.table({name: column(x) for name, x in columns.items()}), path, **options)
    return path


def jetclass_particles(jets):
    px, py, pz = jets.p3
    deta, dphi = jets.places
    columns = dict(
        zip(("px", "py", "pz", "energy", "deta", "dphi"), (px, py, pz, jets.energy, deta, dphi), strict=True)
    )
    columns |= {name: jets.rng.normal(0, 1, jets.pt.shape) for name in ("d0val", "d0err", "dzval", "dzerr")}
    columns["charge"] = jets.rng.choice([-1.0, 0.0, 1.0], jets.pt.shape)
    particles = {f"part_{name}": x.astype(np.float32) for name, x in columns.items()}
    kinds = jets.rng.integers(0, 5, jets.pt.shape)
    for i, name in enumerate(("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")):
        particles[f"part_is{name}"] = (kinds == i).astype(np.int32)
    return particles


def jetclass_jets(jets):
    values = dict(zip(("jet_pt", "jet_eta", "jet_phi"), jets.axis.T.astype(np.float32), strict=True))
    for name in ("energy", "nparticles", "sdmass", "tau1", "tau2", "tau3", "tau4"):
        values[f"jet_{name}"] = jets.rng.uniform(1, 2, len(jets.pt)).astype(np.float32)
    return values


def jetclass(folder):
    jets = content(classes=10)
    order = datasets.get("jetclass").classes
    columns = {name: jets.lists(x) for name, x in jetclass_particles(jets).items()} | jetclass_jets(jets)
    for i, name in enumerate(order):
        kind = np.float32 if i == 0 else bool if i < 6 else np.int32
        columns[f"label_{name}"] = (jets.labels == i).astype(kind)
    for name in ("eta", "phi", "pid", "pt"):
        columns[f"aux_genpart_{name}"] = jets.rng.normal(size=COUNT).astype(np.float32)
    columns["aux_truth_match"] = np.ones(COUNT, np.float32)
    return write_root(folder / "HToBB_120.root", columns), jets, jets.axis


def jetclass2(folder):
    jets = content(classes=188)
    jets.labels = np.array([0, 187, 161, *range(9)])
    particles = jetclass_particles(jets)
    particles["part_charge"] = particles["part_charge"].astype(np.int32)
    particles |= {name: x.astype(bool) for name, x in particles.items() if name.startswith("part_is")}
    columns = particles | jetclass_jets(jets) | {"jet_label": jets.labels.astype(np.int32)}
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = write_parquet(folder / "plain.parquet", jets, columns, compression="zstd")
    # The particles of the generator have lengths of their own, and there are as many columns of them.
    table, other = parquet.read_table(path), content(seed=5, slots=30)
    for name in ("px", "py", "pz", "energy", "jet_deta", "jet_dphi", "x", "y", "z", "t", "pid"):
        values = other.pt if name != "pid" else np.full(other.pt.shape, 211)
        table = table.append_column(
            f"genpart_{name}", arrow.array([row[m] for row, m in zip(values, other.mask, strict=True)])
        )
    for name in ("pt", "eta", "phi", "energy", "sdmass"):
        table = table.append_column(f"genjet_{name}", arrow.array(jets.axis[:, 0]))
    parquet.write_table(table, folder / "QCD_0350.parquet")
    return folder / "QCD_0350.parquet", jets, jets.axis


def top_tagging(folder):
    jets = content(slots=200)
    four = np.stack([jets.energy, *jets.p3], axis=-1).astype(np.float32)
    table = np.empty(COUNT, [("index", "<i8"), ("values_block_0", "<f4", (804,)), ("values_block_1", "<i8", (2,))])
    table["index"] = np.arange(COUNT)
    table["values_block_0"] = np.concatenate([four.reshape(COUNT, 800), np.ones((COUNT, 4))], axis=1)
    table["values_block_1"] = np.stack([np.full(COUNT, 2), jets.labels], axis=1)
    return write_hdf5(folder / "val.h5", **{"table/table": table}), jets, None


def top_tagging_lgn(folder):
    """LGN stores masses of 1e-3 and less; a particle that is no real one has momentum but no label."""
    jets = content(slots=200)
    four = np.stack([jets.energy, *jets.p3], axis=-1)
    path = write_hdf5(
        folder / "train.h5",
        Nobj=jets.mask.sum(1).astype(np.int16),
        Pmu=np.where(jets.mask[..., None], four, [5.0, 3.0, 4.0, 0.0]),
        truth_Pmu=np.ones((COUNT, 4)),
        is_signal=jets.labels.astype(np.int16),
        jet_pt=jets.axis[:, 0],
        label=jets.mask.astype(np.int16),
        mass=np.zeros(jets.pt.shape),
    )
    return path, jets, (jets.axis[:, 0], None, None)


def top_tagging_npz(folder):
    arrays = {}
    for seed, part in enumerate(("train", "val", "test")):
        jets = content(seed, count=COUNT + 2 * seed, slots=200)
        arrays[f"kinematics_{part}"] = np.stack([jets.energy, *jets.p3], axis=-1).astype(np.float32)
        arrays[f"labels_{part}"] = jets.labels
    np.savez(folder / "toptagging_full.npz", **arrays)
    return f"{folder}/toptagging_full.npz:test", jets, None


def weaver(folder, name, more, labels):
    jets = content()
    particles = {key: x for key, x in jetclass_particles(jets).items() if key.split("_")[1] in more}
    columns = {"label": jets.labels.astype(labels)}
    columns |= dict(zip(("jet_pt", "jet_eta", "jet_phi"), jets.axis.T.astype(np.float32), strict=True))
    columns |= {f"jet_{key}": jets.axis[:, 0].astype(np.float32) for key in ("energy", "mass")}
    columns["jet_nparticles"] = jets.mask.sum(1)
    if "charge" in more:
        particles = {key: x.astype(np.float32) for key, x in particles.items()}
        particles["part_pid"] = jets.rng.choice([22, 211, 130], jets.pt.shape).astype(np.float32)
    return write_parquet(folder / name, jets, columns | particles, compression="lz4"), jets, jets.axis


def top_tagging_parquet(folder):
    return weaver(folder, "test_file.parquet", ("px", "py", "pz", "energy", "deta", "dphi"), np.int64)


def quark_gluon_parquet(folder):
    kinds = ("isNeutralHadron", "isPhoton", "isChargedHadron", "isElectron", "isMuon")
    more = ("px", "py", "pz", "energy", "deta", "dphi", "charge", *kinds)
    return weaver(folder, "test_file_0.parquet", more, np.float64)


def quark_gluon(folder):
    """The second file has longer jets, and particles are in any order."""
    jets = content()
    order = jets.rng.permuted(np.tile(np.arange(SLOTS), (COUNT, 1)), axis=1)
    rows = np.stack([jets.pt, jets.eta, jets.phi % (2 * np.pi) * jets.mask, 211.0 * jets.mask], axis=-1)
    np.savez_compressed(folder / "QG_jets.npz", X=np.take_along_axis(rows, order[..., None], 1), y=1.0 * jets.labels)
    return folder / "QG_jets.npz", jets, None


def jetnet(folder):
    jets = content()
    deta, dphi = jets.places
    axis = jets.axis * [1, 1, 0]
    particles = np.stack([deta, dphi, jets.pt / jets.axis[:, :1], jets.mask], axis=-1).astype(np.float32)
    features = np.stack([*jets.axis[:, :2].T, np.full(COUNT, 80.0), jets.mask.sum(1)], axis=1).astype(np.float32)
    jets.phi = dphi
    jets.labels = np.full(COUNT, 3)
    return write_hdf5(folder / "w150.hdf5", particle_features=particles, jet_features=features), jets, axis


def atlas(folder, weights):
    jets = content()
    columns = {"pt": jets.pt * 1e3, "eta": jets.eta, "phi": jets.phi, "E": jets.energy * 1e3}
    arrays = {f"fjet_clus_{name}": x.astype(np.float32) for name, x in columns.items()}
    values = (jets.axis * [1e3, 1, 1]).T
    arrays |= {f"fjet_{name}": x.astype(np.float32) for name, x in zip(("pt", "eta", "phi"), values, strict=True)}
    arrays["fjet_m"] = np.full(COUNT, 80e3, np.float32)
    for name in datasets.get("atlas-top").jet_columns[4:]:
        arrays[name] = jets.rng.uniform(0, 1, COUNT).astype(np.float32)
    if weights == "training_weights":
        arrays["fjet_clus_taste"] = np.zeros((COUNT, SLOTS), np.int32)
    arrays |= {
        "labels": jets.labels.astype(np.int32),
        weights: np.linspace(0.5, 2, COUNT).astype(np.float32),
        "EventInfo_mcEventWEights": jets.rng.normal(size=(COUNT, 27)).astype(np.float32),
        "EventInfo_mcEventNumber": np.arange(COUNT),
    }
    return write_hdf5(folder / "train.h5", **arrays), jets, jets.axis


def aspen_open_jets(folder):
    jets = content(slots=150)
    known = datasets.get("aspen-open-jets")
    particles = np.zeros((COUNT, 150, 11), np.float32)
    particles[..., :4] = np.stack([*jets.p3, jets.energy], axis=-1)
    particles[..., 4:] = jets.rng.normal(size=(COUNT, 150, 7)) * jets.mask[..., None]
    path = write_hdf5(
        folder / "RunG_batch0.h5",
        event_info=np.arange(3 * COUNT).reshape(COUNT, 3),
        jet_kinematics=np.concatenate([jets.axis, np.full((COUNT, 1), 80)], axis=1).astype(np.float32),
        jet_tagging=jets.rng.uniform(0, 1, (COUNT, len(known.arrays["jet_tagging"]))).astype(np.float32),
        PFCands=particles,
    )
    return path, jets, jets.axis


def toptagxl(folder):
    jets = content()
    particles = jetclass_particles(jets)
    names = {"d0val": "D0", "d0err": "ErrD0", "dzval": "DZ", "dzerr": "ErrDZ"}
    columns = {}
    for name, values in particles.items():
        stem = name.removeprefix("part_")
        if stem not in ("deta", "dphi"):
            columns[f"part_{names.get(stem, stem)}"] = jets.lists(values)
    columns |= {"label_isQCD": (jets.labels == 0), "label_isTop": (jets.labels == 1)}
    return write_root(folder / "top_0.root", columns), jets, None


def hls4ml_parquet(folder):
    jets = content(classes=5)
    known = datasets.get("hls4ml")
    values = dict.fromkeys(known.particle_columns, jets.pt)
    deta, dphi = jets.places
    values |= dict(zip(("j1_px", "j1_py", "j1_pz"), jets.p3, strict=True))
    values |= {"j1_e": jets.energy, "j1_eta": jets.eta, "j1_phi": jets.phi, "j1_etarel": deta, "j1_phirel": dphi}
    values |= {"j1_ptrel": jets.pt / jets.axis[:, :1], "j1_deltaR": np.hypot(deta, dphi)}
    columns = {name: x.astype(np.float32) for name, x in values.items()}
    columns |= {name: jets.rng.uniform(1, 2, COUNT).astype(np.float32) for name in known.jet_columns}
    columns["label"] = jets.labels.astype(np.int8)
    return write_parquet(folder / "train.parquet", jets, columns), jets, jets.axis


WRITERS = {
    "jetclass": jetclass,
    "jetclass2": jetclass2,
    "top-tagging": top_tagging,
    "top-tagging-lgn": top_tagging_lgn,
    "top-tagging-npz": top_tagging_npz,
    "top-tagging-parquet": top_tagging_parquet,
    "quark-gluon": quark_gluon,
    "quark-gluon-parquet": quark_gluon_parquet,
    "jetnet": jetnet,
    "atlas-top": lambda folder: atlas(folder, "weights"),
    "atlas-top-systematics": lambda folder: atlas(folder, "training_weights"),
    "aspen-open-jets": aspen_open_jets,
    "toptagxl": toptagxl,
    "hls4ml-parquet": hls4ml_parquet,
}
"""Name of a dataset → a function that writes its layout: folder → path, what was written, axes that the file has."""


@pytest.fixture(scope="module", params=WRITERS)
def known(request, tmp_path_factory):
    """A file of a known dataset: its name, the jets read from it, what was written, and the axes of jets in it."""
    path, written, axis = WRITERS[request.param](tmp_path_factory.mktemp(request.param))
    return request.param, read_jets(path), written, axis


def test_every_dataset_has_a_file():
    assert {*WRITERS, "hls4ml"} == {name for name in datasets.DATASETS.names() if not name.startswith("toy")}


def test_it_is_recognized(known):
    name, jets, _, _ = known
    usual = datasets.get(name)
    assert jets.dataset.name == name
    assert dict(jets.dataset.roles) == dict(usual.roles)
    assert (jets.classes, jets.dataset.labels) == (usual.classes, usual.labels)
    assert "MeV" not in jets.dataset.units.values()
    assert jets.dataset.features == usual.features or not usual.features
    assert jets.dataset.background == usual.background
    assert not {"label", "labels", "is_signal", "ttv"} & {*jets.dataset.features}


def test_labels_and_weights(known):
    name, jets, written, _ = known
    if jets.dataset.labels is None:
        assert name == "aspen-open-jets"
        assert jets.labels is None
    else:
        np.testing.assert_array_equal(jets.labels, written.labels)
    if name.startswith("atlas"):
        np.testing.assert_array_equal(jets.weights, np.linspace(0.5, 2, COUNT).astype(np.float32))
    else:
        assert jets.weights is None


def test_particles_are_told_from_padding_and_ordered(known):
    _, jets, written, _ = known
    held = np.asarray(jets.mask)
    np.testing.assert_array_equal(held.sum(1), written.mask.sum(1))
    assert not (held[:, 1:] & ~held[:, :-1]).any()
    assert not np.asarray(jets.constituents)[~held].any()
    pt = sequences(jets, ["pt"]).values[..., 0]
    assert (np.diff(pt, axis=1) <= 1e-3).all()


def test_derived_columns(known):
    """Float32 momenta give η to 1e-4 of what was written, where rounding of pz counts."""
    _, jets, written, axis = known
    found = sequences(jets, DERIVED, particles=SLOTS).values
    if isinstance(axis, tuple):  # the pT of the jet is known, its direction is that of the sum
        expected = oracle(written)
        expected[..., DERIVED.index("pt_rel")] = written.pt / axis[0][:, None]
    else:
        expected = oracle(written, axis)
    expected = expected[:, :SLOTS]
    turn = [DERIVED.index(name) for name in ("phi", "phi_rel")]
    found[..., turn] -= 2 * np.pi * np.round((found[..., turn] - expected[..., turn]) / (2 * np.pi))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)


def test_the_index_and_the_parts_of_a_table_are_not_learned_from(tmp_path):
    path, *_ = top_tagging(tmp_path)
    jets = read_jets(path)
    assert jets.dataset.observers == ("index", "ttv", "truthE", "truthPX", "truthPY", "truthPZ")
    assert {*jets.dataset.observers} == {*jets.observable_names}
    assert jets.dataset.features == ()


def test_weights_of_the_generator_are_columns(tmp_path):
    path, jets, _ = atlas(tmp_path, "weights")
    with h5py.File(path) as file:
        expected = file["EventInfo_mcEventWEights"][:, 26]
    read = read_jets(path)
    place = read.observable_names.index("EventInfo_mcEventWEights_26")
    np.testing.assert_array_equal(read.observables[:, place], expected)
    np.testing.assert_allclose(read.observables[:, 0], jets.axis[:, 0], rtol=1e-6)  # MeV in the file


def test_files_of_one_class_each(tmp_path):
    """The name of a file is the class of its jets."""
    for name in ("g.hdf5", "t150.hdf5"):
        jetnet(tmp_path)[0].rename(tmp_path / name)
    jets = read_jets(tmp_path)
    np.testing.assert_array_equal(jets.labels, [0] * COUNT + [2] * COUNT)
    (tmp_path / "g.hdf5").rename(tmp_path / "jets.hdf5")
    with pytest.raises(InputError, match=r"jets.hdf5: the name of the file tells the class.* begins with none of g, q"):
        read_jets(tmp_path).labels[:]


def test_files_of_other_widths(tmp_path):
    """Quark and gluon files are as wide as their longest jet; the jets of all have the slots of the narrowest."""
    quark_gluon(tmp_path)
    jets = content(3, slots=14)
    rows = np.stack([jets.pt, jets.eta, jets.phi, 22.0 * jets.mask], axis=-1)
    np.savez(tmp_path / "QG_jets_19.npz", X=rows, y=1.0 * jets.labels)
    both = open_jets([tmp_path])
    assert both.constituents.shape == (2 * COUNT, SLOTS, 4)
    np.testing.assert_array_equal(both.mask[COUNT:].sum(1), np.minimum(jets.mask.sum(1), SLOTS))
    np.testing.assert_allclose(both.constituents[COUNT:, 0, 0], jets.pt[:, 0], rtol=1e-6)


def test_flavor_tagging(tmp_path):
    """Tables of jets and tracks; those that are not valid hold anything."""
    jets = content(slots=40)
    table = np.zeros((COUNT, 40), [("d0", "f4"), ("deta", "f4"), ("numberOfPixelHits", "u1"), ("valid", "?")])
    table["d0"], table["valid"] = np.where(jets.mask, 0.25, np.nan), jets.mask
    heads = np.zeros(COUNT, [("pt", "f4"), ("eta", "f4"), ("mass", "f4"), ("flavour_label", "i4")])
    heads["pt"], heads["flavour_label"] = jets.axis[:, 0] * 1e3, np.arange(COUNT) % 4
    path = write_hdf5(tmp_path / "pp_output_train.h5", jets=heads, tracks=table)
    given = Dataset(
        "ftag",
        classes=("b", "c", "light", "tau"),
        labels=Index("flavour_label"),
        roles={Role.JET_PT: "pt", Role.JET_ETA: "eta", Role.VALID: "valid"},
        units={"pt": "MeV"},
    )
    for dataset in (None, given):
        read = read_jets(path, dataset=dataset)
        np.testing.assert_array_equal(np.asarray(read.mask), jets.mask)
        assert "valid" not in read.dataset.particle_features
    np.testing.assert_array_equal(read.labels, np.arange(COUNT) % 4)
    np.testing.assert_allclose(read.observables[:, 0], jets.axis[:, 0], rtol=1e-6)


def test_cms_open_data_of_energyflow(tmp_path):
    """Columns have their names in the file; particles lie in a row, and there are no labels."""
    jets = content()
    count = int(jets.mask.sum())
    with h5py.File(tmp_path / "CMS_0_compressed.h5", "w") as file:
        arrays = {
            "jets_i": (np.ones((COUNT, 6), np.int64), ("fn", "rn", "lbn", "evn", "npv", "quality")),
            "jets_f": (np.concatenate([jets.axis, np.ones((COUNT, 2))], 1),
                       ("jet_pt", "jet_eta", "jet_phi", "jet_m", "weight")),
            "pfcs": (np.stack([x[jets.mask] for x in (jets.pt, jets.eta, jets.phi)] + [np.ones(count)] * 3, -1),
                     ("pt", "y", "phi", "m", "pid", "vertex")),
        }  # fmt: skip
        for name, (values, columns) in arrays.items():
            file[name] = values
            file[name].attrs["cols"] = np.array(columns, "S")
        file["pfcs_index"] = np.concatenate([[0], np.cumsum(jets.mask.sum(1))]).astype(np.uint32)
        file["filenames"] = np.array(["a.root"], "S")
    read = read_jets(tmp_path / "CMS_0_compressed.h5", particles=SLOTS)
    assert (read.labels, read.particle_names) == (None, ("pt", "y", "phi", "m", "pid", "vertex"))
    assert {Role.PT, Role.PHI, Role.JET_PT, Role.JET_ETA, Role.JET_PHI} <= {*read.dataset.roles}
    np.testing.assert_allclose(read.constituents[..., 0], jets.pt, rtol=1e-6)


def test_omnilearned(tmp_path):
    """The label of a jet is called pid, which a description says."""
    jets = content()
    data = np.stack([*jets.places, np.log(np.maximum(jets.pt, 1)), np.log(np.maximum(jets.energy, 1))], -1)
    path = write_hdf5(tmp_path / "train.h5", data=data * jets.mask[..., None], pid=jets.labels, **{"global": jets.axis})
    names = ("delta_eta", "delta_phi", "log_pt", "log_energy")
    dataset = Dataset("top", classes=("qcd", "top"), labels=Index("pid"), arrays={"data": names})
    read = read_jets(path, dataset=dataset)
    np.testing.assert_array_equal(read.labels, jets.labels)
    assert read.particle_names == names
    np.testing.assert_array_equal(np.asarray(read.mask).sum(1), jets.mask.sum(1))


def test_jets_without_labels(tmp_path):
    """A classifier needs them; a generator learns all jets as one class."""
    path, *_ = aspen_open_jets(tmp_path)
    jets = read_jets(path)
    with pytest.raises(InputError, match=r"jets have no labels, which a classifier learns; .*--task anomaly"):
        Classification().check_dataset(jets.dataset, "jets")
    task = Generation().for_model(CloudVelocity()).resolve(jets.dataset)
    task.check_dataset(jets.dataset, "jets")
    assert task.classes == ("jets",)
    np.testing.assert_array_equal(task.read(jets, slice(3, 8)), np.zeros((5, 1)))
    assert Generation(classes=("a", "b")).read(jets, slice(3)) is None


def test_momenta_of_coordinates_relative_to_the_jet(tmp_path):
    """JetNet names no φ of jets, which is 0; observables are computed from these momenta."""
    path, written, _ = jetnet(tmp_path)
    jets = read_jets(path)
    p4 = np.stack([*written.p3, written.energy], axis=-1).astype(np.float32)
    found = sequences(jets, ["px", "py", "pz", "energy"]).values
    np.testing.assert_allclose(found, p4, rtol=2e-5, atol=2e-3)
    np.testing.assert_allclose(from_jets(jets), jet_observables(p4, written.mask), rtol=1e-3, atol=0.05)
    units = [unit_of_column(jets.dataset, name) for name in ("pt", "energy", "px", "pt_rel", "eta")]
    assert units == ["GeV", "GeV", "GeV", "", ""]


REFERENCE = Path(__file__).parents[2] / "shared" / "reference"
REFERENCE = REFERENCE if REFERENCE.exists() else Path(__file__).parents[3] / "shared" / "reference"


class TestPublicFiles:
    @pytest.fixture(autouse=True)
    def _files(self):
        if not REFERENCE.exists():
            pytest.skip("shared/reference, files of public records, is not here")
        pytest.importorskip("pyarrow")
        pytest.importorskip("uproot")

    def test_jetclass2(self):
        path = REFERENCE / "files" / "JetClassII_example.parquet"
        jets = read_jets(path)
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        assert (jets.dataset.name, len(jets)) == ("jetclass2", 100)
        np.testing.assert_array_equal(jets.labels, table["jet_label"].to_numpy())
        lines = (REFERENCE / "tables" / "jetclass2_labels.txt").read_text().split()
        assert jets.classes == tuple(line.removeprefix("label_") for line in lines)
        found = sequences(jets, ["pt", "part_deta", "part_energy"]).values[7]
        px, py = (np.array(table[f"part_{name}"][7].as_py()) for name in ("px", "py"))
        pt = np.sort(np.hypot(px, py))[::-1][: len(found)]
        np.testing.assert_allclose(found[: len(pt), 0], pt, rtol=1e-6)

    def test_a_table_of_pandas(self):
        path = REFERENCE / "files" / "toptag_pandas_table_synthetic_50.h5"
        jets = read_jets(path)
        with h5py.File(path) as file:
            blocks = file["table/table"]
            four, labels = blocks["values_block_0"][:, :800].reshape(50, 200, 4), blocks["values_block_1"][:, 1]
        np.testing.assert_array_equal(jets.labels, labels)
        energy = four[..., 0]  # random numbers: those below 0 are no particles
        np.testing.assert_array_equal(np.sort(jets.constituents[..., 0]), np.sort(np.where(energy > 0, energy, 0)))

    def test_a_tree_of_something_else(self):
        with pytest.raises(InputError, match=r"holds no particles.*x is of the type std::vector<std::vector<double>>"):
            read_jets(REFERENCE / "files" / "uproot-vectorVectorDouble.root")

    def test_events_of_cms(self):
        """A column of theirs is NaN throughout; particles can be read all the same."""
        jets = read_jets(REFERENCE / "files" / "nanoAOD_2015_CMS_Open_Data_ttbar.root")
        assert len(jets) == 200
        assert np.isfinite(with_columns(jets, None, ())[:20].constituents).all()
        with pytest.raises(InputError, match="column HTXS_Higgs_y is NaN"):
            jets[:20]
