"""Which requests are calls to a model."""

from __future__ import annotations

import pytest
from tests.wire.exchanges import paths, recorded

from tachograph.capture.sdk.recognise import Recogniser, is_fetched

CHAT = b'{"model": "m", "messages": []}'


@pytest.mark.parametrize(
    ("method", "url", "body", "known"),
    (
        ("POST", "https://api.openai.com/v1/chat/completions", b"", True),
        ("POST", "https://api.openai.com/v1/chat/completions?x=1", b"", True),
        ("GET", "https://api.openai.com/v1/chat/completions", b"", False),
        ("DELETE", "https://api.openai.com/v1/responses/resp_1", b"", False),
        ("GET", "https://api.openai.com/v1/models", b"", False),
        ("POST", "https://api.openai.com/v1/files", b"", False),
        ("POST", "https://api.openai.com/v1/batches", b"", False),
        ("POST", "https://api.openai.com/v1/moderations", b'{"input": "x"}', False),
        ("GET", "https://api.openai.com/v1/responses/resp_1", b"", True),
        ("GET", "https://api.openai.com/v1/responses/resp_1?include=x", b"", True),
        ("GET", "https://api.openai.com/v1/responses/resp_1/input_items", b"", False),
        ("GET", "https://api.openai.com/v1/files/file-1/content", b"", True),
        ("GET", "https://files.example/v1/files/file-1/content", b"", False),
        ("GET", "https://api.anthropic.com/v1/messages/batches/b/results", b"", True),
        ("POST", "https://api.anthropic.com/v1/messages/batches", b"{}", False),
        ("POST", "https://res.openai.azure.com/openai/deployments/d/chat/completions?api-version=1", b"", True),
        ("POST", "https://bedrock-runtime.us-east-1.amazonaws.com/model/a.b%3A0/converse-stream", b"", True),
        ("POST", "http://localhost:11434/api/chat", b"", True),
        ("POST", "http://gpu:8000/v1/chat/completions", CHAT, True),
        ("POST", "http://gpu:8000/v1/chat/completions", b'{"text": 1}', False),
        ("POST", "http://gpu:8000/v1/chat/completions", b"", False),
        ("POST", "http://gpu:8000/v1/chat/completions", b"\x00\xff", False),
        ("POST", "http://gpu:8000/v1/messages", b'{"to": "jo@example.org"}', False),
        ("POST", "http://gpu:30000/generate", b'{"text": "A river", "sampling_params": {}}', True),
        ("POST", "https://dbc.cloud.databricks.com/serving-endpoints/llama/invocations", CHAT, True),
        ("POST", "https://dbc.cloud.databricks.com/api/2.0/jobs/run", CHAT, False),
        ("POST", "http://example.org/v1/things", CHAT, False),
        ("POST", "http://[::1/v1/chat/completions", CHAT, False),
        ("POST", "http://host:port/v1/things", CHAT, False),
        ("OPTIONS", "", b"", False),
    ),
)
def test_by_host_path_and_shape(method: str, url: str, body: bytes, known: bool) -> None:
    assert Recogniser().recognise(method, url, body)[0] is known


@pytest.mark.parametrize("told", ("gpu:8000", "GPU", "http://gpu:8000", "http://gpu:8000/v1", "gpu:8000/v1/"))
def test_hosts_that_were_told_serve_models_whatever_the_path(told: str) -> None:
    known = Recogniser({told: "vllm"})
    assert known.recognise("POST", "http://gpu:8000/anything", b"") == (True, "vllm")
    assert known.recognise("GET", "http://gpu:8000/health", b"") == (False, None)
    assert known.recognise("POST", "http://gpu.example:8000/anything", b"") == (False, None)


def test_a_port_that_was_told_is_that_port() -> None:
    known = Recogniser({"gpu:8000": "vllm", "gpu:443": "", "[::1]:9000": "sglang"})
    assert known.recognise("POST", "http://gpu:8001/anything", b"") == (False, None)
    assert known.recognise("POST", "https://gpu/anything", b"") == (True, None)
    assert known.recognise("POST", "http://[::1]:9000/anything", b"") == (True, "sglang")


def test_a_form_is_told_by_its_fields() -> None:
    url = "http://whisper:8000/v1/audio/transcriptions"
    assert Recogniser().recognise("POST", url, b"", {"model": "whisper-1"})[0]
    assert not Recogniser().recognise("POST", url, b"", {"file_name": "x"})[0]
    assert Recogniser().recognise("POST", url, b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nw')[0]


def test_a_large_body_is_told_by_its_ends() -> None:
    prompt = b'{"prompt": "' + b"x" * 10**6
    tools = b'{"tools": "' + b"x" * 10**6 + b'", "messages": []}'
    middle = b'{"a": "' + b"x" * 10**6 + b'", "messages": [], "b": "' + b"x" * 10**6 + b'"}'
    known = [Recogniser().recognise("POST", "http://gpu/v1/chat/completions", each)[0] for each in (prompt, tools)]
    assert known == [True, True]
    assert not Recogniser().recognise("POST", "http://gpu/v1/chat/completions", middle)[0]


def test_answers_that_are_fetched() -> None:
    fetched = (
        ("GET", "https://h/v1/responses/r"),
        ("POST", "https://h/v1/responses/r/cancel"),
        ("GET", "https://h/b/results"),
    )
    attempts = ("POST", "https://h/v1/responses"), ("POST", "https://h/v1/responses/r"), ("GET", "https://h/results/x")
    assert [is_fetched(*each) for each in fetched] == [True] * 3
    assert [is_fetched(*each) for each in attempts] == [False] * 3


def test_every_recorded_question_is_recognised() -> None:
    """Whatever was recorded at a provider that is known by its host; what has a path of its own must be told."""
    known, missed = Recogniser(), []
    for path in paths():
        request = recorded(path).request
        asked = request.method == "POST" and "://" in request.url and request.members is None
        if asked and path.parent.name not in ("unknown",) and not known.recognise("POST", request.url, request.body)[0]:
            missed.append(path.name)
    assert missed == ["llamacpp_error_in_a_field_of_its_own.json"]  # that request was recorded without its question
