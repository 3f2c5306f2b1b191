"""A server that stands before another one and misbehaves as it is told: for a store on the other side of a bad network."""

from __future__ import annotations

import http.client
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from typing import Self

from attrs import define, evolve, field, frozen


@frozen
class Reply:
    """What the other server answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def with_header(self, name: str, value: str) -> Reply:
        """The same, but for one header."""
        return evolve(self, headers=(*((one, old) for one, old in self.headers if one.lower() != name.lower()), (name, value)))

    @property
    def head(self) -> bytes:
        """Its status line and headers, as they go over the wire."""
        lines = [f"HTTP/1.1 {self.status} Reply", *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


@define
class Exchange:
    """One request on its way: ``forward`` has it answered, what is written to ``socket`` is what the client gets."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    socket: socket.socket
    stopped: threading.Event
    _port: int

    def forward(self) -> Reply:
        """The answer of the other server."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(self.method, self.target, self.body or None, self.headers)
            answer = connection.getresponse()
            body = answer.read()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in ("connection", "transfer-encoding")]
            if not any(name.lower() == "content-length" for name, _ in kept):
                kept.append(("Content-Length", str(len(body))))
            return Reply(answer.status, tuple(kept), body)
        finally:
            connection.close()

    def send(self, reply: Reply, count: int | None = None) -> None:
        """Answer with ``reply``; of its body only ``count`` bytes."""
        self.socket.sendall(reply.head + reply.body[:count])

    def reset(self) -> None:
        """End the connection with an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def hang(self) -> None:
        """Do nothing until the client has gone, or the server is stopped."""
        self.socket.settimeout(0.05)
        while not self.stopped.is_set():
            try:
                if not self.socket.recv(1 << 16):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


@define
class FaultyServer:
    """Forwards to ``port`` of this machine. Each of ``faults`` is used once, in order, by the first request that it is for."""

    port: int
    faults: list[tuple[str, Callable[[Exchange], None]]] = field(factory=list)
    seen: list[Exchange] = field(factory=list)
    _server: socketserver.ThreadingTCPServer = field(init=False)
    _stopped: threading.Event = field(factory=threading.Event)
    _lock: threading.Lock = field(factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def on(self, method: str, *acts: Callable[[Exchange], None]) -> None:
        """The next requests of ``method`` meet these faults, one each."""
        with self._lock:
            self.faults += [(method, act) for act in acts]

    def count(self, method: str) -> int:
        """How many requests of ``method`` came."""
        return sum(one.method == method for one in self.seen)

    def __enter__(self) -> Self:
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.serve(self.request)

        socketserver.ThreadingTCPServer.daemon_threads = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection until a fault or the client ends it."""
        stream = connection.makefile("rb")
        try:
            while line := stream.readline():
                method, target, _ = line.decode("latin-1").split(" ")
                headers = dict(http.client.parse_headers(stream).items())
                body = stream.read(int(headers.get("Content-Length", "0")))
                exchange = Exchange(method, target, headers, body, connection, self._stopped, self.port)
                with self._lock:
                    self.seen.append(exchange)
                    place = next((place for place, (wanted, _) in enumerate(self.faults) if wanted == method), None)
                    act = None if place is None else self.faults.pop(place)[1]
                if act is not None:
                    act(exchange)
                    return
                exchange.send(exchange.forward())
        except OSError:
            return
        finally:
            stream.close()
            connection.close()
