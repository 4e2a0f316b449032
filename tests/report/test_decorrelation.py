"""The picture of a trade-off."""

from __future__ import annotations

import pytest

from hepjax import InputError, report
from hepjax.evaluation import TradeOff


def tagger(auc, divergence):
    return TradeOff(auc, 0.01, 0.5, 0.02, divergence, 0.01, 0.001)


def test_each_way_is_a_line_and_the_limit_dashed():
    found = {"plain": [tagger(0.95, 0.5)], "adversary": [tagger(0.93, 0.1), tagger(0.9, 0.02)]}
    (axes,) = report.trade_off_figure(found, limit=tagger(0.92, 0.001)).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["plain, cut in bins", "plain", "adversary"]
    _, line = (container.lines[0] for container in axes.containers)
    assert line.get_xdata() == pytest.approx([10, 50])
    assert list(line.get_ydata()) == [0.93, 0.9]
    assert "50%" in axes.get_xlabel()


def test_what_bends_nothing_and_what_is_unknown_leave_the_others(tmp_path):
    line = [tagger(0.9, 0.1), tagger(0.85, 0.05), tagger(0.8, 0.0), tagger(0.7, float("nan"))]
    figure = report.trade_off_figure({"adversary": line})
    report.save(figure, tmp_path / "figure.png")
    low, high = figure.axes[0].get_xlim()
    assert 5 < low < 10
    assert 20 < high < 40


def test_no_tagger_is_refused():
    with pytest.raises(InputError, match="one tagger or more"):
        report.trade_off_figure({"plain": []})
