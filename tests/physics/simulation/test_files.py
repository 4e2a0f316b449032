import os

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hepjax import read_jets
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.physics.simulation import Layout, Rows, files, jet_writer, write_jets


def toy(rng, jets=5, particles=4):
    constituents = rng.normal(size=(jets, particles, 16)).astype(np.float32)
    return constituents, rng.normal(size=(jets, 53)), np.arange(jets) % 5


def test_the_layout_is_the_public_one(tmp_path, rng):
    constituents, observables, labels = toy(rng)
    write_jets(tmp_path / "a.h5", constituents, observables, labels, attributes={"seed": 3})
    with h5py.File(tmp_path / "a.h5") as file:
        assert set(file) == {"jetConstituentList", "particleFeatureNames", "jets", "jetFeatureNames"}
        assert file["particleFeatureNames"].shape == (17,)
        assert file["particleFeatureNames"][16] == b"j1_pdgid"
        assert tuple(name.decode() for name in file["jetFeatureNames"]) == hls4ml.JET_COLUMNS
        assert file["jets"].shape == (5, 59)
        assert file.attrs["seed"] == 3
        np.testing.assert_array_equal(file["jetConstituentList"][:], constituents)
        np.testing.assert_array_equal(file["jets"][:, :53], observables.astype(np.float32))
        np.testing.assert_array_equal(file["jets"][:, -6:-1], np.eye(5))
        for name in ("jets", "jetConstituentList"):
            assert file[name].dtype == np.float32
            assert file[name].shuffle
            assert file[name].compression == "gzip"
            assert file[name].chunks[0] == files.CHUNK_ROWS


def test_blocks_of_any_size_give_the_same_bytes(tmp_path, rng):
    constituents, observables, labels = toy(rng, jets=2345)
    write_jets(tmp_path / "whole.h5", constituents, observables, labels, attributes={})
    for name, size in (("a.h5", 250), ("b.h5", 250), ("c.h5", 1700)):
        with jet_writer(tmp_path / name, Layout(4), attributes={}) as append:
            for start in range(0, 2345, size):
                rows = slice(start, start + size)
                append(Rows(constituents[rows], observables[rows], labels[rows]))
        with h5py.File(tmp_path / name) as file:
            np.testing.assert_array_equal(file["jetConstituentList"][:], constituents)
            np.testing.assert_array_equal(file["jets"][:, -6:-1].argmax(axis=1), labels)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@given(
    hnp.arrays(np.float32, 50, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)), st.integers(1, 23)
)
def test_rounded_mantissas_are_the_nearest_short_ones(x, bits):
    rounded = files.round_mantissas(x, bits)
    pattern = rounded.view(np.uint32)
    assert not np.any(pattern & np.uint32((1 << (23 - bits)) - 1))
    np.testing.assert_array_equal(files.round_mantissas(rounded, bits), rounded)
    np.testing.assert_array_equal(np.signbit(rounded), np.signbit(x))
    normal = (np.abs(x) >= np.finfo(np.float32).tiny) & np.isfinite(rounded)  # not beyond the largest
    error = np.abs(rounded.astype(np.float64) - x)[normal]
    assert np.all(error <= np.abs(x[normal].astype(np.float64)) * 2.0 ** -(bits + 1))


def test_rounding_touches_the_constituents_only(tmp_path, rng):
    constituents, observables, labels = toy(rng)
    write_jets(tmp_path / "a.h5", constituents, observables, labels, attributes={}, mantissa_bits=8)
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["jets"][:, :53], observables.astype(np.float32))
        stored = file["jetConstituentList"][:]
    assert np.any(stored != constituents)
    np.testing.assert_allclose(stored, constituents, rtol=2**-9)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c, o, y: (c[..., :15], o, y), "constituents: expected shape"),
        (lambda c, o, y: (c[0], o, y), "constituents: expected shape"),
        (lambda c, o, y: (c, o[:3], y), "observables: expected shape"),
        (lambda c, o, y: (c, o, y + 4), "labels: expected integers from 0 to 4"),
        (lambda c, o, y: (c, o, y * 1.0), "labels: expected integers"),
    ],
)
def test_wrong_arrays_are_named_and_leave_nothing(tmp_path, rng, change, message):
    with pytest.raises(InputError, match=message):
        write_jets(tmp_path / "a.h5", *change(*toy(rng)), attributes={})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_stays_as_it_is(tmp_path, rng):
    (tmp_path / "a.h5").write_text("precious")
    with pytest.raises(InputError, match=r"a\.h5: exists already"):
        write_jets(tmp_path / "a.h5", *toy(rng), attributes={})
    assert (tmp_path / "a.h5").read_text() == "precious"


def _write_and_then(path, arrays, action):
    with jet_writer(path, Layout(4), attributes={}) as append:
        append(Rows(*arrays))
        action()


def test_a_file_that_appears_meanwhile_stays_as_it_is(tmp_path, rng):
    path = tmp_path / "a.h5"
    with pytest.raises(InputError, match="exists already"):
        _write_and_then(path, toy(rng), lambda: path.write_text("precious"))
    assert [file.name for file in tmp_path.iterdir()] == ["a.h5"]
    assert path.read_text() == "precious"


def test_missing_and_unwritable_folders_are_named(tmp_path, rng, monkeypatch):
    with pytest.raises(InputError, match="does not exist; create it"):
        write_jets(tmp_path / "no" / "a.h5", *toy(rng), attributes={})
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(InputError, match="not writable"):
        write_jets(tmp_path / "a.h5", *toy(rng), attributes={})


@pytest.mark.parametrize("jets", [10, 3000])
@pytest.mark.parametrize("room", [0, 20_000])
def test_a_full_disk_gives_one_line_and_leaves_nothing(tmp_path, rng, monkeypatch, room, jets):
    original, written = os.write, 0

    def small_disk(descriptor, data):
        nonlocal written
        written += len(data)
        if written > room:
            raise OSError(28, "No space left on device")
        return original(descriptor, data)

    monkeypatch.setattr(os, "write", small_disk)
    if (room, jets) == (20_000, 10):
        write_jets(tmp_path / "a.h5", *toy(rng, jets), attributes={})  # this one fits
        return
    with pytest.raises(InputError, match=r"a\.h5: cannot be written .*No space left on device") as caught:
        write_jets(tmp_path / "a.h5", *toy(rng, jets), attributes={})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_caller_stays_what_it_is(tmp_path, rng):
    def fail():
        raise OSError(28, "the caller's own disk")

    with pytest.raises(OSError, match="the caller's own disk"):
        _write_and_then(tmp_path / "a.h5", toy(rng), fail)
    assert list(tmp_path.iterdir()) == []


def _interrupt():
    raise KeyboardInterrupt


def test_an_interrupt_leaves_nothing(tmp_path, rng):
    with pytest.raises(KeyboardInterrupt):
        _write_and_then(tmp_path / "a.h5", toy(rng), _interrupt)
    assert list(tmp_path.iterdir()) == []


def test_event_weights_are_kept_beside_the_jets(tmp_path, rng):
    constituents, observables, labels = toy(rng, jets=1234)
    weights = rng.normal(size=(1234, 3)) * 1e-12
    for names in ((), ("XWGTUP",), ("XWGTUP", "muR 2", "PDF é")):
        path = tmp_path / f"{len(names)}.h5"
        with jet_writer(path, Layout(4), attributes={}, weights=names) as append:
            for rows in (slice(0, 700), slice(700, None)):
                table = weights[rows, : len(names)] if names else None
                append(Rows(constituents[rows], observables[rows], labels[rows], weights=table))
        with h5py.File(path) as file:
            assert ("weights" in file, "namedWeights" in file) == (len(names) > 0, len(names) > 1)
            if names:
                np.testing.assert_array_equal(file["weights"][:], weights[:, 0])
            if len(names) > 1:
                np.testing.assert_array_equal(file["namedWeights"][:], weights[:, 1:])
                assert [name.decode() for name in file["weightNames"]] == ["muR 2", "PDF é"]
        np.testing.assert_array_equal(read_jets([path]).labels, labels)


def test_weights_of_another_shape_are_refused(tmp_path, rng):
    rows = Rows(*toy(rng))
    for table in (None, np.ones((5, 2)), np.ones((4, 1))):
        with (
            pytest.raises(InputError, match=r"weights: expected shape \(5, 1\)"),
            jet_writer(tmp_path / "a.h5", Layout(4), attributes={}, weights=("x",)) as append,
        ):
            append(rows._replace(weights=table))


@pytest.mark.parametrize("bits", [0, 24])
def test_impossible_mantissas_are_refused(tmp_path, rng, bits):
    with pytest.raises(InputError, match=f"mantissa_bits: expected 1 to 23 or None, found {bits}"):
        write_jets(tmp_path / "a.h5", *toy(rng), attributes={}, mantissa_bits=bits)


def test_a_name_that_no_file_can_have_is_refused(tmp_path, rng):
    with pytest.raises(InputError, match=r"cannot be written .*File name too long"):
        write_jets(tmp_path / ("a" * 250), *toy(rng), attributes={})
    assert list(tmp_path.iterdir()) == []
