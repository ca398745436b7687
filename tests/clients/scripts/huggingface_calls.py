"""`huggingface_hub`: chat completions of its inference client. It never tries again."""

from __future__ import annotations

from typing import Any

import drive
import openai_calls
from drive import Api, Options, Way

MODEL = "meta-llama/Llama-3.3-70B-Instruct"


def client(options: Options, *, asynchronous: bool = False) -> Any:
    import huggingface_hub

    kind = huggingface_hub.AsyncInferenceClient if asynchronous else huggingface_hub.InferenceClient
    return kind(base_url=options.url + "/v1", api_key=drive.KEY, timeout=options.timeout_seconds)


def chat(made: Any) -> Way:
    def ask(question: str, **stream: Any) -> Any:
        messages = [{"role": "user", "content": question}]
        return made.chat_completion(messages, model=MODEL, tools=openai_calls.TOOLS, **stream)

    return Way(ask, lambda question: ask(question, stream=True, **openai_calls.COUNTED))


def apis() -> list[Api]:
    return [
        Api(
            "chat",
            "huggingface",
            openai_calls.chat_told,
            lambda options: chat(client(options)),
            lambda options: chat(client(options, asynchronous=True)),
            retries=drive.NEVER,
            lingers=True,
        )
    ]


if __name__ == "__main__":
    drive.Drive(apis()).run()
