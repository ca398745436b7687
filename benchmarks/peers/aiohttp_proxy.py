"""What one would write first: a proxy in aiohttp that hands everything on, piece by piece, and records nothing.

python -m benchmarks.peers.aiohttp_proxy PORT UPSTREAM [FILE]

With a file it does what the gateway does: the SDK, in its process, records each exchange there.
"""

from __future__ import annotations

import sys

import aiohttp
from aiohttp import web

import tachograph

HOP = frozenset(("host", "connection", "transfer-encoding", "content-length", "keep-alive"))
UPSTREAM = web.AppKey("upstream", str)
SESSION = web.AppKey("session", aiohttp.ClientSession)


async def hand_on(request: web.Request) -> web.StreamResponse:
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
    body = await request.read()
    url = request.app[UPSTREAM] + request.path_qs
    async with request.app[SESSION].request(request.method, url, headers=headers, data=body) as answer:
        given = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
        response = web.StreamResponse(status=answer.status, headers=given)
        if "content-length" in answer.headers:
            response.content_length = int(answer.headers["content-length"])
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def made() -> web.Application:
    app = web.Application(client_max_size=2**26)
    app[UPSTREAM] = sys.argv[2]
    app[SESSION] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
    app.router.add_route("*", "/{path:.*}", hand_on)
    return app


if __name__ == "__main__":
    if len(sys.argv) > 3:
        tachograph.instrument(file=sys.argv[3])
    web.run_app(made(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
