"""The `cohere` library: chat in both versions of its API, and embeddings."""

from __future__ import annotations

from typing import Any

import drive
import openai_calls
from drive import Api, Options, Told, Way, tokens

MODEL = "command-a-03-2025"


def client(options: Options, *, asynchronous: bool = False, old: bool = False) -> Any:
    import cohere

    kind = ("Async" if asynchronous else "") + ("Client" if old else "ClientV2")
    return getattr(cohere, kind)(
        api_key=drive.KEY, base_url=options.url + ("/cohere" if old else ""), timeout=options.timeout_seconds
    )


def chat(made: Any, options: Options) -> Way:
    more = {"model": MODEL, "request_options": {"max_retries": options.retries}}

    def said(question: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": question}], "tools": openai_calls.TOOLS, **more}

    return Way(lambda question: made.chat(**said(question)), lambda question: made.chat_stream(**said(question)))


def told(answer: Any) -> Told:
    if isinstance(answer, list):
        return streamed(answer)
    message = answer.message
    return {
        "text": "".join(part.text for part in message.content or []) or None,
        "tools": [call.function.name for call in message.tool_calls or []],
        "response_id": answer.id,
        **counts(answer.usage),
    }


def streamed(events: list[Any]) -> Told:
    deltas = [event.delta.message.content.text for event in events if event.type == "content-delta"]
    calls = [event.delta.message.tool_calls for event in events if event.type == "tool-call-start"]
    ends = [event.delta.usage for event in events if event.type == "message-end"]
    return {
        "pieces": len(events),
        "text": "".join(deltas) or None,
        "tools": [call.function.name for call in calls],
        "response_id": events[0].id,
        **(counts(ends[-1]) if ends and ends[-1] else {}),
    }


def counts(usage: Any) -> Told:
    return tokens(input_tokens=usage.billed_units.input_tokens, output_tokens=usage.billed_units.output_tokens)


def chat_v1(made: Any, options: Options) -> Way:
    more = {"model": MODEL, "request_options": {"max_retries": options.retries}}
    return Way(
        lambda question: made.chat(message=question, **more),
        lambda question: made.chat_stream(message=question, **more),
    )


def told_v1(answer: Any) -> Told:
    last = answer[-1].response if isinstance(answer, list) else answer
    billed = last.meta.billed_units
    return {"text": last.text, **tokens(input_tokens=billed.input_tokens, output_tokens=billed.output_tokens)}


def embeddings(options: Options) -> Way:
    made = client(options)
    asked: dict[str, Any] = {"model": "embed-v4.0", "input_type": "search_document", "embedding_types": ["float"]}
    asked["request_options"] = {"max_retries": options.retries}
    return Way(lambda question: made.embed(texts=[question], **asked))


def apis() -> list[Api]:
    few = {"failures": (), "timeouts": False, "retries": drive.NEVER}
    return [
        Api(
            "chat",
            "cohere",
            told,
            lambda options: chat(client(options), options),
            lambda options: chat(client(options, asynchronous=True), options),
            ("plain", "cached", "everything", "tools", "length"),
            retries=drive.EVERY - {"late", "stream"},
        ),
        Api(
            "chat_v1",
            "cohere",
            told_v1,
            lambda options: chat_v1(client(options, old=True), options),
            lambda options: chat_v1(client(options, asynchronous=True, old=True), options),
            ("plain", "length"),
            breaks=("stream_cut",),
            **few,
        ),
        Api("embeddings", "cohere", lambda answer: {}, embeddings, None, ("plain",), **few),
    ]


if __name__ == "__main__":
    drive.Drive(apis()).run()
