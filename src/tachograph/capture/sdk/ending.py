"""What a client raised -> how the attempt ended.

In: an exception of whatever client library. Out: a `wire.End`. By the names of its classes: no library need be there
for us to know it.
What it must never know: a library, a provider.
"""

from __future__ import annotations

from tachograph import wire

_GONE = (GeneratorExit, KeyboardInterrupt, SystemExit)
_CANCELLED = frozenset(("CancelledError", "Cancelled"))  # asyncio, trio
_TIMEOUTS = frozenset(("TimeoutException", "TimeoutError", "Timeout", "ReadTimeoutError", "ConnectTimeoutError"))
_BROKEN = frozenset(
    (
        "ProtocolError",
        "DecodingError",
        "ContentDecodingError",
        "InvalidChunkLength",
        "DecodeError",
        "BadStatusLine",
        "BadHttpMessage",
        "LineTooLong",
        "InvalidHeader",
    )
)
# A connection that was cut is told in the same classes as one that spoke nonsense.
_CUT = (
    *("incomplete", "disconnected", "closed", "reset", "aborted", "terminated", "eof"),
    *("not enough data", "not completed", "got length b''", "without response"),
)


def end_of(failure: BaseException) -> wire.End:
    """How an attempt ended that raised this."""
    names = {kind.__name__ for kind in type(failure).__mro__}
    if isinstance(failure, _GONE) or names & _CANCELLED:
        return wire.End.CLIENT_GONE
    if names & _TIMEOUTS or any(name.endswith("Timeout") for name in names):
        return wire.End.TIMEOUT
    if names & _BROKEN and not any(word in str(failure).lower() for word in _CUT):
        return wire.End.PROTOCOL
    return wire.End.NETWORK
