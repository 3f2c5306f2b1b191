"""Whom the admin port of a real daemon lets in when it has a token."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.daemon.test_admin import properties
from tests.running import Daemon, DaemonFailed

TOKEN = "canary-0123456789abcdef"
HTML = {"Accept": "text/html,*/*"}


class Port:
    """The admin port."""

    def __init__(self, daemon: Daemon) -> None:
        found = re.search(r"Metrics at http://([^/\s]+)/metrics", daemon.log)
        assert found, daemon.log
        self.host = found[1]

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", form: Mapping[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        typed = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
        connection.request(method, path, None if form is None else urlencode(form), {**typed, **(headers or {})})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body

    def log_in(self, token: str = TOKEN, following: str = "/metrics", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        return self.ask("/login?" + urlencode({"next": following}), headers, method="POST", form={"token": token})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Daemon, Port]]:
    """A daemon with a token, and the file of that."""
    directory = tmp_path_factory.mktemp("door")
    token = directory / "token"
    token.write_text(f"{TOKEN}\n")
    with Daemon(directory / "conf") as daemon:
        daemon.start({**properties(directory), "alluxio.worker.s3.admin.token.path": token})
        yield token, daemon, Port(daemon)
        daemon.stop()
        assert daemon.trouble == []
        assert "canary" not in daemon.log


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_health_is_open_and_says_nothing_else(place: tuple[Path, Daemon, Port]) -> None:
    """Without the token /live and /ready answer, and tell neither version nor reasons; with it they do."""
    port = place[2]
    assert json.loads(port.ask("/live")[2]) == {"live": True}
    assert json.loads(port.ask("/ready")[2]) == {"ready": True}
    assert set(json.loads(port.ask("/live", bearer(TOKEN))[2])) == {"live", "version"}
    told = json.loads(port.ask("/ready", bearer(TOKEN))[2])
    assert set(told) == {"ready", "reasons", "warnings"} and told["ready"] and told["reasons"] == {}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong-token-wrong-token"),
        bearer(""),
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": f"alluxio_s3_admin={TOKEN}"},
        {"Cookie": "alluxio_s3_admin=99999999999."},
        {"Cookie": "alluxio_s3_admin=99999999999." + "0" * 64},
        {"Cookie": "alluxio_s3_admin="},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/metrics", "/", "/anything", "/live/more", "//live", "/live%2f..%2fmetrics"])
def test_the_others_need_the_token(place: tuple[Path, Daemon, Port], path: str, headers: dict[str, str]) -> None:
    """What is not health is 401 without the token, whether there is such a page or not; a browser is sent to the form."""
    port = place[2]
    status, answered, body = port.ask(path, headers)
    assert (status, answered["WWW-Authenticate"]) == (401, 'Bearer realm="alluxio-s3 admin"')
    assert b"alluxio_s3_" not in body
    status, answered, _ = port.ask(path, {**headers, **HTML})
    assert status == 303 and answered["Location"].startswith("/login?next=")


def test_the_token_opens(place: tuple[Path, Daemon, Port]) -> None:
    """Authorization: Bearer with the token shows the pages."""
    port = place[2]
    status, _, body = port.ask("/metrics", bearer(TOKEN))
    assert status == 200 and b"alluxio_s3_requests_total" in body
    assert port.ask("/nothing", bearer(TOKEN))[0] == 404


def test_a_browser_logs_in_and_out(place: tuple[Path, Daemon, Port]) -> None:
    """The form takes the token once and gives a cookie that no script can read and no other site can use; /logout takes it back."""
    port = place[2]
    status, headers, body = port.ask("/login?next=/metrics")
    assert status == 200 and b"<form" in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    status, headers, _ = port.log_in()
    assert (status, headers["Location"]) == (303, "/metrics")
    cookie = headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    brought = {"Cookie": cookie.partition(";")[0]}
    assert port.ask("/metrics", brought)[0] == 200
    status, headers, _ = port.ask("/logout", brought, method="POST", form={})
    assert status == 303 and "Max-Age=0" in headers["Set-Cookie"]


def test_wrong_log_ins(place: tuple[Path, Daemon, Port]) -> None:
    """A wrong token, one in the URL, or a form of another site gets no cookie."""
    port = place[2]
    refused = [
        port.log_in("wrong-token-wrong-token"),
        port.log_in(""),
        port.log_in(Origin="http://evil.example"),
        port.log_in(Origin="http://["),
        port.log_in(**{"Sec-Fetch-Site": "cross-site"}),
    ]
    for status, headers, body in refused:
        assert status == 403 and "Set-Cookie" not in headers and b"not the token" in body
    status, headers, _ = port.ask(f"/login?token={TOKEN}")
    assert status == 200 and "Set-Cookie" not in headers


@pytest.mark.parametrize(
    "following", ["http://evil.example/", "//evil.example/", "/\\evil.example", "javascript:1", "/\r\nX: y", "/login", ""]
)
def test_nobody_is_sent_elsewhere(place: tuple[Path, Daemon, Port], following: str) -> None:
    """Where the form leads is a path on this port."""
    status, headers, _ = place[2].log_in(following=following)
    assert (status, headers["Location"], headers["X"]) == (303, "/", None)


def test_the_form_escapes(place: tuple[Path, Daemon, Port]) -> None:
    """What the URL says does not become markup of the form."""
    _, _, body = place[2].ask("/login?" + urlencode({"next": '/"><script>alert(1)</script>'}))
    assert b"<script" not in body


def test_a_cookie_of_another_site_does_nothing(place: tuple[Path, Daemon, Port]) -> None:
    """A request that may change something is taken with a cookie only from a page of this port."""
    port = place[2]
    brought = {"Cookie": port.log_in()[1]["Set-Cookie"].partition(";")[0]}
    assert port.ask("/metrics", {**brought, "Origin": f"http://{port.host}"}, method="POST", form={})[0] == 404
    assert port.ask("/metrics", {**brought, "Origin": "http://evil.example"}, method="POST", form={})[0] == 401
    assert port.ask("/metrics", {**brought, "Sec-Fetch-Site": "same-site"}, method="POST", form={})[0] == 401


def test_a_new_token_ends_the_old(place: tuple[Path, Daemon, Port]) -> None:
    """A token that is changed counts within moments, and the cookies that were given for the old one end; a bad file changes nothing."""
    token, _daemon, port = place
    brought = {"Cookie": port.log_in()[1]["Set-Cookie"].partition(";")[0]}
    new = TOKEN[::-1]
    try:
        _replace(token, new)
        while port.ask("/metrics", bearer(new))[0] != 200:
            pass
        assert port.ask("/metrics", bearer(TOKEN))[0] == 401
        assert port.ask("/metrics", brought)[0] == 401
        _replace(token, "short")
        while "what it said before holds on" not in place[1].log:
            assert port.ask("/metrics", bearer(new))[0] == 200
    finally:
        _replace(token, TOKEN)
    while port.ask("/metrics", bearer(TOKEN))[0] != 200:
        pass


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


@pytest.mark.parametrize("text", [None, "", "short", "two words of a token", "é" * 20])
def test_a_bad_token_is_no_start(tmp_path: Path, text: str | None) -> None:
    """A token file that is missing or no good stops the start, says which property, and does not show what is in it."""
    token = tmp_path / "token"
    if text is not None:
        token.write_text(text)
    daemon = Daemon(tmp_path / "conf")
    with pytest.raises(DaemonFailed, match=r"alluxio\.worker\.s3\.admin\.token\.path") as caught:
        daemon.start({**properties(tmp_path), "alluxio.worker.s3.admin.token.path": token})
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("with_token", [True, False])
def test_it_says_when_everybody_can_look(tmp_path: Path, *, with_token: bool) -> None:
    """A daemon that listens for operators beyond its machine, and asks nobody who they are, says so in its log."""
    (tmp_path / "token").write_text(TOKEN)
    more = {"alluxio.worker.s3.admin.token.path": tmp_path / "token"} if with_token else {}
    with Daemon(tmp_path / "conf") as daemon:
        daemon.start({**properties(tmp_path), "alluxio.worker.s3.admin.bind.host": "0.0.0.0", **more})
        assert ("asks nobody who they are" in daemon.log) is not with_token
        daemon.stop()


def test_several_processes(tmp_path: Path) -> None:
    """The parent of several processes asks for the token, too."""
    (tmp_path / "token").write_text(TOKEN)
    with Daemon(tmp_path / "conf") as daemon:
        more = {"alluxio.worker.s3.admin.token.path": tmp_path / "token", "alluxio.worker.s3.processes": 2}
        daemon.start({**properties(tmp_path), **more})
        port = Port(daemon)
        assert port.ask("/metrics")[0] == 401
        assert port.ask("/metrics", bearer(TOKEN))[0] == 200
        daemon.stop()
