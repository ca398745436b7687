"""The API against its own description: schemathesis sends what the page allows and what it forbids.

Everything that schemathesis checks is on: no 5xx, only described statuses, content types, headers and bodies; valid
requests are accepted, invalid ones refused; undeclared methods are 405; a missing or wrong key is noticed.
The stream of calls and the pulse are left out, as their answers have no end: `test_stream` and `test_pulse` read them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.web.serving import NOW, parts_over, serving

from tachograph.access import Keys
from tachograph.store import Store

ROOT = Path(__file__).parents[2]
EXAMPLES, EXAMPLES_LONG = 15, 100


def check(address: str, folder: Path, examples: int, *options: str) -> None:
    words = ["run", address + "/api/v1/openapi.json", "--checks", "all"]
    words += ["--exclude-path", "/api/v1/calls/stream", "--exclude-path", "/api/v1/pulse"]
    words += ["--max-examples", str(examples), "--seed", "1", "--request-timeout", "30", "--continue-on-failure"]
    words += ["--suppress-health-check", "all", "--warnings", "off", *options]
    ran = subprocess.run(
        [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", *words],
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.web.schema_hooks", "PYTHONPATH": str(ROOT), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]


def beyond_loopback(store: Store, folder: Path, examples: int, *options: str) -> None:
    keys = Keys(folder / "tachograph.keys", lambda: NOW)
    token = keys.grant("schemathesis", ["admin"])
    with serving(parts_over(store, listen_host="0.0.0.0", keys=keys)) as address:
        check(address, folder, examples, "-H", f"Authorization: Bearer {token}", *options)


def test_beyond_loopback(store: Store, tmp_path: Path) -> None:
    beyond_loopback(store, tmp_path, EXAMPLES, "--phases", "examples,coverage,fuzzing")


@pytest.mark.long
def test_on_loopback(store: Store, tmp_path: Path) -> None:
    with serving(parts_over(store)) as address:
        check(address, tmp_path, EXAMPLES)


@pytest.mark.long
def test_beyond_loopback_with_many_requests(store: Store, tmp_path: Path) -> None:
    beyond_loopback(store, tmp_path, EXAMPLES_LONG)
