"""The native formats on input that nobody has sent yet: any JSON is understood or passed over, never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from frames import frame
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph import wire
from tachograph.wire import (
    End,
    Exchange,
    Format,
    Request,
    anthropic,
    bedrock,
    bedrock_invoke,
    cohere,
    errors,
    gemini,
    gemini_interactions,
    gemini_live,
    gemini_predict,
    mistral_ocr,
    ollama,
)
from tachograph.wire.format import asked
from tachograph.wire.found import Found

MODULES = (
    anthropic,
    bedrock,
    bedrock_invoke,
    cohere,
    gemini,
    gemini_interactions,
    gemini_live,
    gemini_predict,
    mistral_ocr,
    ollama,
)
FORMATS = {form.name: form for module in MODULES for form in vars(module).values() if isinstance(form, Format)}


def _words(text: str) -> list[str]:
    return text.split()


# Members and words that the formats look at: random JSON made of them reaches further than random text.
MEMBERS = _words(
    """
    type message usage delta content content_block input_tokens output_tokens cache_creation iterations model id
    cache_creation_input_tokens cache_read_input_tokens ephemeral_5m_input_tokens ephemeral_1h_input_tokens index
    output_tokens_details thinking_tokens server_tool_use web_search_requests stop_reason service_tier speed error
    candidates usageMetadata promptTokenCount candidatesTokenCount thoughtsTokenCount totalTokenCount parts text
    functionCall name finishReason promptFeedback blockReason trafficType promptTokensDetails cacheTokensDetails
    modality tokenCount cachedContentTokenCount groundingMetadata webSearchQueries createTime serverContent
    turnComplete modelTurn toolCall functionCalls setup generationConfig predictions embeddings statistics
    token_count metadata billableCharacterCount tokenMetadata inputTokenCount interaction event_type steps status
    step total_input_tokens grounding_tool_count messageStart contentBlockStart start toolUse contentBlockDelta
    messageStop metrics latencyMs inputTokens outputTokens cacheDetails ttl cacheWriteInputTokens trace promptRouter
    invokedModelId serviceTier output amazon-bedrock-invocationMetrics invocationLatency results outputText choices
    generations outputs completions images throttlingException originalStatusCode billed_units tokens meta
    search_units cached_tokens reasoning_tokens response is_finished finish_reason tool_calls prompt_eval_count
    eval_count total_duration done done_reason created_at usage_info pages_processed result custom_id completion
    """
)
WORDS = _words(
    """
    message message_start message_delta message_stop content_block_start content_block_delta error tool_use thinking
    text fallback compaction advisor_message succeeded errored canceled expired STOP SAFETY message-end
    tool-call-start stream-end interaction.completed step.start completed failed function_call TEXT AUDIO VIDEO 1h
    5m
    """
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**6),
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(WORDS),
    st.text(max_size=5),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=7),
    max_leaves=40,
)


@pytest.mark.parametrize("name", sorted(FORMATS))
@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(st.tuples(st.sampled_from(["", "sent", "chunk", "metadata", "exception:x"]), VALUES), max_size=5)
)
def test_any_json_is_passed_over(name: str, values: list[tuple[str, Any]]) -> None:
    form, found = FORMATS[name], Found(provider="unknown")
    for event_name, value in values:
        form.event(found, event_name, value)
    form.tokens(found)


@pytest.mark.parametrize("name", sorted(FORMATS))
@settings(max_examples=60, deadline=None)
@given(members=st.dictionaries(st.sampled_from(["model", "metadata", "options", "max_tokens", *MEMBERS]), VALUES))
def test_any_request_is_understood_as_far_as_it_goes(name: str, members: dict[str, Any]) -> None:
    FORMATS[name].request(Found(), asked(Request(url="https://example.com/model/x/invoke"), members))


@settings(max_examples=150, deadline=None)
@given(value=VALUES, status=st.sampled_from([None, 200, 400, 429]))
def test_any_error_is_classified(value: Any, status: int | None) -> None:
    errors.note(Found(), value, status, {})


def test_vectors_leave_room_for_what_counts_them() -> None:
    predictions = [
        {"embeddings": {"values": [0.001 * at for at in range(768)], "statistics": {"token_count": 6}}}
        for _ in range(250)
    ]
    url = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/m:predict"
    body = json.dumps({"predictions": predictions, "metadata": {"billableCharacterCount": 1}}).encode()
    (call,) = wire.read(Exchange(Request(url), 200, {"content-type": "application/json"}, [(None, body)]))
    assert call.input_uncached == 1500


def test_a_client_that_left_after_the_start_keeps_the_exact_input() -> None:
    start = {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 9, "output_tokens": 3}}}
    chunks = [(5000, b"event: message_start\ndata: " + json.dumps(start).encode() + b"\n\n")]
    request = Request("https://api.anthropic.com/v1/messages", members={"model": "m", "stream": True})
    exchange = Exchange(request, 200, {"content-type": "text/event-stream"}, chunks, end=End.CLIENT_GONE, end_us=9000)
    (call,) = wire.read(exchange)
    assert (call.outcome, call.input_uncached, call.output_tokens) == ("aborted", 9, None)
    assert "usage_partial" in call.flags


def test_the_first_content_of_a_converse_stream_is_no_signature() -> None:
    events = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"delta": {"reasoningContent": {"signature": "c2ln"}}}),
        ("contentBlockDelta", {"delta": {"text": "Elbe"}}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}}),
    ]
    chunks = [(1000 * at, frame("event", name, value)) for at, (name, value) in enumerate(events, 1)]
    request = Request("https://bedrock-runtime.eu-west-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse-stream")
    (call,) = wire.read(
        Exchange(request, 200, {"content-type": "application/vnd.amazon.eventstream"}, chunks, end_us=6000)
    )
    assert (call.outcome, call.ttft_ms, call.chunks) == ("ok", 3.0, 1)
