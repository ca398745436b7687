"""Readers of the screens without a screen: each asks what an open page asks, again whenever it would.

    python -m benchmarks.screens_readers http://127.0.0.1:4180 questions.json --readers 10

In: an address, the questions of a page. Out, once standard input is closed: what each answer took, in ms, as JSON.
As ui/src/answers.ts has it: a question is asked again when calls were stored since, after one second or thirty times
as long as it took last, whichever is longer. Each reader follows /api/v1/pulse.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

FRESH_SECONDS_MIN = 1.0
REST_FACTOR = 30
LOOK_SECONDS = 0.25


class Reader:
    """One open page."""

    def __init__(self, client: httpx.AsyncClient, questions: Sequence[str], took_ms: list[float]) -> None:
        self._client, self._questions, self._took_ms = client, questions, took_ms
        self._stored = 0

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(self._follow(), *(self._ask(question) for question in self._questions))

    async def _follow(self) -> None:
        async with self._client.stream("GET", "/api/v1/pulse", timeout=None) as answer:
            async for line in answer.aiter_lines():
                self._stored += line.startswith("event: stored")

    async def _ask(self, question: str) -> None:
        while True:
            seen, began = self._stored, time.monotonic()
            answer = await self._client.get(question, timeout=60)
            answer.raise_for_status()
            took = time.monotonic() - began
            self._took_ms.append(took * 1000)
            await asyncio.sleep(max(FRESH_SECONDS_MIN, took * REST_FACTOR))
            while self._stored == seen:
                await asyncio.sleep(LOOK_SECONDS)


async def read(origin: str, questions: Sequence[str], readers: int) -> list[float]:
    """Read until standard input ends; what each answer took, in milliseconds."""
    took_ms: list[float] = []
    async with contextlib.AsyncExitStack() as stack:  # each has its own connections, as browsers have
        opened = [httpx.AsyncClient(base_url=origin, trust_env=False) for _ in range(readers)]
        clients = [await stack.enter_async_context(client) for client in opened]
        tasks = [asyncio.create_task(Reader(client, questions, took_ms).run()) for client in clients]
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for failure in ended:
        if not isinstance(failure, asyncio.CancelledError):
            raise SystemExit(f"a reader ended: {failure!r}")
    return took_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("origin")
    parser.add_argument("questions", type=Path)
    parser.add_argument("--readers", type=int, default=10)
    told = parser.parse_args()
    json.dump(asyncio.run(read(told.origin, json.loads(told.questions.read_text()), told.readers)), sys.stdout)


if __name__ == "__main__":
    main()
