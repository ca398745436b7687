"""Records Semantic Kernel for Python: chat completion of OpenAI and Anthropic."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE"] = "true"

import anthropic
import drive
import openai
from semantic_kernel.connectors.ai.anthropic import AnthropicChatCompletion
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.contents import ChatHistory


def main(name: str) -> None:
    flush = drive.telemetry()
    loop = asyncio.new_event_loop()
    gpt_client = openai.AsyncOpenAI(base_url=f"{drive.PROVIDER}/v1", api_key="none", max_retries=0)
    claude_client = anthropic.AsyncAnthropic(base_url=drive.PROVIDER, api_key="none", max_retries=0)
    gpt = OpenAIChatCompletion(ai_model_id=drive.GPT, api_key="none", async_client=gpt_client)
    claude = AnthropicChatCompletion(ai_model_id=drive.CLAUDE, api_key="none", async_client=claude_client)

    def asked(service: Any, scenario: str) -> Any:
        history = ChatHistory()
        history.add_user_message(drive.QUESTION + scenario)
        settings = service.get_prompt_execution_settings_class()()
        return history, settings

    def ask(service: Any, scenario: str) -> None:
        loop.run_until_complete(service.get_chat_message_contents(*asked(service, scenario)))

    def stream(service: Any, scenario: str) -> None:
        async def read() -> None:
            async for _ in service.get_streaming_chat_message_contents(*asked(service, scenario)):
                pass

        loop.run_until_complete(read())

    drive.record(
        [
            ("openai", lambda: ask(gpt, "plain")),
            ("openai_cached", lambda: ask(gpt, "cached")),
            ("openai_stream_cached", lambda: stream(gpt, "cached")),
            ("anthropic", lambda: ask(claude, "plain")),
            ("anthropic_cache_write", lambda: ask(claude, "cache_write")),
            ("anthropic_stream_cached", lambda: stream(claude, "cached")),
            ("error_rate_limited", lambda: ask(gpt, "rate_limited")),
        ],
        flush,
    )


if __name__ == "__main__":
    main(sys.argv[1])
