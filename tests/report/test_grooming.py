from __future__ import annotations

import numpy as np
import pytest

from hepjax import InputError
from hepjax.report import dropped_figure, groomed_masses_figure, peaks_table


def test_each_panel_has_the_spectra_of_its_class():
    masses = {
        "w": {"none": [70.5, 80.5, 80.6, 200.0], "mMDT": [79.0, 79.5, 81.0]},
        "QCD": {"none": [5.0], "mMDT": [1.0]},
    }
    figure = groomed_masses_figure(masses, {"w": (60.0, 100.0)}, bins=8, label="hepjax simulation")
    first, second = figure.axes
    steps = {patch.get_label(): patch.get_data() for patch in first.patches}
    np.testing.assert_allclose(steps["none"].values, [0, 0, 0.25, 0, 0.5, 0, 0, 0])  # one lies outside and counts
    np.testing.assert_allclose(steps["mMDT"].values, [0, 0, 0, 2 / 3, 1 / 3, 0, 0, 0])
    assert [axes.get_xlabel() for axes in figure.axes] == ["Mass of W jets [GeV]", "Mass of QCD jets [GeV]"]
    assert first.get_ylabel() == "Share of jets per 5 GeV"
    assert second.get_xlim() == (0, pytest.approx(5.1))
    assert first.get_title(loc="left") == "hepjax simulation"
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["none", "mMDT"]


def test_what_is_dropped_is_shown_as_a_share():
    r, z = np.repeat([0.1, 0.1, 0.01], [20, 20, 3]), np.repeat([0.4, 0.01, 0.4], [20, 20, 3])
    figure = dropped_figure(r, z, z < 0.1, {"β = 1": (0.1, 1.0), "β = 2": (0.2, 2.0)})
    axes = figure.axes[0]
    shares = np.ma.filled(axes.collections[0].get_array().astype(float), np.nan)
    assert np.isfinite(shares).sum() == 2  # three splittings are too few
    assert set(shares[np.isfinite(shares)]) == {0.0, 1.0}
    x, y = axes.lines[1].get_data()
    np.testing.assert_allclose(np.exp(y), 0.2 * np.exp(-x) ** 2)


def test_the_table_has_a_row_for_each_groomer():
    one = {"width": (2.0, 0.1), "place": (80.0, 0.2), "background": (0.01, 0.001)}
    table = peaks_table({"none": {"40%": one, "68%": one}, "agent": {"40%": one, "68%": one}}).splitlines()
    assert table[0].startswith("| groomer | 40%: width, GeV | place, GeV | background in it, % | 68%: width, GeV |")
    assert table[3] == "| agent" + " | 2.00 ± 0.10 | 80.00 ± 0.20 | 1.00 ± 0.10" * 2 + " |"
    assert len({line.count("|") for line in table}) == 1


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(InputError, match="a class of jets or more"):
        groomed_masses_figure({})
    with pytest.raises(InputError, match=r"class w for mMDT, found the shape \(2,\) and 1 that are not finite"):
        groomed_masses_figure({"w": {"mMDT": [1.0, np.nan]}})
    with pytest.raises(InputError, match="leave padding out"):
        dropped_figure([0.1, 0.0], [0.1, 0.0], [True, False], {})
