"""botocore, and boto3 on it: Bedrock is seen at urllib3, once, and what was signed is sent as it was signed."""

from __future__ import annotations

import contextlib
import gc
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.capture.sdk.scripted import PAUSE, scripted

from tachograph.call import Call
from tachograph.capture.sdk.patching import Patches
from tachograph.testing.provider import Provider

session = pytest.importorskip("botocore.session", reason="botocore is not installed")
config = pytest.importorskip("botocore.config")
exceptions = pytest.importorskip("botocore.exceptions")

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def bedrock(url: str, retries: int = 1, **named: Any) -> Any:
    made = session.get_session()
    made.set_credentials("none", "none", "none")
    settings = config.Config(retries={"mode": "standard", "total_max_attempts": retries}, **named)
    return made.create_client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=settings)


@pytest.fixture
def client(provider: Provider) -> Iterator[Any]:
    made = bedrock(provider.url)
    yield made
    made.close()


def messages(scenario: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": f"scenario:{scenario}"}]}]


def native(scenario: str) -> bytes:
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": messages(scenario)}
    return json.dumps(body).encode()


def converse(client: Any, scenario: str) -> Any:
    return client.converse(modelId=MODEL, messages=messages(scenario))


def converse_stream(client: Any, scenario: str) -> Any:
    with contextlib.closing(client.converse_stream(modelId=MODEL, messages=messages(scenario))["stream"]) as events:
        return list(events)


def invoke(client: Any, scenario: str) -> Any:
    return json.loads(client.invoke_model(modelId=MODEL, body=native(scenario))["body"].read())


def invoke_stream(client: Any, scenario: str) -> Any:
    answer = client.invoke_model_with_response_stream(modelId=MODEL, body=native(scenario))
    with contextlib.closing(answer["body"]) as events:
        return list(events)


WAYS = {call.__name__: call for call in (converse, converse_stream, invoke, invoke_stream)}


@pytest.mark.parametrize("scenario", ["plain", "everything", "tools", "length"])
@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_asking(client: Any, provider: Provider, calls: list[Call], way: str, scenario: str) -> None:
    assert WAYS[way](client, scenario)
    (call,) = calls
    (served,) = provider.served
    truth = served.scenario.truth
    assert (call.api[:8], call.status, call.outcome, call.request_model) == ("bedrock.", 200, "ok", MODEL)
    assert call.source.endswith(" botocore")
    assert (call.streamed, call.operation_id is not None) == (served.streamed, True)
    assert (call.input_uncached, call.cache_read or 0, call.output_tokens) == (
        truth.input_uncached,
        truth.cache_read,
        truth.output_tokens,
    )


@pytest.mark.parametrize("way", WAYS)
def test_what_the_caller_gets_is_what_it_gets_without_us(
    client: Any, calls: list[Call], patches: Patches, way: str
) -> None:
    def told() -> str:
        return re.sub(r"(msg|toolu)_[0-9a-f]+|[0-9a-f-]{36}|Date.*?GMT", "", repr(WAYS[way](client, "everything")))

    watched = told()
    patches.undo()
    assert watched == told()
    assert len(calls) == 1


def test_each_attempt_is_a_call(provider: Provider, calls: list[Call]) -> None:
    client = bedrock(provider.url, retries=3)
    assert converse(client, "rate_limited_once")["usage"]["inputTokens"] == 23
    assert [(call.status, call.outcome, call.attempt) for call in calls] == [(429, "error", 0), (200, "ok", 1)]
    assert calls[0].operation_id == calls[1].operation_id
    client.close()


def test_errors(client: Any, calls: list[Call]) -> None:
    for scenario in ("bad_request", "bad_key", "overloaded", "rate_limited"):
        with pytest.raises(exceptions.ClientError):
            converse(client, scenario)
    with pytest.raises(exceptions.EventStreamError):
        converse_stream(client, "stream_error")
    with pytest.raises(exceptions.BotoCoreError):
        converse(bedrock("http://127.0.0.1:1"), "plain")
    assert [call.error_type for call in calls] == [
        "client_bad_request",
        "client_auth",
        "provider_overloaded",
        "rate_limited",
        "rate_limited",
        "network",
    ]


def test_a_stream_that_is_cut(client: Any, calls: list[Call]) -> None:
    with pytest.raises(
        Exception, match=r"prematurely|InvalidChunkLength"
    ):  # urllib3's own, on its way through botocore
        converse_stream(client, "stream_cut")
    assert [(call.status, call.outcome, call.error_type) for call in calls] == [(200, "error", "network")]


def test_a_timeout(calls: list[Call]) -> None:
    with scripted((PAUSE, PAUSE)) as server, pytest.raises(exceptions.ReadTimeoutError):
        converse(bedrock(server.url, read_timeout=0.1), "plain")
    assert [(call.status, call.error_type) for call in calls] == [(None, "timeout")]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # botocore leaves the socket to gc
@pytest.mark.parametrize("leave", ["close", "drop"])
def test_the_caller_leaves(client: Any, calls: list[Call], leave: str) -> None:
    stream = client.converse_stream(modelId=MODEL, messages=messages("plain"))["stream"]
    assert next(iter(stream))
    if leave == "close":
        stream.close()
    del stream
    gc.collect()
    assert [(call.outcome, call.error_type) for call in calls] == [("aborted", "cancelled")]


def test_what_was_signed_is_sent(calls: list[Call], patches: Patches) -> None:
    refused = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"

    def sent() -> list[bytes]:
        with scripted((refused,)) as server:
            with pytest.raises(exceptions.ClientError):
                converse(bedrock(server.url), "plain")
            lines = server.asked[0].split(b"\r\n")
        return [line.partition(b":")[0] for line in lines[:-1]] + lines[-1:]

    watched = sent()
    patches.undo()
    assert watched == sent()
    assert len(calls) == 1
