"""A plain script: one line records its calls in calls.jsonl."""

from openai import OpenAI

import tachograph

tachograph.instrument()

client = OpenAI()

answer = client.chat.completions.create(
    model="gpt-5-mini",
    messages=[{"role": "user", "content": "What is six times seven?"}],
)
print(answer.choices[0].message.content)

stream = client.chat.completions.create(
    model="gpt-5-mini",
    messages=[{"role": "user", "content": "And why?"}],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()

client.embeddings.create(model="text-embedding-3-small", input=["six", "seven"])
