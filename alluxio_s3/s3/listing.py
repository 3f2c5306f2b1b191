"""Listings: where a page begins and goes on, and how its entries are written.

Keys are ordered by their UTF-8 bytes, which is the order of Python's strings.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import quote

from alluxio_s3.s3.conditions import iso_date
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.xml import element, escape, tag
from alluxio_s3.storage import Status

MAX_PAGE = 1000
_MAX_INTEGER = 2**31 - 1
_LAST = 0x10FFFF
_TOKEN_VERSION = b"\x01"


def successor(prefix: str) -> str | None:
    """The least string that is greater than every string that begins with ``prefix``; None if there is none.

    What follows the common prefix ``a/`` begins at ``successor("a/")``.
    """
    end = len(prefix)
    while end and ord(prefix[end - 1]) == _LAST:
        end -= 1
    if not end:
        return None
    following = ord(prefix[end - 1]) + 1
    if 0xD800 <= following < 0xE000:  # surrogates are no characters
        following = 0xE000
    return prefix[: end - 1] + chr(following)


class ContinuationToken:
    """Where the next page of a listing begins, as a string that clients hand back unread."""

    @staticmethod
    def encode(start: str) -> str:
        """The token of a page whose entries are >= ``start``. It is safe in XML, headers and queries as it is."""
        content = _TOKEN_VERSION + start.encode()
        checksum = binascii.crc32(content).to_bytes(4, "big")
        return urlsafe_b64encode(checksum + content).decode().rstrip("=")

    @staticmethod
    def decode(token: str) -> str:
        """The ``start`` of a token. Raises ``S3Error`` InvalidArgument for what ``encode`` did not make."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
            checksum, content = raw[:4], raw[4:]
            if content[:1] == _TOKEN_VERSION and binascii.crc32(content).to_bytes(4, "big") == checksum:
                start = content[1:].decode()
                if ContinuationToken.encode(start) == token:  # base64 tolerates strange characters
                    return start
        except ValueError:  # not ASCII, not base64, not UTF-8
            pass
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token")


def parse_max_keys(value: str | None, default: int = MAX_PAGE, *, name: str = "max-keys") -> int:
    """How many entries a page may have, 0 to 1,000; more is taken for 1,000, absent or empty for ``default``.

    ``name`` is the parameter's, for the error. Raises ``S3Error`` InvalidArgument.
    """
    if not value:
        return default
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=value)
    digits = digits.lstrip("0") or "0"
    # The length first: int() refuses thousands of digits with an error of its own.
    if value[0] == "-" or len(digits) > 10 or int(digits) > _MAX_INTEGER:
        raise S3Error(
            "InvalidArgument",
            f"Argument {name} must be an integer between 0 and {_MAX_INTEGER}",
            ArgumentName=name,
            ArgumentValue=value,
        )
    return min(int(digits), MAX_PAGE)


def parse_encoding_type(value: str | None) -> str | None:
    """``"url"`` or None. Raises ``S3Error`` InvalidArgument for any other encoding."""
    if not value:
        return None
    if value != "url":
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type", ArgumentValue=value)
    return value


def encode_key(key: str, encoding_type: str | None) -> str:
    """``key`` (or prefix, delimiter, marker) as a listing has it: percent-encoded with ``encoding-type=url``, else as it is.

    All but letters, digits, ``-._~`` and ``/`` is encoded. S3 writes a space as ``+``, we as ``%20``: clients decode
    either form of URL encoding, and that is the same in both.
    """
    return key if encoding_type is None else quote(key, safe="/", errors="surrogatepass")


def contents_xml(
    status: Status, key: str, *, encoding_type: str | None = None, owner: str | None = None, residency: int | None = None
) -> str:
    """The ``Contents`` element of an object. ``key`` is its key in the bucket; ``owner`` is told unless None.

    So is ``residency``, how many of its bytes are in a cache, in an element that is no word of S3's.
    """
    checksums = ""
    if status.attributes.checksums:
        algorithms = (tag("ChecksumAlgorithm", algorithm) for algorithm in status.attributes.checksums)
        checksums = "".join(algorithms) + tag("ChecksumType", status.attributes.checksum_type)
    # One template and not a dozen calls: a page has a thousand of these.
    return (
        f"<Contents><Key>{escape(encode_key(key, encoding_type))}</Key><LastModified>{iso_date(status.modified_ns)}</LastModified>"
        f"<ETag>&quot;{escape(status.etag)}&quot;</ETag>{checksums}<Size>{status.size}</Size>{'' if owner is None else owner_xml(owner)}"
        f"<StorageClass>STANDARD</StorageClass>{'' if residency is None else tag('Residency', residency)}</Contents>"
    )


def common_prefix_xml(prefix: str, *, encoding_type: str | None = None) -> str:
    """The ``CommonPrefixes`` element of one common prefix."""
    return element("CommonPrefixes", tag("Prefix", encode_key(prefix, encoding_type)))


def owner_xml(name: str) -> str:
    """The ``Owner`` element of a user: here a name is its own id."""
    return element("Owner", tag("ID", name), tag("DisplayName", name))
