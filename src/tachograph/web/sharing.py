"""One answer for all who ask the same at the same time: ten screens cost as much as one.

In: a question as a key, how it is answered. Out: its answer, computed once and kept for a second at most.
What it must never know: who asks. The key must say everything that the answer depends on, above all the teams.

An answer that was begun before the screens were last told of something new is given to nobody any more: whoever asks
after a pulse sees what it was about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from starlette.responses import Response

from tachograph.web.beat import Beat

KEPT_SECONDS = 1.0
KEPT_BYTES_MAX = 4 * 1024 * 1024  # a larger answer is given to those who wait for it, and not kept
KEPT_ANSWERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Kept:
    """count: what `Beat.count` was when it was begun."""

    answer: asyncio.Task[Response]
    count: int


class Sharing:
    """Belongs to one event loop."""

    def __init__(self, beat: Beat, kept_seconds: float = KEPT_SECONDS) -> None:
        self._beat, self._kept_seconds = beat, kept_seconds
        self._kept: dict[Hashable, Kept] = {}

    async def answer(self, key: Hashable, compute: Callable[[], Awaitable[Response]]) -> Response:
        """The answer to the question `key`; who asks gives up alone."""
        kept = self._kept.get(key)
        if kept is None or kept.count < self._beat.told:
            kept = self._begun(key, compute)
        return await asyncio.shield(kept.answer)

    def _begun(self, key: Hashable, compute: Callable[[], Awaitable[Response]]) -> Kept:
        async def answered() -> Response:
            return await compute()

        kept = Kept(asyncio.create_task(answered()), self._beat.count)
        self._kept[key] = kept
        kept.answer.add_done_callback(lambda done: self._done(key, kept, done))
        return kept

    def _done(self, key: Hashable, kept: Kept, done: asyncio.Task[Response]) -> None:
        failed = done.cancelled() or done.exception() is not None
        if failed or len(done.result().body) > KEPT_BYTES_MAX or len(self._kept) > KEPT_ANSWERS_MAX:
            self._forget(key, kept)
        else:
            asyncio.get_running_loop().call_later(self._kept_seconds, self._forget, key, kept)

    def _forget(self, key: Hashable, kept: Kept) -> None:
        if self._kept.get(key) is kept:
            del self._kept[key]
