"""The standard inputs of networks with published weights, of any jets (arXiv:2202.03772)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax.data.standard_columns import SETS
from hepjax.inputs.sequences import sequences

if TYPE_CHECKING:
    from hepjax.types import Jets, Sequences

KIN = SETS["jetclass_kin"]
"""Seven kinematic columns, standardized."""
KINPID = SETS["jetclass_kinpid"]
"""These with the charge and five flags of the particle's type: 13 columns."""
FULL = SETS["jetclass_full"]
"""These with impact parameters and their errors: 17 columns."""
POINTS = ("part_deta", "part_dphi")
"""The places of particles, by which those networks find neighbors; the last two columns of each set."""
PARTICLES = 128
"""As many of the hardest particles do those networks see."""


def jetclass_inputs(
    jets: Jets, columns: tuple[str, ...] = KIN, *, particles: int = PARTICLES, rows: slice | np.ndarray = slice(None)
) -> Sequences:
    """Makes the input of a network with published weights: standardized and clipped, so that no scaling is to follow.

    Padding is 0, not the jet's own particles again as in weaver-core, and masked.

    Args:
      jets: of any dataset with four-momenta, in GeV; `KINPID` needs charges and types, or PDG ids, `FULL` also impact
        parameters in mm.
      columns: `KIN`, `KINPID` or `FULL`.
      particles: how many slots P each jet gets; jets with more particles are cut to the hardest.
      rows: which N jets; the default is all.

    Returns:
      (N, P, 7, 13 or 17) float32 values, 0 in the padding, and their (N, P) mask.

    Raises:
      InputError: the jets lack what a column follows from, or jets in memory are not valid.

    >>> import hepjax
    >>> jetclass_inputs(hepjax.read_jets(), rows=slice(3)).values.shape
    (3, 128, 7)
    """
    slots = int(jets.constituents.shape[1])
    found = sequences(jets, columns, particles=min(particles, slots), rows=rows)
    padding = max(0, particles - slots)
    return found._replace(
        values=np.pad(found.values, ((0, 0), (0, padding), (0, 0))), mask=np.pad(found.mask, ((0, 0), (0, padding)))
    )
