"""Realtime sessions over WebSocket: OpenAI, Azure, xAI.

In: the messages of one session, sent and received. A session holds many responses; their usage is added, since each
`response.done` counts its own. Transcription of the caller's audio is another model's work and priced apart, except in
a session that does nothing else. Live translation reports no usage. Out: Found, one Call a session.
Source: providers.md A0, A1.1, A2.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from tachograph.wire import errors
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, name, number
from tachograph.wire.openai_usage import details, digits, iteration, take_usage, unit, usage_tokens
from tachograph.wire.tokens import Tokens

_DONE = "response.done"
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"


def event(found: Found, event_name: str, value: Any) -> bool:
    """A message; `event_name` is `sent` for those of the client."""
    body = mapping(value)
    kind = name(body.get("type")) or ""
    if kind in ("session.created", "session.updated", "session.update", "transcription_session.created"):
        _session(found, mapping(body.get("session")), sent=event_name == "sent")
    if event_name == "sent":
        return False
    if kind == "error":
        errors.note(found, {"error": mapping(body.get("error")) or {"code": "error"}}, None, {})
    elif kind == "response.created":
        found.terminal = False
    elif kind == "response.output_item.done":
        _call(found, mapping(body.get("item")))
    elif kind == _DONE:
        _response(found, mapping(body.get("response")), mapping(body.get("usage")))
    elif kind == _TRANSCRIBED:
        _transcription(found, mapping(body.get("usage")))
    if kind in (_DONE, _TRANSCRIBED):
        _inner_calls(found)
    return kind.startswith(("response.", "session.output_")) and kind.endswith(".delta")


def _session(found: Found, session: dict[str, Any], *, sent: bool) -> None:
    """A session repeats the model that its URL asked for; one that only listens names it with the transcription."""
    listening = mapping(mapping(mapping(session.get("audio")).get("input")).get("transcription"))
    listening = listening or mapping(session.get("input_audio_transcription"))
    if name(listening.get("model")):
        found.usage_copies["transcription_model"] = name(listening["model"])
    if session.get("type") == "transcription" or session.get("object") == "realtime.transcription_session":
        found.operation = "transcription"
    model = name(session.get("model"))
    if found.operation == "transcription":
        model = model or name(listening.get("model"))
    found.request_model = found.request_model or model
    found.max_output_tokens = count(session.get("max_output_tokens")) or found.max_output_tokens
    if not sent:
        found.response_model = model or found.response_model
        found.terminal = True


def _response(found: Found, response: dict[str, Any], beside: dict[str, Any]) -> None:
    """One response of the session. xAI writes the usage beside it."""
    usage = mapping(response.get("usage")) or beside
    found.terminal = True
    found.response_id = name(response.get("id")) or found.response_id
    found.conversation_id = name(response.get("conversation_id")) or found.conversation_id
    calls = sum(_call(found, mapping(item)) for item in items(response.get("output")))
    found.tool_calls = len(found.tool_ids)
    _status(found, response, calls)
    if usage:
        before, cost = found.usage, found.cost_usd
        take_usage(found, usage)
        found.usage = _added(before, usage)
        if cost is not None and found.cost_usd is not None:
            found.cost_usd += cost
        _add(found, usage)


def _call(found: Found, item: dict[str, Any]) -> bool:
    """Whether an item is a call of a function; it comes by itself, and again (not at xAI) in the response."""
    called = item.get("type") == "function_call"
    if called:
        found.tool_ids.add(name(item.get("call_id")) or name(item.get("id")) or f"#{len(found.tool_ids)}")
    return called


def _status(found: Found, response: dict[str, Any], calls: int) -> None:
    """The last response gives the reason; one that succeeds after an error shows that the session went on."""
    status, why = name(response.get("status")), mapping(response.get("status_details"))
    found.finish_reason = None
    if status == "completed":
        if found.error_type is not None:
            found.flags.add("error_recovered")
        found.error_type = found.error_code = None
        finished(found, "tool_calls" if calls else "stop")
    elif status == "failed":
        finished(found, "failed")
        errors.note(found, {"error": mapping(why.get("error")) or {"code": "failed"}}, None, {})
    elif status == "incomplete":
        finished(found, name(why.get("reason")) or "other")
    elif status == "cancelled":
        finished(found, "cancelled")


def _add(found: Found, usage: dict[str, Any]) -> None:
    parts = usage_tokens(usage)
    if found.tokens is None:
        found.tokens = parts
    else:
        found.tokens.add(parts)
    read = mapping(details(usage, "input_token_details").get("cached_tokens_details"))
    for member, key in (("audio_tokens", "audio_cache_read"), ("image_tokens", "image_cache_read")):
        unit(found, key, (count(found.price_context.get(key)) or 0) + (count(read.get(member)) or 0))


def _transcription(found: Found, usage: dict[str, Any]) -> None:
    if not usage:
        return
    if found.operation == "transcription":
        found.usage = _added(found.usage, usage)
        seconds = (number(found.price_context.get("input_seconds")) or 0) + (number(usage.get("seconds")) or 0)
        if seconds > 0:
            found.price_context["input_seconds"] = digits(seconds)
        parts = usage_tokens(usage)
        if found.tokens is None:
            found.tokens = parts
        else:
            found.tokens.add(parts)
        return
    before = mapping(found.usage_copies.get("transcription"))
    found.usage_copies["transcription"] = _added(before, usage)


def _added(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Usage objects, number by number."""
    out = dict(old or {})
    for key, value in new.items():
        if isinstance(value, dict):
            out[key] = _added(mapping(out.get(key)), value)
        elif number(value) is not None and not isinstance(value, str):
            out[key] = (number(out.get(key)) or 0) + value
        else:
            out.setdefault(key, value)
    return out


def _inner_calls(found: Found) -> None:
    """What the responses used together, and the transcription as an inner call of its own model."""
    heard = mapping(found.usage_copies.get("transcription"))
    if not heard or found.tokens is None:
        return
    model = name(found.usage_copies.get("transcription_model")) or "input_audio_transcription"
    inner = iteration(usage_tokens(heard), model)
    seconds = number(heard.get("seconds"))
    found.iterations = [iteration(found.tokens), {**inner, **({"input_seconds": seconds} if seconds else {})}]


def tokens(_found: Found) -> Tokens | None:
    """None: what the responses used was added while they came."""
    return None


def matches(asked: Asked) -> bool:
    """By path: `/v1/realtime`, `/openai/realtime`, `.../translations`; not the calls that create client secrets."""
    return asked.path.endswith(("/realtime", "/realtime/translations"))


def request(found: Found, asked: Asked) -> None:
    """The model is asked for in the URL (Azure: the deployment)."""
    query = parse_qs(asked.query)
    for key in ("model", "deployment"):
        found.request_model = found.request_model or name(next(iter(query.get(key, [])), None))
    if query.get("intent") == ["transcription"]:
        found.operation = "transcription"


REALTIME = Format("openai.realtime", "realtime", matches, request, event, tokens)
