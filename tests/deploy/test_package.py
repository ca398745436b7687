"""What somebody installs: a wheel made from the sdist alone: screens, the tap, and nothing that only we need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tap import build

ROOT = Path(__file__).parents[2]
UV = ROOT / ".uv" / "bin" / "uv"
SECONDS_MAX = 300


def ran(*command: str | Path, cwd: Path, **more: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_a_wheel_of_the_sdist_serves_the_screens(tmp_path: Path) -> None:
    if not UV.exists() or shutil.which("npm") is None:
        pytest.skip("uv or npm is not installed: run make test-long")
    ran(UV, "build", "--quiet", "--out-dir", tmp_path, ROOT, cwd=tmp_path)  # the wheel is made from the sdist
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tachograph/web/site/index.html" in names
    made = build.CRATE.is_file() and build.working() is not None
    assert ("tachograph/capture/gateway/libtachograph_tap.so" in names) == made
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"tachograph"}
    assert not [name for name in names if "test_" in name or "node_modules" in name]
    installed = tmp_path / "installed"
    ran(UV, "pip", "install", "--quiet", "--no-deps", "--target", installed, wheel, cwd=tmp_path)
    asked = "import tachograph.web.site as site; print(site.__file__, *site.built().routes())"
    where, *routes = ran(sys.executable, "-c", asked, cwd=tmp_path, PYTHONPATH=str(installed)).split()
    assert where.startswith(str(installed))
    assert "/explore" in routes and any(route.endswith(".js") for route in routes)
