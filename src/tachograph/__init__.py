"""Tachograph records what every call to a language model did: tokens, latency, model version, cost, who asked."""

from tachograph.frames import ask, read
from tachograph.version import VERSION

__version__ = VERSION

__all__ = ["__version__", "ask", "read"]
