"""Tachograph records what every call to a language model did: tokens, latency, model version, cost, who asked."""

from tachograph.frames import ask, read

__version__ = "0.1.0"

__all__ = ["__version__", "ask", "read"]
