"""The list against what providers say that they billed: recordings of xAI and OpenRouter that state a cost.

Every one that differs is named here with the reason; one that differs and is not named fails the test.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tachograph import wire
from tachograph.call import EPOCH, Call
from tachograph.capture.recordings import load
from tachograph.pricing import PriceBook

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "wire"
PROVIDERS = ("xai", "openrouter")
CENT = Decimal("0.01")
SHARE = Decimal("0.95")

INVENTED = "the fixture's cost is made up (123456 ticks), not recorded"
FEES = "the router's fee for a web search is not in the list, and it chose a cheaper upstream"
UPSTREAM = "the router chose an upstream that charged more than the cheapest, which the list has"

# Part of the file's name -> why its price was not in force; these are left out of the share.
NOT_IN_FORCE = {"xai-image-generation-tool": INVENTED}
# Part of the file's name -> why it is not equal to the last digit, although it agrees to the cent.
NOT_EXACT = {"test_openrouter_web_search": FEES, "test_openai_response": UPSTREAM}


def stated() -> list[tuple[str, Call]]:
    found = []
    for provider in PROVIDERS:
        for path in sorted((FOLDER / provider).glob("*.json")):
            found += [(path.name, call) for call in wire.read(load(path)) if call.cost_source == "provider"]
    return found


def named(file: str, reasons: dict[str, str]) -> str | None:
    return next((reason for part, reason in reasons.items() if part in file), None)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recordings here: {FOLDER} is absent")
def test_the_list_agrees_with_stated_costs(book: PriceBook, capsys: pytest.CaptureFixture[str]) -> None:
    to_the_cent, exact, differing, left_out = 0, 0, [], []
    calls = stated()
    for file, call in calls:
        charge = book.charge(call)
        assert charge.cost_usd == call.cost_usd and charge.cost_source == "provider"
        why = named(file, NOT_IN_FORCE)
        if why is not None or call.started_at == EPOCH:
            left_out.append((file, why or "no date"))
            continue
        assert charge.list_usd is not None, file
        gap = abs(charge.list_usd - (call.cost_usd or 0))
        to_the_cent += gap < CENT
        if gap == 0:
            exact += 1
        else:
            differing.append((file, gap, named(file, NOT_EXACT)))
    compared = len(calls) - len(left_out)
    report = [f"stated costs: {to_the_cent} of {compared} agree to the cent, {exact} to the last digit"]
    report += ["  ".join(map(str, item)) for item in (*differing, *left_out)]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n  ".join(report) + "\n")
    assert compared >= 8
    assert to_the_cent >= SHARE * compared
    assert [item for item in differing if item[2] is None] == []
