"""Options by the names that people know from other programs, and what they are called here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_HERE = {
    "--optimizer.learning-rate": ("--lr", "--learning-rate", "--start-lr"),
    "--optimizer.weight-decay": ("--wd", "--weight-decay"),
    "--optimizer.clip-norm": ("--clip", "--clip-norm", "--grad-clip", "--gradient-clip-val"),
    "--optimizer.average": ("--ema", "--ema-decay"),
    "--optimizer.pieces": ("--accumulate-grad-batches", "--grad-accum", "--accum-steps"),
    "--optimizer.schedule": ("--schedule", "--scheduler", "--lr-scheduler"),
    "--optimizer.name": ("--optim", "--optimizer"),
    "--batch-size": ("--bs", "--batch", "--batchsize"),
    "--epochs": ("--num-epochs", "--n-epochs", "--max-epochs"),
    "--out": ("-o", "--output", "--output-dir", "--outdir", "--model-prefix"),
    "--data": ("--input", "--data-train", "--train", "--train-data", "--train-files"),
    "--val": ("--data-val", "--val-data", "--validation"),
    "--test": ("--data-test", "--test-data"),
    "--dataset": ("--data-config",),
    "--patience": ("--early-stopping", "--early-stopping-patience"),
    "--folds": ("--kfold", "--k-folds", "--cv"),
    "--devices.count": ("--gpus", "--gpu", "--devices"),
    "--precision": ("--amp", "--use-amp", "--dtype"),
    "--seed": ("--random-state", "--random-seed"),
    "hepjax train MODEL": ("--model", "--network", "--network-config", "--arch"),
}
_CALLED_HERE = {theirs: ours for ours, others in _HERE.items() for theirs in others}
"""Name elsewhere → name here."""


def check_habits(words: Sequence[str], known: Collection[str]) -> None:
    """Refuses options of other programs, and says what they are called here.

    Args:
      words: of the command line that are no options of every training.
      known: options of the model, which may have such names.

    Raises:
      InputError: names the first.

    >>> check_habits(["--lr=1e-3"], ())
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: --lr: is called --optimizer.learning-rate here; hepjax train --help lists all options
    >>> check_habits(["--lr", "1e-3"], ("lr",))
    """
    for word in words:
        option = word.partition("=")[0]
        if option in _CALLED_HERE and option.lstrip("-").replace("-", "_") not in known:
            raise InputError(f"{option}: is called {_CALLED_HERE[option]} here; hepjax train --help lists all options")
