"""Recorded answers of the providers, where they are at hand, give the Calls that a person reads in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from expectations import differences

from tachograph import wire
from tachograph.capture.recordings import load

EXPECTED = Path(__file__).parents[1] / "corpus" / "recordings"
RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "wire"
CASES = [
    json.loads(line)
    for path in sorted(EXPECTED.glob("*.jsonl"))
    for line in path.read_text("utf-8").splitlines()
    if line.strip()
]

pytestmark = pytest.mark.skipif(
    not (RECORDINGS / "index.jsonl").is_file(),
    reason="the recorded provider responses (shared/data/wire beside the repository) are not on this machine",
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["file"]))
def test_recording(case: dict[str, object]) -> None:
    expected = case["calls"]
    assert isinstance(expected, list)
    assert differences(wire.read(load(RECORDINGS / str(case["file"]))), expected) == []


def test_every_recording_is_expected_once() -> None:
    files = [str(case["file"]) for case in CASES]
    assert len(files) == len(set(files))
    index = (RECORDINGS / "index.jsonl").read_text("utf-8").splitlines()
    assert sorted(files) == sorted(json.loads(line)["file"] for line in index if line.strip())
