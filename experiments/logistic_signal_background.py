"""Signal against background on two observables: W jets among light quark and top jets, by mass and multiplicity.

    python experiments/logistic_signal_background.py

W jets have a mass near 80 GeV, light quark jets less, top jets more. A straight boundary can cut off one side only.
Expected in 10 seconds: AUC 0.66 for it, and 0.90 for one of degree two, which goes around the signal (± 0.02).
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

from hepjax import choices, evaluation, models, report, training
from hepjax.data import atomic_files, hdf5
from hepjax.inputs import apply_scaling, batching, fit_scaling, tabular
from hepjax.training import losses
from hepjax.types import Batch


@dataclasses.dataclass(frozen=True)
class SignalBackground:
    """Separates signal from background by logistic regression."""

    data: tuple[Path, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""
    signal: tuple[str, ...] = ("w",)
    """Classes of signal."""
    background: tuple[str, ...] = ("q", "t")
    """Classes of background."""
    observables: tuple[str, str] = ("j_mass_mmdt", "j_multiplicity")
    """Two jet observables."""
    degree: int = 2
    """Of the curved boundary, which is compared with the straight one."""
    seed: int = 0
    """Of the split and the first parameters."""
    out: Path = Path("runs/logistic-signal-background")
    """A new folder for the picture."""


def read(options: SignalBackground) -> Batch:
    """Both observables of all signal and background jets; the target is 1 for signal."""
    jets = hdf5.read_jets(list(options.data) or None)
    signal, background = ([jets.classes.index(c) for c in part] for part in (options.signal, options.background))
    x, labels = tabular(jets, options.observables), np.asarray(jets.labels)
    rows = np.isin(labels, signal + background)
    return Batch(x[rows], np.isin(labels[rows], signal).astype(np.int32), np.ones(rows.sum(), np.float32))


def fit(degree: int, train: Batch, key: jax.Array) -> Any:
    """Logistic regression, signal and background counting the same; returns x (N, 2) → log odds of signal (N,)."""
    scaling, model = fit_scaling(train.inputs), models.Logistic(outputs=1, degree=degree)
    data = jax.device_put(train._replace(inputs=apply_scaling(scaling, train.inputs)))
    loss = partial(losses.binary_cross_entropy, class_weights=losses.balanced_class_weights(train.targets, 2))
    schedule = training.make_schedule(choices.Schedule.COSINE, 0.3, steps=3000)
    optimizer = training.make_optimizer(choices.Optimizer.ADAM, schedule)
    apply = models.make_apply(model)

    def log_odds(*inputs: Any) -> Any:
        outputs, state = apply(*inputs)
        return outputs[:, 0], state

    step = training.make_train_step(log_odds, loss, optimizer)
    first = training.start(*models.initialize(model, key, data.inputs), optimizer, key).state
    params = training.run_steps(step, first, data, 3000)[0].params
    return lambda x: np.asarray(model.apply({"params": params}, apply_scaling(scaling, x))[:, 0])


def draw(fits: dict[str, Any], test: Batch, options: SignalBackground) -> Any:
    """A panel for each fit: the test jets, the probability of signal, and the boundary where it is one half."""
    x, y = np.meshgrid(*np.linspace(test.inputs.min(axis=0), test.inputs.max(axis=0), 200).T)
    labels = [*map(report.column_label, options.observables)]
    with report.style():
        figure = report.new_figure(16, 7)
        for axes, (name, log_odds) in zip(figure.subplots(1, 2), fits.items(), strict=True):
            p = jax.nn.sigmoid(log_odds(np.stack([x.ravel(), y.ravel()], axis=1))).reshape(x.shape)
            shade = axes.contourf(x, y, p, np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.5)
            axes.contour(x, y, p, [0.5], colors="k", linewidths=2.5)
            for kind, (style, label) in enumerate((("b.", "Background"), ("r^", "Signal"))):
                axes.plot(*test.inputs[test.targets == kind].T, style, markersize=4, label=label)
            axes.set(title=name.capitalize(), xlabel=labels[0], ylabel=labels[1])
        axes.legend(loc="upper left", markerscale=2)
        figure.colorbar(shade, ax=figure.axes, label="Probability of signal")
    return figure


def run(options: SignalBackground) -> dict[str, evaluation.RocCurve]:
    """Fits both boundaries, draws them, and returns their ROC curves."""
    atomic_files.check_new(options.out)
    jets = read(options)
    rows, _, other = batching.split(
        len(jets.targets), seed=options.seed, fractions=(0.6, 0.0, 0.4), labels=jets.targets
    )
    train, test = (jax.tree.map(lambda x, part=part: x[part], jets) for part in (rows, other))
    fits = {f"boundary of degree {n}": fit(n, train, jax.random.key(options.seed)) for n in (1, options.degree)}
    options.out.mkdir(parents=True)
    report.save(draw(fits, test, options), options.out / "boundary.png")
    return {name: evaluation.roc_curve(log_odds(test.inputs), test.targets) for name, log_odds in fits.items()}


if __name__ == "__main__":
    for name, roc in run(tyro.cli(SignalBackground, description=__doc__)).items():
        print(f"{name} AUC {evaluation.auc(roc):.3f} 1/ε_B at ε_S 50 % {evaluation.background_rejection(roc, 0.5):.1f}")
