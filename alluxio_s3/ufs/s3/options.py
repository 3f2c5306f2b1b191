"""What an S3 under-store can be told, by the names that Alluxio gives it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from urllib.parse import urlsplit

from attrs import field, frozen

_DURATION = re.compile(r"([0-9]+)(ms|millisecond|s|sec|second|m|min|minute|h|hour|)", re.IGNORECASE)
_SECONDS = {
    "ms": 0.001,
    "millisecond": 0.001,
    "": 0.001,
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
}
# A bucket's name may stand in a host's name, and a certificate for *.host fits it, if it has no dot.
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")

_ACCESS_KEY = ("s3a.accessKeyId", "aws.accessKeyId")
_SECRET_KEY = ("s3a.secretKey", "aws.secretKey")
_SESSION_TOKEN = "s3.sessionToken"  # noqa: S105 the name of an option
_ENDPOINT = "alluxio.underfs.s3.endpoint"
_REGION = "alluxio.underfs.s3.region"
_PATH_STYLE = "alluxio.underfs.s3.disable.dns.buckets"
_CONNECTIONS = "alluxio.underfs.s3.threads.max"
_DEADLINE = "alluxio.underfs.s3.request.timeout"
_IDLE = "alluxio.underfs.s3.socket.timeout"
_RETRIES = "alluxio.underfs.s3.max.error.retry"

NAMES = frozenset(
    {
        "uri",
        "buckets",
        *_ACCESS_KEY,
        *_SECRET_KEY,
        _SESSION_TOKEN,
        _ENDPOINT,
        _REGION,
        _PATH_STYLE,
        _CONNECTIONS,
        _DEADLINE,
        _IDLE,
        _RETRIES,
    }
)


@frozen
class Options:
    """Where the store is and how to treat it. ``prefix`` is empty or ends with ``/``; ``endpoint`` is ``scheme://host[:port]``.

    ``deadline`` bounds, in seconds, what one request may take with all its retries until its answer begins; ``idle`` how long
    an answer that has begun may bring nothing. ``keys`` are access key, secret key and session token if they were given.
    """

    bucket: str
    prefix: str
    buckets: bool
    endpoint: str
    region: str | None
    path_style: bool
    keys: tuple[str, str, str | None] | None = field(repr=False)
    connections: int
    deadline: float
    idle: float
    retries: int

    @property
    def identity(self) -> str:
        """Which store this is, without credentials."""
        return f"s3:{self.endpoint}/{self.bucket}/{self.prefix}"


def read_options(options: Mapping[str, str]) -> Options:
    """``options`` as they were configured. Raises ValueError with a message for the operator, which never holds a secret."""
    for name in options:
        if name not in NAMES:
            near = get_close_matches(name, NAMES, 1, 0.5)
            raise ValueError(f"there is no option {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    bucket, prefix = _place(options.get("uri", ""))
    region = options.get(_REGION) or None
    given = options.get(_ENDPOINT, "")
    endpoint = _endpoint(given) if given else f"https://s3.{region or 'us-east-1'}.amazonaws.com"
    path_style = _flag(options, _PATH_STYLE, default=bool(given)) or not _HOST_LABEL.fullmatch(bucket)
    return Options(
        bucket=bucket,
        prefix=prefix,
        buckets=_flag(options, "buckets", default=False),
        endpoint=endpoint,
        region=region,
        path_style=path_style,
        keys=_keys(options),
        connections=_number(options, _CONNECTIONS, 40, least=1),
        deadline=_duration(options, _DEADLINE, 30.0),
        idle=_duration(options, _IDLE, 20.0),
        retries=_number(options, _RETRIES, 4, least=0),
    )


def _place(uri: str) -> tuple[str, str]:
    scheme, separator, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    if not separator or scheme.lower() not in ("s3", "s3a", "s3n") or not _BUCKET.fullmatch(bucket):
        raise ValueError("the option uri is s3://BUCKET or s3://BUCKET/PREFIX")
    prefix = prefix.strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise ValueError("the prefix of an S3 uri has no empty segments, and none that is '.' or '..'")
    return bucket, f"{prefix}/" if prefix else ""


def _endpoint(value: str) -> str:
    parts = urlsplit(value if "://" in value else f"https://{value}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    odd = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or odd:
        raise ValueError(f"the option {_ENDPOINT} is a URL such as https://host:port")
    return f"{parts.scheme}://{parts.netloc}"


def _keys(options: Mapping[str, str]) -> tuple[str, str, str | None] | None:
    access = next((options[name] for name in _ACCESS_KEY if options.get(name)), None)
    secret = next((options[name] for name in _SECRET_KEY if options.get(name)), None)
    if (access is None) is not (secret is None):
        raise ValueError(f"the options {_ACCESS_KEY[0]} and {_SECRET_KEY[0]} go together")
    if access is None or secret is None:
        return None
    return access, secret, options.get(_SESSION_TOKEN) or None


def _flag(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = options.get(name, str(default)).lower()
    if value not in ("true", "false"):
        raise ValueError(f"the option {name} is true or false, not {value!r}")
    return value == "true"


def _number(options: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    value = options.get(name, str(default))
    if not value.isdecimal() or not least <= int(value) <= 10_000:
        raise ValueError(f"the option {name} is a number from {least} to 10000, not {value!r}")
    return int(value)


def _duration(options: Mapping[str, str], name: str, default: float) -> float:
    value = options.get(name)
    if value is None:
        return default
    match = _DURATION.fullmatch(value)
    if match is None or not int(match[1]):
        raise ValueError(f"the option {name} is a duration such as 30sec or 500ms, not {value!r}")
    return int(match[1]) * _SECONDS[match[2].lower()]
