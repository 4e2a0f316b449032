"""The command line: a thin door to the stages. Heavy imports wait in functions, so that help comes at once."""

from __future__ import annotations

import collections
import contextlib
import logging
import math
import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from hepjax.cli import imports, observables, output, parsing
from hepjax.cli.options import (
    Bench,
    Compare,
    Evaluate,
    Export,
    Fetch,
    Import,
    Info,
    Label,
    Observables,
    Predict,
    Report,
    Simulate,
    check_simulate,
    file_numbers,
    reading_options,
)
from hepjax.cli.progress import progress_bar, transfer_bar
from hepjax.data import atomic_files
from hepjax.errors import InputError, LostProcessError, Terminated
from hepjax.models.registry import MODELS
from hepjax.runs import run_folder
from hepjax.runs.log import log_to_handler
from hepjax.runs.options import Experiment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console

    from hepjax.physics.simulation import Conditions
    from hepjax.types import Progress

LOST_PROCESS, BAD_INPUT, INTERRUPTED, CLOSED_PIPE, TERMINATED = 1, 2, 130, 141, 143


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs `hepjax`.

    It exits with 0, with 1 where another process of the run ended, 2 for bad input, 130 after Ctrl-C and 143 after
    SIGTERM.

    Args:
      arguments: of the command line; None is those of the process.
    """
    output.prepare()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        _run_command([word for word in words if word != "--debug"])
    except KeyboardInterrupt as error:
        how, status = ("terminated", TERMINATED) if isinstance(error, Terminated) else ("interrupted", INTERRUPTED)
        _print_error(f"{how}; {error}" if str(error) else how, status)
    except BrokenPipeError:
        output.forget_output()
        raise SystemExit(CLOSED_PIPE) from None
    except (InputError, MemoryError, OSError) as error:
        if debug:
            raise
        start = "out of memory, give fewer jets or a smaller model: " if isinstance(error, MemoryError) else ""
        _print_error(start + " ".join(str(error).split()), BAD_INPUT)
    except LostProcessError as error:
        if debug:
            raise
        _print_error(str(error), LOST_PROCESS)


def entry() -> None:
    """`main` as a process: an interrupted one ends at once, for threads that still compile may crash a slow exit.

    One of several that fails does so too: a slow exit would wait for the others, and they for it.
    """
    try:
        main()
    except BaseException as end:
        status = end.code if isinstance(end, SystemExit) else 1
        if status in (INTERRUPTED, TERMINATED) or (status and _is_process_of_several()):
            if not isinstance(end, SystemExit):
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(int(status))
        raise


def _is_process_of_several() -> bool:
    runtime = sys.modules.get("hepjax.runtime")
    return runtime is not None and runtime.process()[1] > 1


def _run_command(words: list[str]) -> None:
    if "--version" in words:
        from hepjax.version import __version__

        sys.stdout.write(f"hepjax {__version__}\n")
        return
    output.prepare_environment()
    if any("\0" in word for word in words):
        raise InputError("the command line: a word has a null character in it; leave it out")
    command = parsing.parse(words)
    console = output.make_console()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)  # a batch system's SIGTERM ends a run as Ctrl-C does
    lines = output.Lines(sys.stdout)
    lines.setLevel(logging.WARNING if console.is_terminal else logging.INFO)
    with log_to_handler(lines):
        _ACTIONS[type(command)](command, console)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    output.forget_output()


def _terminate(*_: object) -> None:
    raise Terminated


def _print_error(message: str, status: int) -> None:
    output.complain(f"hepjax: {message}")
    raise SystemExit(status)


def _train_command(command: Experiment, console: Console) -> None:
    from hepjax import runtime
    from hepjax.runs import train
    from hepjax.runtime import compilation

    compilation.cache_programs()
    if command.folds or command.ensemble or command.rates or command.sizes:
        runtime.use_cores()
    runtime.connect(command.coordinator, command.processes, command.process, cluster=command.cluster)
    if not runtime.is_first():
        console.quiet = True
        logging.getLogger("hepjax").setLevel(logging.WARNING)
    shown = 0

    def show(progress: Progress) -> None:
        nonlocal shown
        row, new, shown = progress.history[-1], progress.epoch - shown, progress.epoch
        accuracy = "" if math.isnan(row.val_accuracy) else f"  val accuracy {row.val_accuracy:.4f}"
        advance(new, f"val loss {row.val_loss:.4f}{accuracy}")

    with progress_bar(console, "training", command.epochs, "epochs", logged=True) as advance:
        folder, metrics = train.run(command, show)
    console.print(command.task.for_model(command.model).table(metrics))
    if console.is_terminal and runtime.is_first():  # elsewhere the log has said it
        console.print(metrics["verdict"]["words"])
    pictures = ", ".join(sorted(path.name for path in folder.glob("*.png")))
    console.print(f"{folder}: metrics.json, history.csv, test.h5, {pictures}")
    if command.profile:
        console.print(
            f"{folder}/profile: a trace; open it with `tensorboard --logdir` and XProf, or in ui.perfetto.dev"
        )


def _evaluate_command(command: Evaluate, console: Console) -> None:
    from hepjax.runs import evaluate
    from hepjax.runtime import compilation

    compilation.cache_programs()
    with progress_bar(console, "predicting", None, "jets") as advance:
        metrics, task = evaluate.evaluate_model(
            command.tagger,
            command.data,
            command.out,
            calibrated=command.calibrated,
            **reading_options(command),
            show=advance,
        )
    console.print(task.table(metrics))
    if command.out is not None:
        pictures = ", ".join(sorted(path.name for path in command.out.glob("*.png")))
        console.print(f"{command.out}: metrics.json, test.h5, {pictures}")


def _predict_command(command: Predict, console: Console) -> None:
    from hepjax.runs import predict
    from hepjax.runtime import compilation

    compilation.cache_programs()
    with progress_bar(console, "predicting", None, "jets") as advance:
        jets = predict.predict_files(
            command.tagger,
            command.data,
            command.out,
            advance,
            calibrated=command.calibrated,
            **reading_options(command),
        )
    console.print(f"{command.out}: predictions of {jets:,} jets")


def _compare_command(command: Compare, console: Console) -> None:
    import json

    from hepjax import report
    from hepjax.runs import compare
    from hepjax.runtime import compilation

    _check_output_folder(command.json)
    compilation.cache_programs()
    names = [str(run) for run in command.runs]
    with progress_bar(console, "predicting", None, "jets") as advance:
        comparison = compare.compare_models(
            command.runs, command.data, allow_external=command.allow_external, where=command.where, show=advance
        )
    console.print(comparison.task.comparison_table(names, *comparison[:3]))
    if command.json is not None:
        numbers = report.comparison_numbers(names, *comparison[:3])
        atomic_files.write_text(command.json, json.dumps(numbers, indent=2, allow_nan=False) + "\n")
        console.print(f"{command.json}: all numbers")


def _report_command(command: Report, console: Console) -> None:
    from hepjax.runs import report as reporting
    from hepjax.runtime import compilation

    compilation.cache_programs()
    with progress_bar(console, "reporting", None, "sections") as advance:
        page = reporting.write_run_page(command.run, command.out, show=lambda words: advance(1, words))
    console.print(f"{page}: open it in a browser")


def _export_command(command: Export, console: Console) -> None:
    from hepjax.runs import export

    files = export.export_run(command.run, command.out, command.format, calibrated=command.calibrated)
    console.print(f"{files[0]}: the model")
    for file in files[1:]:
        console.print(f"{file}: {'its model card' if file.suffix == '.md' else 'what JAX must know of it'}")


def _info_command(command: Info, console: Console) -> None:
    from hepjax import data, report

    folders = [path for path in command.files if run_folder.is_run_folder(path)]
    for folder in folders:
        _print_run_info(folder, console)
    files = [path for path in command.files if path not in folders]
    if command.draft is not None:
        data.write_draft(command.draft, files, command.dataset, allow_external=command.allow_external)
    problems = []
    for path in data.list_files(files or None) if files or not folders else ():
        try:
            summary = data.summarize(path, **reading_options(command))
        except InputError as error:
            problems.append(str(error))
        else:
            console.print(report.summary_tables(summary))
            problems.extend(f"{path}: {problem}" for problem in summary.problems)
    if problems:
        raise InputError("; ".join(problems))


def _print_run_info(folder: Path, console: Console) -> None:
    from hepjax import report
    from hepjax.runs import stored

    run = stored.open_run(folder)
    with stored.presenting(run):
        console.print(report.run_table(str(folder), run.record, len(run.history)))
        if run.metrics is not None:
            console.print(run.experiment.task.table(run.metrics))


_DEFAULT_JETS = 10_000
_RATED_CALLS = 20
"""Over how many calls jets a second are counted: an earlier run's jets, told at once, are soon out of it."""


def _simulate_command(command: Simulate, console: Console) -> None:
    from hepjax.data.atomic_hdf5 import SUFFIXES
    from hepjax.physics import simulation, substructure
    from hepjax.runtime import compilation

    one = command.out.suffix.lower() in SUFFIXES
    events = command.events
    check_simulate(command, one=one)
    compilation.cache_programs()
    common: dict[str, Any] = {
        "layout": simulation.Layout(command.particles, command.truth, command.mantissa_bits),
        "seed": command.seed,
        "jobs": command.jobs,
        "conditions": _conditions_of_options(command),
        "observables": substructure.jet_observables,
    }
    jets = command.jets if events is not None or command.jets is not None else _DEFAULT_JETS
    done, calls = 0, collections.deque[tuple[float, int]](maxlen=_RATED_CALLS)
    with progress_bar(console, "simulating", jets, "jets") as advance:

        def progress(count: int) -> None:
            nonlocal done
            done += count
            calls.append((time.perf_counter(), done))
            seconds, new = calls[-1][0] - calls[0][0], done - calls[0][1]
            advance(count, f"{new / seconds:.0f} jets/s" if seconds > 0 else "")

        common["progress"] = progress
        try:
            if events is not None:
                label = None if command.label is None else [*Label].index(command.label)
                simulation.jets_of_events(command.out, events, label=label, jets=jets, **common)
            else:
                common |= {"jets": jets, "classes": tuple(label.value for label in command.classes)}
                if one:
                    simulation.simulate(command.out, **common)
                else:
                    simulation.simulate_files(command.out, per_file=command.per_file, **common)
        except RuntimeError as error:  # a worker died: no bug of the user's, but one line will do
            raise InputError(str(error)) from error
    others = jets - done if events is None and jets is not None else 0
    words = f", and {others:,} that other runs are making" if others else ""
    console.print(f"{command.out}: {done:,} simulated jets{words}")


def _conditions_of_options(command: Simulate) -> Conditions:
    from hepjax.physics.simulation import PUBLIC

    conditions = PUBLIC._replace(
        radius=command.radius, keep=command.keep, pile_up=command.pile_up, pythia=command.pythia
    )
    if command.pt is not None:
        conditions = conditions._replace(pt=command.pt, unlimited=())
    return conditions if command.detector else conditions._replace(detector=None)


def _fetch_command(command: Fetch, console: Console) -> None:
    from hepjax import data
    from hepjax.data import download

    with transfer_bar(console) as show:
        chosen: dict[str, Any] = {"parts": command.part, "numbers": file_numbers(command.files)}
        files = download.fetch(command.record, command.to, progress=show, check=data.read_header, **chosen)
    console.print(f"{len(files)} files of jets:")
    for file in files:
        console.print(f"  {file}", soft_wrap=True)
    console.print(download.train_line(files), soft_wrap=True)


def _bench_command(command: Bench, console: Console) -> None:
    import json

    from hepjax import report
    from hepjax.runs import bench
    from hepjax.runtime import compilation

    _check_output_folder(command.json)
    compilation.cache_programs()
    kinds = [MODELS.get(name) for name in dict.fromkeys(command.models or MODELS.names())]
    chosen = [kind() for kind in kinds if command.models or not kind.serves]  # the others are no classifiers
    with progress_bar(console, "measuring", len(chosen), "models") as advance:
        sizes = {name: getattr(command, name) for name in ("batch_size", "block", "rounds")}
        speeds = bench.measure_speed(chosen, **sizes, show=lambda name: advance(1, name))
    console.print(report.bench_table(speeds))
    if command.json is not None:
        atomic_files.write_text(command.json, json.dumps(speeds, indent=2, allow_nan=False) + "\n")
        console.print(f"{command.json}: all numbers")


def _check_output_folder(json: Path | None) -> None:
    if json is not None and not json.absolute().parent.is_dir():
        raise InputError(f"--json {json}: there is no folder {json.absolute().parent}; make it first")


_ACTIONS: dict[type, Callable[[Any, Console], None]] = {
    Experiment: _train_command,
    Evaluate: _evaluate_command,
    Predict: _predict_command,
    Compare: _compare_command,
    Report: _report_command,
    Export: _export_command,
    Import: imports.import_command,
    Info: _info_command,
    Observables: observables.observables_command,
    Simulate: _simulate_command,
    Fetch: _fetch_command,
    Bench: _bench_command,
}
