"""Sequences in time: chirps in coloured noise, made on the fly, and searches for them."""

from hepjax.tasks.transients.chirps import chirp, end_frequency, frequency_before, seconds_before
from hepjax.tasks.transients.examples import as_batch, frames, fresh_windows
from hepjax.tasks.transients.filters import Bank, Found, excess_power, make_bank, matched_filter
from hepjax.tasks.transients.noise import colour, coloured_noise, detector_density, optimal_snr, whiten
from hepjax.tasks.transients.search import Search, Transients, draw

__all__ = [
    "Bank",
    "Found",
    "Search",
    "Transients",
    "as_batch",
    "chirp",
    "colour",
    "coloured_noise",
    "detector_density",
    "draw",
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
