"""What the documents show works: the price file, and every command of the README, in its order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from tests.capture.gateway.envoys import binary
from tests.ports import free_ports

from tachograph.call import Call
from tachograph.pricing import price_book

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    """What stands between fences; a closing fence opens nothing."""
    _, *fenced = re.split(r"^```(.*)\n", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE)
    return [text for named, text in zip(fenced[::4], fenced[1::4], strict=True) if named == language]


def test_the_price_file_of_the_page_is_one() -> None:
    (text,) = blocks("docs/prices.md", "toml")
    book = price_book(tomllib.loads(text))
    call = Call(provider="vllm", request_model="acme/support-7b", started_at=datetime(2026, 11, 1, tzinfo=UTC))
    call.input_uncached, call.output_visible = 1_000_000, 0
    charge = book.charge(call)
    # 4 x 2.50 x 1,000,000 / (3,600,000 x 0.60)
    assert (charge.cost_usd, charge.cost_source) == (Decimal("4.6296296296"), "amortised")


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    shown = [line for block in blocks("README.md", "") for line in block.splitlines()]
    lines = [line for line in shown if line.startswith("tachograph ")]
    assert len(lines) >= 7
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in lines:
        ran = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, (line, ran.stderr)
        assert ran.stdout or ">" in line, line
    assert (tmp_path / "calls.jsonl").stat().st_size > 5000


@pytest.mark.long
def test_the_gateway_of_the_readme_runs(tmp_path: Path) -> None:
    binary()
    (block,) = blocks("README.md", "sh")
    api, door, provider = free_ports(3)
    told = {"LISTEN": f"127.0.0.1:{api}", "OTLP_HTTP": "", "OTLP_GRPC": "", "GATEWAY": f"127.0.0.1:{door}"}
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {f"TACHOGRAPH_{name}": value for name, value in told.items()} | {"no_proxy": "127.0.0.1"}
    for page, port in ((4181, door), (4182, provider)):
        assert f"{page}" in block
        block = block.replace(f"{page}", f"{port}")
    with subprocess.Popen(["tachograph", "up"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout is not None
            assert any("gateway on" in line for line in iter(up.stdout.readline, ""))
            command = ["bash", "-c", block + "kill %1\n"]
            ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        finally:
            up.send_signal(signal.SIGTERM)
    assert ran.returncode == 0, ran.stderr
    assert '"usage"' in ran.stdout
    assert re.search(r"search .* 1 ", ran.stdout), ran.stdout


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    (block,) = blocks("README.md", "python")
    make = f"tachograph read {ROOT / 'examples' / 'recordings'} > calls.jsonl && tachograph import calls.jsonl"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", make], cwd=tmp_path, env=environment, check=True, capture_output=True)
    shown = block + "print(len(calls), sorted(set(costs.provider)))\n"
    ran = subprocess.run([sys.executable, "-c", shown], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("9 ['anthropic', 'aws.bedrock', ")
