"""The head of a request, as the protocol sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import Query, Target

# Headers of which two make a request ambiguous; any other that comes twice is joined with a comma.
SINGLE = frozenset(
    {"authorization", "content-length", "content-md5", "content-type", "host", "range", "x-amz-content-sha256",
     "x-amz-copy-source", "x-amz-date", "x-amz-decoded-content-length", "x-amz-security-token", "x-amz-tagging"}
)  # fmt: skip


# The query keys that say that a request authenticates by its query, and those that are the authentication.
_PRESIGNED = ("X-Amz-Algorithm", "AWSAccessKeyId")
_AUTHENTICATION = frozenset(
    {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-security-token", "x-amz-signature",
     "x-amz-signedheaders"}
)  # fmt: skip


class Headers(Mapping[str, str]):
    """Request headers by lower-case name."""

    def __init__(self, pairs: Mapping[str, str] | None = None) -> None:
        self._values = {name.lower(): value for name, value in (pairs or {}).items()}
        self._arrived = self._values

    @classmethod
    def from_raw(cls, raw: Iterator[tuple[bytes, Sequence[bytes]]]) -> Headers:
        """From names and values as they came. Raises ``S3Error`` InvalidArgument for a doubled
        header that must be single. Values are UTF-8, or else Latin-1 (RFC 9110, 5.5).
        """
        collected: dict[str, Sequence[bytes]] = {}
        for name_bytes, values in raw:
            name = name_bytes.decode("latin-1").lower()
            if name in collected:
                values = [*collected[name], *values]  # noqa: PLW2901  (the same name in another case)
            if len(values) > 1 and name in SINGLE:
                raise S3Error("InvalidArgument", f"The header {name} must be given once.", ArgumentName=name)
            collected[name] = values
        headers = cls()
        for name, values in collected.items():
            value = b",".join(values)
            try:
                headers._values[name] = value.decode()
            except UnicodeDecodeError:
                headers._values[name] = value.decode("latin-1")
        return headers

    def with_presigned(self, query: Query) -> Headers:
        """These headers and those that a presigned URL carries in its query.

        Presigners move ``x-amz-*`` headers (version 2's also Content-Type and Content-MD5) there; S3 takes
        them as headers, unless the request has a header of that name.
        """
        if not any(name in query for name in _PRESIGNED):
            return self
        moved: dict[str, str] = {}
        for key, value in query.pairs:
            name = key.lower()
            if name in ("content-type", "content-md5") or (name.startswith("x-amz-") and name not in _AUTHENTICATION):
                moved.setdefault(name, value)
        if not moved:
            return self
        headers = Headers({**moved, **self._values})
        headers._arrived = self._values
        return headers

    @property
    def arrived(self) -> Mapping[str, str]:
        """Those that came as headers, and not in the query."""
        return self._arrived

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@frozen
class RequestHead:
    """All of a request but its body.

    ``raw_target`` is the target as it came (signatures are over it); ``secure`` says whether it
    came by TLS; ``peer`` is the client's address, for logs.
    """

    method: str
    target: Target
    headers: Headers = field(factory=Headers)
    raw_target: bytes = b""
    secure: bool = False
    peer: str = ""
