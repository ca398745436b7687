"""What happens to a part of ours when a child of `multiprocessing` ends.

In: a part. Out: it is closed where `atexit` is not heard.
What it must never know: what the part does.
"""

from __future__ import annotations

import sys
from typing import Protocol


class Follower(Protocol):
    """A part that holds threads, locks or files."""

    def close(self) -> None:
        """At the end; a second time it does nothing."""
        ...


def close_with_process(part: Follower) -> None:
    """The children of `multiprocessing` end without `atexit`, but not without their own finalizers, of which they
    have none when they begin.
    """
    module = sys.modules.get("multiprocessing.util")
    if module is None:
        return
    if sys.modules["multiprocessing.process"].parent_process() is not None:
        module.Finalize(None, part.close, exitpriority=0)
    module.register_after_fork(part, lambda found: module.Finalize(None, found.close, exitpriority=0))
