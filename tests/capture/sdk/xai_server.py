"""A server that speaks xAI's gRPC services, with messages that are made here from their descriptors: xai-sdk need not
be installed, and where it is its own messages are the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

TEXT, INT, LONG, ENUM, REAL, MESSAGE = 9, 5, 3, 14, 2, 11

# message -> (name, number, type, "*" where repeated, name of the message or enumeration).
MESSAGES: dict[str, tuple[tuple[str, int, int, str, str], ...]] = {
    "Content": (("text", 1, TEXT, "", ""),),
    "Message": (("content", 1, MESSAGE, "*", "Content"), ("role", 2, INT, "", "")),
    "GetCompletionsRequest": (
        ("messages", 1, MESSAGE, "*", "Message"),
        ("model", 2, TEXT, "", ""),
        ("user", 16, TEXT, "", ""),
        ("max_tokens", 7, INT, "", ""),
        ("temperature", 14, REAL, "", ""),
    ),
    "FunctionCall": (("name", 1, TEXT, "", ""), ("arguments", 2, TEXT, "", "")),
    "ToolCall": (
        ("id", 1, TEXT, "", ""),
        ("type", 2, ENUM, "", "ToolCallType"),
        ("function", 10, MESSAGE, "", "FunctionCall"),
    ),
    "Delta": (
        ("content", 1, TEXT, "", ""),
        ("reasoning_content", 4, TEXT, "", ""),
        ("role", 2, INT, "", ""),
        ("tool_calls", 3, MESSAGE, "*", "ToolCall"),
    ),
    "CompletionOutput": (
        ("finish_reason", 1, ENUM, "", "FinishReason"),
        ("index", 2, INT, "", ""),
        ("message", 3, MESSAGE, "", "Delta"),
    ),
    "CompletionOutputChunk": (
        ("delta", 1, MESSAGE, "", "Delta"),
        ("finish_reason", 3, ENUM, "", "FinishReason"),
        ("index", 4, INT, "", ""),
    ),
    "SamplingUsage": (
        ("completion_tokens", 1, INT, "", ""),
        ("reasoning_tokens", 6, INT, "", ""),
        ("prompt_tokens", 2, INT, "", ""),
        ("total_tokens", 3, INT, "", ""),
        ("prompt_text_tokens", 4, INT, "", ""),
        ("cached_prompt_text_tokens", 7, INT, "", ""),
        ("server_side_tools_used", 9, ENUM, "*", "ServerSideTool"),
        ("cost_in_usd_ticks", 11, LONG, "", ""),
    ),
    "GetChatCompletionResponse": (
        ("id", 1, TEXT, "", ""),
        ("outputs", 2, MESSAGE, "*", "CompletionOutput"),
        ("created", 5, MESSAGE, "", ".google.protobuf.Timestamp"),
        ("model", 6, TEXT, "", ""),
        ("usage", 9, MESSAGE, "", "SamplingUsage"),
        ("service_tier", 15, ENUM, "", "ServiceTier"),
    ),
    "GetChatCompletionChunk": (
        ("id", 1, TEXT, "", ""),
        ("outputs", 2, MESSAGE, "*", "CompletionOutputChunk"),
        ("created", 3, MESSAGE, "", ".google.protobuf.Timestamp"),
        ("model", 4, TEXT, "", ""),
        ("usage", 6, MESSAGE, "", "SamplingUsage"),
        ("service_tier", 12, ENUM, "", "ServiceTier"),
    ),
}
ENUMS = {
    "FinishReason": ("REASON_INVALID", "REASON_MAX_LEN", "REASON_MAX_CONTEXT", "REASON_STOP", "REASON_TOOL_CALLS"),
    "ServiceTier": ("SERVICE_TIER_UNSPECIFIED", "SERVICE_TIER_DEFAULT", "SERVICE_TIER_PRIORITY"),
    "ToolCallType": (
        "TOOL_CALL_TYPE_INVALID",
        "TOOL_CALL_TYPE_CLIENT_SIDE_TOOL",
        "TOOL_CALL_TYPE_WEB_SEARCH_TOOL",
    ),
    "ServerSideTool": ("SERVER_SIDE_TOOL_INVALID", "SERVER_SIDE_TOOL_WEB_SEARCH", "SERVER_SIDE_TOOL_X_SEARCH"),
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="xai_like.proto", package="xai_api", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    for name, words in ENUMS.items():
        made = file.enum_type.add(name=name)
        for number, word in enumerate(words):
            made.value.add(name=word, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, many, of in fields:
            full = of if of.startswith(".") else f".xai_api.{of}" if of else None
            message.field.add(name=field, number=number, type=kind, label=3 if many else 1, type_name=full)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"xai_api.{name}")) for name in MESSAGES}


CLASSES = _classes()
Request, Response, Chunk = (
    CLASSES[name] for name in ("GetCompletionsRequest", "GetChatCompletionResponse", "GetChatCompletionChunk")
)
USAGE = {
    "prompt_tokens": 41,
    "prompt_text_tokens": 41,
    "cached_prompt_text_tokens": 17,
    "completion_tokens": 11,
    "reasoning_tokens": 128,
    "total_tokens": 180,
    "server_side_tools_used": [1, 1, 2],
    "cost_in_usd_ticks": 12_345_000,
}
MADE = {"id": "resp-1", "model": "grok-4.3-0901", "service_tier": 1, "created": {"seconds": 1_790_000_000}}
GET, CHUNK = "/xai_api.Chat/GetCompletion", "/xai_api.Chat/GetCompletionChunk"
SLOW_SECONDS = 5.0


def asked(word: str = "plain") -> Any:
    """A request; `word` says what shall happen."""
    return Request(model="grok-4.3", messages=[{"content": [{"text": word}]}], max_tokens=77, user="someone")


def _word(request: Any) -> str:
    return str(request.messages[-1].content[0].text)


def _refuse(request: Any, context: Any) -> None:
    code = getattr(grpc.StatusCode, _word(request), None)
    if code is not None:
        context.abort(code, "told to fail")


def completion(request: Any, context: Any) -> Any:
    _refuse(request, context)
    if _word(request) == "slow":
        _sleep(context)
    tools = [{"id": "call-1", "type": 1, "function": {"name": "f"}}, {"id": "call-2", "type": 2}]
    output = {"index": 0, "finish_reason": 4, "message": {"tool_calls": tools}}
    if _word(request) != "tools":
        output = {"index": 0, "finish_reason": 3, "message": {"content": "42", "reasoning_content": "6 x 7", "role": 2}}
    return Response(outputs=[output], usage=USAGE, **MADE)


def chunks(request: Any, context: Any) -> Iterator[Any]:
    _refuse(request, context)
    yield Chunk(outputs=[{"delta": {"reasoning_content": "6 x 7", "role": 2}}], **MADE)
    yield Chunk(outputs=[{"delta": {"content": "4", "role": 2}}], usage={"prompt_tokens": 41}, **MADE)
    if _word(request) == "slow":
        _sleep(context)
    if _word(request) == "break":
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "told to fail")
    yield Chunk(outputs=[{"delta": {"content": "2", "role": 2}, "finish_reason": 3}], usage=USAGE, **MADE)


def _sleep(context: Any) -> None:
    until = time.monotonic() + SLOW_SECONDS
    while context.is_active() and time.monotonic() < until:
        time.sleep(0.01)


def served(threads: int = 8) -> tuple[grpc.Server, str]:
    """A running server, and its address. threads: how many requests it answers at a time."""
    handlers = {
        "GetCompletion": grpc.unary_unary_rpc_method_handler(
            completion, Request.FromString, lambda message: message.SerializeToString()
        ),
        "GetCompletionChunk": grpc.unary_stream_rpc_method_handler(
            chunks, Request.FromString, lambda message: message.SerializeToString()
        ),
    }
    other = {
        "Echo": grpc.unary_unary_rpc_method_handler(
            lambda request, _: Response(id="echo"), Request.FromString, lambda message: message.SerializeToString()
        )
    }
    server = grpc.server(ThreadPoolExecutor(threads))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("xai_api.Chat", handlers),
            grpc.method_handlers_generic_handler("example.Other", other),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"
