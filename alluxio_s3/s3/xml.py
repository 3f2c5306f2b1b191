"""XML, in and out.

Answers are put together from strings: they are small, regular and many. Requests are read by expat under
guard: no document type, no entities of the client's own, bounded depth and number of elements
(promises C13, C14). The caller bounds the size of the body.
"""

from __future__ import annotations

import re
from typing import overload
from xml.parsers import expat

from attrs import define, field, frozen

from alluxio_s3.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_DEPTH = 16
MAX_ELEMENTS = 50_000  # 10,000 parts of a CompleteMultipartUpload, each with number, ETag and checksum

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
# What would be markup, what parsers change (line ends), and what XML 1.0 has no characters for. The last
# kind is written as a reference, as S3 does: such a key needs encoding-type=url to be listed.
_SPECIAL = re.compile("[&<>\"'\x00-\x1f\ufffe\uffff\ud800-\udfff]")
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\r": "&#13;"}


def escape(text: str) -> str:
    """``text`` as character data, or as the value of an attribute."""
    return _SPECIAL.sub(_reference, text)


def tag(name: str, text: object) -> str:
    """``<name>text</name>``. Truth is written ``true`` or ``false``; None is no element at all."""
    if text is None:
        return ""
    if isinstance(text, bool):
        return f"<{name}>{'true' if text else 'false'}</{name}>"
    return f"<{name}>{escape(str(text))}</{name}>"


def element(name: str, *children: str) -> str:
    """``<name>`` around elements that are rendered already."""
    return f"<{name}>{''.join(children)}</{name}>"


def document(root: str, body: str) -> bytes:
    """A whole document of S3's namespace; ``body`` is rendered already."""
    return f'{_DECLARATION}<{root} xmlns="{NAMESPACE}">{body}</{root}>'.encode()


def error_document(error: S3Error, request_id: str, resource: str) -> bytes:
    """The body of an answer that is an error. Like S3's own it has no namespace; what is empty is left out.

    It may repeat what the client sent. What XML has no characters for is replaced there: every parser must be able to read
    what went wrong.
    """
    details = "".join(tag(name, _readable(value)) for name, value in error.details.items())
    return (
        f"{_DECLARATION}<Error>{tag('Code', error.code)}{tag('Message', _readable(error.message))}{details}"
        f"{tag('Resource', _readable(resource) or None)}{tag('RequestId', request_id or None)}</Error>"
    ).encode()


@frozen
class Element:
    """An element of a request. ``name`` is without prefix; ``text`` is all of its own character data, white space kept."""

    name: str
    text: str = ""
    children: tuple[Element, ...] = ()

    def find(self, name: str) -> Element | None:
        """The child of that name, if there is one. Raises ``S3Error`` MalformedXML if there are several."""
        found = self.findall(name)
        if len(found) > 1:
            raise S3Error("MalformedXML")
        return found[0] if found else None

    def findall(self, name: str) -> list[Element]:
        """The children of that name, in order."""
        return [child for child in self.children if child.name == name]

    @overload
    def value(self, name: str) -> str | None: ...

    @overload
    def value(self, name: str, default: str) -> str: ...

    def value(self, name: str, default: str | None = None) -> str | None:
        """The text of the child of that name, else ``default``. Raises as ``find``, and MalformedXML if that
        child has children.
        """
        found = self.find(name)
        if found is None:
            return default
        if found.children:
            raise S3Error("MalformedXML")
        return found.text


def parse(body: bytes, root: str) -> Element:
    """The document in ``body``, whose outermost element must be ``root``. Raises ``S3Error`` MalformedXML.

    It is read as UTF-8 whatever it declares; prefixes and attributes are ignored.
    """
    # Handlers cannot stop expat, so what could be slow must not reach it. Without NUL it cannot be
    # UTF-16, and a document type can only be spelled this way. (It could also stand in a CDATA section,
    # where no client puts one.)
    if b"\0" in body or b"<!DOCTYPE" in body:
        raise S3Error("MalformedXML")
    tree = _Tree()
    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.text
    try:
        parser.Parse(body, True)  # in one piece, so that expat scans no token twice
    except expat.ExpatError:
        raise S3Error("MalformedXML") from None
    if tree.root is None or tree.root.name != root:
        raise S3Error("MalformedXML")
    return tree.root


@define
class _Open:
    """An element whose end has not come."""

    name: str
    texts: list[str] = field(factory=list)
    children: list[Element] = field(factory=list)


@define
class _Tree:
    """Builds an Element of expat's events."""

    root: Element | None = None
    _open: list[_Open] = field(factory=list)
    _count: int = 0

    def start(self, name: str, _attributes: object) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) == MAX_DEPTH:
            raise S3Error("MalformedXML")
        self._open.append(_Open(name.rpartition(":")[2]))

    def text(self, data: str) -> None:
        self._open[-1].texts.append(data)

    def end(self, _name: str) -> None:
        done = self._open.pop()
        element = Element(done.name, "".join(done.texts), tuple(done.children))
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element


def _readable(text: str) -> str:
    return _NO_CHARACTER.sub("\ufffd", text)


def _reference(match: re.Match[str]) -> str:
    character = match[0]
    return _NAMED.get(character) or f"&#x{ord(character):X};"
