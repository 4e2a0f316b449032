"""Training and its result for those who work in Python: `hepjax.train` and `hepjax.load` give a tagger."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepjax import report
from hepjax.choices import ExportFormat, Recipe
from hepjax.data import atomic_files, datasets
from hepjax.data.lazy_jets import LazyJets
from hepjax.data.remote import path_of
from hepjax.data.validation import check_jets
from hepjax.data.writing import write_jets
from hepjax.errors import InputError
from hepjax.inputs import open_files
from hepjax.models import MODELS, Model
from hepjax.registry import similar_names_hint
from hepjax.runs import evaluate, export, run_folder, stored, taggers
from hepjax.runs import report as run_report
from hepjax.runs import train as training
from hepjax.runs.options import Experiment, Optimization, default_model
from hepjax.runs.recipes import recipe_options
from hepjax.runs.taggers import Predictor
from hepjax.tasks import TASKS, Task
from hepjax.types import Jets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.types import Progress

    Files = str | Path | Sequence[str | Path]


@dataclasses.dataclass(frozen=True, repr=False)
class Tagger(Predictor):
    """A trained model, which predicts jets, is measured, reported on, exported and saved."""

    source: Path = dataclasses.field(kw_only=True)
    """Its run folder, or the file that it was exported to."""

    def __repr__(self) -> str:
        """Says what it is in one line."""
        name = MODELS.name_of(self.pipeline.network)
        return f"<{name} in {self.source}, {TASKS.name_of(type(self.task))} of {', '.join(self.outputs)}>"

    @property
    def metrics(self) -> dict[str, Any]:
        """Figures of merit on the test jets of its training, with their intervals."""
        return stored.metrics_of(stored.open_run(self._folder()))

    def evaluate(self, jets: Jets, out: str | Path | None = None) -> dict[str, Any]:
        """Measures it on jets whose targets are known.

        Args:
          jets: other ones than it was trained on.
          out: a new folder for metrics.json, test.h5 and the pictures; None writes nothing.

        Returns:
          The figures of merit, with their intervals.

        Raises:
          InputError: the jets have no targets, other classes, or lack columns; or `out` exists.
        """
        return evaluate.evaluate_jets(self, self.check(jets), None if out is None else Path(out)).metrics

    def report(self, path: str | Path | None = None) -> Path:
        """Writes one page about its training: figures, pictures, where it errs.

        Args:
          path: a new file; None is report.html in its run folder.

        Returns:
          The file.

        Raises:
          InputError: it has no run folder, or the file cannot be written.
        """
        return run_report.write_run_page(self._folder(), None if path is None else Path(path))

    def export(self, path: str | Path, kind: ExportFormat | str | None = None) -> tuple[Path, ...]:
        """Writes it as a file that runs without hepjax, and a model card beside it.

        Args:
          path: a new file.
          kind: the format; None is ONNX, or by the end of the name StableHLO, or PyTorch's for .pt.

        Returns:
          The files, the model's first.

        Raises:
          InputError: it has no run folder, cannot be exported, or a file exists.
        """
        ends = {".stablehlo": ExportFormat.STABLEHLO, ".pt": ExportFormat.TORCH}
        guessed = ends.get(Path(path).suffix, ExportFormat.ONNX)
        return export.export_run(self._folder(), Path(path), kind or guessed, calibrated=self.temperature != 1)

    def save(self, folder: str | Path) -> Path:
        """Copies its run folder, which `hepjax.load` reads, and the command line too.

        Args:
          folder: a new one.

        Returns:
          The folder.

        Raises:
          InputError: it has no run folder, or `folder` exists or cannot be written.
        """
        source = self._folder()
        atomic_files.check_new(Path(folder))
        with atomic_files.new_folder(Path(folder)) as new:
            shutil.copytree(source, new, dirs_exist_ok=True)
        return Path(folder)

    def _folder(self) -> Path:
        if not self.source.is_dir():
            raise InputError(f"{self.source}: an exported tagger has no run folder; load the run instead")
        return self.source


def load(path: str | Path, *, calibrated: bool = False) -> Tagger:
    """Reads a trained model, ready for use.

    Args:
      path: a run folder, of which the best network is taken, and of folds or an ensemble all, whose predictions are
        combined; or a file that `hepjax export` made.
      calibrated: divide the logarithms of the probabilities by the temperature that fits the validation part best.

    Returns:
      The model, a function of jets.

    Raises:
      InputError: the folder is not a run's, is damaged, or comes from a newer hepjax; it has no temperature; or the
        file cannot be used.

    >>> load("no-such-run")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: no-such-run: no such folder or file; give a run folder or an exported tagger
    """
    predictor = taggers.load(path, calibrated=calibrated)
    values = {field.name: getattr(predictor, field.name) for field in dataclasses.fields(predictor)}
    return Tagger(**values, source=Path(path))


def train(
    model: str | Model | None = None,
    jets: Jets | Files | None = None,
    *,
    val: Jets | Files | None = None,
    test: Jets | Files | None = None,
    task: str | Task = "classification",
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    show: Callable[[str], None] | None = print,
    **options: Any,
) -> Tagger:
    """Trains a model on jets, measures it on a part that is set apart, and returns it.

    Args:
      model: the name of one, with its default options, or one with yours, such as `hepjax.models.MLP(hidden=(64,))`;
        None is that of the run to start from, or the MLP.
      jets: jets in memory or lazy ones, files, or folders; None is the sample that comes with hepjax. Jets in memory
        are written beside the run folder, so that the training can be resumed.
      val: jets to validate on; None sets a fifth of `jets` apart.
      test: jets to test on; None sets a fifth of `jets` apart.
      task: what it shall learn: the name of a task, or one with options, such as `Regression(target=("j_mass",))`.
      recipe: the published choices of optimizer, schedule, batch size and epochs for a network, such as
        "particle-net", where `options` do not say otherwise; None takes the defaults.
      out: a new folder for the run; None is a temporary one, which `save` copies.
      show: called with a line about each epoch; None trains in silence.
      **options: fields of `hepjax.runs.options.Experiment`, such as `epochs=20`, `batch_size=512` or
        `start_from="runs/before"`, and of its optimizer, such as `learning_rate=3e-3`.

    Returns:
      The tagger.

    Raises:
      InputError: bad jets or options; nothing is written then.
      DivergedError: the loss is not finite; the last good state is in the run folder.

    >>> import hepjax
    >>> tagger = train("logistic", hepjax.read_jets()[:500], epochs=2, show=None)
    >>> tagger(hepjax.read_jets()[:3]).shape
    (3, 5)
    """
    fields = _experiment_options(options, recipe)
    chosen, plugins = _chosen_model(model, fields.get("start_from"))
    fields["plugins"] = tuple(dict.fromkeys((*plugins, *fields.get("plugins", ()))))
    learned = TASKS.get(task)() if isinstance(task, str) else task
    folder = Path(tempfile.mkdtemp(prefix="hepjax-")) / "run" if out is None else Path(out)
    atomic_files.check_new(folder)
    names: set[str | None] = set()
    written = []
    for part, given in (("data", jets), ("val", val), ("test", test)):
        new = folder.with_name(f"{folder.name}-{part}.h5")
        fields[part], name = _files_of_jets(given, new)
        names.add(name)
        written += [new] if new in fields[part] else []
    fields.setdefault("dataset", next(iter(names - {None}), None))
    experiment = Experiment(model=chosen, task=learned, out=folder, **fields)

    def show_epoch(progress: Progress) -> None:
        if show is not None:
            show(report.epoch_line(progress.history[-1], experiment.epochs))

    try:
        training.run(experiment, show_epoch)
    except InputError:
        if not folder.exists():
            for path in written:
                path.unlink(missing_ok=True)
        raise
    return load(folder)


def _chosen_model(model: str | Model | None, start: Path | None) -> tuple[Model, tuple[Path, ...]]:
    """The model to train, with the options of the run to start from where it is only named, and that run's plug-ins."""
    known = None if start is None else run_folder.read_experiment(start)[0]
    chosen: Any = model
    if model is None:
        chosen = default_model() if known is None else known.model
    elif isinstance(model, str):
        named = known is not None and MODELS.name_of(type(known.model)) == model
        chosen = known.model if known is not None and named else MODELS.get(model)()
    if not isinstance(chosen, Model):
        raise InputError(
            f"model: expected the name of a model or one of hepjax.models, found {type(chosen).__name__}; register a "
            "network of your own as docs/own-model.md shows"
        )
    return chosen, () if known is None else known.plugins


def _experiment_options(options: dict[str, Any], recipe: str | Recipe | None) -> dict[str, Any]:
    """Fields of an `Experiment`, among which those of its optimizer are put together; a recipe has those not given."""
    own = {field.name for field in dataclasses.fields(Experiment)} - {"model", "task", "out", "data", "val", "test"}
    optimization = {field.name for field in dataclasses.fields(Optimization)} - own
    for name in options:
        if name not in own | optimization:
            raise InputError(f"train: has no option {name}; {similar_names_hint(name, sorted(own | optimization))}")
    fields = recipe_options(recipe) | {name: value for name, value in options.items() if name in own}
    if fields.get("start_from") is not None:
        fields["start_from"] = Path(fields["start_from"])
    of_optimizer = {name: value for name, value in options.items() if name in optimization}
    if of_optimizer:
        fields["optimizer"] = dataclasses.replace(fields.get("optimizer", Optimization()), **of_optimizer)
    return fields


def _files_of_jets(jets: Jets | Files | None, new: Path) -> tuple[tuple[Path, ...], str | None]:
    """The files of jets, and the name of their dataset; jets that no files give like this are written to a new one."""
    if jets is None:
        return (), None
    if not isinstance(jets, Jets):
        return tuple(map(path_of, [jets] if isinstance(jets, str | Path) else jets)), None
    check_jets(jets)
    if isinstance(jets, LazyJets):
        paths = tuple(file.header.path for file in jets.store.files)
        name = jets.dataset.name if jets.dataset.name in datasets.DATASETS.names() else None
        again = open_files.open_jets(paths, dataset=name)
        if again.dataset == jets.dataset and again.constituents.shape == jets.constituents.shape:
            return paths, name
    new.parent.mkdir(parents=True, exist_ok=True)
    write_jets(new, jets)
    return (new,), None
