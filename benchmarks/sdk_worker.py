"""The measured process of `benchmarks.sdk`: an openai client, and one recorder that is put on and taken off.

In: the recorder's name and the server's address as arguments; then, line by line, `{"kind", "calls", "pairs"}`. Out: a
line of JSON each, a list of pairs. A pair is two short blocks of calls, off and on, so short that what else the machine
does is the same for both. CPU time is that of all threads, until the last of what was recorded has left.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.sdk_peers import MEASURED, Recorder, versions

WARM_CALLS = 2
QUESTION: list[Any] = [{"role": "user", "content": "Tell me about the tachograph. " * 20}]


def main() -> None:
    name, url = sys.argv[1:3]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    kinds = calls(url)
    kinds["plain"]()
    recorder = MEASURED[name].start()
    recorder.switch(False)
    gc.collect()
    gc.freeze()  # a full collection within a block would be a coin's toss; what calls leave behind is still collected
    answers.write(json.dumps({"versions": versions(MEASURED[name].distribution)}) + "\n")
    for line in sys.stdin:
        order = json.loads(line)
        call, count = kinds[order["kind"]], order["calls"]
        found = [pair(recorder, call, count, at % 2 == 0) for at in range(order["pairs"])]
        answers.write(json.dumps(found) + "\n")
    recorder.switch(False)


def calls(url: str) -> dict[str, Callable[[], float]]:
    """What is measured, by name; each returns when the first chunk was there."""
    openai = importlib.import_module("openai")
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    kind = next(kind for kind in type(client._client).__mro__ if kind.__module__.startswith("httpx"))
    http = importlib.import_module(kind.__module__.partition(".")[0]).Client(trust_env=False)
    create, clock = client.chat.completions, time.perf_counter

    def plain() -> float:
        answer = create.create(model="gpt-5-mini", messages=QUESTION)
        assert answer.usage.completion_tokens == 50
        return clock()

    def stream() -> float:
        first = 0.0
        chunks = 0
        options = {"include_usage": True}
        for _ in create.create(model="gpt-5-mini", messages=QUESTION, stream=True, stream_options=options):
            first = first or clock()
            chunks += 1
        assert chunks == 51, chunks
        return first

    def untouched() -> float:
        assert http.post(url + "/documents", json={"messages": QUESTION}).status_code == 200
        return clock()

    return {"plain": plain, "stream": stream, "untouched": untouched}


def pair(recorder: Recorder, call: Callable[[], float], count: int, off_first: bool) -> dict[str, Any]:
    """Two blocks, off and on: what is off, what on adds, and how many calls of it were recorded."""
    found = {on: block(recorder, call, count, on) for on in ((False, True) if off_first else (True, False))}
    (cpu_off, first_off, _), (cpu_on, first_on, recorded) = found[False], found[True]
    return {"off": cpu_off, "added": cpu_on - cpu_off, "first": first_on - first_off, "recorded": recorded}


def block(recorder: Recorder, call: Callable[[], float], count: int, on: bool) -> tuple[float, float, int]:
    """Some calls in a row: (CPU time of one, wall time to its first chunk, both in us; how many were recorded)."""
    recorder.switch(on)
    for _ in range(WARM_CALLS):
        call()
    recorder.settle()
    before, firsts = recorder.recorded(), []
    gc.collect()
    cpu = time.process_time()
    for _ in range(count):
        began = time.perf_counter()
        firsts.append(call() - began)
    if on:
        recorder.settle()
    cpu = time.process_time() - cpu
    return cpu / count * 1e6, statistics.median(firsts) * 1e6, recorder.recorded() - before


if __name__ == "__main__":
    main()
