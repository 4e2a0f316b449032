"""One unit of work: some jets of one class, from a seed of their own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hepjax import schema
from hepjax.simulation import clustering
from hepjax.simulation.detector import Particles, detect
from hepjax.simulation.processes import PROCESSES, Process, generator

UNIT_JETS = 100
_LARGEST_PYTHIA_SEED = 900_000_000
_MAX_EMPTY_BATCHES = 20


class Unit(NamedTuple):
    """What a worker is asked for; the answer depends on nothing else."""

    seed: int
    label: int
    """Index into `schema.CLASSES`."""
    number: int
    """The how-manieth unit of its class."""
    jets: int


def simulate_unit(unit: Unit) -> clustering.RaggedJets:
    """Generates events until the unit's number of jets is reached.

    Both hard jets of an event are kept, one after the other, where both pass the selection.

    Args:
      unit: what to make.

    Returns:
      `unit.jets` jets; their particles are not sorted.

    Raises:
      InputError: the extra `sim` is missing.
      RuntimeError: Pythia fails.

    >>> simulate_unit(Unit(seed=1, label=2, number=0, jets=1)).counts  # doctest: +SKIP
    array([35])
    """
    name = schema.CLASSES[unit.label]
    sequence = np.random.SeedSequence([unit.seed, unit.label, unit.number])
    rng = np.random.default_rng(sequence)
    pythia = generator(name)
    pythia.rndm.init(int(sequence.generate_state(1)[0]) % _LARGEST_PYTHIA_SEED + 1)
    parts: list[clustering.RaggedJets] = []
    missing, empty = unit.jets, 0
    while missing > 0:
        # Two jets an event, less those that fail the selection.
        particles, partons = _generate(pythia, PROCESSES[name], max(4, missing // 2 + 1))
        seen = detect(particles, rng)
        events = int(particles.event[-1]) + 1 if len(particles.event) else 0
        jets, event = clustering.cluster(seen.p4, np.bincount(seen.event, minlength=events))
        rows = clustering.matched(jets, event, partons.p4, partons.event)[:missing]
        empty = 0 if len(rows) else empty + 1
        if empty > _MAX_EMPTY_BATCHES:
            raise RuntimeError(f"Pythia makes no jets of class {name!r} that pass the selection; check its settings")
        parts.append(clustering.select(jets, rows))
        missing -= len(rows)
    return clustering.concatenate(parts)


def _generate(pythia: Any, process: Process, events: int) -> tuple[Particles, Particles]:
    """The final particles of some events, and the hard partons or bosons."""
    import awkward as ak  # type: ignore[import-untyped]  # comes with fastjet

    # One call hands over all events as arrays, for a hundredth of the cost of visiting each particle.
    record = pythia.nextBatch(events).prt
    flat = ak.flatten(record)
    status, ids = ak.to_numpy(flat.status), ak.to_numpy(flat.id)
    p4 = np.stack([ak.to_numpy(flat.p[name]) for name in ("px", "py", "pz", "e")], axis=1)
    event = np.repeat(np.arange(len(record)), ak.to_numpy(ak.num(record)))
    final = status > 0
    hard = (status == -process.status) & np.isin(np.abs(ids), process.ids)
    return Particles(p4[final], ids[final], event[final]), Particles(p4[hard], ids[hard], event[hard])
