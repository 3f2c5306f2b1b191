"""OIDC while the issuer's keys can't be had: nobody waits long, and whose keys are known goes on."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.daemon.test_admin import properties
from tests.running import Daemon
from tests.wire import Answer, Wire

ISSUER, AUDIENCE = "https://issuer.example", "alluxio-s3"
KEY, NEW_KEY = (RSAKey.generate_key(2048, {"kid": kid}, private=True) for kid in ("one", "two"))
# An answer that takes longer has waited for an issuer that says nothing for longer than it is given.
AT_MOST_SECONDS = 15.0


class Issuer:
    """Serves a key set, or lets whoever asks wait."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.answers.wait(60)
                body = json.dumps(KeySet([KEY]).as_dict(private=False)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/keys"

    def leave(self) -> None:
        """Refuse connections from now on."""
        self.answers.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.leave()


def token(key: RSAKey = KEY, user: str = "alice") -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "exp": int(time.time()) + 600}
    return jwt.encode({"alg": "RS256", "kid": key.kid or ""}, claims, key)


def ask(wire: Wire, given: str) -> Answer:
    """A listing with a token; it must not take long, whatever the issuer does."""
    wire._authorization = f"Bearer {given}"
    started = time.monotonic()
    answer = wire("GET", "bucket")
    assert time.monotonic() - started < AT_MOST_SECONDS
    return answer


def test_issuer_that_is_down(issuer: Issuer, tmp_path: Path) -> None:
    """While keys were never had, tokens get 503 with the reason, within seconds; when they are known their tokens go on whatever becomes
    of the issuer, and tokens of keys that nobody knows are refused.
    """
    with Daemon(tmp_path / "conf") as daemon:
        wire = Wire(
            daemon.start(
                {
                    **properties(tmp_path),
                    "alluxio.worker.s3.authentication.type": "OIDC",
                    "alluxio.worker.s3.authentication.oidc.issuer": ISSUER,
                    "alluxio.worker.s3.authentication.oidc.audience": AUDIENCE,
                    "alluxio.worker.s3.authentication.oidc.jwks.uri": issuer.uri,
                }
            )
        )
        answer = ask(wire, token())
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        issuer.answers.set()
        while (answer := ask(wire, token())).status == 503:
            pass
        assert answer.status == 200
        issuer.answers.clear()
        for user in ("bob", "carol"):
            assert ask(wire, token(user=user)).status == 200
            assert ask(wire, token(NEW_KEY)).status in (400, 503)
        issuer.leave()
        assert ask(wire, token(user="dave")).status == 200
        assert ask(wire, token(NEW_KEY)).status in (400, 503)
        daemon.stop()
    assert daemon.trouble == []
