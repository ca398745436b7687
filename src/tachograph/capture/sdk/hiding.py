"""Hiding that a stream was counted: the answer as the provider would have sent it to somebody who did not ask. Pure.

In: the bytes of server-sent events, in pieces of any size. Out: the same without the chunk that brings the usage (its
`choices` is empty), and without the member `"usage": null` of all other chunks. Everything else passes as it is and at
once: an event is held back only while it may still be that chunk, a member only while it may still be that member.
What it must never know: a transport, a clock, what a count means.
"""

from __future__ import annotations

import json
import re

HELD_BYTES_MAX = 64 * 1024  # an event of which so much has come without saying is not that chunk

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\r|\n)?")
_DATA = b"data:"
_FIELDS = (b"event:", b"id:", b"retry:")  # of the same event, before its data
_NULL = re.compile(rb',\s*"usage"\s*:\s*null(?=\s*[,}])')
_IN_STRING = re.compile(rb'["\\]')
_AT_TOP = re.compile(rb'["{}\[\],]')
_BELOW = re.compile(rb'["{}\[\]]')
_BLANKS = b" \t\r\n"
_FILL = b" \t\r\n:"  # between a name and its value


class Hidden:
    """The filter of one answer: `feed` what came and pass on what it returns; `rest` at the end."""

    def __init__(self) -> None:
        self._kind = ""  # of the line that is being read: "data", "field", "other"; "" at its start
        self._begun = b""  # of a line whose kind cannot be told yet
        self._event = bytearray()  # held back, of an event that may be the chunk
        self._chunk = Chunk()
        self._dropping = False  # the chunk is gone; so must be the blank line after it
        self._half: bytes | None = None  # after \r: what becomes of a \n that belongs to it

    @property
    def held(self) -> bytes:
        """What has come and has been neither passed on nor dropped."""
        return bytes(self._event + self._chunk.member) + self._begun

    def feed(self, data: bytes) -> bytes:
        """What the caller may see now."""
        out = bytearray()
        if self._half is not None and data:
            if data[:1] == b"\n":
                (self._event if self._event else out).extend(self._half)
                data = data[1:]
            self._half = None
        for text, end in _LINE.findall(data):
            if text or end:
                self._part(text, end, out)
                self._half = None if end != b"\r" else b"" if self._dropped else b"\n"
        if len(self._event) > HELD_BYTES_MAX:
            self._chunk.undecided = False
            self._release(out)
        return bytes(out)

    def rest(self) -> bytes:
        """What is left when the answer has ended."""
        gone = self._chunk.is_usage
        return b"" if gone else self.held

    def _part(self, text: bytes, end: bytes, out: bytearray) -> None:
        """A line, or a part of one."""
        self._dropped = False
        if not self._kind:
            text, self._begun = self._begun + text, b""
            if not end and any(field.startswith(text) and field != text for field in (_DATA, *_FIELDS)):
                self._begun = text
                return
            if not text:
                self._blank(end, out)
                return
            self._dropping = False
            simple = _simple(text) if end else None
            if simple is not None:
                self._release(out)
                out += simple + end
                return
            text = self._begin(text)
        if self._kind == "data":
            self._data(self._chunk.feed(text), out)
        else:
            self._pass(text, out)
        if end:
            self._end(end, out)

    def _blank(self, end: bytes, out: bytearray) -> None:
        """The end of an event."""
        self._dropped, self._dropping = self._dropping, False
        if not self._dropped:
            self._release(out)
            out += end

    def _begin(self, text: bytes) -> bytes:
        """Tell what kind of line it is; what is left to be read of it."""
        if not text.startswith(_DATA):
            self._kind = "field" if text.startswith(_FIELDS) else "other"
            return text
        self._kind, self._chunk = "data", Chunk()
        self._event += _DATA
        return text[len(_DATA) :]

    def _data(self, visible: bytes, out: bytearray) -> None:
        self._event += visible
        if not self._chunk.undecided:
            self._release(out)

    def _pass(self, text: bytes, out: bytearray) -> None:
        """Fields wait for the data of their event; all else waits only for what is before it."""
        if self._kind == "field" or self._event:
            self._event += text
        else:
            out += text

    def _end(self, end: bytes, out: bytearray) -> None:
        if self._chunk.is_usage:
            self._event.clear()
            self._dropping = self._dropped = True
        elif self._kind == "data":
            self._event += self._chunk.member + end
            self._release(out)
        else:
            self._pass(end, out)
        self._kind, self._chunk = "", Chunk()

    def _release(self, out: bytearray) -> None:
        out += self._event
        self._event.clear()


def _simple(line: bytes) -> bytes | None:
    """What is left of a whole line of data, where that is quickly said; None where it must be read."""
    if not line.startswith(_DATA):
        return None
    if b'"usage"' not in line:
        return line
    null = _NULL.search(line)
    if null is None or line.count(b'"usage"') != 1:
        return None
    try:
        value = json.loads(line[len(_DATA) :])
    except (ValueError, RecursionError):
        return None
    return line[: null.start()] + line[null.end() :] if isinstance(value, dict) and "usage" in value else None


def _to(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    """Where the pattern is next; the end where it is not."""
    found = pattern.search(text, at)
    return len(text) if found is None else found.start()


class Chunk:
    """Reads the JSON of one event as it comes.

    undecided: it may still be the chunk that brings the usage. member: held back, of one that may still be
    `"usage": null`, with the comma before it.
    """

    def __init__(self) -> None:
        self.undecided = True
        self.member = bytearray()
        self._out = bytearray()
        self._read = self._before
        self._name = bytearray()
        self._depth = 0
        self._string = self._escaped = False
        self._comma_gone = False  # the first member was dropped: the comma after it goes, too
        self._empty = self._counted = self._whole = False

    @property
    def is_usage(self) -> bool:
        """Whether it was the chunk that brings the usage: held back, whole, with counts, and no choices."""
        return self.undecided and self._whole and self._empty and self._counted

    def feed(self, text: bytes) -> bytes:
        """What is not held back as a member."""
        at = 0
        while at < len(text):
            at = self._read(text, at)
        out = bytes(self._out)
        self._out.clear()
        return out

    def _before(self, text: bytes, at: int) -> int:
        self._out.append(text[at])
        if text[at] == ord("{"):
            self._depth, self._read = 1, self._key
        elif text[at] not in _BLANKS:
            self._off()
        return at + 1

    def _off(self) -> None:
        """No object, or behind it: there is nothing more to find."""
        self._out += self.member
        self.member.clear()
        self._read = self._pass
        if not self._whole:
            self.undecided = False

    def _pass(self, text: bytes, at: int) -> int:
        self._out += text[at:]
        return len(text)

    def _key(self, text: bytes, at: int) -> int:
        """Before the name of a member."""
        byte = text[at]
        if byte == ord('"'):
            self.member.append(byte)
            self._name.clear()
            self._comma_gone, self._read = False, self._in_name
        elif byte in _BLANKS:
            if not self._comma_gone:
                self.member.append(byte)
        else:
            self._off()
            return at
        return at + 1

    def _in_name(self, text: bytes, at: int) -> int:
        if self._escaped:
            self._escaped, end = False, at + 1
        else:
            end = _to(_IN_STRING, text, at)
        self._name += text[at:end]
        self.member += text[at:end]
        if end == at and text[at] == ord('"'):
            self._named()
            return at + 1
        if end == at:
            self._escaped = True
            self._name.append(text[at])
            self.member.append(text[at])
            return at + 1
        return end

    def _named(self) -> None:
        self.member.append(ord('"'))
        if self._name == b"usage":
            self._read = self._usage
            return
        self._out += self.member
        self.member.clear()
        self._read = self._choices if self._name == b"choices" else self._value

    def _usage(self, text: bytes, at: int) -> int:
        byte = text[at]
        if byte in _FILL:
            self.member.append(byte)
            return at + 1
        if byte == ord("n"):
            self._name.clear()
            self._read = self._null
            return at
        self._counted = True
        self._out += self.member
        self.member.clear()
        self._read = self._value
        return at

    def _null(self, text: bytes, at: int) -> int:
        byte = text[at]
        if chr(byte).isalnum():
            self._name.append(byte)
            self.member.append(byte)
            return at + 1
        if self._name == b"null":
            self._comma_gone = not self.member.startswith(b",")
            self.undecided = False
        else:
            self._out += self.member
        self.member.clear()
        self._read = self._value
        return at

    def _choices(self, text: bytes, at: int) -> int:
        byte = text[at]
        if byte in _FILL:
            self._out.append(byte)
            return at + 1
        if byte == ord("["):
            self._out.append(byte)
            self._depth, self._read = 2, self._opened
            return at + 1
        self.undecided, self._read = False, self._value
        return at

    def _opened(self, text: bytes, at: int) -> int:
        byte = text[at]
        if byte in _BLANKS:
            self._out.append(byte)
            return at + 1
        self._empty = byte == ord("]")
        self.undecided = self.undecided and self._empty
        self._read = self._value
        return at

    def _value(self, text: bytes, at: int) -> int:
        """Inside or behind a value that matters no more."""
        if self._string:
            return self._in_string(text, at)
        end = _to(_AT_TOP if self._depth == 1 else _BELOW, text, at)
        self._out += text[at:end]
        if end == len(text):
            return end
        byte = text[end]
        if byte == ord(","):
            self._read = self._key
            if not self._comma_gone:
                self.member.append(byte)
            return end + 1
        self._out.append(byte)
        self._string = byte == ord('"')
        self._depth += (byte in b"{[") - (byte in b"}]")
        if self._depth == 0:
            self._whole = True
            self._off()
        return end + 1

    def _in_string(self, text: bytes, at: int) -> int:
        if self._escaped:
            self._escaped, end = False, at + 1
        else:
            end = _to(_IN_STRING, text, at)
        self._out += text[at:end]
        if end == at:
            self._out.append(text[at])
            self._string, self._escaped = text[at] != ord('"'), text[at] == ord("\\")
            return at + 1
        return end
