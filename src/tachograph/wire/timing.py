"""Stamps -> latency facts: first content, gaps between content events, whether the stream was buffered.

All stamps are microseconds since the request was sent, told by the door; None means that nobody looked.
Memory is bounded: gaps are counted in fixed buckets, never kept.
What it must never know: what a content event contains; a clock.
"""

from __future__ import annotations

from tachograph.call import ITL_BUCKETS, itl_bucket


class Timing:
    """Fed with the arrival of pieces and of content events, in order."""

    def __init__(self) -> None:
        self.first_piece_us: int | None = None
        self.last_piece_us: int | None = None
        self.pieces = 0
        self.first_content_us: int | None = None
        self.contents = 0
        self.clock_skew = False
        self._last_content_us: int | None = None
        self._gaps = [0] * ITL_BUCKETS
        self._gap_count = 0
        self._gap_sum_us = 0
        self._gap_max_us = 0

    def piece(self, at_us: int | None) -> None:
        """A piece of the body came."""
        self.pieces += 1
        if at_us is None:
            return
        if self.first_piece_us is None:
            self.first_piece_us = at_us
        self.last_piece_us = at_us

    def content(self, at_us: int | None) -> None:
        """An event with visible or reasoning content came."""
        self.contents += 1
        if at_us is None:
            return
        if self._last_content_us is None:
            self.first_content_us = at_us
        else:
            gap = at_us - self._last_content_us
            if gap < 0:  # the clock went back: the gap is unknown, not negative
                self.clock_skew = True
                gap = 0
            self._gaps[itl_bucket(gap / 1000)] += 1
            self._gap_count += 1
            self._gap_sum_us += gap
            self._gap_max_us = max(self._gap_max_us, gap)
        self._last_content_us = at_us

    @property
    def buffered(self) -> bool:
        """Several content events came with the very first piece and nothing after it: something held them back."""
        return self.contents > 1 and self.first_piece_us is not None and self.first_piece_us == self._last_content_us

    def buckets(self) -> list[int] | None:
        """The gaps by bucket, without the empty tail; None where there was no gap."""
        if not self._gap_count:
            return None
        last = max(index for index, gaps in enumerate(self._gaps) if gaps)
        return self._gaps[: last + 1]

    def mean_ms(self) -> float | None:
        """Mean gap."""
        return round(self._gap_sum_us / self._gap_count / 1000, 3) if self._gap_count else None

    def max_ms(self) -> float | None:
        """Longest gap."""
        return round(self._gap_max_us / 1000, 3) if self._gap_count else None

    def p99_ms(self) -> float | None:
        """99th percentile, read off the buckets: at most 9 % from the true value, never above the longest gap."""
        if not self._gap_count:
            return None
        rank, seen = 0.99 * self._gap_count, 0
        for index, gaps in enumerate(self._gaps):
            seen += gaps
            if seen >= rank:
                middle = 2 ** ((index - 0.5) / 4) if index else 0.5
                return round(min(middle, self._gap_max_us / 1000), 3)
        return self.max_ms()
