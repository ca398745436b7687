"""Builds the gateway's tap: `tap/src/` becomes a library beside the gateway's code; git ignores it, a wheel holds it.

In: the sources, and a rustc of the machine that works; no cargo, no network. Out: the library, whole, or none: one that
is older than its sources is taken away where nothing can build it anew. What the tests load is built here too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
CRATE = HERE / "src" / "lib.rs"
LIBRARY = HERE.parent / "src" / "tachograph" / "capture" / "gateway" / "libtachograph_tap.so"
RUSTC_MIN = (1, 63)
MISSING = (
    "the gateway's tap is not built, all else is: no rustc 1.63 or newer with a C linker works here; "
    "who needs the gateway installs one (apt-get install rustc, or https://rustup.rs) and then installs this again"
)
# Looked at last: a shell that knows only its own folders need not name it.
ALSO = ("/usr/bin",)
SECONDS_MAX = 30
FAST = ("-Copt-level=3", "-Clto=fat", "-Ccodegen-units=1", "-Cstrip=symbols")
# What Envoy exports is found when it loads the library; elsewhere the linker does not ask before.
LINKED = ("-Clink-arg=-undefined", "-Clink-arg=dynamic_lookup") if sys.platform == "darwin" else ()


def build() -> str:
    """Build what is older than its sources; what stands in the way of it, in one line."""
    if not CRATE.is_file() or not _stale(LIBRARY, CRATE.parent):
        return ""
    rustc = working()
    if rustc is None:
        LIBRARY.unlink(missing_ok=True)
        return MISSING
    _compile(rustc, LIBRARY, (*FAST, *LINKED))
    return ""


def double(folder: Path) -> Path:
    """The tap with a double of Envoy around it (`tap/double/`), for the tests; not optimised, so overflows are told."""
    library = folder / "libenvoy_double.so"
    if _stale(library, HERE):
        rustc = working()
        if rustc is None:
            raise SystemExit(MISSING)
        _compile(rustc, library, ("--cfg", "double"))
    return library


def working() -> str | None:
    """The first rustc that says its version, new enough: one of rustup may have no toolchain behind it."""
    if shutil.which("cc", path=_path()) is None:
        return None
    for folder in _path().split(os.pathsep):
        rustc = shutil.which("rustc", path=folder)
        if rustc is not None and _version(rustc) >= RUSTC_MIN:
            return rustc
    return None


def _stale(library: Path, sources: Path) -> bool:
    """Is there a source that is newer than the library? This file is one: it says how."""
    if not library.is_file():
        return True
    made = library.stat().st_mtime
    return any(path.stat().st_mtime > made for path in (Path(__file__), *sources.rglob("*.rs")))


def _path() -> str:
    return os.pathsep.join([*os.get_exec_path(), *ALSO])


def _version(rustc: str) -> tuple[int, ...]:
    try:
        ran = _ran([rustc, "--version"], timeout=SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    said = re.match(r"rustc (\d+)\.(\d+)\.", ran.stdout)
    return tuple(map(int, said.groups())) if said and ran.returncode == 0 else ()


def _compile(rustc: str, library: Path, options: Sequence[str]) -> None:
    """Written beside and renamed: an Envoy that runs has the old file in its memory, and keeps it."""
    name = library.stem.removeprefix("lib")
    library.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=library.name + ".", dir=library.parent) as folder:
        made = Path(folder, library.name)
        # A panic unwinds: the tap catches it, and the bytes go on.
        command = [rustc, "--edition=2021", "--crate-type=cdylib", f"--crate-name={name}", "-Cpanic=unwind", *options]
        # The path of the source stands in the library as rustc is told it: without the folders of this machine.
        ran = _ran([*command, "-o", str(made), str(CRATE.relative_to(HERE.parent))])
        if ran.returncode:
            raise SystemExit(f"{library.name} is not built: {rustc} failed:\n{ran.stderr.strip()[-4000:]}")
        made.replace(library)


def _ran(command: Sequence[str], timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=HERE.parent,
        env={**os.environ, "PATH": _path()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
