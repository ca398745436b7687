"""IBM watsonx.ai text generation, whole or streamed.

In: `POST /ml/v1/text/generation` and `.../generation_stream`: `results[].{input_token_count, generated_token_count,
stop_reason}`. In a stream the input is counted in the first event and zero later, the output is cumulative; no event
ends it but the one that gives a reason. Its chat is another path, read by its shape. Out: Found.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire import tokens as arithmetic
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, name, number
from tachograph.wire.tokens import Tokens

_PATH = re.compile(
    r"/ml/v1(-beta)?/(text/generation(_stream)?|generation/text(_stream)?|deployments/[^/]+/text/gen\w+)$"
)
_INPUT, _OUTPUT = "input_token_count", "generated_token_count"


def event(found: Found, event_name: str, value: Any) -> bool:
    """An event of a stream, or a whole answer: the same members."""
    body = mapping(value)
    found.response_model = name(body.get("model_id")) or found.response_model
    said = False
    for result in map(mapping, items(body.get("results"))):
        for member in (_INPUT, _OUTPUT):
            counted, before = count(result.get(member)), count(mapping(found.usage).get(member)) or 0
            if counted is not None:
                found.usage = {**(found.usage or {}), member: max(counted, before)}
        text = result.get("generated_text")
        said = said or bool(text)
        found.visible_pieces += bool(text)
        reason = name(result.get("stop_reason"))
        if reason and reason.lower() != "not_finished":
            finished(found, reason)
            found.terminal = True
    return said


def tokens(found: Found) -> Tokens | None:
    """The two counts."""
    usage = found.usage
    if not usage:
        return None
    return arithmetic.inclusive(input_tokens=usage.get(_INPUT), output_tokens=usage.get(_OUTPUT))


def matches(asked: Asked) -> bool:
    """By path, whatever the host."""
    return bool(_PATH.search(asked.path))


def request(found: Found, asked: Asked) -> None:
    """The model and the limits, which stand among the parameters."""
    parameters = mapping(asked.members.get("parameters"))
    found.request_model = name(asked.members.get("model_id"))
    found.max_output_tokens = count(parameters.get("max_new_tokens"))
    found.temperature = number(parameters.get("temperature"))


GENERATE = Format("watsonx.generate", "text_completion", matches, request, event, tokens)
