"""The body of a form: its fields, then its file, which flows only while it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from zope.interface import implementer

from alluxio_s3.interfaces import IRequestBody
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.post_policy import IGNORED_PREFIX

# What comes before the file: "form data can be up to 20 KB". The framing around it counts apart.
MAX_FIELDS_BYTES = 20 << 10
MAX_BEFORE_FILE_BYTES = 256 << 10
FILE = "file"
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, 5.1.1
_PATH = re.compile(r".*[/\\]", re.DOTALL)


@implementer(IRequestBody)
class FormBody:
    """The file of a form, as the body of a request; ``fields`` gives what is before it, and has to be asked first.

    ``filename`` is the file's own, without what its client says of directories.
    """

    length = None

    def __init__(self, body: IRequestBody, content_type: str | None) -> None:
        """Raises S3Error: PreconditionFailed for what is no form, MalformedPOSTRequest."""
        kind, options = parse_options_header(content_type or "")
        if kind != "multipart/form-data":
            raise S3Error("PreconditionFailed", Condition="Bucket POST must be of the enclosure-type multipart/form-data")
        boundary = options.get("boundary", "")
        if not _BOUNDARY.fullmatch(boundary):
            raise S3Error("MalformedPOSTRequest")
        self.filename = ""
        self._body = body
        self._parser = PushMultipartParser(boundary, max_header_size=8192)
        self._events: Iterator[MultipartSegment | bytes | None] = iter(())
        self._ended = False

    async def fields(self) -> dict[str, str]:
        """The fields before the file, by lower-case name, and the file's head read.

        Raises S3Error: MalformedPOSTRequest, MaxPostPreDataLengthExceeded, InvalidArgument for a field that comes twice or a form without a
        file, and what ``IRequestBody`` raises.
        """
        fields: dict[str, str] = {}
        size = seen = 0
        name, value = "", bytearray()
        while (data := await self._body.read()) or not self._complete():
            seen += len(data)
            self._events = self._feed(data)
            for event in self._events:
                if isinstance(event, MultipartSegment):
                    name = _name(event)
                    if name == FILE:
                        self.filename = _PATH.sub("", event.filename or "")
                        return fields
                    value.clear()
                    size += len(name)
                elif event is not None:
                    value += event
                    size += len(event)
                    _check_fields(size)
                else:
                    _enter(fields, name, bytes(value))
                _check_fields(size)
            if seen > MAX_BEFORE_FILE_BYTES:
                raise S3Error("MaxPostPreDataLengthExceeded")
        raise _one_file("0")

    async def read(self) -> bytes:
        """The next bytes of the file; empty when all of the form has come and was one. Raises as ``fields``."""
        while not self._ended:
            pieces = []
            for event in self._events:
                if event is None:
                    self._ended = True
                    break
                if not isinstance(event, MultipartSegment):
                    pieces.append(event)
            if pieces:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if not self._ended:
                data = await self._body.read()
                if not data:
                    raise S3Error("MalformedPOSTRequest")
                self._events = self._feed(data)
        await self._read_to_the_end()
        return b""

    async def _read_to_the_end(self) -> None:
        """What follows the file counts for nothing, but another file is one too many."""
        while True:
            for event in self._events:
                if isinstance(event, MultipartSegment) and _name(event) == FILE:
                    raise _one_file("2")
            data = await self._body.read()
            if not data:
                break
            self._events = self._feed(data)
        if not self._complete():
            raise S3Error("MalformedPOSTRequest")

    def _feed(self, data: bytes) -> Iterator[MultipartSegment | bytes | None]:
        """What the parser makes of more of the body."""
        try:
            if data:
                yield from self._parser.parse(data)
        except (MultipartError, ValueError):
            raise S3Error("MalformedPOSTRequest") from None

    def _complete(self) -> bool:
        """Whether the last boundary has come. Asked when the body has ended."""
        try:
            self._parser.close()
        except MultipartError:
            raise S3Error("MalformedPOSTRequest") from None
        return True


def _name(segment: MultipartSegment) -> str:
    if segment.disposition != "form-data" or not segment.name:
        raise S3Error("MalformedPOSTRequest")
    return str(segment.name).lower()


def _enter(fields: dict[str, str], name: str, value: bytes) -> None:
    if name in fields and not name.startswith(IGNORED_PREFIX):
        raise S3Error("InvalidArgument", f"The form must contain the field {name!r} once.", ArgumentName=name)
    try:
        fields[name] = value.decode()
    except UnicodeDecodeError:
        raise S3Error("MalformedPOSTRequest") from None


def _check_fields(size: int) -> None:
    if size > MAX_FIELDS_BYTES:
        raise S3Error("MaxPostPreDataLengthExceeded")


def _one_file(count: str) -> S3Error:
    return S3Error("InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName=FILE, ArgumentValue=count)
