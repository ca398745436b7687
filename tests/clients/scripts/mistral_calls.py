"""The `mistralai` library: chat and embeddings. It tries again only where it is told to."""

from __future__ import annotations

from typing import Any

import drive
import openai_calls
from drive import Api, Options, Told, Way, tokens

MODEL = "mistral-large-latest"


def client(options: Options) -> Any:
    try:
        from mistralai.client import Mistral
        from mistralai.client.utils import BackoffStrategy, RetryConfig
    except ImportError:  # before version 2
        from mistralai import Mistral
        from mistralai.utils import BackoffStrategy, RetryConfig
    again = RetryConfig("backoff", BackoffStrategy(1500, 1500, 1.0, 1400), False) if options.retries else None
    named = {"server_url": options.url + "/mistral", "timeout_ms": int(options.timeout_seconds * 1000)}
    return Mistral(api_key=drive.KEY, retry_config=again, **named)


def chat(made: Any, *, asynchronous: bool = False) -> Way:
    ask = made.chat.complete_async if asynchronous else made.chat.complete
    stream = made.chat.stream_async if asynchronous else made.chat.stream

    def said(question: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": question}]
        return {"model": MODEL, "messages": messages, "tools": openai_calls.TOOLS}

    return Way(lambda question: ask(**said(question)), lambda question: stream(**said(question)))


def told(answer: Any) -> Told:
    if not isinstance(answer, list):
        message = answer.choices[0].message
        tools = [call.function.name for call in message.tool_calls or []]
        head = {"text": message.content or None, "tools": tools}
        return head | {"response_id": answer.id, "response_model": answer.model, **counts(answer.usage)}
    chunks = [event.data for event in answer]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    return {
        "pieces": len(chunks),
        "text": "".join(delta.content or "" for delta in deltas) or None,
        "tools": [call.function.name for call in calls if call.function.name],
        "response_id": chunks[-1].id,
        "response_model": chunks[-1].model,
        **counts(chunks[-1].usage),
    }


def counts(usage: Any) -> Told:
    if usage is None:
        return {}
    return tokens(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)


def embeddings(options: Options) -> Way:
    made = client(options)
    return Way(lambda question: made.embeddings.create(model="mistral-embed", inputs=[question]))


def embedded(answer: Any) -> Told:
    return {"response_model": answer.model, **tokens(input_tokens=answer.usage.prompt_tokens)}


def apis() -> list[Api]:
    return [
        Api(
            "chat",
            "mistral_ai",
            told,
            lambda options: chat(client(options)),
            lambda options: chat(client(options), asynchronous=True),
            retries=drive.EVERY - {"late"},
        ),
        Api(
            "embeddings", "mistral_ai", embedded, embeddings, None, ("plain",), (), timeouts=False, retries=drive.NEVER
        ),
    ]


if __name__ == "__main__":
    drive.Drive(apis()).run()
