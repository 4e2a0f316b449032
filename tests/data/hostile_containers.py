"""Hostile files of every kind that is read by arrays: bytes flipped, cut out, doubled, or cut off."""

from __future__ import annotations

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import file_kinds
import hostile

from hepjax import InputError
from hepjax.data.containers import split_tree

KINDS = tuple(file_kinds.WRITERS)
WHOLE = ("npz",)
"""Kinds of file in which everything has a checksum, so that nothing can be read as what it was not."""


def prepare(folder):
    good = {}
    for kind in KINDS:
        place = folder / kind
        place.mkdir(exist_ok=True)
        path, tree = split_tree(pathlib.Path(file_kinds.write(kind, place)))
        good[kind] = path, f":{tree}" if tree else "", path.read_bytes()
    return good


def attempt(good, seed, folder):
    rng = np.random.default_rng(seed)
    kind = KINDS[seed[1] % len(KINDS)]
    path, tree, data = good[kind]
    data = bytearray(data)
    match rng.choice(["flip", "flip", "zero", "cut", "double", "end"]):
        case "flip":
            for place in rng.integers(0, len(data), rng.integers(1, 4)):
                data[place] ^= 1 << rng.integers(8)
        case "zero":
            place = rng.integers(0, len(data))
            data[place : place + 8] = rng.choice([b"\x00", b"\xff", b"\x7f"]) * len(data[place : place + 8])
        case "cut":
            place = rng.integers(0, len(data))
            del data[place : place + rng.integers(1, 300)]
        case "double":
            place = rng.integers(0, len(data))
            data[place:place] = data[place : place + rng.integers(1, 300)]
        case "end":
            del data[rng.integers(0, len(data)) :]
    bad = folder / f"{seed[1]}{path.suffix}"
    bad.write_bytes(data)
    try:
        jets = file_kinds.read(kind, f"{bad}{tree}")[:]
    finally:
        bad.unlink()
    expected = file_kinds.content()["constituents"]
    if kind in WHOLE and not np.array_equal(jets.constituents, expected):
        raise AssertionError(f"{kind}: what was read is not what was written")
    return kind


if __name__ == "__main__":
    hostile.main(prepare, attempt, InputError)
