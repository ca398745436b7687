"""The answer: labels x time x values.

What comes out of `store.ask` and all that analysis, alerts, pages and the command line ever see of the data.
What it must never know: SQL, HTTP, a provider.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

Value = float | int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One point: the values of the `by` dimensions, the start of the step (None without a step), the measures."""

    labels: tuple[str | None, ...]
    time: datetime | None
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """What was asked and what was found.

    measures: names, in the order of `Row.values`; units: their units (`USD`, `ms`, `1`, ...).
    by: names, in the order of `Row.labels`. step: width of a point in seconds, None for one point per label set.
    table: which stored table answered (calls, minute, hour), so that a reader can judge the resolution.
    """

    measures: tuple[str, ...]
    units: tuple[str, ...]
    by: tuple[str, ...]
    since: datetime
    until: datetime
    step: timedelta | None
    table: str
    rows: tuple[Row, ...]

    def records(self) -> Iterator[dict[str, Any]]:
        """The rows as flat dictionaries: `time` (where there is a step), each dimension, each measure."""
        for row in self.rows:
            record: dict[str, Any] = {}
            if self.step is not None and row.time is not None:
                record["time"] = row.time
            record.update(zip(self.by, row.labels, strict=True))
            record.update(zip(self.measures, row.values, strict=True))
            yield record

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the question, the units and the rows."""
        return {
            "measures": dict(zip(self.measures, self.units, strict=True)),
            "by": list(self.by),
            "since": _iso(self.since),
            "until": _iso(self.until),
            "step_seconds": self.step.total_seconds() if self.step else None,
            "table": self.table,
            "rows": [_plain(record) for record in self.records()],
        }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _iso(value) if isinstance(value, datetime) else value for key, value in record.items()}
