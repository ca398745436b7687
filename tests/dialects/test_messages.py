"""Values decoded by the column are those that protobuf's own library reads, however they are written."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from tachograph.dialects.protobuf import Octets, Slices
from tachograph.dialects.values import Damaged, Values

TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(st.sampled_from("ab"), min_size=120, max_size=140),
    st.text(st.sampled_from("ab"), min_size=16_380, max_size=16_390),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(["", " 12 ", '"7"', '{"intValue": "12"}', "1_000", "nan", "inf", "0x10", "1e3", "-.5", "٣"]),
)
VALUES = st.one_of(
    st.just(AnyValue()),
    TEXTS.map(lambda text: AnyValue(string_value=text)),
    st.booleans().map(lambda value: AnyValue(bool_value=value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: AnyValue(int_value=value)),
    st.floats().map(lambda value: AnyValue(double_value=value)),
    st.binary(max_size=200).map(lambda value: AnyValue(bytes_value=value)),
    st.lists(st.text(st.sampled_from("ab, "), max_size=30), max_size=3).map(
        lambda texts: AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=text) for text in texts]))
    ),
    st.integers(0, 2**40).map(
        lambda value: AnyValue(
            kvlist_value=KeyValueList(values=[KeyValue(key="intValue", value=AnyValue(int_value=value))])
        )
    ),
)
PLAIN = VALUES.map(lambda value: value.SerializeToString())
ODD = st.one_of(
    st.tuples(PLAIN, PLAIN).map(b"".join),  # the last member wins
    PLAIN.map(lambda message: message + b"\xf8\x01\x05"),  # and one that nobody knows
    st.integers(0, 127).map(lambda value: bytes([0x18, value | 0x80, 0x80, 0x00])),  # in more bytes than needed
    st.sampled_from([b"\x10\x02", b"\x10\x81\x00"]),
)


def placed(messages: list[bytes]) -> Slices:
    octets = Octets(messages)
    return Slices(octets, octets.starts, octets.lengths)


@given(st.lists(PLAIN | ODD, max_size=12))
def test_numbers_and_texts_are_those_of_the_messages(messages: list[bytes]) -> None:
    values = Values(placed(messages))
    every = np.ones(len(messages), bool)
    numbers = values.numbers(every)
    texts = values.texts(np.arange(len(messages)), every).to_pylist()
    for message, number, text in zip(messages, numbers.tolist(), texts, strict=True):
        value = AnyValue.FromString(message)
        expected = number_of(value)
        assert number == expected or (math.isnan(number) and math.isnan(expected)), value
        if value.WhichOneof("value") == "double_value":
            assert float(text) == value.double_value or math.isnan(value.double_value)
        else:
            assert text == text_of(value)


@given(st.lists(PLAIN | ODD, max_size=8), st.data())
def test_any_choice_of_them_is_the_same(messages: list[bytes], data: st.DataObject) -> None:
    values = Values(placed(messages))
    every = values.texts(np.arange(len(messages)), np.ones(len(messages), bool)).to_pylist()
    there = np.array(data.draw(st.lists(st.booleans(), min_size=len(messages), max_size=len(messages))), bool)
    places = np.arange(len(messages))
    chosen = values.texts(places, there).to_pylist()
    assert chosen == [text if known else None for text, known in zip(every, there.tolist(), strict=True)]
    assert np.isnan(values.numbers(~there)[there]).all()


@pytest.mark.parametrize("message", [b"\x0a\x05ab", b"\x18", b"\x18\x80", b"\x21\x00", b"\x0a\x80", b"\xff"])
def test_what_is_no_message_is_said_to_be_none(message: bytes) -> None:
    with pytest.raises(Damaged) as raised:
        Values(placed([AnyValue(int_value=1).SerializeToString(), message]))
    assert raised.value.places == [1]


def number_of(value: AnyValue) -> float:
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        members = value.kvlist_value.values
        return float(members[0].value.int_value) if len(members) == 1 else math.nan
    if kind == "string_value":
        return number_in(value.string_value)
    return float(getattr(value, kind)) if kind in ("bool_value", "int_value", "double_value") else math.nan


def number_in(text: str) -> float:
    bare = {'"7"': "7", '{"intValue": "12"}': "12"}.get(text, text.strip(" "))
    if not bare.isascii() or "_" in bare or bare.lower().strip("+-") in ("nan", "inf", "infinity"):
        return math.nan
    try:
        return float(bare) if bare == bare.strip() else math.nan
    except ValueError:
        return math.nan


def text_of(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "array_value":
        return ",".join(one.string_value for one in value.array_value.values)
    return str(value.int_value) if kind == "int_value" else ""
