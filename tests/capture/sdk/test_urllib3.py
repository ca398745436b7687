"""urllib3, 1.26 and 2: every attempt is a Call, however its body is read and however it ends; nothing is changed."""

from __future__ import annotations

import gc
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.capture.sdk.scripted import (
    BROKEN,
    CHAT,
    END,
    EVENTS,
    FRAMINGS,
    JSON,
    PAUSE,
    SSE,
    asked,
    chunk,
    head,
    scripted,
)

from tachograph.call import Call
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import urllib3 as transport
from tachograph.capture.sdk.watching import Observer
from tachograph.testing.provider import Provider

urllib3 = pytest.importorskip("urllib3", reason="urllib3 is not installed")


def post(url: str, body: Any = None, **named: Any) -> Any:
    content = json.dumps(asked(stream=True) if body is None else body).encode()
    named.setdefault("retries", False)
    return POOL.request("POST", url, body=content, headers={"authorization": "Bearer none"}, **named)


POOL = urllib3.PoolManager()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    POOL.clear()


def of_read(amount: int | None, **named: Any) -> Callable[[Any], list[bytes]]:
    def read(response: Any) -> list[bytes]:
        pieces = []
        while piece := response.read(amount, **named):
            pieces.append(piece)
        return pieces

    return read


def of_readinto(response: Any) -> list[bytes]:
    buffer, pieces = bytearray(50), []
    while count := response.readinto(buffer):
        pieces.append(bytes(buffer[:count]))
    return pieces


def of_read1(response: Any) -> list[bytes]:
    data = b""
    while piece := getattr(response, "read1", response.read)(64):  # 1.26 has none
        data += piece
    return [data]  # where it is cut hangs on when the pieces came


def of_chunks(response: Any) -> list[bytes]:
    return list(response.read_chunked(11)) if response.chunked else [response.read()]


def of_lines(response: Any) -> list[bytes]:
    response.auto_close = False  # as urllib3's documentation says for this use
    with io.BufferedReader(response, 64) as lines:
        return list(lines)


WAYS: dict[str, Callable[[Any], Any]] = {
    "data": lambda response: [response.data],
    "read()": lambda response: [response.read()],
    "read(13)": of_read(13),
    "read(13), encoded": of_read(13, decode_content=False),
    "read1": of_read1,
    "readinto": of_readinto,
    "readline": lambda response: list(iter(response.readline, b"")),
    "stream()": lambda response: list(response.stream()),
    "stream(17)": lambda response: list(response.stream(17)),
    "stream, encoded": lambda response: list(response.stream(17, decode_content=False)),
    "read_chunked": of_chunks,
    "for line": list,
    "buffered": of_lines,
    "drain_conn": lambda response: response.drain_conn(),
    "with": lambda response: response.__enter__().read() + bytes(response.__exit__(None, None, None) or b""),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_body_is_what_it_is_without_us_and_is_read_by_us(
    calls: list[Call], patches: Patches, framing: str, way: str
) -> None:
    if urllib3.__version__ < "2" and "gzip" in framing and way in ("read(13)", "readinto", "readline", "buffered"):
        pytest.skip("urllib3 1.26 takes a piece that unpacks to nothing for the end")
    with scripted(FRAMINGS[framing]) as server:
        watched = WAYS[way](post(server.url + CHAT, preload_content=False))
        patches.undo()
        POOL.clear()  # the server closes after one answer
        assert watched == WAYS[way](post(server.url + CHAT, preload_content=False))
    (call,) = calls
    assert (call.status, call.outcome, call.input_tokens, call.output_tokens) == (200, "ok", 9, 4)
    assert call.headers_ms is not None
    assert call.streamed == ("document" not in framing)
    assert (call.response_model, call.finish_reason, call.flags) == (
        "gpt-5-mini-2025-08-07",
        "stop",
        ("buffered_stream",) if "buffered_stream" in call.flags else (),
    )


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_body_that_urllib3_reads_at_once(calls: list[Call], framing: str) -> None:
    with scripted(FRAMINGS[framing]) as server:
        assert post(server.url + CHAT).status == 200
    (call,) = calls
    assert (call.outcome, call.input_tokens, call.output_tokens) == ("ok", 9, 4)


@pytest.mark.parametrize("way", ["data", "read(13)", "stream(17)", "readinto", "preloaded"])
@pytest.mark.parametrize("ending", BROKEN)
def test_a_broken_body_raises_what_it_raises_without_us(
    calls: list[Call], patches: Patches, ending: str, way: str
) -> None:
    pieces, error_type = BROKEN[ending]

    def outcome(url: str) -> Any:
        try:
            response = post(url, preload_content=way == "preloaded")
            return [] if way == "preloaded" else WAYS[way](response)
        except Exception as failure:
            return type(failure), str(failure)[:60].split("0x")[0].split("host=")[0]

    with scripted(pieces) as server:
        watched = outcome(server.url + CHAT)
        (call,) = calls
        patches.undo()
        POOL.clear()  # the server closes after one answer
        assert watched == outcome(server.url + CHAT)
    assert (call.outcome, call.error_type) == ("error", error_type)
    if ending == "closed between chunks" or (ending == "reset between chunks" and way == "stream(17)"):
        assert call.response_id == "chatcmpl-1"  # what came before the end was read


def test_a_timeout(calls: list[Call]) -> None:
    silent = (head(SSE, "transfer-encoding: chunked"), chunk(EVENTS[0]), *(PAUSE,) * 4)
    with scripted(silent) as server, pytest.raises(urllib3.exceptions.ReadTimeoutError):
        list(post(server.url + CHAT, preload_content=False, timeout=0.1).stream(64))
    with scripted((PAUSE, PAUSE)) as server, pytest.raises(urllib3.exceptions.ReadTimeoutError):
        post(server.url + CHAT, timeout=0.1)
    assert [(call.outcome, call.error_type) for call in calls] == [("error", "timeout")] * 2
    assert [call.status for call in calls] == [200, None]


def test_nobody_listens(calls: list[Call]) -> None:
    with scripted(()) as server:
        pass
    with pytest.raises(urllib3.exceptions.NewConnectionError):
        post(server.url + CHAT)
    (call,) = calls
    assert (call.status, call.outcome, call.error_type) == (None, "error", "network")


def test_what_is_no_http(calls: list[Call]) -> None:
    bad = (head(SSE, "transfer-encoding: chunked"), b"zz\r\n")
    with scripted(bad) as server, pytest.raises(urllib3.exceptions.HTTPError):
        list(post(server.url + CHAT, preload_content=False).stream(64))
    assert [call.error_type for call in calls] == ["protocol"]


def test_each_attempt_is_a_call(calls: list[Call]) -> None:
    busy = head(JSON, "content-length: 2", "connection: close", status="503 Service Unavailable") + b"{}"
    again = urllib3.Retry(2, status_forcelist=[503], backoff_factor=0, raise_on_status=False, **ANY_METHOD)
    with scripted((busy,)) as server:
        assert post(server.url + CHAT, retries=again).status == 503
    assert [(call.status, call.attempt) for call in calls] == [(503, 0), (503, 1), (503, 2)]
    assert len({call.operation_id for call in calls}) == 1
    calls.clear()
    with scripted(()) as server, pytest.raises(urllib3.exceptions.MaxRetryError):
        post(server.url + CHAT, retries=urllib3.Retry(1, backoff_factor=0, **ANY_METHOD))
    assert [(call.error_type, call.attempt) for call in calls] == [("network", 0), ("network", 1)]


_OF_RETRY = urllib3.Retry.__init__.__code__.co_varnames
ANY_METHOD: dict[str, Any] = {"allowed_methods" if "allowed_methods" in _OF_RETRY else "method_whitelist": None}


@pytest.mark.parametrize("leave", ["close", "release_conn", "drop", "with", "drop the iterator", "close the pool"])
def test_the_caller_leaves(provider: Provider, calls: list[Call], leave: str) -> None:
    response = post(provider.url + CHAT, preload_content=False)
    stream = response.stream()
    assert next(stream)
    if leave == "close":
        response.close()
    elif leave == "release_conn":
        response.release_conn()
    elif leave == "with":
        with response:
            pass
    elif leave == "drop the iterator":
        stream.close()
    elif leave == "close the pool":
        POOL.clear()
    del response, stream
    gc.collect()
    (call,) = calls
    assert (call.outcome, call.error_type, call.response_model) == ("aborted", "cancelled", "gpt-5-mini-2025-08-07")


def test_an_error_of_the_consumer_is_not_the_providers(provider: Provider, calls: list[Call]) -> None:
    def consume() -> None:
        for _ in post(provider.url + CHAT, preload_content=False).stream(40):
            raise ValueError("of the consumer")

    with pytest.raises(ValueError, match="of the consumer"):
        consume()
    gc.collect()
    assert [(call.outcome, call.error_type) for call in calls] == [("aborted", "cancelled")]


def test_all_but_the_end_of_the_body_was_read(calls: list[Call]) -> None:
    with scripted(FRAMINGS["chunked with trailers"]) as server:
        response = post(server.url + CHAT, preload_content=False)
        for piece in response.stream():
            if b"[DONE]" in piece:
                break
        response.close()
    assert [(call.outcome, call.input_tokens) for call in calls] == [("ok", 9)]


def test_an_answer_without_a_body(calls: list[Call]) -> None:
    refused = head(JSON, "content-length: 0", "retry-after: 3", status="429 Too Many Requests")
    with scripted((refused,)) as server:
        response = post(server.url + CHAT, preload_content=False)
        assert [(call.status, call.error_type) for call in calls] == [(429, "rate_limited")]
        assert response.read() == b""
    assert len(calls) == 1


def test_an_error_with_a_body(provider: Provider, calls: list[Call]) -> None:
    assert post(provider.url + CHAT, asked("rate_limited")).status == 429
    (call,) = calls
    assert (call.error_type, call.error_code, call.retry_after_ms) == ("rate_limited", "rate_limit_exceeded", 2000.0)


def test_a_redirect_leads_to_the_call(provider: Provider, calls: list[Call]) -> None:
    moved = head(JSON, f"location: {provider.url}{CHAT}", "content-length: 0", status="307 Temporary Redirect")
    with scripted((moved,)) as server:
        assert post(server.url + CHAT, asked(), retries=3).status == 200
    assert [(call.status, call.input_tokens) for call in calls] == [(200, 23)]


def test_connections_are_used_again(provider: Provider, calls: list[Call]) -> None:
    for _ in range(3):
        list(post(provider.url + CHAT, preload_content=False).stream(64))
    pool = POOL.connection_from_url(provider.url)
    assert (pool.num_connections, pool.num_requests, len(calls)) == (1, 3, 3)


def test_nothing_is_left_on_a_connection(provider: Provider, calls: list[Call]) -> None:
    before = urllib3.connection.HTTPConnection(provider.url.removeprefix("http://"))
    response = post(provider.url + CHAT)
    connection = POOL.connection_from_url(provider.url).pool.get()
    assert set(vars(connection)) <= set(vars(before)) | {"sock"}
    assert isinstance(response._original_response, __import__("http.client").client.HTTPResponse)
    connection.close()


def test_what_is_no_call_to_a_model_passes(provider: Provider, calls: list[Call]) -> None:
    response = post(provider.url + "/v1/nothing", preload_content=False)
    assert type(response._fp).__mro__[1].__name__ == "BufferedIOBase"
    assert response.status == 404
    assert response.read()
    assert calls == []


def test_undone(calls: list[Call], patches: Patches, provider: Provider) -> None:
    patches.undo()
    names = {
        urllib3.connectionpool.HTTPConnectionPool: ("_make_request",),
        urllib3.connection.HTTPConnection: ("getresponse",),
        urllib3.response.HTTPResponse: ("_update_chunk_length", "_handle_chunk"),
    }
    left = [
        name for owner, listed in names.items() for name in listed if hasattr(getattr(owner, name), "__tachograph__")
    ]
    assert left == []
    post(provider.url + CHAT)
    assert calls == []


def test_a_package_imported_later_is_wrapped(provider: Provider) -> None:
    program = f"""
import json
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import TRANSPORTS
from tachograph.capture.sdk.watching import Observer
calls = []
patches = Patches(Observer(calls.extend), Guard(strict=True))
for package, patch in TRANSPORTS:
    patches.when_imported(package, patch)
import sys
assert "urllib3" not in sys.modules
import urllib3
urllib3.PoolManager().request("POST", {provider.url + CHAT!r}, body={json.dumps(asked())!r})
print(calls[0].source, calls[0].input_tokens)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.split()[2:]) == ("", ["urllib3", "23"])


# usage that nobody asked for


@pytest.fixture
def asking(delivered: list[Call]) -> Iterator[list[Call]]:
    patched = Patches(Observer(delivered.extend, include_usage=True), Guard(strict=True))
    patched.when_imported("urllib3", transport.patch)
    yield delivered
    patched.undo()


UNASKED = {name: value for name, value in asked(stream=True).items() if name != "stream_options"}
VISIBLE = b"".join((*EVENTS[:3], EVENTS[4]))
SIFTED = ("chunked with trailers", "chunked, split anywhere", "until the connection closes")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framing", SIFTED)
def test_usage_is_asked_for_and_hidden(asking: list[Call], framing: str, way: str) -> None:
    end = "connection: close" if "closes" in framing else "transfer-encoding: chunked"
    seen = VISIBLE if "closes" in framing else b"".join((*map(chunk, EVENTS[:3]), chunk(EVENTS[4]), END))
    with scripted((head(SSE, end), seen)) as server:
        expected = WAYS[way](post(server.url + CHAT, asked(), preload_content=False))
        asking.clear()
    POOL.clear()
    with scripted(FRAMINGS[framing]) as server:
        given = WAYS[way](post(server.url + CHAT, UNASKED, preload_content=False))
        assert b'"stream_options":{"include_usage":true}' in server.asked[0]
        assert b"accept-encoding: identity" in server.asked[0].lower()
    assert given == expected or (isinstance(given, list) and b"".join(given) == b"".join(expected))
    assert [(call.outcome, call.input_tokens, call.output_tokens) for call in asking] == [("ok", 9, 4)]


@pytest.mark.parametrize("framing", SIFTED)
def test_usage_is_hidden_in_what_is_read_at_once(asking: list[Call], framing: str) -> None:
    with scripted(FRAMINGS[framing]) as server:
        assert post(server.url + CHAT, UNASKED).data == VISIBLE
    assert [(call.outcome, call.input_tokens) for call in asking] == [("ok", 9)]


REFUSAL = b'{"error": {"message": "unknown: stream_options"}}'
ERROR = b'{"error": {"message": "no such model", "code": "invalid_value"}}'


def bad(error: bytes, *, chunked: bool) -> tuple[bytes, ...]:
    status = "400 Bad Request"
    if chunked:
        return (
            head(JSON, "transfer-encoding: chunked", "connection: close", status=status),
            chunk(error[:9]),
            chunk(error[9:]),
            END,
        )
    return head(JSON, f"content-length: {len(error)}", "connection: close", status=status), error


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_who_refuses_is_asked_as_the_caller_asked(asking: list[Call], chunked: bool, preload: bool) -> None:
    answer = FRAMINGS["until the connection closes"]
    with scripted(()) as server:
        server.answer = lambda request: bad(REFUSAL, chunked=chunked) if b"stream_options" in request else answer
        for _ in range(2):
            assert post(server.url + CHAT, UNASKED, preload_content=preload).data == b"".join(EVENTS)
            POOL.clear()
        assert [b"stream_options" in request for request in server.asked] == [True, False, False]
    assert [(call.status, call.outcome, call.attempt) for call in asking] == [(200, "ok", 0)] * 2


@pytest.mark.parametrize("way", [*WAYS, "preloaded"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_error_of_the_callers_own_is_handed_on(asking: list[Call], chunked: bool, way: str) -> None:
    def read(url: str, body: Any) -> Any:
        POOL.clear()
        response = post(url, body, preload_content=way == "preloaded")
        return response.data if way == "preloaded" else WAYS[way](response)

    with scripted(bad(ERROR, chunked=chunked)) as server:
        expected = read(server.url + CHAT, asked())
        asking.clear()
        given = read(server.url + CHAT, UNASKED)
        assert len(server.asked) == 2
    assert given == expected or (isinstance(given, list) and b"".join(given) == b"".join(expected))
    assert [(call.status, call.error_code, call.headers_ms) for call in asking] == [(400, "invalid_value", None)]


def test_a_sifted_body_that_breaks(asking: list[Call]) -> None:
    for ending in ("closed between chunks", "closed inside a chunk", "reset between chunks"):
        with scripted(BROKEN[ending][0]) as server, pytest.raises(urllib3.exceptions.ProtocolError):
            list(post(server.url + CHAT, UNASKED, preload_content=False).stream(17))
    assert [(call.outcome, call.error_type) for call in asking] == [("error", "network")] * 3
