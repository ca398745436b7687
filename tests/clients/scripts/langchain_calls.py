"""LangChain's chat models of OpenAI and Anthropic, alone and in a chain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import drive
import openai_calls
from drive import Api, Options, Told, Way, tokens


def openai_model(options: Options) -> Any:
    from langchain_openai import ChatOpenAI

    named = {"base_url": options.url + "/v1", "api_key": drive.KEY, "timeout": options.timeout_seconds}
    return ChatOpenAI(model=drive.GPT, max_retries=options.retries, stream_usage=True, **named)


def anthropic_model(options: Options) -> Any:
    from langchain_anthropic import ChatAnthropic

    named = {"base_url": options.url, "api_key": drive.KEY, "timeout": options.timeout_seconds}
    return ChatAnthropic(model=drive.CLAUDE, max_tokens=256, max_retries=options.retries, **named)


def sync(model: Any) -> Way:
    bound = model.bind_tools(openai_calls.TOOLS)

    def stream(question: str) -> Iterator[Any]:
        return bound.stream(question)  # type: ignore[no-any-return]

    return Way(bound.invoke, stream)


def asynchronous(model: Any) -> Way:
    bound = model.bind_tools(openai_calls.TOOLS)
    return Way(bound.ainvoke, bound.astream)


def told(answer: Any) -> Told:
    """A message, or the messages of a stream, which add up."""
    message = answer
    if isinstance(answer, list):
        message = answer[0]
        for piece in answer[1:]:
            message = message + piece
    usage = message.usage_metadata
    text = message.text if isinstance(message.text, str) else message.text()
    return {
        "text": str(text) or None,
        "tools": [call["name"] for call in message.tool_calls],
        **(tokens(input_tokens=usage["input_tokens"], output_tokens=usage["output_tokens"]) if usage else {}),
    }


def chained(running: drive.Drive) -> list[drive.Case]:
    """A chain, and a batch in threads."""
    from langchain_core.output_parsers import StrOutputParser

    model = openai_model(Options(running.providers.url("openai")))
    chain = model | StrOutputParser()
    batch = {"attempts": [0] * 4, "together": True}
    return [
        ("chain", lambda: {"text": chain.invoke(running.question("plain"))}, {}),
        ("batch", lambda: [told(each) for each in model.batch([running.question("plain") for _ in range(4)])], batch),
    ]


def apis() -> list[Api]:
    scenarios = ("plain", "everything", "tools")
    failures = ("rate_limited", "bad_request")
    return [
        Api(
            "openai",
            "openai",
            told,
            lambda options: sync(openai_model(options)),
            lambda options: asynchronous(openai_model(options)),
            scenarios,
            failures,
            cases=chained,
        ),
        Api(
            "anthropic",
            "anthropic",
            told,
            lambda options: sync(anthropic_model(options)),
            lambda options: asynchronous(anthropic_model(options)),
            scenarios,
            failures,
        ),
    ]


if __name__ == "__main__":
    drive.Drive(apis()).run()
