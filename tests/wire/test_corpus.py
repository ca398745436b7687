"""Every authored exchange of `tests/corpus/wire` gives the Calls that stand beside it, however its bytes are cut."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from expectations import differences

from tachograph import wire
from tachograph.capture.recordings import load

CORPUS = Path(__file__).parents[1] / "corpus" / "wire"
CASES = sorted(path for path in CORPUS.rglob("*.json") if not path.name.endswith(".expected.json"))


def expectation(case: Path) -> Path:
    return case.with_name(case.stem + ".expected.json")


def test_the_corpus_is_complete() -> None:
    assert len(CASES) > 50
    assert [str(case) for case in CASES if not expectation(case).is_file()] == []
    answers = {expectation(case) for case in CASES}
    assert [str(path) for path in CORPUS.rglob("*.expected.json") if path not in answers] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.relative_to(CORPUS)))
def test_case(case: Path) -> None:
    expected = json.loads(expectation(case).read_text("utf-8"))
    assert differences(wire.read(load(case)), expected) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.relative_to(CORPUS)))
def test_case_byte_by_byte(case: Path) -> None:
    exchange = load(case)
    body = b"".join(chunk for _, chunk in exchange.chunks)
    pieces = [(None, body[at : at + 1]) for at in range(len(body))]
    expected = json.loads(expectation(case).read_text("utf-8"))
    assert differences(wire.read(dataclasses.replace(exchange, chunks=pieces)), expected) == []
