"""For people with pandas: files of Calls and answers of the store as DataFrames.

In: a path, a question. Out: a DataFrame with the field names of Call; times as UTC timestamps, costs as Decimal.
Needs `pip install 'tachograph[server]'`.
What it must never do: compute.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The Calls of a JSON-lines file (plain or .gz), one row each, one column per field of Call.

    Raises Refused where the file cannot be read, ValueError naming the line where a line is no Call.
    """
    import pandas as pd

    from tachograph.call import COLUMNS
    from tachograph.capture.lines import read_calls

    names = [column.name for column in COLUMNS]
    rows = []
    for line in read_calls(Path(path)):
        if line.call is None:
            raise ValueError(line.error)
        rows.append([getattr(line.call, name) for name in names])
    return pd.DataFrame(rows, columns=names)


def ask(
    measures: str | Sequence[str],
    *,
    by: str | Sequence[str] = (),
    where: Mapping[str, Any] | None = None,
    since: str = "24h",
    until: str = "now",
    step: str | None = None,
    limit: int | None = None,
    order: str | None = None,
    store: str | None = None,
) -> pd.DataFrame:
    """Ask the store, as `tachograph ask` does: one row per label set and step, one column per dimension and measure.

    since, until: `30d` (ago), `now`, a date, RFC 3339. step: `1m`, `1h`, `1d`. store: folder or address; None: as the
    settings say. Raises ValueError for an unknown measure or dimension, StoreError where the store cannot be opened.
    """
    import pandas as pd

    from tachograph import app, config, when

    settings = config.load(os.environ, None, {"store": store})
    with app.opened(settings) as data:
        answer = data.ask(
            [measures] if isinstance(measures, str) else list(measures),
            by=[by] if isinstance(by, str) else list(by),
            where=dict(where or {}),
            since=when.moment(since, app.now()),
            until=when.moment(until, app.now()),
            step=when.width(step) if step else None,
            limit=limit,
            order=order,
        )
    columns = [*(["time"] if answer.step else []), *answer.by, *answer.measures]
    return pd.DataFrame(list(answer.records()), columns=columns)
