"""Every network of hepjax beside its PyTorch twin: mean AUC after equal training, and training speed, in one run.

    hepjax simulate jets.h5 --jets 20000 --seed 31
    python benchmarks/torch_twins.py --data jets.h5 --epochs 15

Each pair starts from the same parameters, whose logits must agree to 1e-4, sees the same scaled inputs in the same
batches, takes the same steps of Adam at 1e-3, and answers with the epoch of the lowest validation loss. hepjax trains
as `hepjax train` does, PyTorch in an ordinary loop; they take turns, epoch by epoch. The first epoch, in which hepjax
compiles, counts for the AUC and not for the speed. Expected: no mean AUC more than 0.005 below the twin's.

The field's networks are smaller than published (`SIZES`) and without dropout. Their twins are those of field_twins.py.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import field_twins
import h5py
import jax
import numpy as np
import torch
import tyro
from twins import copy_parameters, make_twin

from hepjax import evaluation, load, models
from hepjax.data import readers
from hepjax.data.dataset import P4
from hepjax.data.datasets import hls4ml
from hepjax.inputs import apply_scaling, batching, load_subsets, open_files, pipelines, replace_far
from hepjax.runs import train as experiment
from hepjax.runs.options import Experiment, Optimization
from hepjax.types import Batch, Ensemble, Epoch, Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hepjax.inputs.pipelines import InputPipeline
    from hepjax.types import Scaling

Network = Literal[
    "mlp",
    "convnet",
    "convnet1d",
    "lstm",
    "gru",
    "deepsets",
    "interaction-network",
    "graph-network",
    "mixer",
    "particle-net",
    "particle-transformer",
    "lorentz-net",
    "lgatr-slim",
]
KINDS: dict[str, type] = {
    "mlp": models.MLP,
    "convnet": models.ConvNet,
    "convnet1d": models.ConvNet1D,
    "lstm": models.LSTM,
    "gru": models.GRU,
    "deepsets": models.DeepSets,
    "interaction-network": models.InteractionNetwork,
    "graph-network": models.GraphNetwork,
    "mixer": models.Mixer,
    "particle-net": models.ParticleNet,
    "particle-transformer": models.ParticleTransformer,
    "lorentz-net": models.LorentzNet,
    "lgatr-slim": models.LGATrSlim,
}
SIZES: dict[str, dict[str, Any]] = {
    "particle-net": {"blocks": (32, 64), "neighbors": 7, "hidden": (128,), "dropout": 0.0},
    "particle-transformer": {
        "embed": (64, 128, 64),
        "pair_embed": (32, 32),
        "heads": 4,
        "layers": 3,
        "class_layers": 1,
        "dropout": 0.0,
    },
    "lorentz-net": {"width": 24, "layers": 3, "dropout": 0.0},
    "lgatr-slim": {"vectors": 8, "scalars": 24, "layers": 3, "heads": 4},
}
"""Options other than the defaults: networks that two cores can train, without dropout, which each side would draw by
itself."""
AGREEMENT, BELOW = 1e-4, 0.005
MOST = 0.9
"""Of particle-net so large a share of the jets must agree: in the others, weaver-core takes a particle that lies where
another one does for its own neighbor, or rounding decides between two neighbors, and its own logits in float32 and
float64 differ as much."""
BLOCK = 500
"""Jets that the twin answers at once."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What to compare."""

    data: tuple[Path, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""
    jets: int | None = None
    """Take so many jets of each file; the default is all."""
    networks: tuple[Network, ...] = get_args(Network)
    """Which networks."""
    epochs: int = 3
    """How long both train."""
    particles: int = 30
    """The hardest particles that the networks of particles see."""
    seeds: tuple[int, ...] = (0,)
    """Of the split, the first parameters and the order of the jets; one comparison each."""
    own_init: bool = False
    """Let PyTorch draw first parameters its own way."""
    resamples: int = 200
    """Bootstrap resamples of the test part."""
    torch_threads: int | None = None
    """Threads for PyTorch; the default is its own choice."""


class Result(NamedTuple):
    """One network; pairs are (hepjax, PyTorch)."""

    parameters: int
    logits_apart: float
    """The largest difference between both before the training; of particle-net, that of nine tenths of the jets."""
    ours: tuple[Epoch, ...]
    theirs: tuple[Epoch, ...]
    auc: np.ndarray
    """(2,) mean over the classes, each against the rest, on the test part."""
    resampled: np.ndarray
    """(resamples, 2)."""


def main(comparison: Comparison) -> list[Result]:
    """Compares and prints one row after another."""
    field_twins.check_peers(comparison.networks)
    if comparison.torch_threads is not None:
        torch.set_num_threads(comparison.torch_threads)
    print(f"jax {jax.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("mean AUC ± bootstrap standard deviation; the difference with its 95 % interval; median seconds of an epoch")
    print("network              parameters  logits apart  AUC hepjax       AUC PyTorch      difference", end="")
    print("                   hepjax s  compiling s  PyTorch s  ratio of jets/s (range)")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        files = tuple(first_jets(comparison, Path(folder)))
        for name in comparison.networks:
            for seed in comparison.seeds:
                size = SIZES.get(name, {}) | ({} if name == "mlp" else {"particles": comparison.particles})
                out = Path(folder) / f"{name}-{seed}"
                chosen = Experiment(
                    KINDS[name](**size),
                    files,
                    out=out,
                    epochs=comparison.epochs,
                    patience=None,
                    seed=seed,
                    lengths=1,
                    optimizer=Optimization(learning_rate=1e-3),
                )
                results.append(compare(chosen, own_init=comparison.own_init, resamples=comparison.resamples))
                print(row(name if len(comparison.seeds) == 1 else f"{name} {seed}", results[-1]), flush=True)
    return results


def first_jets(comparison: Comparison, folder: Path) -> Iterator[Path]:
    """The files, or copies that end early."""
    for i, path in enumerate(readers.list_files(comparison.data or None)):
        if comparison.jets is None:
            yield path
            continue
        short = folder / f"{i}-{path.name}"
        with h5py.File(path) as whole, h5py.File(short, "w") as part:
            for name in (hls4ml.CONSTITUENTS, hls4ml.JETS):
                part[name] = whole[name][: comparison.jets]
            for name in (hls4ml.PARTICLE_NAMES, hls4ml.JET_NAMES):
                part[name] = whole[name][:]
        yield short


def compare(chosen: Experiment, *, own_init: bool, resamples: int) -> Result:
    """Trains one network and its twin."""
    pipeline = pipelines.make_pipeline(chosen.model, len(hls4ml.CLASSES), hls4ml.HLS4ML)
    opened = open_files.open_split_files(chosen.data)
    read = load_subsets.load_subsets(opened, pipeline, chosen.task.read, seed=chosen.seed, memory=chosen.memory)
    train, val, test = (for_torch(chosen.model, pipeline, read.scaling, part.data) for part in read[:3])
    # As hepjax.runs.train draws them.
    params, state = pipelines.initialize_from_example(pipeline, jax.random.split(jax.random.key(chosen.seed))[0])
    torch.manual_seed(chosen.seed)
    own = make_twin(chosen.model, jax.tree.leaves(train.inputs)[0].shape[-1], len(hls4ml.CLASSES))
    twin = copy_parameters(params, copy.deepcopy(own), state)
    few: Batch = jax.tree.map(lambda x: x[:BLOCK], read.test.data)
    logits, _ = pipelines.make_apply(pipeline, read.scaling)(params, state, few.inputs, few.weights > 0, None)
    differences = np.abs(np.asarray(logits) - answers(twin, test)[:BLOCK]).max(1)
    apart = float(np.quantile(differences, MOST if isinstance(chosen.model, models.ParticleNet) else 1))
    if not apart <= AGREEMENT:
        raise ValueError(f"{type(chosen.model).__name__}: before training the logits are {apart:.2g} apart")
    twin = own if own_init else twin
    train_epoch = torch_training(twin, chosen, train, val)
    ours: list[Epoch] = []
    theirs: list[Epoch] = []
    best: dict[str, Any] = {}

    def in_turn(ensemble: Ensemble) -> None:
        ours.append(ensemble.history[-1])
        theirs.append(train_epoch(ensemble.history[-1].epoch))
        if theirs[-1].val_loss == min(epoch.val_loss for epoch in theirs):
            best.update(copy.deepcopy(twin.state_dict()))

    folder, _ = experiment.run(chosen, in_turn)
    twin.load_state_dict(best)
    scores = np.stack([load(folder).predict(read.test.data.inputs), jax.nn.softmax(answers(twin, test))])
    draws = np.random.default_rng(chosen.seed).integers(len(test.targets), size=(resamples, len(test.targets)))
    return Result(
        parameters=sum(x.size for x in jax.tree.leaves(params)),
        logits_apart=apart,
        ours=tuple(ours),
        theirs=tuple(theirs),
        auc=mean_aucs(scores, test.targets),
        resampled=np.array([mean_aucs(scores[:, rows], test.targets[rows]) for rows in draws]),
    )


def for_torch(model: models.Model, pipeline: InputPipeline, scaling: Scaling, data: Batch) -> Batch:
    """What the network is given of a part, once for all epochs; hepjax makes it anew in every step."""

    def represent(x: Any) -> Any:
        if isinstance(model, models.GraphNetwork):  # the twin has tensors of all pairs in place of lists of edges
            return x._replace(values=apply_scaling(scaling, x.values, x.mask))
        seen = pipeline.transform(scaling, x)
        if isinstance(model, models.ParticleTransformer):  # the twin makes features of pairs by itself
            columns = [pipeline.columns.index(hls4ml.HLS4ML.roles[role]) for role in P4]
            return seen._replace(pairs=None, momenta=replace_far(scaling, x.values)[..., columns])
        return seen

    # In blocks of one shape, for images of all jets at once take much memory to draw.
    blocks = [
        jax.device_get(jax.jit(represent)(block.inputs)) for block in batching.eval_batches(data, batch_size=BLOCK)
    ]
    inputs = jax.tree.map(lambda *x: np.concatenate(x)[: len(data.targets)], *blocks)
    return Batch(inputs, np.asarray(data.targets, np.int64), data.weights)


def torch_training(twin: torch.nn.Module, chosen: Experiment, train: Batch, val: Batch) -> Callable[[int], Epoch]:
    """The ordinary loop, over the batches that hepjax trains on; its function trains the epoch of this number."""
    rate = chosen.optimizer.learning_rate
    optimizer, criterion = torch.optim.Adam(twin.parameters(), lr=rate), torch.nn.CrossEntropyLoss()
    windows = batching.make_windows(train, batch_size=chosen.batch_size, seed=chosen.seed)
    tensors = jax.tree.map(torch.from_numpy, train)

    def epoch(number: int) -> Epoch:
        start, total = time.perf_counter(), 0.0
        twin.train()
        for rows in (rows for window in windows(number) for rows in window.examples[:, 0]):
            batch = jax.tree.map(lambda x, own=rows[rows >= 0]: x[torch.from_numpy(own)], tensors)
            optimizer.zero_grad()
            loss = criterion(twin(batch.inputs), batch.targets)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch.targets)
        seconds, jets = time.perf_counter() - start, len(train.targets)
        logits = torch.from_numpy(answers(twin, val))
        targets = torch.from_numpy(val.targets)
        loss, accuracy = criterion(logits, targets).item(), (logits.argmax(1) == targets).float().mean().item()
        return Epoch(number, total / jets, loss, accuracy, rate, seconds, jets / seconds)

    return epoch


def answers(twin: torch.nn.Module, data: Batch) -> np.ndarray:
    """(N, C) logits."""
    twin.eval()
    with torch.no_grad():
        starts = range(0, len(data.targets), BLOCK)
        blocks = (jax.tree.map(lambda x, i=i: torch.from_numpy(x[i : i + BLOCK]), data.inputs) for i in starts)
        return torch.cat([twin(block) for block in blocks]).numpy()


def mean_aucs(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(2, N, C) → (2,)."""
    classes, ones = hls4ml.CLASSES, np.ones(len(labels))
    curves = [evaluation.class_curves(Scores(x, labels, ones, classes)).values() for x in scores]
    return np.array([np.mean([evaluation.auc(curve) for curve in found]) for found in curves])


def row(name: str, result: Result) -> str:
    """One line of the table."""
    (ours, theirs), (sigma, their_sigma) = result.auc, result.resampled.std(axis=0)
    low, high = np.percentile(result.resampled[:, 0] - result.resampled[:, 1], [2.5, 97.5])
    seconds = np.array([[a.seconds, b.seconds] for a, b in zip(result.ours, result.theirs, strict=True)])
    steady = seconds[1:] if len(seconds) > 1 else seconds
    medians, ratios = np.median(steady, axis=0), steady[:, 1] / steady[:, 0]
    below = "  BELOW" if ours < theirs - BELOW else ""
    return (
        f"{name:20} {result.parameters:10,}  {result.logits_apart:12.1e}  {ours:.4f} ± {sigma:.4f}  "
        f"{theirs:.4f} ± {their_sigma:.4f}  {ours - theirs:+.4f} ({low:+.4f} to {high:+.4f})  "
        f"{medians[0]:8.2f}  {seconds[0, 0] - medians[0]:11.1f}  {medians[1]:9.2f}  "
        f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}){below}"
    )


if __name__ == "__main__":
    main(tyro.cli(Comparison))
