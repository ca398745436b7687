"""LiteLLM: chat completions at OpenAI, Anthropic and Gemini in one vocabulary, streamed and not."""

from __future__ import annotations

import os
from typing import Any

import drive
import openai_calls
from drive import Api, Options, Told, Way, tokens

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # nothing is fetched


def way(model: str, path: str) -> Any:
    def made(options: Options, *, asynchronous: bool = False) -> Way:
        import litellm

        litellm.suppress_debug_info = True
        litellm.telemetry = False
        ask = litellm.acompletion if asynchronous else litellm.completion
        named = {"api_base": options.url + path, "timeout": options.timeout_seconds, "api_key": drive.KEY}
        named |= {"max_retries": options.retries, "model": model, "tools": openai_calls.TOOLS}

        def messages(question: str) -> dict[str, Any]:
            return {"messages": [{"role": "user", "content": question}], **named}

        return Way(
            lambda question: ask(**messages(question)),
            lambda question: ask(**messages(question), stream=True, **openai_calls.COUNTED),
        )

    return made


def told(answer: Any) -> Told:
    if isinstance(answer, list):
        deltas = [choice.delta for piece in answer for choice in piece.choices]
        calls = [call for delta in deltas for call in delta.tool_calls or []]
        text = "".join(delta.content or "" for delta in deltas) or None
        return {"text": text, "tools": [call.function.name for call in calls if call.function.name]}
    message, usage = answer.choices[0].message, answer.usage
    counted = tokens(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)
    return {"text": message.content, "tools": [call.function.name for call in message.tool_calls or []], **counted}


def apis() -> list[Api]:
    scenarios, failures = ("plain", "cached", "tools"), ("rate_limited", "bad_request")
    vendors = {
        "openai": ("openai/" + drive.GPT, "/v1", True),
        "anthropic": ("anthropic/" + drive.CLAUDE, "/v1/messages", False),
    }
    found = []
    for vendor, (model, path, retries) in vendors.items():
        made = way(model, path)
        found.append(
            Api(
                vendor,
                vendor,
                told,
                made,
                lambda options, made=made: made(options, asynchronous=True),
                scenarios,
                failures,
                retries=drive.EVERY if retries else drive.NEVER,
                lingers=True,
                refusals=1 if retries else 2,
            )
        )
    return found


if __name__ == "__main__":
    drive.Drive(apis()).run()
