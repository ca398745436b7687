"""Every question that the screens ask, over the API, with 20 million calls stored.

    python -m benchmarks.answers [--rows 20000000] [--browsers 10] [--only WORD]

Makes the calls of `benchmarks.store` once, serves them by the real API on loopback, and asks all questions, one after
the other, 10 times (never one twice within the second for which an answer is shared); then as many browsers as are told
ask all of them at once, each in an order of its own, without a pause. Times are milliseconds from the request to the
last byte of the answer; a target that is missed says so. Now is the end of the 30 days.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import random
import socket
import statistics
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence

from benchmarks.store import SINCE_AT, UNTIL_AT, loaded, opened
from tachograph import pricing
from tachograph.health import Health
from tachograph.store import Store
from tachograph.web.api import Parts
from tachograph.web.server import Server
from tachograph.web.views import Prices

TARGET_MS = 300.0  # p95
TIMES = 10
SHARED_SECONDS = 1.1  # an answer is given to whoever asks the same within this time

Query = tuple[tuple[str, str], ...]

_FIGURES = (
    "cost_usd,calls,total_tokens,tokens_per_minute,error_rate,duration_p50_ms,duration_p95_ms,duration_p99_ms,ttft_p95_ms"
    ",itl_p95_ms,cache_hit_rate,unpriced_share,estimated_share,unattributed_share"
)
_COLUMNS = "cost_usd,calls,total_tokens,error_rate,duration_p95_ms"
_RANGES = {"24h": ("24h", "10m"), "30d": ("30d", "6h")}


def questions() -> dict[str, str]:
    """Name -> path and query."""
    found: dict[str, str] = {}
    for name, (since, step) in _RANGES.items():
        found[f"overview {name}"] = _ask(_FIGURES, since)
        found[f"overview {name}, by {step}"] = _ask(_FIGURES, since, ("step", step))
        found[f"overview {name}, ragged"] = _ask(_FIGURES, f"{'1447m' if since == '24h' else '43207m'}")
        for dimension in ("model", "provider", "request_model", "response_model", "team", "user_id"):
            found[f"{dimension} {name}"] = _ask(_COLUMNS, since, ("by", dimension), ("limit", "50"))
        found[f"model {name}, by {step}"] = _ask(_COLUMNS, since, ("by", "model"), ("step", step))
        found[f"response_model {name}, by {step}"] = _ask(_COLUMNS, since, ("by", "response_model"), ("step", step))
        found[f"team {name}, by {step}"] = _ask("cost_usd", since, ("by", "team"), ("step", step))
        found[f"one team {name}"] = _ask(_FIGURES, since, ("where", "team=team-3"))
        found[f"one team {name}, by {step}"] = _ask(_FIGURES, since, ("where", "team=team-3"), ("step", step))
        found[f"errors {name}"] = _ask("errors,calls", since, ("by", "error_type"), ("by", "provider"), ("step", step))
        found[f"user_id {name}, cost"] = _ask("cost_usd", since, ("by", "user_id"), ("limit", "50"))
        found[f"heat {name}"] = _path("heat", ("of", "duration_ms"), ("since", since), ("step", step))
        found[f"heat {name}, one model"] = _path(
            "heat", ("of", "ttft_ms"), ("since", since), ("step", step), ("where", "model=model-3")
        )
        found[f"models {name}"] = _path("models", ("since", since))
    found["headroom 24h"] = _path("headroom", ("since", "24h"))
    found["calls"] = _path("calls", ("limit", "100"))
    found["calls, errors of a model"] = _path(
        "calls", ("limit", "100"), ("where", "model=model-7"), ("where", "outcome=error")
    )
    found["calls of one user"] = _path("calls", ("limit", "100"), ("where", "user_id=user-4711"))
    found["health"] = _path("health")
    return found


def _ask(measures: str, since: str, *more: tuple[str, str]) -> str:
    return _path("ask", ("measure", measures), ("since", since), *more)


def _path(name: str, *query: tuple[str, str]) -> str:
    return f"/api/v1/{name}?{urllib.parse.urlencode(query)}" if query else f"/api/v1/{name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--browsers", type=int, default=10)
    parser.add_argument("--only", default="", help="questions whose name holds this")
    told = parser.parse_args()
    with opened(loaded(told.rows)) as store, serving(store) as address:
        asked = {name: path for name, path in questions().items() if told.only in name}
        if not told.only:
            asked["one call"] = f"/api/v1/calls/{store.calls(since=SINCE_AT, until=UNTIL_AT, limit=1)[0].call_id}"
        print(f"{told.rows:,} calls; ms, alone: median, p95; {told.browsers} browsers at once: median, p95")
        alone = one_by_one(address, asked)
        together = at_once(address, asked, told.browsers)
        for name in asked:
            report(name, alone[name], together[name])


@contextlib.contextmanager
def serving(store: Store) -> Iterator[str]:
    """The address of the API over the store."""
    book = pricing.price_book()
    prices = Prices(functools.partial(pricing.dated, book), functools.partial(pricing.fix, book))
    parts = Parts(
        store, lambda call: pricing.explanation(call, book), Health(), lambda: UNTIL_AT, views=store, prices=prices
    )
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = Server(parts)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


def timed(url: str) -> float:
    """Milliseconds from the request to the last byte."""
    began = time.perf_counter()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=120) as answer:
        answer.read()
    return (time.perf_counter() - began) * 1000


def one_by_one(address: str, asked: dict[str, str]) -> dict[str, list[float]]:
    """What each question took, by itself; the first time is not counted."""
    found: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(TIMES + 1):
        began = time.monotonic()
        for name, path in asked.items():
            found[name].append(timed(address + path))
        time.sleep(max(0.0, SHARED_SECONDS - (time.monotonic() - began)))
    return {name: times[1:] for name, times in found.items()}


def at_once(address: str, asked: dict[str, str], browsers: int) -> dict[str, list[float]]:
    """What each question took while every browser asks all of them."""
    found: dict[str, list[float]] = {name: [] for name in asked}

    def browse(seed: int) -> None:
        names = list(asked)
        random.Random(seed).shuffle(names)
        for name in names:
            found[name].append(timed(address + asked[name]))

    threads = [threading.Thread(target=browse, args=[seed]) for seed in range(browsers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def report(name: str, alone: Sequence[float], together: Sequence[float]) -> None:
    p95 = statistics.quantiles(alone, n=20)[18] if len(alone) > 1 else alone[0]
    figures = f"{statistics.median(alone):9.1f}{p95:9.1f}"
    if together:
        figures += f"{statistics.median(together):12.1f}{max(together):9.1f}"
    print(f"{name:34}{figures}   {'' if p95 <= TARGET_MS else 'MISSED'}", flush=True)


if __name__ == "__main__":
    main()
