"""Speech to text and text to speech in OpenAI's shape.

In: transcriptions and translations (the request is a form; the answer JSON, text or a stream) with `usage` of
type `tokens` or `duration`, or with none (Whisper); speech, whose answer is audio, or a stream of events with usage at
its end. Out: Found. Source: providers.md A0, A2, A7, A8.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, mapping, name, number
from tachograph.wire.openai_chat import identity
from tachograph.wire.openai_usage import chat_tokens, digits, request_facts, take_usage, unit
from tachograph.wire.tokens import Tokens

_XAI = "api.x.ai"


def event(found: Found, event_name: str, value: Any) -> bool:
    """A whole transcription, or an event of a stream (`transcript.text.*`, `transcription.*`, `speech.audio.*`)."""
    if value == "[DONE]":
        found.terminal = True
        return False
    body = mapping(value)
    kind = name(body.get("type")) or event_name
    identity(found, body)
    usage = mapping(body.get("usage"))
    take_usage(found, usage)
    seconds = number(body.get("duration"))
    if seconds is not None and seconds > 0 and not found.usage:  # verbose Whisper answers state it as text
        found.price_context.setdefault("input_seconds", digits(seconds))
    if kind.endswith(".done"):
        found.terminal = True
    return kind.endswith(".delta")


def tokens(found: Found) -> Tokens | None:
    """The parts; none of them where the bill is by seconds."""
    usage = found.usage
    if not usage:
        return None
    if usage.get("type") == "duration" or not any(count(usage.get(key)) is not None for key in usage if "token" in key):
        return Tokens()
    return chat_tokens(found)


def transcription_matches(asked: Asked) -> bool:
    """By path, whatever the host; xAI has one of its own."""
    own = asked.path.endswith("/stt") and asked.host.endswith(_XAI)
    return own or asked.path.endswith(("/audio/transcriptions", "/audio/translations"))


def speech_matches(asked: Asked) -> bool:
    """By path, whatever the host; xAI has one of its own."""
    return asked.path.endswith("/audio/speech") or (asked.path.endswith("/tts") and asked.host.endswith(_XAI))


def speech_request(found: Found, asked: Asked) -> None:
    """The model, and the characters to be spoken, which is what older models bill."""
    request_facts(found, asked)
    text = asked.members.get("input") or asked.members.get("text")
    if isinstance(text, str):
        unit(found, "characters", len(text))


TRANSCRIPTION = Format("openai.transcription", "transcription", transcription_matches, request_facts, event, tokens)
SPEECH = Format("openai.speech", "speech", speech_matches, speech_request, event, tokens)
