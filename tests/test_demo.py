"""The plan of the demo's day: the same in every process, and with everything in it that is promised."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.ports import free_ports

from tachograph import demo
from tachograph.call import Call
from tachograph.capture.gateway import settings as gateway_settings
from tachograph.config import Settings
from tachograph.flow import Refused
from tachograph.testing import day
from tachograph.testing.day import Request, requests
from tachograph.testing.day_asking import attribution, spelled, usage
from tachograph.testing.day_before import calls_before
from tachograph.testing.day_played import answering, played
from tachograph.testing.provider import answer
from tachograph.testing.provider_truth import Asked

COUNT = 4000
DAY = requests(COUNT)


def between(first: float, last: float) -> list[Request]:
    return [request for request in DAY if first <= request.hour < last]


def mean_input(found: list[Request]) -> float:
    return sum(request.truth.input_tokens for request in found) / len(found)


def test_the_plan_is_the_same_every_time_and_in_the_order_of_the_day() -> None:
    assert requests.__wrapped__(COUNT) == DAY
    assert len(DAY) == COUNT and list(DAY) == sorted(DAY, key=lambda request: request.hour)
    assert requests(COUNT, 8) != DAY


def test_it_has_a_spike_in_the_morning_and_a_silent_night() -> None:
    spike, noon = len(between(*day.SPIKE)) / 0.75, len(between(12, 14)) / 2
    assert spike > 1.4 * noon > 3 * len(between(2, 4)) / 2


def test_the_prompts_of_one_team_get_longer_and_those_of_the_others_do_not() -> None:
    growth = [request for request in DAY if request.traffic.who[0] == day.JUMP_TEAM]
    before = mean_input([request for request in growth if request.hour < day.JUMP_HOUR])
    after = mean_input([request for request in growth if request.hour >= day.JUMP_HOUR])
    assert 6 < after / before < 10
    others = [request for request in DAY if request.traffic.who[0] == "support"]
    late = mean_input([request for request in others if request.hour >= day.JUMP_HOUR])
    assert 0.8 < late / mean_input(others) < 1.25


def test_the_incident_is_one_of_anthropic_alone() -> None:
    failing = Counter(
        request.model.provider for request in between(*day.INCIDENT) if played(request, 0).scenario.name == "overloaded"
    )
    asked = sum(request.model.provider == "anthropic" for request in between(*day.INCIDENT))
    assert set(failing) == {"anthropic"} and 0.5 < failing["anthropic"] / asked < 0.8
    assert all(played(request, 0).scenario.name != "overloaded" for request in between(13, 24))


def test_the_alias_is_answered_by_another_version_and_slower() -> None:
    alias = [request for request in DAY if request.traffic.model == day.ALIAS]
    assert {played(r, 0).version for r in alias if r.hour < day.VERSION_HOUR} == {day.BEFORE}
    assert {played(r, 0).version for r in alias if r.hour >= day.VERSION_HOUR} == {day.AFTER}
    assert {played(r, 0, eventful=False).version for r in alias} == {day.BEFORE}


def test_what_goes_out_is_found_again_and_answered_with_its_truth() -> None:
    play = answering(COUNT)
    for request in DAY[:400]:
        out = spelled(request, 1)
        asked = Asked(number=1, path=out.path, text=json.dumps(out.body), body=dict(out.body))
        what = play(asked)
        assert what == played(request, 1, str(out.body.get("model", "")))
        assert what is not None and (what.scenario.status != 200 or what.scenario.truth == request.truth)
        assert sum(what.seconds) < 6
    assert play(Asked(number=1, path="/v1/messages", text="something else")) is None


def test_who_tells_of_its_calls_itself_reads_the_counts_of_the_answer() -> None:
    gemini = [request for request in DAY if request.model.provider == "gcp.gemini"][:50]
    for request in gemini:
        out, what = spelled(request, 0), played(request, 0)
        given, _ = answer(Asked(number=5, path=out.path, body=dict(out.body), played=what))
        found = usage(given.pieces)
        if given.status == 200 and what.scenario.breaks is None:
            assert found is not None
            counted = found.input_tokens, found.output_tokens, found.cache_read, found.reasoning
            truth = request.truth
            assert counted == (truth.input_tokens, truth.output_tokens, truth.cache_read, truth.output_reasoning)


def test_some_ask_without_saying_who_and_some_leave() -> None:
    assert {"team"} - set(attribution(next(r for r in DAY if r.traffic.service == "scripts"))) == {"team"}
    assert any(request.leaves for request in DAY)


def test_the_days_before_have_nothing_odd_in_them() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    plan = requests(500, 9, eventful=False)
    calls: list[Call] = list(calls_before(plan, lambda hour: start + timedelta(hours=hour)))
    assert len({call.call_id for call in calls}) == 500 and {call.source for call in calls} == {"demo"}
    assert not [call for call in calls if call.error_type == "provider_overloaded" or call.response_model == day.AFTER]
    assert all(call.ttft_ms and call.itl_buckets for call in calls if call.streamed)
    assert all(call.total_tokens for call in calls if call.outcome == "ok")


def test_the_hours_of_the_week_before_are_those_of_the_clock() -> None:
    end = datetime(2026, 11, 8, 6, 30, tzinfo=UTC)
    moment = demo._by_the_clock(end)
    for hour in (0.0, 6.4, 6.6, 23.5):
        at = moment(hour)
        assert end - timedelta(days=1) <= at < end and abs(at.hour + at.minute / 60 - hour) < 0.02


def test_the_gateway_takes_the_routes_with_and_without_the_canary(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    urls = dict.fromkeys(demo.PROVIDERS, "http://127.0.0.1:1")
    demo._write_routes(file, urls, 0)
    assert not gateway_settings.load(file).experiments
    demo._write_routes(file, urls, 10)
    (experiment,) = gateway_settings.load(file).experiments
    assert [(arm.weight, arm.model) for arm in experiment.arms] == [(90, ""), (10, day.CANARY_MODEL)]


def test_a_door_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    import socket

    one, two, three = (f"127.0.0.1:{port}" for port in free_ports(3))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(
            store=str(tmp_path), listen=one, otlp_http=two, otlp_grpc=f"127.0.0.1:{port}", gateway=three
        )
        with pytest.raises(Refused, match=f"127.0.0.1:{port} is taken: stop what runs there, or give --otlp-grpc"):
            demo.run(settings, 0.1, stop=True, say=print, tick=lambda *_: None)
