"""ParticleNet and Particle Transformer in hepjax against weaver-core's classes: jets a second, in one run.

    pip install torch==2.13.0 weaver-core
    python benchmarks/weaver_speed.py [--networks particle-net particle-transformer] [--rounds 3]

Published sizes, ten classes, seven columns, Adam. Multiplicities are JetClass-like: lognormal, 48 on average, at most
128. The peer takes 64 jets in a batch of 128 slots, with `trim` on, and chooses its threads itself. hepjax gets the
same jets sorted into batches of similar length, as `hepjax train` makes them; batches are filled up with jets of weight
0. Both take turns; the first, in which hepjax compiles, is left out. Prints jets a second of both, the median of the
rounds' ratios with its range, and the target: 3 in training, 4 in inference.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import tyro
from weaver.nn.model import ParticleNet, ParticleTransformer

from hepjax import models
from hepjax.inputs import all_pair_features
from hepjax.types import ParticleInputs

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS, FEATURES, CLASSES, BATCH, RATE = 128, 7, 10, 64, 1e-3
LENGTHS = (24, 40, 56, 80, 128)
TARGETS = {"training": 3, "inference": 4}


@dataclasses.dataclass(frozen=True)
class Speed:
    """What to measure."""

    networks: tuple[str, ...] = ("particle-net", "particle-transformer")
    """Names of networks."""
    jets: int = 256
    """Jets of a turn."""
    rounds: int = 3
    """Turns of each."""


def make_jets(count: int) -> dict[str, np.ndarray]:
    """Jets of random particles, with real multiplicities."""
    rng = np.random.default_rng(0)
    mask = np.arange(SLOTS) < np.clip(rng.lognormal(np.log(44), 0.4, count), 3, SLOTS).astype(int)[:, None]
    pt, eta, phi = rng.exponential(10, mask.shape) + 1, *rng.normal(0, 0.3, (2, *mask.shape))
    p4 = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], -1)
    values = {"columns": rng.normal(size=(*mask.shape, FEATURES)), "points": np.stack([eta, phi], -1), "p4": p4}
    jets = {name: (x * mask[..., None]).astype(np.float32) for name, x in values.items()}
    return {**jets, "mask": mask, "labels": rng.integers(CLASSES, size=count)}


def ours(name: str, jets: dict[str, np.ndarray], train: bool) -> Callable[[], None]:
    """One turn of hepjax."""
    model = models.MODELS.get(name)(outputs=CLASSES)
    parts = by_length(jets)

    def inputs(part: dict[str, Any]) -> ParticleInputs:
        pairs = all_pair_features(part["p4"]) if name == "particle-transformer" else None
        return ParticleInputs(part["columns"], part["mask"], points=part["points"], pairs=pairs)

    variables = jax.jit(lambda part: model.init(jax.random.key(0), inputs(part)))(parts[0])
    optimizer = optax.adam(RATE)
    state = variables, optimizer.init(variables["params"])

    @jax.jit
    def step(state: Any, part: dict[str, Any]) -> Any:
        variables, moments = state
        others = {key: value for key, value in variables.items() if key != "params"}

        def loss(params: Any) -> Any:
            logits, new = model.apply(
                {"params": params, **others},
                inputs(part),
                mask=part["weights"] > 0,
                train=True,
                rngs={"dropout": jax.random.key(0)},
                mutable=list(others),
            )
            each = optax.softmax_cross_entropy_with_integer_labels(logits, part["labels"])
            return (each * part["weights"]).sum() / part["weights"].sum(), new

        gradients, new = jax.grad(loss, has_aux=True)(variables["params"])
        updates, moments = optimizer.update(gradients, moments)
        return {"params": optax.apply_updates(variables["params"], updates), **new}, moments

    apply = jax.jit(lambda variables, part: model.apply(variables, inputs(part)))

    def turn() -> None:
        nonlocal state
        outputs = []
        for part in parts:
            if train:
                state = step(state, part)
            else:
                outputs.append(apply(state[0], part))
        jax.block_until_ready(state if train else outputs)

    return turn


def by_length(jets: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Batches of jets that are padded alike."""
    bucket, parts = np.searchsorted(LENGTHS, jets["mask"].sum(1)), []
    for i, length in enumerate(LENGTHS):
        inside = np.flatnonzero(bucket == i)
        for start in range(0, len(inside), BATCH):
            rows = np.resize(inside[start : start + BATCH], BATCH if len(inside) > BATCH else -(-len(inside) // 8) * 8)
            part = {name: x[rows] if name == "labels" else x[rows, :length] for name, x in jets.items()}
            weights = np.arange(len(rows)) < len(inside[start : start + BATCH])
            parts.append({name: jnp.asarray(x) for name, x in {**part, "weights": weights.astype(np.float32)}.items()})
    return parts


def theirs(name: str, jets: dict[str, np.ndarray], train: bool) -> Callable[[], None]:
    """One turn of weaver-core's class."""
    if name == "particle-net":
        blocks = [(16, (width,) * 3) for width in (64, 128, 256)]
        network: torch.nn.Module = ParticleNet.ParticleNet(FEATURES, CLASSES, blocks, [(256, 0.1)])
    else:
        network = ParticleTransformer.ParticleTransformer(
            FEATURES, CLASSES, use_pre_activation_pair=False, fc_params=[], trim=True
        )
        network.trimmer._counter.fill_(5)  # past the calls that pass through
    network.train(train)
    optimizer, criterion = torch.optim.Adam(network.parameters(), lr=RATE), torch.nn.CrossEntropyLoss()
    x, points, p4 = (torch.from_numpy(np.moveaxis(jets[key], 1, 2).copy()) for key in ("columns", "points", "p4"))
    mask, labels = torch.from_numpy(jets["mask"][:, None]), torch.from_numpy(jets["labels"])

    def logits(rows: slice) -> torch.Tensor:
        if name == "particle-net":
            return network(points[rows], x[rows], mask[rows].float())
        return network(x[rows], p4[rows], mask[rows])

    def turn() -> None:
        for start in range(0, len(x), BATCH):
            rows = slice(start, start + BATCH)
            if train:
                optimizer.zero_grad()
                criterion(logits(rows), labels[rows]).backward()
                optimizer.step()
            else:
                with torch.no_grad():
                    logits(rows)

    return turn


def main(speed: Speed) -> None:
    """Prints a line for each network and each kind of work."""
    jets = make_jets(speed.jets)
    print(f"{'':34} {'hepjax':>8} {'weaver':>8} {'ratio':>6} {'range':>14} {'target':>7}")
    for name in speed.networks:
        for work, target in TARGETS.items():
            turns = [make(name, jets, work == "training") for make in (ours, theirs)]
            rates = []
            for _ in range(speed.rounds + 1):
                rates.append([])
                for turn in turns:
                    start = time.perf_counter()
                    turn()
                    rates[-1].append(speed.jets / (time.perf_counter() - start))
            ratios = [a / b for a, b in rates[1:]]
            a, b = (statistics.median(each) for each in zip(*rates[1:], strict=True))
            span = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"{name + ', ' + work:34} {a:8.0f} {b:8.0f} {statistics.median(ratios):6.2f} {span:>14} {target:7}")


if __name__ == "__main__":
    main(tyro.cli(Speed, description=__doc__))
