"""`tachograph.instrument()` as a user calls it: where calls go, what leaves the process, how it ends."""

from __future__ import annotations

import gzip
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

import tachograph
from tachograph.call import Call
from tachograph.capture.lines import read_calls
from tachograph.config import SettingsError
from tachograph.testing.provider import Provider

QUESTION = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(autouse=True)
def left_as_found() -> Iterator[None]:
    before = httpx2.HTTPTransport.handle_request
    yield
    tachograph.uninstrument()
    assert httpx2.HTTPTransport.handle_request is before


class Listening:
    """A collector that keeps the bytes it gets, decompressed."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        listening = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                zipped = self.headers.get("content-encoding") == "gzip"
                listening.bodies.append(gzip.decompress(body) if zipped else body)
                listening.headers.append(dict(self.headers))
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_words: object) -> None:
                """Not on the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def listening() -> Iterator[Listening]:
    collector = Listening()
    yield collector
    collector.close()


def ask(provider: Provider, **members: Any) -> httpx2.Response:
    return httpx2.post(provider.url + "/v1/chat/completions", json={**QUESTION, **members})


def calls_of(path: Path) -> list[Call]:
    return [line.call for line in read_calls(path) if line.call]


def test_one_line_and_a_file(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tachograph.instrument(service="shop", team="search")
    ask(provider)
    assert tachograph.flush()
    (call,) = calls_of(tmp_path / "calls.jsonl")
    assert (call.service, call.team, call.request_model) == ("shop", "search", "gpt-5-mini")
    assert (call.input_tokens, call.output_tokens) == (
        provider.served[0].scenario.truth.input_tokens,
        provider.served[0].scenario.truth.output_tokens,
    )
    ran = subprocess.run(
        [sys.executable, "-m", "tachograph", "summary", "calls.jsonl", "--json"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["calls"] == 1


def test_every_place_at_once(provider: Provider, listening: Listening, tmp_path: Path) -> None:
    called: list[Call] = []
    tachograph.instrument(file=str(tmp_path / "a.jsonl"), collector=listening.url, callback=called.append, key="tg_x_y")
    for _ in range(3):
        ask(provider)
    assert tachograph.flush()
    assert [call.call_id for call in called] == [call.call_id for call in calls_of(tmp_path / "a.jsonl")]
    assert len(called) == 3
    assert called[0].span_id is not None
    assert bytes.fromhex(called[0].span_id) in listening.bodies[0]
    assert listening.headers[0]["authorization"] == "Bearer tg_x_y"
    counts = tachograph.counts()
    assert counts["failures"] == {}
    assert {name: counts[name]["sent"] for name in ("file", "collector", "callback")} == {
        "file": 3,
        "collector": 3,
        "callback": 3,
    }


def test_twice_is_once(provider: Provider, tmp_path: Path) -> None:
    called: list[Call] = []
    for _ in range(3):
        tachograph.instrument(callback=called.append)
    ask(provider)
    assert tachograph.flush()
    assert len(called) == 1


def test_other_settings_take_over(provider: Provider, tmp_path: Path) -> None:
    before: list[Call] = []
    after: list[Call] = []
    tachograph.instrument(callback=before.append)
    ask(provider)
    tachograph.instrument(callback=after.append)
    ask(provider)
    tachograph.uninstrument()
    ask(provider)
    assert (len(before), len(after)) == (1, 1)
    assert tachograph.flush() and tachograph.counts() == {}


def test_disabled_changes_nothing(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Call] = []
    monkeypatch.setenv("TACHOGRAPH_SDK_DISABLED", "true")
    tachograph.instrument(callback=called.append)
    ask(provider)
    assert called == []


def test_a_wrong_setting_is_told_and_nothing_is_changed() -> None:
    with pytest.raises(SettingsError, match="did you mean 'collector'"):
        tachograph.instrument(colector="http://127.0.0.1:4318")


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(SettingsError, match=r"address|http"):
        tachograph.instrument(collector="127.0.0.1:9")


def test_what_the_base_install_needs(tmp_path: Path) -> None:
    """Nothing but the standard library: every other package is hidden from the process."""
    script = (
        "import sys\n"
        "sys.path[:] = [path for path in sys.path if 'site-packages' not in path]\n"
        f"sys.path.insert(0, {str(Path(tachograph.__file__).parents[1])!r})\n"
        "import tachograph, urllib.request\n"
        "tachograph.instrument(file='x.jsonl', collector='http://127.0.0.1:1')\n"
        "tachograph.record(model='m', provider='vllm', input_tokens=1, output_tokens=2)\n"
        "with tachograph.context(team='a'):\n"
        "    pass\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(name for name in loaded if not name.startswith(('__', 'tachograph', 'sitecustomize'))))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", script], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]", ran.stdout


# privacy

SECRETS = {
    "prompt": "PLANTED-PROMPT-1",
    "system": "PLANTED-SYSTEM-2",
    "tool": "PLANTED-TOOL-3",
    "key": "sk-PLANTED-KEY-4",
    "header": "PLANTED-HEADER-5",
    "query": "PLANTED-QUERY-6",
    "user": "PLANTED-USER-7",
    "metadata": "PLANTED-METADATA-8",
    "stop": "PLANTED-STOP-9",
    "schema": "PLANTED-SCHEMA-10",
}


def planted(provider: Provider, path: str, **members: Any) -> str:
    """One call full of secrets; the text of the answer."""
    body = {
        "model": "gpt-5-mini",
        "messages": [
            {"role": "system", "content": SECRETS["system"]},
            {"role": "user", "content": [{"type": "text", "text": SECRETS["prompt"]}]},
        ],
        "tools": [{"type": "function", "function": {"name": SECRETS["tool"], "parameters": {"x": SECRETS["schema"]}}}],
        "metadata": {"note": SECRETS["metadata"]},
        "stop": [SECRETS["stop"]],
        "user": SECRETS["user"],
        **members,
    }
    headers = {
        "authorization": f"Bearer {SECRETS['key']}",
        "x-api-key": SECRETS["key"],
        "x-goog-api-key": SECRETS["key"],
        "x-internal": SECRETS["header"],
    }
    answer = httpx2.post(f"{provider.url}{path}?key={SECRETS['query']}", json=body, headers=headers)
    return answer.text


def texts_of(answer: str) -> set[str]:
    """Every piece of text that an answer holds as content, long enough to be told from a word."""
    found: set[str] = set()

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, name)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, key)
        elif isinstance(value, str) and key in ("content", "text", "arguments", "thinking", "delta") and len(value) > 8:
            found.add(value)

    for line in answer.splitlines():
        text = line.removeprefix("data: ")
        if text.startswith("{"):
            walk(json.loads(text), "")
    return found


def test_no_content_and_no_secret_leaves(
    provider: Provider, listening: Listening, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    traces = TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(traces)
    called: list[Call] = []
    caplog.set_level(logging.DEBUG, "tachograph")
    tachograph.instrument(
        file=str(tmp_path / "calls.jsonl"),
        collector=listening.url,
        opentelemetry=True,
        legacy_attributes=True,
        callback=called.append,
        secret="pepper",
        hash_user=True,
    )
    answers = [planted(provider, "/v1/chat/completions")]
    answers.append(planted(provider, "/v1/chat/completions", stream=True))
    answers.append(planted(provider, "/v1/messages", max_tokens=100))
    answers.append(planted(provider, "/v1/responses", input=SECRETS["prompt"]))
    answers.append(planted(provider, "/v1/chat/completions", messages=SECRETS["prompt"] + " scenario:rate_limited"))
    with tachograph.context(user=SECRETS["user"]):
        answers.append(planted(provider, "/v1/chat/completions"))
    assert tachograph.flush()
    tachograph.uninstrument()
    emitted = {
        "file": (tmp_path / "calls.jsonl").read_text(),
        "collector": "\n".join(body.decode("latin-1") for body in listening.bodies),
        "spans": "\n".join(span.to_json() for span in exporter.get_finished_spans()),
        "callback": "\n".join(map(repr, called)),
        "log": caplog.text,
    }
    assert len(called) == len(answers) == emitted["file"].count("\n")
    assert all(emitted[name] for name in ("file", "collector", "spans", "callback"))
    wanted = set(SECRETS.values()).union(*map(texts_of, answers))
    assert len(wanted) > len(SECRETS), "the answers held no text to look for"
    found = {(name, text) for name, text_of in emitted.items() for text in wanted if text in text_of}
    assert found == set()
    # What does leave of a user and of a credential is a keyed hash, the same each time.
    assert len({call.user_id for call in called if call.user_id}) == 1
    assert len({call.api_key_id for call in called}) == 1 and called[0].api_key_id
