"""A small client that says exactly what a test wants said, and reads exactly what came back."""

from __future__ import annotations

import http.client
import xml.etree.ElementTree as ET  # it reads our own answers
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from attrs import frozen

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def authorization(user: str = "tester") -> str:
    """The value of a header that names ``user``, for a daemon that checks no signature."""
    return f"AWS4-HMAC-SHA256 Credential={user}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={'0' * 64}"


@frozen
class Answer:
    """A whole answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def xml(self) -> ET.Element:
        """The body, namespaces removed."""
        root = ET.fromstring(self.body)
        for element in root.iter():
            element.tag = element.tag.removeprefix(NAMESPACE)
        return root

    @property
    def code(self) -> str:
        """The code of an error."""
        return self.xml.findtext("Code") or ""

    def texts(self, path: str) -> list[str]:
        """The texts of the elements at ``path``."""
        return [element.text or "" for element in self.xml.findall(path)]


class Wire:
    """A keep-alive connection to an endpoint."""

    def __init__(self, endpoint: str, user: str = "tester") -> None:
        self._netloc = urlsplit(endpoint).netloc
        self._connection = http.client.HTTPConnection(self._netloc, timeout=60)
        self._authorization = authorization(user)

    def __call__(
        self,
        method: str,
        bucket: str = "",
        key: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """One request; ``query`` values of ``""`` are sent as bare keys."""
        path = "/" + quote(bucket) + (f"/{quote(key)}" if key else "")
        if query:
            path += "?" + "&".join(urlencode({name: value}) if value else quote(name) for name, value in query.items())
        sent = {"Authorization": self._authorization, **(headers or {})}
        if method in ("PUT", "POST") or body:
            sent.setdefault("Content-Length", str(len(body)))
        try:
            self._connection.request(method, path, body or None, sent)
            response = self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self._connection.close()
            self._connection.request(method, path, body or None, sent)
            response = self._connection.getresponse()
        data = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, data)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
