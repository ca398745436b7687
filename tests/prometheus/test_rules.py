"""The shipped configuration: valid, tested rule by rule, and about metrics that are on the page."""

from __future__ import annotations

import re

import pytest
from tests.prometheus.tools import RULES, promtool

from tachograph.health import COUNTERS, GAUGES
from tachograph.prometheus.families import families
from tachograph.prometheus.page import OWN, PREFIX

RULE_FILES = sorted(RULES.glob("*_rules.yml"))


def test_the_configuration_is_valid() -> None:
    code, said = promtool("check", "config", str(RULES / "prometheus.yml"))
    assert code == 0, said


def test_the_rules_are_valid_and_not_said_twice() -> None:
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, RULE_FILES))
    assert code == 0, said


@pytest.mark.parametrize("name", ["recording", "alerting"])
def test_the_rules_do_what_they_say(name: str) -> None:
    code, said = promtool("test", "rules", str(RULES / "tests" / f"{name}_rules_test.yml"))
    assert code == 0, said


def test_every_alert_and_every_record_has_a_test() -> None:
    tests = "".join(path.read_text() for path in (RULES / "tests").glob("*.yml"))
    rules = "".join(path.read_text() for path in RULE_FILES)
    alerts = re.findall(r"alert: (\w+)", rules)
    records = re.findall(r"record: (\S+)", rules)
    assert len(alerts) > 10
    assert [alert for alert in alerts if not re.search(rf"alertname: {alert}\n", tests)] == []
    assert [name for name in records if name not in tests and rules.count(name) < 2] == []


def test_the_rules_speak_of_metrics_that_are_on_the_page() -> None:
    known = {"up"}
    for family in families():
        endings = ("_bucket", "_count", "_sum") if family.bounds else ("",)
        known |= {family.name + ending for ending in endings}
    known |= {PREFIX + one.name for one in (*COUNTERS, *GAUGES)} | {name for name, *_ in OWN}
    for path in RULE_FILES:
        rules = re.sub(r"(?m)^\s*#.*$", "", path.read_text())
        records = set(re.findall(r"\w+:\w+:\w+", rules))
        plain = re.sub(r"\w+:\w+:\w+", "", rules)
        said = set(re.findall(r"\b(?:gen_ai_client|tachograph)_\w+", plain))
        groups = set(re.findall(r"- name: (\w+)", plain))
        assert said - known - groups == set(), path.name
        assert records <= set(re.findall(r"record: (\S+)", (RULES / "recording_rules.yml").read_text()))
