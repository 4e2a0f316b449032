"""The commands and their options, as frozen dataclasses: the command line's help is made of them."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import Annotated, Any

import tyro

from hepjax.choices import ExportFormat, Keep
from hepjax.data.download import Record  # noqa: TC001 — the same
from hepjax.data.remote import path_of
from hepjax.errors import InputError

JetPath = Annotated[
    Path,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: path_of(words[0]),
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    ),
]
"""A file of jets, or its address on another machine."""


class Label(enum.Enum):
    """A class of jets."""

    G = "g"
    Q = "q"
    W = "w"
    Z = "z"
    T = "t"


@dataclasses.dataclass(frozen=True)
class Simulate:
    """Simulate jets with Pythia 8 and FastJet, or take others' events (needs `pip install 'hepjax[sim]'`).

    Only jets of at least 100 GeV and two particles are kept; the log says how many each cut leaves.

    Example: hepjax simulate jets.h5 --jets 10000

    Example: hepjax simulate jets --jets 1000000

    Example: hepjax simulate w.h5 --events events.lhe.gz --label w
    """

    out: tyro.conf.Positional[Path]
    """The HDF5 file to make (.h5), or a folder of several; what an interrupted run has finished is kept."""
    jets: int | None = None
    """How many, in equal parts of each class: 10,000, or of --events all."""
    per_file: int = 10_000
    """Jets of each file of a folder, which machines may share; the first has the seed, the next seed + 1, and so on."""
    particles: int = 30
    """Particles to keep per jet, the hardest first; the observables see all."""
    seed: int = 1
    """The same seed gives the same file, whatever the number of jobs."""
    jobs: int | None = None
    """Processes that simulate; the default is one per core."""
    classes: tuple[Label, ...] = tuple(Label)
    """The classes to make."""
    events: Path | None = None
    """Take events, with weights, from a Les Houches file (Pythia showers them) or a HepMC file; .gz, .bz2, .xz too."""
    label: Label | None = None
    """The class of all jets of --events; without one the file has no labels."""
    pt: tuple[float, float] | None = None
    """Lowest and highest pT of the hard partons and bosons, GeV; by default 995 to 1005, for gluons from 995 on."""
    radius: float = 0.4
    """Radius of the anti-kT jets."""
    keep: Keep = Keep.LEADING
    """The hardest jet of each collision, whatever it stems from, or each one near a hard parton."""
    detector: bool = True
    """Smear momenta and merge neutral particles into cells; --no-detector sees all visible particles, exactly."""
    pile_up: float = 0.0
    """Mean number of soft collisions on top of each hard one."""
    pythia: tuple[str, ...] = ()
    """Further settings of Pythia, each in quotes: "PartonLevel:MPI = off"."""
    truth: bool = False
    """Write the jets' origin too: parton, decay products, types and charges of particles."""
    mantissa_bits: int | None = None
    """Round the particles' numbers to so many bits, for smaller files; the default loses nothing."""


def check_simulate(command: Simulate, *, one: bool) -> None:
    """Refuses options of `hepjax simulate` that do not go together.

    Args:
      command: the options.
      one: whether the jets go into one file.

    Raises:
      InputError: names the option, and what to do.
    """
    from hepjax.data.readers import READERS

    if not one and command.out.suffix.lower() in READERS:
        raise InputError(f"{command.out}: jets are written as HDF5; give a name that ends in .h5, or a folder")
    if command.events is None and command.label is not None:
        raise InputError("--label is for --events: simulated jets know their classes; leave it out")
    if command.events is not None:
        if not one:
            raise InputError(f"{command.out}: jets of --events go into one file; give a name that ends in .h5")
        if command.pt is not None or set(command.classes) != set(Label):
            raise InputError("--pt and --classes choose what is simulated, not which of --events count; leave them out")
    if command.per_file < 1:
        raise InputError(f"--per-file: expected an integer of at least 1, found {command.per_file}")


@dataclasses.dataclass(frozen=True)
class Fetch:
    """Download a public record of jets, verified; a second call goes on where the first stopped.

    Checksums are pinned for top-tagging, jetclass, quark-gluon, jetnet-30, atlas-top and jets-150p. Those of jets-30p,
    jets-100p and jetnet-150 are what their record lists. Those of jetclass2 and of the example of jetclass are unknown:
    the sum of the first download is kept, and later ones must have the same.

    Example: hepjax fetch jets-30p --to data

    Example: hepjax fetch jetclass --part val test --to data

    Example: hepjax fetch quark-gluon --part train --files 0-3 --to data
    """

    record: tyro.conf.Positional[Record]
    """Which record."""
    part: tuple[str, ...] = ()
    """Which parts: train, val or test, as the record has them; the default is all. jetclass has an example of 100,000
    jets, too."""
    files: str | None = None
    """Which files of each part, counted from 0, such as 0-3 or 5; the default is all."""
    to: Path | None = None
    """The folder to put it in; the default is the user's cache folder."""


def file_numbers(words: str | None) -> range | None:
    """Returns the numbers of the files to fetch.

    Args:
      words: such as 0-3, whose last counts too, or 5; None is all.

    Raises:
      InputError: they are no such words.

    >>> file_numbers("0-3"), file_numbers("5"), file_numbers(None)
    (range(0, 4), range(5, 6), None)
    """
    if words is None:
        return None
    first, dash, last = words.partition("-")
    if not (first.isdecimal() and (last.isdecimal() or not dash) and len(words) < 20):
        raise InputError(f"--files: expected a number or a range such as 0-3, found {words!a}")
    numbers = range(int(first), int(last or first) + 1)
    if not numbers:
        raise InputError(f"--files: expected the first number before the last, found {words}")
    return numbers


@dataclasses.dataclass(frozen=True)
class Info:
    """Tell what files of jets or the folders of runs hold: columns, classes, ranges, problems; model, cost, results.

    Example: hepjax info jets.h5 runs/mlp-1

    Example: hepjax info jets.root --draft mine.toml
    """

    files: tyro.conf.Positional[tuple[JetPath, ...]] = ()
    """The files or folders; none is the sample that comes with hepjax."""
    dataset: str | None = None
    """The dataset that says what columns mean: its name, or a file, .toml or .yaml; recognized by default."""
    draft: Path | None = None
    """A new TOML file for a first description of the one file, with guessed roles, to be edited."""
    where: str = ""
    """Which jets stay, by an expression over columns: "jet_pt > 500 and abs(jet_eta) < 2"."""
    allow_external: bool = False
    """Let files have data in other files outside their own folder, by links or virtual datasets; refused otherwise."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure a trained tagger on labeled jets.

    Example: hepjax evaluate runs/mlp-1 --data jets.h5
    """

    tagger: tyro.conf.Positional[Path]
    """The folder of a run, an exported file, or scores of labeled jets by hepjax predict."""
    data: tuple[JetPath, ...] = ()
    """Files of jets, other than those it was trained on; none for scores."""
    dataset: str | None = None
    """The dataset that says what columns mean: its name, or a file, .toml or .yaml; default: the tagger's own."""
    where: str = ""
    """Which jets stay, by an expression over columns: "jet_pt > 500 and abs(jet_eta) < 2"."""
    allow_external: bool = False
    """Let files have data in other files outside their own folder, by links or virtual datasets; refused otherwise."""
    out: Path | None = None
    """A new folder for metrics.json, test.h5 and the pictures; the default only prints."""
    calibrated: bool = False
    """Calibrate the probabilities by the temperature that fits the validation part of the run."""


@dataclasses.dataclass(frozen=True)
class Predict:
    """Write a trained tagger's scores, row for row in the input's order.

    Example: hepjax predict runs/mlp-1 --data jets.h5 --out scores.h5
    """

    tagger: tyro.conf.Positional[Path]
    """The folder of a run, or an exported file."""
    out: Path
    """The HDF5 file to write, with `scores` (N, classes) and, where known, `labels`; of --where also `rows`."""
    data: tuple[JetPath, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""
    dataset: str | None = None
    """The dataset that says what columns mean: its name, or a file, .toml or .yaml; default: the tagger's own."""
    where: str = ""
    """Which jets stay, by an expression over columns: "jet_pt > 500 and abs(jet_eta) < 2"."""
    allow_external: bool = False
    """Let files have data in other files outside their own folder, by links or virtual datasets; refused otherwise."""
    calibrated: bool = False
    """Calibrate the probabilities by the temperature that fits the validation part of the run."""


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare taggers on the same jets: figures of merit, and how significant their differences are.

    Without --data the jets are those that are in the test parts of all runs.

    Example: hepjax compare runs/mlp-1 runs/gru-1
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """The folders of runs, or, with --data, exported files; the first is the one that the others are compared with."""
    data: tuple[JetPath, ...] = ()
    """Files of labeled jets that none of them was trained on."""
    where: str = ""
    """Which jets of --data stay, by an expression over columns: "jet_pt > 500 and abs(jet_eta) < 2"."""
    allow_external: bool = False
    """Let files have data in other files outside their own folder, by links or virtual datasets; refused otherwise."""
    json: Path | None = None
    """A file for the numbers; an older one is replaced."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Write one HTML page about a run: how good, how sure, what it learned, how to repeat it.

    The page needs no network, and can be sent to a colleague as it is.

    Example: hepjax report runs/mlp-1
    """

    run: tyro.conf.Positional[Path]
    """The folder of the run."""
    out: Path | None = None
    """The page; the default is report.html in the folder of the run. An older one is replaced."""


@dataclasses.dataclass(frozen=True)
class Export:
    """Export a trained tagger to a file that runs without hepjax: raw columns in, probabilities out.

    A model card, OUT.md, is written beside it. Needs `pip install 'hepjax[export]'`.

    Example: hepjax export runs/mlp-1 --out mlp.onnx
    """

    run: tyro.conf.Positional[Path]
    """The folder of the run; of folds or an ensemble all networks, of which the file gives the mean probability."""
    out: Path
    """The file to write."""
    format: ExportFormat = ExportFormat.ONNX
    """ONNX runs in ONNX Runtime, StableHLO in JAX; torch is a state dict for weaver-core's ParticleNet and
    ParticleTransformer, and gives logits."""
    calibrated: bool = False
    """Calibrate the probabilities by the temperature that fits the validation part of the run."""


@dataclasses.dataclass(frozen=True)
class Import:
    """Take weights that others trained with PyTorch as a run folder, to evaluate, predict, explain and export.

    The file is read without executing anything in it.

    Example: hepjax import ParticleNet_kin.pt --as particle-net --dataset jetclass --out runs/published
    """

    weights: tyro.conf.Positional[Path]
    """A state dict that torch.save has written."""
    network: Annotated[str, tyro.conf.arg(name="as")]
    """Its architecture: particle-net or particle-transformer, as weaver-core has them, or lorentz-net."""
    dataset: str
    """The dataset of the jets that it classifies: its name, or a file, .toml or .yaml."""
    out: Path
    """The new folder."""
    classes: tuple[str, ...] = ()
    """The classes of its outputs, in their order; the default is that of the dataset."""
    columns: tuple[str, ...] = ()
    """Its inputs in their order; the default is jetclass_kin, jetclass_kinpid or jetclass_full, whichever fits."""
    particles: int = 128
    """How many particles of a jet it sees, the first in order."""


@dataclasses.dataclass(frozen=True)
class Observables:
    """Compute substructure observables of jets, and write the jets with them added; all else stays.

    Example: hepjax observables jets.root --out more.parquet

    Example: hepjax observables jets.h5 --out more.h5 --observables j_mass j_tau32_b1
    """

    files: tyro.conf.Positional[tuple[JetPath, ...]]
    """Files of jets whose particles have momenta, which become one file."""
    out: Path
    """The new file, .h5 or .parquet."""
    observables: tuple[str, ...] = ()
    """Which of the 53 of the public files, such as j_mass or j_tau32_b1; none is all that the jets lack."""
    particles: int | None = None
    """Particles to keep per jet, the hardest first; the default is all, of lists of any length the 128 hardest."""
    dataset: str | None = None
    """The dataset that says what columns mean: its name, or a file, .toml or .yaml; recognized by default."""
    where: str = ""
    """Which jets stay, by an expression over columns: "jet_pt > 500 and abs(jet_eta) < 2"."""
    allow_external: bool = False
    """Let files have data in other files outside their own folder, by links or virtual datasets; refused otherwise."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """Measure how fast models train and answer here, and how near that is to the fastest these devices can.

    Each model has its default options and runs on the sample that comes with hepjax, all jets with as many particles.
    The arithmetic is that of the whole program, which also scales features or draws images; a training step counts as
    three answers. The peak is the fastest float32 matrix product of the same run on the same devices.

    Example: hepjax bench mlp interaction-network --json speed.json
    """

    models: tyro.conf.Positional[tuple[str, ...]] = ()
    """Which models, by the names that hepjax train knows; none is all."""
    batch_size: int = 128
    """Jets in a training step."""
    block: int | None = None
    """Jets that are evaluated at once; the default is what a training takes for the model."""
    rounds: int = 5
    """How often each speed is measured; the table shows the median and the range."""
    json: Path | None = None
    """A file for the numbers; an older one is replaced."""


Command: Any = Evaluate | Predict | Compare | Report | Export | Import | Info | Observables | Simulate | Fetch | Bench
"""All commands but `hepjax train`, whose options depend on its model."""


def reading_options(command: Evaluate | Predict | Info | Observables) -> dict[str, Any]:
    """Returns the options that say how files of jets are read.

    >>> reading_options(Info())
    {'dataset': None, 'allow_external': False, 'where': ''}
    """
    return {name: getattr(command, name) for name in ("dataset", "allow_external", "where")}
