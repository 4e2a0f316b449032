"""How long one jet, and a thousand, wait for an answer: JAX compiled, and the exported file in ONNX Runtime, in turns.

    python benchmarks/latency.py [--rounds 9]

Every model in its default size on the sample that comes with hepjax, scaling and drawing included; NumPy arrays in and
out. Expected before the first run: of one jet ONNX Runtime needs 0.02 to 0.5 ms, a half to a tenth of JAX, which pays
for its dispatch; of a thousand both the same within a factor of two, but for graphs, whose sums over edges ONNX Runtime
does less well. Found: JAX pays little for its dispatch and is mostly the faster; docs/shipping.md has the table.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import hepjax
from hepjax import export, models
from hepjax import inputs as representations
from hepjax.data.datasets import hls4ml
from hepjax.inputs import pipelines

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES, COUNTS, SECONDS = 5, (1, 1000), 0.05
MODELS: tuple[models.Model, ...] = (
    models.Logistic(),
    models.MLP(),
    models.ConvNet(),
    models.ConvNet1D(),
    models.LSTM(),
    models.GRU(),
    models.DeepSets(),
    models.GraphNetwork(neighbors=8),
    models.GraphNetwork(),
    models.InteractionNetwork(),
)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    rounds: int = 9
    """Turns of each."""


def milliseconds(run: Callable[[Any], Any], inputs: Any) -> float:
    """One call, from as many as fill a twentieth of a second."""
    calls, start = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - start < SECONDS:
        run(inputs)
        calls += 1
    return 1e3 * (time.perf_counter() - start) / calls


def cell(times: list[float]) -> str:
    """Median and range."""
    middle, low, high = (float(f"{x:.2g}") for x in (statistics.median(times), min(times), max(times)))
    return f"{middle:g} ({low:g} to {high:g})"


def make(model: models.Model) -> tuple[Callable[[Any], jax.Array], Any]:
    """The pure function of an untrained tagger, and the inputs of a thousand jets."""
    pipeline = pipelines.make_pipeline(model, CLASSES, hls4ml.HLS4ML)
    inputs = pipeline.load(hepjax.read_jets(), slice(max(COUNTS)))
    params, state = pipelines.initialize_from_example(pipeline, jax.random.key(0))
    apply = pipelines.make_apply(pipeline, representations.scaling_of([pipeline.statistics(inputs)]))

    def answer(inputs: Any) -> jax.Array:
        mask = jnp.ones(jax.tree.leaves(inputs)[0].shape[0], bool)
        return jax.nn.softmax(apply(params, state, inputs, mask, None)[0])

    return answer, inputs


def measure(model: models.Model, rounds: int) -> str:
    """One row of the table."""
    answer, inputs = make(model)
    compiled = jax.jit(answer)
    start = time.perf_counter()
    made = export.to_onnx(answer, jax.tree.map(lambda x: x[:1], inputs), {})
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tagger.onnx"
        path.write_bytes(made)
        session = export.read_onnx(path).predict
    kinds: dict[str, Callable[[Any], Any]] = {"jax": lambda x: np.asarray(compiled(x)), "onnx": session}
    cells = []
    for count in COUNTS:
        part = jax.tree.map(lambda x, n=count: x[:n], inputs)
        found: dict[str, list[float]] = {kind: [] for kind in kinds}
        for run in kinds.values():
            milliseconds(run, part)  # compiles, and warms up
        for _ in range(rounds):
            for kind, run in kinds.items():
                found[kind].append(milliseconds(run, part))
        cells += [cell(times) for times in found.values()]
    difference = float(np.abs(np.asarray(compiled(inputs)) - session(inputs)).max())
    name = models.MODELS.name_of(model) + (", 8 neighbors" if getattr(model, "neighbors", None) else "")
    return f"| {name} | {' | '.join(cells)} | {difference:.0e} | {len(made) / 1e3:,.0f} | {seconds:.1f} |"


if __name__ == "__main__":
    asked = tyro.cli(Benchmark, description=__doc__)
    heads = [f"{kind}, {count:,} jet{'s' * (count > 1)}, ms" for count in COUNTS for kind in ("JAX", "ONNX Runtime")]
    print("| model |", " | ".join(heads), "| largest difference | kB | conversion, s |")
    print("| --- " * (len(heads) + 4) + "|")
    for each in MODELS:
        print(measure(each, asked.rounds), flush=True)
