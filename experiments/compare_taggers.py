"""All taggers on the same jets, split the same way, beside what was published.

    python experiments/compare_taggers.py
    python experiments/compare_taggers.py --data jets.h5 --epochs 20 --networks mlp deepsets trees svm

`trees` (gradient-boosted) and `svm` learn on the 16 observables of `mlp`, by scikit-learn (`pip install ".[trees]"`).
The published networks (arXiv:1908.05318) had 630,000 jets of the public dataset. In brackets: bootstrap uncertainties.
Expected in six minutes on the sample that comes with hepjax, 3,000 jets to train on: mean AUC of trees 0.91, mlp 0.90,
svm, deepsets 0.89, graph-network, gru 0.88, convnet1d 0.87, lstm, interaction-network 0.86, convnet 0.84 (all ± 0.01).
"""

from __future__ import annotations

import dataclasses
import time
from enum import Enum, member
from pathlib import Path

import numpy as np
import tyro

from hepjax import evaluation, models, report, types
from hepjax.data import atomic_files, readers
from hepjax.inputs import apply_scaling, batching, fit_scaling, tabular
from hepjax.runs import options, predictions, records, run_folder, train
from hepjax.tasks.classification import baselines, task

MODELS = (models.MLP(), models.ConvNet(), models.ConvNet1D(), models.LSTM(), models.GRU(), models.DeepSets(),
          models.InteractionNetwork(), models.GraphNetwork(neighbors=8), models.Mixer(), models.ParticleNet(),
          models.ParticleTransformer(), models.LorentzNet(), models.LGATrSlim())  # fmt: skip
Network = Enum("Network", {models.MODELS.name_of(model): model for model in MODELS})
Classical = Enum("Classical", {"trees": member(baselines.boosted_trees), "svm": member(baselines.support_vectors)})
TABLE = """| AUC | g | q | W | Z | t | mean | parameters | MFLOP a jet | training, s | mean - trees |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{}| published: dense, 16 features | .938 | .903 | .954 | .946 | .962 | .941 | 14,725 | | | |
| published: ConvNet, jet images | .895 | .901 | .910 | .899 | .950 | .911 | 205,525 | | | |
| published: GRU, 50 particles | .904 | .896 | .920 | .905 | .936 | .912 | 15,575 | | | |
| published: JEDI-net, 100 particles | .953 | .930 | .974 | .968 | .968 | .959 | 33,625 | | | |
| published: JEDI-net, sum, 150 particles | .953 | .929 | .970 | .965 | .968 | .957 | 8,481 | | | |
"""


@dataclasses.dataclass(frozen=True)
class CompareTaggers:
    """Trains and compares taggers."""

    networks: tuple[Network | Classical, ...] = (*[*Network][:8], *Classical)
    """Which of `hepjax train` (in the graph network, 8 nearest particles send to each) and scikit-learn; not all."""
    data: tuple[Path, ...] = ()
    """Files of jets; none is the sample that comes with hepjax."""
    epochs: int = 20
    """Epochs of each network; the best one counts."""
    seed: int = 0
    """Seed of the split, the first parameters, the order of jets."""
    out: Path = Path("runs/compare-taggers")
    """A new folder, with the table, the picture and a run folder for each network."""


def judge_by_network(network: Network, chosen: CompareTaggers) -> tuple[types.Scores, str]:
    """Trains a network; returns its scores of the test jets, and its costs."""
    common = {"data": chosen.data, "epochs": chosen.epochs, "seed": chosen.seed, "out": chosen.out / network.name}
    folder, _ = train.run(options.Experiment(network.value, patience=None, **common))
    cost, history = run_folder.read_experiment(folder)[1]["cost"], records.read_history(folder / "history.csv")
    costs = f"{cost['parameters']:,} | {cost['flop_per_jet'] / 1e6:.2f} | {sum(e.seconds for e in history):.0f}"
    return task.scores_of(predictions.read_predictions(folder / "test.h5")), costs


def judge_classically(kind: Classical, chosen: CompareTaggers) -> tuple[types.Scores, str]:
    """Fits trees or support vectors; returns the scores of the same jets, by rising row as in test.h5, and the time."""
    jets = readers.read_jets(chosen.data or None)
    x, y, rows = tabular(jets), np.asarray(jets.labels), batching.split(len(jets), seed=chosen.seed)
    x, test, start = apply_scaling(fit_scaling(x[rows.train]), x), np.sort(rows.test), time.perf_counter()
    answer = kind.value(*((x[part], y[part]) for part in rows[:2]), len(jets.classes))
    return types.Scores(answer(x[test]), y[test], None, jets.classes), f"| | {time.perf_counter() - start:.0f}"


def run(chosen: CompareTaggers) -> str:
    """Trains, measures and draws; returns the table."""
    atomic_files.check_new(chosen.out)
    taggers = sorted(chosen.networks, key=lambda tagger: tagger in Network)  # without scikit-learn, it ends at once
    judged = {x.name: (judge_by_network if x in Network else judge_classically)(x, chosen) for x in taggers}
    aucs, lines = {}, ""
    for name, (scores, _) in judged.items():  # (201, 6): of the jets, and of bootstrap samples, the same for all
        drawn = np.random.default_rng(0).poisson(1.0, (200, len(scores.labels)))
        curves = (evaluation.class_curves(scores._replace(weights=w)).values() for w in (None, *drawn))
        aucs[name] = np.array([[*x, np.mean(x)] for x in ([*map(evaluation.auc, sample)] for sample in curves)])
    for name, (_, costs) in judged.items():
        cells = [f"{x[0]:.3f}({1000 * x[1:].std():.0f})".removeprefix("0") for x in aucs[name].T]
        gain = aucs[name][:, 5] - aucs.get("trees", aucs[name])[:, 5]
        difference = f"{gain[0]:+.3f}({1000 * gain[1:].std():.0f})" if gain.any() else ""
        lines += f"| {name} | {' | '.join([*cells, costs, difference])} |\n"
    chosen.out.mkdir(parents=True, exist_ok=True)
    report.save(report.taggers_figure({name: scores for name, (scores, _) in judged.items()}), chosen.out / "roc.png")
    atomic_files.write_text(chosen.out / "table.md", table := TABLE.format(lines))
    return table


if __name__ == "__main__":
    print(run(tyro.cli(CompareTaggers, description=__doc__)))
