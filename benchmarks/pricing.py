"""CPU time of one price lookup and charge, against the library that the list is from; same usages, same results.

Run: python -m benchmarks.pricing [calls]. Prints one line per kind of call: microseconds per charge (median of runs,
CPU time of this process), the library's, the ratio, and how many of the compared calls cost the same by both.
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from genai_prices import Usage, calc_price

from tachograph.call import MONEY_STEP, Call
from tachograph.pricing import PriceBook, price_book

RUNS = 7
CALLS = 20_000
THEIRS_SHARE = 20  # the library is slow: every n-th call
START = datetime(2026, 10, 20, tzinfo=UTC)
TARGET_US = 10


class Kind(NamedTuple):
    """A kind of call: who, what, how often, with what context; `theirs` is the library's name of the provider."""

    provider: str
    theirs: str
    requested: str
    responded: str | None
    weight: int
    tier: str | None = None
    context: tuple[tuple[str, str], ...] = ()


KINDS = (
    Kind("openai", "openai", "gpt-5", "gpt-5-2025-08-07", 25, "default"),
    Kind("openai", "openai", "gpt-5.6-sol", "gpt-5.6-sol", 15, "default"),
    Kind("openai", "openai", "gpt-5-mini", "gpt-5-mini-2025-08-07", 5, "flex"),
    Kind("anthropic", "anthropic", "claude-sonnet-5", "claude-sonnet-5", 20, "standard"),
    Kind("anthropic", "anthropic", "claude-opus-5", "claude-opus-5", 3, "standard", (("speed", "fast"),)),
    Kind("aws.bedrock", "aws", "us.anthropic.claude-sonnet-5", None, 8),
    Kind("gcp.gemini", "google", "gemini-2.5-flash", "gemini-2.5-flash", 10),
    Kind("gcp.gemini", "google", "gemini-3.8-flash", "gemini-3.8-flash", 2, None, (("processing", "batch"),)),
    Kind("anthropic", "anthropic", "claude-sonnet-5", "claude-sonnet-5", 2, "standard", (("web_searches", "2"),)),
    Kind("deepseek", "deepseek", "deepseek-v4-flash", "deepseek-v4-flash", 5),
    Kind("groq", "groq", "llama-3.3-70b-versatile", "llama-3.3-70b-versatile", 2),
    Kind("openrouter", "openrouter", "anthropic/claude-sonnet-4.6", "anthropic/claude-sonnet-4.6", 5),
)


def calls(kind: Kind, number: int, draw: random.Random) -> list[Call]:
    """Calls of one kind over 30 days, a third of them with cached input."""
    made = []
    for _ in range(number):
        uncached, output = int(draw.lognormvariate(7.5, 1.2)), int(draw.lognormvariate(5.5, 1))
        made.append(
            Call(
                provider=kind.provider,
                request_model=kind.requested,
                response_model=kind.responded,
                service_tier=kind.tier,
                price_context=dict(kind.context),
                started_at=START + timedelta(seconds=draw.randrange(30 * 86_400)),
                input_uncached=uncached,
                cache_read=draw.choice((0, 0, uncached * 2)),
                output_visible=output,
                output_reasoning=draw.choice((0, output // 2)),
            )
        )
    return made


def usage(call: Call) -> Usage:
    """The same usage in the library's words."""
    return Usage(
        web_searches=int(call.price_context.get("web_searches", 0)),
        input_tokens=(call.input_uncached or 0) + (call.cache_read or 0),
        cache_read_tokens=call.cache_read or 0,
        output_tokens=(call.output_visible or 0) + (call.output_reasoning or 0),
    )


def theirs(kind: Kind, call: Call, used: Usage) -> Decimal:
    context = dict(kind.context) | ({"service_tier": kind.tier} if kind.tier else {})
    return calc_price(
        used,
        kind.requested,
        provider_id=kind.theirs,
        genai_request_timestamp=call.started_at,
        price_context=context,
    ).total_price


def median_us(work: Callable[[], object], number: int) -> float:
    """Microseconds of CPU per item: the median of several runs after one that warms up."""
    work()
    spent = []
    gc.disable()
    for _ in range(RUNS):
        begin = time.process_time()
        work()
        spent.append((time.process_time() - begin) / number * 1e6)
    gc.enable()
    return statistics.median(spent)


def charge_all(book: PriceBook, batch: list[Call]) -> None:
    charge = book.charge
    for call in batch:
        charge(call)


def main(number: int = CALLS) -> None:
    draw = random.Random(20261120)
    begin = time.process_time()
    book = price_book()
    print(f"building the book: {time.process_time() - begin:.2f} s of CPU, {len(book.rows)} rows")
    print(f"{'kind':<52}{'charge us':>10}{'library us':>12}{'ratio':>8}  equal")
    mix: list[Call] = []
    pairs: list[tuple[Kind, Call, Usage]] = []
    for kind in KINDS:
        batch = calls(kind, number * kind.weight // 100, draw)
        some = [(kind, call, usage(call)) for call in batch[::THEIRS_SHARE]]
        equal = sum(
            book.charge(call).cost_usd == theirs(*one).quantize(MONEY_STEP) for one in some for call in [one[1]]
        )
        name = f"{kind.provider} {kind.requested} {kind.tier or ''} {' '.join('='.join(item) for item in kind.context)}"
        row(name, book, batch, some, equal)
        mix += batch
        pairs += some
    draw.shuffle(mix)
    mixed = row("the mix", book, mix, pairs, None)
    cold = statistics.median(first_charges(book) for _ in range(RUNS))
    print(f"first charge of a model on a day: {cold:.0f} us")
    print(f"target: under {TARGET_US} us per charge: {'met' if mixed < TARGET_US else 'MISSED'}")


def row(
    name: str, book: PriceBook, batch: list[Call], some: list[tuple[Kind, Call, Usage]], equal: int | None
) -> float:
    ours_us = median_us(lambda: charge_all(book, batch), len(batch))
    theirs_us = median_us(lambda: [theirs(*one) for one in some], len(some))
    said = "" if equal is None else f"{equal}/{len(some)}"
    print(f"{name:<52}{ours_us:>10.2f}{theirs_us:>12.1f}{theirs_us / ours_us:>7.0f}x  {said}")
    return ours_us


def first_charges(book: PriceBook) -> float:
    """Microseconds of a charge that nothing is remembered of: its plan is compiled."""
    day = START + timedelta(days=random.Random().randrange(400, 20_000))
    batch = [
        Call(provider=kind.provider, request_model=kind.requested, started_at=day, input_uncached=1) for kind in KINDS
    ]
    begin = time.process_time()
    charge_all(book, batch)
    return (time.process_time() - begin) / len(batch) * 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)
