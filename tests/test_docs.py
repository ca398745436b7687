"""What the documents show works: the price file, the settings, the commands of the README."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from tachograph.call import Call
from tachograph.pricing import price_book

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def test_the_price_file_of_the_page_is_one() -> None:
    (text,) = blocks("docs/prices.md", "toml")
    book = price_book(tomllib.loads(text))
    call = Call(provider="vllm", request_model="acme/support-7b", started_at=datetime(2026, 11, 1, tzinfo=UTC))
    call.input_uncached, call.output_visible = 1_000_000, 0
    charge = book.charge(call)
    # 4 x 2.50 x 1,000,000 / (3,600,000 x 0.60)
    assert (charge.cost_usd, charge.cost_source) == (Decimal("4.6296296296"), "amortised")
