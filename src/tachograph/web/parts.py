"""What the API is told: the store, the clock, the counters, the keys, and whatever else it shows.

What it must never know: SQL, providers, HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from tachograph.access import Keys
from tachograph.annotation import Annotation
from tachograph.call import Call
from tachograph.flow import Sink
from tachograph.health import Health
from tachograph.series import Series
from tachograph.store import Stats
from tachograph.store.questions import Place
from tachograph.web.failures import Failures
from tachograph.web.live import Live
from tachograph.web.sessions import Sessions
from tachograph.web.site import Site
from tachograph.web.views import Prices, Views
from tachograph.web.visitor import ANYBODY_HERE, Visitor

# Told the `Accept` of the request, or None: the page and its content type.
Metrics = Callable[[str | None], tuple[bytes, str]]
# Told measures, dimensions, conditions and the width of a point: measure -> PromQL, measure -> why there is none.
Promql = Callable[
    [Sequence[str], Sequence[str], Mapping[str, Any], timedelta], tuple[Mapping[str, str], Mapping[str, str]]
]


class Data(Sink, Protocol):
    """What the API needs of a store; `remote` speaks the same to a running API."""

    def ask(
        self,
        measures: Sequence[str],
        by: Sequence[str] = (),
        where: Mapping[str, Any] | None = None,
        *,
        since: datetime,
        until: datetime,
        step: timedelta | None = None,
        limit: int | None = None,
        order: str | None = None,
    ) -> Series:
        """Answer a question."""
        ...

    def call(self, call_id: str) -> Call | None:
        """One call."""
        ...

    def calls(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        since: datetime,
        until: datetime,
        limit: int = 100,
        after: Place | None = None,
    ) -> list[Call]:
        """The newest calls first; `after`: where the previous page ended."""
        ...

    def sightings(self, call_id: str) -> list[Call]:
        """All other rows of the same call: what it counts for, or what it is counted by."""
        ...

    def stats(self) -> Stats:
        """How much is stored."""
        ...


class Annotations(Protocol):
    """What keeps annotations."""

    def annotate(self, annotation: Annotation) -> None:
        """Keep it."""
        ...

    def annotations(self, since: datetime, until: datetime) -> list[Annotation]:
        """Those with since <= at < until, oldest first."""
        ...

    def forget(self, annotation_id: str) -> bool:
        """Forget it; whether there was one."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API is told.

    explain: the multiplication of one call, JSON-ready. now: the clock. live: where stored calls are published.
    ledger: accepted {door: n}, stored, deduplicated, refused {reason: n}, ignored {reason: n}, in_flight, balanced.
    metrics: the page for Prometheus. reported: what services counted about themselves from one moment to another.
    annotations: what people say about moments. views: what the screens look at beside series and calls; prices: the
    price book; promql: a question as Prometheus is asked it.
    None: this process has none, and the path is not part of its API.
    doors: name -> address of every door that is open. routes: prefix and provider of what the gateway offers.
    retention_days: table -> how long it is kept. site: the screens. keys: who may ask.
    listen_host: where this API listens; on loopback it answers to loopback alone. tls: whether it is encrypted.
    sessions: of browsers that signed in; failures: of those that did not.
    visitor: who asks this time; what a handler is given is narrowed to it.
    """

    data: Data
    explain: Callable[[Call], dict[str, Any]]
    health: Health
    now: Callable[[], datetime]
    live: Live = field(default_factory=Live)
    ledger: Callable[[], dict[str, Any]] | None = None
    metrics: Metrics | None = None
    reported: Callable[[datetime, datetime], list[dict[str, Any]]] | None = None
    annotations: Annotations | None = None
    views: Views | None = None
    prices: Prices | None = None
    promql: Promql | None = None
    doors: Callable[[], Mapping[str, str]] = dict
    routes: Callable[[], Sequence[tuple[str, str]]] = tuple
    retention_days: Mapping[str, int] = field(default_factory=dict)
    site: Site = field(default_factory=Site)
    listen_host: str = "127.0.0.1"
    tls: bool = False
    keys: Keys | None = None
    sessions: Sessions = field(default_factory=Sessions)
    failures: Failures = field(default_factory=Failures)
    visitor: Visitor = ANYBODY_HERE
