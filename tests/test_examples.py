"""Every example does what its page says: its commands are run as they stand there, against the simulated provider.

Only the addresses are replaced. What a command prints is compared with the page, and what was recorded with what the
provider served.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.ports import free_port

from tachograph.call import Call
from tachograph.capture.lines import read_calls
from tachograph.testing.provider import Provider

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
# Where each is installed: an environment of tests/golden/venvs.
GROUPS = {"script": "clients", "bedrock": "clients", "agent": "examples", "fastapi_service": "examples"}
LISTENS = {"TACHOGRAPH_LISTEN": "4180", "TACHOGRAPH_OTLP_HTTP": "4318"}
RUN_SECONDS_MAX = 120
START_SECONDS_MAX = 60


def blocks(example: str, language: str) -> list[str]:
    page = (EXAMPLES / example / "README.md").read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def shown(text: str) -> list[str]:
    """What is printed, without what differs from run to run: numbers, their units, widths."""
    return [word for word in re.sub(r"\d[\d.,:TZ-]*", "", text).split() if word not in ("ms", "s", "us")]


def eventually(found: Callable[[], Any]) -> Any:
    until = time.monotonic() + START_SECONDS_MAX
    while not (answer := found()) and time.monotonic() < until:
        time.sleep(0.1)
    assert answer, "it has not come in time"
    return answer


@dataclass(frozen=True)
class Terminal:
    """Where the commands of one page are run. ports: of the page -> of this run."""

    example: str
    folder: Path
    provider: Provider
    ports: dict[str, int]
    environment: dict[str, str]

    def run(self, *lines: str) -> str:
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._here(*lines)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    @contextlib.contextmanager
    def running(self, *lines: str) -> Iterator[None]:
        """A command that goes on: the last line."""
        *before, last = self._here(*lines).strip().splitlines()
        script = "\n".join([*before, "exec " + last])
        with (self.folder / "running.log").open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", script], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=RUN_SECONDS_MAX)

    def calls(self) -> list[Call]:
        found = [line.call for line in read_calls(self.folder / "calls.jsonl")]
        assert None not in found
        return [call for call in found if call is not None]

    def _here(self, *lines: str) -> str:
        text = "\n".join(lines)
        for page, port in self.ports.items():
            text = text.replace(f":{page}", f":{port}").replace(f"--port {page}", f"--port {port}")
        return text


@pytest.fixture
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    sys.path.append(str(ROOT / "tests" / "golden"))
    import golden

    example: str = request.param
    try:
        python = golden.python(GROUPS[example])
    except golden.Unavailable as missing:
        pytest.skip(str(missing))
    (tmp_path / "examples").symlink_to(EXAMPLES)
    # The example's own packages come first; of ours it has the sources, and the command line.
    path = os.pathsep.join([str(python.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    given = {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    with Provider() as provider:
        ports = {"4182": int(provider.url.rpartition(":")[2])}
        yield Terminal(example, tmp_path, provider, ports, kept | given)


def recorded(terminal: Terminal) -> list[Call]:
    """What was recorded; it is what was served."""
    calls, served = terminal.calls(), terminal.provider.served
    facts = [(call.request_model, call.response_model, call.streamed, call.status) for call in calls]
    assert facts == [(each.request_model, each.response_model, each.streamed, each.status) for each in served]
    tokens = [(call.input_tokens, call.output_tokens or 0) for call in calls]
    truths = [each.scenario.truth for each in served]
    embeds = [each.api == "embeddings" for each in served]
    assert tokens == [
        (truth.input_tokens, 0 if embedded else truth.output_tokens)
        for truth, embedded in zip(truths, embeds, strict=True)
    ]
    assert {call.usage_source for call in calls} == {"reported"}
    return calls


def each(*examples: str) -> Any:
    return pytest.mark.parametrize("terminal", examples, indirect=True)


@pytest.mark.parametrize("example", GROUPS)
def test_what_an_example_needs_is_what_it_is_tried_with(example: str) -> None:
    locked = (ROOT / "tests" / "golden" / "venvs" / f"{GROUPS[example]}.txt").read_text("utf-8")
    names = re.findall(r"^([\w-]+)", (EXAMPLES / example / "requirements.txt").read_text("utf-8"), re.MULTILINE)
    assert [name for name in names if f"\n{name}==" not in f"\n{locked}"] == ["tachograph"]
    install, *_ = blocks(example, "sh")
    assert install == f"pip install -e '.[server]' -r examples/{example}/requirements.txt\n"


def test_every_example_is_tried() -> None:
    folders = {path.parent.name for path in EXAMPLES.glob("*/README.md")}
    assert folders == set(GROUPS)


@pytest.mark.long
@each("script")
def test_the_script(terminal: Terminal) -> None:
    exported, run = blocks("script", "sh")[1:]
    printed = terminal.run(exported, run)
    assert printed.startswith("The answer is forty-two.\n" * 2 + "calls.jsonl\n3 calls, 0 errors, ")
    plain, streamed, embedded = recorded(terminal)
    assert [call.operation for call in (plain, streamed, embedded)] == ["chat", "chat", "embeddings"]
    assert streamed.ttft_ms is not None and plain.ttft_ms is None


@pytest.mark.long
@each("bedrock")
def test_bedrock(terminal: Terminal) -> None:
    exported, run = blocks("bedrock", "sh")[1:]
    printed = terminal.run(exported, run)
    assert printed.startswith("The answer is forty-two.\n" * 2 + "calls.jsonl\n2 calls, 0 errors, ")
    calls = recorded(terminal)
    facts = [(call.provider, call.vendor, call.team, call.feature) for call in calls]
    assert facts == [("aws.bedrock", "anthropic", "research", "arithmetic")] * 2


@pytest.mark.long
@each("script", "bedrock")
def test_the_summary_is_what_the_page_shows(terminal: Terminal) -> None:
    exported, run = blocks(terminal.example, "sh")[1:]
    (page,) = blocks(terminal.example, "text")
    assert shown(terminal.run(exported, run)) == shown(page)


@pytest.mark.long
@each("agent")
def test_the_agent(terminal: Terminal) -> None:
    exported, run = blocks("agent", "sh")[1:]
    (page,) = blocks("agent", "text")
    assert [line.rstrip() for line in terminal.run(exported, run).splitlines()] == page.splitlines()
    calls = recorded(terminal)
    assert [(call.conversation_id, call.experiment, call.arm) for call in calls] == [
        *[("weather-control", "smaller-model", "control")] * 3,
        *[("weather-smaller", "smaller-model", "smaller")] * 3,
    ]
    assert [call.finish_reason for call in calls] == ["tool_calls", "stop", "stop"] * 2


@pytest.mark.long
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here: install the package curl")
@each("fastapi_service")
def test_the_service(terminal: Terminal) -> None:
    _, collect, exported, serve, ask, look = blocks("fastapi_service", "sh")
    answer, asked = blocks("fastapi_service", "text")
    terminal.ports.update({page: free_port() for page in ("8000", "4318", "4180")})
    collector = {name: f"127.0.0.1:{terminal.ports[port]}" for name, port in LISTENS.items()}
    terminal.environment.update(collector, TACHOGRAPH_OTLP_GRPC="")
    with terminal.running(collect), terminal.running(exported, serve):
        eventually(lambda: found(f"http://127.0.0.1:{terminal.ports['4180']}/api/v1/health"))
        eventually(lambda: found(f"http://127.0.0.1:{terminal.ports['8000']}/metrics"))
        said = terminal.run(ask).splitlines()
        assert [line for line in said if not line.startswith(("date:", "content-length:"))] == answer.splitlines()
        told = "tachograph ask calls,cost_usd --by team,customer,user_id,feature,service --json"
        (row,) = eventually(lambda: json.loads(terminal.run(told))["rows"])
        assert row == {
            **{"team": "support", "customer": "acme", "user_id": "ann", "feature": "answer", "service": "helpdesk"},
            **{"calls": 1, "cost_usd": 2.775e-05},
        }
        looked = [line.split() for line in terminal.run(look).splitlines()]
        assert looked[:2] == [line.split() for line in asked.splitlines()]
        page = found(f"http://127.0.0.1:{terminal.ports['8000']}/metrics")
    assert scraped(page, "gen_ai_client_token_usage_sum", "gen_ai_token_type") == {"input": 23.0, "output": 11.0}
    assert scraped(page, "gen_ai_client_operation_duration_seconds_count", "gen_ai_provider_name") == {"openai": 1.0}


def found(url: str) -> str:
    """The page; nothing where nobody answers yet."""
    try:
        return httpx2.get(url, trust_env=False).raise_for_status().text
    except httpx2.TransportError:
        return ""


def scraped(page: str, name: str, label: str) -> dict[str, float]:
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {sample.labels[label]: sample.value for sample in samples if sample.name == name}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here: install the package prometheus")
def test_prometheus_takes_the_scrape_config() -> None:
    file = EXAMPLES / "fastapi_service" / "prometheus.yml"
    checked = subprocess.run(["promtool", "check", "config", str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
