"""Bedrock through boto3: Converse, whole and streamed."""

import boto3

import tachograph

tachograph.instrument()

MODEL = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
bedrock = boto3.client("bedrock-runtime")


def asked(question: str) -> list[dict]:
    return [{"role": "user", "content": [{"text": question}]}]


with tachograph.context(team="research", feature="arithmetic"):
    answer = bedrock.converse(modelId=MODEL, messages=asked("What is six times seven?"))
    print(answer["output"]["message"]["content"][0]["text"])

    stream = bedrock.converse_stream(modelId=MODEL, messages=asked("And why?"))["stream"]
    for event in stream:
        if "contentBlockDelta" in event:
            print(event["contentBlockDelta"]["delta"].get("text", ""), end="", flush=True)
    print()
