"""The rules of the house that a program can hold: sizes, names, and what the repository must not say."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
RUST = sorted((ROOT / "tap").rglob("*.rs"))

FILE_LINES_MAX = 480
FUNCTION_LINES_MAX = 60
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base", "stuff"}
CLOCKLESS = ("wire", "dialects", "pricing", "call.py", "series.py", "summary.py", "normalise", "when.py", "testing")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def functions() -> Iterator[tuple[str, int]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", lines


def test_files_are_small() -> None:
    large = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in (*SOURCES, *RUST)}
    assert {name: lines for name, lines in large.items() if lines > FILE_LINES_MAX} == {}


def test_functions_are_small() -> None:
    sizes = dict(functions())
    assert {name: lines for name, lines in sizes.items() if lines > FUNCTION_LINES_MAX} == {}
    assert statistics.median(sizes.values()) <= 8


def test_files_of_tests_have_names_of_their_own() -> None:
    """Two of one name cannot be collected together."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_vague_names() -> None:
    names = {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES}
    assert names & BANNED_NAMES == set()


def test_every_module_opens_with_its_contract() -> None:
    silent = [str(path.relative_to(ROOT)) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_the_core_has_no_clock() -> None:
    reading = re.compile(r"\b(datetime\.now|utcnow|time\.time|perf_counter|monotonic|date\.today)\b")
    core = [path for path in SOURCES if path.relative_to(ROOT / "src" / "tachograph").parts[0] in CLOCKLESS]
    assert len(core) > 20
    assert [str(path) for path in core if reading.search(path.read_text("utf-8"))] == []


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert [str(path) for path in SOURCES if marks.search(path.read_text("utf-8"))] == []


def test_the_repository_speaks_of_the_product_only() -> None:
    hosts = ["files.python", "pypi", "registry.npm", "crates", "proxy.golang", "repo.maven"]
    hosts = [start + end for start, end in zip(hosts, ["hosted", ".org", "js", ".io", ".org", ".apache"], strict=True)]
    paths = ["/" + folder + "/" for folder in ("work", "root")]
    said = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        said += [f"{path.relative_to(ROOT)}: {word}" for word in hosts + paths if word in text]
    assert said == []


def test_links_of_the_documents_lead_somewhere() -> None:
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if not target.startswith(("http://", "https://")) and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_architecture_fits_on_few_pages() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines()) <= 150
