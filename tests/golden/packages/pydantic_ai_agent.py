"""Records pydantic-ai's own telemetry: agents on OpenAI's and Anthropic's models, streamed and not, with a tool."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import drive
from pydantic_ai import Agent
from pydantic_ai.models import openai as models
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider


def main(name: str) -> None:
    asyncio.set_event_loop(asyncio.new_event_loop())
    flush = drive.telemetry()
    Agent.instrument_all(InstrumentationSettings())
    import anthropic
    import openai

    asynchronous = openai.AsyncOpenAI(base_url=f"{drive.PROVIDER}/v1", api_key="none", max_retries=0)
    chat_model = getattr(models, "OpenAIChatModel", None) or models.OpenAIModel  # its name before version 1
    gpt = Agent(chat_model(drive.GPT, provider=OpenAIProvider(openai_client=asynchronous)), name="asker")
    responses = Agent(models.OpenAIResponsesModel(drive.GPT, provider=OpenAIProvider(openai_client=asynchronous)))
    other = anthropic.AsyncAnthropic(base_url=drive.PROVIDER, api_key="none", max_retries=0)
    claude = Agent(AnthropicModel(drive.CLAUDE, provider=AnthropicProvider(anthropic_client=other)))

    @gpt.tool_plain
    def get_weather(city: str) -> str:
        return f"mild in {city}"

    def stream(agent: Any, scenario: str) -> None:
        async def read() -> None:
            async with agent.run_stream(drive.QUESTION + scenario) as answer:
                async for _ in answer.stream_text(delta=True):
                    pass

        asyncio.get_event_loop().run_until_complete(read())

    drive.record(
        [
            ("openai", lambda: gpt.run_sync(drive.QUESTION + "plain")),
            ("openai_cached", lambda: gpt.run_sync(drive.QUESTION + "cached")),
            ("openai_stream_cached", lambda: stream(gpt, "cached")),
            ("openai_tools", lambda: gpt.run_sync(drive.QUESTION + "tools")),
            ("responses_everything", lambda: responses.run_sync(drive.QUESTION + "everything")),
            ("anthropic_cache_write", lambda: claude.run_sync(drive.QUESTION + "cache_write")),
            ("anthropic_stream_cached", lambda: stream(claude, "cached")),
            ("error_rate_limited", lambda: gpt.run_sync(drive.QUESTION + "rate_limited")),
        ],
        flush,
    )


if __name__ == "__main__":
    main(sys.argv[1])
