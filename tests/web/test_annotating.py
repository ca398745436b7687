"""What people say about moments, over the API and from the command line; how calls come here."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from tests.test_api import ask
from tests.web.serving import CALLS, NOW, parts_over, serving

from tachograph.remote import Remote
from tachograph.store import Store
from tachograph.web.annotating import ANSWER_ANNOTATIONS_MAX, annotation_of
from tachograph.web.parts import Parts

PATH = "/api/v1/annotations"


@pytest.fixture
def parts(store: Store) -> Parts:
    store.engine.command("TRUNCATE TABLE annotations")
    return parts_over(store)


def said(parts: Parts, **told: Any) -> httpx2.Response:
    return ask(parts, "POST", PATH, json=told)


def test_an_annotation_is_made_listed_and_taken_back(parts: Parts) -> None:
    answer = said(parts, text=" v2.3 \n rolled out ", kind="deployment", at="1h", service="chat", environment="prod")
    made = answer.json()
    assert answer.status_code == 201
    assert made | {"annotation_id": ""} == {
        "annotation_id": "",
        "at": "2026-11-02T23:00:00Z",
        "kind": "deployment",
        "text": "v2.3 rolled out",
        "service": "chat",
        "environment": "prod",
        "by": "this machine",
    }
    later = said(parts, text="a new prompt").json()
    assert (later["kind"], later["at"]) == ("note", "2026-11-03T00:00:00Z")
    listed = ask(parts, "GET", PATH + "?until=2026-11-04").json()
    assert listed == {"annotations": [made, later], "left_out": 0}
    assert ask(parts, "GET", PATH + "?since=2h&until=30m").json()["annotations"] == [made]
    gone = ask(parts, "DELETE", f"{PATH}/{made['annotation_id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert ask(parts, "DELETE", f"{PATH}/{made['annotation_id']}").status_code == 404
    assert ask(parts, "GET", PATH + "?until=2026-11-04").json()["annotations"] == [later]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "text has no words"),
        ({"text": " \n "}, "text has no words"),
        ({"text": "x" * 501}, "text has 501 characters: 500 are the most"),
        ({"text": "x", "service": "x" * 201}, "service has 201 characters: 200 are the most"),
        ({"text": "x", "kind": "incident"}, "kind is 'incident': give one of deployment, note"),
        ({"text": "x", "at": "yesterday"}, "is no time"),
        ({"text": "x", "at": "9999-01-01"}, "is outside the calendar"),
        ({"text": "x", "at": "1969-12-31"}, "is outside the calendar"),
        ({"text": "x", "at": 5}, "at is 5: give text in quotes"),
        ({"text": "x", "txt": "y"}, "unknown member 'txt'"),
    ],
)
def test_what_makes_no_sense_is_named(parts: Parts, told: dict[str, Any], message: str) -> None:
    answer = said(parts, **told)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_a_text_that_no_store_can_hold_is_made_one_that_it_can(parts: Parts) -> None:
    answer = ask(parts, "POST", PATH, content=b'{"text": "\\ud800 half"}', headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["text"]) == (201, "? half")


def test_of_too_many_the_latest_are_listed_and_the_rest_counted(parts: Parts) -> None:
    class Many:
        def annotations(self, since: Any, until: Any) -> list[Any]:
            count = ANSWER_ANNOTATIONS_MAX + 2
            return [annotation_of({"text": str(i)}, "", NOW - timedelta(seconds=count - i)) for i in range(count)]

    answer = ask(parts_over(parts.data, annotations=Many()), "GET", PATH).json()  # type: ignore[arg-type]
    assert (len(answer["annotations"]), answer["left_out"], answer["annotations"][0]["text"]) == (1000, 2, "2")


def test_another_process_annotates_through_the_api(parts: Parts) -> None:
    with serving(parts) as address:
        Remote(address).annotate(annotation_of({"text": "v2", "kind": "deployment", "service": "chat"}, "", NOW))
    (kept,) = ask(parts, "GET", PATH + "?until=2026-11-04").json()["annotations"]
    assert (kept["text"], kept["kind"], kept["service"], kept["by"]) == ("v2", "deployment", "chat", "this machine")


def test_connect_says_where_calls_may_come_in_and_whether_any_did(parts: Parts) -> None:
    told = ask(parts, "GET", "/api/v1/connect").json()
    assert told == {
        "doors": {"api": "127.0.0.1:4180"},
        "tls": False,
        "key_needed": False,
        "routes": [{"prefix": "/openai", "provider": "openai"}],
        "calls": len(CALLS),
    }
    beyond = parts_over(parts.data, tls=True, doors=lambda: {"api": "https://0.0.0.0:1", "gateway": "[::1]:2"})  # type: ignore[arg-type]
    told = ask(beyond, "GET", "/api/v1/connect").json()
    assert (told["tls"], told["key_needed"]) == (True, True)


def test_health_says_how_long_is_kept(parts: Parts) -> None:
    assert ask(parts, "GET", "/api/v1/health").json()["retention_days"] == {"calls": 30}
    assert json.dumps(parts.retention_days)
