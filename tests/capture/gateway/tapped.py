"""An exchange through the tap, without Envoy: a double of it runs the module over the same pieces and tells the line.

In: an exchange whose chunks have moments. Out: the line that Envoy would have written, the bytes that went either way.
"""

from __future__ import annotations

import ctypes
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tap import build

from tachograph.capture.gateway import lines, tap
from tachograph.wire import End, Exchange

ROOT = Path(__file__).parents[3]
STARTED_US = 1_790_000_000_000_000
_FLAGS = {End.COMPLETE: "-", End.CLIENT_GONE: "DC", End.TIMEOUT: "UT", End.NETWORK: "UPE", End.PROTOCOL: "DPE"}


class _Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t))


@lru_cache(maxsize=1)
def double() -> ctypes.CDLL:
    """The tap within a double of Envoy, built where a file of it is newer."""
    if build.working() is None:
        pytest.skip(build.MISSING)
    library = ctypes.CDLL(str(build.double(ROOT / ".servers")))
    pointers = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(_Buffer))
    library.envoy_double_run.argtypes = pointers
    library.envoy_double_free.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    library.envoy_double_fail.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int64)
    library.envoy_double_memory.restype = ctypes.c_int64
    for made in (library.envoy_double_config, library.envoy_double_route):
        made.argtypes, made.restype = (ctypes.c_char_p, ctypes.c_size_t), ctypes.c_void_p
    return library


@dataclass
class Passed:
    """line: of the log. sent, got: the bodies that the provider and the client got. again: the second request, as
    (cluster, headers, body).
    """

    line: bytes
    sent: bytes
    got: bytes
    kept: dict[str, str]
    request: dict[str, str]
    again: tuple[str, dict[str, str], bytes] | None


class Tap:
    """The tap of one kind of route. fails: (a point of it, how often that is passed before it fails)."""

    def __init__(self, fails: tuple[str, int] | None = None, **variant: Any) -> None:
        self._double, self._fails = double(), fails
        self._config, self._route = (
            made(told, len(told))
            for made, told in (
                (self._double.envoy_double_config, tap.lists().encode()),
                (self._double.envoy_double_route, tap.variant(**variant).encode()),
            )
        )
        assert self._config
        assert self._route

    def memory_bytes(self) -> int:
        """What the module and its double hold."""
        return int(self._double.envoy_double_memory())

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
        told = [
            *_headers({**headers, **request.headers}),
            *_all(pieces),
            _number(exchange.status is not None),
            *_headers({":status": str(exchange.status), **exchange.headers}),
            *_all([chunk for _, chunk in exchange.chunks]),
            *(_number(STARTED_US + (at or 0)) for at, _ in exchange.chunks),
            _number(again is not None),
            *((*_headers(again[0]), _bytes(again[1])) if again else ()),
        ]
        sent, got, noted, request_headers, second = _read(self._passed(b"".join(told)))
        line = {
            "A": f"{STARTED_US}.1",
            **dict.fromkeys(lines.LOG_FORMAT, "-"),
            "a": lines.LOG_FORMAT["a"],
            "n": "route",
            "u": "127.0.0.1:1",
            "s": str(exchange.status),
            "f": _FLAGS[exchange.end],
            "r": str(exchange.headers_us or 1) if exchange.status is not None else "-",
            "e": "-" if exchange.end_us is None else str(exchange.end_us),
            "m": noted.decode(),
        }
        kept = {key: value for key, _, value in (entry.partition("=") for entry in noted.decode().split("^"))}
        return Passed(json.dumps(line).encode(), sent, got, kept, request_headers, second)

    def _passed(self, told: bytes) -> bytes:
        name, after = self._fails or ("", 0)
        self._double.envoy_double_fail(name.encode(), len(name), after)
        out = _Buffer()
        self._double.envoy_double_run(self._config, self._route, told, len(told), ctypes.byref(out))
        try:
            return ctypes.string_at(out.data or 0, out.length)
        finally:
            self._double.envoy_double_free(out.data, out.length)


def _number(value: int) -> bytes:
    return struct.pack("<Q", value)


def _bytes(value: bytes) -> bytes:
    return _number(len(value)) + value


def _all(values: Sequence[bytes]) -> Iterator[bytes]:
    yield _number(len(values))
    yield from map(_bytes, values)


def _headers(headers: Mapping[str, str]) -> Iterator[bytes]:
    yield _number(len(headers))
    for pair in headers.items():
        yield from (_bytes(text.encode("utf-8", "surrogateescape")) for text in pair)


def _read(told: bytes) -> tuple[bytes, bytes, bytes, dict[str, str], tuple[str, dict[str, str], bytes] | None]:
    """What `envoy_double_run` says."""
    at = 0

    def number() -> int:
        nonlocal at
        at += 8
        return int(struct.unpack_from("<Q", told, at - 8)[0])

    def text() -> bytes:
        nonlocal at
        length = number()
        at += length
        return told[at - length : at]

    def headers() -> dict[str, str]:
        return {text().decode(): text().decode("utf-8", "surrogateescape") for _ in range(number())}

    sent, got, noted, request = text(), text(), text(), headers()
    cluster, again, body = text(), headers(), text()
    return sent, got, noted, request, (cluster.decode(), again, body) if cluster else None
