"""JetClass-II (arXiv:2405.12972): 188 kinds of large-radius jets; Hugging Face `jet-universe/jetclass2`.

The columns of particles and jets are those of JetClass; the class is a number, which the file does not name.
"""

from __future__ import annotations

import dataclasses

from hepjax.data.datasets import register
from hepjax.data.datasets.jetclass import JETCLASS
from hepjax.types import Index

N_CLASSES = 188
FIRST_QCD = 161
"""The first of the classes that are QCD jets, which are the last ones."""

JETCLASS2 = register(
    "jetclass2",
    dataclasses.replace(
        JETCLASS,
        name="jetclass2",
        classes=tuple(map(str, range(N_CLASSES))),
        labels=Index("jet_label"),
        observers=tuple(f"genjet_{name}" for name in ("pt", "eta", "phi", "energy", "sdmass", "nparticles")),
        background=tuple(map(str, range(FIRST_QCD, N_CLASSES))),
    ),
)
