"""TopTagXL (Zenodo record 10878355): top quarks against QCD jets with the particle information of JetClass."""

from __future__ import annotations

import dataclasses

from hepjax.data.datasets import register
from hepjax.data.datasets.jetclass import JETCLASS, KINEMATICS, PARTICLE_COLUMNS
from hepjax.types import OneHot

# Without the angles relative to the jet; impact parameters have names of their own.
_PARTICLES = (
    *PARTICLE_COLUMNS[:4], "part_D0", "part_ErrD0", "part_DZ", "part_ErrDZ", *PARTICLE_COLUMNS[10:],
)  # fmt: skip
_ROLES = {role: name for role, name in JETCLASS.roles.items() if name in _PARTICLES}

TOPTAGXL = register(
    "toptagxl",
    dataclasses.replace(
        JETCLASS,
        name="toptagxl",
        particle_columns=_PARTICLES,
        jet_columns=(),
        classes=("qcd", "top"),
        labels=OneHot(("label_isQCD", "label_isTop")),
        roles=_ROLES,
        units={name: unit for name, unit in JETCLASS.units.items() if name in _PARTICLES},
        features=(),
        particle_features=(*KINEMATICS[:4], "eta_rel", "phi_rel", "delta_r", *_PARTICLES[4:]),
        background=("qcd",),
    ),
)
