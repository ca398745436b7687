"""Runs inside the environment of a client library: asks a provider directly, and through the gateway.

In: the script of the library (`tests/clients/scripts`), where the provider is, and the gateway. Out: a line of JSON for
each way to ask that the library has: what the caller was told either way.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "clients" / "scripts"))

import drive

PREFIXES = {
    "openai": "/openai",
    "azure.ai.openai": "/azure/acme",
    "anthropic": "/anthropic",
    "gcp.gemini": "/gemini",
    "gcp.vertex_ai": "/vertex",
    "aws.bedrock": "/bedrock/us-east-1",
    "mistral_ai": "/mistral",
    "cohere": "/cohere",
    "groq": "/groq",
    "together": "/together",
    "ollama": "/ollama",
    "huggingface": "/huggingface",
}
QUESTION = "What is six times seven? scenario:plain"


LOOP = asyncio.new_event_loop()


def main(script: str, provider: str, gateway: str) -> None:
    asyncio.set_event_loop(LOOP)
    for api in importlib.import_module(script).apis():
        for kind, make in (("sync", api.sync), ("async", api.asynchronous)):
            for way in ("whole", "stream") if make else ():
                urls = provider, gateway + PREFIXES[api.vendor]
                told = [asked(api, getattr(make(drive.Options(url)), way), way, kind) for url in urls]
                if told[0] is not None:
                    line = {"name": f"{api.name}/{kind}/{way}", "vendor": api.vendor, "told": told}
                    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what a library leaves running is not our business


def asked(api: Any, ask: Any, way: str, kind: str) -> Any:
    """What the caller is told, but for ids, which the provider counts up."""
    if ask is None:
        return None
    try:
        if kind == "sync":
            answer = list(ask(QUESTION)) if way == "stream" else ask(QUESTION)
        else:
            answer = LOOP.run_until_complete(drive._listed(ask(QUESTION)) if way == "stream" else ask(QUESTION))
        told = api.told(answer)
    except Exception as failure:
        return {"raised": f"{type(failure).__name__}: {failure}"[:300]}
    return {key: value for key, value in told.items() if key != "response_id"}


if __name__ == "__main__":
    main(*sys.argv[1:])
