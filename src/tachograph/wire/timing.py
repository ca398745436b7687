"""Stamps -> latency facts: first content, gaps between content events, whether the stream was buffered.

All stamps are microseconds since the request was sent, told by the door; None means that nobody looked. A gap that
cannot be known (a stamp is missing, the clock went back) is not counted. Memory is bounded: gaps are counted in fixed
buckets, never kept.
What it must never know: what a content event contains; a clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import sub
from typing import cast

from tachograph.call import ITL_BUCKETS, itl_bucket


def _bound_us(bucket: int) -> int:
    """The longest gap of a bucket of `itl_bucket`, which says so in milliseconds and takes a logarithm for each."""
    bound = round(2 ** (bucket / 4) * 1000)
    while itl_bucket((bound + 1) / 1000) <= bucket:
        bound += 1
    while itl_bucket(bound / 1000) > bucket:
        bound -= 1
    return bound


_BOUNDS_US = tuple(_bound_us(bucket) for bucket in range(ITL_BUCKETS - 1))


class Timing:
    """Fed with the arrival of content events, in order."""

    def __init__(self) -> None:
        self.first_content_us: int | None = None
        self.last_content_us: int | None = None
        self.contents = 0
        self.clock_skew = False
        self._gaps = [0] * ITL_BUCKETS
        self._gap_count = 0
        self._gap_sum_us = 0
        self._gap_max_us = 0

    def content(self, at_us: int | None) -> None:
        """An event with visible or reasoning content came."""
        self.contents += 1
        last = self.last_content_us
        if at_us is not None and at_us < 0:  # before it was asked for
            self.clock_skew = True
            at_us = None
        self.last_content_us = at_us
        if at_us is None:
            return
        if self.contents == 1:
            self.first_content_us = at_us
        elif last is not None:
            self._gap(at_us - last)

    def all_content(self, moments_us: Sequence[int | None]) -> None:
        """The same for some of them, in order."""
        last = self.last_content_us
        if last is not None and self.contents and None not in moments_us:
            known = cast(Sequence[int], moments_us)
            gaps = sorted(map(sub, known, [last, *known]))
            if gaps and gaps[0] >= 0:
                self.contents += len(known)
                self.last_content_us = known[-1]
                self._all_gaps(gaps)
                return
        for at_us in moments_us:
            self.content(at_us)

    def _all_gaps(self, gaps_us: list[int]) -> None:
        """Gaps, the shortest first."""
        self._gap_count += len(gaps_us)
        self._gap_sum_us += sum(gaps_us)
        self._gap_max_us = max(self._gap_max_us, gaps_us[-1])
        at = 0
        while at < len(gaps_us):
            bucket = bisect_left(_BOUNDS_US, gaps_us[at])
            end = bisect_right(gaps_us, _BOUNDS_US[bucket], at) if bucket < len(_BOUNDS_US) else len(gaps_us)
            self._gaps[bucket] += end - at
            at = end

    def _gap(self, gap_us: int) -> None:
        if gap_us < 0:
            self.clock_skew = True
            return
        self._gaps[bisect_left(_BOUNDS_US, gap_us)] += 1
        self._gap_count += 1
        self._gap_sum_us += gap_us
        if gap_us > self._gap_max_us:
            self._gap_max_us = gap_us

    @property
    def buffered(self) -> bool:
        """All content events came at one moment: something held them back."""
        return self.contents > 1 and self._gap_count == self.contents - 1 and self._gap_max_us == 0

    def buckets(self) -> list[int] | None:
        """The gaps by bucket, without the empty tail; None where there was no gap."""
        if not self._gap_count:
            return None
        return self._gaps[: bisect_left(_BOUNDS_US, self._gap_max_us) + 1]

    def mean_ms(self) -> float | None:
        """Mean gap."""
        return round(self._gap_sum_us / self._gap_count / 1000, 3) if self._gap_count else None

    def max_ms(self) -> float | None:
        """Longest gap."""
        return self._gap_max_us / 1000 if self._gap_count else None

    def p99_ms(self) -> float | None:
        """99th percentile, read off the buckets: at most 9.1 % from the true value where that is over a millisecond,
        never above the longest gap.
        """
        if not self._gap_count:
            return None
        seen, longest = 0, self._gap_max_us / 1000
        for index, gaps in enumerate(self._gaps[:-1]):
            seen += gaps
            if seen * 100 >= 99 * self._gap_count:
                middle = 2 ** ((index - 0.5) / 4) if index else 0.5
                return round(min(middle, longest), 3)
        return round(longest, 3)  # the last bucket has no upper end
