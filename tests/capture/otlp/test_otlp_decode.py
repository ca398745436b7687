"""Content encodings: what was meant comes out; bombs and cut bodies are refused."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from typing import Any

import pytest
import zstandard

from tachograph.capture.otlp.decode import check_encoding, unfolded
from tachograph.capture.otlp.limits import MIB, check_size
from tachograph.flow import Refused


def grow_to(size_max: int) -> Any:
    return lambda size: check_size(size, size_max)


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", gzip.compress(bytes(256 * MIB), 1)),
        ("deflate", zlib.compress(bytes(256 * MIB), 1)),
        ("zstd", zstandard.compress(bytes(256 * MIB))),
        ("gzip, gzip", gzip.compress(gzip.compress(bytes(256 * MIB), 1))),
    ],
)
def test_a_bomb_allocates_no_more_than_its_limit(encoding: str, bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as caught:
            unfolded(bomb, encoding, grow_to(4 * MIB))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.reason == "too_large"
    assert peak < 6 * MIB


def frames() -> dict[str, bytes]:
    body = random.Random(1).randbytes(300_000) + b"a" * 500_000
    streamed = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compressobj()
    return {
        "sized": zstandard.compress(body),
        "streamed": streamed.compress(body) + streamed.flush(),
        "small": zstandard.compress(b"a"),
        "two": zstandard.compress(body) + zstandard.compress(body),
        "skippable": b"\x52\x2a\x4d\x18\x03\0\0\0abc" + zstandard.compress(body),
        "gzip": gzip.compress(body),
        "gzips": gzip.compress(body) + gzip.compress(body),
        "deflate": zlib.compress(body),
    }


@pytest.mark.parametrize("name", frames())
def test_a_body_that_was_cut_anywhere_is_refused(name: str) -> None:
    whole = frames()[name]
    encoding = "gzip" if name.startswith("gz") else "deflate" if name == "deflate" else "zstd"
    plain = unfolded(whole, encoding, grow_to(64 * MIB))
    assert len(plain) in (1, 800_000, 1_600_000)
    parts = (len(zstandard.compress(plain[:800_000])), len(gzip.compress(plain[:800_000])), 11)  # whole by themselves
    cuts = {*range(1, 40), *range(len(whole) - 40, len(whole)), *random.Random(2).sample(range(len(whole)), 10)}
    for cut in cuts & set(range(1, len(whole))) - set(parts if name in ("two", "gzips", "skippable") else ()):
        with pytest.raises(Refused) as caught:
            unfolded(whole[:cut], encoding, grow_to(64 * MIB))
        assert caught.value.reason == "damaged"


def test_unknown_encodings_are_named() -> None:
    for known in ("", "gzip", " GZIP , zstd", "identity", "br"):
        check_encoding(known)
    with pytest.raises(Refused, match="'snappy' is not read: use one of gzip"):
        check_encoding("gzip, snappy")
