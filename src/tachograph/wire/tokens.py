"""Token arithmetic: what a source reported -> disjoint parts whose sum is the whole.

Three bases (call.md `usage_basis`): *inclusive*, cached tokens are within the input count; *exclusive*, they
stand beside it; *disjoint*, the source gives parts (or its counts contradict an inclusive reading).
Source of the rules: providers.md A0 "normal form" and its guards.
What it must never know: the name of a provider's field.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tachograph.call import INPUT_PARTS, MODALITY_PARTS, OUTPUT_PARTS, whole


@dataclass(slots=True)
class Tokens:
    """The parts under the names of Call. None: the source did not say."""

    basis: str = "inclusive"
    input_uncached: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    cache_write_other: int | None = None
    output_visible: int | None = None
    output_reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    flags: set[str] = field(default_factory=set)

    @property
    def input_tokens(self) -> int | None:
        """All input."""
        parts = (self.input_uncached, self.cache_read, self.cache_write_5m, self.cache_write_1h, self.cache_write_other)
        return None if parts == _UNKNOWN else sum(filter(None, parts))

    @property
    def output_tokens(self) -> int | None:
        """All output."""
        if self.output_visible is None:
            return self.output_reasoning
        return self.output_visible + (self.output_reasoning or 0)

    def add(self, other: Tokens) -> None:
        """Add the counts of another answer of the same call (realtime responses)."""
        for part in PARTS:
            setattr(self, part, whole((getattr(self, part), getattr(other, part))))
        self.flags |= other.flags


_UNKNOWN = (None,) * len(INPUT_PARTS)
PARTS = (*INPUT_PARTS, *OUTPUT_PARTS, *MODALITY_PARTS)


def inclusive(
    *,
    input_tokens: int | None,
    output_tokens: int | None,
    total_tokens: int | None = None,
    cache_read: int | None = None,
    cache_write_5m: int | None = None,
    cache_write_1h: int | None = None,
    cache_write_other: int | None = None,
    reasoning: int | None = None,
    audio_input: int | None = None,
    audio_output: int | None = None,
    image_input: int | None = None,
    image_output: int | None = None,
    reasoning_model: bool = False,
) -> Tokens:
    """Parts of a source whose input includes what was cached and whose output includes the reasoning.

    Four guards hold where the counts say otherwise; each leaves a flag.
    `cached_twice`: tokens that were written and read at once (Gemini behind OpenRouter) are booked as written.
    `cached_exceeds_input`: more cached than input means that the cached tokens stand beside it (Grok on Azure).
    A total above input + output: the gap is the reasoning (xAI chat), or audio input (Mistral), or image input;
    unexplained, it is booked as reasoning of a reasoning model (`gap_booked`), else only flagged
    (`gap_unexplained`).
    `reasoning_exceeds_output`: the reasoning is cut to the output (Together, OpenRouter are off by one or two).
    """
    out = Tokens("inclusive", audio_input=audio_input, audio_output=audio_output)
    out.image_input, out.image_output = image_input, image_output
    out.cache_read = cache_read
    out.cache_write_5m, out.cache_write_1h, out.cache_write_other = cache_write_5m, cache_write_1h, cache_write_other
    written = (cache_write_5m or 0) + (cache_write_1h or 0) + (cache_write_other or 0)
    cached = (cache_read or 0) + written
    if written and cache_read and _twice(input_tokens, output_tokens, total_tokens, cache_read, written):
        out.flags.add("cached_twice")
        out.cache_read = cache_read - min(cache_read, written)
        cached = out.cache_read + written
    if input_tokens is not None and cached > input_tokens:
        out.flags.add("cached_exceeds_input")
        out.basis = "exclusive"
        out.input_uncached = input_tokens
    elif input_tokens is not None:
        out.input_uncached = input_tokens - cached
    visible, thought = output_tokens, reasoning
    gap = _gap(total_tokens, input_tokens, output_tokens, cached if out.basis == "exclusive" else 0)
    if gap and reasoning and gap == reasoning:
        pass  # the reasoning stands beside the output
    elif gap and audio_input and gap == audio_input:
        out.input_uncached = (out.input_uncached or 0) + audio_input
        thought, visible = _within(reasoning, output_tokens, out)
    elif gap and image_input and gap == image_input:
        out.input_uncached = (out.input_uncached or 0) + image_input
        thought, visible = _within(reasoning, output_tokens, out)
    elif gap and not reasoning and reasoning_model:
        out.flags.add("gap_booked")
        thought = gap
    else:
        if gap:
            out.flags.add("gap_unexplained")
        thought, visible = _within(reasoning, output_tokens, out)
    out.output_visible, out.output_reasoning = visible, thought
    return out


def _twice(input_tokens: int | None, output_tokens: int | None, total: int | None, read: int, written: int) -> bool:
    """Whether tokens were both written and read: each count fits the input, both do not, and the total is plain."""
    if input_tokens is None or total != input_tokens + (output_tokens or 0):
        return False
    return read <= input_tokens and written <= input_tokens < read + written


def _gap(total: int | None, input_tokens: int | None, output_tokens: int | None, beside: int) -> int:
    if total is None or input_tokens is None:
        return 0
    gap = total - input_tokens - (output_tokens or 0) - beside
    return gap if gap > 0 else 0


def _within(reasoning: int | None, output_tokens: int | None, out: Tokens) -> tuple[int | None, int | None]:
    """(reasoning, visible) where the output includes the reasoning."""
    if reasoning is None or output_tokens is None:
        return reasoning, output_tokens
    if reasoning > output_tokens:
        out.flags.add("reasoning_exceeds_output")
        reasoning = output_tokens
    return reasoning, output_tokens - reasoning


def exclusive(
    *,
    input_tokens: int | None,
    output_tokens: int | None,
    cache_read: int | None = None,
    cache_write_5m: int | None = None,
    cache_write_1h: int | None = None,
    cache_write_other: int | None = None,
    reasoning: int | None = None,
) -> Tokens:
    """Parts of a source whose input excludes what was cached (Anthropic, Bedrock); the output includes reasoning."""
    out = Tokens("exclusive", input_uncached=input_tokens, cache_read=cache_read)
    out.cache_write_5m, out.cache_write_1h, out.cache_write_other = cache_write_5m, cache_write_1h, cache_write_other
    out.output_reasoning, out.output_visible = _within(reasoning, output_tokens, out)
    return out
