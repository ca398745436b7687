"""Keys of certain teams: no path, present or future, may tell them of another team's calls."""

from __future__ import annotations

import dataclasses
import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.web.serving import NOW, parts_over, serving

from tachograph.access import Keys
from tachograph.call import COLUMNS, Call, Kind
from tachograph.flow import Refused
from tachograph.flow.batch import from_batch, to_batch
from tachograph.store import Store, open_store
from tachograph.testing import generated_day
from tachograph.web.endpoint import Endpoint
from tachograph.web.endpoints import ENDPOINTS
from tachograph.web.scoping import TeamData
from tachograph.web.site import PAGES

HIDDEN, COUNT = "hiddenword", 987_654_321
WINDOW: dict[str, datetime] = {"since": NOW - timedelta(days=30), "until": NOW}
TELLING = ("/api/v1/ask", "/api/v1/calls", "/api/v1/calls/{call_id}", "/api/v1/calls/stream")


def planted(call: Call) -> Call:
    """The same call as another team's, with a word in every place that can hold one."""
    values: dict[Kind, Any] = {
        Kind.WORD: HIDDEN,
        Kind.TEXT: HIDDEN,
        Kind.JSON: json.dumps({HIDDEN: COUNT}),
        Kind.COUNT: COUNT,
        Kind.MAP: {HIDDEN: HIDDEN},
        Kind.WORDS: (HIDDEN,),
    }
    told = {column.name: values[column.kind] for column in COLUMNS if column.kind in values}
    return dataclasses.replace(call, **told)


def made() -> list[Call]:
    """A third each: of the team that may see, of another, and of nobody; one call that all three saw."""
    calls = [dataclasses.replace(call, team="growth") for call in generated_day(date(2026, 11, 1), 60)]
    calls = [
        planted(call) if i % 3 == 1 else dataclasses.replace(call, team="", service=HIDDEN) if i % 3 == 2 else call
        for i, call in enumerate(calls)
    ]
    for call in calls[1:3]:
        call.same_as = calls[0].call_id
    return calls


CALLS = made()


@pytest.fixture(scope="module")
def planted_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path_factory.mktemp('scoping')}") as opened:
        opened.write(CALLS, "planted")
        yield opened


@pytest.fixture
def asked(planted_store: Store, tmp_path: Path) -> Iterator[tuple[str, Keys]]:
    keys = Keys(tmp_path / "tachograph.keys", lambda: NOW)
    with serving(parts_over(planted_store, listen_host="0.0.0.0", keys=keys)) as address:
        yield address, keys


def queries(endpoint: Endpoint) -> list[list[tuple[str, str]]]:
    """Questions that would tell of others: by everything, of the others by name, of all."""
    names = {parameter.name: parameter for parameter in endpoint.parameters}
    always = [("since", "30d")] if "since" in names else []
    for parameter in endpoint.parameters:
        if parameter.place == "query" and parameter.required:
            always.append((parameter.name, parameter.schema.get("enum", ["gpt-5-mini"])[0]))
    found = [always]
    if "where" in names:
        for told in (
            f"team={HIDDEN}",
            f"team=growth,{HIDDEN}",
            "team=null",
            "team=",
            f"provider={HIDDEN}",
            f"user_id={HIDDEN}",
        ):
            found.append([*always, ("where", told)])
    if "by" in names:
        dimensions = [column.name for column in COLUMNS if column.dimension]
        found += [[*always, ("by", name), ("measure", "total_tokens")] for name in dimensions]
    if endpoint.path == "/api/v1/ask/text":  # it says the question again, in other languages, and asks nobody
        return [query for query in found if HIDDEN not in str(query)]
    return found


def answers(address: str, token: str, endpoint: Endpoint) -> Iterator[tuple[int, str]]:
    """What the bearer is told, question by question. A stream is read for a moment."""
    host = urllib.parse.urlsplit(address).netloc
    for call in CALLS[:3]:
        path = re.sub("{.*}", call.call_id, endpoint.path)
        for query in queries(endpoint):
            connection = http.client.HTTPConnection(host, timeout=0.2 if _endless(endpoint) else 20)
            headers = {"authorization": f"Bearer {token}", "last-event-id": f"2026-10-01T00:00:00Z,{'0' * 32}"}
            headers |= {"content-type": "application/json", "idempotency-key": "x"} if endpoint.body else {}
            body = json.dumps({"text": "deployed"}) if endpoint.body else None
            connection.request(endpoint.method, f"{path}?{urllib.parse.urlencode(query)}", body, headers)
            answer = connection.getresponse()
            yield answer.status, _read(answer)
            connection.close()
        if "{" not in endpoint.path:
            return


def _endless(endpoint: Endpoint) -> bool:
    return "text/event-stream" in endpoint.answer


def _read(answer: http.client.HTTPResponse) -> str:
    text = b""
    try:
        while piece := answer.read1():
            text += piece
    except TimeoutError:
        pass
    return text.decode()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_no_path_tells_a_team_of_another(asked: tuple[str, Keys], endpoint: Endpoint) -> None:
    address, keys = asked
    scope = "edit" if endpoint.scope == "edit" else "read"
    told = list(answers(address, keys.grant("growth", [scope], ["growth"]), endpoint))
    assert all(status in (200, 201, 204, 400, 401, 403, 404) for status, _ in told), told
    assert [text for _, text in told if HIDDEN in text or str(COUNT) in text] == []
    if endpoint.whole or endpoint.scope in ("ingest", "admin"):
        assert {status for status, _ in told} == {403}
        assert all(text.count("\n") == 0 for _, text in told)
    if endpoint.path in TELLING and endpoint.method == "GET":
        whole = "".join(text for _, text in answers(address, keys.grant("whole", ["read"]), endpoint))
        assert HIDDEN in whole
        assert any("growth" in text for _, text in told)


def test_the_screens_are_the_same_for_all() -> None:
    assert not set(PAGES) & {endpoint.path for endpoint in ENDPOINTS}


def test_an_intersection_that_is_empty_is_an_empty_answer(planted_store: Store) -> None:
    theirs = TeamData(planted_store, ["growth"])
    for where in ({"team": HIDDEN}, {"team": None}, {"team": ""}, {"team": [HIDDEN, "none"]}):
        assert theirs.calls(where, **WINDOW) == []
        assert sum(row.values[0] or 0 for row in theirs.ask(["calls"], where=where, **WINDOW).rows) == 0
    assert len(theirs.calls({"team": [HIDDEN, "growth"]}, **WINDOW)) == len(theirs.calls(**WINDOW)) > 0


def test_a_call_of_another_team_is_not_there(planted_store: Store) -> None:
    theirs = TeamData(planted_store, ["growth"])
    assert theirs.call(CALLS[0].call_id) == CALLS[0]
    assert theirs.call(CALLS[1].call_id) is theirs.call(CALLS[2].call_id) is None
    assert len(planted_store.sightings(CALLS[0].call_id)) == 2
    assert theirs.sightings(CALLS[0].call_id) == []
    for refused in (theirs.stats, lambda: theirs.write(CALLS, "x")):
        with pytest.raises(Refused):
            refused()


TEAMS = st.lists(st.sampled_from(["growth", HIDDEN, "none"]), min_size=1, unique=True)
CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "team": st.one_of(st.none(), st.sampled_from(["growth", HIDDEN, ""]), TEAMS),
        "service": st.sampled_from([HIDDEN, "chat"]),
        "streamed": st.booleans(),
    },
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(teams=TEAMS, where=CONDITIONS)
def test_what_a_team_sees_is_what_is_its_own_of_what_all_see(
    planted_store: Store, teams: list[str], where: dict[str, Any]
) -> None:
    theirs = TeamData(planted_store, teams)
    everybodys = planted_store.calls(where, limit=1000, **WINDOW)
    assert theirs.calls(where, limit=1000, **WINDOW) == [call for call in everybodys if call.team in teams]
    split = planted_store.ask(["calls"], ["team"], where, **WINDOW).rows
    own = sum(row.values[0] or 0 for row in split if row.labels[0] in teams)
    assert sum(row.values[0] or 0 for row in theirs.ask(["calls"], where=where, **WINDOW).rows) == own


def test_a_stream_tells_of_the_team_alone(asked: tuple[str, Keys], planted_store: Store) -> None:
    address, keys = asked
    token, whole = keys.grant("growth", ["read"], ["growth"]), keys.grant("whole", ["ingest"])
    host = urllib.parse.urlsplit(address).netloc
    reader, writer = (http.client.HTTPConnection(host, timeout=20) for _ in range(2))
    reader.request(
        "GET", f"/api/v1/calls/stream?where=team=growth,{HIDDEN}", headers={"authorization": f"Bearer {token}"}
    )
    answer = reader.getresponse()
    assert answer.readline().startswith(b":")
    new = [dataclasses.replace(call, call_id=f"{i:032x}", same_as=None) for i, call in enumerate(CALLS[:3])]
    lines = "\n".join(json.dumps(to_dict) for to_dict in map(_as_json, [new[1], new[2], new[0]]))
    writer.request("POST", "/api/v1/calls", lines, {"authorization": f"Bearer {whole}", "idempotency-key": "stream"})
    assert writer.getresponse().status == 200
    writer.close()
    deadline, seen = time.monotonic() + 10, b""
    while b"data:" not in seen and time.monotonic() < deadline:
        seen += answer.readline()
    answer.close()
    reader.close()
    assert new[0].call_id.encode() in seen and HIDDEN.encode() not in seen


def _as_json(call: Call) -> dict[str, Any]:
    from tachograph.call import to_dict

    return to_dict(from_batch(to_batch([call]))[0])
