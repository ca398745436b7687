"""What Grafana makes of a query before it is sent: choices, its own variables, the macros of the ClickHouse plugin.

In: the text of a query, what is chosen, a range. Out: what the data source is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
Json = dict[str, Any]


def dashboards(kind: str = "*") -> dict[str, Json]:
    """The dashboards that are checked in, by name."""
    found = sorted((FOLDER / "dashboards").glob(f"{kind}/*.json"))
    return {f"{path.parent.name}/{path.stem}": json.loads(path.read_text("utf-8")) for path in found}


def panels(dashboard: Json) -> list[Json]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@dataclass(frozen=True)
class View:
    """What a dashboard shows. chosen: the values of a variable; one that is not there is at All."""

    since: int
    until: int
    step_seconds: int
    chosen: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def promql(self, text: str) -> str:
        """With the variables replaced: All by the variable's own `.*`, values by an alternation."""
        widths = {"__rate_interval": f"{self.step_seconds}s", "__range": f"{self.until - self.since}s"}

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name in widths:
                return widths[name]
            values = [re.sub(r"([\\^$*+?.()|\[\]{}/-])", r"\\\\\1", one) for one in self.chosen.get(name, ())]
            return f"({'|'.join(values)})" if len(values) > 1 else (values or [".*"])[0]

        return re.sub(r"\$(\w+)", value, text)

    def sql(self, text: str) -> str:
        """With choices and macros replaced, in the order in which the plugin does."""
        text = self._conditional(text)
        text = re.sub(r"\$\{(\w+):singlequote\}", lambda match: self._quoted(match[1]), text)
        times = {"fromTime": f"toDateTime({self.since})", "toTime": f"toDateTime({self.until})"}
        text = re.sub(
            r"\$__timeFilter\(([\w.]+)\)",
            rf"\1 >= {times['fromTime']} AND \1 <= {times['toTime']}",
            text,
        )
        text = re.sub(r"\$__(fromTime|toTime)\b", lambda match: times[match[1]], text)
        text = re.sub(r"\$__interval_s\b", str(self.step_seconds), text)
        assert "$" not in text, text
        return text

    def _conditional(self, text: str) -> str:
        """The last first: `1=1` where the variable is at All."""
        macro = "$__conditionalAll("
        while (at := text.rfind(macro)) >= 0:
            comma, end = _arguments(text, at + len(macro))
            condition, name = text[at + len(macro) : comma], text[comma + 1 : end].strip().removeprefix("$")
            text = text[:at] + (condition if self.chosen.get(name) else "1=1") + text[end + 1 :]
        return text

    def _quoted(self, name: str) -> str:
        return ",".join("'" + value.replace("'", "\\'") + "'" for value in self.chosen[name])


def _arguments(text: str, at: int) -> tuple[int, int]:
    """Where the last comma on the level of the macro is, and where its bracket closes."""
    depth, comma = 1, -1
    for place in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 1 and text[place] == ",":
            comma = place
        if depth == 0:
            return comma, place
    raise AssertionError(f"a bracket is not closed: {text[at:]}")
