"""The page of a run: what its folder holds, and what its task has to say of the predictions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from hepjax import report
from hepjax.data import atomic_files
from hepjax.errors import InputError
from hepjax.inputs import opening
from hepjax.runs import predictions, run_folder, taggers
from hepjax.runs.ensembles import members_in_use
from hepjax.tasks import Case, Results

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JETS = 1000
"""Jets at most that pictures and explanations take."""

log = logging.getLogger("hepjax")


def write(folder: Path, out: Path | None = None, show: Callable[[str], None] = lambda words: None) -> Path:  # noqa: ARG005
    """Writes the page of a run.

    Args:
      folder: of the run, whose training has ended.
      out: the file; None is report.html in the folder. An older one is replaced.
      show: called with the title of each section that is ready.

    Returns:
      The file.

    Raises:
      InputError: the folder is not a run's, or is damaged; or the page cannot be written.
    """
    experiment, record = run_folder.read_experiment(folder)
    metrics, history = run_folder.read_metrics(folder), run_folder.read_history(folder)
    task, test = experiment.task, None
    if (folder / "test.h5").exists():
        test = predictions.read_predictions(folder / "test.h5", task)
    else:
        log.warning("%s: has no test.h5, from an older hepjax: the page has nothing of single jets", folder)
    # Of folds each model has seen most of these jets: the first is asked about its own.
    source = folder / members_in_use(folder, experiment, record)[0] if experiment.folds else folder
    # Of a learning curve some may have diverged.
    sizes = tuple(size for size in experiment.sizes if f"size-{size}" in metrics["members"])
    results = Results(metrics, test, run_folder.dataset_of(record), sizes, lambda: _read_case(source, folder))
    sections = []
    for section in task.report_sections(results):
        show(section.title)
        sections.append(section)
    target = folder / "report.html" if out is None else out
    scores = None if test is None else task.scores(test)
    text = report.page(str(folder), record, metrics, history, scores, sections, summary=task.summary(metrics))
    atomic_files.write_text(target, text)
    return target


def _read_case(source: Path, folder: Path) -> Case:
    predictor, (experiment, _) = taggers.load(source), run_folder.read_experiment(source)
    test = predictions.read_predictions(source / "test.h5", predictor.task)
    files = experiment.test or experiment.data
    jets = taggers.open_jets(predictor, files, allow_external=experiment.allow_external)
    rows, targets = np.asarray(test.rows), np.asarray(test.targets)
    if rows.max() >= len(jets):
        raise InputError(f"{opening.names(files)}: holds fewer jets than when it was tested")
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:JETS])
    some_jets = jets[rows[chosen]]
    again = predictor.task.read(some_jets, slice(None))
    if again is None or (again != targets[chosen]).any():
        raise InputError(f"{opening.names(files)}: holds other jets than when it was tested")
    return Case(
        some_jets,
        targets[chosen],
        predictor.outputs,
        predictor.pipeline,
        predictor.predict,
        predictor.networks,
        "" if source == folder else source.name,
    )
