"""What is equal: a Call read from the bytes, and the Call read from what the tap kept of them."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from tapped import STARTED_US, Passed, Tap

from tachograph import wire
from tachograph.call import Call
from tachograph.capture.gateway import lines
from tachograph.wire import Exchange
from tachograph.wire.encoding import Decoder, encoded

STARTED = datetime.fromtimestamp(STARTED_US / 1e6, UTC)


def decompressed(exchange: Exchange) -> Exchange:
    """As Envoy's decompressor hands it on."""
    encoding = exchange.headers.get("content-encoding", "")
    if not encoded(encoding):
        return exchange
    plain: list[bytes] = []
    decoder = Decoder(encoding, plain.append)
    for _, chunk in exchange.chunks:
        decoder.feed(chunk)
    decoder.finish()
    headers = {name: value for name, value in exchange.headers.items() if name != "content-encoding"}
    return dataclasses.replace(exchange, headers=headers, chunks=[(None, b"".join(plain))])


def passable(exchange: Exchange) -> Exchange:
    """The same exchange as it would pass a gateway: its request has bytes, its clock runs, its answer is plain."""
    request = exchange.request
    if request.members is not None:
        request = dataclasses.replace(request, body=json.dumps(request.members).encode(), members=None)
    if not urlsplit(request.url).scheme:
        request = dataclasses.replace(request, url="https://example.invalid" + request.url)
    return dataclasses.replace(decompressed(exchange), request=request, started_at=STARTED)


def cut(exchange: Exchange, pieces: Sequence[bytes], step_us: int = 1009) -> Exchange:
    """The same answer in these pieces, one every step."""
    moments = [100_000 + step_us * at + 7 * (at % 5) for at in range(len(pieces))]
    chunks = list(zip(moments, pieces, strict=True))
    headers_us = None if exchange.status is None else 99_000
    end_us = (moments[-1] if moments else 100_000) + 500
    return dataclasses.replace(exchange, chunks=chunks, headers_us=headers_us, end_us=end_us)


def at_random(data: bytes, seed: int, mean: int) -> list[bytes]:
    """`data` cut at random places."""
    dice = random.Random(seed)
    places = sorted({dice.randrange(len(data)) for _ in range(max(1, len(data) // mean))} - {0}) if data else []
    return [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)] if data else []


def body(exchange: Exchange) -> bytes:
    """The whole answer."""
    return b"".join(chunk for _, chunk in exchange.chunks)


def behind(exchange: Exchange) -> lines.Behind:
    """The route of an exchange: its own host and path, its provider."""
    url = exchange.request.url.partition("?")[0]
    return lambda name, path, cluster: (url, exchange.provider)


def read_back(passed: Passed, exchange: Exchange) -> lines.Seen:
    """What the collector sees."""
    return lines.seen(passed.line, behind(exchange))


def differences(expected: Sequence[Call], got: Sequence[Call]) -> Iterator[tuple[int, str, Any, Any]]:
    """(which call, field, expected, got) for each field that is not the same."""
    if len(expected) != len(got):
        yield -1, "calls", len(expected), len(got)
        return
    for at, (one, other) in enumerate(zip(expected, got, strict=True)):
        for spec in dataclasses.fields(Call):
            ours, theirs = getattr(one, spec.name), getattr(other, spec.name)
            if ours != theirs:
                yield at, spec.name, ours, theirs


def compared(tap: Tap, exchange: Exchange, **asked: Any) -> tuple[Passed, list[tuple[int, str, Any, Any]]]:
    """Pass an exchange through the tap and read it both ways."""
    passed = tap.run(exchange, **asked)
    return passed, list(differences(wire.read(exchange), wire.read(read_back(passed, exchange).exchange)))
