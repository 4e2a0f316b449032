import numpy as np
import pytest

from hepjax import InputError
from hepjax.evaluation import Distance, FloorComparison
from hepjax.report import distances_figure, distances_table, generation_table

FLOOR = Distance(1.0, 0.25)
FOUND = {
    "j_mass": {"flow": FloorComparison(Distance(1.5, 0.2), FLOOR), "VAE": FloorComparison(Distance(4.0, 1.0), FLOOR)},
    "j_multiplicity": {
        "flow": FloorComparison(Distance(0.0123, 0.0), FLOOR),
        "VAE": FloorComparison(Distance(123.4, 56.7), FLOOR),
    },
}


def test_the_table_rounds_by_the_errors():
    assert distances_table(FOUND).splitlines() == [
        "| observable | floor | flow | VAE |",
        "| --- | --- | --- | --- |",
        "| j_mass | 1.00 ± 0.25 | 1.50 ± 0.20 (1.5) | 4.0 ± 1.0 (4.0) |",
        "| j_multiplicity | 1.00 ± 0.25 | 0.0123 (0.0) | 123 ± 57 (123.4) |",
    ]


def test_the_figure_shows_each_ratio_with_its_error():
    axes = distances_figure(FOUND).axes[0]
    flow, vae = axes.containers[-2:]
    assert list(flow.lines[0].get_xdata()) == [1.5, 0.0123]
    assert list(vae.lines[0].get_xdata()) == [4, 123.4]
    (bars,) = vae.lines[2]
    ends = np.array([segment[:, 0] for segment in bars.get_segments()], np.float64)
    np.testing.assert_allclose(ends, [[3, 5], [123.4 - 56.7, 180.1]])
    band = axes.patches[0]
    assert (band.get_x(), band.get_width()) == (0.75, 0.5)


def test_all_that_is_known_stands_in_three_tables():
    auc = {"floor": Distance(0.501, 0.012), "flow": Distance(0.55, 0.01), "VAE": Distance(0.7, 0.01)}
    text = generation_table({"all": FOUND, "w": FOUND}, auc, {"flow": Distance(12.3, 0.1)}, "j_mass")
    tables = text.split("\n\n")
    assert len(tables) == 3
    assert "-ln p" in tables[2]
    assert "-ln p" not in generation_table({"all": FOUND}, auc, {}, "j_mass")
    assert "| W | 1.00 ± 0.25 |" in tables[1]
    assert tables[2].splitlines()[2:] == [
        "| floor | 0.501 ± 0.012 |  |",
        "| flow | 0.550 ± 0.010 | 12.30 ± 0.10 |",
        "| VAE | 0.700 ± 0.010 |  |",
    ]


@pytest.mark.parametrize("found", [{}, {"j_mass": {}}, {**FOUND, "j_pt": {"flow": FOUND["j_mass"]["flow"]}}])
def test_other_generators_in_other_rows_are_refused(found):
    for show in (distances_table, distances_figure):
        with pytest.raises(InputError, match="the same generators"):
            show(found)
