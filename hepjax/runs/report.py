"""The page of a run: what its folder holds, and what its task has to say of the predictions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from hepjax import report
from hepjax.data import atomic_files
from hepjax.errors import InputError
from hepjax.inputs import open_files
from hepjax.runs import stored, taggers, trained_jets
from hepjax.tasks import Case, Results

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hepjax.runs.stored import Run

JETS = 1000
"""Jets at most that pictures and explanations take."""

log = logging.getLogger("hepjax")


def write_run_page(folder: Path, out: Path | None = None, show: Callable[[str], None] = lambda words: None) -> Path:  # noqa: ARG005
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
    run = stored.open_run(folder)
    metrics, test, task = stored.metrics_of(run), stored.predictions_of(run), run.experiment.task
    trained_jets.tell(str(folder), metrics)
    if test is None:
        log.warning("%s: has no test.h5, from an older hepjax: the page has nothing of single jets", folder)
    # Of folds each model has seen most of these jets: the first is asked about its own.
    source = stored.members_in_use(run)[0] if run.experiment.folds else run
    with stored.presenting(run):
        # Of a learning curve some may have diverged.
        sizes = tuple(size for size in run.experiment.sizes if f"size-{size}" in metrics["members"])
        results = Results(metrics, test, run.dataset, sizes, lambda: _read_report_case(source, folder))
        sections = []
        for section in task.report_sections(results):
            show(section.title)
            sections.append(section)
        scores, summary = None if test is None else task.scores(test), task.summary(metrics)
        text = report.page(str(folder), run.record, metrics, run.history, scores, sections, summary=summary)
    target = folder / "report.html" if out is None else out
    atomic_files.write_text(target, text)
    return target


def _read_report_case(source: Run, folder: Path) -> Case:
    predictor, experiment = taggers.predictor_of(source), source.experiment
    if (test := stored.predictions_of(source)) is None:
        raise InputError(f"{source.folder}: has no test.h5, from an older hepjax; train again")
    files = experiment.test or experiment.data
    jets = taggers.open_tagger_jets(
        predictor, files, allow_external=experiment.allow_external, where=experiment.where, own=True
    )
    rows, targets = np.asarray(test.rows), np.asarray(test.targets)
    if rows.max() >= len(jets):
        raise InputError(f"{open_files.file_names_text(files)}: holds fewer jets than when it was tested")
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:JETS])
    some_jets = jets[rows[chosen]]
    again = predictor.task.read(some_jets, slice(None))
    if again is None or (again != targets[chosen]).any():
        raise InputError(f"{open_files.file_names_text(files)}: holds other jets than when it was tested")
    return Case(
        some_jets,
        targets[chosen],
        predictor.outputs,
        predictor.pipeline,
        predictor.predict,
        predictor.networks,
        "" if source.folder == folder else source.folder.name,
    )
