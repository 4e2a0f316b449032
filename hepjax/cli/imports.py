"""The command `hepjax import`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from hepjax.cli.options import Import


def import_command(command: Import, console: Console) -> None:
    """Makes a run folder of weights that others trained.

    Args:
      command: the options.
      console: where to say what is done.

    Raises:
      InputError: the file is no such network's, or does not fit the jets.
    """
    from hepjax.runs.import_weights import import_weights

    folder = import_weights(
        command.weights,
        command.network,
        command.out,
        dataset=command.dataset,
        classes=command.classes,
        columns=command.columns,
        particles=command.particles,
    )
    console.print(f"{folder}: measure it by hepjax evaluate {folder} --data FILE", soft_wrap=True)
