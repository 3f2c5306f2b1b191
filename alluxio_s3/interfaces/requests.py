"""What a request brings. See the package for the rules that hold for all."""

from __future__ import annotations

from zope.interface import Attribute, Interface


class IRequestBody(Interface):
    """The body of a request, as it comes off the wire (transfer coding removed)."""

    length = Attribute("int | None: Content-Length; None for a chunked body.")

    async def read() -> bytes:
        """The next bytes, at most 512 KiB; empty at the end. The first call answers ``Expect: 100-continue``.

        While nothing is read the client is held back. Raises S3Error IncompleteBody when the client leaves early,
        RequestTimeout when it stalls.
        """
