"""How many events and jets each cut leaves, so that none is lost without a word."""

from __future__ import annotations

from typing import NamedTuple

from hepjax.choices import Keep

PT_MIN = 100.0
"""GeV; softer jets are not looked at."""
FEWEST_PARTICLES = 2
"""Particles of the smallest jets that are kept."""


class Cuts(NamedTuple):
    """Counts after each cut."""

    events: int = 0
    """Events that were generated or read."""
    collisions: int = 0
    """Those that Pythia does not give up on."""
    hard: int = 0
    """Jets of at least `PT_MIN`; where only the hardest jet of each collision is kept, collisions with such a jet."""
    large: int = 0
    """Those of at least `FEWEST_PARTICLES`."""
    kept: int = 0
    """Those near a hard parton, where only such jets are kept."""


def add_cut_counts(first: Cuts, second: Cuts) -> Cuts:
    """Adds counts.

    >>> add_cut_counts(Cuts(2, 2, 1), Cuts(1, 1, 1)).hard
    2
    """
    return Cuts(*(a + b for a, b in zip(first, second, strict=True)))


def describe_cuts(cuts: Cuts, keep: Keep) -> str:
    """Returns the words that say what each cut leaves.

    Args:
      cuts: the counts.
      keep: which jets were kept.

    Returns:
      One line.

    >>> describe_cuts(Cuts(1000, 998, 5, 2, 2), Keep.LEADING)
    'events: 1,000; collisions that Pythia completes: 998; hardest jets of at least 100 GeV: 5; of these with 2 \
particles or more: 2'
    """
    kind = "hardest jets" if keep is Keep.LEADING else "jets"
    steps = [
        f"events: {cuts.events:,}",
        f"collisions that Pythia completes: {cuts.collisions:,}" if cuts.collisions < cuts.events else "",
        f"{kind} of at least {PT_MIN:g} GeV: {cuts.hard:,}",
        f"of these with {FEWEST_PARTICLES} particles or more: {cuts.large:,}",
        f"of these near a hard parton: {cuts.kept:,}" if keep is Keep.MATCHED else "",
    ]
    return "; ".join(step for step in steps if step)
