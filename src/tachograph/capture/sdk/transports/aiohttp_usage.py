"""aiohttp where the usage of a stream is asked for (`include_usage`): another body is sent, and its extra chunk hidden.

`ClientSession._request` is where a request begins and may begin again: a server that refuses what we added is asked
once more, as the caller asked, and the caller sees that answer alone. So is one whose error we cannot judge. Without
the setting nothing here is reached.
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
    """One request of a session. asked: the watch of the attempt whose body we have changed. again: the watch that the
    next attempt goes on with; from there on nothing is changed (`over`).
    """

    __slots__ = ("again", "asked", "over", "package")

    def __init__(self, package: ModuleType) -> None:
        self.package = package
        self.asked: Watch | None = None
        self.again: Watch | None = None
        self.over = False


UNREAD = b"stream_options"  # in place of an error that cannot be read: it is taken for a refusal
ASKING: ContextVar[Asking | None] = ContextVar("tachograph.asking", default=None)


def requests(
    package: ModuleType, patches: Patches, headers_of: Callable[[Any], dict[str, str]]
) -> Callable[[Any], Any]:
    """Wraps `ClientSession._request`."""
    guard = patches.guard

    def make(original: Any) -> Any:
        async def first(session: Any, arguments: Any, named: Any, asking: Asking) -> tuple[Any, bytes | None]:
            """The answer, and where it is an error that may be ours, its body."""
            try:
                response = await original(session, *arguments, **named)
            except Exception as failure:
                if asking.asked is None or getattr(failure, "status", None) not in REFUSALS:
                    raise
                return None, UNREAD  # raised for its status: if it was not for us, it is raised again
            if asking.asked is None or response.status not in REFUSALS:
                return response, None
            try:
                return response, await response.read()
            except Exception:
                return response, UNREAD

        async def _request(session: Any, *arguments: Any, **named: Any) -> Any:
            if not (patches.active and patches.observer.deployments is not None) or named.get("upload_tracker"):
                return await original(session, *arguments, **named)
            asking = guard(Asking, package)
            if asking is None:
                return await original(session, *arguments, **named)
            token = ASKING.set(asking)
            try:
                response, body = await first(session, arguments, named, asking)
                watch = asking.asked
                if body is None or watch is None:
                    return response
                if not guard.or_else(True, _refused, response, body, watch):
                    guard(_handed_on, response, body, watch, headers_of)
                    return response
                if response is not None:
                    response.release()
                watch.asks, asking.again, asking.over = False, watch, True
                try:
                    return await original(session, *arguments, **named)
                except BaseException as failure:
                    guard(watch.failed, failure)
                    raise
            finally:
                ASKING.reset(token)

        return _request

    return make


def _refused(response: Any, body: bytes, watch: Watch) -> bool:
    """Whether an error is about what we asked. Of other errors what was read is put back."""
    if len(body) <= REFUSAL_BYTES_MAX and watch.refused(body):
        return True
    content = response.content
    if body:
        response._body = None
        content._buffer.append(body)
        content._size += len(body)
    return False


def _handed_on(response: Any, body: bytes, watch: Watch, headers_of: Callable[[Any], dict[str, str]]) -> None:
    """Tell of an error that is the caller's own."""
    watch.late = True
    watch.answered(response.status, headers_of(response))
    watch.piece(body)
    watch.complete()


def ask(request: Any, watch: Watch) -> None:
    """Have the request ask for the usage, where its body is there as a whole and nobody refuses to be asked again."""
    asking = ASKING.get()
    if asking is None or asking.over or "content-length" not in request.headers:
        watch.asks = False
        return
    body = watch.request.body
    kind = request.headers.get("content-type", "application/json")
    payload = asking.package.payload.BytesPayload(body, content_type=kind)
    asking.asked = watch
    setattr(request, "_body" if hasattr(type(request), "_body") else "body", payload)
    request.headers["Content-Length"] = str(len(body))
    request.headers["Accept-Encoding"] = "identity"


def may_refuse(response: Any, watch: Watch) -> bool:
    """Whether the answer waits to be looked at, by the request as a whole."""
    asking = ASKING.get()
    return asking is not None and asking.asked is watch and response.status in REFUSALS


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
