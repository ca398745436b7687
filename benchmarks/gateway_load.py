"""Requests for whoever stands between: `python -m benchmarks.gateway_load ADDRESS --kind plain`, which prints JSON.

In: host:port, path, headers, how many connections and for how long. Out: requests, and in milliseconds the median from
the request to the whole answer (`whole`) and to the first piece of a body (`first`). A process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time

from benchmarks.wire import OPENAI, asked

READ_BYTES = 65536


async def client(host: str, port: int, request: bytes, until: float, found: list[tuple[float, float]]) -> None:
    """One connection that asks again as soon as it has been answered."""
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise SystemExit(f"{host}:{port} answered {head[:200]!r}")
        length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None)
        if length is not None:
            await reader.readexactly(int(length))
            first = time.perf_counter()
        else:
            held = await reader.read(READ_BYTES)
            first = time.perf_counter()
            while not held.endswith(b"\r\n0\r\n\r\n") and held != b"0\r\n\r\n":
                held = held[-16:] + await reader.read(READ_BYTES)
        found.append((time.perf_counter() - began, first - began))
    writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--kind", choices=("plain", "stream"), default="plain")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--header", action="append", default=[], help="name: value")
    told = parser.parse_args()
    host, _, port = told.address.rpartition(":")
    text = asked(OPENAI, **({"stream": True} if told.kind == "stream" else {})).body
    lines = [f"POST {told.path} HTTP/1.1", f"host: {told.address}", "authorization: Bearer sk-none", *told.header]
    lines += ["content-type: application/json", "accept: application/json", f"content-length: {len(text)}"]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode() + text
    found: list[tuple[float, float]] = []
    until = time.perf_counter() + told.seconds
    await asyncio.gather(*(client(host, int(port), request, until, found) for _ in range(told.connections)))
    whole, first = (statistics.median(times) * 1000 for times in zip(*found, strict=True))
    print(json.dumps({"requests": len(found), "whole_ms": whole, "first_ms": first}))


if __name__ == "__main__":
    asyncio.run(main())
