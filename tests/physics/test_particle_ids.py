"""What PDG identities say, against Pythia's table of particles."""

from __future__ import annotations

import numpy as np
import pytest

from hepjax.physics.particle_ids import charges, is_hadron


def test_charges_and_hadrons_are_those_of_pythia():
    pythia8 = pytest.importorskip("pythia8mc", reason="the table of particles is Pythia's: pip install 'hepjax[sim]'")
    table = pythia8.Pythia("", False).particleData
    known = [kind for kind in range(11, 6000) if table.isParticle(kind) and (table.isHadron(kind) or kind < 25)]
    assert len(known) > 100
    ids = np.array([*known, *(-kind for kind in known if table.hasAnti(kind))])
    np.testing.assert_array_equal(charges(ids), [round(table.charge(int(kind))) for kind in ids])
    np.testing.assert_array_equal(is_hadron(ids), [table.isHadron(int(kind)) for kind in ids])


def test_nuclei_have_the_charge_of_their_protons():
    assert charges(np.array([1_000_010_020, -1_000_020_040])).tolist() == [1, -2]
    assert is_hadron(np.array([1_000_010_020])).all()
