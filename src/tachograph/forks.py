"""What has locks, threads or files hears of a fork, in the child, and begins anew.

In: a method. Out: it is called in every forked child, as long as its owner lives.
What it must never know: what begins anew.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable


def follow_forks(begin_anew: Callable[[], None]) -> None:
    """begin_anew: a bound method. A hook cannot be taken back: it holds nothing but a weak reference."""
    told = weakref.WeakMethod(begin_anew)

    def forked() -> None:
        found = told()
        if found is not None:
            found()

    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=forked)
