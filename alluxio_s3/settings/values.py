"""The kinds of value that a property can have, in Alluxio's notation.

Every parser is total: any text gives a value or ValueError, whose message is a description of what was
expected. The notation is that of Alluxio's configuration ("10sec", "2KB", "true"); where Alluxio guesses (any
word but "true" is false to it), an error is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Generic, TypeVar

from attrs import frozen

T = TypeVar("T")

_LARGEST = 2**63 - 1
_DURATION = re.compile(r"(-?[0-9]{1,19})([a-z]*)", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})([a-z]*)", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9.:_%\[\]-]{1,255}", re.ASCII)

_MILLISECONDS: Mapping[str, int] = MappingProxyType(
    {
        "": 1, "ms": 1, "millisecond": 1,
        "s": 1_000, "sec": 1_000, "second": 1_000,
        "m": 60_000, "min": 60_000, "minute": 60_000,
        "h": 3_600_000, "hr": 3_600_000, "hour": 3_600_000,
        "d": 86_400_000, "day": 86_400_000,
    }
)  # fmt: skip

_BYTES: Mapping[str, int] = MappingProxyType(
    {"": 1, "b": 1} | {f"{letter}{rest}": 1024**power for power, letter in enumerate("kmgtp", 1) for rest in ("", "b", "i", "ib")}
)


@frozen
class Kind(Generic[T]):
    """A kind of value: its ``name`` in the documentation, what is ``expected`` of the text, and how to ``parse`` it."""

    name: str
    expected: str
    parse: Callable[[str], T]


def _kind(name: str, expected: str, parse: Callable[[str], T | None]) -> Kind[T]:
    """A Kind from a parser that answers None for what it does not understand."""

    def checked(raw: str) -> T:
        value = parse(raw.strip())
        if value is None:
            raise ValueError(expected)
        return value

    return Kind(name, expected, checked)


def duration(*, minimum: int = 0) -> Kind[int]:
    """A length of time, in milliseconds, not below ``minimum``: ``300ms``, ``10sec``, ``5min``, ``7day``."""

    def parse(text: str) -> int | None:
        match = _DURATION.fullmatch(text.lower())
        unit = _MILLISECONDS.get(match[2]) if match else None
        if match is None or unit is None:
            return None
        value = int(match[1]) * unit
        return value if minimum <= value <= _LARGEST else None

    expected = "a duration such as 300ms, 10sec, 5min, 2hr or 7day (a bare number is milliseconds)"
    return _kind("duration", expected if minimum == 0 else f"{expected}, not below {minimum}", parse)


def size(*, minimum: int = 0) -> Kind[int]:
    """A number of bytes, not below ``minimum``: ``512``, ``2KB``, ``5MB``, ``1.5g``. Units are powers of 1,024."""

    def parse(text: str) -> int | None:
        match = _SIZE.fullmatch(text.lower())
        unit = _BYTES.get(match[2]) if match else None
        if match is None or unit is None:
            return None
        value = int(Decimal(match[1]) * unit)
        return value if minimum <= value <= _LARGEST else None

    expected = "a size in bytes such as 512, 2KB, 5MB or 1.5GB (units are powers of 1024)"
    return _kind("size", expected if minimum == 0 else f"{expected}, not below {minimum}", parse)


def boolean() -> Kind[bool]:
    """``true`` or ``false``, in any case."""
    words = {"true": True, "false": False}
    return _kind("boolean", "true or false", lambda text: words.get(text.lower()))


def integer(minimum: int, maximum: int = _LARGEST) -> Kind[int]:
    """A whole number within bounds, both included."""

    def parse(text: str) -> int | None:
        value = int(text) if _INTEGER.fullmatch(text) else None
        return value if value is not None and minimum <= value <= maximum else None

    bounds = f"from {minimum} to {maximum}" if maximum != _LARGEST else f"not below {minimum}"
    return _kind("integer", f"a whole number {bounds}", parse)


def port() -> Kind[int]:
    """A TCP port; 0 means any free one."""
    expected = "a port number from 0 to 65535 (0: any free port)"
    return Kind("port", expected, _relabel(integer(0, 65535), expected))


def optional_port() -> Kind[int | None]:
    """As ``port``; empty is None."""
    expected = f"{port().expected}, or nothing"
    number = _relabel(port(), expected)
    return Kind("port", expected, lambda text: number(text) if text.strip() else None)


def choice(*options: str) -> Kind[str]:
    """One of ``options``, in any case; the value is as the option is written."""
    by_lower = {option.lower(): option for option in options}
    return _kind("choice", f"one of {', '.join(options)}", lambda text: by_lower.get(text.lower()))


def name() -> Kind[str]:
    """The name of a plugin or the like, in any case; the value is in lower case."""
    expected = "a name of up to 64 letters, digits, '.', '_' or '-'"
    return _kind("name", expected, lambda text: text.lower() if _NAME.fullmatch(text.lower()) else None)


def host() -> Kind[str]:
    """A host name or an address to listen on."""
    return _kind("host", "a host name or an IP address", lambda text: text if _HOST.fullmatch(text) else None)


def text() -> Kind[str]:
    """Any text without control characters; may be empty."""
    return _kind("text", "text without control characters", _printable)


def optional_text() -> Kind[str | None]:
    """As ``text``; nothing, or white space, is None."""
    return Kind("text", "text without control characters", lambda value: text().parse(value) or None)


def location() -> Kind[str | None]:
    """A path of the local file system or a URI; empty is None. ``settings.load`` makes paths absolute."""
    expected = "a path or a URI"
    return Kind("location", expected, lambda value: _relabel(text(), expected)(value) or None)


def many(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """Values of ``kind``, separated by commas; empty ones are left out."""
    expected = f"a comma-separated list, each {kind.expected}"
    element = _relabel(kind, expected)
    return Kind(f"list of {kind.name}", expected, lambda value: tuple(element(piece) for piece in value.split(",") if piece.strip()))


def _relabel(kind: Kind[T], expected: str) -> Callable[[str], T]:
    """The parser of ``kind``, whose complaint is ``expected``."""

    def parse(value: str) -> T:
        try:
            return kind.parse(value)
        except ValueError:
            raise ValueError(expected) from None

    return parse


def _printable(value: str) -> str | None:
    return None if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in value) else value
