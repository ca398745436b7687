"""Golden recordings: run a package's script against the simulated provider and keep what it exports.

In: a row of `listed.PACKAGES`. Out: its cases: what was exported, and what the provider really served. Environments are
built under `.servers/golden` when they are not there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
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


class Unavailable(Exception):
    """An environment cannot be built here."""


def _built(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    """Run a step that installs."""
    try:
        subprocess.run(command, check=True, cwd=folder, env=environment, timeout=INSTALL_SECONDS_MAX)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"cannot be installed here: {error}") from error


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
            _built(command, ROOT, environment)
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
        _built(command, built)
        (built / "installed.txt").write_text("", "utf-8")
    return built


def classes() -> Path:
    """The folder with the compiled recorder of Spring AI and its libraries; built when it is not there."""
    built, source = BUILT / "spring", HERE / "spring"
    wanted = "".join(path.read_text("utf-8") for path in sorted(source.rglob("*.*")) if path.is_file())
    stamp = built / "installed.txt"
    if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
        shutil.copytree(source, built, dirs_exist_ok=True)
        copying = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=target/lib"]
        _built(["mvn", "-q", "-B", "compile", *copying], built)
        stamp.write_text(wanted, "utf-8")
    return built / "target"


def record(package: Package) -> list[Case]:
    """Run the package's script; the cases that it ran."""
    with Provider() as provider, Recorder(provider) as recorder:
        given = {"GOLDEN_PROVIDER": provider.url, "GOLDEN_RECORDER": recorder.url, **package.environment}
        given |= {"OTEL_EXPORTER_OTLP_ENDPOINT": recorder.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        limits = {"cwd": BUILT, "timeout": RUN_SECONDS_MAX, "env": kept | given}
        outcome = subprocess.run(command(package), check=False, capture_output=True, text=True, **limits)
        if outcome.returncode:
            raise RuntimeError(f"{package.name}: {outcome.stderr[-4000:]}")
        return [case for case in recorder.cases if case.name or any(case.messages.values())]


def command(package: Package) -> list[str]:
    """How to run the package's script."""
    if GROUPS[package.group] == "node":
        (modules() / "record.mjs").write_bytes((HERE / "node" / "record.mjs").read_bytes())
        return ["node", str(modules() / "record.mjs"), package.name]
    if GROUPS[package.group] == "maven":
        built = classes()
        return ["java", "-cp", f"{built / 'classes'}:{built / 'lib'}/*", "golden.Recording"]
    return [str(python(package.group)), str(HERE / "packages" / package.script), package.name]


def pinned(package: Package) -> str:
    """The package's distribution and the version that its environment has."""
    if GROUPS[package.group] == "node":
        text = (modules() / "node_modules" / package.distribution / "package.json").read_text("utf-8")
        found = json.loads(text)
        return f"{found['name']}=={found['version']}"
    if GROUPS[package.group] == "maven":
        text = (HERE / "spring" / "pom.xml").read_text("utf-8")
        return f"{package.distribution}=={text.partition('<spring-ai.version>')[2].partition('<')[0]}"
    locked = (HERE / "venvs" / f"{package.group}.txt").read_text("utf-8")
    found = re.search(rf"^{re.escape(package.distribution)}==(\S+)", locked, re.MULTILINE)
    return f"{package.distribution}=={found[1] if found else '?'}"


def named(names: list[str]) -> list[Package]:
    """The rows of these names; all of them where there is none."""
    return [package for package in PACKAGES if not names or package.name in names]
