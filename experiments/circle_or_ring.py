"""Do the points fill a circle, or lie on a ring? Only their shape tells, and a graph network sees shapes.

    python experiments/circle_or_ring.py

Place, size, number and order of the points say nothing. A multilayer perceptron on the list of coordinates would have
to learn every order at every place; a graph network compares each point with every other, and learns the shape once.
Expected in 30 seconds: after the same training the MLP guesses, accuracy 0.49; the graph network has 0.85 (± 0.02).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from hepjax import choices, models, report, training
from hepjax.data import atomic_files
from hepjax.inputs import batching, build_graph
from hepjax.training import losses
from hepjax.types import Batch, Sequences


@dataclasses.dataclass(frozen=True)
class CircleOrRing:
    """Tells filled circles from rings."""

    sets: int = 4000
    """Of points, to train on; as many again to validate and to test on, half each."""
    epochs: int = 30
    """Epochs of each network; the best one counts."""
    seed: int = 0
    """Seed of the points, the first parameters and the order of sets."""
    out: Path = Path("runs/circle-or-ring")
    """A new folder for the picture."""


def draw_sets(count: int, rng: np.random.Generator) -> Batch:
    """Draws sets of 6 to 12 points, padded with zeros; 1 is a ring. Mean squares are alike, or size would tell."""
    targets, angle = rng.integers(2, size=count, dtype=np.int32), rng.uniform(0, 2 * np.pi, (count, 12))
    circle, ring = rng.uniform(0, 1, (count, 12)) ** 0.5, rng.normal(0.5**0.5, 0.035, (count, 12))
    r = rng.uniform(0.5, 1.5, (count, 1)) * np.where(targets[:, None], ring, circle)
    points = np.float32(np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1) + rng.uniform(-1, 1, (count, 1, 2)))
    mask = np.arange(12) < rng.integers(6, 13, (count, 1))
    return Batch(Sequences(np.where(mask[..., None], points, 0), mask), targets, np.ones(count, np.float32))


def as_graph(sets: Sequences) -> Any:
    """Joins each point with all others; an edge holds the logarithm of its length."""
    graph = build_graph(sets.values, sets.mask)
    step = graph.nodes[graph.senders] - graph.nodes[graph.receivers]
    return graph._replace(edges=jnp.log((step**2).sum(axis=1, keepdims=True) + 1e-4) / 2)


def answer(model: Any, see: Any, train: Batch, val: Batch, test: Batch, options: CircleOrRing) -> np.ndarray:
    """Trains; returns the probabilities (N, 2) of the test sets."""
    network, loss, key = models.make_apply(model), losses.categorical_cross_entropy, jax.random.key(options.seed)
    schedule = training.make_schedule(choices.Schedule.COSINE, 5e-3, steps=options.epochs * -(-options.sets // 64))
    adam = training.make_optimizer(choices.Optimizer.ADAM, schedule)

    def apply(params: Any, model_state: Any, sets: Sequences, mask: Any, key: Any) -> Any:
        logits, model_state = network(params, model_state, see(sets), mask, key)
        return logits[: len(mask)], model_state  # graphs end with their padding

    programs = training.compile_here(training.make_train_step(apply, loss, adam), training.make_eval_step(apply, loss))
    best = training.fit(
        training.start(*models.initialize(model, key, see(val.inputs)), adam, key),
        train=batching.make_windows(train, batch_size=64, seed=options.seed),
        val=lambda: [val], programs=programs, epochs=options.epochs, schedule=schedule,
    ).best  # fmt: skip
    return np.asarray(jax.nn.softmax(programs.evaluate(best, test).outputs))


def run(options: CircleOrRing) -> dict[str, float]:
    """Trains, draws eight sets and the probabilities of what they are, and returns accuracies on the test sets."""
    atomic_files.check_new(options.out)
    rng, mlp = np.random.default_rng(options.seed), models.MLP(hidden=(64, 64), outputs=2)
    graph_network = models.GraphNetwork(rounds=1, edge=(16, 16), node=(16, 16), jet=(16,), outputs=2)
    networks = {"MLP": (mlp, lambda x: x.values.reshape(len(x.mask), -1)), "graph network": (graph_network, as_graph)}
    *known, test = (draw_sets(count, rng) for count in (options.sets, options.sets // 2, options.sets // 2))
    probabilities = {name: answer(*network, *known, test, options) for name, network in networks.items()}
    options.out.mkdir(parents=True)
    with report.style():
        for i, axes in enumerate((figure := report.new_figure(16, 9)).subplots(2, 4).ravel()):
            kind, points = test.targets[i], test.inputs.values[i][test.inputs.mask[i]]
            words = [("Circle", "Ring")[kind], *(f"{name}: {p[i, kind]:.0%}" for name, p in probabilities.items())]
            axes.plot(*points.T, "o", color=f"C{kind}", markersize=9)
            axes.set(aspect="equal", adjustable="datalim", xticks=(), yticks=(), xlabel="\n".join(words))
    report.save(figure, options.out / "points.png")
    return {name: float(np.mean(p.argmax(axis=1) == test.targets)) for name, p in probabilities.items()}


if __name__ == "__main__":
    for name, accuracy in run(tyro.cli(CircleOrRing, description=__doc__)).items():
        print(f"{name:14} accuracy {accuracy:.3f}")
