"""What records calls of the openai client: Tachograph, and those that it is measured against.

In: the name of one. Out: a `Recorder`, which can be put on and taken off within one process. Each has an environment of
its own (`benchmarks/peers/sdk-*.txt`), with the newest openai that it lets in. All of them end in the same kind of
place: an exporter or a function that does nothing, behind whatever gathers batches there by default.

A peer has the OpenTelemetry SDK that its documentation sets up: spans, and with openai-v2, openllmetry and openlit also
metrics and log events (their batch processor). "Spans alone" is openai-v2 where nobody asks for
the other two. Of openlit it is the openai part alone. Wrappers of the peers are put on and taken off by hand, since not
every one can take its own off.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MISSING = object()
SIGNALS = ("meter_provider", "logger_provider")


@dataclass(frozen=True, slots=True)
class Recorder:
    """switch: on or off. settle: returns once everything recorded has left. recorded: how many calls so far."""

    switch: Callable[[bool], None]
    settle: Callable[[], object]
    recorded: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Measured:
    """One of them. environment: its pinned list. distribution: whose version is told."""

    title: str
    environment: str
    distribution: str
    start: Callable[[], Recorder]


def nothing() -> Recorder:
    """Records nothing: the difference between on and off is the noise of the measurement."""
    return Recorder(lambda _on: None, lambda: None, lambda: 0)


def callback() -> Recorder:
    """Tachograph, to a function that does nothing: where the peers end too."""
    counted = Counter()
    return _tachograph(lambda: counted.count, callback=counted.one)


def file() -> Recorder:
    """Tachograph, to its file of JSON lines: the whole path."""
    path = Path(tempfile.mkdtemp(prefix="sdk-")) / "calls.jsonl"
    return _tachograph(lambda: path.read_bytes().count(b"\n") if path.exists() else 0, file=str(path))


class Counter:
    """Counts what it is given."""

    def __init__(self) -> None:
        self.count = 0

    def one(self, _call: object) -> None:
        """One more."""
        self.count += 1


def _tachograph(recorded: Callable[[], int], **settings: Any) -> Recorder:
    from tachograph.instrumenting import flush, instrument, uninstrument

    def switch(on: bool) -> None:
        if on:
            instrument(**settings)
        else:
            uninstrument()

    return Recorder(switch, flush, recorded)


def openai_v2() -> Recorder:
    """The instrumentation of OpenTelemetry itself, with its stable conventions and without content: its default."""
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    return _toggled(lambda providers: OpenAIInstrumentor().instrument(**providers), SIGNALS)


def openai_v2_spans() -> Recorder:
    """The same where there are no providers of metrics and logs."""
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    return _toggled(lambda providers: OpenAIInstrumentor().instrument(**providers))


def openllmetry() -> Recorder:
    """Traceloop's instrumentation."""
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    return _toggled(lambda providers: OpenAIInstrumentor().instrument(**providers), SIGNALS)


def openinference() -> Recorder:
    """Arize's instrumentation, which makes spans alone."""
    from openinference.instrumentation.openai import OpenAIInstrumentor

    return _toggled(lambda providers: OpenAIInstrumentor().instrument(**providers))


def openlit() -> Recorder:
    """openlit.init, which takes the providers that it finds. Its price list is a file, or it would fetch one."""
    import openlit
    from openlit._instrumentors import MODULE_NAME_MAP
    from opentelemetry import _logs, metrics, trace

    prices = Path(tempfile.mkdtemp(prefix="sdk-")) / "prices.json"
    prices.write_text(json.dumps({"chat": {"gpt-5-mini": {"promptPrice": 0.00025, "completionPrice": 0.002}}}))

    def start(providers: dict[str, Any]) -> None:
        trace.set_tracer_provider(providers["tracer_provider"])
        metrics.set_meter_provider(providers["meter_provider"])
        _logs.set_logger_provider(providers["logger_provider"])
        openlit.init(
            disabled_instrumentors=[name for name in MODULE_NAME_MAP if name != "openai"],
            pricing_json=str(prices),
        )

    return _toggled(start, SIGNALS)


def langfuse() -> Recorder:
    """langfuse.openai, with the client's own span processor."""
    from langfuse import Langfuse

    os.environ["LANGFUSE_TRACING_ENVIRONMENT"] = "benchmark"
    exporter = _exporter()
    client = Langfuse(public_key="pk", secret_key="sk", base_url="http://127.0.0.1:9", span_exporter=exporter)

    def start() -> None:
        import langfuse.openai

        assert langfuse.openai

    return Recorder(_switch(_wrapped_by(start)), client.flush, lambda: exporter.count)


def _toggled(start: Callable[[dict[str, Any]], object], signals: tuple[str, ...] = ()) -> Recorder:
    """A peer that is given providers of the OpenTelemetry SDK, each with the batching that is the default there."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter, tracers = _exporter(), TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(exporter))
    providers = {"tracer_provider": tracers, **{name: _provider(name) for name in signals}}
    changed = _wrapped_by(lambda: start(providers))

    def settle() -> None:
        tracers.force_flush()
        if "logger_provider" in providers:
            providers["logger_provider"].force_flush()

    return Recorder(_switch(changed), settle, lambda: exporter.count)


def _provider(name: str) -> Any:
    """Of metrics or of logs, to an exporter that does nothing. Metrics are read once a minute and not at the end of a
    block: what that costs does not depend on how many calls there were.
    """
    if name == "meter_provider":
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        return MeterProvider([InMemoryMetricReader()])
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter

    class Nowhere(InMemoryLogRecordExporter):
        def export(self, _batch: Any) -> Any:
            return super().export(())

    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(Nowhere()))
    return provider


def _exporter() -> Any:
    """An exporter of spans that does nothing but count."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        count = 0

        def export(self, spans: Any) -> Any:
            self.count += len(spans)
            return SpanExportResult.SUCCESS

    return Nowhere()


def _wrapped_by(start: Callable[[], object]) -> list[tuple[type, str, Any, Any]]:
    """(class, method, as it was, wrapped) of everything in the client that `start` changes."""
    before = {owner: dict(vars(owner)) for owner in _classes()}
    start()
    changed = [
        (owner, name, known.get(name, _MISSING), value)
        for owner, known in before.items()
        for name, value in vars(owner).items()
        if not name.startswith("__abc") and known.get(name, _MISSING) is not value and callable(value)
    ]
    if not changed:
        raise RuntimeError("it has wrapped nothing of the openai client")
    return changed


def _classes() -> Iterator[type]:
    """Every class of the openai client and of its HTTP client."""
    import openai
    import openai.resources.chat.completions

    assert openai
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("openai", "httpx", "httpx2"):
            yield from {value for value in vars(module).values() if isinstance(value, type)}


def _switch(changed: list[tuple[type, str, Any, Any]]) -> Callable[[bool], None]:
    def switch(on: bool) -> None:
        for owner, name, original, wrapped in changed:
            if on:
                setattr(owner, name, wrapped)
            elif original is not _MISSING:
                setattr(owner, name, original)
            elif name in vars(owner):
                delattr(owner, name)

    return switch


def versions(distribution: str) -> str:
    """Of what records, of openai and of its HTTP client."""
    found = [f"{distribution} {importlib.metadata.version(distribution)}"] if distribution else []
    import openai

    client = openai.OpenAI(api_key="none")._client
    transport = next(kind.__module__.partition(".")[0] for kind in type(client).__mro__ if "httpx" in kind.__module__)
    names = ("openai", transport)
    return ", ".join(found + [f"{name} {importlib.metadata.version(name)}" for name in names])


MEASURED = {
    "nothing": Measured("nothing (the noise)", "sdk-openai", "", nothing),
    "callback": Measured("tachograph to a callback", "sdk-openai", "", callback),
    "file": Measured("tachograph to a file", "sdk-openai", "", file),
    "openai-v2": Measured("openai-v2", "sdk-openai-v2", "opentelemetry-instrumentation-openai-v2", openai_v2),
    "openai-v2-spans": Measured(
        "openai-v2, spans alone", "sdk-openai-v2", "opentelemetry-instrumentation-openai-v2", openai_v2_spans
    ),
    "openllmetry": Measured("openllmetry", "sdk-openllmetry", "opentelemetry-instrumentation-openai", openllmetry),
    "openinference": Measured(
        "openinference", "sdk-openinference", "openinference-instrumentation-openai", openinference
    ),
    "openlit": Measured("openlit", "sdk-openlit", "openlit", openlit),
    "langfuse": Measured("langfuse", "sdk-langfuse", "langfuse", langfuse),
}
OURS = ("callback", "file")
PEERS = ("openai-v2", "openai-v2-spans", "openllmetry", "openinference", "openlit", "langfuse")
