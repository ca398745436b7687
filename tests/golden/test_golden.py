"""The golden corpus is what the packages emit: they are run again, and what comes has the shape of what is kept.

The packages that install in seconds are recorded in each run of the long tests; `TACHOGRAPH_GOLDEN=all` records every
one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from listed import PACKAGES, QUICK_GROUPS, Package

from corpus import CORPUS, files
from golden import ROOT, Unavailable, record

ALL = os.environ.get("TACHOGRAPH_GOLDEN") == "all"
CHOSEN = [package for package in PACKAGES if ALL or package.group in QUICK_GROUPS]
SIGNALS = {"traces": ("resourceSpans", "scopeSpans", "spans"), "logs": ("resourceLogs", "scopeLogs", "logRecords")}
SIGNALS["metrics"] = ("resourceMetrics", "scopeMetrics", "metrics")
KEPT = sorted(path for path in CORPUS.rglob("*.json") if not path.name.endswith(".expected.json"))


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def shapes(content: dict[str, Any]) -> list[Any]:
    """What is in a recording but for its ids, times and values: scopes, names, and the keys and kinds of attributes."""
    resources, scopes, items = SIGNALS[content["signal"]]
    found = []
    for request in content["requests"]:
        for resource in request[resources]:
            about = keys(resource.get("resource", {}))
            for scope in resource[scopes]:
                for item in scope.get(items, []):
                    events = sorted({event["name"] for event in item.get("events", [])})
                    name = item.get("name") or item.get("eventName")
                    found.append(
                        [about, scope.get("scope", {}).get("name"), name, item.get("kind"), keys(item), events]
                    )
    return sorted(found, key=json.dumps)


def stable(expected: dict[str, Any]) -> list[dict[str, Any]]:
    """The expected calls without ids that a package makes up anew each time."""
    return [
        {
            fact: value
            for fact, value in call.items()
            if fact != "response_id" or "response_id" not in call.get("truth", {})
        }
        for call in expected["calls"]
    ]


def keys(holder: dict[str, Any]) -> list[str]:
    return sorted(f"{item['key']}:{next(iter(item.get('value', {})), 'none')}" for item in holder.get("attributes", []))


def values(content: Any) -> Iterator[Any]:
    if isinstance(content, dict):
        for value in content.values():
            yield from values(value)
    elif isinstance(content, list):
        for value in content:
            yield from values(value)
    else:
        yield content


def test_every_package_has_a_corpus_and_every_recording_an_expectation() -> None:
    assert {path.parent.name for path in KEPT} == {package.name for package in PACKAGES}
    alone = [str(path) for path in KEPT if not path.with_name(path.stem + ".expected.json").is_file()]
    assert alone == []
    assert len(KEPT) > 400


def test_recordings_are_small_and_say_nothing_of_the_machine() -> None:
    for path in KEPT:
        text = path.read_text("utf-8")
        assert len(text) < 120_000, path
        assert str(ROOT) not in text and str(Path.home()) not in text, path


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_expected_stands_in_the_recording(path: Path) -> None:
    said = list(values(read(path)))
    texts, every = set(map(str, said)), " ".join(map(str, said))
    for call in read(path.with_name(path.stem + ".expected.json"))["calls"]:
        for fact in ("request_model", "response_model", "response_id"):
            assert call.get(fact) is None or call[fact] in texts or call[fact] in every, (fact, call[fact])
        for fact in ("cache_read", "cache_write", "output_reasoning"):
            assert not call.get(fact) or fact == "cache_write" or str(call[fact]) in every, (fact, call[fact])


@pytest.mark.long
@pytest.mark.parametrize("package", CHOSEN, ids=lambda package: package.name)
def test_the_package_still_emits_what_is_kept(package: Package) -> None:
    try:
        made = dict(files(package, record(package)))
    except Unavailable as missing:
        pytest.skip(str(missing))
    kept = {path.name: read(path) for path in (CORPUS / package.name).glob("*.json")}
    assert sorted(made) == sorted(kept)
    for name, content in made.items():
        if name.endswith(".expected.json"):
            assert stable(content) == stable(kept[name]), name
        else:
            assert shapes(content) == shapes(kept[name]), name
