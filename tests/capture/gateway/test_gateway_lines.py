"""A line of the log is read, or refused in one line; what never was a model call is told apart."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from equality import STARTED
from hypothesis import given, settings
from hypothesis import strategies as st
from tapped import STARTED_US

from tachograph import wire
from tachograph.capture.gateway import lines
from tachograph.flow import Refused
from tachograph.wire import End

KEPT = {
    "q": "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-|/openai/v1/chat/completions|"
    "{'model':'m','stream':true,'messages':[0]}|user-agent=curl%7C1",
    "h": "content-type=text/event-stream|x-request-id=req-1",
    "e1": "d|{'id':'c%27%5C%22','choices':[{'index':0,'delta':{'content':'*'}}]}",
    "e2": "d|{'choices':[],'usage':{'prompt_tokens':3,'completion_tokens':2,'total_tokens':5}}",
    "e3": "d|[DONE]",
    "s1": f"1.{STARTED_US + 250_000},1000,,2.500",
    "s2": "3.",
}
LINE: dict[str, Any] = {
    **dict.fromkeys(lines.LOG_FORMAT),
    **{"a": "tachograph 1", "t": str(STARTED_US), "i": "own", "n": "openai", "c": "openai", "u": "1.2.3.4:443"},
    **{"w": "POST", "s": 200, "f": "-", "d": "via_upstream", "k": 1, "r": 240_000, "e": 252_000, "y": 252, "m": KEPT},
}


def behind(name: str, path: str, cluster: str) -> tuple[str, str | None] | None:
    return ("https://api.openai.com" + path.removeprefix("/openai"), "openai") if name == "openai" else None


def line(kept: dict[str, str] | None = None, **changed: Any) -> bytes:
    return json.dumps({**LINE, "m": {**KEPT, **(kept or {})}, **changed}, separators=(",", ":")).encode()


def test_a_line_says_all() -> None:
    seen = lines.seen(line(), behind)
    exchange = seen.exchange
    assert exchange.request.url == "https://api.openai.com/v1/chat/completions"
    assert exchange.request.headers == {"user-agent": "curl|1"}
    assert exchange.headers == {"content-type": "text/event-stream", "x-request-id": "req-1"}
    assert [at for at, _ in exchange.chunks] == [250_000, 251_000, 251_000, 251_500, 251_500]
    assert exchange.chunks[0][1].startswith(b'data: {"id":"c\'\\""')
    assert exchange.started_at == STARTED
    (call,) = wire.read(exchange)
    assert (call.provider, call.api, call.total_tokens, call.outcome) == ("openai", "openai.chat", 5, "ok")
    assert (call.headers_ms, call.ttft_ms, call.duration_ms) == (240.0, 250.0, 252.0)
    assert (call.chunks, call.request_id) == (3, "req-1")
    assert (seen.trace_id, seen.span_id, seen.parent_span_id) == (KEPT["q"][:32], "b7ad6b7169203331", None)
    assert seen.is_call


def test_lines_of_before_say_the_same() -> None:
    """An Envoy that was started before an update may write on, and nobody may have read what it wrote."""
    numbers = {name: "-" if value is None else str(value) for name, value in LINE.items() if name in lines.LOG_FORMAT}
    kept = "^".join(f"{key}={value}" for key, value in {**KEPT, "i": "own", "w": "PUT"}.items())
    now = {"A": f"{STARTED_US}.7", **numbers, "a": "tachograph 2", "m": kept}
    assert lines.seen(json.dumps(now).encode(), behind) == lines.seen(line(w="PUT"), behind)


@pytest.mark.parametrize(
    ("told", "came", "end"),
    [
        ({"r": 250_004}, 250.0, 252.0),  # the clock on the wall was slowed meanwhile
        ({"r": 249_900, "e": None, "y": 249, "m": {"q": KEPT["q"]}}, 249.9, 249.9),  # the client left at once
        ({"e": None, "y": 251}, 240.0, 251.5),  # the last chunk came in the millisecond in which the client left
        ({"r": 0}, 0.0, 252.0),
    ],
)
def test_two_clocks_and_whole_milliseconds_tell_one_course(told: dict[str, Any], came: float, end: float) -> None:
    (call,) = wire.read(lines.seen(line(**told), behind).exchange)
    assert (call.headers_ms, call.duration_ms, "clock_skew" in call.flags) == (came, end, False)


@pytest.mark.parametrize(
    ("flags", "details", "end", "outcome"),
    [
        ("DC", "downstream_remote_disconnect", End.CLIENT_GONE, "ok"),  # all had come
        ("UPE", "upstream_reset_after_response_started", End.NETWORK, "error"),
        ("SI", "stream_idle_timeout", End.TIMEOUT, "error"),
        ("DPE", "", End.PROTOCOL, "error"),
        ("DC,UT", "", End.TIMEOUT, "error"),
    ],
)
def test_how_an_answer_ended(flags: str, details: str, end: End, outcome: str) -> None:
    exchange = lines.seen(line(f=flags, d=details), behind).exchange
    assert exchange.end is end
    assert wire.read(exchange)[0].outcome == outcome


@pytest.mark.parametrize(
    ("flags", "error"), [("UF", "network"), ("UT", "timeout"), ("UC", "network"), ("DC", "cancelled")]
)
def test_no_answer_is_a_call_that_failed(flags: str, error: str) -> None:
    """Envoy's own 503 is no answer of the provider's."""
    seen = lines.seen(line(f=flags, s=503, r=None, d="upstream_reset_before_response_started"), behind)
    assert seen.is_call
    assert (seen.exchange.status, seen.exchange.headers, list(seen.exchange.chunks)) == (None, {}, [])
    assert wire.read(seen.exchange)[0].error_type == error


@pytest.mark.parametrize(
    "changed",
    [
        {"n": None, "u": None, "f": "NR", "s": 404, "r": None},
        {"u": None, "f": "-", "s": 400, "r": None, "d": "lua_response"},
        {"u": None, "f": "UH", "s": 503, "r": None},
        {"u": None, "f": "DC", "s": 0, "r": None},
        {"n": "other"},
        {"m": {**KEPT, "g": "1"}},
    ],
)
def test_what_never_was_a_model_call(changed: dict[str, Any]) -> None:
    assert not lines.seen(line(**changed), behind).is_call

    class Table:
        def behind(self, name: str, path: str, cluster: str) -> tuple[str, str | None] | None:
            return behind(name, path, cluster)

    assert lines.read(line(**changed), [Table()]) is None
    assert lines.read(line(), [Table()]) is not None


def test_ours_is_no_request_id_of_the_provider() -> None:
    seen = lines.seen(line({"h": "x-request-id=own"}), behind)
    assert "x-request-id" not in seen.exchange.headers
    assert seen.request_id == "own"


def test_an_encoding_that_the_tap_could_not_read_is_said() -> None:
    kept = {"q": KEPT["q"], "h": "content-type=text/event-stream|content-encoding=br"}
    (call,) = wire.read(lines.seen(line(m=kept), behind).exchange)
    assert "encoding_unknown" in call.flags
    assert call.outcome == "ok"


def test_a_line_without_ids_gets_the_same_ones_each_time() -> None:
    one, two, three = (lines.seen(line(m={}, e=at), behind) for at in (1, 1, 2))
    assert (one.trace_id, one.span_id) == (two.trace_id, two.span_id) != (three.trace_id, three.span_id)


def test_a_sequence_without_end_is_cut() -> None:
    seen = lines.seen(line({"s1": f"1.{STARTED_US},1*999999999999"}), behind)
    assert len(seen.exchange.chunks) == lines.EVENTS_MAX


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"t":1,"m":[]}',
        b'{"t":"x","m":null}',
        line()[:-20],
        line()[5:],
        line(t=None),
        line(t="9" * 40),
    ],
)
def test_damaged_lines_are_refused(damaged: bytes) -> None:
    with pytest.raises(Refused) as refused:
        lines.seen(damaged, behind)
    assert refused.value.reason == "malformed"
    assert "\n" not in str(refused.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
_KEPT_TEXT = st.text("0123456789.,*|'{}[]:%dejvcxr!?~-\\\" axfn\u00e9", max_size=40)


@settings(max_examples=400, deadline=None)
@given(
    changed=st.dictionaries(st.sampled_from(sorted(LINE)), _JSON, max_size=3),
    kept=st.dictionaries(st.sampled_from([*KEPT, "p", "a", "v", "x", "g", "s3"]), _KEPT_TEXT, max_size=4),
)
def test_any_line_is_read_or_refused(changed: dict[str, Any], kept: dict[str, str]) -> None:
    told = {**LINE, "m": {**KEPT, **kept}, **changed}
    try:
        seen = lines.seen(json.dumps(told).encode(), behind)
    except Refused as refused:
        assert refused.reason == "malformed"
        return
    assert wire.read(seen.exchange)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    whole = line()
    at = data.draw(st.integers(0, len(whole)))
    damaged = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 9)) :]
    try:
        wire.read(lines.seen(damaged, behind).exchange)
    except Refused as refused:
        assert refused.reason == "malformed"


def test_the_moment_is_exact() -> None:
    seen = lines.seen(line(t="1790000000123456"), behind)
    assert seen.exchange.started_at == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1790000000123456)
