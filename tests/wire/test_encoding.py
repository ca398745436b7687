"""Content encodings: undone for any cut, bounded for bombs, and never an exception for what is none."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.wire.encoding import PIECE_BYTES_MAX, Decoder, encoded

MEBIBYTE = 1024 * 1024


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZIP", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
}
SENTENCE = json.dumps({"text": [f"line {at}" for at in range(200)]}).encode()


def undone(header: str, data: bytes, size: int = 10**9) -> tuple[bytes, set[str]]:
    out: list[bytes] = []
    decoder = Decoder(header, out.append)
    for at in range(0, len(data), size):
        decoder.feed(data[at : at + size])
    decoder.finish()
    assert all(len(piece) <= 2 * PIECE_BYTES_MAX for piece in out)
    return b"".join(out), decoder.flags


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300) | st.integers(1, 300_000).map(bytes), st.integers(1, 50), st.sampled_from([*PACKERS]))
def test_undone_for_any_cut(data: bytes, size: int, packer: str) -> None:
    header, pack = PACKERS[packer]
    assert undone(header, pack(data), size) == (data, set())


@pytest.mark.parametrize("packer", PACKERS)
def test_a_stack_is_undone_from_the_right(packer: str) -> None:
    header, pack = PACKERS[packer]
    assert undone(f"identity, {header}, gzip", gzip.compress(pack(SENTENCE)), 3) == (SENTENCE, set())


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_gzip_members_with_zeros_between_and_after_them(size: int) -> None:
    data = gzip.compress(b"one ") + b"\0\0\0" + gzip.compress(b"two") + gzip.compress(b" three") + b"\0\0"
    assert undone("gzip", data, size) == (b"one two three", set())


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("packer", PACKERS)
def test_bytes_after_the_end_are_damage_and_the_rest_is_read(packer: str, size: int) -> None:
    header, pack = PACKERS[packer]
    data, flags = undone(header, pack(SENTENCE) + b"\x01\x02junk that is no member", size)
    assert data.startswith(SENTENCE) if size == 1 else SENTENCE.startswith(data[: len(SENTENCE)])
    assert flags == {"body_damaged"}


@pytest.mark.parametrize("packer", ["gzip", "zlib", "raw deflate", "br"])
def test_half_a_body_is_read_as_far_as_it_came(packer: str) -> None:
    header, pack = PACKERS[packer]
    packed = pack(SENTENCE)
    data, flags = undone(header, packed[: len(packed) * 3 // 4], 10)
    assert SENTENCE.startswith(data)
    assert flags == {"body_damaged"}


def test_a_zstd_stream_that_was_flushed_is_read_as_far_as_it_came() -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    packed = packer.compress(b"data: 1\n\n") + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    assert undone("zstd", packed, 1)[0] == b"data: 1\n\n"
    assert undone("zstd", zstandard.compress(SENTENCE)[:40], 1)[1] == {"body_damaged"}


@pytest.mark.parametrize("packer", PACKERS)
def test_what_a_server_flushes_is_there_at_once(packer: str) -> None:
    header, _ = PACKERS[packer]
    out: list[bytes] = []
    decoder = Decoder(header, out.append)
    packers = {
        "gzip": zlib.compressobj(wbits=31),
        "x-gzip": zlib.compressobj(wbits=31),
        "zlib": zlib.compressobj(),
        "raw deflate": zlib.compressobj(wbits=-15),
    }
    event = b"data: an event that is long enough to be looked at\n\n"
    if packer == "br":
        stream = brotli.Compressor()
        decoder.feed(stream.process(event) + stream.flush())
    elif packer == "zstd":
        frame = zstandard.ZstdCompressor().compressobj()
        decoder.feed(frame.compress(event) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    else:
        decoder.feed(packers[packer].compress(event) + packers[packer].flush(zlib.Z_SYNC_FLUSH))
    assert b"".join(out) == event


@pytest.mark.parametrize("header", ["gzip", "deflate", "br", "zstd", "rot13", "utf-8"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "x", "choices": []}',
        b"data: {}\n\n",
        b"\xef\xbb\xbf[1, 2, 3]",
        b"<!DOCTYPE html><html>",
        b"\n\n{}",
        b"{}",
    ],
)
def test_plain_text_under_a_wrong_header_is_read_plainly(header: str, body: bytes) -> None:
    for size in (1, 7, 1000):
        assert undone(header, body, size) == (body, {"encoding_mismatch"})


@pytest.mark.parametrize("size", [1, 1000])
def test_an_encoding_that_nobody_knows_is_not_read(size: int) -> None:
    assert undone("rot13", bytes(range(256)), size) == (b"", {"encoding_unknown"})


@pytest.mark.parametrize(("packer", "package"), [("br", "brotli"), ("zstd", "zstandard")])
def test_without_its_package_a_body_is_not_read(packer: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = PACKERS[packer][1](SENTENCE)
    monkeypatch.setitem(sys.modules, package, None)  # as Python itself marks a module that cannot be imported
    assert undone(packer, packed, 10) == (b"", {"encoding_unsupported"})
    assert undone(packer, SENTENCE, 10) == (SENTENCE, {"encoding_mismatch"})


@pytest.mark.parametrize(
    ("header", "expected"), [("", False), ("identity", False), (" , Identity", False), ("GZIP", True), ("a, b", True)]
)
def test_whether_a_header_names_an_encoding(header: str, expected: bool) -> None:
    assert encoded(header) is expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 20), st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, br", "x"]))
def test_no_bytes_raise(data: bytes, size: int, header: str) -> None:
    undone(header, data, size)


@pytest.mark.parametrize("header", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_unfolds_by_the_piece(header: str) -> None:
    packed = dict(PACKERS.values())[header](bytes(40 * MEBIBYTE))
    seen = [0, 0]

    def tell(piece: bytes) -> None:
        seen[0] += len(piece)
        seen[1] = max(seen[1], len(piece))

    tracemalloc.start()
    try:
        decoder = Decoder(header, tell)
        decoder.feed(packed)
        decoder.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (seen[0], decoder.flags) == (40 * MEBIBYTE, set())
    assert seen[1] <= 2 * PIECE_BYTES_MAX
    assert peak < 2 * MEBIBYTE
