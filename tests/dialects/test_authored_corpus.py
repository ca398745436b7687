"""Cases written by hand from the vocabularies' own documents: what each row, trap and coercion must be read as.

An expectation names the calls in their order of time; of each, facts of Call (`cache_write`: the sum of its three
parts), and `sightings`, the number of spans that are that call. `verdicts`: how many spans were what instead.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.dialects.reading import CORPUS, Desk, Read, bodies, expectation, fact, recordings, written

from tachograph.call import BY_NAME, Call
from tachograph.dialects import DIALECTS

OF_SOME = {"some_sightings", "untrue"}  # facts of single sightings, and what others say instead
CASES = [path for path in recordings(CORPUS / "authored") if not path.stem.endswith(".metrics")]


@pytest.fixture(scope="module")
def read(desk: Desk) -> dict[Path, Read]:
    contents = {path: json.loads(path.read_text("utf-8")) for path in CASES}
    found: dict[Path, Read] = {}
    for signal in ("traces", "logs"):
        paths = [path for path in CASES if contents[path]["signal"] == signal]
        answers = desk.each(signal, [bodies(contents[path]) for path in paths])
        found |= dict(zip(paths, answers, strict=True))
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_case_is_read_as_written(read: dict[Path, Read], path: Path) -> None:
    expected, found = expectation(path), read[path]
    counted = sorted(found.counted, key=lambda call: call.started_at)
    assert len(counted) == len(expected["calls"]), written(found.calls)
    for wanted, call in zip(expected["calls"], counted, strict=True):
        assert shown(wanted, call, found) == plain(wanted), written([call])
        for name, value in wanted.get("some_sightings", {}).items():
            assert value in [fact(one, name) for one in found.sightings(call)], name
    for verdict, number in expected.get("verdicts", {}).items():
        assert Counter(found.verdicts)[verdict] == number, found.verdicts


def plain(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if name == "flags" else value for name, value in wanted.items() if name not in OF_SOME}


def shown(wanted: dict[str, Any], call: Call, found: Read) -> dict[str, Any]:
    special = {"sightings": len(found.sightings(call))}
    values = {name: special[name] if name in special else fact(call, name) for name in wanted if name not in OF_SOME}
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def test_expectations_name_facts_that_there_are() -> None:
    names = {name for path in CASES for wanted in expectation(path)["calls"] for name in wanted}
    assert names - OF_SOME - {"sightings", "cache_write"} <= set(BY_NAME)


def test_every_vocabulary_has_cases(read: dict[Path, Read]) -> None:
    seen = {call.api for found in read.values() for call in found.calls}
    assert seen == {f"otlp.{dialect.name}" for dialect in DIALECTS}
