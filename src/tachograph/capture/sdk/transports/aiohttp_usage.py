"""aiohttp where the usage of a stream is asked for (`include_usage`): another body is sent, and its extra chunk hidden.

`ClientSession._request` is where a request begins and may begin again: a server that refuses what we added is asked
once more, as the caller asked, and the caller sees that answer alone. Without the setting nothing here is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.usage import REFUSAL_BYTES_MAX, REFUSALS
from tachograph.capture.sdk.watching import Watch


class Asking:
    """One request of a session. refused: the watch of the attempt that was answered with an error. again: the watch
    that the next attempt goes on with.
    """

    __slots__ = ("again", "package", "refused")

    def __init__(self, package: ModuleType) -> None:
        self.package = package
        self.refused: Watch | None = None
        self.again: Watch | None = None


ASKING: ContextVar[Asking | None] = ContextVar("tachograph.asking", default=None)


def requests(
    package: ModuleType, patches: Patches, headers_of: Callable[[Any], dict[str, str]]
) -> Callable[[Any], Any]:
    """Wraps `ClientSession._request`."""
    guard = patches.guard

    def make(original: Any) -> Any:
        async def _request(session: Any, *arguments: Any, **named: Any) -> Any:
            if not (patches.active and patches.observer.deployments is not None) or named.get("upload_tracker"):
                return await original(session, *arguments, **named)
            asking = guard(Asking, package)
            if asking is None:
                return await original(session, *arguments, **named)
            token = ASKING.set(asking)
            try:
                return await _asked(original, session, arguments, named, asking, guard, headers_of)
            finally:
                ASKING.reset(token)

        return _request

    return make


async def _asked(
    original: Any,
    session: Any,
    arguments: Any,
    named: Any,
    asking: Asking,
    guard: Guard,
    headers_of: Callable[[Any], dict[str, str]],
) -> Any:
    try:
        response = await original(session, *arguments, **named)
    except Exception:
        watch = asking.refused
        if watch is None or not guard(watch.refused, b"stream_options"):
            raise
        response = None  # raised for its status, unread: if it was not for us, it is raised again
    watch, asking.refused = asking.refused, None
    if watch is None:
        return response
    if response is not None:
        body = await response.read()
        if len(body) > REFUSAL_BYTES_MAX or not guard(watch.refused, body):
            guard(_handed_on, response, body, watch, headers_of)
            return response
        response.release()
    asking.again = watch
    try:
        return await original(session, *arguments, **named)
    except BaseException as failure:
        guard(watch.failed, failure)
        raise


def _handed_on(response: Any, body: bytes, watch: Watch, headers_of: Callable[[Any], dict[str, str]]) -> None:
    """An error that is the caller's own: put back what was read of it."""
    content = response.content
    if body:
        response._body = None
        content._buffer.append(body)
        content._size += len(body)
    watch.answered(response.status, headers_of(response))
    watch.piece(body)
    watch.complete()


def ask(request: Any, watch: Watch) -> None:
    """Have the request ask for the usage, where its body is there as a whole and nobody refuses to be asked again."""
    asking = ASKING.get()
    if asking is None or "content-length" not in request.headers:
        watch.asks = False
        return
    body = watch.request.body
    kind = request.headers.get("content-type", "application/json")
    payload = asking.package.payload.BytesPayload(body, content_type=kind)
    setattr(request, "_body" if hasattr(type(request), "_body") else "body", payload)
    request.headers["Content-Length"] = str(len(body))
    request.headers["Accept-Encoding"] = "identity"


def may_refuse(response: Any, watch: Watch) -> bool:
    """Whether the answer waits to be looked at, by the request as a whole."""
    asking = ASKING.get()
    if asking is None or not watch.asks or response.status not in REFUSALS:
        return False
    asking.refused = watch
    return True


def resumed() -> Watch | None:
    """The watch that an attempt goes on with, once."""
    asking = ASKING.get()
    if asking is None:
        return None
    watch, asking.again = asking.again, None
    return watch


def hide_in(content: Any, watch: Watch, guard: Guard) -> None:
    """What came with the headers: the caller gets what he may see of it."""
    visible = [guard.or_else(watch.held + piece, watch.pass_on, piece) for piece in map(bytes, content._buffer)]
    if content.is_eof():
        visible.append(guard.or_else(watch.held, watch.rest) or b"")
    before = content._size
    content._buffer.clear()
    content._buffer.extend(piece for piece in visible if piece)
    content._size = sum(map(len, visible))
    content.total_bytes += content._size - before
