"""Runs inside the environment of a client library: asks a provider directly, and through the gateway.

In: the script of the library (`tests/clients/scripts`), where the provider is, and the gateway. Out: a line of JSON for
each way to ask that the library has: what the caller was told either way, and the Calls that the SDK in this process
made of what went through the gateway.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "clients" / "scripts"))

import drive

import tachograph
from tachograph.call import Call, to_dict

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
SETTLE_SECONDS_MAX = 5.0
QUESTION = "What is six times seven? scenario:plain"


LOOP = asyncio.new_event_loop()


def main(script: str, provider: str, gateway: str) -> None:
    asyncio.set_event_loop(LOOP)
    calls: list[Call] = []
    for api in importlib.import_module(script).apis():
        for kind, make in (("sync", api.sync), ("async", api.asynchronous)):
            for way in ("whole", "stream") if make else ():
                told = [asked(api, getattr(make(drive.Options(provider)), way), way, kind)]
                if told[0] is None:
                    continue
                calls.clear()
                tachograph.instrument(callback=calls.append, hosts={gateway.removeprefix("http://"): api.vendor})
                url = gateway + PREFIXES[api.vendor]
                told.append(asked(api, getattr(make(drive.Options(url)), way), way, kind))
                settled(calls)
                tachograph.uninstrument()
                line = {"name": f"{api.name}/{kind}/{way}", "vendor": api.vendor, "told": told}
                sys.stdout.write(json.dumps(line | {"calls": list(map(to_dict, calls))}, default=str) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what a library leaves running is not our business


def settled(calls: list[Call]) -> None:
    """Until the call has been told, which a stream that nobody closes is when nobody holds it."""
    until = time.monotonic() + SETTLE_SECONDS_MAX
    tachograph.flush()
    while not calls and time.monotonic() < until:
        gc.collect()
        LOOP.run_until_complete(asyncio.sleep(0.01))
        tachograph.flush()


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
