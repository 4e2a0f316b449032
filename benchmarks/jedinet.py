"""JEDI-net in hepjax against its published PyTorch formulation (arXiv:1908.05318), in one run.

    python benchmarks/jedinet.py [--rounds 5]

Both hold the same parameters, give the same logits (checked to 1e-3 of their size first), let padding take part and
train with Adam; widths are the published ones. Batches have 100 jets in training and 1,000 in inference. PyTorch
multiplies with the incidence matrices of receivers and senders, as the authors' code does, with its own choice of
threads. Jets are of random numbers; where they have real multiplicities, these are lognormal, clipped to 20 to 150, 45
on average, and hepjax gets them sorted into batches of similar length, where one slot of padding stands for all;
batches are filled up with jets of weight 0. Both take turns; the first turn, in which hepjax compiles, is left out.
Prints jets per second of both, the median of the rounds' ratios with its range, and the target. Aimed at: 4, 6, 40 and
60. Medians of runs on two cores: 1.7 to 2.2, 4.4 to 6.6, 24 to 45, and 57 to 104. hepjax varied by a tenth where no
others ran (5,000, 900, 1,190 and 4,500 jets/s); PyTorch's large tensors by two (100 to 170, 26 to 50 and 31 to 57
jets/s), so compare ratios of one hour. PyTorch infers 76 to 95 jets/s in batches of 100; with these on both sides the
last ratio is 41 to 47.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
import optax
import torch
import tyro

from hepjax.choices import Activation
from hepjax.models.pretrained import from_arrays
from hepjax.types import Batch, Sequences

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURES, CLASSES, RATE = 16, 5, 1e-4
FEWEST = 100
"""A batch that is not full has a multiple of as many jets."""
LENGTHS = (24, 32, 40, 48, 64, 80, 96, 112, 128, 150)
FUNCTIONS = {Activation.ELU: torch.nn.functional.elu, Activation.SELU: torch.nn.functional.selu}


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    rounds: int = 5
    """Turns of each."""
    torch_threads: int | None = None
    """Threads for PyTorch; the default is its own choice."""


class Case(NamedTuple):
    """One line of the table."""

    name: str
    slots: int
    widths: tuple[int, int, int]
    """Hidden, D_E, D_O."""
    summed: bool
    activation: Activation
    train: bool
    real: bool
    """Real multiplicities; otherwise all slots are filled."""
    batch: int
    """Jets in a batch, of both."""
    jets: int
    """Of one turn of hepjax."""
    torch_jets: int
    """Of one turn of PyTorch, which needs the same time for any jet."""
    target: float


CASES = (
    Case("training, 30 particles", 30, (50, 12, 6), False, Activation.ELU, True, False, 100, 4000, 1500, 4),
    Case("training, 100 particles", 100, (30, 10, 10), False, Activation.ELU, True, False, 100, 1000, 200, 6),
    Case("training, 150 slots", 150, (50, 14, 12), True, Activation.SELU, True, True, 100, 6000, 100, 40),
    Case("inference, 150 slots", 150, (50, 14, 12), True, Activation.SELU, False, True, 1000, 30000, 1000, 60),
)


class JEDINet(torch.nn.Module):
    """The published formulation."""

    def __init__(self, case: Case) -> None:  # noqa: D107
        super().__init__()
        (hidden, d_e, d_o), n = case.widths, case.slots
        self.summed, self.activate = case.summed, FUNCTIONS[case.activation]
        pairs = torch.tensor(list(itertools.permutations(range(n), 2)))
        self.receive, self.send = (torch.nn.functional.one_hot(ends, n).float().T.contiguous() for ends in pairs.T)
        inputs = {"fr": 2 * FEATURES, "fo": FEATURES + d_e, "fc": d_o if case.summed else d_o * n}
        for name, outputs in (("fr", d_e), ("fo", d_o), ("fc", CLASSES)):
            self.add_module(f"{name}1", torch.nn.Linear(inputs[name], hidden))
            self.add_module(f"{name}2", torch.nn.Linear(hidden, hidden // 2))
            self.add_module(f"{name}3", torch.nn.Linear(hidden // 2, outputs))

    def layers(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Three layers; the activation follows each but the classifier's last."""
        x = self.activate(self.get_submodule(f"{name}1")(x))
        x = self.get_submodule(f"{name}3")(self.activate(self.get_submodule(f"{name}2")(x)))
        return x if name == "fc" else self.activate(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, F, N) → (B, C)."""
        ends = torch.cat([x @ self.receive, x @ self.send], dim=1).transpose(1, 2).contiguous()
        messages = self.layers("fr", ends).transpose(1, 2).contiguous() @ self.receive.T.contiguous()
        outputs = self.layers("fo", torch.cat([x, messages], dim=1).transpose(1, 2).contiguous())
        return self.layers("fc", outputs.sum(1) if self.summed else outputs.flatten(1))


def make_jets(case: Case, count: int) -> Batch:
    """Jets of random numbers."""
    rng = np.random.default_rng(0)
    drawn = rng.lognormal(np.log(41.5), 0.4, count) if case.real else np.full(count, case.slots)
    mask = np.arange(case.slots) < np.clip(drawn, 20, case.slots).astype(int)[:, None]
    values = rng.normal(size=(*mask.shape, FEATURES)).astype(np.float32) * mask[..., None]
    return Batch(Sequences(values, mask), rng.integers(CLASSES, size=count), np.ones(count, np.float32))


def by_length(jets: Batch, batch: int) -> list[Batch]:
    """Batches of jets that are padded alike, with one slot of padding or more where not all slots are filled."""
    slots = jets.inputs.mask.shape[1]
    needed = np.minimum(jets.inputs.lengths + 1, slots)
    lengths = [length for length in LENGTHS if length < slots] + [slots]
    bucket, found = np.searchsorted(lengths, needed), []
    for i, length in enumerate(lengths):
        inside = np.flatnonzero(bucket == i)
        for start in range(0, len(inside), batch):
            part = inside[start : start + batch]
            rows = np.resize(part, -(-len(part) // FEWEST) * FEWEST)
            weights = (np.arange(len(rows)) < len(part)).astype(np.float32)
            inputs = jax.tree.map(lambda x, rows=rows, length=length: x[rows, :length], jets.inputs)
            found.append(Batch(inputs, jets.targets[rows], weights))
    return found


def ours(case: Case, net: JEDINet) -> tuple[Callable[[], None], Callable[[Sequences], np.ndarray]]:
    """One turn of hepjax, and the function of its logits."""
    arrays = {name: array.detach().numpy().copy() for name, array in net.state_dict().items()}
    model, params = from_arrays(arrays, (case.activation,) * 3)
    optimizer = optax.adam(RATE)
    state = params, optimizer.init(params)

    @jax.jit
    def step(state: tuple, batch: Batch) -> tuple:
        def loss(params: dict) -> jax.Array:
            logits = model.apply({"params": params}, batch.inputs)
            each = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
            return (each * batch.weights).sum() / batch.weights.sum()

        params, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(params), moments)
        return optax.apply_updates(params, updates), moments

    apply = jax.jit(lambda state, inputs: model.apply({"params": state[0]}, inputs))
    found = by_length(make_jets(case, case.jets), case.batch)

    def turn() -> None:
        nonlocal state
        outputs = []
        for batch in found:
            if case.train:
                state = step(state, batch)
            else:
                outputs.append(apply(state, batch.inputs))
        jax.block_until_ready(state if case.train else outputs)

    return turn, lambda inputs: np.asarray(apply(state, inputs))


def theirs(case: Case, net: JEDINet) -> Callable[[], None]:
    """One turn of PyTorch."""
    jets = make_jets(case, case.torch_jets)
    x = torch.from_numpy(jets.inputs.values).transpose(1, 2).contiguous().split(case.batch)
    targets = torch.from_numpy(jets.targets).split(case.batch)
    optimizer, criterion = torch.optim.Adam(net.parameters(), lr=RATE), torch.nn.CrossEntropyLoss()

    def turn() -> None:
        for inputs, wanted in zip(x, targets, strict=True):
            if case.train:
                optimizer.zero_grad()
                loss = criterion(net(inputs), wanted)
                loss.backward()
                optimizer.step()
                loss.item()
            else:
                with torch.no_grad():
                    net(inputs)

    return turn


def seconds(turn: Callable[[], None]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


def compare(case: Case, benchmark: Benchmark) -> str:
    """Measures one case."""
    torch.manual_seed(0)
    net = JEDINet(case)
    turn, logits = ours(case, net)
    few = by_length(make_jets(case, 10), case.batch)[0]
    full = np.pad(few.inputs.values, ((0, 0), (0, case.slots - few.inputs.values.shape[1]), (0, 0)))[:10]
    with torch.no_grad():
        expected = net(torch.from_numpy(full).transpose(1, 2)).numpy()
    np.testing.assert_allclose(logits(few.inputs)[:10], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    torch_turn = theirs(case, net)
    times = np.array([(seconds(turn), seconds(torch_turn)) for _ in range(benchmark.rounds + 1)])[1:]
    speeds = np.array([case.jets, case.torch_jets]) / times
    ratios, (mine, torch_speed) = speeds[:, 0] / speeds[:, 1], np.median(speeds, axis=0)
    return (
        f"{case.name:24} hepjax {mine:8,.0f} jets/s, PyTorch {torch_speed:7,.0f} jets/s, ratio "
        f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f}); target {case.target}"
    )


def main(benchmark: Benchmark) -> None:
    """Measures and prints."""
    if benchmark.torch_threads is not None:
        torch.set_num_threads(benchmark.torch_threads)
    print(f"jax {jax.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for case in CASES:
        print(compare(case, benchmark), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Benchmark))
