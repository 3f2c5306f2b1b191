"""The door of the admin port: whom it lets in, by a token, or by a cookie that the token was given for once.

Programs send ``Authorization: Bearer <token>``. Browsers are shown a form at ``/login``, and get a cookie that scripts cannot
read and other sites cannot use; it ends after half a day, and with the token that it was given for.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import quote, urlsplit

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource

LOGIN, LOGOUT = "/login", "/logout"
# What those ask who restart the daemon, or send it requests; without a token they are told nothing more.
OPEN = frozenset({"/live", "/ready"})
COOKIE = b"alluxio_s3_admin"
COOKIE_SECONDS = 12 * 3600
_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>alluxio-s3: log in</title>
<style>body {{ background: light-dark(#fff, #14181f); color: light-dark(#111, #eee) }}
body {{ font: 16px system-ui, sans-serif; margin: 15vh auto; max-width: 22em; padding: 0 1em }}
label, input, button {{ display: block; font: inherit; margin: .5em 0; width: 100%; box-sizing: border-box }}
p[role=alert] {{ color: #b00020; color: light-dark(#b00020, #ff8a80) }} :root {{ color-scheme: light dark }}</style></head>
<body><main><h1>alluxio-s3</h1>{alert}
<form method="post" action="{login}?next={next}"><label for="token">Token of the admin port</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button></form></main></body></html>
"""


@frozen
class Door:
    """Who gets in; ``token`` tells the token of now, which may change."""

    token: Callable[[], bytes]
    clock: IReactorTime

    @classmethod
    def of(cls, token: Callable[[], bytes] | None, clock: IReactorTime) -> Door | None:
        """A door, if there is a token for it."""
        return None if token is None else cls(token, clock)

    def knows(self, request: Any) -> bool:
        """Whether a ``twisted.web`` request brings the token, or a cookie that was given for it and that another site did not send."""
        authorization = request.getHeader(b"authorization")
        if authorization is not None:
            scheme, _, given = authorization.strip().partition(b" ")
            return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self.token())
        cookie = request.getCookie(COOKIE)
        return cookie is not None and self._is_good(cookie) and _is_own(request)

    def cookie(self) -> bytes:
        """A cookie's value, good for half a day."""
        until = b"%d" % (self.clock.seconds() + COOKIE_SECONDS)
        return until + b"." + self._proof(until)

    def guard(self, pages: IResource) -> Resource:
        """``pages``, a leaf, for whom is known; ``/login``, ``/logout`` and what is open for everybody."""
        return _Guarded(self, pages)

    def _is_good(self, cookie: bytes) -> bool:
        until, _, proof = cookie.partition(b".")
        if not until.isdigit() or len(until) > 15 or int(until) <= self.clock.seconds():
            return False
        return hmac.compare_digest(proof, self._proof(until))

    def _proof(self, until: bytes) -> bytes:
        return hmac.digest(self.token(), b"alluxio-s3 admin cookie until " + until, "sha256").hex().encode()


class _Guarded(Resource):
    isLeaf = True  # noqa: N815  # Twisted's name

    def __init__(self, door: Door, pages: IResource) -> None:
        super().__init__()
        self._door = door
        self._pages = pages

    def render(self, request: Request) -> Any:
        path = request.path.decode("latin-1")
        if path == LOGIN:
            return self._log_in(request)
        if path == LOGOUT and request.method == b"POST":
            _set_cookie(request, b"", 0)
            return _see_other(request, LOGIN)
        if path in OPEN or self._door.knows(request):
            return self._pages.render(request)
        if request.method == b"GET" and b"text/html" in (request.getHeader(b"accept") or b""):
            return _see_other(request, f"{LOGIN}?next={quote(request.uri, safe='')}")
        request.setResponseCode(401)
        request.setHeader(b"www-authenticate", b'Bearer realm="alluxio-s3 admin"')
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        return b"The token of alluxio.worker.s3.admin.token.path is needed: Authorization: Bearer <token>, or log in at /login.\n"

    def _log_in(self, request: Request) -> Any:
        arguments: dict[bytes, list[bytes]] = request.args or {}
        following = _local(arguments.get(b"next", [b"/"])[0].decode("utf-8", "replace"))
        alert = ""
        if request.method == b"POST":
            given = arguments.get(b"token", [b""])[0].strip()
            if _is_own(request) and hmac.compare_digest(given, self._door.token()):
                _set_cookie(request, self._door.cookie(), COOKIE_SECONDS)
                return _see_other(request, following)
            request.setResponseCode(403)
            alert = '<p role="alert">That is not the token.</p>'
        elif request.method not in _SAFE:
            request.setResponseCode(405)
            return b""
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        request.setHeader(b"content-security-policy", _POLICY)
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        request.setHeader(b"referrer-policy", b"same-origin")
        return _PAGE.format(alert=alert, login=LOGIN, next=escape(quote(following, safe=""))).encode()


def _is_own(request: Any) -> bool:
    """Whether what may change something comes from a page of this port; programs say nothing of where they come from."""
    if request.method in _SAFE:
        return True
    origin = request.getHeader(b"origin")
    if origin is None:
        return request.getHeader(b"sec-fetch-site") in (None, b"same-origin", b"none")
    return bool(origin.partition(b"://")[2] == (request.getHeader(b"host") or b"") != b"")


def _local(target: str) -> str:
    """``target`` if it is a path on this port, else ``/``: nobody is sent elsewhere."""
    is_path = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable() and target.isascii()
    return target if is_path and urlsplit(target).path not in (LOGIN, LOGOUT) else "/"


def _set_cookie(request: Request, value: bytes, seconds: int) -> None:
    request.addCookie(COOKIE, value, path=b"/", max_age=b"%d" % seconds, httpOnly=True, sameSite=b"strict", secure=request.isSecure())


def _see_other(request: Request, where: str) -> bytes:
    request.setResponseCode(303)
    request.setHeader(b"location", where.encode())
    request.setHeader(b"cache-control", b"no-store")
    return b""
