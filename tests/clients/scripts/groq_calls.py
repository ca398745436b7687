"""The `groq` library: chat completions, counted in every stream."""

from __future__ import annotations

from typing import Any

import drive
import openai_calls
from drive import Api, Options, Told

MODEL = "llama-3.3-70b-versatile"


def client(options: Options, *, asynchronous: bool = False) -> Any:
    import groq

    kind = groq.AsyncGroq if asynchronous else groq.Groq
    where = {"base_url": options.url + "/groq", "max_retries": options.retries, "timeout": options.timeout_seconds}
    return kind(api_key=drive.KEY, **where)


def told(answer: Any) -> Told:
    if not isinstance(answer, list):
        return openai_calls.chat_told(answer)
    return openai_calls.streamed_chat(answer)


def apis() -> list[Api]:
    return [
        Api(
            "chat",
            "groq",
            told,
            lambda options: openai_calls.chat(client(options), MODEL),
            lambda options: openai_calls.chat(client(options, asynchronous=True), MODEL),
        )
    ]


if __name__ == "__main__":
    drive.Drive(apis()).run()
