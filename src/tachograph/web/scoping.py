"""What a visitor of certain teams is given in place of the store and the stream: the same, of these teams alone.

In: the parts of the API, teams. Out: parts whose every answer is narrowed. What it must never know: a path, SQL.
Why here and not in each handler: a handler that was forgotten would show everybody's calls.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import Call
from tachograph.flow import Refused
from tachograph.series import Series
from tachograph.store import Stats
from tachograph.store.questions import Place
from tachograph.web.live import Listener, Live, Matching
from tachograph.web.matching import matching
from tachograph.web.parts import Data, Parts
from tachograph.web.views import TeamViews
from tachograph.web.visitor import Visitor


def scoped(parts: Parts, visitor: Visitor) -> Parts:
    """The parts as this visitor may see them."""
    if not visitor.teams:
        return dataclasses.replace(parts, visitor=visitor)
    data = TeamData(parts.data, visitor.teams)
    return dataclasses.replace(
        parts,
        visitor=visitor,
        data=data,
        views=TeamViews(parts.views, data.theirs) if parts.views else None,
        live=TeamLive(parts.live, visitor.teams),
        ledger=None,
        metrics=None,
        reported=None,
    )


class TeamData:
    """A store that holds the calls of these teams alone. It takes nothing."""

    def __init__(self, data: Data, teams: Sequence[str]) -> None:
        self._data, self._teams = data, teams

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
        """See `Data`."""
        theirs = self.theirs(where)
        return self._data.ask(measures, by, theirs, since=since, until=until, step=step, limit=limit, order=order)

    def call(self, call_id: str) -> Call | None:
        """See `Data`; None for a call of another team."""
        call = self._data.call(call_id)
        return call if call is not None and call.team in self._teams else None

    def calls(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        since: datetime,
        until: datetime,
        limit: int = 100,
        after: Place | None = None,
    ) -> list[Call]:
        """See `Data`."""
        return self._data.calls(self.theirs(where), since=since, until=until, limit=limit, after=after)

    def sightings(self, call_id: str) -> list[Call]:
        """See `Data`; those that say they are of these teams."""
        return [call for call in self._data.sightings(call_id) if call.team in self._teams]

    def stats(self) -> Stats:
        """Refused: it tells of everybody."""
        raise Refused("teams", "how much is stored tells of all teams: ask with a key of all teams")

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Refused: a key of certain teams never has the scope for it."""
        raise Refused("teams", "a key of certain teams sends no calls: ask with one of the scope ingest")

    def theirs(self, where: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The conditions, with those of the teams that were asked for which this visitor may see."""
        asked = (where or {}).get("team", list(self._teams))
        wanted = asked if isinstance(asked, list) else [asked]
        return {**(where or {}), "team": [team for team in wanted if team in self._teams]}


class TeamLive(Live):
    """A stream of the calls of these teams alone. What is published here reaches nobody."""

    def __init__(self, live: Live, teams: Sequence[str]) -> None:
        super().__init__(
            live.stream_calls_max,
            heartbeat_seconds=live.heartbeat_seconds,
            stream_calls_per_second_max=live.stream_calls_per_second_max,
        )
        self.beat = live.beat
        self._whole, self._theirs = live, matching({"team": list(teams)})

    @contextlib.contextmanager
    def listening(self, matching: Matching) -> Iterator[Listener]:
        """See `Live.listening`."""

        def both(batch: pa.RecordBatch) -> pa.Array:
            wanted = matching(batch)
            return wanted.filter(pc.is_in(wanted, self._theirs(batch)))

        with self._whole.listening(both) as listener:
            yield listener
