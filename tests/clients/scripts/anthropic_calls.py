"""The `anthropic` library: messages (also by its stream helper), and Claude at Bedrock."""

from __future__ import annotations

import importlib.util
from typing import Any

import drive
from drive import Api, Options, Told, Way, tokens

TOOLS = [{"name": "get_weather", "input_schema": drive.CITY}]
BEDROCK = "anthropic.claude-sonnet-4-5-20250929-v1:0"


def client(options: Options, *, asynchronous: bool = False, bedrock: bool = False) -> Any:
    import anthropic

    kind = ("Async" if asynchronous else "") + ("AnthropicBedrock" if bedrock else "Anthropic")
    named: dict[str, Any] = {"api_key": drive.KEY}
    if bedrock:
        named = {"aws_access_key": "AKIA0", "aws_secret_key": drive.KEY, "aws_region": "us-east-1"}
    named |= {"base_url": options.url, "max_retries": options.retries, "timeout": options.timeout_seconds}
    return getattr(anthropic, kind)(**named)


def messages(made: Any, model: str = drive.CLAUDE) -> Way:
    def ask(question: str, **stream: Any) -> Any:
        said = [{"role": "user", "content": question}]
        return made.messages.create(model=model, max_tokens=256, messages=said, tools=TOOLS, **stream)

    return Way(ask, lambda question: ask(question, stream=True))


def told(answer: Any) -> Told:
    if isinstance(answer, list):
        return streamed(answer)
    usage = answer.usage
    return {
        "text": "".join(block.text for block in answer.content if block.type == "text") or None,
        "tools": [block.name for block in answer.content if block.type == "tool_use"],
        "response_id": answer.id,
        "response_model": answer.model,
        **tokens(
            input_uncached=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read=usage.cache_read_input_tokens,
        ),
    }


def streamed(events: list[Any]) -> Told:
    start = events[0].message
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    blocks = [event.content_block for event in events if event.type == "content_block_start"]
    usage = [event.usage for event in events if event.type == "message_delta"]
    return {
        "pieces": len(events),
        "text": "".join(delta.text for delta in deltas if delta.type == "text_delta") or None,
        "tools": [block.name for block in blocks if block.type == "tool_use"],
        "response_id": start.id,
        "response_model": start.model,
        **tokens(
            input_uncached=start.usage.input_tokens,
            output_tokens=usage[-1].output_tokens if usage else None,
            cache_read=start.usage.cache_read_input_tokens,
        ),
    }


def helped(running: drive.Drive) -> list[drive.Case]:
    """The stream helper, read as text and left before its end; the raw answer."""
    ask = {"model": drive.CLAUDE, "max_tokens": 256}

    def said(scenario: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": running.question(scenario)}]

    def text() -> Told:
        made = client(Options(running.providers.url("anthropic")))
        with made.messages.stream(messages=said("everything"), **ask) as stream:
            read = "".join(stream.text_stream)
            return told(stream.get_final_message()) | {"text": read}

    def left() -> None:
        made = client(Options(running.providers.url("anthropic", "apart")))
        with made.messages.stream(messages=said("plain"), **ask) as stream:
            next(iter(stream.text_stream))

    async def asynchronous() -> Told:
        made = client(Options(running.providers.url("anthropic")), asynchronous=True)
        async with made.messages.stream(messages=said("cached"), **ask) as stream:
            read = "".join([piece async for piece in stream.text_stream])
            return told(await stream.get_final_message()) | {"text": read}

    def raw() -> Told:
        made = client(Options(running.providers.url("anthropic")))
        return told(made.messages.with_raw_response.create(messages=said("plain"), **ask).parse())

    return [
        ("helper", text, {}),
        ("helper_left", left, {"ending": "gone"}),
        ("helper_async", lambda: running.wait(asynchronous()), {}),
        ("raw", raw, {}),
    ]


def apis() -> list[Api]:
    bedrock = {
        "scenarios": ("plain", "everything"),
        "failures": (),
        "breaks": (),
        "retries": drive.NEVER,
        "timeouts": False,
    }
    found = [
        Api(
            "messages",
            "anthropic",
            told,
            lambda options: messages(client(options)),
            lambda options: messages(client(options, asynchronous=True)),
            cases=helped,
        )
    ]
    if importlib.util.find_spec("boto3") is None:  # what signs the requests
        return found
    at_bedrock = Api(
        "bedrock",
        "aws.bedrock",
        told,
        lambda options: messages(client(options, bedrock=True), BEDROCK),
        lambda options: messages(client(options, bedrock=True, asynchronous=True), BEDROCK),
        **bedrock,
    )
    return [*found, at_bedrock]


if __name__ == "__main__":
    drive.Drive(apis()).run()
