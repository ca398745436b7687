"""Records Microsoft Agent Framework: chat clients of OpenAI and Anthropic, and an agent with a tool."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import anthropic
import drive
import openai
from agent_framework import Agent, tool
from agent_framework.observability import enable_instrumentation
from agent_framework_anthropic import AnthropicClient
from agent_framework_openai import OpenAIChatClient, OpenAIChatCompletionClient


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"mild in {city}"


def main(name: str) -> None:
    flush = drive.telemetry()
    enable_instrumentation(enable_sensitive_data=True)
    loop = asyncio.new_event_loop()
    gpt = openai.AsyncOpenAI(base_url=f"{drive.PROVIDER}/v1", api_key="none", max_retries=0)
    claude = anthropic.AsyncAnthropic(base_url=drive.PROVIDER, api_key="none", max_retries=0)
    completions = Agent(OpenAIChatCompletionClient(model=drive.GPT, async_client=gpt), name="asker")
    tooled = Agent(OpenAIChatCompletionClient(model=drive.GPT, async_client=gpt), name="asker", tools=[get_weather])
    responses = Agent(OpenAIChatClient(model=drive.GPT, async_client=gpt), name="asker")
    other = Agent(AnthropicClient(model=drive.CLAUDE, anthropic_client=claude), name="asker")

    def ask(agent: Any, scenario: str) -> None:
        loop.run_until_complete(agent.run(drive.QUESTION + scenario))

    def stream(agent: Any, scenario: str) -> None:
        async def read() -> None:
            async for _ in agent.run(drive.QUESTION + scenario, stream=True):
                pass

        loop.run_until_complete(read())

    drive.record(
        [
            ("openai", lambda: ask(completions, "plain")),
            ("openai_cached", lambda: ask(completions, "cached")),
            ("openai_stream_cached", lambda: stream(completions, "cached")),
            ("openai_tools", lambda: ask(tooled, "tools")),
            ("responses_everything", lambda: ask(responses, "everything")),
            ("anthropic_cache_write", lambda: ask(other, "cache_write")),
            ("anthropic_stream_cached", lambda: stream(other, "cached")),
            ("error_rate_limited", lambda: ask(completions, "rate_limited")),
        ],
        flush,
    )


if __name__ == "__main__":
    main(sys.argv[1])
