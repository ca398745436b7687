"""Which sightings are of one call: by their spans, answers and requests, and never by the order in which they came."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.sightings import DEPTH_MAX, SHARED_MAX, Sighting, resolve

SECOND = 1_000_000
TRACE = b"t" * 16
ANSWER = "chatcmpl-B8qJ7rYkVw2nXo5mZs1d"
SHORT = "chatcmpl-123"
REQUEST = "req_0f8a6c1be7d94c2d9a5d"

FRAMEWORK, SDK, GATEWAY, ENGINE = b"framewrk", b"sdk span", b"gateway ", b"engine  "


def seen(name: str, **fields: Any) -> Sighting:
    """A sighting; times in seconds, ids from its name."""
    start, end = fields.pop("start", 0.0), fields.pop("end", 2.0)
    told = {
        "call_id": name.encode().ljust(16, b"."),
        "trace_id": TRACE,
        "span_id": name.encode().ljust(8, b".")[:8],
        "parent_span_id": None,
        "response_id": None,
        "operation": "chat",
        "vantage": "client",
        "source": "sdk",
        "outcome": "ok",
        "parts": 2,
        "priced": True,
        "attributed": 0,
    }
    return Sighting(**{**told, "started_us": int(start * SECOND), "ended_us": int(end * SECOND), **fields})


def span(name: str) -> bytes:
    return name.encode().ljust(8, b".")[:8]


def groups(
    sightings: Sequence[Sighting], links: Mapping[tuple[bytes, bytes], bytes] | None = None
) -> set[frozenset[str]]:
    """The names of what is one call, whatever the order they are given in."""
    found = resolve(sightings, links or {})
    chance = random.Random(7)
    for _ in range(5):
        assert resolve(chance.sample(list(sightings), len(sightings)), links or {}) == found
    by_target: dict[bytes, set[str]] = {}
    for sighting in sightings:
        target = found[sighting.call_id]
        assert target is None or found[target] is None, "a sighting of a sighting"
        by_target.setdefault(target or sighting.call_id, set()).add(sighting.call_id.decode().rstrip("."))
    return {frozenset(names) for names in by_target.values()}


def one(*names: str) -> frozenset[str]:
    return frozenset(names)


def chain() -> tuple[list[Sighting], dict[tuple[bytes, bytes], bytes]]:
    """A framework's call through an SDK, a gateway and an engine; HTTP spans between them, which are no calls."""
    sightings = [
        seen("framework", span_id=FRAMEWORK, parent_span_id=span("agent"), vantage="framework", source="langchain"),
        seen("sdk", span_id=SDK, parent_span_id=FRAMEWORK, start=0.1, end=1.9),
        seen("gateway", span_id=GATEWAY, parent_span_id=span("http2"), vantage="gateway", source="envoy", start=0.2),
        seen("engine", span_id=ENGINE, parent_span_id=span("http3"), vantage="server", source="vllm", start=0.3),
    ]
    links = {
        (TRACE, span("agent")): span("root"),
        (TRACE, span("http1")): SDK,
        (TRACE, span("http2")): span("http1"),
        (TRACE, span("http3")): GATEWAY,
    }
    return sightings, links


def test_a_call_seen_by_framework_sdk_gateway_and_engine_is_one() -> None:
    assert groups(*chain()) == {one("framework", "sdk", "gateway", "engine")}


def test_a_link_that_is_not_there_yet_keeps_apart_what_it_would_join() -> None:
    sightings, links = chain()
    del links[TRACE, span("http1")]
    assert groups(sightings, links) == {one("framework", "sdk"), one("gateway", "engine")}


def test_an_answer_joins_what_no_trace_does() -> None:
    sightings, _ = chain()
    apart = [sighting._replace(trace_id=None, span_id=None, response_id=ANSWER) for sighting in sightings]
    assert groups(apart) == {one("framework", "sdk", "gateway", "engine")}
    sightings[1], sightings[2] = (sightings[place]._replace(response_id=ANSWER) for place in (1, 2))
    links = {(TRACE, span("http3")): GATEWAY}
    assert groups(sightings, links) == {one("framework", "sdk", "gateway", "engine")}


def test_what_knows_most_counts() -> None:
    plain = seen("sdk", parts=0, priced=False)
    counted = seen("engine", span_id=ENGINE, parent_span_id=plain.span_id, parts=2, priced=False, vantage="server")
    priced = seen("gateway", span_id=GATEWAY, parent_span_id=plain.span_id, vantage="gateway", response_id=ANSWER)
    counted, plain = counted._replace(response_id=ANSWER), plain._replace(response_id=ANSWER)
    everything = [plain, counted._replace(source="vllm"), priced._replace(source="envoy")]
    found = resolve(everything, {})
    assert [found[sighting.call_id] for sighting in everything] == [priced.call_id, priced.call_id, None]
    more = [*everything[:2], everything[2]._replace(parts=1)]
    assert resolve(more, {})[priced.call_id] is None  # a price before details
    attributed = [everything[0]._replace(parts=2, priced=True, attributed=3), *everything[1:]]
    assert resolve(attributed, {})[plain.call_id] is None  # who was asking before who saw it
    assert resolve([sighting._replace(vantage="elsewhere") for sighting in everything], {})[priced.call_id] is None


def test_attempts_below_one_call() -> None:
    caller = seen("sdk", end=5, response_id=ANSWER)
    below = {"parent_span_id": caller.span_id, "vantage": "gateway", "source": "envoy"}
    refused = seen("first", start=0.1, end=0.3, outcome="error", parts=0, priced=False, **below)
    answered = seen("second", start=1, end=4, response_id=ANSWER, **below)
    assert groups([caller, refused, answered]) == {one("sdk", "second"), one("first")}
    # The one that answered has not come yet: what failed is not what went well.
    assert groups([caller, refused]) == {one("sdk"), one("first")}
    nameless = [sighting._replace(response_id=None) for sighting in (caller, refused, answered)]
    assert groups(nameless) == {one("sdk", "second"), one("first")}
    # Two went well: the last is what the caller got, unless it says otherwise.
    assert groups([nameless[0], nameless[2], seen("third", start=4, end=4.9, **below)]) == {
        one("sdk", "third"),
        one("second"),
    }
    assert groups([caller, answered, seen("third", start=4, end=4.9, **below)]) == {one("sdk", "second"), one("third")}


def test_of_attempts_that_all_failed_the_last_is_the_call() -> None:
    failed = {"outcome": "error", "parts": 0, "priced": False}
    caller = seen("sdk", end=5, **failed)
    attempts = [
        seen(f"try{place}", start=place, end=place + 0.5, parent_span_id=caller.span_id, source="envoy", **failed)
        for place in range(3)
    ]
    assert groups([caller, *attempts]) == {one("sdk", "try2"), one("try0"), one("try1")}


def test_a_filtered_answer_is_an_answer() -> None:
    caller = seen("framework", vantage="framework", source="langchain")
    inner = seen("sdk", parent_span_id=caller.span_id, outcome="error", response_id=ANSWER)
    assert groups([caller, inner]) == {one("framework", "sdk")}


def test_attempts_each_with_their_own_sightings() -> None:
    """The framework's answer is named by the engine alone, two calls below it."""
    caller = seen("framework", end=9, vantage="framework", source="langchain", response_id=ANSWER)
    tries = [seen(f"sdk{place}", start=place, end=place + 1, parent_span_id=caller.span_id) for place in range(2)]
    engines = [
        seen(
            f"engine{place}",
            start=place + 0.1,
            end=place + 0.9,
            parent_span_id=tries[place].span_id,
            source="vllm",
            vantage="server",
            response_id=answer,
        )
        for place, answer in enumerate((ANSWER, "another answer, of the last try"))
    ]
    assert groups([caller, *tries, *engines]) == {one("framework", "sdk0", "engine0"), one("sdk1", "engine1")}


def test_calls_side_by_side_in_one_trace_are_as_many() -> None:
    fan = [seen(f"call{place}", parent_span_id=span("agent")) for place in range(20)]
    http = [
        seen(f"http{place}", parent_span_id=span(f"h{place}"), source="envoy", vantage="gateway") for place in range(20)
    ]
    links = {(TRACE, span(f"h{place}")): fan[place].span_id or b"" for place in range(20)}
    links[TRACE, span("agent")] = span("root")
    assert groups(fan, links) == {one(f"call{place}") for place in range(20)}
    assert groups([*fan, *http], links) == {one(f"call{place}", f"http{place}") for place in range(20)}


def test_a_fan_below_a_call_is_one_with_the_last_of_it() -> None:
    outer = seen("outer", end=9)
    inner = [seen(f"in{place}", parent_span_id=outer.span_id, start=place, end=place + 1) for place in range(3)]
    assert groups([outer, *inner]) == {one("outer", "in2"), one("in0"), one("in1")}


def test_two_that_name_different_answers_are_never_one() -> None:
    outer = seen("framework", vantage="framework", source="langchain", response_id="answer one, a long one")
    inner = seen("sdk", parent_span_id=outer.span_id, response_id="answer two, a long one")
    assert groups([outer, inner]) == {one("framework"), one("sdk")}


def test_a_third_between_two_answers_belongs_to_the_nearer() -> None:
    outer = seen("gateway", vantage="gateway", source="envoy", response_id="answer one, a long one")
    between = seen("sdk", parent_span_id=outer.span_id, start=0.1)
    inner = seen("engine", vantage="server", source="vllm", parent_span_id=between.span_id, start=0.2)
    inner = inner._replace(response_id="answer two, a long one")
    assert groups([outer, between, inner]) == {one("gateway"), one("sdk", "engine")}
    assert groups([outer, between]) == {one("gateway", "sdk")}


def test_embeddings_below_a_chat_are_another_call() -> None:
    chat = seen("chat")
    assert groups([chat, seen("embed", operation="embeddings", parent_span_id=chat.span_id)]) == {
        one("chat"),
        one("embed"),
    }
    words = [seen("other", operation="other", parent_span_id=chat.span_id, source="engine")]
    assert groups([chat, *words]) == {one("chat", "other")}
    same = seen("rerank", operation="rerank", response_id=ANSWER, trace_id=None, source="engine")
    assert groups([chat._replace(response_id=ANSWER), same]) == {one("chat"), one("rerank")}


def test_what_began_after_the_call_above_had_ended_was_not_made_through_it() -> None:
    above = seen("above", end=1)
    assert groups([above, seen("late", parent_span_id=above.span_id, start=60.9, end=61)]) == {one("above", "late")}
    assert groups([above, seen("late", parent_span_id=above.span_id, start=61.1, end=62)]) == {
        one("above"),
        one("late"),
    }


def test_one_span_told_by_two_is_one_call() -> None:
    told = seen("span")
    logged = seen("record", span_id=told.span_id, source="log", start=0.5, end=2.1)
    assert groups([told, logged]) == {one("span", "record")}


def test_records_of_a_session_that_name_one_span_are_many_calls() -> None:
    session = [seen(f"record{place}", span_id=SDK, start=3 * place, end=3 * place + 2) for place in range(5)]
    assert groups(session) == {one(f"record{place}") for place in range(5)}
    at_once = [record._replace(started_us=0, ended_us=SECOND) for record in session]
    assert groups(at_once) == {one(f"record{place}") for place in range(5)}
    spans = [
        seen(f"span{place}", source="other", span_id=SDK, start=3 * place, end=3 * place + 2) for place in range(5)
    ]
    assert groups([*session, *spans]) == {one(f"record{place}", f"span{place}") for place in range(5)}


def answered(
    name: str, answer: str, source: str, start: float, vantage: str = "client", length: float = 1.0
) -> Sighting:
    """A sighting without a trace."""
    fields = {"trace_id": None, "span_id": None, "source": source, "vantage": vantage}
    return seen(name, start=start, end=start + length, response_id=answer, **fields)


def test_short_ids_that_come_again_are_other_calls() -> None:
    calls = [answered(f"sdk{place}", SHORT, "sdk", 10 * place) for place in range(4)]
    assert groups(calls) == {one(f"sdk{place}") for place in range(4)}
    engine = [answered(f"engine{place}", SHORT, "engine", 10 * place + 0.1, "server", 0.8) for place in range(4)]
    assert groups([*calls, *engine]) == {one(f"sdk{place}", f"engine{place}") for place in range(4)}
    # Overlapping only by chance: the one did not see all that the other saw.
    chance = [answered("sdk", SHORT, "sdk", 0), answered("engine", SHORT, "engine", 0.5, "server")]
    assert groups(chance) == {one("sdk"), one("engine")}
    assert groups([chance[0], answered("another", SHORT, "sdk", 0.2, length=0.5)]) == {one("sdk"), one("another")}


def test_an_answer_out_of_a_cache_is_another_call() -> None:
    first, again = answered("first", ANSWER, "sdk", 0), answered("again", ANSWER, "sdk", 30)
    assert groups([first, again]) == {one("first"), one("again")}
    gateways = [answered("gw1", ANSWER, "envoy", 0.1, "gateway"), answered("gw2", ANSWER, "envoy", 30.1, "gateway")]
    assert groups([first, again, *gateways]) == {one("first", "gw1"), one("again", "gw2")}
    assert groups([first, again, gateways[0]]) == {one("first", "gw1"), one("again")}


def test_a_stand_in_that_always_gives_the_same_id_is_as_many_calls() -> None:
    calls = [answered(f"call{place}", ANSWER, "sdk", place * 0.01) for place in range(20)]
    assert groups(calls) == {one(f"call{place}") for place in range(20)}


def test_clocks_of_two_machines_may_differ_by_less_than_a_minute() -> None:
    client = answered("sdk", ANSWER, "sdk", 0)
    assert groups([client, answered("engine", ANSWER, "vllm", 60.9, "server")]) == {one("sdk", "engine")}
    assert groups([client, answered("engine", ANSWER, "vllm", 61.1, "server")]) == {one("sdk"), one("engine")}


def failed(
    name: str, source: str, start: float, vantage: str = "client", length: float = 1.0, **fields: Any
) -> Sighting:
    """A sighting of a call that failed: it names no answer."""
    told = {"trace_id": None, "span_id": None, "outcome": "error", "parts": 0, "priced": False, "request_id": REQUEST}
    return seen(name, start=start, end=start + length, source=source, vantage=vantage, **{**told, **fields})


def test_a_call_that_failed_is_one_by_the_id_of_its_request() -> None:
    both = [failed("sdk", "sdk", 0), failed("gateway", "envoy", 0.1, "gateway", 0.8)]
    assert groups(both) == {one("sdk", "gateway")}
    assert groups([both[0], both[1]._replace(request_id=REQUEST[::-1])]) == {one("sdk"), one("gateway")}
    assert groups([one._replace(request_id=None) for one in both]) == {one("sdk"), one("gateway")}
    assert groups([both[0], both[1]._replace(operation="embeddings")]) == {one("sdk"), one("gateway")}
    # What names an answer is looked for by that alone.
    assert groups([both[0], both[1]._replace(response_id=ANSWER)]) == {one("sdk"), one("gateway")}
    assert groups([one._replace(response_id=name) for one, name in zip(both, (ANSWER, ANSWER[::-1]), strict=True)]) == {
        one("sdk"),
        one("gateway"),
    }


def test_each_attempt_has_a_request_of_its_own() -> None:
    tries = [failed(f"sdk{place}", "sdk", place, request_id=f"{REQUEST} {place}") for place in range(3)]
    passed = [
        failed(f"gw{place}", "envoy", place + 0.4, "gateway", request_id=f"{REQUEST} {place}") for place in range(3)
    ]
    assert groups([*tries, *passed]) == {one(f"sdk{place}", f"gw{place}") for place in range(3)}
    # A framework names the request that failed it; the last to end was another.
    told = seen("framework", end=9, vantage="framework", source="langchain", outcome="error", parts=0, priced=False)
    below = [sighting._replace(trace_id=TRACE, parent_span_id=told.span_id) for sighting in tries]
    joined = groups([told._replace(request_id=tries[1].request_id), *below, *passed])
    assert joined == {one("sdk0", "gw0"), one("framework", "sdk1", "gw1"), one("sdk2", "gw2")}


def test_one_request_id_of_one_place_or_far_apart_is_of_several_calls() -> None:
    first = failed("first", "sdk", 0)
    assert groups([first, failed("again", "another", 0.1, length=0.8)]) == {one("first"), one("again")}
    assert groups([first, failed("gateway", "envoy", 60.9, "gateway")]) == {one("first", "gateway")}
    assert groups([first, failed("gateway", "envoy", 61.1, "gateway")]) == {one("first"), one("gateway")}
    short = [failed("sdk", "sdk", 0, request_id="7"), failed("gateway", "envoy", 0.5, "gateway", request_id="7")]
    assert groups(short) == {one("sdk"), one("gateway")}
    assert groups([short[0], short[1]._replace(ended_us=short[0].ended_us)]) == {one("sdk", "gateway")}


def test_a_request_id_that_is_always_the_same_joins_what_was_seen_within_another() -> None:
    """A proxy that answers all with one id: it tells nothing, but when each was seen does."""
    direct = [failed(f"direct{place}", "sdk", 3 * place) for place in range(5)]
    others = [failed(f"other{place}", "envoy", 3 * place + 1.5, "gateway") for place in range(5)]
    assert groups([*direct, *others]) == {one(f"{way}{place}") for way in ("direct", "other") for place in range(5)}
    through = [failed(f"gw{place}", "envoy", 3 * place + 0.1, "gateway", 0.8) for place in range(5)]
    assert groups([*direct, *through]) == {one(f"direct{place}", f"gw{place}") for place in range(5)}
    many = [failed(f"many{place}", "sdk", place / 100) for place in range(SHARED_MAX)]
    assert groups([*many, through[0]]) == {one(f"many{place}") for place in range(SHARED_MAX)} | {one("gw0")}


def test_cycles_and_spans_above_themselves_end() -> None:
    one_another = [seen("a", parent_span_id=span("b")), seen("b", parent_span_id=span("a"))]
    assert groups(one_another) == {one("a", "b")}
    itself = seen("self", parent_span_id=span("self"))
    assert groups([itself, *one_another]) == {one("self"), one("a", "b")}
    ring = {(TRACE, span("x")): span("y"), (TRACE, span("y")): span("x"), (TRACE, span("z")): span("z")}
    lost = [seen("in ring", parent_span_id=span("x")), seen("at z", parent_span_id=span("z"))]
    assert groups(lost, ring) == {one("in ring"), one("at z")}


def test_a_way_is_followed_so_far_and_no_further() -> None:
    top = seen("top", span_id=span("0"))
    for spans, expected in ((DEPTH_MAX - 1, {one("top", "low")}), (DEPTH_MAX, {one("top"), one("low")})):
        links = {(TRACE, span(f"{place}")): span(f"{place - 1}") for place in range(1, spans + 1)}
        assert groups([top, seen("low", parent_span_id=span(f"{spans}"))], links) == expected


def test_many_of_one_name_take_no_time() -> None:
    many = [answered(f"{place}", ANSWER, f"source {place % 3}", place / 1000) for place in range(20_000)]
    sessions = [seen(f"s{place}", span_id=SDK, source=f"source {place % 2}", start=place) for place in range(20_000)]
    below = [seen(f"b{place}", parent_span_id=SDK, start=place) for place in range(SHARED_MAX)]
    refused = [failed(f"r{place}", f"source {place % 3}", place / 1000) for place in range(20_000)]
    began = time.process_time()
    found = resolve([*many, *sessions, *below, *refused], {})
    assert time.process_time() - began < 5
    assert set(found.values()) == {None}


names = st.sampled_from(["a", "b", "c", "d", "e", "f"])


@st.composite
def views(draw: st.DrawFn) -> tuple[list[Sighting], dict[tuple[bytes, bytes], bytes]]:
    """Sightings of few spans, answers and times, so that everything meets everything; and links between the spans."""
    found = []
    for place in range(draw(st.integers(1, 8))):
        start = draw(st.sampled_from([0, 0.5, 1, 30, 100]))
        found.append(
            seen(
                f"call{place}",
                trace_id=draw(st.sampled_from([TRACE, b"u" * 16, None])),
                span_id=span(draw(names)),
                parent_span_id=draw(st.none() | names.map(span)),
                response_id=draw(st.sampled_from([None, None, ANSWER, ANSWER[::-1], SHORT])),
                request_id=draw(st.sampled_from([None, REQUEST, REQUEST[::-1], "7"])),
                operation=draw(st.sampled_from(["chat", "chat", "chat", "other", "embeddings"])),
                vantage=draw(st.sampled_from(["client", "gateway", "framework", "server"])),
                source=draw(st.sampled_from(["sdk", "envoy", "vllm"])),
                outcome=draw(st.sampled_from(["ok", "ok", "error"])),
                parts=draw(st.integers(0, 2)),
                priced=draw(st.booleans()),
                start=start,
                end=start + draw(st.sampled_from([0, 1, 200])),
            )
        )
    above = draw(st.dictionaries(names.map(span), names.map(span), max_size=4))
    return found, {(TRACE, one): other for one, other in above.items()}


@settings(max_examples=400, deadline=None)
@given(view=views(), chance=st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order(view: Any, chance: random.Random) -> None:
    sightings, links = view
    found = resolve(sightings, links)
    assert set(found) == {sighting.call_id for sighting in sightings}
    shuffled = list(sightings)
    chance.shuffle(shuffled)
    pairs = list(links.items())
    chance.shuffle(pairs)
    assert resolve(shuffled, dict(pairs)) == found
    # What was decided before is of no account, nor is what is stored.
    stored = [sighting._replace(same_as=found[sighting.call_id]) for sighting in sightings]
    assert resolve(stored, links) == found


@settings(max_examples=400, deadline=None)
@given(view=views())
def test_what_counts_counts_itself_and_no_call_has_two_answers(view: Any) -> None:
    sightings, links = view
    found = resolve(sightings, links)
    answers: dict[bytes, set[str]] = {}
    for sighting in sightings:
        target = found[sighting.call_id]
        assert target is None or found[target] is None
        if sighting.response_id:
            answers.setdefault(target or sighting.call_id, set()).add(sighting.response_id)
    assert all(len(of_one) == 1 for of_one in answers.values())


@settings(max_examples=200, deadline=None)
@given(first=views(), second=views())
def test_what_has_nothing_to_do_with_it_changes_nothing(first: Any, second: Any) -> None:
    """So the store need only be asked for what belongs to a call."""
    others = [
        sighting._replace(
            call_id=sighting.call_id[::-1],
            trace_id=sighting.trace_id and sighting.trace_id.upper(),
            response_id=sighting.response_id and sighting.response_id + " of others",
            request_id=sighting.request_id and sighting.request_id + " of others",
        )
        for sighting in second[0]
    ]
    alone = resolve(first[0], first[1])
    together = resolve([*others, *first[0]], first[1])
    assert {call_id: together[call_id] for call_id in alone} == alone


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare(count: int) -> None:
    sightings = [seen("alone")][:count]
    assert resolve(sightings, {}) == {sighting.call_id: None for sighting in sightings}
