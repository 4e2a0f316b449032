"""Time series: simulated chirps in colored noise, and searches for them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.registry import submodule
from hepjax.tasks.transients.chirps import chirp, end_frequency, frequency_before, seconds_before
from hepjax.tasks.transients.examples import as_batch, frames, fresh_windows
from hepjax.tasks.transients.filters import Bank, FilterResult, excess_power, make_bank, matched_filter
from hepjax.tasks.transients.noise import color_noise, colored_noise, detector_density, optimal_snr, whiten
from hepjax.tasks.transients.search import Search, Transients, draw_transients

__all__ = [
    "Bank",
    "FilterResult",
    "Search",
    "Transients",
    "as_batch",
    "chirp",
    "color_noise",
    "colored_noise",
    "detector_density",
    "draw_transients",
    "end_frequency",
    "excess_power",
    "frames",
    "frequency_before",
    "fresh_windows",
    "make_bank",
    "matched_filter",
    "optimal_snr",
    "seconds_before",
    "whiten",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
