"""`tachograph.instrument()`: joins the parts of the SDK in the user's process. One start list, one stop list.

In: settings as arguments, else from the environment. Out: every call to a model that this process makes from now on,
wherever it was told to go, until `uninstrument()`. What it must never do: compute.

There is one per process, since there is one set of HTTP clients per process to watch: the one state of this module.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tachograph.call import Call
from tachograph.capture.sdk import recording as _recording
from tachograph.capture.sdk import threads
from tachograph.capture.sdk.baggage import asking
from tachograph.capture.sdk.context import current
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.later import Later
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.recognise import Recogniser
from tachograph.capture.sdk.settings import SdkSettings, told
from tachograph.capture.sdk.transports import TRANSPORTS
from tachograph.capture.sdk.watching import Circumstances, Observer, Watch
from tachograph.config import SettingsError
from tachograph.outlets import Outlet
from tachograph.outlets.callback import Callback
from tachograph.outlets.jsonl import JsonLines
from tachograph.outlets.otlp import Collector
from tachograph.outlets.sending import Sender
from tachograph.outlets.spans import Spans

FLUSH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Instrumented:
    """What runs in this process."""

    settings: SdkSettings
    observer: Observer
    guard: Guard
    patches: Patches
    senders: Mapping[str, Sender]

    def stop(self) -> None:
        """In the opposite order of the start: nothing new is seen, then what waits is sent."""
        self.patches.undo()
        for sender in self.senders.values():
            sender.close()


class _Process:
    """This process: what runs in it, and who may change that now."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: Instrumented | None = None

    def stop(self) -> None:
        running, self.running = self.running, None
        if running is not None:
            running.stop()


_PROCESS = _Process()


def instrument(**settings: Any) -> None:
    """Record every call to a model that this process makes. Call it once, as early as you like.

    settings: see docs/sdk.md; without any, calls are appended to `calls.jsonl`. The environment may say the same
    (`TACHOGRAPH_SDK_...`). Called again, it goes on with the new settings. Raises SettingsError, in one line, for a
    setting that is unknown or cannot be used.
    """
    wanted = told(settings, os.environ)
    with _PROCESS.lock:
        if _PROCESS.running is not None and _PROCESS.running.settings == wanted:
            return
        _PROCESS.stop()
        _PROCESS.running = None if wanted.disabled else _started(wanted)


def uninstrument() -> None:
    """Send what waits, and leave every client as it was found."""
    with _PROCESS.lock:
        _PROCESS.stop()


def flush(seconds: float = FLUSH_SECONDS) -> bool:
    """Wait until everything recorded so far has been sent; whether it has."""
    until = time.monotonic() + seconds
    running = _PROCESS.running
    senders = () if running is None else tuple(running.senders.values())
    sent = [sender.flush(max(0.0, until - time.monotonic())) for sender in senders]
    return all(sent)


def counts() -> dict[str, Any]:
    """What became of the calls of this process, by place, and what went wrong inside us."""
    running = _PROCESS.running
    if running is None:
        return {}
    return {
        "failures": dict(running.guard.failures),
        **{name: dict(sender.counts) for name, sender in running.senders.items()},
    }


def record(**fields: Any) -> Call | None:
    """Record a call to an engine without HTTP: `record(model="llama-3", input_tokens=10, output_tokens=20, ...)`.

    fields: `model`, `provider`, `operation`, `input_tokens`, `output_tokens`, `cache_read`, `reasoning_tokens`,
    `started_at`, `duration_ms`, `ttft_ms`, `error`, and any field of Call. None where this process is not instrumented.
    TypeError or ValueError for a field that is unknown or does not fit.
    """
    running = _PROCESS.running
    return None if running is None else _recording.made(running.observer, running.guard, **fields)


def recording(**fields: Any) -> _recording.Recording:
    """The same around the work, measured: `with recording(model="llama-3") as call: ...; call.usage(...)`."""
    running = _PROCESS.running
    if running is None:
        return _recording.Recording(None, **fields)
    return _recording.Recording(running.observer, running.guard, **fields)


def _started(settings: SdkSettings) -> Instrumented:
    guard = Guard()
    senders = _senders(settings)
    circumstances = Circumstances(settings.attribution, settings.secret.encode(), settings.hash_user)
    ways = tuple(senders.values())
    observer = Observer(
        functools.partial(_offer, ways),
        Recogniser(settings.hosts),
        circumstances,
        defer=functools.partial(_defer, ways, guard),
        price=_price() if settings.prices else None,
        include_usage=settings.include_usage,
        scope_of=asking if settings.trust_baggage else current,
    )
    patches = Patches(observer, guard)
    for package, patch in TRANSPORTS:
        patches.when_imported(package, patch)
    guard(threads.patch, patches)
    return Instrumented(settings, observer, guard, patches, senders)


def _defer(senders: Sequence[Sender], guard: Guard, watch: Watch) -> None:
    later = Later(watch, guard)
    for sender in senders:
        sender.offer(later)


def _offer(senders: Sequence[Sender], calls: Sequence[Call]) -> None:
    for sender in senders:
        for call in calls:
            sender.offer(call)


def _senders(settings: SdkSettings) -> dict[str, Sender]:
    try:
        places = _places(settings)
    except (ValueError, ImportError) as unusable:  # an address that is none, a package that is not there
        raise SettingsError(str(unusable)) from unusable
    return {
        name: Sender(
            outlet,
            name=name,
            queue_calls_max=settings.queue_calls_max,
            flush_seconds=settings.flush_seconds,
            exit_seconds_max=settings.exit_seconds_max,
            spill=settings.spill if name == "collector" and settings.spill else None,
            spill_bytes_max=settings.spill_bytes_max,
        )
        for name, outlet in places.items()
    }


def _places(settings: SdkSettings) -> dict[str, Outlet]:
    places: dict[str, Outlet] = {}
    if settings.jsonl:
        places["file"] = JsonLines(
            settings.jsonl, bytes_max=settings.file_bytes_max, files_max=settings.files_max, fsync=settings.fsync
        )
    if settings.collector:
        places["collector"] = Collector(settings.collector, key=settings.key)
    if settings.opentelemetry:
        places["opentelemetry"] = Spans(legacy=settings.legacy_attributes)
    if settings.callback is not None:
        places["callback"] = Callback(settings.callback)
    return places


def _price() -> Callable[[Call], None]:
    """What writes the cost of a call; loading the price list takes half a second."""
    from tachograph.normalise import price
    from tachograph.pricing import price_book

    try:
        book = price_book()
    except ImportError as missing:
        raise SettingsError("`prices` needs the price list: pip install 'tachograph[prices]'") from missing
    return lambda call: price(call, book)
