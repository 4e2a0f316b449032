"""The public records with their names, pinned addresses and known checksums; this module imports quickly."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Progress = Callable[[str, int, int | None], object]
    """A function of a description, the number of finished bytes, and the total number (None if unknown)."""
    Check = Callable[[Path], object]
    """A function that is called with each unpacked file before its folder is complete; it may raise `InputError`."""


class Record(enum.Enum):
    """The public records that can be fetched, by their names on the command line."""

    JETS_30P = "jets-30p"
    JETS_100P = "jets-100p"
    JETS_150P = "jets-150p"


class Archive(NamedTuple):
    """A .tar.gz archive of a record."""

    name: str
    split: str
    """The folder for its files: train or val."""
    md5: str | None = None
    """The MD5 sum; None if no public source has it, so that the listing of the record is used."""
    size: int | None = None
    """The size in bytes, or None if unknown."""


class Source(NamedTuple):
    """The address and the archives of a record."""

    page: str
    """The record's web page; a file's address is `page/files/NAME`."""
    archives: tuple[Archive, ...]


class Retry(NamedTuple):
    """Delays and time limits of a download."""

    delays: tuple[float, ...] = (1.0, 3.0, 9.0, 27.0)
    """The delays before new attempts, in seconds; the count starts again whenever new bytes arrive."""
    timeout: float = 30.0
    """The time without any data, or without an answer, after which an attempt fails, in seconds."""
    slowest: float = 1000.0
    """An attempt fails that brings fewer bytes a second for as long as that."""
    longest: float = 120.0
    """The longest delay that a server may request, in seconds."""


# MD5 sums of 3602260: github.com/bb511/jet_tagging_datamaker, src/jet_tagging_datamaker/publish/huggingface.py, which
# copied them from the record. Its size in bytes: measured by public training jobs that download it. For the other two
# no public source was found.
SOURCES: Mapping[Record, Source] = MappingProxyType(
    {
        Record.JETS_30P: Source(
            "https://zenodo.org/records/3601436",
            (Archive("hls4ml_LHCjet_30p_train.tar.gz", "train"), Archive("hls4ml_LHCjet_30p_val.tar.gz", "val")),
        ),
        Record.JETS_100P: Source(
            "https://zenodo.org/records/3602254",
            (Archive("hls4ml_LHCjet_100p_train.tar.gz", "train"), Archive("hls4ml_LHCjet_100p_val.tar.gz", "val")),
        ),
        Record.JETS_150P: Source(
            "https://zenodo.org/records/3602260",
            (
                Archive(
                    "hls4ml_LHCjet_150p_train.tar.gz", "train", "af12d3a500414924e70a73b56fc49aec", size=2_725_115_104
                ),
                Archive("hls4ml_LHCjet_150p_val.tar.gz", "val", "ff902e6a02bfb4247a9068bf7ff7f6db"),
            ),
        ),
    }
)
"""The pinned addresses, and the checksums known from public sources."""
