"""Failures on the wire -> error_type (a closed list, by fault domain) and error_code (the provider's word).

Takes the shapes of every provider at once, since gateways and proxies mix them: an `error` object or text, lists of
them, flat `{message, code}`, `{detail}`, `x-amzn-errortype`, pages of HTML. Source: providers.md A2 to A10, A14.
What it must never know: prices, framing. The message of an error may quote the prompt: it is matched against
words, and never kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tachograph.wire.found import Found, items, mapping, name
from tachograph.wire.limits import wait_ms

_BY_STATUS: dict[int, str] = {
    400: "client_bad_request",
    401: "client_auth",
    402: "quota_exhausted",
    403: "client_auth",
    404: "client_not_found",
    405: "client_bad_request",
    408: "timeout",
    409: "client_bad_request",
    410: "client_not_found",
    411: "client_bad_request",
    412: "client_bad_request",
    413: "client_too_large",
    415: "client_bad_request",
    422: "client_bad_request",
    424: "provider_error",
    425: "client_bad_request",
    429: "rate_limited",
    431: "client_too_large",
    498: "provider_overloaded",
    499: "cancelled",
    500: "provider_error",
    501: "provider_error",
    502: "provider_error",
    503: "provider_overloaded",
    504: "timeout",
    520: "provider_error",
    522: "timeout",
    524: "timeout",
    529: "provider_overloaded",
}

# Words of codes and types, most telling first. They outrank the status: Azure sends a content filter as 400,
# OpenAI an empty purse as 429.
_BY_WORD: tuple[tuple[str, str], ...] = (
    (
        r"content_?filter|content_?policy|responsible_?ai|moderation|safety|prohibited_content|blocklist"
        r"|data_?inspection",
        "content_filter",
    ),
    (
        r"insufficient_?quota|service_?quota|billing|insufficient_?balance|insufficient_?credits|credits?_exhausted"
        r"|quota_?exhausted|arrearage|payment_required|exceeded_current_quota",
        "quota_exhausted",
    ),
    (
        r"context_?length|context_?window|context_size|exceed_context|too_?large|max_tokens_exceeded"
        r"|too_?many_?(prompt_?|input_?)?tokens|string_above_max",
        "client_too_large",
    ),
    (
        r"rate_?limit|throttl|too_?many_?requests|resource_?exhausted|limit_requests|limit_burst_rate|ratequota",
        "rate_limited",
    ),
    (
        r"overload|capacity|unavailable|model_?not_?ready|engine_overloaded|model_loading|resource_unavailable",
        "provider_overloaded",
    ),
    (
        r"invalid_?api_?key|authentication|unauthori[sz]ed|unauthenticated|permission|access_?denied"
        r"|(?<!extra_)forbidden|unrecognized_?client|expired_?token|invalid_?signature|incorrect_api_key|wrong_api_key",
        "client_auth",
    ),
    (
        r"not_?found|deploymentnotfound|unknown_?model|model_?not_?exist|resourcenotfound|unknown_url",
        "client_not_found",
    ),
    (r"timeout|timed_?out|deadline_?exceeded", "timeout"),
    (r"cancell?ed|client_closed", "cancelled"),
    (
        r"invalid|validation|bad_?request|unsupported|missing_required|unprocessable|failed_?precondition"
        r"|malformed|unexpected_argument|tool_use_failed|json_validate_failed",
        "client_bad_request",
    ),
    (
        r"internal|server_?error|api_error|upstream|provider|model_?error|model_?stream_?error|generation|bad_gateway",
        "provider_error",
    ),
)
_WORDS = tuple((re.compile(pattern), kind) for pattern, kind in _BY_WORD)

# Of messages only these are believed, and only where codes say nothing: they are the ones servers write themselves.
_MESSAGES = (
    (
        re.compile(
            r"(?i)context (size|length|window)|maximum context|(prompt|input) is too long|too many tokens"
            r"|input tokens exceed"
        ),
        "client_too_large",
    ),
    (re.compile(r"(?i)exceeded your current quota|insufficient balance|credit balance"), "quota_exhausted"),
    (re.compile(r"(?i)^model not exist"), "client_not_found"),
    (re.compile(r"(?i)rate limit|too many requests"), "rate_limited"),
    (re.compile(r"(?i)overloaded|(over|at) capacity"), "provider_overloaded"),
    (re.compile(r"(?i)content management policy|content filter|usage polic(y|ies)|safety system"), "content_filter"),
    (re.compile(r"(?i)api[ _-]key|unauthorized|authentication"), "client_auth"),
)
_CODE = re.compile(r"[A-Za-z][\w.:/-]{1,79}")


def note(found: Found, value: Any, status: int | None, headers: Mapping[str, str]) -> bool:
    """Write the failure that `value` carries into `found`; whether it carries one.

    value: a JSON value of an answer or an event, or None where the body was no JSON. A status of 400 and above is a
    failure whatever the body says.
    """
    failed_by_status = status is not None and status >= 400
    codes, message, inner_status = _read(value, failed_by_status)
    amazon = headers.get("x-amzn-errortype", "").partition(":")[0] if failed_by_status else ""
    if amazon:
        codes.insert(0, amazon)
    if not failed_by_status and not codes and not message and inner_status is None:
        return False
    _retry_info(found, value)
    effective = status if failed_by_status else inner_status
    found.error_type = classify(codes, message, effective)
    found.error_code = next((code for code in codes if _CODE.fullmatch(code)), None) or next(iter(codes), None)
    if found.error_code is None:  # Azure's "401", OpenRouter's 429: a number is all the word that they give
        found.error_code = _number(value)
    return True


def _retry_info(found: Found, value: Any) -> None:
    """Google says in the body how long to wait: `details: [{"@type": "...RetryInfo", "retryDelay": "34s"}]`."""
    holder = value[0] if isinstance(value, list) and value else value
    for detail in items(mapping(mapping(holder).get("error")).get("details"))[:16]:
        wait = wait_ms(name(mapping(detail).get("retryDelay")) or "")
        if wait is not None:
            found.limits["retry_after_ms"] = wait


def classify(codes: list[str], message: str, status: int | None) -> str:
    """The fault domain of a failure, from its codes, else from its message, else from its status."""
    for pattern, kind in _WORDS:
        if any(pattern.search(_snake(code)) for code in codes):
            if kind in ("client_bad_request", "provider_error"):
                break  # vague words: the message or the status may know better
            if kind == "provider_overloaded" and status == 429:
                return "rate_limited"
            if kind == "rate_limited" and status == 413:
                return "client_too_large"  # Groq: one request above the limit of a minute, which no waiting helps
            return kind
    for pattern, kind in _MESSAGES:
        if message and pattern.search(message) and (kind != "client_auth" or status in (None, 400)):
            return kind
    if status is not None and status >= 400:
        return _BY_STATUS.get(status, "client_bad_request" if status < 500 else "provider_error")
    for pattern, kind in _WORDS:
        if any(pattern.search(_snake(code)) for code in codes):
            return kind
    return "other"


def _snake(code: str) -> str:
    """`ThrottlingException`, `RESOURCE_EXHAUSTED` and `rate_limit_error` under one spelling."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).lower().replace("-", "_").replace(" ", "_")


def _read(value: Any, failed: bool) -> tuple[list[str], str, int | None]:
    """(codes, most specific first; message; status stated inside) of any provider's error value."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), None)
    if not isinstance(value, dict):
        return [], "", None
    error = _error(value, failed)
    if isinstance(error, dict):
        codes, message, status = _members(error)
        codes += [code for code in (name(value.get("code")), name(value.get("error_type"))) if code]
        return codes, message, status
    if isinstance(error, str) and error:
        codes = [code for code in (name(value.get("code")), name(value.get("error_type"))) if code]
        return codes, error, _status(value.get("status_code") or value.get("code"))
    if not failed and value.get("object") != "error" and value.get("type") != "error":
        return [], "", None
    codes, message, status = _members(value)
    codes += [code for code in (name(value.get("error_type")),) if code]  # Cohere
    detail = value.get("detail")
    if isinstance(detail, str):
        message = message or detail
    elif items(detail):
        codes += [code for code in (name(mapping(item).get("type")) for item in items(detail)) if code][:1]
    return codes, message, status


def _error(value: dict[str, Any], failed: bool) -> Any:
    """The error inside; of Cloudflare's list of them, which stands empty in an answer that went well, the first."""
    listed = next((item for item in items(value.get("errors")) if isinstance(item, dict)), None)
    return value.get("error") or (listed if failed else None)


def _members(error: dict[str, Any]) -> tuple[list[str], str, int | None]:
    inner = mapping(error.get("innererror")).get("code")
    details = mapping(error.get("details")).get("error_code")
    metadata = mapping(error.get("metadata")).get("error_type")
    words = [error.get("code"), inner, details, metadata, error.get("status"), error.get("type"), error.get("__type")]
    codes = [word for word in map(name, words) if word and not word.isdigit() and word != "error"]
    status = _status(error.get("status_code")) or _status(error.get("code")) or _status(error.get("http_code"))
    return codes, name(error.get("message")) or "", status


def _number(value: Any) -> str | None:
    """The code of an error where it is a number."""
    members = mapping(value)
    error = _error(members, failed=True)
    code = mapping(error).get("code") if isinstance(error, dict) else members.get("code")
    if isinstance(code, bool) or not isinstance(code, (int, str)):
        return None
    return str(code)[:8] if str(code).isdigit() else None


def _status(value: Any) -> int | None:
    if isinstance(value, str) and value.isdigit():
        value = int(value[:4])
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else None
