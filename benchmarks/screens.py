"""The screens' figures: how soon a page can be used with 20 million stored calls, and what ten readers cost the doors.

    python -m benchmarks.screens [--rows 20000000] [--loads 5] [--doors-seconds 10]

Needs Chromium (`apt install chromium`).
  paint    from the request for the page to the first paint that has something on it
  click    from the click on a page, in the open application, to the moment when nothing that is on the screen
           (1440 x 900) waits for an answer any more
  usable   the same, from the request for the page in a new tab
  whole    and nothing below it either
  first    usable, on the first visit: the browser begins with nothing, its own start is in the figure
  chart    100,000 points in one: how long it takes to draw, and each frame while the mouse moves over it
  answers  what each answer of the API took, as the browser measured it: in the open application and in a new tab, where
           the browser starts on the cores that answer
Each page is loaded in a new tab of a browser that was here before, for a day and for 30 days; the first load is not
counted. The browser works on the same two cores as the server. Every load asks for a range of its own that begins and
ends in the middle of an hour, as "the last 24 hours" does: no answer is there yet. The doors are loaded with as many
spans as they take (benchmarks.collector_load) in windows that alternate: nobody looks, ten readers look. A reader asks
what an open overview asks (recorded in the browser), again whenever it would, and follows the live stream; readers have
no screen, since drawing is not the server's work.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright
from playwright.sync_api import Page as Tab

from benchmarks import peers
from benchmarks.collector import Figures, window
from benchmarks.peers import CannotStart, Collector, asked
from benchmarks.store import UNTIL_AT, loaded

PAGES = ("/", "/explore", "/calls", "/models", "/people", "/errors", "/health", "/connect")
SPANS_OF_TIME = {"24h": timedelta(hours=24), "30d": timedelta(days=30)}
RAGGED = timedelta(minutes=41, seconds=17)
TARGETS = {"usable ms": 500.0, "answers p95 ms": 300.0, "paint ms": 1000.0, "doors": 0.10}
MOMENT = re.compile(r"20\d\d-\d\d-\d\dT[^&]*")
CHART_POINTS, CHART_MOVES, CHART_FRAME_MS = 100_000, 200, 50
READERS = 10
REST_SECONDS = 0.5
USABLE_SECONDS_MAX = 60.0
CONNECTIONS = 64
DOORS_ROUNDS = 6

# After how long nothing on the screen waited any more, and nothing at all: since the request for the page, or since the
# click on the page of that path. The page itself looks: to ask it from outside again and again takes the time that is
# measured.
SETTLED = """([path, until]) => new Promise(done => {
    const links = [...document.querySelectorAll('nav a')];
    const link = path === null ? null : links.find(each => new URL(each.href).pathname === path);
    const began = link ? performance.now() : 0;
    link?.click();
    let usable = null;
    const look = () => {
        const painted = performance.getEntriesByType('paint').length > 0;
        if (document.querySelector('.side') === null || !painted) return false;
        if (link && link.getAttribute('aria-current') !== 'page') return false;
        const waiting = [...document.querySelectorAll('.waiting, [aria-busy="true"]')];
        if (!waiting.some(each => each.getBoundingClientRect().top < innerHeight)) usable ??= performance.now() - began;
        if (waiting.length === 0) done([usable, performance.now() - began]);
        return waiting.length === 0; };
    const again = () => look() || (performance.now() - began > until ? done(null) : setTimeout(again, 5));
    again(); })"""
# Notes how long each frame took from now on.
FRAMES = """() => {
    window.frames_ms = [];
    let last = null;
    const frame = now => {
        if (last !== null) window.frames_ms.push(now - last);
        last = now;
        requestAnimationFrame(frame); };
    requestAnimationFrame(frame); }"""
# The legend hides a line and shows it again: the chart is drawn anew.
DRAWN = """() => new Promise(done => {
    const began = performance.now();
    document.querySelector('.legend-entry').click();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began))); })"""
TIMES = """() => ({
    paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null,
    answers: performance.getEntriesByType('resource').filter(each => each.name.includes('/api/v1/')
        && !/stream|pulse/.test(each.name)).map(each => [each.name.replace(location.origin, ''), each.duration])})"""
FORGET = "() => performance.clearResourceTimings()"


@dataclass
class Page:
    """What the loads of one page took, in milliseconds. answers: by the address asked, moments left out; those in a new
    tab and, beside them, those after a click.
    """

    paint: list[float] = field(default_factory=list)
    usable: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    click: list[float] = field(default_factory=list)
    first: float = 0.0
    answers: dict[str, list[float]] = field(default_factory=dict)
    clicked: list[float] = field(default_factory=list)

    @property
    def new(self) -> list[float]:
        """The answers in a new tab, of whatever address."""
        return [took for each in self.answers.values() for took in each]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--loads", type=int, default=5, help="loads of each page that count")
    parser.add_argument(
        "--doors-seconds", type=float, default=10.0, help="length of a window of load; 0: only the pages"
    )
    told = parser.parse_args()
    store = loaded(told.rows)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="screens-", dir=peers.DATA)))
        shutil.copytree(store, folder / "data", symlinks=True)  # what the doors take in shall not be there next time
        long = {"TACHOGRAPH_MINUTE_DAYS": "3650"}  # the calls lie in the past
        collector = stack.enter_context(peers.tachograph(folder, **long))
        browser = stack.enter_context(chromium())
        pages(browser, collector, told.rows, told.loads)
        chart(browser, collector)
        if told.doors_seconds:
            doors(browser, collector, told.doors_seconds, folder)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a screen."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise CannotStart("chromium is not installed: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def pages(browser: Browser, collector: Collector, rows: int, loads: int) -> None:
    """Every page, for the last day and for 30 days."""
    origin = collector.api.removesuffix("/api/v1")
    print(f"{rows:,} calls; {loads} loads of each page; milliseconds, median (slowest)\n")
    heads = f"{'page':12}{'range':>6}{'paint':>14}{'click':>16}{'usable':>16}{'whole':>8}{'first':>8}"
    print(f"{heads}{'answers p50':>14}{'p95':>8}{'clicked':>9}{'asks':>6}  slowest answer")
    every: dict[str, list[Page]] = {name: [] for name in SPANS_OF_TIME}
    for name, span in SPANS_OF_TIME.items():
        for path in PAGES:
            page = measured(browser, origin, path, span, loads)
            every[name].append(page)
            show(path, name, page)
    for name, found in every.items():
        usable = max(statistics.median(page.usable) for page in found)
        click = max(statistics.median(page.click) for page in found)
        after_click = percentile([took for page in found for took in page.clicked], 0.95)
        new = percentile([took for page in found for took in page.new], 0.95)
        paint = max(statistics.median(page.paint) for page in found)
        print(
            f"\n{name}: slowest page usable {click:.0f} ms after a click {verdict(click <= TARGETS['usable ms'])}, "
            f"in a new tab after {usable:.0f} ms {verdict(usable <= TARGETS['usable ms'])}, "
            f"p95 of answers {after_click:.0f} ms {verdict(after_click <= TARGETS['answers p95 ms'])}, "
            f"in a new tab {new:.0f} ms {verdict(new <= TARGETS['answers p95 ms'])}, "
            f"first paint {paint:.0f} ms {verdict(paint <= TARGETS['paint ms'])}"
        )


def chart(browser: Browser, collector: Collector) -> None:
    """A chart of 100,000 points, made up on the way to the browser: how it is drawn, and how it moves under a mouse."""
    origin = collector.api.removesuffix("/api/v1")
    with contextlib.closing(browser.new_context(viewport={"width": 1440, "height": 900})) as visitor:
        visitor.route(re.compile(r"/api/v1/ask\?.*step="), lambda route: route.fulfill(json=made_up(CHART_POINTS)))
        with contextlib.closing(visitor.new_page()) as opened:
            opened.goto(f"{origin}/explore{ranged(timedelta(hours=24), 0)}", wait_until="commit")
            settled(opened)
            plot = opened.locator(".plot").first
            box = plot.bounding_box()
            assert box is not None
            opened.evaluate(FRAMES)
            for step in range(CHART_MOVES):
                opened.mouse.move(
                    box["x"] + 60 + step * (box["width"] - 80) / CHART_MOVES, box["y"] + box["height"] / 2
                )
            frames = sorted(opened.evaluate("() => window.frames_ms"))
            drawn = opened.evaluate(DRAWN)
    late = sum(took > CHART_FRAME_MS for took in frames) / len(frames)
    slow = (
        f"p50 {percentile(frames, 0.5):.0f} ms, p95 {percentile(frames, 0.95):.0f} ms, {late:.0%} over {CHART_FRAME_MS}"
    )
    print(f"\na chart of {CHART_POINTS:,} points: drawn anew in {drawn:.0f} ms; {len(frames)} frames of moving, {slow}")


def made_up(points: int) -> dict[str, Any]:
    """An answer of eight models, one after another."""
    times, until = points // 8, UNTIL_AT
    rows = [
        {"time": stamp(until - timedelta(seconds=6 * (times - at))), "model": f"model-{model + 9}", "cost_usd": cost}
        for at in range(times)
        for model, cost in ((model, (at * (model + 3)) % 97 / 10) for model in range(8))
    ]
    since = stamp(until - timedelta(seconds=6 * times))
    return {
        "table": "minute", "since": since, "until": stamp(until), "step_seconds": 6, "by": ["model"],
        "measures": {"cost_usd": "USD"}, "rows": rows,
    }  # fmt: skip


def stamp(moment: Any) -> str:
    return str(moment.isoformat().replace("+00:00", "Z"))


def ranged(span: timedelta, number: int) -> str:
    """A range of that length, which no other number has."""
    until = UNTIL_AT - RAGGED - timedelta(seconds=7 * number)
    return f"?since={stamp(until - span)}&until={stamp(until)}"


def measured(browser: Browser, origin: str, path: str, span: timedelta, loads: int) -> Page:
    """One page, loaded and clicked on so many times and once before."""
    page = Page()
    with contextlib.closing(browser.new_context(viewport={"width": 1440, "height": 900})) as visitor:
        for number in range(loads + 1):
            times, usable, whole = loaded_once(visitor, origin + path + ranged(span, 2 * number))
            time.sleep(REST_SECONDS)  # what the browser does when a tab is closed shall not be in the next
            clicked, answers = clicked_once(visitor, origin, path, ranged(span, 2 * number + 1))
            time.sleep(REST_SECONDS)
            if number == 0:
                page.first = usable
                continue
            page.paint.append(times["paint"] or usable)
            page.usable.append(usable)
            page.whole.append(whole)
            page.click.append(clicked)
            page.clicked += answers
            for asked_for, took in times["answers"]:
                page.answers.setdefault(MOMENT.sub("...", asked_for), []).append(took)
    return page


def loaded_once(visitor: BrowserContext, address: str) -> tuple[dict[str, Any], float, float]:
    """What the browser measured, when the page was usable, and when it was whole."""
    with contextlib.closing(visitor.new_page()) as opened:
        opened.goto(address, wait_until="commit")
        usable, whole = settled(opened)
        return opened.evaluate(TIMES), usable, whole


def clicked_once(visitor: BrowserContext, origin: str, path: str, query: str) -> tuple[float, list[float]]:
    """How long a page took that was clicked on from another, and how long its answers."""
    with contextlib.closing(visitor.new_page()) as opened:
        opened.goto(origin + ("/health" if path != "/health" else "/connect") + query, wait_until="commit")
        settled(opened)
        time.sleep(REST_SECONDS)
        opened.evaluate(FORGET)
        usable, _ = settled(opened, path)
        return usable, [took for _, took in opened.evaluate(TIMES)["answers"]]


def settled(opened: Tab, path: str | None = None) -> tuple[float, float]:
    """When what is on the screen was usable, and when the page was whole; of the page that is clicked on, or this."""
    found = opened.evaluate(SETTLED, [path, USABLE_SECONDS_MAX * 1000])
    if found is None:
        raise CannotStart(f"{path or opened.url} was not usable after {USABLE_SECONDS_MAX:.0f} s")
    usable, whole = found
    return usable, whole


def show(path: str, name: str, page: Page) -> None:
    answers = page.new
    slowest = max(page.answers, key=lambda each: statistics.median(page.answers[each]), default="")
    took = statistics.median(page.answers[slowest]) if slowest else 0.0
    print(
        f"{path:12}{name:>6}{statistics.median(page.paint):>8.0f} ({max(page.paint):.0f})"
        f"{statistics.median(page.click):>10.0f} ({max(page.click):.0f})"
        f"{statistics.median(page.usable):>10.0f} ({max(page.usable):.0f})"
        f"{statistics.median(page.whole):>8.0f}{page.first:>8.0f}"
        f"{percentile(answers, 0.5):>12.0f}{percentile(answers, 0.95):>10.0f}{percentile(page.clicked, 0.95):>9.0f}"
        f"{len(answers) // len(page.usable):>6}"
        f"  {took:.0f} ms {slowest[:110]}"
    )


def percentile(values: Sequence[float], level: float) -> float:
    return sorted(values)[min(len(values) - 1, int(level * len(values)))] if values else 0.0


def doors(browser: Browser, collector: Collector, seconds: float, folder: Path) -> None:
    """What the doors take while nobody looks, and while ten readers do: windows that alternate."""
    origin = collector.api.removesuffix("/api/v1")
    with contextlib.closing(browser.new_context()) as visitor:
        times, *_ = loaded_once(visitor, origin + "/")
    asks = [address for address, _ in times["answers"] if "session" not in address]
    questions = folder / "questions.json"
    questions.write_text(json.dumps(asks))
    alone, looked_at = Figures("nobody looks"), Figures(f"{READERS} readers")
    window(Figures(""), collector, seconds, CONNECTIONS)
    answers: list[float] = []
    for _ in range(DOORS_ROUNDS // 2):
        window(alone, collector, seconds, CONNECTIONS)
        with readers(origin, questions) as found:
            window(looked_at, collector, seconds, CONNECTIONS)
        answers += found
    print(f"\nthe doors, {seconds:.0f} s a window; a reader asks {len(asks)} questions, again and again\n")
    print(f"{'':16}{'stored/s':>10}{'per CPU-s':>12}{'ack p50 ms':>12}{'p99 ms':>10}")
    rates = {}
    for figures in (alone, looked_at):
        acks = sorted(figures.acks_ms) or [0.0]
        rates[figures.name] = figures.stored / figures.seconds
        print(
            f"{figures.name:16}{rates[figures.name]:>10,.0f}{figures.rate:>12,.0f}"
            f"{acks[len(acks) // 2]:>12,.0f}{acks[len(acks) * 99 // 100]:>10,.0f}"
        )
    slower = 1 - rates[looked_at.name] / rates[alone.name]
    print(f"\nwith {READERS} readers the doors store {slower:.1%} less {verdict(slower <= TARGETS['doors'])}")
    print(f"answers to the readers meanwhile: {len(answers)}, p50 {percentile(answers, 0.5):.0f} ms, ", end="")
    print(f"p95 {percentile(answers, 0.95):.0f} ms")
    for note in dict.fromkeys(alone.notes + looked_at.notes):
        print(f"  {note}")
    print(f"  {asked(collector.api + '/health')['store']['calls']:,} calls in the end")


@contextlib.contextmanager
def readers(origin: str, questions: Path) -> Iterator[list[float]]:
    """Ten readers in one process, until the end of the block; how long their answers took, afterwards."""
    took: list[float] = []
    command = [sys.executable, "-m", "benchmarks.screens_readers", origin, str(questions), "--readers", str(READERS)]
    process = subprocess.Popen(command, cwd=peers.ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        yield took
        said, _ = process.communicate("", timeout=60)  # its standard input is closed: it stops and says what it saw
        took += json.loads(said)
    finally:
        process.kill()
        process.wait()


def verdict(reached: bool) -> str:
    return "(reached)" if reached else "(MISSED)"


if __name__ == "__main__":
    try:
        main()
    except CannotStart as reason:
        sys.exit(str(reason))
