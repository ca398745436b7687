"""Programs of the Debian package `prometheus`; where it is not installed, what needs them is skipped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: it comes with the Debian package prometheus")
    return found


def promtool(*arguments: str, page: bytes = b"") -> tuple[int, str]:
    """(exit code, everything it said)."""
    ran = subprocess.run(
        [program("promtool"), *arguments],
        check=False,
        input=page,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    return ran.returncode, ran.stdout.decode()
