"""All taggers on the same jets, split the same way and trained for as many epochs, beside what was published.

    python experiments/compare_taggers.py
    python experiments/compare_taggers.py --data jets.h5 --epochs 20

The published networks (arXiv:1908.05318) learnt from 630,000 jets of the public dataset, made by other programs, and
from up to 150 particles: compare the order of the rows. In brackets stand bootstrap uncertainties of the last digits.
Expected in five minutes on the sample that comes with hepjax, 3,000 jets to train on: mean AUC of mlp 0.90, deepsets
0.89, graph-network, gru 0.88, convnet1d 0.87, lstm, interaction-network 0.86, convnet 0.84 (all ± 0.01).
"""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path

import numpy as np
import tyro

from hepjax import evaluation, experiment, load, options, readers, report, runs
from hepjax.types import Scores

MODELS = (options.MLP(), options.Convnet(), options.Convnet1d(), options.LSTM(), options.GRU(), options.Deepsets(),
          options.InteractionNetwork(), options.GraphNetwork(neighbours=8))  # fmt: skip
Network = enum.Enum("Network", {runs.model_name(model): model for model in MODELS})
TABLE = """| AUC | g | q | W | Z | t | mean | parameters | MFLOP a jet | training, s |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{}| published: dense, 16 features | .938 | .903 | .954 | .946 | .962 | .941 | 14,725 | | |
| published: ConvNet, jet images | .895 | .901 | .910 | .899 | .950 | .911 | 205,525 | | |
| published: GRU, 50 particles | .904 | .896 | .920 | .905 | .936 | .912 | 15,575 | | |
| published: JEDI-net, 100 particles | .953 | .930 | .974 | .968 | .968 | .959 | 33,625 | | |
| published: JEDI-net, sum, 150 particles | .953 | .929 | .970 | .965 | .968 | .957 | 8,481 | | |
"""


@dataclasses.dataclass(frozen=True)
class CompareTaggers:
    """Trains and compares taggers."""

    networks: tuple[Network, ...] = tuple(Network)
    """Which, as `hepjax train` has them; in the graph network, 8 nearest particles send to each."""
    data: tuple[Path, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""
    epochs: int = 20
    """Of each network; the best one counts."""
    seed: int = 0
    """Of the split, the first parameters, the order of jets."""
    out: Path = Path("runs/compare-taggers")
    """A new folder, with the table, the picture and a run folder for each network."""


def aucs(scores: Scores) -> np.ndarray:
    """Each class against all others, and the mean."""
    return np.array([*(found := [*map(evaluation.auc, evaluation.class_curves(scores).values())]), np.mean(found)])


def measure(folder: Path, data: tuple[Path, ...]) -> tuple[Scores, str]:
    """What a trained network says of its test jets, and its line of the table: AUC ± bootstrap deviation, and costs."""
    tagger, test = load(folder), readers.read_jets(data or None)[np.load(folder / "split.npz")["test"]]
    p = tagger.scores(tagger.recipe.read(test, slice(None)))
    scores = Scores(p, test.labels, np.ones(len(p)), tagger.classes)
    rows = np.random.default_rng(0).integers(len(p), size=(200, len(p)))
    sigma = np.std([aucs(Scores(*(x[drawn] for x in scores[:3]), tagger.classes)) for drawn in rows], axis=0)
    cost, seconds = runs.read_experiment(folder)[1]["cost"], sum(e.seconds for e in runs.read_history(folder))
    cells = [f"{auc:.3f}({1000 * s:.0f})".removeprefix("0") for auc, s in zip(aucs(scores), sigma, strict=True)]
    cells += [f"{cost['parameters']:,}", f"{cost['flop_per_jet'] / 1e6:.2f}", f"{seconds:.0f}"]
    return scores, f"| {folder.name} | {' | '.join(cells)} |\n"


def draw(found: dict[str, Scores], path: Path) -> None:
    """A panel for each class, with the ROC curve of every network."""
    with report.style():
        panels = (figure := report.new_figure(18, 11)).subplots(2, 3).ravel()
        for i, (network, scores) in enumerate(found.items()):
            for axes, (name, curve) in zip(panels, evaluation.class_curves(scores).items(), strict=False):
                axes.semilogy(curve.tpr, curve.fpr, f"C{i}", linestyle="--" if i > 5 else "-", label=network)
                axes.set(xlim=(0, 1), ylim=(1e-3, 1), xlabel=f"{report.drawn(name)} efficiency", ylabel="Mistag rate")
        panels[-1].axis("off")
        panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center")
    report.save(figure, path)


def run(chosen: CompareTaggers) -> str:
    """Trains, measures and draws; returns the table."""
    runs.check_new(chosen.out)
    found, common = {}, {"data": chosen.data, "epochs": chosen.epochs, "patience": None, "seed": chosen.seed}
    for network in chosen.networks:
        experiment.run(options.Experiment(network.value, out=(out := chosen.out / network.name), **common))
        found[network.name] = measure(out, chosen.data)
    table = TABLE.format("".join(line for _, line in found.values()))
    runs.write_text(chosen.out / "table.md", table)
    draw({name: scores for name, (scores, _) in found.items()}, chosen.out / "roc.png")
    return table


if __name__ == "__main__":
    print(run(tyro.cli(CompareTaggers, description=__doc__)))
