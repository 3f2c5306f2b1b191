"""What the options of a mount say: which are the daemon's own, which the under-store's, and which are secrets.

An option is ``name=value``, both text, as on the command line and in the mount table. The daemon's own are the fields of
``MountOptions``; every other goes to the under-store, which refuses what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import evolve, frozen

from alluxio_s3.settings.source import SettingsError
from alluxio_s3.settings.values import Kind, boolean, choice, duration

MASK = "******"

_FRESHNESS = "strong, immutable, or max_age=DURATION such as max_age=30sec (a bare number is seconds)"
_RATE = "megabytes in a second, such as 50 or 0.5 (0: no limit)"
_RATE_TEXT = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,6})?", re.ASCII)


@frozen
class Freshness:
    """How long what the daemon knows about an object holds.

    ``kind`` is ``strong`` (the store is asked at every read), ``max_age`` (what was asked less than ``max_age_ms`` ago holds)
    or ``immutable`` (what is there never changes).
    """

    kind: str = "strong"
    max_age_ms: int = 0


@frozen
class MountOptions:
    """The daemon's own options of a mount.

    ``cache`` is ``always``, ``never`` or ``second_touch``: when pages of what is read are kept. ``stale_if_error_ms``: for how long
    beyond its freshness what is cached may be served while the store fails. ``negative_ms``: for how long it may be remembered that
    nothing is at a path, ``listing_ms``: what a listing said. ``rate_limit`` is bytes of objects in a second, to and from the store; 0 is
    no limit. ``delete_type`` is ``ALLUXIO_AND_UFS``, or ``ALLUXIO_ONLY``: a delete only takes an object out of the cache.
    """

    readonly: bool = False
    cache: str = "always"
    freshness: Freshness = Freshness()
    stale_if_error_ms: int = 0
    negative_ms: int = 0
    listing_ms: int = 0
    rate_limit: int = 0
    delete_type: str = "ALLUXIO_AND_UFS"


def _freshness(text: str) -> Freshness:
    word, equals, age = text.strip().partition("=")
    word = word.strip().lower()
    if word in ("strong", "immutable") and not equals:
        return Freshness(word)
    if word != "max_age":
        raise ValueError(_FRESHNESS)
    age = age.strip()
    try:
        return Freshness(word, duration(minimum=1).parse(f"{age}s" if age.isdigit() else age))
    except ValueError:
        raise ValueError(_FRESHNESS) from None


def _rate(text: str) -> int:
    if not _RATE_TEXT.fullmatch(text.strip()):
        raise ValueError(_RATE)
    megabytes = Decimal(text.strip())
    return max(int(megabytes * (1 << 20)), 1) if megabytes else 0


# Each by its name among the options: the field of MountOptions, and what its value looks like.
OPTIONS: Mapping[str, tuple[str, Kind[Any]]] = MappingProxyType(
    {
        "readonly": ("readonly", boolean()),
        "cache": ("cache", choice("always", "never", "second_touch")),
        "freshness": ("freshness", Kind("freshness", _FRESHNESS, _freshness)),
        "stale.if.error": ("stale_if_error_ms", duration()),
        "negative.max.age": ("negative_ms", duration()),
        "listing.max.age": ("listing_ms", duration()),
        "rate.limit": ("rate_limit", Kind("rate", _RATE, _rate)),
        "deletetype": ("delete_type", choice("ALLUXIO_AND_UFS", "ALLUXIO_ONLY")),
    }
)


def split_options(options: Mapping[str, str], defaults: MountOptions = MountOptions()) -> tuple[MountOptions, dict[str, str]]:
    """The daemon's own options, and those that are the store's. Raises SettingsError, which shows no value of a secret."""
    given: dict[str, Any] = {}
    rest: dict[str, str] = {}
    for name, value in options.items():
        field, kind = OPTIONS.get(name.strip().lower(), ("", None))
        if kind is None:
            rest[name] = value
            continue
        try:
            given[field] = kind.parse(value)
        except ValueError as expected:
            raise SettingsError(f"option {name}: expected {expected}, not {value[:100]!r}") from None
    return evolve(defaults, **given), rest


# What a name says of its value, its words put together without dots, dashes, underscores and case.
_SECRET = re.compile(
    r"secret|passw|passphrase|pwd|token|credential|signature|connectionstring"
    r"|(?:account|private|shared|master|encryption|signing|storage|customer|api|auth|service)key(?!id|file|name|path|length|type)"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Words by which a name says where a secret is, or how it is used, and not what it is.
_ABOUT = {"file", "filename", "path", "dir", "url", "uri", "endpoint", "id", "provider", "class", "type", "enabled", "timeout", "expiry"}


def is_secret(name: str) -> bool:
    """Whether the value of the option ``name`` is to be shown to nobody: known ones, and what looks like one.

    ``s3a.secretKey``, ``account_key``, ``sasToken`` and ``password`` are; ``s3a.accessKeyId`` and ``private.key.file`` are not.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    return bool(_SECRET.search("".join(words))) or "sas" in words or words == ["pkey"]


def masked(options: Mapping[str, str]) -> dict[str, str]:
    """``options`` as they may be shown."""
    return {name: MASK if is_secret(name) else value for name, value in options.items()}


def without_secrets(text: str, options: Mapping[str, str]) -> str:
    """``text``, which somebody else wrote, with every secret of ``options`` masked that is in it."""
    secrets = {value for name, value in options.items() if is_secret(name) and value}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


# user:password@ in any form, also one that is not escaped; a port is none.
_PASSWORD = re.compile(r"://[^:/?#@\[]*:(?![0-9]*(?:[/?#]|$))[^@]*@")


def check_uri(uri: str) -> None:
    """Raise SettingsError for a URI that nothing can be mounted from, or that holds a secret, which would show wherever it is shown."""
    if not uri or any(ord(char) < 0x20 or ord(char) == 0x7F for char in uri):
        raise SettingsError("the URI of an under-store is a path or scheme://..., without control characters")
    try:
        parts = urlsplit(uri)
    except ValueError as problem:
        raise SettingsError(f"the URI of an under-store cannot be read: {problem}") from None
    if not parts.scheme and not uri.startswith("/"):
        raise SettingsError(f"the URI of an under-store is an absolute path or scheme://..., not {uri[:100]!r}")
    if _PASSWORD.search(uri) or any(is_secret(name) for name in _query_names(parts.query)):
        raise SettingsError("the URI of the under-store holds a secret; give it as an option of the mount instead")


def _query_names(query: str) -> Iterable[str]:
    names = (name for name, _value in parse_qsl(query, keep_blank_values=True))
    # Azure's shared access signatures are in the parameter ``sig``.
    return ("signature" if name.lower() == "sig" else name for name in names)
