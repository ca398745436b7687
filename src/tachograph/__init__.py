"""Tachograph records what every call to a language model did: tokens, latency, model version, cost, who asked."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tachograph.version import VERSION

if TYPE_CHECKING:
    from tachograph.capture.sdk.asgi import TachographMiddleware
    from tachograph.capture.sdk.baggage import from_baggage, to_baggage
    from tachograph.capture.sdk.context import attribute, context
    from tachograph.capture.sdk.wsgi import TachographWSGI
    from tachograph.frames import ask, read
    from tachograph.instrumenting import counts, flush, instrument, record, recording, uninstrument

__version__ = VERSION

# Imported when first used: a service that only sends calls need not load what reads them.
_WHERE = {
    "TachographMiddleware": "capture.sdk.asgi",
    "TachographWSGI": "capture.sdk.wsgi",
    "ask": "frames",
    "attribute": "capture.sdk.context",
    "context": "capture.sdk.context",
    "counts": "instrumenting",
    "flush": "instrumenting",
    "from_baggage": "capture.sdk.baggage",
    "instrument": "instrumenting",
    "read": "frames",
    "record": "instrumenting",
    "recording": "instrumenting",
    "to_baggage": "capture.sdk.baggage",
    "uninstrument": "instrumenting",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'tachograph' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"tachograph.{_WHERE[name]}"), name)
    return found


__all__ = [
    "TachographMiddleware",
    "TachographWSGI",
    "__version__",
    "ask",
    "attribute",
    "context",
    "counts",
    "flush",
    "from_baggage",
    "instrument",
    "read",
    "record",
    "recording",
    "to_baggage",
    "uninstrument",
]
