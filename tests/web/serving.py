"""The real API on a real socket: started in a thread, stopped at the end of the block."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from tachograph import pricing
from tachograph.access import Tls
from tachograph.health import Health
from tachograph.prometheus.promql import promql
from tachograph.store import Store
from tachograph.testing import generated_day
from tachograph.web.api import Parts
from tachograph.web.server import Server
from tachograph.web.views import Prices

NOW = datetime(2026, 11, 3, tzinfo=UTC)
CALLS = list(generated_day(date(2026, 11, 1), 50))


def parts_over(store: Store, **more: Any) -> Parts:
    """All parts, each real where there is one."""
    health, book = Health(), pricing.price_book()

    def ledger() -> dict[str, Any]:
        counts: Any = health.snapshot()
        return {
            "accepted": counts["items_accepted_total"],
            "stored": counts["items_stored_total"],
            "deduplicated": counts["items_deduplicated_total"],
            "refused": {},
            "ignored": {},
            "in_flight": 0,
            "balanced": True,
        }

    told: dict[str, Any] = {
        "ledger": ledger,
        "metrics": lambda _accept: (b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"),
        "reported": store.reported,
        "annotations": store,
        "views": store,
        "prices": Prices(functools.partial(pricing.dated, book), functools.partial(pricing.fix, book)),
        "promql": functools.partial(promql, ("provider", "model", "team")),
        "retention_days": {"calls": 30},
        "routes": lambda: [("/openai", "openai")],
        "doors": lambda: {"api": "127.0.0.1:4180"},
        **more,
    }
    return Parts(store, lambda call: pricing.explanation(call, book), health, lambda: NOW, **told)


@contextlib.contextmanager
def serving(parts: Parts, tls: Tls | None = None, bind: str = "127.0.0.1") -> Iterator[str]:
    """The address under which the API answers."""
    with socket.socket() as door:
        door.bind((bind, 0))
        server = Server(parts, tls)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            deadline = time.monotonic() + 20
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.01)
            assert server.started
            yield f"http{'s' if tls else ''}://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()
