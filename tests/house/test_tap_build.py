"""The gateway's tap is built by the build of the package: where it must be, whole, and no install suffers from it.

All on a copy of the tree's build with a source of a few lines; compiling the tap itself takes much longer.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from tap import build

ROOT = Path(__file__).parents[2]
UV = ROOT / ".uv" / "bin" / "uv"
SAYS = '#[no_mangle]\npub extern "C" fn said() -> u32 {{\n    {}\n}}\n'
LIBRARY_IN_WHEEL = "tachograph/capture/gateway/libtachograph_tap.so"
SECONDS_MAX = 120

with_rustc = pytest.mark.skipif(build.working() is None, reason="rustc is not installed")
with_uv = pytest.mark.skipif(not UV.exists(), reason="uv is not installed: run make test")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The build of a tree with one source; it does not optimise, and knows no folder beside the path."""
    path = tmp_path / "tap" / "build.py"
    (path.parent / "src").mkdir(parents=True)
    (tmp_path / "src" / "tachograph" / "capture" / "gateway").mkdir(parents=True)
    text = path_of(build).read_text("utf-8")
    path.write_text(re.sub(r"(?m)^(ALSO|FAST) = .*$", r"\1 = ()", text))
    (path.parent / "src" / "lib.rs").write_text(SAYS.format(1))
    spec = spec_from_file_location("copied_build", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (module.ALSO, module.FAST) == ((), ())
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], *build.ALSO]))
    return module


def path_of(module: ModuleType) -> Path:
    assert module.__file__ is not None
    return Path(module.__file__)


def write(path: Path, text: str, seconds_later: int) -> None:
    """A source that was written so much later than whatever the build has made."""
    path.write_text(text)
    later = path.stat().st_mtime + seconds_later
    os.utime(path, (later, later))


def beside(module: ModuleType) -> list[str]:
    return [path.name for path in module.LIBRARY.parent.iterdir()]


@with_rustc
def test_a_library_is_made_anew_only_where_a_source_is_newer(copied: ModuleType) -> None:
    part = copied.CRATE.with_name("part.rs")
    part.write_text("pub const PART: u32 = 1;\n")
    copied.CRATE.write_text("mod part;\n" + SAYS.format("part::PART"))
    assert copied.build() == ""
    first, before = ctypes.CDLL(str(copied.LIBRARY)), copied.LIBRARY.stat()
    assert first.said() == 1
    assert copied.build() == ""
    assert copied.LIBRARY.stat() == before
    write(part, "pub const PART: u32 = 2;\n", 60)
    assert copied.build() == ""
    assert copied.LIBRARY.stat().st_ino != before.st_ino
    assert beside(copied) == [copied.LIBRARY.name]
    anew = copied.LIBRARY.rename(copied.LIBRARY.with_name("anew.so"))  # a name is loaded once in a process
    assert ctypes.CDLL(str(anew)).said() == 2
    assert first.said() == 1  # who has the old one loaded keeps it


@with_rustc
def test_what_rustc_says_is_shown_and_the_library_stays_whole(copied: ModuleType) -> None:
    copied.build()
    before = copied.LIBRARY.stat()
    write(copied.CRATE, SAYS.format("nowhere_defined"), 60)
    with pytest.raises(SystemExit, match=r"libtachograph_tap\.so is not built(.|\n)*nowhere_defined"):
        copied.build()
    assert copied.LIBRARY.stat() == before
    assert beside(copied) == [copied.LIBRARY.name]


def test_without_sources_there_is_nothing_to_build(copied: ModuleType) -> None:
    copied.CRATE.unlink()
    assert copied.build() == ""
    assert beside(copied) == []


def test_without_a_rustc_it_says_what_to_do_and_leaves_no_older_library(
    copied: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    copied.LIBRARY.write_bytes(b"older")
    os.utime(copied.LIBRARY, (1, 1))
    said = copied.build()
    assert len(said.splitlines()) == 1
    assert "apt-get install rustc" in said and "rustup.rs" in said
    assert beside(copied) == []
    with pytest.raises(SystemExit, match="apt-get install rustc"):
        copied.double(tmp_path)


@with_rustc
@pytest.mark.parametrize(
    "instead",
    [
        "#!/bin/sh\necho 'error: no default toolchain is configured' >&2\nexit 1\n",
        "#!/bin/sh\necho 'rustc 1.95.0'\nexit 1\n",
        "#!/bin/sh\necho 'rustc 1.62.1 (e092d0b6b 2022-07-16)'\n",
        "#!/bin/sh\necho 'rustc 0.99.0'\n",
        "#!/bin/sh\n",
        "#!/nowhere/sh\n",
    ],
)
def test_a_rustc_that_does_not_work_is_passed_over(
    copied: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instead: str
) -> None:
    works = copied.working()
    (tmp_path / "rustc").write_text(instead)
    (tmp_path / "rustc").chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    assert shutil.which("rustc") == str(tmp_path / "rustc")
    assert copied.working() == works


def test_a_rustc_without_a_linker_does_not_work(
    copied: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("rustc", "cc"):
        assert copied.working() is None
        (tmp_path / name).write_text("#!/bin/sh\necho 'rustc 1.63.0'\n")
        (tmp_path / name).chmod(0o755)
    assert copied.working() == str(tmp_path / "rustc")


@with_rustc
def test_the_double_is_built_where_it_is_wanted(copied: ModuleType, tmp_path: Path) -> None:
    copied.CRATE.write_text("#[cfg(double)]\n" + SAYS.format(7))
    library = tmp_path / "new" / "libenvoy_double.so"
    assert copied.double(library.parent) == library
    assert ctypes.CDLL(str(library)).said() == 7
    assert beside(copied) == []
    before = library.stat()
    assert copied.double(library.parent) == library
    assert library.stat() == before
    (copied.HERE / "double").mkdir()
    write(copied.HERE / "double" / "double.rs", "", 60)
    assert copied.double(library.parent) == library
    assert library.stat().st_ino != before.st_ino


def packed(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The tree as an sdist and as a wheel, made as pip makes one; the screens are there already."""
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    shutil.copy(ROOT / "src" / "tachograph" / "version.py", root / "src" / "tachograph")
    site = root / "src" / "tachograph" / "web" / "site"
    site.mkdir(parents=True)
    (site / "index.html").touch()
    command = [UV, "build", "--sdist", "--wheel", "--python", sys.executable, "--out-dir", root / "dist", root]
    return subprocess.run(
        list(map(str, command)),
        env={**os.environ, "UV_SYSTEM_CERTS": "true", **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def wheel(root: Path) -> tuple[str, list[str], str]:
    """(tags, names of the files, what it says of itself) of the one that was made."""
    (made,) = (root / "dist").glob("*.whl")
    with zipfile.ZipFile(made) as archive:
        (about,) = [name for name in archive.namelist() if name.endswith("/WHEEL")]
        return made.stem.split("-", 2)[2], archive.namelist(), archive.read(about).decode()


@with_rustc
@with_uv
def test_a_wheel_with_the_tap_is_for_one_platform(copied: ModuleType, tmp_path: Path) -> None:
    done = packed(tmp_path)
    assert done.returncode == 0, done.stderr
    tags, names, about = wheel(tmp_path)
    assert re.fullmatch(r"py3-none-(linux|macosx_\d+_\d+)_\w+", tags)
    assert f"Tag: {tags}\n" in about and "Root-Is-Purelib: false\n" in about
    assert LIBRARY_IN_WHEEL in names
    assert ctypes.CDLL(str(copied.LIBRARY)).said() == 1


@with_rustc
@with_uv
def test_an_sdist_holds_what_the_tap_is_made_of(copied: ModuleType, tmp_path: Path) -> None:
    copied.build()
    assert packed(tmp_path).returncode == 0
    (made,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(made) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"hatch_build.py", "tap/build.py", "tap/src/lib.rs"} <= names
    assert not [name for name in names if name.endswith(".so")]


@with_uv
def test_a_wheel_without_the_tap_is_for_all_and_says_so(copied: ModuleType, tmp_path: Path) -> None:
    done = packed(tmp_path, PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    tags, names, about = wheel(tmp_path)
    assert tags == "py3-none-any"
    assert "Root-Is-Purelib: true\n" in about
    assert "tachograph/version.py" in names and LIBRARY_IN_WHEEL not in names
    assert copied.MISSING in done.stdout + done.stderr


@with_rustc
@with_uv
def test_a_source_that_is_broken_fails_the_build(copied: ModuleType, tmp_path: Path) -> None:
    copied.CRATE.write_text(SAYS.format("nowhere_defined"))
    done = packed(tmp_path)
    assert done.returncode != 0
    assert "nowhere_defined" in done.stderr
