"""`boto3` (and `aiobotocore`): Converse and InvokeModel, whole and streamed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import AsyncIterator
from typing import Any

import drive
from drive import Api, Options, Told, Way, tokens

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
SPECIFIED = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": drive.CITY}}}]}


def settings(options: Options, config: Any) -> dict[str, Any]:
    limits = config(
        retries={"total_max_attempts": options.retries + 1, "mode": "standard"},
        read_timeout=options.timeout_seconds,
        connect_timeout=options.timeout_seconds,
    )
    named = {"endpoint_url": options.url, "region_name": "us-east-1", "config": limits}
    return named | {"aws_access_key_id": "AKIA0", "aws_secret_access_key": drive.KEY}


def client(options: Options) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("bedrock-runtime", **settings(options, Config))


def asked(question: str) -> dict[str, Any]:
    content = [{"role": "user", "content": [{"text": question}]}]
    limits = {"maxTokens": 256}
    return {"modelId": MODEL, "messages": content, "inferenceConfig": limits, "toolConfig": SPECIFIED}


def converse(made: Any) -> Way:
    return Way(
        lambda question: made.converse(**asked(question)),
        lambda question: made.converse_stream(**asked(question))["stream"],
    )


def told(answer: Any) -> Told:
    if isinstance(answer, list):
        return streamed(answer)
    content = answer["output"]["message"]["content"]
    return {
        "text": "".join(block.get("text", "") for block in content) or None,
        "tools": [block["toolUse"]["name"] for block in content if "toolUse" in block],
        **counts(answer["usage"]),
    }


def streamed(events: list[Any]) -> Told:
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    starts = [event["contentBlockStart"]["start"] for event in events if "contentBlockStart" in event]
    metadata = [event["metadata"] for event in events if "metadata" in event]
    return {
        "pieces": len(events),
        "text": "".join(delta.get("text", "") for delta in deltas) or None,
        "tools": [start["toolUse"]["name"] for start in starts if "toolUse" in start],
        **(counts(metadata[-1]["usage"]) if metadata else {}),
    }


def counts(usage: dict[str, Any]) -> Told:
    return tokens(
        input_uncached=usage["inputTokens"],
        output_tokens=usage["outputTokens"],
        cache_read=usage.get("cacheReadInputTokens"),
    )


def invoke(made: Any) -> Way:
    def body(question: str) -> dict[str, Any]:
        said = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 256}
        said |= {"messages": [{"role": "user", "content": question}]}
        return {"modelId": MODEL, "body": json.dumps(said), "contentType": "application/json"}

    return Way(
        lambda question: json.loads(made.invoke_model(**body(question))["body"].read()),
        lambda question: made.invoke_model_with_response_stream(**body(question))["body"],
    )


def invoked(answer: Any) -> Told:
    if isinstance(answer, list):
        events = [json.loads(event["chunk"]["bytes"]) for event in answer]
        start = next(event["message"] for event in events if event["type"] == "message_start")
        return {"pieces": len(events), "response_id": start["id"], "response_model": start["model"]}
    text = "".join(block.get("text", "") for block in answer["content"]) or None
    tools = [block["name"] for block in answer["content"] if block["type"] == "tool_use"]
    usage = answer["usage"]
    counted = tokens(input_uncached=usage["input_tokens"], output_tokens=usage["output_tokens"])
    return {"text": text, "tools": tools, "response_id": answer["id"], "response_model": answer["model"], **counted}


def asynchronous(options: Options) -> Way:
    """`aiobotocore`: a client lives inside a context of its own."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    def made() -> Any:
        return get_session().create_client("bedrock-runtime", **settings(options, AioConfig))

    async def whole(question: str) -> Any:
        async with made() as running:
            return await running.converse(**asked(question))

    async def stream(question: str) -> AsyncIterator[Any]:
        async with made() as running:
            answer = await running.converse_stream(**asked(question))
            with contextlib.closing(answer["stream"]):
                async for event in answer["stream"]:
                    yield event

    return Way(whole, stream)


def apis() -> list[Api]:
    found = [
        Api("converse", "aws.bedrock", told, lambda options: converse(client(options))),
        Api(
            "invoke",
            "aws.bedrock",
            invoked,
            lambda options: invoke(client(options)),
            scenarios=("plain", "everything", "tools"),
            failures=("bad_request",),
            timeouts=False,
        ),
    ]
    if importlib.util.find_spec("aiobotocore") is None:
        return found
    return [*found, Api("aio", "aws.bedrock", told, None, asynchronous)]


if __name__ == "__main__":
    drive.Drive(apis()).run()
