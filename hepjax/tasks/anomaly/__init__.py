"""Finds jets that are unlike the background, by autoencoders that have learned the background alone."""

from hepjax.tasks.anomaly.task import Anomaly
from hepjax.tasks.registry import register

__all__ = ["Anomaly"]

register("anomaly", Anomaly)
