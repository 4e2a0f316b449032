"""Anomalies: jets that are unlike the background."""
