"""What goes wrong in the store, in one line each: the thing and the remedy.

In: an engine's error. Out: `Busy` (try again), `StoreError` (a person must act).
What it must never know: a query, a call.
"""

from __future__ import annotations

import re

from tachograph.flow import Busy

_CODE = re.compile(r"Code: (\d+)")
_DISK_FULL = re.compile(
    r"No space left on device|NOT_ENOUGH_SPACE|errno:? 28|Errno 28|Disk quota exceeded", re.IGNORECASE
)
_READ_ONLY = re.compile(r"Permission denied|Read-only file system|errno:? (?:13|30)\b", re.IGNORECASE)
_UNREACHABLE = re.compile(
    r"Connection refused|timed out|Max retries|Connection reset|Name or service not known|aborted"
)

MEMORY, TOO_MANY_PARTS, CORRUPTED = (241,), (252,), (40, 76, 79, 107, 228, 226, 271, 432, 1000, 499)
RETRY_SECONDS = 5.0


class StoreError(Exception):
    """The store cannot do this, and trying again will not help. `str(error)` is one line: the thing and the remedy."""


class InUse(StoreError):
    """Another process has the data folder open; it may be asked instead."""


class Unknown(ValueError):
    """The question names something that there is not: a measure, a dimension, an order."""


def explain(error: Exception, place: str) -> Busy | StoreError:
    """The typed failure that says in one line what an engine's error means. `place`: the store's address."""
    text = str(error)
    found = _CODE.search(text)
    code = int(found.group(1)) if found else 0
    if _DISK_FULL.search(text):
        return Busy(
            f"no space left for the store at {place}: free some disk space, nothing else is needed", RETRY_SECONDS
        )
    if _READ_ONLY.search(text):
        return StoreError(f"the store at {place} cannot be written: give this user the right to write there")
    if _UNREACHABLE.search(text):
        return Busy(f"the store at {place} does not answer: start it, or correct its address", RETRY_SECONDS)
    if code in TOO_MANY_PARTS:
        return Busy(f"the store at {place} is merging what it was given: it will take more in a moment", RETRY_SECONDS)
    if code in MEMORY:
        return StoreError(
            f"the store at {place} would need more memory than it may use: ask a shorter time or fewer labels"
        )
    if code in CORRUPTED:
        return StoreError(
            f"the store at {place} is damaged: restore it from a backup, or move it away ({_first(text)})"
        )
    return StoreError(f"the store at {place} failed: {_first(text)}")


def _first(text: str) -> str:
    """The first sentence of an engine's message: what follows is its stack and version."""
    line = " ".join(text.split())
    line = re.sub(r"^.*?(?:DB::Exception: )", "", line)
    return line[:300]
