"""The scope goes with the work: into threads that are started, and into what executors are given.

In: `Patches`. Out: `threading.Thread.start`, `ThreadPoolExecutor.submit` and `ProcessPoolExecutor.submit` that take the
scope along (hence `map` and `loop.run_in_executor`), until they are undone. Only our variable is carried, not the whole
context; a process is handed what baggage can say. Tasks and `asyncio.to_thread` copy their context by themselves.
Not followed: `multiprocessing.Process` and pools of `multiprocessing`: hand `to_baggage()` over and enter it there.
What it must never know: what the work is.
"""

from __future__ import annotations

import functools
import threading
from types import ModuleType
from typing import Any

from tachograph.capture.sdk import baggage
from tachograph.capture.sdk.context import NOBODY, Inside, Scope, carried, entered, left, resolved
from tachograph.capture.sdk.patching import Patches


def patch(patches: Patches) -> None:
    """Wrap what starts work elsewhere: executors once the process has imported them."""
    patches.wrap(threading.Thread, "start", functools.partial(_thread, patches))
    patches.when_imported("concurrent.futures.thread", _threads)
    patches.when_imported("concurrent.futures.process", _processes)


def _thread(patches: Patches, original: Any) -> Any:
    def start(thread: Any) -> Any:
        if patches.active:
            patches.guard(_take_along, thread, patches)
        return original(thread)

    return start


def _take_along(thread: Any, patches: Patches) -> None:
    """`thread.run`, also that of a subclass, begins in our scope; the thread forgets us as it begins."""
    scope = carried()
    if scope is NOBODY:
        return
    run = thread.run
    own = vars(thread).get("run")

    def begin() -> Any:
        if own is None:
            vars(thread).pop("run", None)
        else:
            thread.run = own
        patches.guard(_begun, scope)
        return run()

    thread.run = begin


def _begun(scope: Scope) -> None:
    if carried() is NOBODY:  # a thread may have been given a context of its own (Python 3.14)
        entered(scope)


def _apart(patches: Patches, original: Any, executor: Any, /, *given: Any, **named: Any) -> Any:
    """Submit it as nobody: a worker, or what manages them, that starts now outlives us and must not keep our scope."""
    outside = patches.guard(entered, NOBODY)
    try:
        return original(executor, *given, **named)
    finally:
        if outside is not None:
            patches.guard(left, outside)


def _inside_ours() -> Inside | None:
    scope = carried()
    return None if scope is NOBODY else Inside(scope)


def _threads(module: ModuleType, patches: Patches) -> None:
    def make(original: Any) -> Any:
        def submit(executor: Any, work: Any, /, *arguments: Any, **named: Any) -> Any:
            inside = patches.guard(_inside_ours) if patches.active else None
            if inside is None:
                return original(executor, work, *arguments, **named)
            return _apart(patches, original, executor, inside, work, *arguments, **named)

        return submit

    patches.wrap(module.ThreadPoolExecutor, "submit", make)


def _processes(module: ModuleType, patches: Patches) -> None:
    def make(original: Any) -> Any:
        def submit(executor: Any, work: Any, /, *arguments: Any, **named: Any) -> Any:
            told = patches.guard(_told) if patches.active else None
            if told is None:
                return original(executor, work, *arguments, **named)
            return _apart(patches, original, executor, _inside, told, work, *arguments, **named)

        return submit

    patches.wrap(module.ProcessPoolExecutor, "submit", make)


def _told() -> tuple[str, str | None, str | None] | None:
    """The scope in force as another process can take it: what it counts does not travel."""
    scope = carried()
    if scope is NOBODY:
        return None
    return baggage.to_baggage(resolved(scope)), scope.trace_id, scope.span_id


def _inside(told: tuple[str, str | None, str | None], work: Any, /, *arguments: Any, **named: Any) -> Any:
    header, trace_id, span_id = told
    scope = baggage.from_baggage(header, Scope(trace_id=trace_id, span_id=span_id))
    return Inside(scope)(work, *arguments, **named)
