"""What happens to a part of ours when its process forks, and when a child of `multiprocessing` ends.

In: a part. Out: it is told of a fork in the child, and closed where `atexit` is not heard.
What it must never know: what the part does.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import Protocol


class Follower(Protocol):
    """A part that holds threads, locks or files."""

    def forked(self) -> None:
        """In the child: begin anew."""
        ...

    def close(self) -> None:
        """At the end; a second time it does nothing."""
        ...


def follow_forks(part: Follower) -> None:
    """A hook cannot be taken back: it holds nothing but a weak reference."""
    told = weakref.ref(part)

    def forked() -> None:
        found = told()
        if found is not None:
            found.forked()

    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=forked)


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
