"""The fuzzer of the reader: `python tests/wire/fuzz_reader.py [corpus folder] [-runs=N] [-max_total_time=SECONDS]`.

An input is one exchange: five bytes choose the format, the status, the content type, the encoding and the size of the
pieces, the rest is the body. Any exception is a finding, and so is a Call that breaks a rule, or that another cut of
the same bytes would change. `--seeds FOLDER` writes the recordings as inputs to start from.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tachograph.wire"]):
    from tachograph import wire

from exchanges import body, holds, paths, recorded

KINDS = (
    "application/json",
    "text/event-stream",
    "application/vnd.amazon.eventstream",
    "application/x-ndjson",
    "text/html",
    "",
    "audio/mpeg",
)
ENCODINGS = ("", "gzip", "deflate", "br", "zstd", "gzip, br", "rot13")
STATUSES = (200, 400, 429, 502, 204, None, 101)
SIZES = (1, 2, 7, 64, 1000, 1_000_000)


def one_input(data: bytes) -> None:
    """Read one exchange twice, cut differently."""
    if len(data) < 5:
        return
    form, status, kind, encoding, size = data[:5]
    headers = {"content-type": KINDS[kind % len(KINDS)]}
    if ENCODINGS[encoding % len(ENCODINGS)]:
        headers["content-encoding"] = ENCODINGS[encoding % len(ENCODINGS)]
    answer, piece = data[5:], SIZES[size % len(SIZES)]
    found = []
    for step in (piece, len(answer) + 1):
        reading = wire.Reader(
            wire.Request(url="https://host.example/v1/-", members={"stream": size >= 128, "model": "m"}),
            wire.FORMATS,
            status=STATUSES[status % len(STATUSES)],
            headers=headers,
            api=wire.FORMATS[form % len(wire.FORMATS)].name,
        )
        for at in range(0, len(answer), step):
            reading.feed(answer[at : at + step], 1000)
        calls = reading.close(2000, tuple(wire.End)[status // 16 % len(wire.End)])
        holds(calls)
        found.append(calls)
    damaged = any("body_damaged" in call.flags for calls in found for call in calls)
    if not (damaged and "content-encoding" in headers):  # decoders keep back what they undid of the piece that broke
        assert found[0] == found[1], "another cut, another Call"


def write_seeds(folder: Path) -> int:
    """The recordings up to 4 kB as inputs; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [form.name for form in wire.FORMATS]
    written = 0
    for path in paths():
        exchange = recorded(path)
        answer, kind = body(exchange), exchange.headers.get("content-type", "").partition(";")[0]
        if not answer or len(answer) > 4096:
            continue
        form = names.index(wire.reader(exchange).format.name)
        status = STATUSES.index(exchange.status) if exchange.status in STATUSES else 1
        start = bytes((form, status, KINDS.index(kind) if kind in KINDS else 5, 0, 3))
        (folder / f"{written:04d}").write_bytes(start + answer)
        written += 1
    return written


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seeds"]:
        write_seeds(Path(sys.argv[2]))
    else:
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
