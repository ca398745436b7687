"""A day of lively traffic in minutes: a simulated provider, real clients, all three doors, a service of its own.

In: Settings (where the doors are), how long the day takes. Out: `tachograph up` as a process, the days before it
written, the day played, a line that says whether every call that the provider answered is stored once.
What it must never know: SQL, how a request is spelled.

Processes: this one holds the simulated provider, whose count is the truth; `tachograph up`; the applications with the
SDK; all other applications. Each speaks to the others as anybody would: HTTP, OTLP.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tachograph.config import PREFIX, Settings
from tachograph.flow import Busy, Refused
from tachograph.normalise import price
from tachograph.pricing import price_book
from tachograph.remote import Remote
from tachograph.testing import day
from tachograph.testing.day import SEED, requests
from tachograph.testing.day_before import calls_before
from tachograph.testing.day_played import answering
from tachograph.testing.provider import Provider

CALLS_A_SECOND = 28
DAYS_BEFORE, DAYS_AT_THIS_PACE = 7, 2
BATCH_CALLS = 5000
START_SECONDS_MAX, SETTLE_SECONDS_MAX, STOP_SECONDS_MAX = 60.0, 30.0, 60.0
LOOK_SECONDS = 0.2
LOOKS_ALIKE = 4  # until a count is believed: a second sighting may come after the first
PROVIDERS = ("openai", "anthropic", "gcp.gemini", "aws.bedrock", "mistral_ai", "vllm", "groq")
_DOORS = ("listen", "otlp_http", "otlp_grpc", "gateway")
# Told as it goes: what is done, how much of how much, what happens.
Tick = Callable[[str, int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the provider answered and what is stored of it."""

    made: int
    stored: int
    twice: int

    def line(self) -> str:
        """For people."""
        once = "none twice" if self.made == self.stored else "NOT EQUAL"
        seen = f" ({self.twice:,} of them were seen by SDK and gateway)" if self.twice else ""
        return f"{self.made:,} calls made, {self.stored:,} stored, {once}{seen}"


def run(settings: Settings, minutes: float, *, stop: bool, say: Callable[[str], None], tick: Tick) -> Counted:
    """Play the day. stop: end with it; else serve on until interrupted. Refused or Busy in one line."""
    if importlib.util.find_spec("httpx") is None:
        raise Refused("no_httpx", "the clients of the demo need httpx: pip install httpx")
    _check_free(settings)
    # Whoever ends us ends what we started, also where a shell that put us in the background had SIGINT ignored.
    for word in (signal.SIGINT, signal.SIGTERM):
        signal.signal(word, signal.default_int_handler)
    calls = max(24, round(minutes * 60 * CALLS_A_SECOND))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tachograph-demo-")))
        provider = stack.enter_context(Provider(play=answering(calls), doors=len(PROVIDERS) - 1))
        urls = dict(zip(PROVIDERS, provider.urls, strict=True))
        _write_routes(folder / "gateway.toml", urls, 0)
        remote = Remote(f"http://{settings.listen}")
        stack.enter_context(_service(settings, folder))
        say(f"open {remote.address}/?range=15m - the store is {settings.store}")
        _write_before(remote, calls, minutes, tick)
        counted = _played(settings, remote, provider, urls, calls, minutes, folder, tick)
        say(counted.line())
        if not stop:
            say("the day is over; the screens stay: stop with Ctrl-C")
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(1)
    return counted


def _check_free(settings: Settings) -> None:
    for name in _DOORS:
        host, _, port = getattr(settings, name).rpartition(":")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except (OSError, ValueError) as error:
                option = "--" + name.replace("_", "-")
                raise Refused("port", f"{host}:{port} is taken: stop what runs there, or give {option}") from error


def _write_routes(file: Path, urls: Mapping[str, str], percent: int) -> None:
    """The gateway's file; with a canary from the moment when it has some percent. Written beside and renamed."""
    routes = [(f"/{name}", urls[name], name) for name in ("openai", "anthropic", "vllm")]
    routes.append(("/groq", urls["groq"] + "/groq", "groq"))
    text = "".join(f'[[route]]\nprefix = "{p}"\nurl = "{url}"\nprovider = "{who}"\n\n' for p, url, who in routes)
    if percent:
        arms = f'{{ name = "now", weight = {100 - percent} }}, '
        arms += f'{{ name = "mini", weight = {percent}, model = "{day.CANARY_MODEL}" }}'
        text += f'[[experiment]]\nname = "{day.EXPERIMENT}"\nroute = "/openai"\narms = [{arms}]\n'
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


@contextlib.contextmanager
def _service(settings: Settings, folder: Path) -> Iterator[None]:
    """`tachograph up`, from when its API answers."""
    doors = itertools.chain.from_iterable(("--" + n.replace("_", "-"), getattr(settings, n)) for n in _DOORS)
    told = {"GATEWAY_FILE": str(folder / "gateway.toml"), "GATEWAY_STOP_SECONDS": "2"}
    if settings.gateway_envoy:
        told["GATEWAY_ENVOY"] = settings.gateway_envoy
    environment = _environment() | {PREFIX + name: value for name, value in told.items()}
    command = [sys.executable, "-m", "tachograph", "up", "--store", settings.store, *doors]
    log = folder / "up.log"
    with log.open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment, cwd=folder)
    try:
        _await_api(f"http://{settings.listen}", process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()


def _environment() -> dict[str, str]:
    """Ours without what would tell the children something else."""
    return {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "OTEL_"))}


def _await_api(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Refused("not_up", f"tachograph up ended: {' '.join(log.read_text().split())[-300:]}")
        with contextlib.suppress(OSError):
            _get(address + "/api/v1/health")
            return
        time.sleep(LOOK_SECONDS)
    raise Busy(f"{address} does not answer after {START_SECONDS_MAX:.0f} s: try again")


def _get(url: str, body: Mapping[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return json.loads(answer.read())


def _write_before(remote: Remote, calls: int, minutes: float, tick: Tick) -> None:
    """The days before: a week as the clock went, then the last ones at the pace of the day that is played."""
    book, now, done = price_book(), datetime.now(UTC), 0
    fast = timedelta(minutes=minutes)
    ends = [now - fast * DAYS_AT_THIS_PACE - timedelta(days=back) for back in reversed(range(DAYS_BEFORE))]
    moments = [_by_the_clock(end) for end in ends]
    moments += [_at_pace(now - fast * back, fast) for back in range(DAYS_AT_THIS_PACE, 0, -1)]
    total = calls * len(moments)
    for number, moment in enumerate(moments):
        made = calls_before(requests(calls, SEED + number + 1, eventful=False), moment)
        while batch := list(itertools.islice(made, BATCH_CALLS)):
            for call in batch:
                price(call, book)
            remote.write(batch, f"demo-{number}-{done}")
            done += len(batch)
            tick("the days before", done, total, "")


def _by_the_clock(end: datetime) -> Callable[[float], datetime]:
    """The 24 hours up to `end`, in which each hour is that of the clock."""
    start = end - timedelta(days=1)
    first = start.hour + start.minute / 60 + start.second / 3600
    return lambda hour: start + timedelta(hours=(hour - first) % 24)


def _at_pace(start: datetime, length: timedelta) -> Callable[[float], datetime]:
    return lambda hour: start + length * (hour / 24)


def _played(
    settings: Settings,
    remote: Remote,
    provider: Provider,
    urls: Mapping[str, str],
    calls: int,
    minutes: float,
    folder: Path,
    tick: Tick,
) -> Counted:
    """The day itself, from its first to its last call, and until the store has them all."""
    hour_seconds = minutes * 60 / 24
    seen_before = remote.stats().repeated_sightings
    place = {
        "calls": calls,
        "seed": SEED,
        "hour_seconds": hour_seconds,
        "providers": dict(urls),
        "gateway": f"http://{settings.gateway}"
        if "gateway" in _get(remote.address + "/api/v1/health")["doors"]
        else "",
        "otlp_http": f"http://{settings.otlp_http}",
        "otlp_grpc": settings.otlp_grpc,
    }
    since = datetime.now(UTC)
    with _clients({**place, "instrumented": True}) as sdk, _clients({**place, "instrumented": False}) as others:
        began = time.time() + LOOK_SECONDS
        for process in (sdk, others):
            assert process.stdin is not None
            process.stdin.write(f"{began}\n")
            process.stdin.flush()
        _follow(remote, provider, (sdk, others), began, hour_seconds, folder / "gateway.toml", urls, tick)
    return _settled(remote, provider, since, seen_before)


@contextlib.contextmanager
def _clients(place: Mapping[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """Applications that are ready to begin."""
    command = [sys.executable, "-m", "tachograph.demo.clients", json.dumps(place)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=_environment())
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise Refused("clients", "the clients of the demo did not start: see what they say above")
        yield process
        if process.wait(STOP_SECONDS_MAX):
            raise Refused("clients", "the clients of the demo ended early: see what they say above")
    finally:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _follow(
    remote: Remote,
    provider: Provider,
    clients: tuple[subprocess.Popen[str], ...],
    began: float,
    hour_seconds: float,
    gateway_file: Path,
    urls: Mapping[str, str],
    tick: Tick,
) -> None:
    """What happens is told, and what is ours to do is done: roll-outs are noted, the canary begins."""
    events = iter(day.EVENTS)
    following = next(events, None)
    while any(client.poll() is None for client in clients):
        hour = (time.time() - began) / hour_seconds
        while following is not None and hour >= following.hour:
            if following.service:
                deployment = {"kind": "deployment", "text": following.text, "service": following.service}
                _get(remote.address + "/api/v1/annotations", deployment)
            if following.hour == day.CANARY_HOUR:
                _write_routes(gateway_file, urls, day.CANARY_PERCENT)
            following = next(events, None)
        shown = max(0.0, min(hour, 23.999))
        told = f"{int(shown):02d}:{int(shown % 1 * 60):02d} {day.event(shown).text}"
        tick("the day", min(1000, max(0, round(hour / 24 * 1000))), 1000, f"{told} - {len(provider.served):,} calls")
        time.sleep(LOOK_SECONDS)


def _settled(remote: Remote, provider: Provider, since: datetime, seen_before: int) -> Counted:
    until = time.monotonic() + SETTLE_SECONDS_MAX
    alike = 0
    while True:
        made = len(provider.served)
        answer = remote.ask(["calls"], since=since, until=datetime.now(UTC) + timedelta(seconds=1))
        stored = int(answer.rows[0].values[0] or 0) if answer.rows else 0
        alike = alike + 1 if stored == made else 0
        if alike == LOOKS_ALIKE or time.monotonic() > until:
            return Counted(made=made, stored=stored, twice=remote.stats().repeated_sightings - seen_before)
        time.sleep(LOOK_SECONDS * 2)
