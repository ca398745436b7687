"""requests: counted once, at urllib3 below it, in every way of reading; nothing is changed for the caller."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
from tests.capture.sdk.scripted import BROKEN, CHAT, EVENTS, FRAMINGS, PAUSE, SSE, asked, chunk, head, scripted

from tachograph.call import Call
from tachograph.capture.sdk.patching import Patches
from tachograph.testing.provider import Provider

requests = pytest.importorskip("requests", reason="requests is not installed")


def of_raw(decoded: bool) -> Callable[[Any], list[bytes]]:
    def read(response: Any) -> list[bytes]:
        response.raw.decode_content = decoded
        return list(iter(lambda: response.raw.read(23), b""))

    return read


WAYS: dict[str, Callable[[Any], Any]] = {
    "content": lambda response: response.content,
    "text": lambda response: response.text,
    "iter_content": lambda response: list(response.iter_content(19)),
    "iter_content as it comes": lambda response: b"".join(response.iter_content(None)),
    "iter_lines": lambda response: list(response.iter_lines()),
    "iter_lines of one byte": lambda response: list(response.iter_lines(chunk_size=1)),
    "raw, decoded": of_raw(True),
    "raw, encoded": of_raw(False),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_body_is_what_it_is_without_us_and_is_read_by_us(
    calls: list[Call], patches: Patches, framing: str, way: str
) -> None:
    if requests.packages.urllib3.__version__ < "2" and "gzip" in framing and way in ("raw, decoded",):
        pytest.skip("urllib3 1.26 takes a piece that unpacks to nothing for the end")

    def read(url: str) -> Any:
        with requests.post(url, json=asked(stream=True), stream=True) as response:
            return WAYS[way](response)

    with scripted(FRAMINGS[framing]) as server:
        watched = read(server.url + CHAT)
        patches.undo()
        assert watched == read(server.url + CHAT)
    (call,) = calls
    assert (call.outcome, call.input_tokens, call.output_tokens, call.finish_reason) == ("ok", 9, 4, "stop")


@pytest.mark.parametrize("ending", BROKEN)
def test_a_broken_body_raises_what_it_raises_without_us(calls: list[Call], patches: Patches, ending: str) -> None:
    pieces, error_type = BROKEN[ending]

    def outcome(url: str) -> Any:
        read = []
        try:
            with requests.post(url, json=asked(stream=True), stream=True) as response:
                for piece in response.iter_content(31):
                    read.append(piece)
        except requests.RequestException as failure:
            return read, type(failure)
        return read, None

    with scripted(pieces) as server:
        watched = outcome(server.url + CHAT)
        (call,) = calls
        patches.undo()
        assert watched == outcome(server.url + CHAT)
    assert (call.outcome, call.error_type) == ("error", error_type)


def test_the_body_that_was_asked_is_known(provider: Provider, calls: list[Call]) -> None:
    requests.post(provider.url + CHAT, json=asked() | {"max_completion_tokens": 77})
    requests.post(provider.url + CHAT, data=b'{"model": "gpt-5", "messages": []}')
    requests.post(provider.url + CHAT, data='{"model": "gpt-4", "messages": []}')
    assert [call.request_model for call in calls] == ["gpt-5-mini", "gpt-5", "gpt-4"]
    assert calls[0].max_output_tokens == 77


def test_a_form_says_its_model(calls: list[Call]) -> None:
    answer = b'{"text": "hi", "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 2, "total_tokens": 5}}'
    with scripted((head("application/json", f"content-length: {len(answer)}"), answer)) as server:
        requests.post(
            server.url + "/v1/audio/transcriptions",
            data={"model": "gpt-4o-transcribe"},
            files={"file": ("a.wav", b"RIFF" * 1000)},
        )
    assert [(call.request_model, call.operation, call.input_tokens) for call in calls] == [
        ("gpt-4o-transcribe", "transcription", 3)
    ]


@pytest.mark.parametrize("leave", ["close", "drop", "with", "stop reading lines"])
def test_the_caller_leaves(provider: Provider, calls: list[Call], leave: str) -> None:
    response = requests.post(provider.url + CHAT, json=asked(stream=True), stream=True)
    lines = response.iter_lines(chunk_size=1)
    assert next(lines)
    if leave == "close":
        response.close()
    elif leave == "with":
        with response:
            pass
    elif leave == "stop reading lines":
        lines.close()
    del response, lines
    gc.collect()
    assert [(call.outcome, call.error_type) for call in calls] == [("aborted", "cancelled")]


def test_a_timeout(calls: list[Call]) -> None:
    silent = (head(SSE, "transfer-encoding: chunked"), chunk(EVENTS[0]), *(PAUSE,) * 4)
    with scripted(silent) as server, pytest.raises(requests.exceptions.ConnectionError):
        _ = requests.post(server.url + CHAT, json=asked(stream=True), timeout=0.1).content
    assert [(call.outcome, call.error_type) for call in calls] == [("error", "timeout")]


def test_through_a_proxy(calls: list[Call]) -> None:
    with scripted(FRAMINGS["one document"]) as proxy:
        url = "http://api.openai.com" + CHAT
        assert requests.post(url, json=asked(), proxies={"http": proxy.url}).status_code == 200
        assert proxy.asked[0].startswith(b"POST http://api.openai.com/v1/chat/completions HTTP/1.1")
    assert [(call.provider, call.input_tokens) for call in calls] == [("openai", 9)]


def test_a_session_that_tries_again(provider: Provider, calls: list[Call]) -> None:
    again = requests.adapters.Retry(2, status_forcelist=[429], allowed_methods=None, respect_retry_after_header=False)
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=again))
        with pytest.raises(requests.exceptions.RetryError):
            session.post(provider.url + CHAT, json=asked("rate_limited"))
    assert [(call.status, call.attempt) for call in calls] == [(429, 0), (429, 1), (429, 2)]
    assert len({call.operation_id for call in calls}) == 1
