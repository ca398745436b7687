"""The `openai` library: chat completions, responses, embeddings; at OpenAI and at Azure."""

from __future__ import annotations

from typing import Any

import drive
from drive import Api, Options, Told, Way, tokens

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": drive.CITY}}]
RESPONSE_TOOLS = [{"type": "function", "name": "get_weather", "parameters": drive.CITY, "strict": False}]


def client(options: Options, *, asynchronous: bool = False, azure: bool = False) -> Any:
    import openai

    kind = ("Async" if asynchronous else "") + ("AzureOpenAI" if azure else "OpenAI")
    where = {"base_url": options.url + "/v1"}
    if azure:
        where = {"azure_endpoint": options.url, "api_version": "2025-04-01-preview"}
    named = {"api_key": drive.KEY, "max_retries": options.retries, "timeout": options.timeout_seconds}
    return getattr(openai, kind)(**where, **named)


def chat(made: Any, model: str = drive.GPT, **more: Any) -> Way:
    def ask(question: str, **stream: Any) -> Any:
        messages = [{"role": "user", "content": question}]
        return made.chat.completions.create(model=model, messages=messages, tools=TOOLS, **stream)

    return Way(ask, lambda question: ask(question, stream=True, **more))


COUNTED = {"stream_options": {"include_usage": True}}


def chat_told(answer: Any) -> Told:
    if isinstance(answer, list):
        return streamed_chat(answer)
    message = answer.choices[0].message
    return {
        "text": message.content,
        "tools": [each.function.name for each in message.tool_calls or []],
        "response_id": answer.id,
        "response_model": answer.model,
        **chat_counts(answer.usage),
    }


def streamed_chat(pieces: list[Any]) -> Told:
    choices = [choice for piece in pieces for choice in piece.choices]
    deltas = [choice.delta for choice in choices]
    calls = [call for delta in deltas for call in getattr(delta, "tool_calls", None) or []]
    counted = [piece.usage for piece in pieces if piece.usage]
    last = next(piece for piece in pieces if piece.id)
    return {
        "pieces": len(pieces),
        "text": "".join(delta.content or "" for delta in deltas) or None,
        "tools": [call.function.name for call in calls if call.function.name],
        "response_id": last.id,
        "response_model": last.model,
        **(chat_counts(counted[-1]) if counted else {}),
    }


def chat_counts(usage: Any) -> Told:
    asked, answered = (getattr(usage, f"{side}_tokens_details", None) for side in ("prompt", "completion"))
    return tokens(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        cache_read=getattr(asked, "cached_tokens", None),
        output_reasoning=getattr(answered, "reasoning_tokens", None),
    )


def responses(made: Any) -> Way:
    def ask(question: str, **stream: Any) -> Any:
        return made.responses.create(model=drive.GPT, input=question, tools=RESPONSE_TOOLS, **stream)

    return Way(ask, lambda question: ask(question, stream=True))


def responses_told(answer: Any) -> Told:
    if isinstance(answer, list):
        answer = answer[-1].response
    usage = answer.usage
    return {
        "text": answer.output_text or None,
        "tools": [item.name for item in answer.output if item.type == "function_call"],
        "response_id": answer.id,
        "response_model": answer.model,
        **tokens(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.total_tokens,
            cache_read=usage.input_tokens_details.cached_tokens,
            output_reasoning=usage.output_tokens_details.reasoning_tokens,
        ),
    }


def embeddings(made: Any) -> Way:
    return Way(lambda question: made.embeddings.create(model=drive.EMBEDDER, input=question))


def embeddings_told(answer: Any) -> Told:
    return {
        "vector": list(answer.data[0].embedding),
        "response_model": answer.model,
        **tokens(input_tokens=answer.usage.prompt_tokens),
    }


def apis() -> list[Api]:
    few = {"failures": ("rate_limited",), "breaks": (), "retries": drive.NEVER, "timeouts": False}
    return [
        Api(
            "chat",
            "openai",
            chat_told,
            lambda options: chat(client(options), **COUNTED),
            lambda options: chat(client(options, asynchronous=True), **COUNTED),
        ),
        Api(
            "chat_uncounted",
            "openai",
            chat_told,
            lambda options: chat(client(options)),
            None,
            ("plain", "tools"),
            **few,
            pieces={"plain": 7, "tools": 6},
        ),
        Api(
            "responses",
            "openai",
            responses_told,
            lambda options: responses(client(options)),
            lambda options: responses(client(options, asynchronous=True)),
        ),
        Api(
            "embeddings",
            "openai",
            embeddings_told,
            lambda options: embeddings(client(options)),
            lambda options: embeddings(client(options, asynchronous=True)),
            ("plain",),
            **few,
        ),
        Api(
            "azure",
            "azure.ai.openai",
            chat_told,
            lambda options: chat(client(options, azure=True), **COUNTED),
            lambda options: chat(client(options, azure=True, asynchronous=True), **COUNTED),
            ("plain", "cached"),
            **few,
        ),
    ]


if __name__ == "__main__":
    drive.Drive(apis()).run()
