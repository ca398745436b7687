"""An exchange through the tap, without Envoy: LuaJIT runs the tap over the same pieces and tells the log line.

In: an exchange whose chunks have moments. Out: the line that Envoy would have written, the bytes that went either way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tachograph.capture.gateway import lines, tap
from tachograph.wire import End, Exchange

luajit = pytest.importorskip("lupa.luajit21", reason="no LuaJIT: pip install lupa")

STARTED_US = 1_790_000_000_000_000
_CLOCK = "return tonumber(time.seconds) * 1000000 + floor(tonumber(time.nanoseconds) / 1000)"
_FLAGS = {End.COMPLETE: None, End.CLIENT_GONE: "DC", End.TIMEOUT: "UT", End.NETWORK: "UPE", End.PROTOCOL: "DPE"}


@dataclass
class Passed:
    """line: of the log. sent, got: the bodies that the provider and the client got. stream: the double's own notes."""

    line: bytes
    sent: bytes
    got: bytes
    kept: dict[str, str]
    request: dict[str, str]
    stream: Any


class Tap:
    """The tap of one kind of route, in a LuaJIT of its own."""

    def __init__(self, source: str | None = None, **variant: Any) -> None:
        source = tap.render(**variant) if source is None else source
        assert source.count(_CLOCK) == 1
        self.lua = luajit.LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self.lua.execute(b"local now = 0 function tell_clock(at) now = at end function told_clock() return now end")
        self.lua.execute(source.replace(_CLOCK, "return told_clock()").encode())
        self._run = self.lua.execute((Path(__file__).parent / "handle.lua").read_bytes())

    def _table(self, values: Mapping[str, str]) -> Any:
        return self.lua.table_from(
            {name.encode(): value.encode("utf-8", "surrogateescape") for name, value in values.items()}
        )

    def memory_bytes(self) -> int:
        """What Lua holds after a collection."""
        self.lua.execute(b"collectgarbage() collectgarbage()")
        return int(self.lua.eval(b'collectgarbage("count")') * 1024)

    def run(
        self,
        exchange: Exchange,
        *,
        asked: Sequence[bytes] | None = None,
        again: tuple[Mapping[str, str], bytes] | None = None,
    ) -> Passed:
        """Pass one exchange through; a member of `chunks` is a piece."""
        request = exchange.request
        url = urlsplit(request.url)
        headers = {":method": request.method, ":path": url.path + (f"?{url.query}" if url.query else "")}
        pieces = list(asked) if asked is not None else [request.body] if request.body else []
        if pieces:
            headers["content-length"] = str(sum(map(len, pieces)))
        told = self._table({**headers, **request.headers})
        answer = self._table({":status": str(exchange.status), **exchange.headers})
        moments = [STARTED_US + (at or 0) for at, _ in exchange.chunks]
        stream, sent, got = self._run(
            told,
            self.lua.table_from(pieces),
            answer,
            self.lua.table_from([chunk for _, chunk in exchange.chunks]),
            self.lua.table_from(moments),
            None if again is None else self._table(again[0]),
            None if again is None else again[1],
        )
        spaces = stream[b"namespaces"]
        kept = {name.decode(): value.decode() for name, value in dict(spaces[b"tachograph"] or {}).items()}
        answered = exchange.status is not None
        line = {
            **dict.fromkeys(lines.LOG_FORMAT),
            "a": lines.LOG_FORMAT["a"],
            "t": str(STARTED_US),
            "n": "route",
            "w": request.method,
            "u": "127.0.0.1:1",
            "s": exchange.status,
            "f": _FLAGS[exchange.end],
            "r": (exchange.headers_us or 1) if answered else None,
            "e": exchange.end_us,
            "m": kept,
        }
        sent_headers = {name.decode(): value.decode() for name, value in dict(told).items()}
        return Passed(json.dumps(line).encode(), sent, got, kept, sent_headers, stream)
