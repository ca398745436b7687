"""What the screens look at beside series and calls: text of a question, heat, versions, rate limits, prices.

In: nothing. Out: `Views` and `Prices`, what the API needs of a store and of a price book for them.
What it must never know: SQL, how a price is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from tachograph.store.headroom import Headroom
from tachograph.store.heat import Heat
from tachograph.store.versions import Change, Version

Where = Mapping[str, Any] | None


class Views(Protocol):
    """A store, looked at. Each raises as `Data.ask` does."""

    def statement(
        self,
        measures: Sequence[str],
        by: Sequence[str] = (),
        where: Where = None,
        *,
        since: datetime,
        until: datetime,
        step: timedelta | None = None,
        limit: int | None = None,
        order: str | None = None,
    ) -> str:
        """The text that answers what `Data.ask` is asked."""
        ...

    def heat(self, of: str, where: Where = None, *, since: datetime, until: datetime, step: timedelta) -> Heat:
        """Latency over time, by bucket."""
        ...

    def versions(self, where: Where = None, *, since: datetime, until: datetime) -> list[Version]:
        """Every version of a model."""
        ...

    def changes(self, where: Where = None, *, since: datetime, until: datetime) -> list[Change]:
        """When another version took over what is requested by the same name."""
        ...

    def headroom(self, where: Where = None, *, since: datetime, until: datetime) -> list[Headroom]:
        """The last stated rate limits."""
        ...


@dataclass(frozen=True, slots=True)
class Prices:
    """dated: (provider, name, moment) -> the rows of the price book, JSON-ready. fix: (provider, requested, responded,
    moment) -> lines of a price file that give a price to what has none, or None.
    """

    dated: Callable[[str, str, datetime], list[dict[str, Any]]]
    fix: Callable[[str, str | None, str | None, datetime], str | None]


class TeamViews:
    """The same of certain teams alone. theirs: a condition, narrowed to these."""

    def __init__(self, views: Views, theirs: Callable[[Where], Mapping[str, Any]]) -> None:
        self._views, self._theirs = views, theirs

    def statement(
        self,
        measures: Sequence[str],
        by: Sequence[str] = (),
        where: Where = None,
        *,
        since: datetime,
        until: datetime,
        step: timedelta | None = None,
        limit: int | None = None,
        order: str | None = None,
    ) -> str:
        """See `Views`."""
        return self._views.statement(
            measures, by, self._theirs(where), since=since, until=until, step=step, limit=limit, order=order
        )

    def heat(self, of: str, where: Where = None, *, since: datetime, until: datetime, step: timedelta) -> Heat:
        """See `Views`."""
        return self._views.heat(of, self._theirs(where), since=since, until=until, step=step)

    def versions(self, where: Where = None, *, since: datetime, until: datetime) -> list[Version]:
        """See `Views`."""
        return self._views.versions(self._theirs(where), since=since, until=until)

    def changes(self, where: Where = None, *, since: datetime, until: datetime) -> list[Change]:
        """See `Views`."""
        return self._views.changes(self._theirs(where), since=since, until=until)

    def headroom(self, where: Where = None, *, since: datetime, until: datetime) -> list[Headroom]:
        """See `Views`."""
        return self._views.headroom(self._theirs(where), since=since, until=until)
