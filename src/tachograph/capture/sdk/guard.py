"""The one guard: whatever goes wrong in our code, the caller sees the provider's answer and nothing of ours.

In: a piece of our work. Out: its result, or `otherwise` where it failed; the failure is counted, and logged once per
place. Under test `strict` lets failures through.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

LOG = logging.getLogger("tachograph.sdk")
PLACES_MAX = 1000  # failures are told apart by where they came from; more places than this are not told apart

T = TypeVar("T")


class Guard:
    """`guard(work, *arguments)` instead of `work(*arguments)`. failures: how many, by kind and function."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.failures: Counter[str] = Counter()

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
        place = f"{type(failure).__name__} in {getattr(work, '__qualname__', repr(work))}"
        if len(self.failures) >= PLACES_MAX:
            place = "other"
        self.failures[place] += 1
        if self.failures[place] == 1:
            LOG.error("a call to a model was not recorded: %s: report this", place, exc_info=failure)
