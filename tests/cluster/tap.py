"""A line between clients and a worker that notes what they call themselves, and changes nothing."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from typing import Self

_AGENT = re.compile(rb"\r\nuser-agent:[ \t]*([^\r\n]*)", re.IGNORECASE)
_REQUEST = re.compile(rb"(?:GET|HEAD) \S+ HTTP/1\.[01]\r\n.*?\r\n\r\n", re.DOTALL)


class Tap:
    """Hands all that comes to its ``endpoint`` to a port, and back. ``agents`` are the names in the requests, "" of who gives none."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._listening = socket.create_server((host, 0))
        self.endpoint = f"http://{host}:{self._listening.getsockname()[1]}"
        self.agents: set[str] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(self._to)
            threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, listens: bool) -> None:
        heard = b""
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                if listens:
                    heard = self._hear(heard + data)
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _hear(self, heard: bytes) -> bytes:
        end = 0
        for request in _REQUEST.finditer(heard):
            found = _AGENT.search(request[0])
            self.agents.add(found[1].decode("latin-1") if found else "")
            end = request.end()
        return heard[end:][-65536:]
