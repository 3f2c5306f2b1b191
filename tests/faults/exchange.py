"""One request and its answer, as it came: no client that tries again, repairs or hides anything."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import time
import xml.etree.ElementTree as ET  # it reads our own answers
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from attrs import frozen

from tests.faults.ledger import MAYBE, NO, OK
from tests.wire import authorization

# Who finds nobody at home does not ask again at once.
_PAUSE = 0.05
_TRANSIENT = ("InternalError", "ServiceUnavailable", "SlowDown", "InsufficientStorage", "RequestTimeout")


@frozen
class Reply:
    """An answer. *status* 0: none came, or not the whole of it; then *body* is what did come. Header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def outcome(self) -> str:
        """What it says of a write: OK, NO, MAYBE. An error that follows an early 200 counts."""
        if 200 <= self.status < 300:
            if self.body[:200].lstrip().startswith((b"<Error", b"<?xml")) and b"<Error>" in self.body[:400]:
                return MAYBE if self.code in _TRANSIENT else NO
            return OK
        return NO if 400 <= self.status < 500 else MAYBE

    @property
    def code(self) -> str:
        """The code of an error."""
        return next(iter(self.texts("Code")), "")

    def texts(self, name: str) -> list[str]:
        """The texts of all elements called *name*."""
        return [element.text or "" for element in self.elements(name)]

    def elements(self, name: str) -> list[ET.Element]:
        """All elements called *name*, whatever their namespace; none if the body is not XML."""
        try:
            root = ET.fromstring(self.body.strip())
        except ET.ParseError:
            return []
        return [element for element in root.iter() if element.tag.rpartition("}")[2] == name]


NOTHING = Reply(0, {}, b"")


class Exchange:
    """Speaks to one endpoint, connections kept between requests; follows one 307, as the clients of a cluster do.

    *user* is the access key that it names; *timeout* in seconds; *agent* the name of the program that it says it is.
    """

    def __init__(self, endpoint: str, user: str = "tester", timeout: float = 30.0, agent: str = "") -> None:
        self.endpoint = endpoint
        self._netloc = urlsplit(endpoint).netloc
        self._timeout = timeout
        self._agent = {"User-Agent": agent} if agent else {}
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._authorization = authorization(user)

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Reply:
        """One request for *path* (`bucket/key`), and what came of it. Raises nothing that a network does."""
        target = "/" + quote(path)
        if query:
            target += "?" + "&".join(urlencode({name: value}) if value else quote(name) for name, value in query.items())
        sent = {"Authorization": self._authorization, **self._agent, **(headers or {})}
        if method in ("PUT", "POST"):
            sent["Content-Length"] = str(len(body))
        reply = self._ask(self._netloc, method, target, sent, body)
        if reply.status == 307 and "location" in reply.headers:
            there = urlsplit(reply.headers["location"])
            again = there.path + (f"?{there.query}" if there.query else "")
            reply = self._ask(there.netloc or self._netloc, method, again, sent, body)
        return reply

    def _ask(self, netloc: str, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        try:
            connection = self._connected(netloc)
            # Who refuses a body may answer and close before the whole of it has gone.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body or None, dict(headers))
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            data = response.read()
        except http.client.IncompleteRead as short:
            self._close(netloc)
            return Reply(0, {}, short.partial)
        except (OSError, http.client.HTTPException):
            self._close(netloc)
            return NOTHING
        if response.will_close:
            self._close(netloc)
        return Reply(response.status, told, data)

    def _connected(self, netloc: str) -> http.client.HTTPConnection:
        connection = self._connections.get(netloc)
        if connection is not None and select.select([connection.sock], [], [], 0)[0]:  # it was closed while nobody asked for anything
            self._close(netloc)
            connection = None
        if connection is None:
            connection = http.client.HTTPConnection(netloc, timeout=self._timeout)
            try:
                connection.connect()
            except OSError:
                time.sleep(_PAUSE)
                raise
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[netloc] = connection
        return connection

    def _close(self, netloc: str) -> None:
        connection = self._connections.pop(netloc, None)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close the connections."""
        for netloc in list(self._connections):
            self._close(netloc)
