from __future__ import annotations

import numpy as np
import pytest

from hepjax import InputError
from hepjax.evaluation import detections
from hepjax.report import detections_table, efficiency_figure, segment_figure


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    snr = np.concatenate([np.zeros(500), rng.uniform(3, 12, 500)])
    return detections({"matched filter": rng.normal(snr), "LSTM": rng.normal(snr / 2)}, snr, [3, 6, 12], (0.1, 0.01))


def test_data_and_signal_lie_over_each_other(assert_legible):
    times = np.arange(64) / 64
    raw, white = (np.sin(times), np.cos(times)), (times, -times)
    figure = segment_figure(times, raw, white, label="SNR 10")
    for axes, series in zip(figure.axes, (raw, white), strict=True):
        for line, one in zip(axes.lines, series, strict=True):
            np.testing.assert_array_equal(line.get_data(), [times, one])
    assert figure.axes[0].get_title(loc="left") == "SNR 10"
    assert_legible(figure)


def test_each_search_has_a_line_in_the_panel_of_each_false_alarm_probability(found, assert_legible):
    figure = efficiency_figure(found)
    assert [axes.get_title(loc="right") for axes in figure.axes] == ["10 % false alarms", "1 % false alarms"]
    for axes, probability in zip(figure.axes, (0.1, 0.01), strict=True):
        for container, one in zip(axes.containers, found.values(), strict=True):
            np.testing.assert_array_equal(container[0].get_ydata(), one.efficiency[probability].rate)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["matched filter", "LSTM"]
    assert_legible(figure)


def test_the_table_has_a_row_for_each_search_and_the_bins_that_are_asked_for(found):
    head, _, first, second = detections_table(found, (1,)).splitlines()
    words = "| search | AUC | found at 10 % false alarms, %: SNR 6 to 12 | found at 1 % false alarms, %: SNR 6 to 12 |"
    assert head == words
    assert first.split(" | ")[0] == "| matched filter"
    assert float(second.split(" | ")[1].split()[0]) == pytest.approx(found["LSTM"].auc, abs=1e-4)
    one = found["LSTM"].efficiency[0.01]
    assert second.split(" | ")[3] == f"{100 * one.rate[1]:.1f} ± {50 * (one.high[1] - one.low[1]):.1f} |"
    assert len(detections_table(found).splitlines()[0].split("|")) == 8


def test_bad_input_is_refused_in_one_line():
    series = np.zeros(4), np.zeros(4)
    with pytest.raises(InputError, match=r"whitened: expected data and signal of shape \(4,\), as times, found \(3,\)"):
        segment_figure(np.arange(4), series, (np.zeros(4), np.zeros(3)))
    for draw in (efficiency_figure, detections_table):
        with pytest.raises(InputError, match="searches: expected the result of one search or more, found none"):
            draw({})
