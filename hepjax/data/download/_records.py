"""The public records with their names, and what records.toml knows of them; this module imports quickly."""

from __future__ import annotations

import enum
import tomllib
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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
    TOP_TAGGING = "top-tagging"
    JETCLASS = "jetclass"
    JETCLASS2 = "jetclass2"
    QUARK_GLUON = "quark-gluon"
    QUARK_GLUON_HERWIG = "quark-gluon-herwig"
    JETNET_30 = "jetnet-30"
    JETNET_150 = "jetnet-150"
    ATLAS_TOP = "atlas-top"


class Archive(NamedTuple):
    """A file of a record: of jets, or an archive of such files, which is unpacked."""

    name: str
    split: str
    """The folder for its files; what stands before - is the part that it belongs to, such as train or val."""
    md5: str | None = None
    """The MD5 sum; None if no public source has it, so that the listing of the record is used."""
    size: int | None = None
    """The size in bytes, or None if unknown."""
    adler32: str | None = None
    """The Adler-32 checksum, where a record has that only."""
    address: str | None = None
    """The address, with {name} in it; None is that of the source."""

    @property
    def part(self) -> str:
        """The part that it belongs to."""
        return self.split.partition("-")[0]

    @property
    def packed(self) -> bool:
        """Tells whether the file is an archive of files."""
        return self.name.endswith((".tar.gz", ".tar"))


class Source(NamedTuple):
    """The address and the archives of a record."""

    page: str
    """The record's web page."""
    archives: tuple[Archive, ...]
    address: str = "{page}/files/{name}?download=1"
    """The address of a file."""

    def address_of(self, archive: Archive) -> str:
        """Returns the address of a file."""
        return (archive.address or self.address).format(page=self.page, name=archive.name)


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


def _source(page: str, files: Sequence[Mapping[str, Any]], **address: str) -> Source:
    archives: list[Archive] = []
    for file in files:
        first, last = file.get("numbers", (0, 0))
        plain = {key: value for key, value in file.items() if key not in ("name", "numbers")}
        archives += [Archive(file["name"].format(number=number), **plain) for number in range(first, last + 1)]
    return Source(page, tuple(archives), **address)


_TABLE = tomllib.loads(resources.files("hepjax.data.download").joinpath("records.toml").read_text(encoding="utf-8"))
SOURCES: Mapping[Record, Source] = MappingProxyType({Record(name): _source(**entry) for name, entry in _TABLE.items()})
"""The pinned addresses, and the checksums known from public sources."""


def select(source: Source, parts: Sequence[str] = (), numbers: range | None = None) -> tuple[Archive, ...]:
    """Returns the files of some parts of a record.

    Args:
      source: of the record.
      parts: such as train; none is all but the example.
      numbers: which files of each part, from 0; None is all.

    Raises:
      InputError: the record has no such part, or no such file.

    >>> [archive.name for archive in select(SOURCES[Record.QUARK_GLUON], ["train"], range(2))]
    ['QG_jets.npz', 'QG_jets_1.npz']
    """
    held = list(dict.fromkeys(archive.part for archive in source.archives))
    if unknown := [part for part in parts if part not in held]:
        raise InputError(f"--part {unknown[0]}: the record has {', '.join(held)}; give some of them")
    chosen: list[Archive] = []
    for part in parts or [part for part in held if part != "example"]:
        of_part = [archive for archive in source.archives if archive.part == part]
        if numbers is not None and numbers.stop > len(of_part):
            raise InputError(
                f"--files: {part} has {len(of_part)} files, which are counted from 0; found {numbers.stop - 1}"
            )
        chosen += of_part if numbers is None else [of_part[number] for number in numbers]
    return tuple(chosen)
