"""The command line: arguments in, text or JSON out. Exit codes: 0 fine, 2 it cannot be done as things are.

What it must never do: compute; every figure comes from the rooms below.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tachograph import access, app, pricing, show, when
from tachograph import demo as day_played
from tachograph.call import Call, to_dict
from tachograph.config import Settings, load
from tachograph.flow import Refused
from tachograph.summary import summarise
from tachograph.version import VERSION
from tachograph.web.annotating import annotation_of
from tachograph.web.api import filters, listed
from tachograph.web.visitor import HERE

commands = typer.Typer(
    name="tachograph",
    help="Records what every call to a language model did: tokens, latency, model version, cost, and who asked.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, or folders of them.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]
Store = Annotated[str | None, typer.Option("--store", help="Data folder or address of the store.", show_default="data")]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file.", show_default="tachograph.toml")]
Prices = Annotated[Path | None, typer.Option("--prices", help="Price file that wins over the public list.")]
Since = Annotated[str, typer.Option(help="From: 30d (ago), 24h, today, 2026-11-23, RFC 3339.")]
Until = Annotated[str, typer.Option(help="To, exclusive; written likewise.")]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", "-w", help='NAME=VALUE; A,B for several; null for none; "A, B" for one; NAME>=NUMBER.'),
]


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):  # a file name may hold bytes that are no text: shown, not fatal
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = commands(standalone_mode=False)
        if isinstance(code, int) and code:
            sys.exit(code)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted: what was reported as stored is stored", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except app.EXPECTED as wrong:
        _fail(str(wrong), 2)
    except Exception as wrong:
        if hasattr(wrong, "format_message"):  # what typer says about arguments
            _fail(wrong.format_message(), 2)
        raise


def _fail(message: str, code: int) -> None:
    line = " ".join(message.split())
    print(f"tachograph: {line}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def _settings(config: Path | None = None, **overrides: Any) -> Settings:
    told = {name: str(value) for name, value in overrides.items() if value is not None}
    return load(os.environ, config, told)


def _console() -> Console:
    return Console(soft_wrap=False, highlight=False, width=None if sys.stdout.isatty() else 160)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, separators=(",", ":")))  # noqa: T201


@commands.command()
def read(
    files: Files,
    at: Annotated[str | None, typer.Option(help="Price as of this day instead of the day of the call.")] = None,
    table: Annotated[bool, typer.Option("--table", help="A table instead of JSON lines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines; the default.")] = False,
    config: Config = None,
    prices: Prices = None,
) -> None:
    """Read recorded exchanges: one JSON Call per line, priced, with `file` added.

    A file that is none is an error line on stderr; the rest is read, and the exit code is 2.
    """
    settings = _settings(config, prices=prices)
    priced_at = when.moment(at, app.now()) if at else None
    rows, failed = [], 0
    for path, result in app.read_recordings(files, settings, priced_at):
        if isinstance(result, Refused):
            failed += 1
            print(f"tachograph: {result}", file=sys.stderr)  # noqa: T201
        elif table and not as_json:
            rows += [{"file": str(path), **to_dict(call)} for call in result]
        else:
            for call in result:
                _print_json({"file": str(path), **to_dict(call)})
    if rows:
        show.calls(_console(), rows)
    if failed:
        raise typer.Exit(2)


@commands.command()
def summary(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.jsonl...", help="JSON lines of Calls.")],
    as_json: AsJson = False,
    config: Config = None,
    prices: Prices = None,
) -> None:
    """Sum up JSON lines of Calls, without a server: cost, latency per 1,000 tokens, models, days, percentiles."""
    bad: list[str] = []
    value = summarise(_good(app.lines(files, _settings(config, prices=prices)), bad)).to_dict()
    if as_json:
        _print_json(value)
    else:
        show.summary(_console(), value, ", ".join(map(str, files)))
    _report(bad)


def _good(lines: Iterable[Any], bad: list[str]) -> Iterator[Call]:
    for line in lines:
        if line.call is None:
            bad.append(line.error)
        else:
            yield line.call


def _report(bad: list[str]) -> None:
    """Bad lines by number, the first of them in full; exit code 2."""
    for error in bad[:20]:
        print(f"tachograph: {error}", file=sys.stderr)  # noqa: T201
    if len(bad) > 20:
        print(f"tachograph: ... and {len(bad) - 20} more bad lines", file=sys.stderr)  # noqa: T201
    if bad:
        raise typer.Exit(2)


@commands.command("import")
def import_(
    files: Files,
    mapping: Annotated[str | None, typer.Option(help="For traces: a shipped mapping, or a mapping file.")] = None,
    as_json: AsJson = False,
    store: Store = None,
    config: Config = None,
    prices: Prices = None,
) -> None:
    """Store Calls: JSON lines of Calls, recorded exchanges, or traces (CSV, JSON lines) with a mapping.

    Running it again continues where it stopped and stores nothing twice. A bad line is reported by number.
    """
    settings = _settings(config, store=store, prices=prices)
    with app.opened(settings) as data, _progress() as progress:
        result = app.import_files(files, settings, data, mapping=mapping, tick=_ticker(progress))
    if as_json:
        _print_json(result.to_dict())
    else:
        _console().print(result.line())
    _report(result.bad)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[calls]:,} calls"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _ticker(progress: Progress) -> Any:
    tasks: dict[str, Any] = {}

    def tick(name: str, done: int, total: int, calls: int) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(name[-60:], total=total, calls=0)
        progress.update(tasks[name], completed=done, calls=calls)

    return tick


@commands.command()
def ask(
    measures: Annotated[list[str], typer.Argument(metavar="MEASURE...", help="What to measure: see docs/measures.md.")],
    by: Annotated[list[str] | None, typer.Option("--by", "-b", help="Group by a dimension, or tags.KEY.")] = None,
    where: Where = None,
    since: Since = "24h",
    until: Until = "now",
    step: Annotated[str | None, typer.Option(help="One point per 1m, 1h, 1d, ...")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many rows, the largest first.", min=1)] = None,
    order: Annotated[str | None, typer.Option(help="By a measure, a dimension or time; -NAME for descending.")] = None,
    as_json: AsJson = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Ask the store: measures by dimensions over time."""
    settings = _settings(config, store=store)
    conditions = filters(where or [])
    first, last = when.moment(since, app.now()), when.moment(until, app.now())
    width = when.width(step) if step else None
    with app.opened(settings) as data:
        answer = data.ask(
            listed(measures, "MEASURES"),
            listed(by or [], "--by"),
            conditions,
            since=first,
            until=last,
            step=width,
            limit=limit,
            order=order,
        )
    if as_json:
        _print_json(answer.to_dict())
    else:
        show.series(_console(), answer)


@commands.command()
def annotate(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What happened, in a line.")],
    kind: Annotated[str, typer.Option(help="deployment or note.")] = "note",
    at: Annotated[str, typer.Option(help="When: now, 10m (ago), RFC 3339.")] = "now",
    service: Annotated[str, typer.Option(help="The service that it is about.", show_default="all")] = "",
    environment: Annotated[str, typer.Option(help="The environment that it is about.", show_default="all")] = "",
    store: Store = None,
    config: Config = None,
) -> None:
    """Say something about a moment, such as a deployment; the charts show it."""
    settings = _settings(config, store=store)
    told = {"text": text, "kind": kind, "at": at, "service": service, "environment": environment}
    annotation = annotation_of(told, HERE, app.now())
    with app.opened(settings) as data:
        data.annotate(annotation)
    print(f"{annotation.kind} at {annotation.at:%Y-%m-%dT%H:%M:%SZ}: {annotation.text}")  # noqa: T201


@commands.command()
def explain(
    call_id: Annotated[str, typer.Argument(metavar="CALL_ID", help="32 hex digits, as `read` and `ask` show them.")],
    file: Annotated[Path | None, typer.Option(help="Look in JSON lines of Calls instead of the store.")] = None,
    as_json: AsJson = False,
    store: Store = None,
    config: Config = None,
    prices: Prices = None,
) -> None:
    """Print the multiplication behind the cost of one call."""
    settings = _settings(config, store=store, prices=prices)
    call = app.find(call_id, settings, file)
    book = app.price_book(settings)
    if as_json:
        _print_json({"call": to_dict(call), "explanation": pricing.explanation(call, book)})
    else:
        print(pricing.explain(call, book))  # noqa: T201


@commands.command()
def doctor(as_json: AsJson = False, store: Store = None, config: Config = None) -> None:
    """Check that everything which is needed is there, and say what to do about what is not."""
    rows = app.checks(_settings(config, store=store))
    if as_json:
        _print_json([{"ok": fine, "check": what, "detail": how} for fine, what, how in rows])
    else:
        show.checks(_console(), rows)
    if not all(fine for fine, _, _ in rows):
        raise typer.Exit(2)


@commands.command()
def up(
    files: Annotated[list[Path] | None, typer.Option("--with", help="Import these recordings first.")] = None,
    store: Store = None,
    listen: Annotated[str | None, typer.Option(help="Address of the API, host:port.")] = None,
    otlp_http: Annotated[str | None, typer.Option(help="Address of the OTLP/HTTP door; '' shuts it.")] = None,
    otlp_grpc: Annotated[str | None, typer.Option(help="Address of the OTLP/gRPC door; '' shuts it.")] = None,
    gateway: Annotated[str | None, typer.Option(help="Address of the gateway; '' shuts it.")] = None,
    config: Config = None,
    prices: Prices = None,
) -> None:
    """Start the store, the OTLP doors, the gateway and the JSON API, and keep them running."""
    doors = {"listen": listen, "otlp_http": otlp_http, "otlp_grpc": otlp_grpc, "gateway": gateway}
    settings = _settings(config, store=store, prices=prices, **doors)
    app.serve(
        settings,
        files or [],
        say=_console().print,
        summarised=lambda value, title: show.summary(_console(), value, title),
    )


@commands.command()
def gateway(
    listen: Annotated[str | None, typer.Option(help="Address, host:port.", show_default="127.0.0.1:4181")] = None,
    file: Annotated[Path | None, typer.Option(help="Routes and experiments.", show_default="gateway.toml")] = None,
    to: Annotated[str | None, typer.Option(help="Collector.", show_default="http://127.0.0.1:4318")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where its files and its log are.")] = None,
    config: Config = None,
) -> None:
    """Run the gateway alone, as a sidecar: what it records goes to a collector.

    It serves while the collector is away, and while it is itself restarted. The collector's key is
    TACHOGRAPH_COLLECTOR_KEY.
    """
    settings = _settings(config, gateway=listen, gateway_file=file, collector=to, gateway_folder=folder)
    if not settings.gateway:
        raise Refused("shut", "the gateway is shut by the setting `gateway`: give --listen host:port")
    show.ledger(_console(), app.proxy(settings, _console().print).ledger())


@commands.command()
def ledger(as_json: AsJson = False, store: Store = None, config: Config = None) -> None:
    """Account for every span, log record, data point and call that was accepted: stored, known, refused, ignored."""
    value = app.ledger(_settings(config, store=store))
    if as_json:
        _print_json(value)
    else:
        show.ledger(_console(), value)


@commands.command()
def demo(
    minutes: Annotated[float, typer.Option(help="How long the day takes.", min=0.1, max=60)] = 4.0,
    stop: Annotated[bool, typer.Option("--stop", help="End with the day instead of serving on.")] = False,
    store: Annotated[str | None, typer.Option(help="Data folder.", show_default="a new one, gone afterwards")] = None,
    listen: Annotated[str | None, typer.Option(help="Address of the screens, host:port.")] = None,
    otlp_http: Annotated[str | None, typer.Option(help="Address of the OTLP/HTTP door.")] = None,
    otlp_grpc: Annotated[str | None, typer.Option(help="Address of the OTLP/gRPC door.")] = None,
    gateway: Annotated[str | None, typer.Option(help="Address of the gateway.")] = None,
) -> None:
    """Play a day of lively traffic in minutes: a simulated provider, through SDK, gateway and OTLP doors.

    It has a spike, an incident, a canary, a change of a model's version and a jump of costs, after a week without.
    """
    doors = {"listen": listen, "otlp_http": otlp_http, "otlp_grpc": otlp_grpc, "gateway": gateway}
    with tempfile.TemporaryDirectory(prefix="tachograph-demo-store-") as folder:
        settings = _settings(None, store=Path(store).absolute() if store else folder, **doors)
        with _demo_progress() as progress:
            counted = day_played.run(
                settings, minutes, stop=stop, say=progress.console.print, tick=_demo_ticker(progress)
            )
    if counted.made != counted.stored:
        raise typer.Exit(1)


def _demo_progress() -> Progress:
    columns = (BarColumn(bar_width=24), TaskProgressColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=_console(), transient=True, disable=not sys.stdout.isatty())


def _demo_ticker(progress: Progress) -> Any:
    """A bar where somebody looks, else a line for each thing that happens."""
    tasks: dict[str, Any] = {}
    told: set[str] = set()

    def tick(name: str, done: int, total: int, text: str) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=total)
        progress.update(tasks[name], completed=done, description=text or name, visible=done < total)
        happens = text[6:].partition(" - ")[0]
        if progress.disable and happens and happens not in told:
            told.add(happens)
            print(text.partition(" - ")[0], flush=True)  # noqa: T201

    return tick


key = typer.Typer(help="Keys for those who come in beyond loopback.", no_args_is_help=True)
commands.add_typer(key, name="key")


@key.command("add")
def key_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what the key is for.")],
    scope: Annotated[
        list[str],
        typer.Option(help="ingest (send calls), read, edit, gateway (ask models), or admin (all); may be repeated."),
    ],
    team: Annotated[
        list[str] | None, typer.Option(help="With read or edit: shows this team's calls only; may be repeated.")
    ] = None,
    days: Annotated[int | None, typer.Option(help="Expires after so many days; never, if not given.", min=1)] = None,
    as_json: AsJson = False,
    store: Store = None,
    config: Config = None,
) -> None:
    """Make a key and print its token, this once: only its hash is kept.

    A running `tachograph up` accepts it at once.
    """
    settings, now = _settings(config, store=store), app.now()
    expires = now + timedelta(days=min(days, 36500)) if days else None
    token = access.issue(settings.keys_file, name, scope, now, expires, team or [])
    if as_json:
        _print_json({"token": token, "file": str(settings.keys_file)})
    else:
        print(token)  # noqa: T201
        print(f"tachograph: kept hashed in {settings.keys_file}; it is not shown again", file=sys.stderr)  # noqa: T201


@key.command("list")
def key_list(as_json: AsJson = False, store: Store = None, config: Config = None) -> None:
    """List the keys; their tokens are not known any more."""
    keys = access.load(_settings(config, store=store).keys_file)
    if as_json:
        _print_json([{name: value for name, value in each.to_dict().items() if name != "sha256"} for each in keys])
    else:
        for each in keys:
            until = f"expires {each.expires:%Y-%m-%d}" if each.expires else "does not expire"
            teams = f" of {', '.join(each.teams)}" if each.teams else ""
            line = (
                f"{each.id}  {','.join(each.scopes) + teams:<18}  since {each.created:%Y-%m-%d}, {until}  {each.name}"
            )
            print(line)  # noqa: T201


@key.command("revoke")
def key_revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `key list` shows it.")],
    store: Store = None,
    config: Config = None,
) -> None:
    """Take a key away; a running `tachograph up` refuses it from the next request on."""
    gone = access.revoke(_settings(config, store=store).keys_file, key_id)
    print(f"revoked {gone.id} ({gone.name})")  # noqa: T201


@commands.command()
def version() -> None:
    """Print the version."""
    print(VERSION)  # noqa: T201
