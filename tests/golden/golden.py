"""Golden recordings: run a package's script against the simulated provider and keep what it exports.

In: a row of `listed.PACKAGES`. Out: its cases: what was exported, and what the provider really served. Environments are
built under `.servers/golden` when they are not there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from listed import GROUPS, PACKAGES, Package
from recorder import Case, Recorder

from tachograph.testing.provider import Provider

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILT = ROOT / ".servers" / "golden"
RUN_SECONDS_MAX = 240
INSTALL_SECONDS_MAX = 600


def python(group: str) -> Path:
    """The interpreter of a group's environment; built when it is not there."""
    wanted = HERE / "venvs" / f"{group}.txt"
    built, stamp = BUILT / group, BUILT / group / "installed.txt"
    if not stamp.is_file() or stamp.read_text("utf-8") != wanted.read_text("utf-8"):
        uv, environment = str(ROOT / ".uv" / "bin" / "uv"), os.environ | {"UV_SYSTEM_CERTS": "true"}
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", "python3", str(built)],
            [uv, "pip", "install", "--quiet", "--python", str(built), "-r", str(wanted)],
        ):
            subprocess.run(command, check=True, env=environment, timeout=INSTALL_SECONDS_MAX)
        stamp.write_text(wanted.read_text("utf-8"), "utf-8")
    return built / "bin" / "python"


def modules() -> Path:
    """The folder with the packages of Node; built when it is not there."""
    built = BUILT / "node"
    built.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        source, target = HERE / "node" / name, built / name
        if source.is_file() and (not target.is_file() or target.read_bytes() != source.read_bytes()):
            target.write_bytes(source.read_bytes())
            (built / "installed.txt").unlink(missing_ok=True)
    if not (built / "installed.txt").is_file():
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, check=True, cwd=built, timeout=INSTALL_SECONDS_MAX)
        (built / "installed.txt").write_text("", "utf-8")
    return built


def record(package: Package) -> list[Case]:
    """Run the package's script; the cases that it ran."""
    with Provider() as provider, Recorder(provider) as recorder:
        given = {"GOLDEN_PROVIDER": provider.url, "GOLDEN_RECORDER": recorder.url, **package.environment}
        given |= {"OTEL_EXPORTER_OTLP_ENDPOINT": recorder.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        limits = {"cwd": BUILT, "timeout": RUN_SECONDS_MAX, "check": False}
        outcome = subprocess.run(command(package), env=kept | given, capture_output=True, text=True, **limits)
        if outcome.returncode:
            raise RuntimeError(f"{package.name}: {outcome.stderr[-4000:]}")
        return [case for case in recorder.cases if case.name or any(case.messages.values())]


def command(package: Package) -> list[str]:
    """How to run the package's script."""
    if GROUPS[package.group] == "node":
        (modules() / "record.mjs").write_bytes((HERE / "node" / "record.mjs").read_bytes())
        return ["node", str(modules() / "record.mjs"), package.name]
    return [str(python(package.group)), str(HERE / "packages" / package.script), package.name]


def version(package: Package) -> str:
    """The version of the package's distribution that its environment has."""
    if GROUPS[package.group] == "node":
        text = (modules() / "node_modules" / package.distribution / "package.json").read_text("utf-8")
        return str(json.loads(text)["version"])
    locked = (HERE / "venvs" / f"{package.group}.txt").read_text("utf-8")
    found = re.search(rf"^{re.escape(package.distribution)}==(\S+)", locked, re.MULTILINE)
    return found[1] if found else "?"


def named(names: list[str]) -> list[Package]:
    """The rows of these names; all of them where there is none."""
    return [package for package in PACKAGES if not names or package.name in names]
