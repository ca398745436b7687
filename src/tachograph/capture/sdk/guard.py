"""The one guard: whatever goes wrong in our code, the caller sees the provider's answer and nothing of ours.

In: a piece of our work. Out: its result, or `otherwise` where it failed; the failure is counted, and logged once per
place: where it was, not what it said, for what it says may quote a prompt. Under test `strict` lets failures through.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

LOG = logging.getLogger("tachograph.sdk")
PLACES_MAX = 1000  # failures are told apart by where they came from; more places than this are not told apart
LOCK_SECONDS_MAX = 0.1  # rather a failure that is not counted than a caller that waits

T = TypeVar("T")


class Guard:
    """`guard(work, *arguments)` instead of `work(*arguments)`. failures: how many, by kind and function."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.failures: Counter[str] = Counter()
        self._lock = threading.RLock()  # reentrant: finalizers are guarded too, and run anywhere

    def __call__(self, work: Callable[..., T], *arguments: object) -> T | None:
        """The result of `work`, or None."""
        try:
            return work(*arguments)
        except Exception as failure:
            self._note(work, failure)
            return None

    def or_else(self, otherwise: T, work: Callable[..., T], *arguments: object) -> T:
        """The result of `work`, or `otherwise` where it failed."""
        try:
            return work(*arguments)
        except Exception as failure:
            self._note(work, failure)
            return otherwise

    def _note(self, work: Callable[..., object], failure: Exception) -> None:
        if self.strict:
            raise failure
        with suppress(Exception):  # a logger of the host may raise, and even a name may
            place = f"{type(failure).__name__} in {getattr(work, '__qualname__', type(work).__name__)}"
            if self._count(place) == 1:
                frames = "".join(traceback.format_tb(failure.__traceback__))
                LOG.error("a call to a model was not recorded: %s: report this\n%s", place, frames)

    def _count(self, place: str) -> int:
        if not self._lock.acquire(timeout=LOCK_SECONDS_MAX):
            return 0
        try:
            if len(self.failures) >= PLACES_MAX and place not in self.failures:
                place = "other"
            self.failures[place] += 1
            return self.failures[place]
        finally:
            self._lock.release()
