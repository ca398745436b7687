"""What the two doors share about a request before its body: who sends it, and how it is counted.

In: header or metadata values. Out: what the gatekeeper is shown; the shapes of gatekeeper and counter.
What it must never know: HTTP, gRPC, how keys are kept.
"""

from __future__ import annotations

from collections.abc import Callable

# Told the `Authorization` of a request, the bare key of `x-tachograph-key`, or None; answers ok, unauthenticated or
# forbidden.
Gatekeeper = Callable[[str | None], str]
Count = Callable[[str, int, str], None]  # name of a counter, amount, value of its label

REQUESTS = "otlp_requests_total"  # by door: every request that asked for a signal
REFUSED = "otlp_requests_refused_total"  # by reason: requests that were not taken, also those that may come again
BYTES = "otlp_bytes_total"  # by door: bodies as they travelled

UNAUTHENTICATED = "no valid key: send `Authorization: Bearer KEY` with a key of `tachograph key add`"
FORBIDDEN = "this key may not send: give it the scope `ingest`"


def shown(authorization: str | bytes | None, key: str | bytes | None) -> str | None:
    """What the gatekeeper is shown; the header of our own wins, since proxies put their own into the other."""
    value = key or authorization
    return value.decode("latin-1") if isinstance(value, bytes) else value
