"""Why the best model is neither the simplest nor the richest: generalization error = noise + bias² + variance.

    python experiments/bias_variance.py

Many physicists measure the same curve and fit a polynomial to their points. Bias² is how far their average fit is off
the truth, variance is how far their fits scatter about the average, and noise is what no fit can foresee: the three add
up to the error of their predictions. All fits of a degree are one `vmap` over the training step that trains taggers.
Expected in 30 seconds: the sum is least at degree 4, 0.124 ± 0.003, and meets the measured errors, known to 2 %.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import tyro
from matplotlib.figure import Figure

from hepjax import models, report, training
from hepjax.data import atomic_files
from hepjax.training import losses
from hepjax.types import Batch

GRID = np.linspace(-1, 1, 200)[:, None]
TRUTH = np.sin(3 * GRID + 1)


@dataclasses.dataclass(frozen=True)
class BiasVariance:
    """Takes the generalization error of polynomial fits apart."""

    fits: int = 800
    """Of each degree: half give bias and variance, half the error that these must explain."""
    points: int = 12
    """In each fit, at equal distances from -1 to 1."""
    noise: float = 0.3
    """Standard deviation of the points about the curve."""
    degrees: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9)
    """Of the polynomials."""
    seed: int = 0
    """Seed of the points, the noise and the first parameters."""
    out: Path = Path("runs/bias-variance")
    """A new folder for the picture."""


def fit(key: jax.Array, degree: int, options: BiasVariance) -> tuple[jax.Array, jax.Array]:
    """Fits one physicist's points; returns the curve at GRID, and its mean squared error for new points there."""
    noise_key, key = jax.random.split(key)
    old, new = TRUTH + options.noise * jax.random.normal(noise_key, (2, *TRUTH.shape))
    rows = np.linspace(0, len(GRID) - 1, options.points).round().astype(int)
    data, model = Batch(GRID[rows], old[rows], np.ones(len(rows))), models.Linear(degree=degree)
    apply, variables = models.make_apply(model), models.initialize(model, key, data.inputs)
    fitted = training.fit_full_batch(
        apply, losses.mean_squared_error, *variables, data, key, learning_rate=0.3, steps=1000
    )
    curve = model.apply({"params": fitted[0].params}, GRID)
    return curve[:, 0], losses.mean_squared_error(curve, new)


def take_apart(degree: int, options: BiasVariance) -> tuple[float, ...]:
    """Fits all at once; returns noise, bias², variance, the measured error, and the uncertainty of the difference."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(options.seed), degree), options.fits)
    curves, errors = jax.jit(jax.vmap(lambda key: fit(key, degree, options)))(keys)
    distances, measured = curves[: options.fits // 2] - TRUTH[:, 0], errors[options.fits // 2 :]
    variance = distances.var(axis=0, ddof=1)
    # The average of finitely many fits scatters too, and that is no bias.
    bias_squared = distances.mean(axis=0) ** 2 - variance / len(distances)
    uncertainty = np.sqrt((distances**2).mean(axis=1).var() / len(distances) + measured.var() / len(measured))
    return options.noise**2, *map(float, (bias_squared.mean(), variance.mean(), measured.mean(), uncertainty))


def draw(errors: dict[int, tuple[float, ...]]) -> Figure:
    """Draws the three contributions on top of each other, and the measured error."""
    degrees, (*parts, measured, uncertainty) = list(errors), np.transpose(list(errors.values()))
    with report.style():
        axes = (figure := report.new_figure(10, 7.5)).subplots()
        for i, (label, color) in enumerate((("Noise", "0.8"), ("Bias²", "C0"), ("Variance", "C1"))):
            axes.bar(degrees, parts[i], bottom=sum(parts[:i]), color=color, label=label)
        axes.errorbar(degrees, measured, uncertainty, fmt="ko", capsize=5, label="Measured error")
        axes.set(xlabel="Degree of the polynomial", ylabel="Mean squared error", xticks=degrees)
        axes.legend()
    return figure


def run(options: BiasVariance) -> dict[int, tuple[float, ...]]:
    """Takes apart the error at each degree, and draws."""
    atomic_files.check_new(options.out)
    errors = {degree: take_apart(degree, options) for degree in options.degrees}
    options.out.mkdir(parents=True)
    report.save(draw(errors), options.out / "decomposition.png")
    return errors


if __name__ == "__main__":
    for degree, (*parts, measured, uncertainty) in run(tyro.cli(BiasVariance, description=__doc__)).items():
        equation = "noise {:.4f} + bias² {:6.4f} + variance {:.4f}".format(*parts)
        print(f"degree {degree}: {equation} = {sum(parts):.4f}; measured {measured:.4f} ± {uncertainty:.4f}")
