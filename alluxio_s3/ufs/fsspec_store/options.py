"""Which store an ``fsspec+<protocol>://`` URI is, and what it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from attrs import field, frozen

_TIMEOUT, _RETRIES, _LAYOUT, _CONNECTIONS = "fsspec.timeout", "fsspec.retries", "fsspec.layout", "fsspec.connections"
_OURS = frozenset({"uri", "buckets", _TIMEOUT, _RETRIES, _LAYOUT, _CONNECTIONS})
OBJECTS, FILES, READ_ONLY = "objects", "files", "read-only"
# Where a put appears whole or not at all.
_OBJECT_STORES = frozenset(
    {"memory", "gs", "gcs", "s3", "s3a", "abfs", "abfss", "az", "oss", "oci", "ocilake", "obs", "tos", "tosfs", "cos", "r2", "b2"}
)
# Where a rename replaces what is there in one step.
# Of SFTP: where the server has OpenSSH's posix-rename, without which the library fails.
_FILE_STORES = frozenset({"file", "local", "hdfs", "arrow_hdfs", "sftp", "ssh"})
# Whose libraries mix up the answers to two threads on one connection: paramiko gives one that it reads for another to nobody.
_ONE_AT_A_TIME = frozenset({"sftp", "ssh", "ftp"})
# What has to be installed for a protocol.
_PACKAGES: Mapping[str, str] = {
    "gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "s3a": "s3fs", "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs", "sftp": "paramiko",
    "ssh": "paramiko", "sshfs": "sshfs", "smb": "smbprotocol", "hdfs": "pyarrow", "arrow_hdfs": "pyarrow", "oss": "ossfs",
    "webdav": "webdav4", "oci": "ocifs", "box": "boxfs", "dropbox": "dropboxdrivefs", "gdrive": "gdrive-fsspec", "http": "aiohttp",
}  # fmt: skip
# Their values are text, also where they look like numbers.
_TEXTS = re.compile(r"pass|secret|token|key|user|name|host$|account|project|client|tenant|_id$|connection", re.IGNORECASE)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,12})?")
# What of the options says which store it is.
_PLACE = ("host", "port", "account_name", "account_host", "endpoint_url", "project", "region", "share", "repo", "org")
_PLACE_OF_CONNECTION = ("accountname", "blobendpoint", "endpointsuffix")


@frozen
class Options:
    """A store: the class of its filesystem, what that is built with, and where in it the root is (no slash at the end).

    ``layout`` is how objects are put: ``objects`` (a put is one step), ``files`` (a rename is) or ``read-only``. ``timeout`` is in
    seconds, ``retries`` after the first try. ``connections``: how many there are, each for one call at a time; 0: the library shares
    one among all threads. ``identity`` holds no credentials.
    """

    protocol: str
    filesystem: Any
    given: Mapping[str, Any] = field(repr=False)
    root: str
    buckets: bool
    layout: str
    timeout: float
    retries: int
    connections: int
    identity: str


def parse_options(options: Mapping[str, str]) -> Options:
    """What ``options`` say; nothing is asked of the store. Raises ValueError: one is wrong, or a library is missing."""
    scheme, separator, rest = options.get("uri", "").partition("://")
    protocol = scheme.lower().partition("+")[2]
    if not separator or not protocol:
        raise ValueError("the URI is fsspec+PROTOCOL://..., such as fsspec+sftp://host/directory")
    filesystem = _class_of(protocol)
    url = f"{protocol}://{rest}"
    try:
        root = str(filesystem._strip_protocol(url)).rstrip("/")  # noqa: SLF001 - what fsspec's own functions do with URLs
        found = dict(filesystem._get_kwargs_from_urls(url))  # noqa: SLF001
    except (ValueError, TypeError, KeyError) as problem:
        raise ValueError(f"fsspec cannot read the URI: {type(problem).__name__}") from None
    given = found | {name: typed(name, value) for name, value in options.items() if name not in _OURS}
    layout = options.get(_LAYOUT) or (OBJECTS if protocol in _OBJECT_STORES else FILES if protocol in _FILE_STORES else READ_ONLY)
    if layout not in (OBJECTS, FILES, READ_ONLY):
        raise ValueError(f"the option {_LAYOUT} is {OBJECTS}, {FILES} or {READ_ONLY}")
    buckets = options.get("buckets", "false").lower()
    if buckets not in ("true", "false"):
        raise ValueError("the option buckets is true or false")
    if protocol in _OBJECT_STORES - {"memory"} and not root:
        raise ValueError(f"the URI of a {protocol} store names a bucket or container: fsspec+{protocol}://NAME")
    return Options(
        protocol,
        filesystem,
        given,
        root,
        buckets == "true",
        layout,
        _number(options, _TIMEOUT, 60, 1, 3600),
        int(_number(options, _RETRIES, 3, 0, 20)),
        int(_number(options, _CONNECTIONS, 4, 1, 64)) if protocol in _ONE_AT_A_TIME else 0,
        _identity(protocol, root, given),
    )


def typed(name: str, value: str) -> Any:
    """``value`` as the constructor of a filesystem takes it: ``true``, ``false``, ``null``, a number, JSON, else text."""
    text = value.strip()
    if text[:1] in ("{", "[", '"'):
        try:
            return json.loads(text)
        except ValueError:
            return value
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.lower() in ("null", "none"):
        return None
    if _NUMBER.fullmatch(text) and not _TEXTS.search(name):
        return float(text) if "." in text else int(text)
    return value


def _class_of(protocol: str) -> Any:
    # It is an extra requirement, and which of its classes are there depends on what else is installed.
    try:
        fsspec = import_module("fsspec")
    except ImportError:
        raise ValueError("fsspec is not installed: pip install 'alluxio-s3[fsspec]'") from None
    try:
        return fsspec.get_filesystem_class(protocol)
    except ImportError as problem:
        package = _PACKAGES.get(protocol)
        advice = f"pip install {package}" if package else str(problem)
        raise ValueError(f"fsspec cannot open {protocol}:// without its library: {advice}") from None
    except ValueError:
        raise ValueError(f"fsspec knows no protocol {protocol!r}") from None


def _number(options: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    try:
        value = float(options.get(name, str(default)))
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise ValueError(f"the option {name} is a number from {least:g} to {most:g}")
    return value


def _identity(protocol: str, root: str, given: Mapping[str, Any]) -> str:
    facts = [f"{name}={given[name]}" for name in _PLACE if given.get(name) is not None]
    connection = given.get("connection_string")
    if isinstance(connection, str):
        pairs = (part.partition("=") for part in connection.split(";"))
        facts += sorted(f"{name}={value}" for name, _, value in pairs if name.strip().lower() in _PLACE_OF_CONNECTION)
    return f"fsspec+{protocol}://{root}" + (f"?{'&'.join(facts)}" if facts else "")
