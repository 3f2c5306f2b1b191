"""The plainest requests, recognised in the bytes of one read: a whole GET or HEAD without a body, and only headers that are known.

What is not recognised is not refused: it is for twisted.web, which knows all of HTTP.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

from attrs import frozen

from alluxio_s3.cluster.hops import HOP
from alluxio_s3.cluster.routing import OVERRIDE
from alluxio_s3.interfaces import Asker
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import Target, parse_target

_WISH = OVERRIDE.encode()
# Headers that change nothing in the answer of a read from here, or only what ``Names`` has. Some that are redirected say from where.
_HARMLESS = frozenset(
    {b"host", b"user-agent", b"accept", b"accept-encoding", b"authorization", b"x-amz-date", b"x-amz-content-sha256",
     b"x-amz-user-agent", b"x-amz-api-version", b"amz-sdk-invocation-id", b"amz-sdk-request", b"connection", b"accept-language",
     b"cache-control", b"pragma", b"referer", _WISH}
)  # fmt: skip
_TELLING = frozenset(
    {b"range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"x-amz-checksum-mode"}
)
_KNOWN = _HARMLESS | _TELLING
_MODE = b"x-amz-checksum-mode"
_METHODS = {b"GET": "GetObject", b"HEAD": "HeadObject"}
_PRINTABLE = re.compile(rb"[!-~]+")
_ISO_BASIC = re.compile(rb"[0-9]{8}T[0-9]{6}Z")
MAX_HEAD_BYTES = 8192
MAX_LINE_BYTES = 4096
# What is parsed is remembered if it is short; what has the token of a redirect, which is one client's and is the same for some seconds,
# among fewer.
MAX_REMEMBERED_BYTES = 256
MOST_WITH_TOKENS = 1024
_TOKEN = f"{HOP}=".encode()
# What may follow the path of an object that is read and no more: nothing, or the token of a redirect.
_ALONE = re.compile(rb"(?:\?%b[^&]*)?" % re.escape(_TOKEN))


@frozen
class Asked:
    """What a request asks for, from its first line. ``action`` is what reads the object, if it is to read one and nothing more."""

    method: str
    is_head: bool
    uri: bytes
    raw_target: str
    target: Target
    action: str | None


@frozen
class Names:
    """Which of the headers that matter a request has, each as it is spelled there; None: not.

    ``telling`` are those that change the answer, with their usual names; ``plain`` is whether only ``mode`` is among them.
    """

    authorization: bytes | None
    agent: bytes | None
    wish: bytes | None
    date: bytes | None
    connection: bytes | None
    span: bytes | None
    mode: bytes | None
    telling: tuple[tuple[str, bytes], ...]
    plain: bool


@frozen
class Recognised:
    """A request. The values of ``headers``, by name as it is spelled, may have spaces around."""

    asked: Asked
    names: Names
    headers: dict[bytes, bytes]

    def value(self, name: bytes | None) -> bytes | None:
        """The value of the header that is spelled ``name`` there; None if it is None."""
        return None if name is None else self.headers[name].strip(b" \t")

    def asker(self, peer: str, *, secure: bool) -> Asker:
        """Who asks, from the address ``peer``."""
        span = self.value(self.names.span)
        agent, wish = self.value(self.names.agent), self.value(self.names.wish)
        return Asker(peer, secure, agent or b"", wish or b"", self.asked.uri, None if span is None else span.decode())

    @property
    def is_dated_well(self) -> bool:
        """Whether its x-amz-date, if it has one, is one that is never refused."""
        return self.names.date is None or _is_time(self.headers[self.names.date].strip(b" \t"))


def recognise(data: bytes) -> Recognised | None:
    """The one request that ``data`` is, whole, if it is plain, and the connection is to stay."""
    if len(data) > MAX_HEAD_BYTES or not data.isascii() or b"\0" in data:
        return None
    lines = data.splitlines()
    # Each line ends with CRLF, and none with anything else; the last is the blank one.
    if sum(map(len, lines)) + 2 * len(lines) != len(data) or lines[-1] or len(lines[0]) > MAX_LINE_BYTES:
        return None
    line = lines[0]
    short = len(line) <= MAX_REMEMBERED_BYTES
    asked = _for_a_while(line) if _TOKEN in line else _remembered(line) if short else _asked(line)
    if asked is None:
        return None
    try:
        headers = dict([line.split(b": ", 1) for line in lines[1:-1]])
        names = _told(tuple(headers))
    except ValueError:
        return None
    if len(headers) != len(lines) - 2 or (names.connection and headers[names.connection].strip(b" \t").lower() != b"keep-alive"):
        return None
    return Recognised(asked, names, headers)


@lru_cache(maxsize=16384)
def _remembered(line: bytes) -> Asked | None:
    return _asked(line)


@lru_cache(maxsize=MOST_WITH_TOKENS)
def _for_a_while(line: bytes) -> Asked | None:
    return _asked(line)


def _asked(line: bytes) -> Asked | None:
    """What a request's first line asks for, if that is to read."""
    words = line.split(b" ")
    if len(words) != 3 or words[2] != b"HTTP/1.1" or words[0] not in _METHODS or not _PRINTABLE.fullmatch(words[1]):
        return None
    try:
        target = parse_target(words[1])
    except S3Error:
        return None
    action = _METHODS[words[0]] if target.key and _ALONE.fullmatch(words[1], len(words[1].partition(b"?")[0])) else None
    return Asked(words[0].decode(), words[0] == b"HEAD", words[1], words[1].decode(), target, action)


@lru_cache(maxsize=256)
def _told(names: tuple[bytes, ...]) -> Names:
    """Which headers of those ``names`` there are. Raises ValueError (and is not remembered) unless each is known and alone."""
    lower = {name.lower(): name for name in names}
    if len(lower) != len(names) or not lower.keys() <= _KNOWN or b"host" not in lower:
        raise ValueError(names)
    telling = tuple((name.decode(), given) for name, given in lower.items() if name in _TELLING)
    mode = lower.get(_MODE)
    return Names(
        authorization=lower.get(b"authorization"),
        agent=lower.get(b"user-agent"),
        wish=lower.get(_WISH),
        date=lower.get(b"x-amz-date"),
        connection=lower.get(b"connection"),
        span=lower.get(b"range"),
        mode=mode,
        telling=telling,
        plain=len(telling) == bool(mode),
    )


@lru_cache(maxsize=64)
def _is_time(value: bytes) -> bool:
    try:
        return _ISO_BASIC.fullmatch(value) is not None and bool(datetime.fromisoformat(value.decode()))
    except ValueError:
        return False
