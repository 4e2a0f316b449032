"""The public records: their names, pinned addresses and known checksums. Light to import."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Progress = Callable[[str, int, int | None], object]
    """Called with what is being done, the bytes done, and the bytes in all (None where unknown)."""
    Check = Callable[[Path], object]
    """Called with each unpacked file before its folder counts as finished; raises `InputError` to refuse it."""


class Record(enum.Enum):
    """A public record that can be fetched, by its name on the command line."""

    JETS_30P = "jets-30p"
    JETS_100P = "jets-100p"
    JETS_150P = "jets-150p"


class Archive(NamedTuple):
    """One .tar.gz of a record."""

    name: str
    split: str
    """The folder its files go to: train or val."""
    md5: str | None = None
    """None where no public source tells; then the record's own listing is asked."""
    size: int | None = None
    """Bytes, where known."""


class Source(NamedTuple):
    """Where a record is published."""

    page: str
    """The record's web page; a file's address is `page/files/NAME`."""
    archives: tuple[Archive, ...]


class Retry(NamedTuple):
    """How patiently to download."""

    delays: tuple[float, ...] = (1.0, 3.0, 9.0, 27.0)
    """Seconds before each new attempt; the count starts again whenever more bytes have arrived than ever before."""
    timeout: float = 30.0
    """Seconds without an answer or a byte until an attempt is given up."""
    longest: float = 120.0
    """The longest wait, in seconds, that a server may ask for."""


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
"""The pinned addresses, and the checksums where a public source tells them."""
