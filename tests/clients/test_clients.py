"""Real client libraries, at their current and older versions, against the simulated provider: what is recorded is the
truth, what the caller gets is the provider's answer, and nothing but the standard library was needed for it.
"""

from __future__ import annotations

import json

import pytest
from comparing import differences
from libraries import LIBRARIES, Library
from running import lines, version

import golden
from tachograph.testing.provider_truth import TEXT_PIECES, TOOL_ARGUMENTS_PIECES

SECRETS = ("planted-key", "six times seven", *TEXT_PIECES[::2], TOOL_ARGUMENTS_PIECES[1])
CASES_MIN = 8


@pytest.mark.long
@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: f"{library.name} {version(library)}")
def test_what_is_recorded_is_what_happened(library: Library) -> None:
    try:
        *cases, end = lines(library)
    except golden.Unavailable as missing:
        pytest.skip(str(missing))
    assert end["case"] == "end" and len(cases) >= CASES_MIN
    assert end["foreign"] == []  # loaded before the client library was: instrumenting needs nothing of anybody
    assert end["failures"] == {}
    wrong = [difference for case in cases for difference in differences(case, library.transports)]
    assert wrong == []
    told = json.dumps([case["calls"] for case in cases])
    assert [secret for secret in SECRETS if secret in told] == []


def test_every_library_has_a_lock() -> None:
    assert [library.name for library in LIBRARIES if version(library) == "?"] == []
