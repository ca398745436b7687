"""One way to ask and to listen, for httpx and httpx2, sync and async: what came, in which pieces, and what was raised.

`below` is what the package's own transport gave, seen from under our wrapper: the caller must get the same objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

PACKAGES = ("httpx2", "httpx")
HOWS = ("sync", "async")


@dataclass
class Heard:
    pieces: list[bytes] = field(default_factory=list)
    failure: BaseException | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def package(name: str) -> ModuleType:
    return pytest.importorskip(name, reason=f"{name} is not installed")  # type: ignore[no-any-return]


def hear(
    name: str,
    how: str,
    url: str,
    body: Any,
    *,
    after_piece: Callable[[Heard], object] = lambda heard: None,
    timeout: float = 10.0,
    decoded: bool = False,
) -> Heard:
    """Ask, and read the answer piece by piece; `after_piece` may raise StopIteration to leave early, or anything."""
    module, heard = package(name), Heard()
    work = _hear_sync if how == "sync" else lambda *given: asyncio.run(_hear_async(*given))
    try:
        work(module, heard, url, body, after_piece, timeout, decoded)
    except BaseException as failure:
        heard.failure = failure
    return heard


def _hear_sync(module: Any, heard: Heard, url: str, body: Any, after: Any, timeout: float, decoded: bool) -> None:
    with module.Client(timeout=timeout) as client, client.stream("POST", url, json=body) as response:
        heard.status, heard.headers = response.status_code, dict(response.headers)
        for piece in response.iter_bytes() if decoded else response.iter_raw():
            heard.pieces.append(piece)
            try:
                after(heard)
            except StopIteration:
                return


async def _hear_async(
    module: Any, heard: Heard, url: str, body: Any, after: Any, timeout: float, decoded: bool
) -> None:
    async with module.AsyncClient(timeout=timeout) as client, client.stream("POST", url, json=body) as response:
        heard.status, heard.headers = response.status_code, dict(response.headers)
        async for piece in response.aiter_bytes() if decoded else response.aiter_raw():
            heard.pieces.append(piece)
            try:
                after(heard)
            except StopIteration:
                return


@contextlib.contextmanager
def below(name: str) -> Iterator[Heard]:
    """What passes under whatever is patched inside this block."""
    module, heard = importlib.import_module(name), Heard()
    sync, asynchronous = module.HTTPTransport.handle_request, module.AsyncHTTPTransport.handle_async_request

    def handle_request(transport: Any, request: Any) -> Any:
        with _noted(heard):
            response = sync(transport, request)
        response.stream = _sync(module, response.stream, heard)
        return response

    async def handle_async_request(transport: Any, request: Any) -> Any:
        with _noted(heard):
            response = await asynchronous(transport, request)
        response.stream = _async(module, response.stream, heard)
        return response

    module.HTTPTransport.handle_request = handle_request
    module.AsyncHTTPTransport.handle_async_request = handle_async_request
    try:
        yield heard
    finally:
        module.HTTPTransport.handle_request = sync
        module.AsyncHTTPTransport.handle_async_request = asynchronous


@contextlib.contextmanager
def _noted(heard: Heard) -> Iterator[None]:
    try:
        yield
    except BaseException as failure:
        heard.failure = failure
        raise


def _sync(module: Any, stream: Any, heard: Heard) -> Any:
    class Below(module.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            with _noted(heard):
                for piece in stream:
                    heard.pieces.append(piece)
                    yield piece

        def close(self) -> None:
            stream.close()

    return Below()


def _async(module: Any, stream: Any, heard: Heard) -> Any:
    class Below(module.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            with _noted(heard):
                async for piece in stream:
                    heard.pieces.append(piece)
                    yield piece

        async def aclose(self) -> None:
            await stream.aclose()

    return Below()
