"""Real client libraries, at their current and older versions, against the simulated provider: what is recorded is the
truth, what the caller gets is the provider's answer, and nothing but the standard library was needed for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from comparing import differences
from libraries import LIBRARIES, Library
from running import lines, version

import golden
from tachograph.testing.provider_truth import TEXT_PIECES, TOOL_ARGUMENTS_PIECES

SECRETS = ("planted-key", "six times seven", TEXT_PIECES[0], TEXT_PIECES[2], TOOL_ARGUMENTS_PIECES[1])
CASES_MIN = 5
AT_ONCE = 3  # they wait more than they work

Runs = dict[str, Future[list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """The scripts of the tests that were chosen, some at a time. Environments are built before, one by one."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    chosen = [item.callspec.params["library"] for item in items if "runs" in item.fixturenames]
    missing: dict[str, str] = {}
    for group in sorted({library.group for library in chosen}):
        try:
            golden.python(group)
        except golden.Unavailable as unavailable:
            missing[group] = str(unavailable)

    def run(library: Library) -> list[dict[str, Any]]:
        if library.group in missing:
            raise golden.Unavailable(missing[library.group])
        return lines(library)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {library.name: pool.submit(run, library) for library in chosen}


@pytest.mark.long
@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: f"{library.name} {version(library)}")
def test_what_is_recorded_is_what_happened(library: Library, runs: Runs) -> None:
    try:
        *cases, end = runs[library.name].result()
    except golden.Unavailable as missing:
        pytest.skip(str(missing))
    assert end["case"] == "end" and len(cases) >= CASES_MIN
    if "IMPORTED_FIRST" not in library.environment:
        assert end["foreign"] == []  # loaded before the client library was: instrumenting needs nothing of anybody
    assert end["failures"] == {}
    wrong = [difference for case in cases for difference in differences(case, library.transports)]
    assert wrong == []
    told = json.dumps([case["calls"] for case in cases])
    assert [secret for secret in SECRETS if secret in told] == []


def test_every_library_has_a_lock() -> None:
    assert [library.name for library in LIBRARIES if version(library) == "?"] == []
    assert len({library.name for library in LIBRARIES}) == len(LIBRARIES)
