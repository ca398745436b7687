"""A model server for the gateway's figures: `python -m benchmarks.gateway_upstream`, which prints its port.

In: HTTP/1.1 on loopback, kept alive, many connections. Out: a chat completion; for a body with `"stream": true` its
stream of 50 chunks, each a write of its own. One process with one loop, so that its work is in nobody's figures.
"""

from __future__ import annotations

import asyncio
import re

from benchmarks.sdk_server import answers

APART_SECONDS = 0.002  # between two chunks: each is a read of its own for whoever is between
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream" *: *true')
_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")


class Connection(asyncio.Protocol):
    """One connection; answers its requests in turn."""

    def __init__(self) -> None:
        self._whole, self._head, self._pieces, _ = answers()
        self._held = b""
        self._running: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """A stream that nobody hears ends."""
        if self._running is not None:
            self._running.cancel()

    def data_received(self, data: bytes) -> None:
        """Of one request at a time."""
        self._held += data
        head = self._held.find(b"\r\n\r\n")
        if head < 0:
            return
        end = _end(self._held, head)
        if end is None or len(self._held) < end:
            return
        body, self._held = self._held[head:end], self._held[end:]
        if _STREAM.search(body):
            self._running = asyncio.get_running_loop().create_task(self._stream())
        else:
            self._transport.write(self._whole)

    async def _stream(self) -> None:
        self._transport.write(self._head)
        for piece in self._pieces[:-1]:
            await asyncio.sleep(APART_SECONDS)
            self._transport.write(piece)
        self._transport.write(self._pieces[-1])


def _end(data: bytes, head: int) -> int | None:
    """Where the request ends; None where that is not known yet."""
    told = _LENGTH.search(data[: head + 2])
    if told:
        return head + 4 + int(told[1])
    if b"transfer-encoding" not in data[:head].lower():
        return head + 4
    at = head + 4
    while (size := _CHUNK.match(data, at)) is not None:
        at = size.end() + int(size[1], 16) + 2
        if int(size[1], 16) == 0:
            return at
    return None


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
