"""Three real daemons before one directory: reads and writes through any of them, redirects, identity behind them, and deaths."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.certificates import Authority
from tests.cluster.trio import HOSTS, MIB, Got, Trio, get, put, running_trio
from tests.running import free_ports
from tests.wire import authorization

WGET = {"User-Agent": "Wget/1.21.3"}
ALICE = {"Authorization": authorization("alice")}
POLICY = '[[allow]]\nusers = ["alice"]\nactions = ["read"]\nresources = ["objects/*"]\n'
ISSUER, AUDIENCE = "https://issuer.example", "alluxio-s3"
KEY = RSAKey.generate_key(2048, {"kid": "one"}, private=True)


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    """Three under SIMPLE and ``auto``, before a directory that is asked at each read."""
    with running_trio(tmp_path_factory.mktemp("simple")) as trio:
        yield trio


def url(trio: Trio, number: int, key: str) -> str:
    """The URL of an object at a worker."""
    return f"{trio.endpoints[number]}/objects/{key}"


def test_reads_through_any_worker(trio: Trio) -> None:
    """Every worker gives what any of them owns, whole and in ranges; what it says of the cache is the owner's word, and why it came so."""
    for owner in range(3):
        for size in (0, 10, 4096, 3 * MIB):
            key, data = trio.key(owner, f"read-{size}"), os.urandom(size)
            trio.put(key, data)
            for number in range(3):
                got = get(url(trio, number, key))
                assert (got.status, got.body) == (200, data)
                assert ("; detail=proxy-client-unknown" in got.headers["cache-status"]) == (number != owner)
                if size > 100:
                    got = get(url(trio, number, key), {"Range": f"bytes=7-{size - 9}"})
                    assert (got.status, got.body) == (206, data[7:-8])
                    assert get(url(trio, number, key), method="HEAD").headers["content-length"] == str(size)
    assert get(url(trio, 0, trio.key(1, "nothing"))).status == 404


def test_a_listing_tells_what_the_worker_has(trio: Trio) -> None:
    """How much of an object is in the cache is told of the worker that is asked: its owner has it, whoever was asked for it."""
    key, data = trio.key(1, "listed"), os.urandom(3 * MIB)
    trio.put(key, data)
    for number in (0, 1):
        assert get(url(trio, number, key), {"x-alluxio-load": "true"}).body == data

    def told(number: int) -> bytes:
        listing = get(f"{trio.endpoints[number]}/objects?list-type=2&prefix={key}", {"x-alluxio-residency": "true"}).body
        return listing.partition(b"<Residency>")[2].partition(b"</Residency>")[0]

    assert (told(0), told(1)) == (b"0", str(3 * MIB).encode())


def test_a_follower_is_redirected(trio: Trio) -> None:
    """A 307 to the owner in the form that most clients follow: chunked, with S3's document. What it leads to is final."""
    key, data = trio.key(1, "redirected é"), os.urandom(2 * MIB)
    trio.put(key, data)
    path = "/objects/redirected%20%C3%A9" + key.removeprefix("redirected é")
    got = get(f"{trio.endpoints[0]}{path}?response-content-type=a%2Fb&x-id=GetObject", WGET | ALICE)
    assert got.status == 307
    assert "content-length" not in got.headers
    assert got.headers["transfer-encoding"] == "chunked"
    assert "<Code>TemporaryRedirect</Code>" in got.body.decode()
    assert f"<Endpoint>127.0.0.2:{trio.port}</Endpoint><Bucket>objects</Bucket>" in got.body.decode()
    location = got.headers["location"]
    assert location.startswith(f"{trio.endpoints[1]}{path}?response-content-type=a%2Fb&x-id=GetObject&x-alluxio-hop=")
    followed = get(location, WGET)
    assert (followed.status, followed.body, followed.headers["content-type"]) == (200, data, "a/b")
    # At a worker that is not the owner it is served all the same.
    elsewhere = get(location.replace("127.0.0.2", "127.0.0.3"), WGET)
    assert (elsewhere.status, elsewhere.body) == (200, data)
    assert "detail=proxy-hop" in elsewhere.headers["cache-status"]
    assert get(f"{trio.endpoints[0]}{path}", WGET, "HEAD").status == 200


def test_hostile_hosts_choose_nothing(trio: Trio) -> None:
    """Location is of the member table, whatever Host and an absolute target say."""
    key = trio.key(1, "hostile")
    trio.put(key, os.urandom(2 * MIB))
    for target in (f"/objects/{key}", f"http://evil.example/objects/{key}"):
        with socket.create_connection(("127.0.0.1", trio.port)) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: evil.example\r\nUser-Agent: Wget/1\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        assert answer.startswith("HTTP/1.1 307 ")
        assert f"\r\nlocation: http://127.0.0.2:{trio.port}/objects/{key}?x-alluxio-hop=" in answer.lower()
        assert "evil" not in answer.replace(f"<Resource>http://evil.example/objects/{key}</Resource>", "")


def test_old_clients_get_the_close_form(trio: Trio) -> None:
    """A redirect for HTTP/1.0 has no chunks: the connection ends it."""
    key = trio.key(1, "old")
    trio.put(key, os.urandom(2 * MIB))
    with socket.create_connection(("127.0.0.1", trio.port)) as connection:
        connection.sendall(f"GET /objects/{key} HTTP/1.0\r\nUser-Agent: Wget/1\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 307 " in answer.partition(b"\r\n")[0]
    assert b"chunked" not in answer
    assert answer.endswith(b"</Error>")


def test_wrong_tokens_are_refused(trio: Trio) -> None:
    """A token that was changed, or is for another object, lets nobody in; and no log shows one."""
    key, other = trio.key(1, "token"), trio.key(1, "other")
    for one in (key, other):
        trio.put(one, os.urandom(2 * MIB))
    location = get(url(trio, 0, key), WGET).headers["location"]
    token = location.rpartition("=")[2]
    assert get(location).status == 200
    for wrong in (location[:-4], f"{location}x", f"{url(trio, 1, other)}?x-alluxio-hop={token}", f"{url(trio, 1, key)}?x-alluxio-hop="):
        assert get(wrong).status == 403, wrong
    assert get(location, method="DELETE").status == 403
    wait_for(lambda: "x-alluxio-hop=***" in trio.log(1))
    assert token.partition(".")[0] not in "".join(trio.log(number) + trio.daemons[number].log for number in range(3))


def test_the_ports_say_nothing_else(trio: Trio) -> None:
    """The port for workers tells strangers nothing, and the one for clients knows nothing of what workers say to each other."""
    assert get(f"http://127.0.0.1:{trio.peer_port}/1/status?path=/objects/x&store=y") == Got(403, {"content-length": "0"}, b"")
    assert get(f"{trio.endpoints[0]}/1/status?path=/objects/x&store=y").status == 400


def test_a_write_is_seen_through_every_worker(trio: Trio) -> None:
    """What was written, replaced or deleted through one worker is so for all, at once."""
    for writer in range(3):
        key = trio.key(2, f"written-{writer}")
        for version in range(3):
            data = f"{writer} {version}".encode() * 1000
            assert put(url(trio, writer, key), data).status == 200
            for number in range(3):
                assert get(url(trio, number, key)).body == data
        assert get(url(trio, writer, key), method="DELETE").status == 204
        assert {get(url(trio, number, key)).status for number in range(3)} == {404}


def signed(address: str, how: type = S3SigV4Auth) -> tuple[str, Mapping[str, str]]:
    """A URL and headers, as Alice signs them."""
    request = AWSRequest("GET", address, headers=dict(WGET))
    how(Credentials("alice", "secret"), "s3", "us-east-1").add_auth(request)
    prepared = request.prepare()
    return prepared.url, dict(prepared.headers.items())


def test_identity_behind_a_redirect(tmp_path: Path) -> None:
    """Under SIGV4, whoever is redirected is at the owner who it was, with a policy in force at both; without the token it is nobody."""
    (tmp_path / "keys").write_text("[alice]\naws_access_key_id = alice\naws_secret_access_key = secret\n")
    (tmp_path / "policy.toml").write_text(POLICY)
    properties = {
        "alluxio.worker.s3.authentication.type": "SIGV4",
        "alluxio.worker.s3.authentication.keys.file": tmp_path / "keys",
        "alluxio.worker.s3.authorization.policy.file": tmp_path / "policy.toml",
    }
    with running_trio(tmp_path, properties) as trio:
        key, data = trio.key(1, "mine"), os.urandom(2 * MIB)
        trio.put(key, data)
        for how in (S3SigV4Auth, S3SigV4QueryAuth):
            address, headers = signed(url(trio, 0, key), how)
            got = get(address, headers | WGET)
            assert got.status == 307, got
            location = got.headers["location"]
            # Without Authorization, with the old one, and with the name of the first host.
            for sent in (WGET, headers, {"Host": f"127.0.0.1:{trio.port}"}):
                assert get(location, sent).body == data
            if how is S3SigV4Auth:
                assert get(location.partition("?")[0], WGET).status == 403
        assert get(url(trio, 0, key), WGET).status == 403
        wait_for(lambda: " alice GetObject " in trio.log(1))


def test_tokens_of_an_issuer_behind_a_redirect(tmp_path: Path) -> None:
    """Under OIDC the groups of a token count at the owner, too."""
    (tmp_path / "jwks.json").write_text(json.dumps(KeySet([KEY]).as_dict(private=False)))
    (tmp_path / "policy.toml").write_text(POLICY.replace('users = ["alice"]', 'groups = ["readers"]'))
    properties = {
        "alluxio.worker.s3.authentication.type": "OIDC",
        "alluxio.worker.s3.authentication.oidc.issuer": ISSUER,
        "alluxio.worker.s3.authentication.oidc.audience": AUDIENCE,
        "alluxio.worker.s3.authentication.oidc.jwks.uri": tmp_path / "jwks.json",
        "alluxio.worker.s3.authorization.policy.file": tmp_path / "policy.toml",
    }
    with running_trio(tmp_path, properties) as trio:
        key, data = trio.key(1, "mine"), os.urandom(2 * MIB)
        trio.put(key, data)
        for groups, status in ((["readers"], 307), (["others"], 403)):
            claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 600, "groups": groups}
            bearer = {"Authorization": f"Bearer {jwt.encode({'alg': 'RS256', 'kid': 'one'}, claims, KEY)}"}
            got = get(url(trio, 0, key), bearer | WGET)
            assert got.status == status, got
            if status == 307:
                assert get(got.headers["location"], WGET).body == data


def test_an_owner_that_is_killed_in_the_middle(tmp_path: Path) -> None:
    """A proxied read whose owner is killed while it flows comes whole; the next one is answered within a second; the log has no trouble."""
    with running_trio(tmp_path) as trio:
        data = os.urandom(48 * MIB)
        for owner in (1, 2):
            key = trio.key(owner, "long")
            trio.put(key, data)
            assert hashlib.sha256(get(url(trio, 0, key)).body).digest() == hashlib.sha256(data).digest()
            with socket.create_connection(("127.0.0.1", trio.port)) as connection:
                connection.sendall(f"GET /objects/{key} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
                got = connection.recv(1 << 16)
                while len(got) < 2 * MIB:
                    got += connection.recv(1 << 16)
                os.kill(trio.daemons[owner].pid, signal.SIGKILL)
                began = time.monotonic()
                other = get(url(trio, 0, trio.key(owner, "long")), {"Range": "bytes=0-9"})
                assert time.monotonic() - began < 5
                assert other.body == data[:10]
                pieces = [got]
                while piece := connection.recv(1 << 20):
                    pieces.append(piece)
            assert b"".join(pieces).partition(b"\r\n\r\n")[2] == data
            trio.daemons[owner].kill()


def test_an_owner_that_stands_still(tmp_path: Path) -> None:
    """A read whose owner has stopped without a word is answered by somebody else, soon."""
    with running_trio(tmp_path) as trio:
        key, data = trio.key(1, "still"), os.urandom(MIB)
        trio.put(key, data)
        os.kill(trio.daemons[1].pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert get(url(trio, 0, key)).body == data
            assert time.monotonic() - began < 5
        finally:
            os.kill(trio.daemons[1].pid, signal.SIGCONT)


def wait_for(holds) -> None:
    """Return when it does: the access log is written within a second."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        os.sched_yield()


def test_workers_speak_tls(tmp_path: Path) -> None:
    """With a certificate and an authority for it, workers talk to each other by TLS, and to nobody who shows no certificate."""
    authority = Authority()
    issued = authority.issue()
    properties = {
        "alluxio.network.tls.enabled": True,
        "alluxio.network.tls.server.cert": issued.certificate_file(tmp_path / "cert.pem"),
        "alluxio.network.tls.server.key": issued.key_file(tmp_path / "key.pem"),
        "alluxio.network.tls.ca.cert": authority.certificate_file(tmp_path / "ca.pem"),
        "alluxio.worker.s3.https.port": free_ports(1)[0],
    }
    with running_trio(tmp_path, properties) as trio:
        key, data = trio.key(1, "secured"), os.urandom(2 * MIB)
        trio.put(key, data)
        got = get(url(trio, 0, key))
        assert (got.body, "detail=proxy" in got.headers["cache-status"]) == (data, True)
        assert told_to_strangers(HOSTS[1], trio.peer_port, ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))) == b""


def told_to_strangers(host: str, port: int, context: ssl.SSLContext) -> bytes:
    """What is answered to who shows no certificate."""
    with socket.create_connection((host, port)) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as secured:
                secured.sendall(b"GET /1/status HTTP/1.1\r\nHost: h\r\n\r\n")
                return secured.recv(1)
        except OSError:
            return b""
