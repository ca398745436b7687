"""Runs a library's script in its environment; what each case gave.

In: a row of `libraries.LIBRARIES`. Out: the lines that the script prints, as objects. The environment has no more of
the product than its sources, and none of its extras.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from libraries import Library

import golden

SCRIPTS = Path(__file__).parent / "scripts"
RUN_SECONDS_MAX = 120


def lines(library: Library, *wanted: str) -> list[dict[str, Any]]:
    """A line for each case, and the last one. wanted: only cases whose names have one of these words."""
    python = str(golden.python(library.group))
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    given = {"PYTHONPATH": str(golden.ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1", **library.environment}
    outcome = subprocess.run(
        [python, str(SCRIPTS / library.script), *(wanted or library.wanted)],
        check=False,
        capture_output=True,
        text=True,
        cwd=golden.BUILT,
        timeout=RUN_SECONDS_MAX,
        env=kept | given,
    )
    if outcome.returncode:
        raise RuntimeError(f"{library.name}: {outcome.stderr[-4000:]}")
    return [json.loads(line) for line in outcome.stdout.splitlines() if line.startswith("{")]


def version(library: Library) -> str:
    """The version that the library's environment has."""
    locked = (golden.HERE / "venvs" / f"{library.group}.txt").read_text("utf-8")
    found = re.search(rf"^{re.escape(library.distribution)}==(\S+)", locked, re.MULTILINE)
    return found[1] if found else "?"
