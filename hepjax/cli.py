"""The command line: a thin door to the stages. Heavy imports wait in functions, so that help comes at once."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path  # noqa: TC003 — tyro reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, TextIO, get_args

import tyro

from hepjax import runs
from hepjax.console import log_to, progress_bar, transfer_bar
from hepjax.errors import InputError, LostProcessError
from hepjax.fetch import Record  # noqa: TC001 — the same
from hepjax.options import Experiment, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from hepjax.types import Progress

LOST_PROCESS, BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141


@dataclasses.dataclass(frozen=True)
class Simulate:
    """Simulate jets with Pythia 8 and FastJet (needs `pip install 'hepjax[sim]'`).

    Example: hepjax simulate jets.h5 --jets 10000
    """

    out: tyro.conf.Positional[Path]
    """The HDF5 file to make."""
    jets: int = 10_000
    """How many, in equal parts gluon, light quark, W, Z and top."""
    particles: int = 30
    """Particles to keep per jet, the hardest first; the observables see all."""
    seed: int = 1
    """The same seed gives the same file, whatever the number of jobs."""
    jobs: int | None = None
    """Processes that simulate; the default is one per core."""
    mantissa_bits: int | None = None
    """Round the particles' numbers to so many bits, for smaller files; the default loses nothing."""


@dataclasses.dataclass(frozen=True)
class Fetch:
    """Download a public record of jets, verified; a second call goes on where the first stopped.

    Example: hepjax fetch jets-30p --to data
    """

    record: tyro.conf.Positional[Record]
    """Which record, by its particles per jet."""
    to: Path | None = None
    """The folder to put it in; the default is the user's cache folder."""


@dataclasses.dataclass(frozen=True)
class Info:
    """Tell what files of jets or the folders of runs hold: columns, classes, ranges, problems; model, cost, results.

    Example: hepjax info jets.h5 runs/mlp-1
    """

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """The files or folders; none is the sample that comes with hepjax."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure a trained tagger on labelled jets.

    Example: hepjax evaluate runs/mlp-1 --data jets.h5
    """

    run: tyro.conf.Positional[Path]
    """The folder of the run."""
    data: tuple[Path, ...]
    """Files of jets, other than those it was trained on."""
    out: Path | None = None
    """A new folder for metrics.json and the pictures; the default only prints."""


@dataclasses.dataclass(frozen=True)
class Predict:
    """Write a trained tagger's scores, row for row in the input's order.

    Example: hepjax predict runs/mlp-1 --data jets.h5 --out scores.h5
    """

    run: tyro.conf.Positional[Path]
    """The folder of the run."""
    out: Path
    """The HDF5 file to write, with `scores` (N, classes) and, where known, `labels`."""
    data: tuple[Path, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""


_MODELS = {runs.model_name(kind()): kind() for kind in get_args(Model)}
"""Name → the model with its default options."""
_BY_NAME = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar=f"{{{','.join(sorted(_MODELS))}}}",
    instance_from_str=lambda words: _MODELS[words[0]],
    is_instance=lambda found: isinstance(found, Model),
    str_from_instance=lambda model: [runs.model_name(model)],
    choices=tuple(sorted(_MODELS)),
)


@dataclasses.dataclass(frozen=True)
class Bench:
    """Measure how fast models train and answer here, and how near that is to the fastest these devices can.

    Each model has its default options and runs on the sample that comes with hepjax, all jets with as many particles.
    The arithmetic is that of the whole program, which also scales features or draws images; a training step counts as
    three answers. The peak is the fastest float32 matrix product of the same run on the same devices.

    Example: hepjax bench mlp interaction-network --json speed.json
    """

    models: tyro.conf.Positional[tuple[Annotated[Model, _BY_NAME], ...]] = ()
    """Which models; none is all."""
    batch_size: int = 128
    """Jets in a training step."""
    block: int | None = None
    """Jets that are evaluated at once; the default is what a training takes for the model."""
    rounds: int = 5
    """How often each speed is measured; the table shows the median and the range."""
    json: Path | None = None
    """A file for the numbers; an older one is replaced."""


Command: Any = (
    Annotated[Experiment, tyro.conf.subcommand("train", description=inspect.getdoc(Experiment))]
    | Evaluate
    | Predict
    | Info
    | Simulate
    | Fetch
    | Bench
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `hepjax`; exits with 0, with 1 where another process of the run ended, 2 for bad input, 130 after Ctrl-C.

    Args:
      arguments: of the command line; None is those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        _act([word for word in words if word != "--debug"])
    except KeyboardInterrupt as error:
        _fail(f"interrupted; {error}" if str(error) else "interrupted", INTERRUPTED)
    except BrokenPipeError:
        _forget_output()
        raise SystemExit(CLOSED_PIPE) from None
    except (InputError, OSError) as error:
        if debug:
            raise
        _fail(" ".join(str(error).split()), BAD_INPUT)
    except LostProcessError as error:
        if debug:
            raise
        _fail(str(error), LOST_PROCESS)


def entry() -> None:
    """`main` as a process: an interrupted one ends at once, for threads that still compile may crash a slow exit.

    One of several that fails does so too: a slow exit would wait for the others, and they for it.
    """
    try:
        main()
    except BaseException as end:
        status = end.code if isinstance(end, SystemExit) else 1
        if status == INTERRUPTED or (status and _one_of_several()):
            if not isinstance(end, SystemExit):
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(int(status))
        raise


def _one_of_several() -> bool:
    parallel = sys.modules.get("hepjax.parallel")
    return parallel is not None and parallel.process()[1] > 1


def _act(words: list[str]) -> None:
    if "--version" in words:
        from hepjax import __version__

        sys.stdout.write(f"hepjax {__version__}\n")
        return
    command = _parse(words)
    if isinstance(command, Experiment) and command.resume:
        # Once more with the run's own options as defaults, so that only what is given here can differ from them.
        command = _parse(words, runs.resumable(command.out))
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if threading.current_thread() is threading.main_thread():
        # A batch system's SIGTERM ends a run as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    lines = _Lines(sys.stdout)
    lines.setLevel(logging.WARNING if console.is_terminal else logging.INFO)
    with log_to(lines):
        _ACTIONS[type(command)](command, console)
    sys.stdout.flush()


def _parse(words: list[str], default: Any = tyro.MISSING_NONPROP) -> Any:
    if os.environ.get("NO_COLOR"):
        tyro._experimental_options["ansi_codes"] = False  # tyro does not look for itself
    return tyro.cli(
        Command,
        prog="hepjax",
        description="Deep learning on particle jets. `hepjax COMMAND --help` tells more; --debug shows tracebacks.",
        args=words,
        default=default,
        config=(
            tyro.conf.CascadeSubcommandArgs,
            tyro.conf.OmitSubcommandPrefixes,
            tyro.conf.EnumChoicesFromValues,
            tyro.conf.HelptextFromCommentsOff,
        ),
    )


def _fail(message: str, status: int) -> None:
    _forget_output()
    sys.stderr.write(f"hepjax: {message}\n")
    raise SystemExit(status)


def _forget_output() -> None:
    """Lets what cannot be written to a closed pipe or a full disk not fail once more at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Lines(logging.StreamHandler[TextIO]):
    """Log lines on standard output, where a closed pipe ends the command."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 — logging's name
        if (error := sys.exc_info()[1]) is not None:
            raise error


def _train(command: Experiment, console: Console) -> None:
    from hepjax import compilation, experiment, parallel, report

    compilation.cache_programs()
    if command.folds or command.ensemble or command.rates:
        parallel.use_cores()
    parallel.connect(command.coordinator, command.processes, command.process, cluster=command.cluster)
    if not parallel.is_first():
        console.quiet = True
        logging.getLogger("hepjax").setLevel(logging.WARNING)
    shown = 0

    def show(progress: Progress) -> None:
        nonlocal shown
        row, new, shown = progress.history[-1], progress.epoch - shown, progress.epoch
        advance(new, f"val loss {row.val_loss:.4f}  val accuracy {row.val_accuracy:.4f}")

    with progress_bar(console, "training", command.epochs, "epochs") as advance:
        folder, metrics = experiment.run(command, show)
    console.print(report.metrics_table(metrics))
    if console.is_terminal and parallel.is_first():  # elsewhere the log has said it
        console.print(metrics["verdict"]["words"])
    console.print(f"{folder}: metrics.json, history.csv, roc.png, history.png, confusion.png, scores.png")
    if command.profile:
        console.print(
            f"{folder}/profile: a trace; open it with `tensorboard --logdir` and XProf, or in ui.perfetto.dev"
        )


def _evaluate(command: Evaluate, console: Console) -> None:
    from hepjax import experiment, report

    metrics = experiment.evaluate(command.run, command.data, command.out)
    console.print(report.metrics_table(metrics))
    if command.out is not None:
        console.print(f"{command.out}: metrics.json, roc.png, confusion.png, scores.png")


def _predict(command: Predict, console: Console) -> None:
    from hepjax import experiment

    with progress_bar(console, "predicting", None, "jets") as advance:
        jets = experiment.predict(command.run, command.data, command.out, advance)
    console.print(f"{command.out}: scores of {jets:,} jets")


def _info(command: Info, console: Console) -> None:
    from hepjax import readers, report

    folders = [path for path in command.files if runs.is_run(path)]
    for folder in folders:
        _info_of_run(folder, console)
    files = [path for path in command.files if path not in folders]
    problems = []
    for path in readers.list_files(files or None) if files or not folders else ():
        try:
            summary = readers.summarise(path)
        except InputError as error:
            problems.append(str(error))
        else:
            console.print(report.summary_tables(summary))
            problems.extend(f"{path}: {problem}" for problem in summary.problems)
    if problems:
        raise InputError("; ".join(problems))


def _info_of_run(folder: Path, console: Console) -> None:
    import json

    from hepjax import report

    _, record = runs.read_experiment(folder)
    console.print(report.run_table(str(folder), record, len(runs.read_history(folder))))
    if (folder / "metrics.json").is_file():
        console.print(report.metrics_table(json.loads((folder / "metrics.json").read_text())))


def _simulate(command: Simulate, console: Console) -> None:
    from hepjax import observables, simulation

    with progress_bar(console, "simulating", command.jets, "jets") as advance:
        try:
            simulation.simulate(
                command.out,
                jets=command.jets,
                particles=command.particles,
                seed=command.seed,
                jobs=command.jobs,
                mantissa_bits=command.mantissa_bits,
                observables=observables.jet_observables,
                progress=advance,
            )
        except RuntimeError as error:  # a worker died, or Pythia failed: no bug of the user's, but one line will do
            raise InputError(str(error)) from error
    console.print(f"{command.out}: {command.jets:,} simulated jets")


def _fetch(command: Fetch, console: Console) -> None:
    from hepjax import fetch, readers

    with transfer_bar(console) as show:
        files = fetch.fetch(command.record, command.to, progress=show, check=readers.read_header)
    console.print(f"{len(files)} files of jets:")
    for file in files:
        console.print(f"  {file}", soft_wrap=True)


def _bench(command: Bench, console: Console) -> None:
    import json

    from hepjax import bench, compilation, report

    if command.json is not None and not command.json.absolute().parent.is_dir():
        raise InputError(f"--json {command.json}: there is no folder {command.json.absolute().parent}; make it first")
    compilation.cache_programs()
    chosen = dict.fromkeys(command.models or _MODELS.values())
    with progress_bar(console, "measuring", len(chosen), "models") as advance:
        sizes = {name: getattr(command, name) for name in ("batch_size", "block", "rounds")}
        found = bench.bench(tuple(chosen), **sizes, show=lambda name: advance(1, name))
    console.print(report.bench_table(found))
    if command.json is not None:
        runs.write_text(command.json, json.dumps(found, indent=2, allow_nan=False) + "\n")
        console.print(f"{command.json}: all numbers")


_ACTIONS: dict[type, Callable[[Any, Console], None]] = {
    Experiment: _train,
    Evaluate: _evaluate,
    Predict: _predict,
    Info: _info,
    Simulate: _simulate,
    Fetch: _fetch,
    Bench: _bench,
}
