"""CORS: which pages of other origins a bucket answers to, and with which headers.

"Using cross-origin resource sharing (CORS)" in the S3 user guide, PutBucketCors and "OPTIONS object" in its API reference; what browsers
make of it is the Fetch standard's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from attrs import field, frozen

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.xml import Element, document, element, parse, tag

MAX_RULES = 100
MAX_DOCUMENT_BYTES = 64 << 10
# So many headers may be asked for at once: they are compared with every rule's, before anybody has said who asks.
MAX_REQUESTED_HEADERS = 100
METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
_MAX_ID = 255
_ROOT = "CORSConfiguration"
_KNOWN = frozenset({"ID", "AllowedMethod", "AllowedOrigin", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_PRINTABLE = re.compile(r"[!-~]+")
_SECONDS = re.compile(r"[0-9]{1,10}")


@frozen
class CorsRule:
    """What pages of ``origins`` may do. Origins and headers may hold one ``*``, which stands for any characters."""

    methods: tuple[str, ...]
    origins: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    name: str | None = None
    _lower: tuple[str, ...] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_lower", tuple(one.lower() for one in self.headers))

    def origin(self, origin: str) -> str | None:
        """The pattern that ``origin`` fits, if one does."""
        return next((pattern for pattern in self.origins if _fits(pattern, origin)), None)

    def takes(self, headers: Iterable[str]) -> bool:
        """Whether all of ``headers``, which are in lower case, may be sent."""
        return all(any(_fits(pattern, name) for pattern in self._lower) for name in headers)


def parse_cors(body: bytes) -> tuple[CorsRule, ...]:
    """The rules in a ``CORSConfiguration``. Raises ``S3Error``: MalformedXML, InvalidRequest."""
    root = parse(body, _ROOT)
    rules = root.findall("CORSRule")
    if not rules or len(rules) != len(root.children):
        raise S3Error("MalformedXML")
    if len(rules) > MAX_RULES:
        raise S3Error("InvalidRequest", f"The number of CORS rules should not exceed allowed limit of {MAX_RULES} rules.")
    return tuple(_rule(one) for one in rules)


def cors_document(rules: Iterable[CorsRule]) -> bytes:
    """The document that says ``rules``."""
    return document(_ROOT, "".join(map(_rule_element, rules)))


def preflight_headers(rules: Sequence[CorsRule], origin: str, method: str, requested: str | None) -> dict[str, str] | None:
    """The headers that allow what a browser asks for beforehand; None if no rule allows it.

    ``requested`` is the value of ``Access-Control-Request-Headers``. Raises ``S3Error`` BadRequest for too many of them.
    """
    names = [name.strip().lower() for name in (requested or "").split(",") if name.strip()]
    if len(names) > MAX_REQUESTED_HEADERS:
        raise S3Error("BadRequest", f"Access-Control-Request-Headers names more than {MAX_REQUESTED_HEADERS} headers.")
    headers = _headers(rules, origin, method, names)
    if headers is not None and names:
        headers["Access-Control-Allow-Headers"] = ", ".join(names)
    return headers


def answer_headers(rules: Sequence[CorsRule], origin: str, method: str) -> dict[str, str]:
    """The headers of an answer to a request that a page of ``origin`` makes: those that let it read the answer, if it may."""
    return _headers(rules, origin, method, ()) or {"Vary": VARY}


def _headers(rules: Sequence[CorsRule], origin: str, method: str, names: Sequence[str]) -> dict[str, str] | None:
    """By the first rule that fits, as S3 goes by it."""
    for rule in rules:
        pattern = rule.origin(origin)
        if pattern is None or method not in rule.methods or not rule.takes(names):
            continue
        headers = {
            "Access-Control-Allow-Origin": "*" if pattern == "*" else origin,
            "Access-Control-Allow-Methods": ", ".join(rule.methods),
        }
        if rule.exposed:
            headers["Access-Control-Expose-Headers"] = ", ".join(rule.exposed)
        if rule.max_age_seconds is not None:
            headers["Access-Control-Max-Age"] = str(rule.max_age_seconds)
        if pattern != "*":
            # With "*" browsers send none, and must not be told otherwise.
            headers["Access-Control-Allow-Credentials"] = "true"
        headers["Vary"] = VARY
        return headers
    return None


def _fits(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == text
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)


def _rule(given: Element) -> CorsRule:
    if any(child.name not in _KNOWN or child.children for child in given.children):
        raise S3Error("MalformedXML")
    name, seconds = given.value("ID"), given.value("MaxAgeSeconds")
    methods, origins, headers, exposed = (
        tuple(one.text for one in given.findall(kind)) for kind in ("AllowedMethod", "AllowedOrigin", "AllowedHeader", "ExposeHeader")
    )
    if not methods or not origins or (seconds is not None and not _SECONDS.fullmatch(seconds)):
        raise S3Error("MalformedXML")
    if name is not None and len(name) > _MAX_ID:
        raise S3Error("InvalidRequest", f"The ID of a CORS rule must not be longer than {_MAX_ID} characters.")
    for method in methods:
        if method not in METHODS:
            raise S3Error("InvalidRequest", f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
    _check_patterns("AllowedOrigin", origins)
    _check_patterns("AllowedHeader", headers)
    _check_exposed(exposed)
    return CorsRule(methods, origins, headers, exposed, None if seconds is None else int(seconds), name)


def _check_patterns(kind: str, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        if pattern.count("*") > 1:
            raise S3Error("InvalidRequest", f'{kind} "{pattern}" can not have more than one wildcard.')
        if not _PRINTABLE.fullmatch(pattern):
            raise S3Error("InvalidRequest", f"{kind} must be ASCII without spaces.")


def _check_exposed(headers: Iterable[str]) -> None:
    for header in headers:
        if "*" in header:
            raise S3Error(
                "InvalidRequest", f'ExposeHeader "{header}" contains wildcard. We currently do not support wildcard for ExposeHeader.'
            )
        if not _TOKEN.fullmatch(header):
            raise S3Error("InvalidRequest", f'ExposeHeader "{header}" is not the name of a header.')


def _rule_element(rule: CorsRule) -> str:
    return element(
        "CORSRule",
        tag("ID", rule.name),
        *(tag("AllowedMethod", one) for one in rule.methods),
        *(tag("AllowedOrigin", one) for one in rule.origins),
        *(tag("AllowedHeader", one) for one in rule.headers),
        *(tag("ExposeHeader", one) for one in rule.exposed),
        tag("MaxAgeSeconds", rule.max_age_seconds),
    )
