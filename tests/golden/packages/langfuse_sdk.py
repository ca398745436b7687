"""Records the Langfuse SDK: its wrapper of the `openai` library, and observations made by hand under a decorator."""

from __future__ import annotations

import os
import sys
from typing import Any

RECORDER = os.environ["GOLDEN_RECORDER"]
os.environ |= {
    "LANGFUSE_PUBLIC_KEY": "pk-lf-none",
    "LANGFUSE_SECRET_KEY": "sk-lf-none",
    "LANGFUSE_HOST": RECORDER,
    "LANGFUSE_BASE_URL": RECORDER,
    "LANGFUSE_FLUSH_AT": "512",
}

import drive  # noqa: E402
from langfuse import get_client, observe  # noqa: E402
from langfuse.openai import OpenAI  # noqa: E402

DISJOINT = {"input": 29, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 768, "output": 13}
SPLIT = {
    "input": 29,
    "input_cached_tokens": 64,
    "input_cache_creation_5m": 512,
    "input_cache_creation_1h": 256,
    "output": 13,
    "total": 874,
}


def by_hand(usage: dict[str, int]) -> None:
    """A generation that the user's own code describes, around a real call."""
    langfuse = get_client()
    if hasattr(langfuse, "start_as_current_observation"):
        started = langfuse.start_as_current_observation(as_type="generation", name="ask", model=drive.CLAUDE)
    else:  # before version 4
        started = langfuse.start_as_current_generation(name="ask", model=drive.CLAUDE)
    with started as generation:
        client = drive.anthropic_client()
        drive.anthropic_messages(client, "cache_write")
        generation.update(output="The answer is forty-two.", usage_details=usage)


def main(name: str) -> None:
    client = OpenAI(base_url=f"{drive.PROVIDER}/v1", api_key="none", max_retries=0)

    @observe(name="answer")
    def answer(scenario: str) -> Any:
        return drive.openai_chat(client, scenario)

    counted = {"stream": True, "stream_options": {"include_usage": True}}
    drive.record(
        [
            ("openai", lambda: drive.openai_chat(client, "plain")),
            ("openai_cached", lambda: drive.openai_chat(client, "cached")),
            ("openai_reasoning", lambda: drive.openai_chat(client, "reasoning")),
            ("openai_stream_cached", lambda: drive.openai_chat(client, "cached", **counted)),
            ("openai_stream_uncounted", lambda: drive.openai_chat(client, "cached", stream=True)),
            ("openai_decorated", lambda: answer("cached")),
            ("responses_everything", lambda: drive.openai_responses(client, "everything")),
            ("by_hand", lambda: by_hand(DISJOINT)),
            ("by_hand_split", lambda: by_hand(SPLIT)),
            ("error_rate_limited", lambda: drive.openai_chat(client, "rate_limited")),
        ],
        get_client().flush,
    )


if __name__ == "__main__":
    main(sys.argv[1])
