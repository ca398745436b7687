"""Exchange -> Call, pure: one reader, one module per wire format.

`FORMATS` is the whole list; the first that matches a request reads its answer, the last matches everything.
What this room must never know: prices, spans, SQL, a clock, a socket.
"""

from __future__ import annotations

from tachograph.call import Call
from tachograph.wire import (
    anthropic,
    bedrock,
    bedrock_invoke,
    cohere,
    gemini,
    gemini_predict,
    ollama,
    watsonx,
    xai_grpc,
)
from tachograph.wire.alibaba import GENERATION
from tachograph.wire.cloudflare import RUN
from tachograph.wire.exchange import End, Exchange, Request
from tachograph.wire.format import Format
from tachograph.wire.gemini_interactions import INTERACTIONS
from tachograph.wire.gemini_live import LIVE
from tachograph.wire.mistral_ocr import OCR
from tachograph.wire.native_engines import LLAMACPP, SGLANG, TGI
from tachograph.wire.openai_audio import SPEECH, TRANSCRIPTION
from tachograph.wire.openai_batch import BATCH
from tachograph.wire.openai_chat import CHAT
from tachograph.wire.openai_completions import COMPLETIONS
from tachograph.wire.openai_embeddings import EMBEDDINGS, RERANK
from tachograph.wire.openai_images import IMAGES
from tachograph.wire.openai_realtime import REALTIME
from tachograph.wire.openai_responses import INPUT_TOKENS, RESPONSES
from tachograph.wire.openai_shapes import UNKNOWN
from tachograph.wire.reader import Reader

FORMATS: tuple[Format, ...] = (
    anthropic.COUNT_TOKENS,  # before the messages: Vertex counts under the name of a model
    anthropic.MESSAGES,
    anthropic.BATCH,
    anthropic.COMPLETE,
    gemini.GENERATE,
    gemini.COUNT_TOKENS,
    gemini_predict.EMBEDDINGS,
    gemini_predict.PREDICT,
    gemini_predict.RAW_PREDICT,
    INTERACTIONS,
    LIVE,
    bedrock.CONVERSE,
    bedrock.COUNT_TOKENS,
    bedrock_invoke.INVOKE,
    ollama.CHAT,
    ollama.GENERATE,
    ollama.EMBED,
    OCR,
    CHAT,
    COMPLETIONS,
    INPUT_TOKENS,
    RESPONSES,
    GENERATION,
    SGLANG,
    TGI,
    LLAMACPP,
    watsonx.GENERATE,
    xai_grpc.CHAT,
    xai_grpc.SAMPLE,
    xai_grpc.IMAGE,
    IMAGES,
    TRANSCRIPTION,
    SPEECH,
    REALTIME,
    RERANK,
    cohere.CHAT,
    cohere.GENERATE,
    cohere.EMBED,
    cohere.RERANK,  # after OpenAI's, which is told by its hosts
    cohere.CLASSIFY,
    EMBEDDINGS,
    BATCH,
    RUN,
    UNKNOWN,  # matches everything
)


def reader(exchange: Exchange) -> Reader:
    """A reader for the answer of `exchange`; its chunks are not read yet."""
    return Reader(
        exchange.request,
        FORMATS,
        status=exchange.status,
        headers={name.lower(): value for name, value in exchange.headers.items()},
        provider=exchange.provider,
        api=exchange.api,
        started_at=exchange.started_at,
        headers_us=exchange.headers_us,
    )


def read(exchange: Exchange) -> list[Call]:
    """The Calls of a whole exchange: one, or one per result in a file of batch results. Never raises."""
    reading = reader(exchange)
    for at_us, sent, value in exchange.messages or ():
        reading.message(sent, value, at_us)
    reading.feed_all([chunk for _, chunk in exchange.chunks], [at_us for at_us, _ in exchange.chunks])
    return reading.close(exchange.end_us, exchange.end)


__all__ = ["FORMATS", "End", "Exchange", "Format", "Reader", "Request", "read", "reader"]
