"""One request for each action, on things of its own, and a raw connection to send them on."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

from attrs import field, frozen

from tests.daemon.signer import Ask, Sent

CONTENT = b"The content of the object: who may not read it must not see this."
_TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"


class Signs(Protocol):
    """What makes a request out of an ask."""

    def sign(self, ask: Ask, mode: str, host: str) -> Sent:
        """``ask``, with credentials."""


class Wire:
    """Sends requests just as they are, on a connection that is kept."""

    def __init__(self, endpoint: str) -> None:
        self.host = urlsplit(endpoint).netloc
        self._connection = HTTPConnection(self.host, timeout=30)

    def send(self, sent: Sent) -> tuple[int, bytes]:
        """Status and body of the answer."""
        for attempt in (1, 2):
            try:
                return self._send(sent)
            except (HTTPException, ConnectionError):
                self._connection.close()
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def _send(self, sent: Sent) -> tuple[int, bytes]:
        connection = self._connection
        connection.putrequest(sent.method, sent.target, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.headers.items():
            connection.putheader(name, value)
        body = b"".join(sent.frames)
        if body or (sent.frames and sent.method in ("PUT", "POST")):
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def break_off(self, sent: Sent) -> bytes:
        """Send all of it but the last two bytes, and leave; what was answered."""
        body = b"".join(sent.frames)
        lines = [f"{sent.method} {sent.target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.headers.items())]
        head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode()
        host, _, port = self.host.partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head + body[:-2])
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while data := connection.recv(65536):
                answer += data
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@frozen
class Ground:
    """Things to ask about: made by one who may, at the daemon that serves ``data``."""

    data: Path
    wire: Wire
    owner: Signs
    _made: list[Ask] = field(factory=list)

    def do(self, ask: Ask) -> bytes:
        """Ask it, with right; the answer."""
        status, answer = self.wire.send(self.owner.sign(ask, "sha256", self.wire.host))
        assert 200 <= status < 300, answer
        return answer

    def object(self, path: str) -> str:
        """An object at ``path``, which it returns."""
        self.do(Ask("PUT", path, headers={"x-amz-tagging": "a=b"}, body=CONTENT))
        return path

    def upload(self, path: str) -> tuple[str, str]:
        """The id of an upload to ``path``, and the ETag of its first part."""
        made = self.do(Ask("POST", path, (("uploads", ""),)))
        (upload,) = re.findall(r"<UploadId>(.*)</UploadId>", made.decode())
        self.do(Ask("PUT", path, (("partNumber", "1"), ("uploadId", upload)), body=CONTENT))
        return upload, hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()

    def state(self) -> Mapping[str, tuple[bytes, ...]]:
        """All that is stored, whatever it is: the digest of each file, and its attributes. Not what is only being written."""
        return dict(self._entries())

    def _entries(self) -> Iterator[tuple[str, tuple[bytes, ...]]]:
        for directory, _, names in os.walk(self.data):
            for path in (Path(directory), *(Path(directory, name) for name in names if name != "assembly")):
                if path.parent.name == "tmp":
                    continue
                digest = b"" if path.is_dir() else hashlib.sha256(path.read_bytes()).digest()
                attributes = (name.encode() + b"=" + os.getxattr(path, name) for name in sorted(os.listxattr(path)))
                yield str(path), (digest, *attributes)


def _part(ground: Ground, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Ask:
    upload, _ = ground.upload(path)
    return Ask("PUT", path, (("partNumber", "2"), ("uploadId", upload)), headers or {}, body, changes=True)


def _complete(ground: Ground, path: str) -> Ask:
    upload, etag = ground.upload(path)
    parts = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    return Ask("POST", path, (("uploadId", upload),), body=body, changes=True)


def _empty_bucket(ground: Ground, path: str) -> Ask:
    bucket = path.replace("/main/", "/bucket-").lower()
    ground.do(Ask("PUT", bucket))
    return Ask("DELETE", bucket, changes=True)


def _tagged_bucket(ground: Ground, _path: str) -> Ask:
    ground.do(Ask("PUT", "/main", (("tagging", ""),), body=_TAGS))
    return Ask("GET", "/main", (("tagging", ""),))


def _rules(path: str) -> bytes:
    """Rules of CORS that nobody else makes."""
    rule = f"<AllowedOrigin>http://{path[1:]}</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
    return f"<CORSConfiguration><CORSRule>{rule}</CORSRule></CORSConfiguration>".encode()


def _bucket_with_rules(method: str, *, changes: bool = False) -> Callable[[Ground, str], Ask]:
    def make(ground: Ground, path: str) -> Ask:
        ground.do(Ask("PUT", "/main", (("cors", ""),), body=_rules(path)))
        return Ask(method, "/main", (("cors", ""),), changes=changes)

    return make


def _of_object(method: str, *query: tuple[str, str], body: bytes = b"", changes: bool = False) -> Callable[[Ground, str], Ask]:
    return lambda ground, path: Ask(method, ground.object(path), query, body=body, changes=changes)


def _of_bucket(method: str, *query: tuple[str, str], body: bytes = b"", changes: bool = False) -> Callable[[Ground, str], Ask]:
    return lambda _ground, _path: Ask(method, "/main", query, body=body, changes=changes)


def _delete_all(ground: Ground, path: str) -> Ask:
    key = ground.object(path).removeprefix("/main/")
    return Ask("POST", "/main", (("delete", ""),), body=f"<Delete><Object><Key>{key}</Key></Object></Delete>".encode(), changes=True)


def _of_upload(method: str, *, changes: bool = False) -> Callable[[Ground, str], Ask]:
    return lambda ground, path: Ask(method, path, (("uploadId", ground.upload(path)[0]),), changes=changes)


_SOURCE = {"x-amz-copy-source": "/other/secret"}
# For each action what makes a request for it about the object at a path that nobody else uses.
REQUESTS: Mapping[str, Callable[[Ground, str], Ask]] = MappingProxyType(
    {
        "AbortMultipartUpload": _of_upload("DELETE", changes=True),
        "CompleteMultipartUpload": _complete,
        "CopyObject": lambda _, path: Ask("PUT", path, headers=_SOURCE, changes=True),
        "CreateBucket": lambda _, path: Ask(
            "PUT", path.replace("/main/", "/bucket-").lower(), body=b"<CreateBucketConfiguration/>", changes=True
        ),
        "CreateMultipartUpload": lambda _, path: Ask("POST", path, (("uploads", ""),), changes=True),
        "DeleteBucket": _empty_bucket,
        "DeleteBucketCors": _bucket_with_rules("DELETE", changes=True),
        "DeleteBucketTagging": _of_bucket("DELETE", ("tagging", "")),
        "DeleteObject": _of_object("DELETE", changes=True),
        "DeleteObjectTagging": _of_object("DELETE", ("tagging", ""), changes=True),
        "DeleteObjects": _delete_all,
        "GetBucketCors": _bucket_with_rules("GET"),
        "GetBucketLocation": _of_bucket("GET", ("location", "")),
        "GetBucketTagging": _tagged_bucket,
        "GetBucketVersioning": _of_bucket("GET", ("versioning", "")),
        "GetObject": _of_object("GET"),
        "GetObjectAttributes": lambda ground, path: Ask(
            "GET", ground.object(path), (("attributes", ""),), {"x-amz-object-attributes": "ETag"}
        ),
        "GetObjectTagging": _of_object("GET", ("tagging", "")),
        "HeadBucket": _of_bucket("HEAD"),
        "HeadObject": _of_object("HEAD"),
        "ListBuckets": lambda _ground, _path: Ask("GET", "/"),
        "ListMultipartUploads": _of_bucket("GET", ("uploads", "")),
        "ListObjects": _of_bucket("GET"),
        "ListObjectsV2": _of_bucket("GET", ("list-type", "2")),
        "ListParts": _of_upload("GET"),
        "PutBucketCors": lambda _ground, path: Ask("PUT", "/main", (("cors", ""),), body=_rules(path), changes=True),
        "PutBucketTagging": _of_bucket("PUT", ("tagging", ""), body=_TAGS),
        "PutObject": lambda _, path: Ask("PUT", path, body=CONTENT, changes=True),
        "PutObjectTagging": _of_object("PUT", ("tagging", ""), body=_TAGS.replace(b"b<", b"c<"), changes=True),
        "UploadPart": lambda ground, path: _part(ground, path, body=CONTENT),
        "UploadPartCopy": lambda ground, path: _part(ground, path, _SOURCE),
    }
)
