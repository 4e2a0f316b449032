"""The command `hepjax observables`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepjax.cli.options import Observables, reading_options
from hepjax.cli.progress import progress_bar

if TYPE_CHECKING:
    from rich.console import Console


def observables_command(command: Observables, console: Console) -> None:
    """Computes observables of the jets of files, and writes the jets with them added.

    Args:
      command: the options.
      console: where to say what is done.

    Raises:
      InputError: the files are not usable, or the new one cannot be written.
    """
    from hepjax.data import read_jets
    from hepjax.physics.substructure import write_with_observables
    from hepjax.runtime import compilation

    compilation.cache_programs()
    jets = read_jets(command.files, particles=command.particles, **reading_options(command))
    with progress_bar(console, "computing observables", len(jets), "jets") as advance:
        added = write_with_observables(command.out, jets, command.observables or None, advance)
    console.print(f"{command.out}: {len(jets):,} jets with {len(added)} observables added", soft_wrap=True)
