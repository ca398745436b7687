"""The `ollama` library: chat in lines of JSON. It never tries again."""

from __future__ import annotations

from typing import Any

import drive
import openai_calls
from drive import Api, Options, Told, Way, tokens

MODEL = "llama3.2"


def client(options: Options, *, asynchronous: bool = False) -> Any:
    import ollama

    kind = ollama.AsyncClient if asynchronous else ollama.Client
    return kind(host=options.url, timeout=options.timeout_seconds)


def chat(made: Any) -> Way:
    def ask(question: str, **stream: Any) -> Any:
        messages = [{"role": "user", "content": question}]
        return made.chat(model=MODEL, messages=messages, tools=openai_calls.TOOLS, **stream)

    return Way(ask, lambda question: ask(question, stream=True))


def told(answer: Any) -> Told:
    parts = answer if isinstance(answer, list) else [answer]
    return {
        "pieces": len(parts),
        "text": "".join(part.message.content or "" for part in parts) or None,
        "tools": [call.function.name for part in parts for call in part.message.tool_calls or []],
        "response_model": parts[-1].model,
        **tokens(input_tokens=parts[-1].prompt_eval_count, output_tokens=parts[-1].eval_count),
    }


def apis() -> list[Api]:
    scenarios = ("plain", "cached", "tools", "length")
    return [
        Api(
            "chat",
            "ollama",
            told,
            lambda options: chat(client(options)),
            lambda options: chat(client(options, asynchronous=True)),
            scenarios,
            retries=drive.NEVER,
        )
    ]


if __name__ == "__main__":
    drive.Drive(apis()).run()
