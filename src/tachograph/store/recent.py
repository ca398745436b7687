"""What was stored lately, in a few bits a key: whether the store must be asked at all.

In: keys (64-bit). Out: "surely not" or "perhaps". It holds no key: a chain of Bloom filters, the oldest of which is
forgotten when there are too many.
What it must never know: what a key stands for, a clock.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

GENERATION_KEYS = 2**20
GENERATIONS_MAX = 3  # 3.1 million keys, 9 MB: of 870 a second, an hour; four such sets may not outgrow a laptop
_BITS = 3 * 2**23  # 24 a key
_BLOCK_WORDS = 16  # of 64 bits
_HASHES = 10  # perhaps, though it was not: forty of a million keys and full generation, as asking in vain is dear


class Recent:
    """A set that may only err by saying yes."""

    def __init__(self) -> None:
        self._generations: list[_Generation] = []
        self._unused: list[_Generation] = []
        self.forgotten_until = 0  # the largest `at` of all keys that were forgotten

    def add(self, keys: Any, at: int) -> None:
        """Remember keys; `at`: the largest time among them."""
        keys = np.sort(keys)  # bits that lie together are set one after the other: half the time
        for start in range(0, len(keys), GENERATION_KEYS):
            piece = keys[start : start + GENERATION_KEYS]
            if not self._generations or self._generations[-1].keys + len(piece) > GENERATION_KEYS:
                self._begin()
            self._generations[-1].add(piece, at)

    def _begin(self) -> None:
        """Begin a generation. Who needs a second one will need all: their memory is taken at once and used again, so
        that what a loaded process holds stands still early.
        """
        if len(self._generations) == 1:
            self._unused = [_Generation() for _ in range(GENERATIONS_MAX - 1)]
        if len(self._generations) == GENERATIONS_MAX:
            oldest = self._generations.pop(0)
            self.forgotten_until = max(self.forgotten_until, oldest.until)
            oldest.clear()
            self._unused.append(oldest)
        self._generations.append(self._unused.pop() if self._unused else _Generation())

    def perhaps(self, keys: Any) -> Any:
        """For each key: False where it was surely not remembered."""
        found = np.zeros(len(keys), bool)
        places = _places(keys) if self._generations else ()
        for generation in self._generations:
            found[generation.perhaps(*places)] = True
        return found

    @property
    def held_bytes(self) -> int:
        """Memory."""
        return (len(self._generations) + len(self._unused)) * _BITS // 8


class _Generation:
    """All bits of a key lie in one block: ten places all over memory would be ten times to wait for it."""

    def __init__(self) -> None:
        self._words = np.empty(_BITS // 64, np.uint64)  # written to by `clear`: zeros alone would not be in memory yet
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self._words.fill(0)
        self.keys = 0
        self.until = 0

    def add(self, keys: Any, at: int) -> None:
        block, turned, bits = _places(keys)
        for turn in range(_HASHES):
            _set(self._words, _word(block, turned, turn), _bit(bits, turn))
        self.keys += len(keys)
        self.until = max(self.until, at)

    def perhaps(self, block: Any, turned: Any, bits: Any) -> Any:
        """Which of the keys at these places. Most are surely not there after a bit or two: only what is left is looked
        at further.
        """
        left = np.arange(len(block))
        for turn in range(_HASHES):
            there = np.flatnonzero(self._words.take(_word(block, turned, turn)) & _bit(bits, turn))
            left, block, turned, bits = (each.take(there) for each in (left, block, turned, bits))
        return left


def _set(words: Any, at: Any, bits: Any) -> None:
    """Set these bits. All at once, and then those that were lost where two of them were for one word: one by one takes
    three times as long.
    """
    words[at] = words.take(at) | bits
    lost = np.flatnonzero(words.take(at) & bits == 0)
    np.bitwise_or.at(words, at.take(lost), bits.take(lost))


def _places(keys: Any) -> tuple[Any, Any, Any]:
    """(first word of the block, at which of its words to begin, which bits of them) of each key."""
    blocks = np.uint64(_BITS // 64 // _BLOCK_WORDS)  # in the order of the keys, see `add`
    block = ((keys << np.uint64(1) >> np.uint64(40)) * blocks >> np.uint64(24)).astype(np.int64) * _BLOCK_WORDS
    return block, (keys & np.uint64(_BLOCK_WORDS - 1)).astype(np.int64), mixed(keys)


def _word(block: Any, turned: Any, turn: int) -> Any:
    return block + ((turned + turn) & (_BLOCK_WORDS - 1))


def _bit(bits: Any, turn: int) -> Any:
    return np.uint64(1) << ((bits >> np.uint64(6 * turn)) & np.uint64(63))


def mixed(keys: Any) -> Any:
    """Keys whose bits are spread evenly (splitmix64)."""
    with np.errstate(over="ignore"):
        keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def of_bytes(array: pa.Array, width: int) -> Any:
    """A key for each value of a column of fixed bytes; of a null, 0."""
    filled = array.fill_null(b"\0" * width) if array.null_count else array
    start = filled.offset * width
    raw = np.frombuffer(filled.buffers()[1], np.uint8)[start : start + len(filled) * width]
    words = np.ascontiguousarray(raw).view(np.uint64).reshape(len(filled), width // 8)
    if width == 8:
        return mixed(words[:, 0])
    with np.errstate(over="ignore"):
        return mixed(words[:, 0] ^ (words[:, -1] * np.uint64(0x9E3779B97F4A7C15)))


def of_texts(array: pa.Array) -> Any:
    """A key for each text, as long as this process lives; of a null or an empty one, 0."""
    texts = array.fill_null("").to_pylist()  # the hash of an empty text is 0
    return np.fromiter(map(hash, texts), np.int64, len(texts)).view(np.uint64)
