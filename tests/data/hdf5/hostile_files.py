"""Hostile HDF5 files of jets: flipped, cut, of other types and links, far too large, or with their data elsewhere."""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import zlib

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import hostile

from hepjax import InputError
from hepjax.data import read_jets, summarize
from hepjax.data.datasets import hls4ml

C, J, CN, JN = hls4ml.CONSTITUENTS, hls4ml.JETS, hls4ml.PARTICLE_NAMES, hls4ml.JET_NAMES
WAYS = {
    "gzip": {"compression": "gzip", "chunks": True},
    "lzf": {"compression": "lzf", "chunks": True},
    "parts": {"compression": "gzip", "chunks": (5, 4, 3)},
    "plain": {},
}
HUGE = (10**7, 10**9, 2**40, 2**62)


def prepare(folder):
    """Good files in several forms, and what is no regular file."""
    good = folder / "good"
    good.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    particles = np.sort(rng.exponential(20, (23, 6, 16)), axis=1)[:, ::-1].astype(np.float32)
    values = rng.normal(size=(23, len(hls4ml.JET_COLUMNS))).astype(np.float32)
    values[:, -6:] = np.eye(6)[np.arange(23) % 5]
    for way, options in WAYS.items():
        path = good / f"{way}.h5"
        if path.exists():
            continue
        with h5py.File(path, "w", libver="latest" if way == "lzf" else "earliest") as file:
            for name, data in ((C, particles), (J, values)):
                chosen = dict(options)
                if "chunks" in chosen:
                    chosen["chunks"] = (5, *(chosen["chunks"][1:] if chosen["chunks"] is not True else data.shape[1:]))
                    chosen["chunks"] = chosen["chunks"][: data.ndim]
                file.create_dataset(name, data=data, **chosen)
            file[CN] = np.array([*hls4ml.PARTICLE_COLUMNS, hls4ml.PARTICLE_ID], "S")
            file[JN] = np.array(hls4ml.JET_COLUMNS, "S")
            file["weights"] = np.ones(23)
            file["jetImage"] = rng.exponential(size=(23, 4, 4))
            file.attrs["made"] = "by a test"
    outside = folder / "outside"
    outside.mkdir(exist_ok=True)
    shutil.copy(good / "gzip.h5", outside / "good.h5")
    return good


def damaged(rng, path):
    """Bytes that are flipped, cut, zeroed or exchanged."""
    data = bytearray(path.read_bytes())
    kind = rng.integers(6)
    at = int(rng.integers(len(data)))
    if kind == 0:
        del data[at:]
    elif kind == 1:
        data[at : at + int(rng.integers(1, 600))] = bytes(int(rng.integers(1, 600)))
    elif kind == 2:
        data[at : at + 64] = rng.bytes(64)
    else:
        places = np.flatnonzero(np.frombuffer(bytes(data), np.uint8)) if rng.random() < 0.8 else np.arange(len(data))
        for place in rng.choice(places, int(rng.choice([1, 1, 1, 2, 8]))).tolist():
            data[place] = int(rng.integers(256)) if rng.random() < 0.5 else data[place] ^ (1 << int(rng.integers(8)))
    path.write_bytes(data)
    return "damaged"


def target(rng, path, folder):
    """A file that is named as the place of data."""
    folder.joinpath("directory").mkdir(exist_ok=True)
    if not folder.joinpath("pipe").exists():
        os.mkfifo(folder / "pipe")
        (folder / "loop").symlink_to("loop")
        (folder / "raw").write_bytes(bytes(4000))
        (folder / "leak.h5").symlink_to(folder / "outside" / "good.h5")
        shutil.copy(folder / "outside" / "good.h5", folder / "beside.h5")
    return str(
        rng.choice(
            [
                "pipe", "loop", "directory", "raw", "gone", "beside.h5", "leak.h5", path.name, ".", "",
                "/dev/urandom", "/dev/zero", "/dev/stdin", "/proc/self/mem", str(folder / "outside" / "good.h5"),
                "../" * 12 + "etc/passwd", "a" * 300, "\udcff", "%b.h5",
            ]
        )
    )  # fmt: skip


def elsewhere(rng, path, folder):
    """A dataset whose data is said to be in another place."""
    with h5py.File(path, "a") as file:
        name = str(rng.choice([*file, C, J]))
        shape = file[name].shape
        source, inside = target(rng, path, folder), str(rng.choice([name, C, "nothing", "/", "a/b"]))
        kind = rng.integers(5)
        dtype = file[name].dtype
        del file[name]
        if kind == 0:
            file[name] = h5py.ExternalLink(source, inside)
        elif kind == 1:
            file[name] = h5py.SoftLink(str(rng.choice([name, f"/{name}", "/nothing", "other/x", "/" + "../" * 9])))
            file["other/x"] = h5py.ExternalLink(source, inside)
        elif kind == 2:
            large = (int(rng.choice(HUGE)), *shape[1:]) if rng.random() < 0.3 else shape
            sizes = [h5py.h5f.UNLIMITED, int(np.prod(shape)) * dtype.itemsize, 10**18]
            size = sizes[int(rng.integers(3))]
            file.create_dataset(name, large, dtype, external=[(source.encode(errors="replace"), 0, size)])
        else:
            rows = int(rng.choice([shape[0], 5, 10**9]))
            layout = h5py.VirtualLayout((max(rows, shape[0]), *shape[1:]), dtype)
            layout[:rows] = h5py.VirtualSource(source, inside, (rows, *shape[1:]))
            file.create_virtual_dataset(name, layout)
    return f"elsewhere {kind} {source!r}"


def of_another_kind(rng, path, folder):
    """A dataset of another type or shape, or something that is none."""
    with h5py.File(path, "a") as file:
        name = str(rng.choice([*file, C, J, CN, JN]))
        old = file[name][()]
        del file[name]
        made = {
            "gone": lambda: None,
            "group": lambda: file.create_group(name),
            "type": lambda: file.create_dataset(name, data=np.arange(3), dtype="i4"),
            "named type": lambda: file.__setitem__(name, np.dtype("f4")),
            "empty": lambda: file.create_dataset(name, data=h5py.Empty("f4")),
            "scalar": lambda: file.create_dataset(name, data=1.5),
            "texts": lambda: file.create_dataset(name, data=["a\nb", "ü", ""] * 9, dtype=h5py.string_dtype()),
            "references": lambda: file.create_dataset(name, old.shape, h5py.ref_dtype),
            "ragged": lambda: file.create_dataset(name, old.shape, h5py.vlen_dtype("f4")),
            "compound": lambda: file.create_dataset(name, old.shape, np.dtype([("a", "f4"), ("b", "S3")])),
            "complex": lambda: file.create_dataset(name, old.shape, "c8"),
            "enum": lambda: file.create_dataset(name, old.shape, h5py.enum_dtype({"a": 1})),
            "opaque": lambda: file.create_dataset(name, old.shape, np.dtype("V7")),
            "wide": lambda: file.create_dataset(name, old.shape, np.longdouble),
            "half": lambda: file.create_dataset(name, old.shape, "f2"),
            "transposed": lambda: file.create_dataset(name, data=old.T if old.dtype.kind == "f" else old[::-1]),
            "longer": lambda: file.create_dataset(name, data=np.concatenate([old, old])),
            "shorter": lambda: file.create_dataset(name, data=old[: len(old) // 2]),
            "fewer axes": lambda: file.create_dataset(name, data=old.ravel()),
            "more axes": lambda: file.create_dataset(name, data=old[..., None]),
            "nothing in it": lambda: file.create_dataset(name, data=old[..., :0] if old.ndim > 1 else old[:0]),
            "another's": lambda: file.create_dataset(name, data=file[str(rng.choice([*file]))][()]),
        }
        kind = str(rng.choice([*made]))
        made[kind]()
    return f"{kind} {name}"


def too_large(rng, path, folder):
    """Shapes, chunks, names and packed bytes far beyond what the file holds."""
    with h5py.File(path, "a") as file:
        name = str(rng.choice([C, J, CN, JN, "weights", "jetImage"]))
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        kind = rng.integers(6)
        place = int(rng.integers(len(shape)))
        large = tuple(int(rng.choice(HUGE)) if axis == place else size for axis, size in enumerate(shape))
        if kind == 0:
            file.create_dataset(name, large, dtype)
        elif kind == 1:
            file.create_dataset(name, large, dtype, chunks=tuple(min(size, 7) for size in large), compression="gzip")
        elif kind == 2:
            file.create_dataset(name, shape, f"S{2 ** int(rng.integers(10, 30))}", chunks=tuple(1 for _ in shape))
        elif kind == 3:
            chunk = tuple(min(size, 2**20) if axis == place else min(size, 30) for axis, size in enumerate(large))
            if np.prod(chunk, dtype=float) * dtype.itemsize < 2**32 - 1:
                file.create_dataset(name, large, dtype, chunks=chunk, compression="gzip")
        else:
            options = {"chunks": tuple(max(1, n // (1 + (kind == 5))) for n in shape), "compression": "gzip"}
            data = file.create_dataset(name, shape, dtype, **options)
            for offset in np.ndindex(*(-(-n // size) for n, size in zip(shape, data.chunks, strict=True))):
                at = tuple(i * size for i, size in zip(offset, data.chunks, strict=True))
                data.id.write_direct_chunk(at, BOMB if rng.random() < 0.2 else rng.bytes(99))
    return f"too large {kind} {name}"


def odd_numbers(rng, path, folder):
    """Numbers, labels and names that make no sense."""
    with h5py.File(path, "a") as file:
        name = str(rng.choice([C, J, "weights", "jetImage", CN, JN]))
        values = file[name][()]
        for _ in range(int(rng.integers(1, 9))):
            place = tuple(int(rng.integers(size)) for size in values.shape)
            if values.dtype.kind == "f":
                values[place] = rng.choice([np.nan, np.inf, -np.inf, 1e38, -1e38, 0, -0.0, 0.9999, 1e-45])
            else:
                names = [b"", b"   ", b"j_pt", b"\xff\xfe", b"label_x", b"weights", b"\x1b[2J", b"a b", b"../x"]
                values[place] = names[int(rng.integers(len(names)))]
        del file[name]
        file[name] = values
    return f"odd numbers {name}"


def no_file(rng, path, folder):
    """What is no regular file, or none of HDF5."""
    path.unlink()
    source = target(rng, path, folder)
    kind = rng.integers(4)
    if kind == 0:
        path.symlink_to(source or "x")
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.mkdir()
    else:
        path.write_bytes(rng.bytes(int(rng.integers(0, 3000))))
    return f"no file {kind} {source!r}"


BOMB = zlib.compress(bytes(1 << 25), 9)
KINDS = (damaged, damaged, damaged, elsewhere, elsewhere, of_another_kind, too_large, odd_numbers, no_file)


def attempt(good, seed, folder):
    """Makes one file, and reads it as people do."""
    rng = np.random.default_rng(seed)
    path = folder / "case.h5"
    if os.path.isdir(path) and not path.is_symlink():  # noqa: PTH112 - no error for a bad link
        path.rmdir()
    path.unlink(missing_ok=True)
    shutil.copy(good / f"{rng.choice([*WAYS])}.h5", path)
    make = KINDS[int(rng.integers(len(KINDS)))]
    try:
        words = make(rng, path) if make is damaged else make(rng, path, folder)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, MemoryError) as error:
        return f"h5py cannot make it: {error}"
    try:
        if rng.random() < 0.3:
            summarize(path, allow_external=rng.random() < 0.3)
            return words
        images = ("jetImage",) if rng.random() < 0.3 else ()
        jets = read_jets(path, images=images, allow_external=rng.random() < 0.3)
        if len(jets) < 10**6:
            jets[:]
        jets[:3], jets[np.array([2, 0])]
    except InputError as error:
        raise InputError(f"{words}: {error}") from error
    return words


if __name__ == "__main__":
    hostile.main(prepare, attempt, InputError)
