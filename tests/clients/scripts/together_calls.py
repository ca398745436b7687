"""The `together` library: chat completions, counted in every stream."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import drive
import openai_calls
from drive import Api, Options, Told

MAJOR = int(version("together").partition(".")[0])
MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"


def client(options: Options, *, asynchronous: bool = False) -> Any:
    import together

    kind = together.AsyncTogether if asynchronous else together.Together
    where = {
        "base_url": options.url + base(),
        "max_retries": options.retries,
        "timeout": options.timeout_seconds,
    }
    return kind(api_key=drive.KEY, **where)


def base() -> str:
    """From version 3 on the paths of the library have the version of the API in them."""
    return "/together" if MAJOR >= 3 else "/together/v1"


def told(answer: Any) -> Told:
    if not isinstance(answer, list):
        return openai_calls.chat_told(answer)
    if MAJOR > 1:
        return openai_calls.streamed_chat(answer)
    chunks = [chunk for chunk in answer if chunk.choices]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks) or None
    return {"pieces": len(answer), **({"text": text} if text else {}), "response_id": chunks[0].id}


def apis() -> list[Api]:
    return [
        Api(
            "chat",
            "together",
            told,
            lambda options: openai_calls.chat(client(options), MODEL),
            lambda options: openai_calls.chat(client(options, asynchronous=True), MODEL),
            ("plain", "cached", "everything", "tools", "length"),
            retries=drive.EVERY if MAJOR > 1 else drive.EVERY - {"async"},
        )
    ]


if __name__ == "__main__":
    drive.Drive(apis()).run()
