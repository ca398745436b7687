"""The dashboards from the code: `python -m deploy.grafana.generate` writes them, `--check` fails where they differ.

In: the dashboards on Prometheus and on ClickHouse. Out: `dashboards/KIND/NAME.json` beside this file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.grafana.clickhouse_calls import calls
from deploy.grafana.clickhouse_overview import overview as clickhouse_overview
from deploy.grafana.clickhouse_teams import teams as clickhouse_teams
from deploy.grafana.panels import Json
from deploy.grafana.prometheus_health import health
from deploy.grafana.prometheus_overview import overview as prometheus_overview
from deploy.grafana.prometheus_teams import teams as prometheus_teams

DASHBOARDS = (prometheus_overview, prometheus_teams, health, clickhouse_overview, clickhouse_teams, calls)
FOLDER = Path(__file__).parent / "dashboards"


def files() -> dict[Path, str]:
    """What each file should hold."""
    made = [build() for build in DASHBOARDS]
    return {FOLDER / _name(one): json.dumps(one, indent=1, ensure_ascii=False) + "\n" for one in made}


def _name(one: Json) -> str:
    _, kind, name = one["uid"].split("-")
    return f"{kind}/{name}.json"


def main(arguments: Sequence[str]) -> int:
    """Write the files, or check them; the exit code."""
    wanted = files()
    if "--check" not in arguments:
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return 0
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    stale += sorted(set(FOLDER.rglob("*.json")) - set(wanted))
    if stale:
        names = ", ".join(str(path.relative_to(FOLDER)) for path in stale)
        sys.stderr.write(f"out of date: {names}: run `.venv/bin/python -m deploy.grafana.generate`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
