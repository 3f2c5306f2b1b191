"""The bytes of a large body straight from their socket: Twisted's client would pass each piece through six objects on its way.

It looks into the HTTP/1.1 client's connection (``protocol``, ``_parser``, ``bodyDecoder``, ``contentLength``); where it does not find what
it knows, as over TLS, nothing is gone past. ``tests/ufs/test_s3_inlet.py`` holds this to Twisted's version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.web.http import _IdentityTransferDecoder

# What is taken at once: never beyond a multiple of it from where the body begins, so that what is cut at such places need not be copied.
PIECE_BYTES = 512 << 10
# The end of a body goes Twisted's way, which gives the connection back to its pool.
TAIL_BYTES = 32 << 10


class Inlet:
    """Has ``connection`` give the body that comes on it to ``deliver``, of which ``received`` bytes have come by another way."""

    def __init__(self, connection: Any, decoder: _IdentityTransferDecoder, deliver: Callable[[bytes], None], received: int) -> None:
        self._connection = connection
        self._decoder = decoder
        self._deliver = deliver
        self._received = received
        connection.doRead = self._read

    def close(self) -> None:
        """Leave what comes to Twisted again."""
        self._connection.__dict__.pop("doRead", None)

    def _read(self) -> Any:
        """In the place of the connection's ``doRead``."""
        left: Any = self._decoder.contentLength
        if left > TAIL_BYTES:
            try:
                data = self._connection.socket.recv(min(left - TAIL_BYTES, PIECE_BYTES - self._received % PIECE_BYTES))
            except BlockingIOError:
                return None
            except OSError:
                data = b""
            if data:
                self._decoder.contentLength = left - len(data)
                self._received += len(data)
                self._deliver(data)
                return None
        # The end of the body, or of the connection, which is found once more.
        self.close()
        return self._connection.doRead()


def inlet(connection: Any, deliver: Callable[[bytes], None], length: int) -> Inlet | None:
    """An inlet for the body of ``length`` bytes that comes on ``connection``, or has begun to; None where there can be none."""
    if not isinstance(connection, tcp.Connection) or connection.TLS or "doRead" in connection.__dict__:
        return None
    protocol: Any = connection.protocol
    protocol = getattr(protocol, "_wrappedProtocol", protocol)
    decoder = getattr(getattr(protocol, "_parser", None), "bodyDecoder", None)
    if not isinstance(decoder, _IdentityTransferDecoder) or not decoder.contentLength or decoder.dataCallback is None:
        return None
    return Inlet(connection, decoder, deliver, length - decoder.contentLength)
