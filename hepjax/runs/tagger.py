"""Training and its result for those who work in Python: `hepjax.train` and `hepjax.load` give a tagger."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepjax import models, report
from hepjax.choices import ExportFormat, Show, choose
from hepjax.data import atomic_files
from hepjax.errors import InputError
from hepjax.registry import plugin_being_imported
from hepjax.runs import arguments, evaluate, export, run_folder, stored, taggers
from hepjax.runs import report as run_report
from hepjax.runs import train as training
from hepjax.runs.options import Experiment
from hepjax.runs.taggers import Predictor
from hepjax.tasks import TASKS, Task
from hepjax.types.short_repr import some_names, table_html

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from flax import linen as nn

    from hepjax.choices import Recipe
    from hepjax.models import Model
    from hepjax.runs.arguments import Files
    from hepjax.runs.callbacks import Callback
    from hepjax.types import Jets, Progress


class Figures(dict[str, Any]):
    """Figures of merit, as metrics.json holds them; only those that are one number are shown."""

    def __repr__(self) -> str:
        """Shows the numbers, and names what else there is.

        >>> Figures({"accuracy": 0.65432, "best_epoch": 3, "classes": {"t": {"auc": 0.9}}})
        <accuracy 0.6543, best_epoch 3; classes>
        """
        numbers = [f"{name} {value:.4g}" for name, value in self.items() if isinstance(value, int | float)]
        others = [name for name, value in self.items() if not isinstance(value, int | float)]
        return "\n".join(textwrap.wrap(f"<{', '.join(numbers)}; {', '.join(others)}>", 120, break_on_hyphens=False)[:5])


@dataclasses.dataclass(frozen=True, repr=False)
class Tagger(Predictor):
    """A trained model, which predicts jets, is measured, reported on, exported and saved."""

    source: Path = dataclasses.field(kw_only=True)
    """Its run folder, or the file that it was exported to."""

    def __repr__(self) -> str:
        """Says what it is in one line."""
        name = self.pipeline.network.label()
        return f"<{name} in {self.source}, {TASKS.name_of(type(self.task))} of {some_names(self.outputs)}>"

    def _repr_html_(self) -> str:
        """Shows in a notebook what it is."""
        facts = {
            "task": TASKS.name_of(type(self.task)),
            "predicts": some_names(self.outputs),
            "looks at": some_names(self.columns, 30),
            "source": self.source,
        }
        if self.networks:
            sizes = [models.count_parameters(network.params) for network in self.networks]
            count = f" in each of {len(sizes)} networks" * (len(sizes) > 1)
            facts["parameters"] = f"{sizes[0]:,}{count}"
        return table_html(self.pipeline.network.label(), facts)

    @property
    def metrics(self) -> Figures:
        """Figures of merit on the test jets of its training, with their intervals."""
        return Figures(stored.metrics_of(stored.open_run(self._folder())))

    def evaluate(self, jets: Jets, out: str | Path | None = None) -> Figures:
        """Measures it on jets whose targets are known.

        Args:
          jets: other ones than it was trained on.
          out: a new folder for metrics.json, test.h5 and the pictures; None writes nothing.

        Returns:
          The figures of merit, with their intervals.

        Raises:
          InputError: the jets have no targets, other classes, or lack columns; or `out` exists.
        """
        return Figures(evaluate.evaluate_jets(self, self.check(jets), None if out is None else Path(out)).metrics)

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
    model: str | Model | nn.Module | None = None,
    jets: Jets | Files | None = None,
    *,
    val: Jets | Files | None = None,
    test: Jets | Files | None = None,
    task: str | Task | None = None,
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    show: Callable[[str], None] | Show | str | None = print,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> Tagger:
    """Trains a model on jets, measures it on a part that is set apart, and returns it.

    Args:
      model: the name of one, with its default options; one with yours, such as `hepjax.models.MLP(hidden=(64,))`; or a
        Flax module of your own, see `hepjax.models.from_flax`; None is that of the run to start from or to go on with,
        or the MLP.
      jets: jets in memory or lazy ones, files, or folders; None is the sample that comes with hepjax. Jets in memory
        are written beside the run folder, so that the training can be resumed.
      val: jets to validate on; None sets a fifth of `jets` apart.
      test: jets to test on; None sets a fifth of `jets` apart.
      task: what it shall learn: the name of a task, or one with options, such as `Regression(target=("j_mass",))`; None
        is classification, or that of the run to go on with.
      recipe: the published choices of optimizer, schedule, batch size and epochs for a network, such as
        "particle-net", where `options` do not say otherwise; None takes the defaults.
      out: a new folder for the run; None is a temporary one, which `save` copies.
      show: called with a line about each epoch; "bar" shows a bar that moves, and None nothing.
      callbacks: functions that are called with a `hepjax.types.Progress` after each epoch, once it is saved. The
        training ends, and is measured, where one returns True; it stops where one fails, and can be gone on with.
      **options: fields of `hepjax.options.Experiment`, such as `epochs=20`, `batch_size=512`, `start_from="runs/old"`
        or `resume=True`, which goes on with the run in `out`, and takes from it what is not given; of its optimizer,
        such as `learning_rate=3e-3`, or `optimizer`, any transformation of optax, which is not recorded; and of a Flax
        module of your own `inputs`, `columns` and `particles`, as `hepjax.models.from_flax` takes them.

    Returns:
      The tagger.

    Raises:
      InputError: bad jets or options; nothing is written then.
      CallbackError: a callback failed; the last epoch is saved.
      DivergedError: the loss is not finite; the last good state is in the run folder.

    >>> import hepjax
    >>> tagger = train("logistic", hepjax.read_jets()[:500], epochs=2, show=None)
    >>> tagger(hepjax.read_jets()[:3]).shape
    (3, 5)
    """
    if (plugin := plugin_being_imported()) is not None:
        raise InputError(f'{plugin}: trains while it is imported; put hepjax.train under `if __name__ == "__main__":`')
    folder = Path(tempfile.mkdtemp(prefix="hepjax-")) / "run" if out is None else Path(out)
    saved = run_folder.resumable_experiment(None if out is None else folder) if options.get("resume") else None
    fields, of_module, optimizer = arguments.experiment_options(options, recipe, saved)
    if saved is None:
        atomic_files.check_new(folder)
    start = fields.get("start_from")
    known = run_folder.read_experiment(start)[0] if saved is None and start is not None else saved
    model = arguments.choose_model(model, None if known is None else known.model, of_module)
    plugins = () if known is None else known.plugins
    fields["plugins"] = tuple(dict.fromkeys((*plugins, *fields.get("plugins", ()))))
    fields |= {"model": model, "task": arguments.choose_task(task, None if saved is None else saved.task)}
    shown = choose(Show, show, "show") if isinstance(show, str) else show
    with _written_jets(folder, {"data": jets, "val": val, "test": test}, saved) as (files, dataset):
        fields = {"dataset": dataset, **fields, **files} if saved is None else {**fields, **files}
        new = Experiment if saved is None else partial(dataclasses.replace, saved)
        experiment: Experiment = new(out=folder, **fields)
        with _shown(shown, experiment.epochs) as show_epoch:
            training.run(experiment, show_epoch, callbacks=callbacks, optimizer=optimizer)
    return load(folder)


@contextlib.contextmanager
def _written_jets(
    folder: Path, jets: Mapping[str, Jets | Files | None], saved: Experiment | None
) -> Iterator[tuple[dict[str, tuple[Path, ...]], str | None]]:
    """Gives the files of each part, where there are some, and the name of their dataset.

    Jets in memory are written; their files are removed where the training is refused.
    """
    names: set[str | None] = {None}
    files: dict[str, tuple[Path, ...]] = {}
    written = []
    try:
        for part, given in jets.items():
            new = folder.with_name(f"{folder.name}-{part}.h5")
            written += [] if new.exists() else [new]
            paths, name = arguments.files_of_jets(given, new, goes_on=saved is not None)
            files |= {part: paths} if given is not None else {}
            names.add(name)
        yield files, next(iter(names - {None}), None)
    except InputError:
        if not folder.exists():
            for path in written:
                path.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _shown(show: Callable[[str], None] | Show | None, epochs: int) -> Iterator[Callable[[Progress], None] | None]:
    """Gives the function that shows an epoch."""
    if show is None:
        yield None
    elif isinstance(show, Show):
        with report.training_bar(epochs) as advance:
            yield advance
    else:
        yield lambda progress: show(report.epoch_line(progress.history[-1], epochs))
