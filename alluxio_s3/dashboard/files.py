"""The files of the pages, as they are installed: read once, named by a fixed list, so nothing else can be asked for."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from attrs import frozen
from twisted.web.http import CACHED, Request

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
# Nothing from elsewhere, nothing inline: what a bucket holds can never become a script here. Previews are blobs.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; form-action 'self';"
    b" base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY,
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}


@frozen
class PageFile:
    """A file: its bytes, their type, and their validator."""

    body: bytes
    kind: bytes
    etag: bytes

    def answer(self, request: Request) -> bytes:
        """The file, for ``request``, which is told so if it has it."""
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        request.setHeader(b"content-type", self.kind)
        # An upgrade of the daemon is seen at once.
        request.setHeader(b"cache-control", b"no-cache")
        return b"" if request.setETag(self.etag) is CACHED else self.body


def page_files() -> dict[str, PageFile]:
    """Those that are installed, by name."""
    found = {}
    for one in files("alluxio_s3.dashboard").joinpath("static").iterdir():
        kind = _TYPES.get(one.name.rpartition(".")[2])
        if kind is not None:
            body = one.read_bytes()
            found[one.name] = PageFile(body, kind, b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode())
    return found
