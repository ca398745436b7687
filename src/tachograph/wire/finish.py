"""Why an answer ended: every provider's word -> one of FINISH_REASONS.

A word that nobody taught us becomes `other` and a flag; nothing is guessed.
What it must never know: framing, tokens, prices.
"""

from __future__ import annotations

from tachograph.wire.found import Found

# Words are folded to lower case with underscores before the look-up.
_REASONS: dict[str, str] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "complete": "stop",
    "completed": "stop",
    "end": "stop",
    "finish": "stop",
    "success": "stop",
    "stop_criteria_met": "stop",
    "endoftext": "stop",
    "pause_turn": "other",
    "compaction": "other",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_length": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "content_filter_results": "content_filter",
    "refusal": "content_filter",
    "guardrail_intervened": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "language": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
    "image_prohibited_content": "content_filter",
    "image_recitation": "content_filter",
    "model_armor": "content_filter",
    "jailbreak": "content_filter",
    "sensitive": "content_filter",
    "error": "error",
    "error_toxic": "content_filter",
    "error_limit": "length",
    "malformed_function_call": "error",
    "malformed_tool_use": "error",
    "malformed_model_output": "error",
    "unexpected_tool_call": "error",
    "too_many_tool_calls": "error",
    "malformed_response": "error",
    "image_other": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
    "failed": "error",
    "timeout": "error",
    "missing_thought_signature": "error",
    "cancelled": "other",
    "user_cancel": "other",
    "abort": "other",
    "other": "other",
    "no_image": "other",
    "load": "other",
    "unload": "other",
}
_NO_REASON = frozenset({"", "null", "finish_reason_unspecified", "unspecified", "not_finished"})


def reason_of(word: str) -> str | None:
    """One of FINISH_REASONS; None where the word says that there is no reason, `unknown` where nobody taught us."""
    folded = word.strip().lower().replace("-", "_").replace(" ", "_")
    return None if folded in _NO_REASON else _REASONS.get(folded, "unknown")


def finished(found: Found, word: str) -> None:
    """Write the reason, ours and theirs. The first real reason wins over a later one of the same answer.

    OpenRouter sends one more chunk with a null reason and n > 1 sends one per choice: a `stop` never hides a
    `length`, a `tool_calls` or a filter that came before.
    """
    reason = reason_of(word)
    if reason is None:
        return
    if reason == "unknown":
        found.flags.add("finish_reason_unknown")
        reason = "other"
    if found.finish_reason in (None, "stop", "other"):
        found.finish, found.finish_reason = word, reason
