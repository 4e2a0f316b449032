"""Jets → a file that `read_jets` reads back equal: HDF5 of the public layout, or Parquet."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.atomic_hdf5 import SUFFIXES, check_new_hdf5_path, new_hdf5_file
from hepjax.data.dataset import label_columns
from hepjax.data.dataset_json import dataset_to_json
from hepjax.data.datasets import hls4ml
from hepjax.data.parquet import PARTICLES
from hepjax.data.recognition import DESCRIPTION
from hepjax.errors import InputError, errors_of_writing, import_extra
from hepjax.types import FileName, Index, OneHot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepjax.types import Dataset, Jets

ROWS = 10_000
"""The jets that are written at a time, and those of a chunk or group of rows."""
_HDF5_CHUNK = 100
PARQUET_SUFFIXES = (".parquet", ".pq")


def write_jets(path: str | Path, jets: Jets) -> None:
    """Writes jets to a new file, some thousand at a time.

    Args:
      path: ends in .h5, .hdf5 or .parquet.
      jets: in memory, or lazy ones, which may be more than memory holds.

    Raises:
      InputError: there are no jets, or they cannot be read; the file exists, cannot be written, or is of another kind.

    >>> import hepjax, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_jets(f"{folder}/few.h5", hepjax.read_jets()[:5])
    ...     len(hepjax.read_jets(f"{folder}/few.h5"))
    5
    """
    blocks = (jets[start : start + ROWS] for start in range(0, len(jets), ROWS))
    write_blocks(path, blocks, len(jets), jets.dataset, images=bool(jets.images))


def write_blocks(path: str | Path, blocks: Iterable[Jets], count: int, dataset: Dataset, *, images: bool) -> None:
    """Writes jets that are made one block after the other to a new file, as `write_jets`.

    Args:
      path: ends in .h5, .hdf5 or .parquet.
      blocks: jets in memory, of equal columns and slots for particles.
      count: how many jets they are together.
      dataset: of all blocks.
      images: whether they have images.

    Raises:
      InputError: as `write_jets`, before the first block is made where that is known then.
    """
    path = Path(path)
    if not count:
        raise InputError(f"{path}: there are no jets to write; give one or more")
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        _write_hdf5(path, blocks, count, _described(dataset))
    elif suffix not in PARQUET_SUFFIXES:
        raise InputError(f"{path}: expected a name that ends in .h5 or .parquet; give another name")
    elif images:
        raise InputError(f"{path}: Parquet holds no images; write HDF5, or open the jets without images")
    else:
        _write_parquet(path, blocks, _described(dataset))


def _described(dataset: Dataset) -> Dataset:
    """What the columns of the new file mean; each label and weight has a column in it."""
    dataset = dataclasses.replace(dataset, arrays={}, derived={}, selection="")
    if isinstance(dataset.labels, FileName):
        dataset = dataclasses.replace(dataset, labels=Index("label"))
    if isinstance(dataset.labels, OneHot) and dataset.labels.undefined:
        dataset = dataclasses.replace(dataset, labels=dataset.labels._replace(undefined=None))
    return dataset


def _jet_columns(jets: Jets, dataset: Dataset) -> dict[str, np.ndarray]:
    """Name → (n,) values, labels and weights included."""
    columns: dict[str, np.ndarray] = dict(zip(dataset.jet_columns, np.asarray(jets.observables).T, strict=True))
    if isinstance(dataset.labels, OneHot):
        labels = np.asarray(jets.labels)
        columns |= {name: (labels == i).astype(np.int8) for i, name in enumerate(label_columns(dataset))}
    elif isinstance(dataset.labels, Index) and jets.labels is not None:
        columns[dataset.labels.column] = np.asarray(jets.labels)
    if dataset.weights is not None and jets.weights is not None:
        columns[dataset.weights] = np.asarray(jets.weights)
    return columns


def _write_hdf5(path: Path, blocks: Iterable[Jets], count: int, dataset: Dataset) -> None:
    with new_hdf5_file(path) as (file, check):
        file.attrs[DESCRIPTION] = json.dumps(dataset_to_json(dataset))
        file[hls4ml.PARTICLE_NAMES] = np.array(dataset.particle_columns, "S")
        start = 0
        for block in blocks:
            columns = _jet_columns(block, dataset)
            parts = {hls4ml.CONSTITUENTS: np.asarray(block.constituents, np.float32), **block.images}
            if columns:
                parts[hls4ml.JETS] = np.stack(list(columns.values()), axis=1).astype(np.float32)
            for name, values in parts.items():
                if start == 0:
                    shape = (count, *np.shape(values)[1:])
                    chunk = (min(_HDF5_CHUNK if name == hls4ml.CONSTITUENTS else ROWS, count), *shape[1:])
                    file.create_dataset(name, shape, np.float32, chunks=chunk, compression="gzip", compression_opts=4)
                file[name][start : start + len(block)] = values
            if start == 0 and columns:
                file[hls4ml.JET_NAMES] = np.array(list(columns), "S")
            start += len(block)
            file.flush()
            check()


def _write_parquet(path: Path, blocks: Iterable[Jets], dataset: Dataset) -> None:
    arrow, parquet = import_extra("pyarrow", "parquet"), import_extra("pyarrow.parquet", "parquet")
    check_new_hdf5_path(path)
    attributes = {DESCRIPTION: json.dumps(dataset_to_json(dataset))}
    part, writer = path.with_name(f".{path.name}.{os.getpid()}.part"), None
    with errors_of_writing(path):
        try:
            for block in blocks:
                table = arrow.table(_arrow_columns(arrow, block, dataset))
                table = table.replace_schema_metadata({**attributes, PARTICLES: str(block.constituents.shape[1])})
                writer = writer or parquet.ParquetWriter(part, table.schema, compression="zstd")
                writer.write_table(table)
            if writer is not None:
                writer.close()
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _arrow_columns(arrow: Any, jets: Jets, dataset: Dataset) -> dict[str, Any]:
    mask = np.asarray(jets.mask)
    starts = np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int32)
    lists = {
        name: arrow.ListArray.from_arrays(starts, arrow.array(np.asarray(jets.constituents[..., place])[mask]))
        for place, name in enumerate(dataset.particle_columns)
    }
    return lists | {name: arrow.array(values) for name, values in _jet_columns(jets, dataset).items()}
