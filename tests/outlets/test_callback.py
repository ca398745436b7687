"""A function of the user gets every call once, and what it raises goes no further."""

from __future__ import annotations

import pytest
from tests.outlets.doubles import numbered

from tachograph.call import Call
from tachograph.outlets.callback import Callback
from tachograph.outlets.sending import Sender


def test_every_call_is_handed_over_once_and_failures_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    given: list[Call] = []

    def function(call: Call) -> None:
        given.append(call)
        if int(call.call_id, 16) % 2:
            raise RuntimeError("theirs")

    outlet = Callback(function)
    sender = Sender(outlet, name="callback", flush_seconds=0.01)
    for call in numbered(10):
        sender.offer(call)
    assert sender.flush(5)
    sender.close()
    assert given == numbered(10)
    assert outlet.failures == 5
    assert sender.counts["sent"] == 10
    (record,) = [record for record in caplog.records if "the callback" in record.getMessage()]
    assert record.exc_info is not None
