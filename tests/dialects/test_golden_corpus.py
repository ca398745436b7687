"""What the real packages emitted, read: the provider's true counts come out, as far as the telemetry states them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.dialects.reading import CORPUS, Desk, Read, bodies, expectation, fact, recordings, written

from tachograph.call import Call

GOLDEN = recordings(CORPUS / "golden")
# Two sightings that nothing connects: a trace of its own each, and the id of the answer in one of them at most.
APART = {
    "openinference-langchain/anthropic_cache_write": "the span of LangChain has no id of the answer",
    "openinference-langchain/anthropic_stream_cached": "the span of LangChain has no id of the answer",
    "openllmetry-anthropic/error_bad_request": "a failure has no id of an answer",
    "openllmetry-anthropic/error_rate_limited": "a failure has no id of an answer",
    "openllmetry-langchain/anthropic_stream_cached": "the span of LangChain has no id of the answer",
    "openllmetry-mistralai/chat": "the client library's own span has no id of the answer",
    "openllmetry-mistralai/chat_cached": "the client library's own span has no id of the answer",
}
# One of two spans names the model that was asked for, but no operation and nothing of the answer: it is no sighting.
SILENT = {
    "openllmetry-mistralai/chat_stream",
    "openllmetry-mistralai/chat_stream_cached",
    "openllmetry-mistralai/error_bad_request",
}
# What stands beside the facts of a call in an expectation.
BESIDE = {"sightings", "some_sightings", "untrue", "truth", "only_in_text", "why"}


@pytest.fixture(scope="module")
def read(desk: Desk) -> dict[Path, Read]:
    """Every recording of spans and records, each signal in one batch."""
    contents = {path: json.loads(path.read_text("utf-8")) for path in GOLDEN}
    found: dict[Path, Read] = {}
    for signal in ("traces", "logs"):
        paths = [path for path in GOLDEN if contents[path]["signal"] == signal]
        answers = desk.each(signal, [bodies(contents[path]) for path in paths])
        found |= dict(zip(paths, answers, strict=True))
    return found


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


SPANS = [path for path in GOLDEN if not path.stem.endswith(".metrics")]


@pytest.mark.parametrize("path", SPANS, ids=named)
def test_each_sighting_says_what_its_span_says(read: dict[Path, Read], path: Path) -> None:
    assert differences(path, read[path]) == [], written(read[path].calls)


def test_what_cannot_be_connected_is_in_the_corpus() -> None:
    assert {named(path) for path in SPANS} >= {*APART, *SILENT}
    assert len(SPANS) > 500


def differences(path: Path, found: Read) -> list[str]:
    expected = expectation(path)["calls"]
    if named(path) in SILENT:
        expected = [wanted | {"sightings": 1} for wanted in expected]
    if named(path) in APART:
        (wanted,) = expected
        return _differences(wanted, found.calls, path) + _numbers("counted", len(found.counted), 2)
    wrong = _numbers("sightings", len(found.calls), sum(wanted["sightings"] for wanted in expected))
    counted = sorted(found.counted, key=lambda call: call.started_at)
    wrong += _numbers("counted", len(counted), len(expected))
    if not wrong:
        for wanted, call in zip(_ordered(expected, counted), counted, strict=True):
            wrong += _differences(wanted, found.sightings(call), path)
    return wrong


def _numbers(what: str, found: int, wanted: int) -> list[str]:
    return [] if found == wanted else [f"{wanted} {what}, found {found}"]


def _ordered(expected: list[dict[str, Any]], counted: list[Call]) -> list[dict[str, Any]]:
    """Expectations in the order of the calls: by the id of the answer where there is one."""
    by_id = {wanted["response_id"]: wanted for wanted in expected if wanted.get("response_id")}
    if len(by_id) == len(expected) and {call.response_id for call in counted} == set(by_id):
        return [by_id[str(call.response_id)] for call in counted]
    return expected


def _differences(wanted: dict[str, Any], seen: list[Call], path: Path) -> list[str]:
    """Facts that all sightings state are those of each; a fact that some state is in one, and no other one in any."""
    wrong = _numbers("sightings", len(seen), wanted["sightings"])
    for name, value in wanted.items():
        if name not in BESIDE:
            stated = {fact(call, name) for call in seen}
            wrong += [f"{name} is {value}, found {stated}"] if stated - _allowed(name, value, wanted, path) else []
            wrong += [f"{name} is {value}, found nothing"] if value is not None and value not in stated else []
    untrue = wanted.get("untrue", {})
    for name, value in wanted.get("some_sightings", {}).items():
        stated = {fact(call, name) for call in seen}
        odd = stated - {value, None, untrue.get(name)} - ({False} if name == "streamed" else set())
        wrong += [f"{name} is {value} in some, found {stated}"] if value not in stated or odd else []
    return wrong


def _allowed(name: str, value: Any, wanted: dict[str, Any], path: Path) -> set[Any]:
    """What a reader may say where the expectation says `value`."""
    if value is not None:
        return {value}
    if name == "error_type" and wanted["outcome"] == "error":
        return {"other"}  # a failure of which nobody tells the kind
    if name == "response_id":  # no fact of the span, but perhaps in the text of the answer that it holds
        return {None, *re.findall(r'\\"id\\": ?\\"([\w-]+)\\"', path.read_text("utf-8"))}
    return {None}
