"""The native endpoints of self-hosted engines: TGI and SGLang `/generate`, llama.cpp `/completion`.

In: whole answers, or events of their streams. TGI counts in `details` and in headers, SGLang in `meta_info`
(cumulative, in every event), llama.cpp in its last event (`tokens_evaluated`, `tokens_predicted`, `timings`).
Out: Found.
Source: providers.md A0, A10.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire import errors, marks
from tachograph.wire import tokens as arithmetic
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, merged, name, number
from tachograph.wire.tokens import Tokens

_SGLANG_MEMBERS = ("sampling_params", "input_ids", "text")
_NEW_TOKENS = ("max_new_tokens", "n_predict", "max_tokens")


def request(found: Found, asked: Asked) -> None:
    """Limits; these engines serve one model and are not asked for it."""
    members = asked.members
    inner = mapping(members.get("parameters")) or mapping(members.get("sampling_params")) or members
    found.request_model = name(members.get("model"))
    for member in _NEW_TOKENS:
        found.max_output_tokens = found.max_output_tokens or count(inner.get(member))
    found.temperature = number(inner.get("temperature"))


# TGI


def tgi_event(found: Found, event_name: str, value: Any) -> bool:
    """A token of a stream, its last event, or a whole answer (in an array where it was asked for at `/`)."""
    if isinstance(value, list):
        return tgi_event(found, event_name, value[0]) if value else False
    body = mapping(value)
    if "meta_info" in body:
        return sglang_event(found, event_name, value)
    if body.get("error") and found.error_type is None:
        errors.note(found, body, None, {})
    details = mapping(body.get("details"))
    if details:
        found.usage = merged(found.usage, {**details, "prefill": len(items(details.get("prefill"))), "tokens": None})
        finished(found, name(details.get("finish_reason")) or "")
    if isinstance(body.get("generated_text"), str):
        found.terminal = True
    if found.provider == marks.UNKNOWN and count(details.get("generated_tokens")) is not None:
        found.provider = "tgi"
    token = mapping(body.get("token"))
    said = bool(token and not token.get("special") and token.get("text"))
    found.visible_pieces += said
    return said


def tgi_tokens(found: Found) -> Tokens | None:
    """From `details`, else from the headers. A prompt that was not echoed has an empty `prefill`."""
    if "meta_info" in found.usage_copies:
        return sglang_tokens(found)
    details, headers = mapping(found.usage), mapping(found.usage_copies.get("headers"))
    output = count(details.get("generated_tokens"))
    output = count(headers.get("x-generated-tokens")) if output is None else output
    prompt = count(details.get("input_length")) or count(details.get("prefill"))
    prompt = prompt or count(headers.get("x-prompt-tokens"))
    if output is None and prompt is None:
        return None
    return arithmetic.inclusive(input_tokens=prompt, output_tokens=output)


def tgi_matches(asked: Asked) -> bool:
    """`/generate` and `/generate_stream`, where no version or `api` folder makes them another's."""
    return asked.path in ("/generate", "/generate_stream") or asked.path.endswith("/generate_stream")


# SGLang


def sglang_event(found: Found, event_name: str, value: Any) -> bool:
    """Text so far, with the counts so far. An array holds the answers to an array of prompts."""
    if value == "[DONE]":
        found.terminal = True
        return False
    content = False
    for position, item in enumerate(items(value) or [value]):
        body = mapping(item)
        info = mapping(body.get("meta_info"))
        if info:
            _sglang_info(found, info, str(body.get("index") if count(body.get("index")) is not None else position))
        content = bool(body.get("text") or body.get("output_ids")) or content
    return content


def _sglang_info(found: Found, info: dict[str, Any], index: str) -> None:
    found.provider = "sglang" if found.provider == marks.UNKNOWN else found.provider
    found.response_id = found.response_id or name(info.get("id"))
    answers = mapping(found.usage_copies.get("meta_info"))
    counted = {key: number(info[key]) for key in info if number(info.get(key)) is not None}
    found.usage_copies["meta_info"] = {**answers, index: counted}
    seconds = number(info.get("e2e_latency"))
    if seconds is not None and seconds >= 0:
        found.server_ms = round(seconds * 1000, 3)
    reason = info.get("finish_reason")
    word = name(mapping(reason).get("type")) or name(reason)
    if word:
        finished(found, word)
        found.terminal = True


def sglang_tokens(found: Found) -> Tokens | None:
    """The sum over the answers. Drafts that were rejected are outside `completion_tokens`."""
    answers = [mapping(info) for info in mapping(found.usage_copies.get("meta_info")).values()]
    total: Tokens | None = None
    for info in answers:
        cached = count(info.get("cached_tokens"))
        part = arithmetic.inclusive(
            input_tokens=count(info.get("prompt_tokens")),
            output_tokens=count(info.get("completion_tokens")),
            cache_read=cached,
            reasoning=count(info.get("reasoning_tokens")),
        )
        if total is None:
            total = part
        else:
            total.add(part)
    return total


def sglang_matches(asked: Asked) -> bool:
    """`/generate` with the members that only SGLang's has."""
    return asked.path == "/generate" and any(member in asked.members for member in _SGLANG_MEMBERS)


# llama.cpp


def is_llamacpp(value: Any) -> bool:
    """Whether a value is an answer or a chunk of llama.cpp's own completion endpoint."""
    body = mapping(value)
    return "choices" not in body and ("tokens_predicted" in body or ("content" in body and "stop" in body))


def llamacpp_event(found: Found, event_name: str, value: Any) -> bool:
    """A piece, or the last event, which has all counts."""
    body = mapping(value)
    found.provider = "llama_cpp" if found.provider == marks.UNKNOWN and is_llamacpp(value) else found.provider
    found.response_model = name(body.get("model")) or found.response_model
    timings = mapping(body.get("timings"))
    if body.get("stop") is True:
        found.terminal = True
        _llamacpp_finish(found, body)
        counted = {key: body.get(key) for key in ("tokens_evaluated", "tokens_predicted", "tokens_cached")}
        found.usage_copies["llamacpp"] = {**counted, "timings": timings}
        spent = [number(timings.get(key)) for key in ("prompt_ms", "predicted_ms")]
        if None not in spent:
            found.server_ms = round(max(0.0, sum(ms or 0 for ms in spent)), 3)
    said = bool(body.get("content"))
    found.visible_pieces += said
    return said


def _llamacpp_finish(found: Found, body: dict[str, Any]) -> None:
    kind = name(body.get("stop_type"))
    if kind == "limit" or body.get("stopped_limit") is True:
        finished(found, "length")
    elif kind in ("eos", "word") or body.get("stopped_eos") is True or body.get("stopped_word") is True:
        finished(found, "stop")


def llamacpp_tokens(found: Found) -> Tokens | None:
    """`tokens_evaluated` is the whole prompt; what the cache held of it was not processed again."""
    answer = mapping(found.usage_copies.get("llamacpp"))
    timings = mapping(answer.get("timings"))
    prompt, output = count(answer.get("tokens_evaluated")), count(answer.get("tokens_predicted"))
    processed, cached = count(timings.get("prompt_n")), count(timings.get("cache_n"))
    if prompt is None and processed is not None:
        prompt = processed + (cached or 0)
    if cached is None and prompt is not None and processed is not None:
        cached = max(0, prompt - processed)
    output = count(timings.get("predicted_n")) if output is None else output
    if prompt is None and output is None:
        return None
    return arithmetic.inclusive(input_tokens=prompt, output_tokens=output, cache_read=cached)


def llamacpp_matches(asked: Asked) -> bool:
    """`/completion` and `/infill`; `/completions` is shared with OpenAI's shape."""
    return asked.path.endswith(("/completion", "/infill"))


SGLANG = Format("sglang.generate", "text_completion", sglang_matches, request, sglang_event, sglang_tokens)
TGI = Format("tgi.generate", "text_completion", tgi_matches, request, tgi_event, tgi_tokens)
LLAMACPP = Format("llamacpp.completion", "text_completion", llamacpp_matches, request, llamacpp_event, llamacpp_tokens)
