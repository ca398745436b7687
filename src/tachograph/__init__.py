"""Tachograph records what every call to a language model did: tokens, latency, model version, cost, who asked."""

__version__ = "0.1.0"
