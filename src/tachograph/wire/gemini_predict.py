"""Vertex `:predict`, embeddings of both APIs, and models of other makers on Vertex.

In: `:embedContent`, `:batchEmbedContents`; `:predict` of embedding models, Imagen and the old text models, told apart
by what their predictions hold; `:rawPredict` and `:streamRawPredict` of publishers that bring their own wire format.
Out: Found. Source: providers.md A4.
What it must never know: prices, framing.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire import mistral_ocr, openai_chat
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, name
from tachograph.wire.gemini import event as generated
from tachograph.wire.gemini import method, request
from tachograph.wire.gemini_usage import embedding_tokens, keep_usage
from tachograph.wire.openai_usage import chat_tokens, request_facts
from tachograph.wire.tokens import Tokens

_PUBLISHER = re.compile(r"/publishers/([^/]+)/models/([^/:]+)(?::\w+)?$")
_ENDPOINT = re.compile(r"/(endpoints/[^/:]+):\w+$")
_EMBEDDINGS = ("embedContent", "batchEmbedContents", "asyncBatchEmbedContent", "embedText", "batchEmbedText")
_VENDORS = {"mistralai": "mistral_ai", "deepseek-ai": "deepseek"}


def embedding_event(found: Found, event_name: str, value: Any) -> bool:
    """A vector, or a list of them."""
    body = mapping(value)
    keep_usage(found, body.get("usageMetadata"))
    found.response_model = name(body.get("modelVersion")) or found.response_model
    found.terminal = True
    return False


def predict_event(found: Found, event_name: str, value: Any) -> bool:
    """Predictions: embeddings with their statistics, images, or a text with its token counts."""
    body = mapping(value)
    predictions = [mapping(prediction) for prediction in items(body.get("predictions"))]
    found.terminal = True
    found.response_model = name(body.get("modelVersionId")) or found.response_model
    metadata = mapping(body.get("metadata"))
    characters = count(metadata.get("billableCharacterCount"))
    embedded = [counted for counted in map(_embedded, predictions) if counted is not None]
    if embedded:
        found.operation = "embeddings"
        found.usage = {"promptTokenCount": sum(embedded)}
        if characters is not None:
            found.usage["billableCharacterCount"] = characters
    elif any(map(_is_embedding, predictions)):
        found.operation = "embeddings"
    elif any(map(_is_image, predictions)):
        _images(found, predictions)
    else:
        _text(found, metadata)
    return bool(predictions)


def _embedded(prediction: dict[str, Any]) -> int | None:
    return count(mapping(mapping(prediction.get("embeddings")).get("statistics")).get("token_count"))


def _is_embedding(prediction: dict[str, Any]) -> bool:
    return any("embedding" in key.lower() for key in prediction)


def _is_image(prediction: dict[str, Any]) -> bool:
    return bool(prediction.get("bytesBase64Encoded") or prediction.get("gcsUri") or prediction.get("raiFilteredReason"))


def _images(found: Found, predictions: list[dict[str, Any]]) -> None:
    found.operation = "image"
    made = [prediction for prediction in predictions if not prediction.get("raiFilteredReason")]
    if made:
        found.price_context["images"] = str(len(made))
    else:
        found.finish, found.finish_reason = "raiFilteredReason", "content_filter"


def _text(found: Found, metadata: dict[str, Any]) -> None:
    counted = mapping(metadata.get("tokenMetadata"))
    sent = mapping(counted.get("inputTokenCount")).get("totalTokens")
    came = mapping(counted.get("outputTokenCount")).get("totalTokens")
    if count(sent) is not None or count(came) is not None:
        found.operation = "text_completion"
        found.usage = {"inputTokenCount": sent, "outputTokenCount": came}


def predict_tokens(found: Found) -> Tokens | None:
    """Of embeddings the input, of the old text models both sides; images are counted apiece."""
    usage = found.usage or {}
    if "inputTokenCount" in usage or "outputTokenCount" in usage:
        sent, came = count(usage.get("inputTokenCount")), count(usage.get("outputTokenCount"))
        return Tokens(input_uncached=sent, output_visible=came)
    return embedding_tokens(found)


def raw_event(found: Found, event_name: str, value: Any) -> bool:
    """A body of the publisher's own: pages of Mistral's OCR, candidates, else OpenAI's shape."""
    body = mapping(value)
    if "usage_info" in body:
        found.operation = "other"
        return mistral_ocr.event(found, event_name, value)
    if "candidates" in body or "usageMetadata" in body:
        return generated(found, event_name, value)
    if "predictions" in body:
        return predict_event(found, event_name, value)
    return openai_chat.event(found, event_name, value)


def raw_tokens(found: Found) -> Tokens | None:
    """By the members that the usage has."""
    usage = found.usage or {}
    if "pages_processed" in usage:
        return mistral_ocr.tokens(found)
    if "promptTokenCount" in usage or "inputTokenCount" in usage:
        return predict_tokens(found)
    return chat_tokens(found)


def raw_request(found: Found, asked: Asked) -> None:
    """Limits from the body, in OpenAI's words; the model from the path."""
    request_facts(found, asked)
    published, endpoint = _PUBLISHER.search(asked.path), _ENDPOINT.search(asked.path)
    if published:
        found.request_model = name(published.group(2))
        found.vendor = _VENDORS.get(published.group(1), published.group(1))
    elif endpoint:
        found.request_model = name(endpoint.group(1))


def predict_request(found: Found, asked: Asked) -> None:
    """Model from the path; Imagen's batch size is what was asked, not what came."""
    request(found, asked)
    published = _PUBLISHER.search(asked.path)
    if published and published.group(1) != "google":
        found.vendor = _VENDORS.get(published.group(1), published.group(1))
    if "imagen" in (found.request_model or ""):
        found.operation = "image"
    elif "embedding" in (found.request_model or "") or "gecko" in (found.request_model or ""):
        found.operation = "embeddings"


EMBEDDINGS = Format(
    "gemini.embeddings",
    "embeddings",
    lambda asked: method(asked) in _EMBEDDINGS,
    request,
    embedding_event,
    embedding_tokens,
)
PREDICT = Format(
    "vertex.predict",
    "other",
    lambda asked: method(asked) in ("predict", "serverStreamingPredict", "predictLongRunning"),
    predict_request,
    predict_event,
    predict_tokens,
)
RAW_PREDICT = Format(
    "vertex.raw_predict",
    "chat",
    lambda asked: method(asked) in ("rawPredict", "streamRawPredict"),
    raw_request,
    raw_event,
    raw_tokens,
)
