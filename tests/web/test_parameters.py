"""Conditions as people write them: every value can be said, what is said is described, and what is not is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.store.conditions import AtLeast
from tachograph.web.parameters import WHERE, filters, listed, written

SAID: list[tuple[str, dict[str, Any]]] = [
    ("model=a,b", {"model": ["a", "b"]}),
    ("team=", {"team": ""}),
    ("user_id=null", {"user_id": None}),
    ("user_id=u1,null", {"user_id": ["u1", None]}),
    ('user_id="Poe, Edgar"', {"user_id": "Poe, Edgar"}),
    ('user_id="a ""b"", c",d', {"user_id": ['a "b", c', "d"]}),
    ('user_id="null"', {"user_id": "null"}),
    (r'user_id=HOME\poe, 6" "', {"user_id": [r"HOME\poe", ' 6" "']}),
    ("tags.a=b=c", {"tags.a": "b=c"}),
    ("tags.more>=3", {"tags.more>": "3"}),
    ("trace_id=" + "0a" * 16, {"trace_id": "0a" * 16}),
    ("duration_ms>=3000", {"duration_ms": AtLeast("3000")}),
    ("cost_usd>=0.25", {"cost_usd": AtLeast("0.25")}),
]
NOT_SAID = ('user_id="a', 'user_id="a"b', "duration_ms>=3e3", "cost_usd>=-1", "total_tokens>=", "model", "=a")


@pytest.mark.parametrize(("text", "means"), SAID)
def test_a_condition_means(text: str, means: dict[str, Any]) -> None:
    assert filters([text]) == means
    assert re.search(WHERE.schema["pattern"], text)


@pytest.mark.parametrize("text", NOT_SAID)
def test_a_condition_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|close the quotation marks"):
        filters([text])
    assert not re.search(WHERE.schema["pattern"], text)


VALUES = st.one_of(st.none(), st.text(st.sampled_from('ab,"\\=n')), st.sampled_from(["null", '"null"']))


@given(st.one_of(VALUES, st.lists(VALUES, min_size=2)))
def test_every_value_can_be_written(value: Any) -> None:
    assert filters(written({"user_id": value})) == {"user_id": value}


def test_names_are_listed() -> None:
    assert listed(["calls,cost_usd", "errors"], "measure") == ["calls", "cost_usd", "errors"]
    assert listed([], "by") == []
    for nothing in ("", ",", "model,", ",model"):
        with pytest.raises(ValueError, match="by names nothing where a name should be"):
            listed([nothing], "by")
