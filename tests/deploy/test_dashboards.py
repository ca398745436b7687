"""The dashboards are what their code says, and what Grafana asks of a dashboard that is provisioned."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.grafana import generate
from tests.deploy.expanding import FOLDER, dashboards, panels

from tachograph.health import COUNTERS, GAUGES
from tachograph.prometheus.families import families
from tachograph.prometheus.page import OWN, PREFIX

ALL = dashboards()
NAMES = sorted(ALL)
SOURCES = {"prometheus": "prometheus", "clickhouse": "grafana-clickhouse-datasource"}
UNITS = {"short", "currencyUSD", "ms", "s", "percentunit", "cps", "reqps", "Bps", "bytes", "string"}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)


def test_there_are_two_sets() -> None:
    kinds = {kind: {name.split("/")[1] for name in NAMES if name.startswith(kind)} for kind in SOURCES}
    assert kinds == {"prometheus": {"overview", "teams", "health"}, "clickhouse": {"overview", "teams", "calls"}}


def test_they_are_what_the_code_says() -> None:
    ran = [sys.executable, "-m", "deploy.grafana.generate", "--check"]
    done = subprocess.run(ran, capture_output=True, text=True, check=False, cwd=FOLDER.parents[1])
    assert (done.returncode, done.stderr) == (0, "")


def test_the_check_says_which_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    capsys.readouterr()
    changed = tmp_path / "clickhouse" / "calls.json"
    changed.write_text(changed.read_text().replace("Slowest", "Quickest"))
    (tmp_path / "prometheus" / "left.json").write_text("{}")
    assert generate.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "clickhouse/calls.json, prometheus/left.json: run" in said


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_has_what_grafana_asks_for(name: str) -> None:
    one = ALL[name]
    kind, short = name.split("/")
    assert one["uid"] == f"tachograph-{kind}-{short}" and len(one["uid"]) <= 40
    assert "id" not in one  # that is Grafana's to give
    assert 39 <= one["schemaVersion"] <= 41
    assert one["title"] and one["description"] and one["tags"] == ["tachograph"]
    numbers = [panel["id"] for panel in one["panels"]]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert json.loads(json.dumps(one, allow_nan=False)) == one


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_lies_over_another(name: str) -> None:
    places = [panel["gridPos"] for panel in ALL[name]["panels"]]
    assert all(at["x"] >= 0 and at["x"] + at["w"] <= 24 and at["h"] > 0 for at in places)
    for one, other in combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_counts_and_in_which_unit(name: str) -> None:
    shown = panels(ALL[name])
    titles = [panel["title"] for panel in shown]
    assert len(set(titles)) == len(titles)
    for panel in shown:
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        said = panel["fieldConfig"]
        units = [said["defaults"].get("unit", panel["options"].get("yAxis", {}).get("unit"))]
        units += [each["value"] for one in said["overrides"] for each in one["properties"] if each["id"] == "unit"]
        assert set(units) <= UNITS, panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == list("ABCDEFGH"[: len(letters)])


@pytest.mark.parametrize("name", NAMES)
def test_the_source_is_a_choice_and_every_variable_is_there(name: str) -> None:
    one, kind = ALL[name], name.split("/", maxsplit=1)[0]
    variables = {variable["name"]: variable for variable in one["templating"]["list"]}
    assert variables[kind]["type"] == "datasource" and variables[kind]["query"] == SOURCES[kind]
    asked = [*panels(one), *one["annotations"]["list"], *variables.values()]
    references = [each["datasource"] for each in asked if "datasource" in each]
    references += [target["datasource"] for panel in panels(one) for target in panel["targets"]]
    ours = {"type": SOURCES[kind], "uid": f"${{{kind}}}"}
    assert all(said == ours for said in references if said["type"] != "grafana")
    used = {word for text in strings(one) for word in re.findall(r"\$\{?([a-zA-Z]\w*)", text)}
    assert used - {"__field", "__value", "__auto"} <= set(variables)
    assert set(variables) - used - {"interval"} == set()  # none that chooses nothing


@pytest.mark.parametrize("name", NAMES)
def test_every_measure_is_written_out(name: str) -> None:
    text = json.dumps(ALL[name])
    assert "{quantile}" not in text and "{seconds}" not in text


def test_no_host_but_the_default_of_our_own_screens() -> None:
    hosts = [text for one in ALL.values() for text in strings(one) if "://" in text]
    assert set(hosts) == {"http://localhost:4180"}
    links = [text for text in strings(ALL["clickhouse/calls"]) if "/calls/" in text]
    assert set(links) == {"${screens}/calls/${__value.raw}"}


def test_the_queries_speak_of_metrics_that_are_on_the_page() -> None:
    known = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
    for family in families():
        known |= {family.name + ending for ending in (("_bucket", "_count", "_sum") if family.bounds else ("",))}
    known |= {PREFIX + one.name for one in (*COUNTERS, *GAUGES)} | {name for name, *_ in OWN}
    rules = (FOLDER.parent / "prometheus" / "recording_rules.yml").read_text()
    known |= set(re.findall(r"record: (\S+)", rules))
    said: set[str] = set()
    for name in NAMES:
        if name.startswith("prometheus/"):
            for panel in panels(ALL[name]):
                for target in panel["targets"]:
                    text = re.sub(r'"[^"]*"|\b(by|on) \([^)]*\)', "", target["expr"])
                    said |= set(re.findall(r"[a-zA-Z_:][\w:]*(?=\{)", text))
    assert said - known == set()
    unseen = {PREFIX + one.name for one in (*COUNTERS, *GAUGES)} - said
    assert unseen == set(), "what we count is to be seen: add it to deploy/grafana/prometheus_health.py"


def test_the_files_that_grafana_reads_at_its_start() -> None:
    provisioning = FOLDER / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "tachograph.yaml").read_text())
    assert sources["apiVersion"] == 1
    assert {one["type"] for one in sources["datasources"]} == set(SOURCES.values())
    assert len({one["uid"] for one in sources["datasources"]}) == 2
    hosts = [text for text in strings(sources) if "://" in text or "localhost" in text]
    assert hosts == []
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "tachograph.yaml").read_text())["providers"]
    assert provider["type"] == "file"
    mounts = re.findall(r'-v "\$PWD/(\S+?)":(\S+?):ro', (FOLDER / "README.md").read_text())
    inside = {inside: FOLDER.parents[1] / outside for outside, inside in mounts}
    assert inside[provider["options"]["path"]] == FOLDER / "dashboards"
    assert inside["/etc/grafana/provisioning"] == provisioning
