"""An agent with a tool: one conversation in each arm of an experiment, and what each of them cost."""

import sys

from pydantic_ai import Agent

import tachograph

tachograph.instrument(prices=True)

ARMS = {"control": "openai:gpt-5-mini", "smaller": "openai:gpt-5-nano"}
QUESTIONS = sys.argv[1:] or ["What is the weather in Paris?", "What should I wear there?"]


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"It is mild in {city}."


def converse(model: str) -> None:
    agent, history = Agent(model, tools=[get_weather]), []
    for question in QUESTIONS:
        answer = agent.run_sync(question, message_history=history)
        history = answer.all_messages()
        print(answer.output)


for arm, model in ARMS.items():
    with tachograph.context(conversation=f"weather-{arm}", experiment="smaller-model", arm=arm):
        converse(model)

tachograph.flush()  # calls are written by a thread of its own, within a second
calls = tachograph.read("calls.jsonl")
conversations = calls.groupby(["conversation_id", "arm", "model"])
print(conversations.agg(calls=("call_id", "count"), cost_usd=("cost_usd", "sum"), tokens=("total_tokens", "sum")))
