"""What a case told, held against what the simulated provider really served and what the caller saw.

In: a line of a script. Out: what differs, in words; nothing where all is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tachograph.testing.provider import SCENARIOS, Scenario
from tachograph.testing.provider_truth import TEXT, TOOL_NAME

Line = dict[str, Any]

APIS = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "embeddings": "openai.embeddings",
    "messages": "anthropic.messages",
}
# What an API cannot say, by (provider of the route, api).
SILENT: dict[tuple[str, str], set[str]] = {
    ("anthropic", "messages"): set(),
    ("aws.bedrock", "invoke"): set(),
    ("aws.bedrock", "converse"): {"reasoning"},
    ("gcp.gemini", "generate_content"): {"cache_write", "tool_calls"},
    ("cohere", "chat"): {"cache_write", "cache_read"},  # what is billed has no cached part
    ("cohere", "chat_v1"): {"cache_write", "cache_read", "reasoning"},
    ("ollama", "chat"): {"cache_write", "reasoning", "tool_calls", "filtered"},
}
OTHERS = {"split"}  # OpenAI's kinds do not say how long a cache is kept
KINDS = {
    400: "client_bad_request",
    401: "client_auth",
    403: "client_auth",
    429: "rate_limited",
    500: "provider_error",
    503: "provider_overloaded",
    529: "provider_overloaded",
}
ENDINGS = {
    "gone": ("aborted", {"cancelled"}),
    "timeout": ("error", {"timeout"}),
    "refused": ("error", {"network"}),
    "stream_cut": ("error", {"network"}),
    "stream_error": ("error", {"provider_error", "provider_overloaded", "rate_limited"}),
}
COUNTS = {
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read",
    "output_reasoning",
    "output_visible",
    "input_uncached",
    "cache_write_5m",
    "cache_write_1h",
}


def differences(line: Line, transports: tuple[str, ...]) -> list[str]:
    """All that is wrong in one case."""
    return [f"{line['case']}: {what}" for what in _differences(line, transports)]


def _differences(line: Line, transports: tuple[str, ...]) -> Iterator[str]:
    expect = line["expect"]
    calls, served = line["calls"], line["served"]
    yield from _caller(line)
    attempts = expect.get("attempts", [0])
    if len(calls) != len(attempts):
        yield f"{len(calls)} calls were told, {len(attempts)} attempts were made"
        return
    if expect.get("ending") == "refused":
        if served:
            yield "something was served"
    elif len(served) != max(1, len(attempts)):
        yield f"{len(served)} attempts were served, {len(attempts)} were expected: raised {line['raised']}"
        return
    if not attempts:
        return
    yield from _kinship(calls, attempts, together=bool(expect.get("together") or expect.get("apart")))
    if expect.get("together"):
        order = {each["response_id"]: place for place, each in enumerate(served)}
        calls = sorted(calls, key=lambda call: order.get(call["response_id"], -1))
    for index, call in enumerate(calls):
        yield from _written(call, transports)
        yield from _call(call, served[index] if served else None, expect)


def _caller(line: Line) -> Iterator[str]:
    """What the caller saw: the answer, or an error where one was due; and the counts that it saw are ours."""
    expect, told = line["expect"], line["told"]
    raises = expect.get("raises", False)
    if raises is not None and bool(line["raised"]) != raises:
        yield f"the caller got {line['raised'] or 'no error'}"
    if line["raised"] or told is None:
        return
    if "pieces" in expect and (told["pieces"] != expect["pieces"] or "input_tokens" in told):
        yield f"the caller saw {told}, not {expect['pieces']} pieces without counts"
    for each in told if isinstance(told, list) else [told]:
        if "text" in each and not each.get("tools") and each["text"] != TEXT and "ending" not in expect:
            yield f"the caller read {each['text']!r}"
        if each.get("tools") and each["tools"] != [TOOL_NAME]:
            yield f"the caller was asked for {each['tools']}"
    if isinstance(told, list) or not line["calls"]:
        return
    last = line["calls"][-1]
    for name in ("response_id", "response_model", *COUNTS):
        if name in told and (told[name] or 0) != (last.get(name) or 0) and last.get("usage_source") != "estimated":
            yield f"{name}: the caller saw {told[name]}, we {last.get(name)}"


def _kinship(calls: list[Line], attempts: list[int], together: bool) -> Iterator[str]:
    """Attempts of one request share its id; nothing else is shared."""
    if [call["attempt"] for call in calls] != attempts:
        yield f"attempts are {[call['attempt'] for call in calls]}, not {attempts}"
    operations = {call["operation_id"] for call in calls}
    if None in operations or len(operations) != (len(calls) if together else 1):
        yield f"operations: {operations}"
    for name in ("call_id", "span_id"):
        if len({call[name] for call in calls}) != len(calls):
            yield f"{name} is not unique"


def _written(call: Line, transports: tuple[str, ...]) -> Iterator[str]:
    """What holds for each call."""
    if call["vantage"] != "client" or call["source"].split(" ")[-1] not in transports:
        yield f"recorded by {call['source']}, not by {transports}"
    if call["api_key_id"] is not None:
        yield "credentials left a trace"
    if call["duration_ms"] is None or call["duration_ms"] <= 0:
        yield f"duration is {call['duration_ms']}"
    if call["ttft_ms"] is not None and not 0 < call["ttft_ms"] <= call["duration_ms"]:
        yield f"first content at {call['ttft_ms']} of {call['duration_ms']} ms"
    yield from _headers(call)


def _headers(call: Line) -> Iterator[str]:
    """Who was answered knows when the headers came: before all else. gRPC does not tell."""
    came, known = call["headers_ms"], [call[name] for name in ("ttft_ms", "duration_ms") if call[name] is not None]
    if came is None and call["status"] is not None and not call["source"].endswith(" grpc"):
        yield "nobody knows when the headers came"
    if came is not None and (call["status"] is None or not 0 < came <= min(known, default=came)):
        yield f"headers at {came}, what follows at {known} ms"


def _call(call: Line, served: Line | None, expect: Line) -> Iterator[str]:
    """One call against the truth."""
    vendor = expect["vendor"]
    if call["provider"] not in (vendor if isinstance(vendor, list) else [vendor]):
        yield f"provider is {call['provider']}"
    ending = expect.get("ending")
    if served is None:
        if (call["outcome"], call["error_type"], call["status"]) != ("error", "network", None):
            yield f"refused: {call['outcome']} {call['error_type']} {call['status']}"
        return
    scenario = SCENARIOS[served["scenario"]]
    # a caller that was late may not have seen the head of the answer
    if call["status"] != served["status"] and not (call["status"] is None and ending in ("gone", "timeout")):
        yield f"status is {call['status']}, not {served['status']}"
    if call["request_model"] != served["request_model"]:
        yield f"request_model is {call['request_model']}, not {served['request_model']}"
    if ending:
        yield from _broken(call, served, ending)
    elif served["status"] != 200:
        yield from _failed(call, served, scenario)
    else:
        yield from _answered(call, served, scenario)


def _broken(call: Line, served: Line, ending: str) -> Iterator[str]:
    outcome, kinds = ENDINGS[ending]
    if ending == "gone" and call["outcome"] == "ok" and call["finish_reason"]:
        if call["usage_source"] == "reported":
            yield from _answered(call, served, SCENARIOS[served["scenario"]])  # the client had let it come whole
        return
    if call["outcome"] != outcome or call["error_type"] not in kinds:
        yield f"{ending}: {call['outcome']} {call['error_type']}"
    if call["usage_source"] == "reported" and "usage_partial" not in call["flags"]:
        truth = SCENARIOS[served["scenario"]].truth  # the head of an answer may have had the counts
        if (call["input_tokens"], call["output_tokens"]) != (truth.input_tokens, truth.output_tokens):
            yield f"usage is said to be whole: {call['input_tokens']} {call['output_tokens']} {call['flags']}"
    if call["response_id"] not in (None, served["response_id"]):
        yield f"response_id is {call['response_id']}"


def _failed(call: Line, served: Line, scenario: Scenario) -> Iterator[str]:
    kind = KINDS[served["status"]]
    if call["outcome"] != "error" or call["error_type"] != kind:
        yield f"{served['status']}: {call['outcome']} {call['error_type']}, not {kind}"
    if call["usage_source"] != "missing" or call["input_tokens"] is not None:
        yield f"an error used {call['input_tokens']} tokens"
    if scenario.retry_after_seconds and call["retry_after_ms"] not in (None, scenario.retry_after_seconds * 1000):
        yield f"retry_after_ms is {call['retry_after_ms']}"


def _answered(call: Line, served: Line, scenario: Scenario) -> Iterator[str]:
    silent = SILENT.get((served["provider"], served["api"]), OTHERS)
    filtered = scenario.finish == "content_filter" and call["finish_reason"] == "content_filter"
    if call["outcome"] != ("error" if filtered else "ok"):
        yield f"outcome is {call['outcome']} {call['error_type']}"
    untold = {"response_model"} if served["api"] == "embeddings" and served["provider"] == "gcp.gemini" else set()
    for name in ("response_id", "response_model", "streamed"):
        if call[name] != served[name] and name not in untold:
            yield f"{name} is {call[name]}, not {served[name]}"
    if served["streamed"] and (call["ttft_ms"] is None or not call["chunks"]):
        yield "a stream without a first content"
    yield from _finish(call, served, scenario, silent)
    if served["counted"]:
        yield from _counts(call, served, scenario, silent)
    elif call["usage_source"] not in ("estimated", "missing") or call["input_tokens"] is not None:
        yield f"counts that nobody told: {call['usage_source']} {call['input_tokens']}"


def _finish(call: Line, served: Line, scenario: Scenario, silent: set[str]) -> Iterator[str]:
    if served["api"] == "embeddings":
        return
    tools = int(scenario.finish == "tool_calls")
    if (call["tool_calls"] or 0) != tools:
        yield f"tool_calls is {call['tool_calls']}, not {tools}"
    if scenario.finish in silent or scenario.finish == "content_filter":
        return
    if call["finish_reason"] != scenario.finish:
        yield f"finish_reason is {call['finish_reason']}, not {scenario.finish}"


def _counts(call: Line, served: Line, scenario: Scenario, silent: set[str]) -> Iterator[str]:
    truth = scenario.truth
    if call["usage_source"] != "reported":
        yield f"usage is {call['usage_source']}"
    wanted: dict[str, int] = {"input_tokens": truth.input_tokens, "output_tokens": truth.output_tokens}
    if served["api"] == "embeddings":
        wanted = {"input_tokens": truth.input_tokens}
    else:
        wanted |= {} if "cache_read" in silent else {"cache_read": truth.cache_read}
        wanted |= {} if "reasoning" in silent else {"output_reasoning": truth.output_reasoning}
        if not silent & {"cache_write", "split"}:
            wanted |= {"cache_write_5m": truth.cache_write_5m, "cache_write_1h": truth.cache_write_1h}
    for name, count in wanted.items():
        if (call[name] or 0) != count:
            yield f"{name} is {call[name]}, not {count}"
    parts = ("cache_write_5m", "cache_write_1h", "cache_write_other")
    written = sum(call[name] or 0 for name in parts)
    if "cache_write" not in silent and served["api"] != "embeddings" and written != truth.cache_write:
        yield f"{written} tokens were written to the cache, not {truth.cache_write}"
