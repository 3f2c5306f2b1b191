"""Where a mount's directory is in HDFS, who we are there, and how long we wait: the options of the under-store."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from attrs import field, frozen

# Hadoop's own: dfs.namenode.http-address and dfs.namenode.https-address since 3.0 (50070 and 50470 before).
_HTTP_PORT, _HTTPS_PORT = 9870, 9871
_MOST_RETRIES = 100
OPTIONS = (
    "user", "alluxio.security.login.username", "delegation.token", "delegation.token.file",
    "namenodes", "http.port", "connect.timeout", "timeout", "retries", "ca.file", "folders",
)  # fmt: skip


@frozen
class Place:
    """A directory of an HDFS.

    ``namenodes`` are ``http://host:port`` of the NameNodes, of which one is active. ``root`` is the path of the directory, empty for
    HDFS's own root. ``user`` is who we say that we are, unless there is a delegation ``token``. Times are in seconds; ``stall`` is
    how long may pass without a byte.
    """

    namenodes: tuple[str, ...]
    root: str
    user: str
    token: str | None = field(default=None, repr=False)
    connect: float = 10.0
    stall: float = 60.0
    retries: int = 5
    ca_file: str | None = None

    @property
    def identity(self) -> str:
        """The place as a URI, without credentials."""
        return f"webhdfs://{','.join(one.partition('://')[2] for one in self.namenodes)}{self.root or '/'}"

    def url_path(self, path: str) -> str:
        """The path in a URL of ``path``, which is relative to the root, in percent encoding."""
        return "/webhdfs/v1" + quote(f"{self.root}/{path}".rstrip("/") or "/", safe="/")

    def absolute(self, path: str) -> str:
        """``path``, which is relative to the root, as HDFS knows it."""
        return f"{self.root}/{path}".rstrip("/")


def parse_place(options: Mapping[str, str]) -> Place:
    """The place that ``options`` describe. Raises ValueError with a message for the operator.

    ``uri`` is ``webhdfs://host:port/path`` (the NameNode's HTTP port), ``swebhdfs://...`` (its HTTPS port), or ``hdfs://host:port/path``,
    whose port is that of another protocol: the HTTP port is the option ``http.port`` then. Several NameNodes are separated
    by commas. The other options are in docs/understores.md.
    """
    unknown = sorted(set(options) - {*OPTIONS, "uri", "buckets"})
    if unknown:
        raise ValueError(f"there is no option {unknown[0]!r}; the options are {', '.join(OPTIONS)}")
    scheme, separator, rest = options.get("uri", "").partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("hdfs", "webhdfs", "swebhdfs"):
        raise ValueError("the uri is hdfs://, webhdfs:// or swebhdfs://, then host:port and a path")
    authority, _, path = rest.partition("/")
    login, _, hosts = authority.rpartition("@")
    if ":" in login:
        raise ValueError("the uri holds a password, which WebHDFS has no use for; a delegation token goes into delegation.token.file")
    hosts = options.get("namenodes") or hosts
    default = _number(options, "http.port", _HTTPS_PORT if scheme == "swebhdfs" else _HTTP_PORT)
    keeps_port = scheme != "hdfs" or "namenodes" in options
    web = "https" if scheme == "swebhdfs" else "http"
    nodes = tuple(_node(web, host, default, keeps_port=keeps_port) for host in hosts.split(",") if host)
    if not nodes:
        raise ValueError("the uri names no NameNode")
    segments = [one for one in unquote(path).split("/") if one]
    if {".", ".."} & set(segments):
        raise ValueError("the path of the uri has a segment that is '.' or '..'")
    return Place(
        nodes,
        "".join(f"/{one}" for one in segments),
        options.get("user") or options.get("alluxio.security.login.username") or unquote(login) or pwd.getpwuid(os.geteuid()).pw_name,
        _token(options),
        _seconds(options, "connect.timeout", 10.0),
        _seconds(options, "timeout", 60.0),
        min(_number(options, "retries", 5), _MOST_RETRIES),
        options.get("ca.file") or None,
    )


def _node(web: str, host: str, default: int, *, keeps_port: bool) -> str:
    try:
        parts = urlsplit(f"{web}://{host}")
        port = parts.port
    except ValueError:
        raise ValueError(f"the uri's host and port are not valid: {host!r}") from None
    if not parts.hostname or parts.path or parts.query:
        raise ValueError(f"the uri's host and port are not valid: {host!r}")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{web}://{name}:{port if port and keeps_port else default}"


def _token(options: Mapping[str, str]) -> str | None:
    file = options.get("delegation.token.file")
    if not file:
        return options.get("delegation.token") or None
    try:
        return Path(file).read_text().strip()
    except (OSError, ValueError):
        raise ValueError(f"the delegation token can't be read from {file}") from None


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    value = options.get(name, "")
    if value and not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise ValueError(f"the option {name} is a whole number, not {value!r}")
    return int(value) if value else default


def _seconds(options: Mapping[str, str], name: str, default: float) -> float:
    value = options.get(name, "")
    try:
        seconds = float(value) if value else default
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"the option {name} is a number of seconds, not {value!r}")
    return seconds
