"""pydantic-ai: agents on OpenAI's and Anthropic's models, streamed and not, with a tool that is really called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Any

import drive
from drive import Api, Options, Told, Way, tokens

NEW = int(version("pydantic-ai-slim").partition(".")[0]) >= 2


def openai_chat(options: Options) -> Any:
    import openai
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    named = {"base_url": options.url + "/v1", "timeout": options.timeout_seconds, "max_retries": options.retries}
    client = openai.AsyncOpenAI(api_key=drive.KEY, **named)
    return OpenAIChatModel(drive.GPT, provider=OpenAIProvider(openai_client=client))


def openai_responses(options: Options) -> Any:
    import openai
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    client = openai.AsyncOpenAI(api_key=drive.KEY, base_url=options.url + "/v1", max_retries=0)
    return OpenAIResponsesModel(drive.GPT, provider=OpenAIProvider(openai_client=client))


def anthropic_messages(options: Options) -> Any:
    import anthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    named = {"base_url": options.url, "timeout": options.timeout_seconds, "max_retries": options.retries}
    client = anthropic.AsyncAnthropic(api_key=drive.KEY, **named)
    return AnthropicModel(drive.CLAUDE, provider=AnthropicProvider(anthropic_client=client))


def agent(model: Any, *tools: Callable[..., str]) -> Way:
    from pydantic_ai import Agent

    asked = Agent(model, tools=tools)

    async def stream(question: str) -> AsyncIterator[Any]:
        async with asked.run_stream(question) as answer:
            async for piece in answer.stream_text(delta=True):
                yield piece

    return Way(asked.run, stream)


def told(answer: Any) -> Told:
    if isinstance(answer, list):
        return {"text": "".join(answer)}
    usage = answer.usage if NEW else answer.usage()
    return {"text": answer.output, **tokens(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)}


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"mild in {city}"


def with_a_tool(model: Callable[[Options], Any], vendor: str) -> Callable[[drive.Drive], list[drive.Case]]:
    """Two requests: the one that asks for the tool, and the one that brings its result."""

    def cases(running: drive.Drive) -> list[drive.Case]:
        way = agent(model(Options(running.providers.url(vendor))), get_weather)
        assert way.whole is not None
        whole = way.whole

        def run() -> Told:
            return {"text": running.wait(whole(running.question("tools"))).output}

        return [("tool", run, {"attempts": [0, 0], "apart": True})]

    return cases


def apis() -> list[Api]:
    scenarios, failures = ("plain", "cached", "everything"), ("rate_limited", "bad_request")
    models = {"openai": openai_chat, "anthropic": anthropic_messages}
    found = [
        Api(
            vendor,
            vendor,
            told,
            None,
            lambda options, model=model: agent(model(options)),
            scenarios,
            failures,
            cases=with_a_tool(model, vendor),
        )
        for vendor, model in models.items()
    ]
    responses = {"retries": drive.NEVER, "timeouts": False, "breaks": (), "failures": ()}
    asked = Api(
        "responses", "openai", told, None, lambda options: agent(openai_responses(options)), scenarios, **responses
    )
    return [*found, asked]


if __name__ == "__main__":
    drive.Drive(apis()).run()
