"""The version of hepjax."""

__version__ = "0.1.0"
