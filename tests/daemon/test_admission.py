"""Who may come in: every action, in every mode that a payload can have, with every kind of credentials, right and wrong."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from twisted.internet.task import Clock

from alluxio_s3.actions.everything import REGISTRY
from alluxio_s3.auth.principals import Principal
from alluxio_s3.auth.temporary_keys import TemporaryKeys, parse_secret
from alluxio_s3.auth.watched_file import WatchedFile
from tests.daemon.attacks import OF_BODIES, OF_SIGNATURES, Attack
from tests.daemon.forms import Form, FormSigner
from tests.daemon.requests import CONTENT, REQUESTS, Ground, Signs, Wire
from tests.daemon.signer import HEADER_MODES, MODES, Ask, Bearer, Sent, Signer
from tests.running import Daemon

KEYS = "".join(f"[{name}]\naws_access_key_id = AKIA{name.upper()}\naws_secret_access_key = canary-{name}\n\n" for name in ("alice", "bob"))
# Bob may do nothing that the requests ask for, but is no stranger.
POLICY = """
[[allow]]
users = ["alice", "AKIAALICE"]
actions = ["all"]
resources = ["*"]

[[allow]]
users = ["bob", "AKIABOB"]
actions = ["all"]
resources = ["bobs/*"]
"""
ISSUER, AUDIENCE, SECRET = "https://issuer.example", "alluxio-s3", "canary-" + "5" * 40
KEY, STRANGERS_KEY = (RSAKey.generate_key(2048, {"kid": "one"}, private=True) for _ in range(2))
# What no log, figure, error or title of a process may show: secrets, tokens, sessions.
CANARIES = re.compile(r"canary|eyJ|AS1\.")
BODYLESS = ("sha256", "unsigned", "presigned")
# Their credentials are in the body, whoever sends it: tests/daemon/test_temporary_keys.py, and test_forms below.
ELSEWHERE = {"AssumeRoleWithWebIdentity", "PostObject"}


class Nobody:
    """Sends no credentials."""

    def sign(self, ask: Ask, mode: str, host: str) -> Sent:
        """``ask`` as it would be signed, unsigned."""
        sent = Signer("none", "none").sign(ask, mode, host).without("authorization")
        return evolve(sent, query=tuple(pair for pair in sent.query if not pair[0].startswith("X-Amz-")))


def token(key: RSAKey = KEY, **changes: Any) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 600, **changes}
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)


def temporary(directory: Path, user: str, seconds: int = 900) -> Signer:
    """Temporary keys of ``user``, such as STS gives."""
    clock = Clock()
    clock.advance(time.time())
    (directory / "sts").write_text(SECRET)
    given = TemporaryKeys(WatchedFile(str(directory / "sts"), parse_secret, clock), clock).issue(Principal(user, "oidc"), seconds)
    return Signer(given.access_key, given.secret_key, given.session_token)


@define
class Way:
    """A way in: who is right, who is not, and what must not be done to what the right one signed."""

    kind: str
    right: Signs
    wrong: Mapping[str, Signs]
    attacks: Mapping[str, Attack]
    modes: tuple[str, ...] = MODES
    too_old: Mapping[str, Signs] = field(factory=dict)


def named(_directory: Path, kind: str) -> Way:
    """Users are taken at their word: only what they may do, and what their bodies are, is looked at; and the time of URLs."""
    return Way(
        kind,
        Signer("AKIAALICE", "any"),
        {"nobody": Nobody(), "another user": Signer("AKIABOB", "any")},
        OF_BODIES,
        too_old={"expired": Signer("AKIAALICE", "any", age=301)},
    )


def signed(_directory: Path) -> Way:
    wrong = {
        "nobody": Nobody(),
        "another user": Signer("AKIABOB", "canary-bob"),
        "wrong secret": Signer("AKIAALICE", "canary-bob"),
        "unknown key": Signer("AKIAEVE", "canary-alice"),
        "of long ago": Signer("AKIAALICE", "canary-alice", age=1000),
        "of the future": Signer("AKIAALICE", "canary-alice", age=-1000),
        "made-up session": Signer("AKIAALICE", "canary-alice", token()),
        "token": Bearer(token()),
    }
    return Way("SIGV4", Signer("AKIAALICE", "canary-alice"), wrong, OF_SIGNATURES)


def _tokens(make: Callable[[str], Signs]) -> dict[str, Signs]:
    return {
        "nobody": Nobody(),
        "another user": make(token(sub="bob")),
        "another issuer's": make(token(iss="https://other")),
        "for another audience": make(token(aud="other")),
        "a stranger's": make(token(STRANGERS_KEY)),
        "expired": make(token(exp=int(time.time()) - 100)),
        "no token": Signer("AKIAALICE", "canary-alice"),
    }


def bearing(_directory: Path) -> Way:
    modes = ("sha256", "unsigned", "unsigned-trailer")
    return Way("OIDC", Bearer(token()), _tokens(Bearer), OF_BODIES, modes)


def in_session(_directory: Path) -> Way:
    def make(given: str) -> Signs:
        return Signer("any", "any", given)

    return Way("OIDC", make(token()), _tokens(make), OF_BODIES, too_old={"expired": Signer("any", "any", token(), 301)})


def with_temporary_keys(directory: Path) -> Way:
    alice, bob = temporary(directory, "alice"), temporary(directory, "bob")
    wrong = {
        "another user": bob,
        "wrong secret": evolve(alice, secret=bob.secret),
        "another's token": evolve(bob, token=alice.token),
        "another's key": evolve(alice, access_key=bob.access_key),
        "expired": temporary(directory, "alice", -1),
        "of long ago": evolve(alice, age=1000),
        "no token": evolve(alice, token=None),
        "changed token": evolve(alice, token=f"{alice.token}0"),
    }
    return Way("OIDC", alice, {**_tokens(Bearer), **wrong}, OF_SIGNATURES)


WAYS: Mapping[str, Callable[[Path], Way]] = {
    "SIMPLE": lambda directory: named(directory, "SIMPLE"),
    "AUDIT": lambda directory: named(directory, "AUDIT"),
    "SIGV4": signed,
    "bearer": bearing,
    "session token": in_session,
    "temporary keys": with_temporary_keys,
}


def properties(directory: Path, kind: str) -> dict[str, object]:
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.worker.s3.connection.keep.alive.enabled": True,
        "alluxio.underfs.xattr.change.enabled": True,
        "alluxio.dora.client.ufs.root": directory / "data",
        "alluxio.worker.s3.admin.port": 0,
        "alluxio.worker.s3.access.log.path": directory / "access.log",
        # A form for each way, and all of them are looked at.
        "alluxio.worker.s3.access.log.format": {"SIGV4": "json", "AUDIT": "aws"}.get(kind, "plain"),
        "alluxio.worker.s3.audit.log.path": directory / "audit.log",
        "alluxio.worker.s3.authentication.type": kind,
        "alluxio.worker.s3.authentication.keys.file": directory / "keys",
        "alluxio.worker.s3.authentication.oidc.issuer": ISSUER,
        "alluxio.worker.s3.authentication.oidc.audience": AUDIENCE,
        "alluxio.worker.s3.authentication.oidc.jwks.uri": directory / "jwks.json",
        "alluxio.worker.s3.sts.secret.file": directory / "sts",
        "alluxio.worker.s3.authorization.policy.file": directory / "policy.toml",
    }


@pytest.fixture(scope="module", params=list(WAYS))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Way, Ground]]:
    """A daemon for one of the ways, and what there is to ask about. Nothing secret is in its log when it has ended."""
    directory = tmp_path_factory.mktemp("admission")
    for name, text in (("keys", KEYS), ("policy.toml", POLICY), ("sts", SECRET)):
        (directory / name).write_text(text)
    (directory / "jwks.json").write_text(json.dumps(KeySet([KEY]).as_dict(private=False)))
    (directory / "data").mkdir()
    way = WAYS[request.param](directory)
    daemon = Daemon(directory)
    try:
        wire = Wire(daemon.start(properties(directory, way.kind)))
        ground = Ground(directory / "data", wire, way.right)
        for bucket in ("/main", "/other", "/bobs"):
            ground.do(Ask("PUT", bucket))
        ground.object("/other/secret")
        yield way, ground
        wire.close()
        told = figures(daemon) + Path(f"/proc/{daemon.pid}/cmdline").read_text()
    finally:
        daemon.stop()
    assert not daemon.trouble, daemon.trouble
    assert not list((directory / "data" / ".alluxio-s3" / "tmp").glob("*"))
    assert "alluxio_s3_requests_total" in told
    assert way.kind != "AUDIT" or 'outcome="SignatureDoesNotMatch",user="AKIABOB"' in told
    audited = (directory / "audit.log").read_text()
    assert '"outcome":"done"' in audited
    assert '"outcome":"refused"' in audited
    told += daemon.log + (directory / "access.log").read_text() + audited
    assert not CANARIES.search(told) and not re.search(r"Signature=[0-9a-f]", told)


def figures(daemon: Daemon) -> str:
    """What its admin port tells everybody."""
    found = re.search(r"Metrics at (http://\S+/metrics)", daemon.log)
    assert found, daemon.log
    with urllib.request.urlopen(found[1], timeout=30) as answer:
        return str(answer.read().decode())


def test_every_action_has_a_request() -> None:
    """What the registry offers is what is asked here."""
    assert set(REQUESTS) | ELSEWHERE == {one.route.name for one in REGISTRY if one.route.offered}


def refused(status: int, answer: bytes) -> bool:
    """Whether nothing was done: a batch says so of each key."""
    of_a_batch = status == 200 and b"<DeleteResult" in answer and b"<Error>" in answer and b"<Deleted>" not in answer
    return (400 <= status < 500 or of_a_batch) and CONTENT not in answer and not CANARIES.search(answer.decode())


def hostile(way: Way, mode: str, ask: Ask, host: str) -> Iterator[tuple[str, Sent]]:
    """Every request that must be refused, by what is wrong with it."""
    wrong = {**way.wrong, **(way.too_old if mode == "presigned" else {})}
    for name, signer in wrong.items():
        # A token that is borne takes no part in URLs.
        yield name, signer.sign(ask, "sha256" if mode == "presigned" and isinstance(signer, Bearer) else mode, host)
    good = way.right.sign(ask, mode, host)
    for name, attack in way.attacks.items():
        changed = attack(good, mode)
        if changed is not None:
            yield name, changed
    url = Signer("AKIAALICE", "canary-alice").sign(ask, "presigned", host)
    if "authorization" in good.headers:
        yield "two credentials", evolve(url, headers={**url.headers, "authorization": good.headers["authorization"]})


@pytest.mark.parametrize("action", sorted(REQUESTS))
def test_admission(place: tuple[Way, Ground], action: str) -> None:
    """The right one's request is done, in every mode; every other is refused, and after all of them everything is as it was."""
    way, ground = place
    body = bool(REQUESTS[action](ground, "/main/probe").body)
    for number, mode in enumerate(one for one in way.modes if body or one in BODYLESS):
        ask = REQUESTS[action](ground, f"/main/{action}-{number}".lower())
        before = ground.state()
        for name, sent in hostile(way, mode, ask, ground.wire.host):
            status, answer = ground.wire.send(sent)
            assert refused(status, answer), (mode, name, status, answer)
        good = way.right.sign(ask, mode, ground.wire.host)
        if body:
            assert not ground.wire.break_off(good).startswith(b"HTTP/1.1 2"), mode
        assert ground.state() == before, mode
        status, answer = ground.wire.send(good)
        assert 200 <= status < 300, (mode, answer)
        assert not ask.changes or ground.state() != before, mode


def form_signer(signer: Signs) -> FormSigner | None:
    """Who signs forms with the credentials of ``signer``; None: nobody."""
    if isinstance(signer, Signer):
        return FormSigner(signer.access_key, signer.secret, signer.token, 8 * 86400 if signer.age > 0 else signer.age)
    return FormSigner("any", "any", signer.token) if isinstance(signer, Bearer) else None


def post(ground: Ground, form: Form, **headers: str) -> tuple[int, bytes]:
    own = {"host": ground.wire.host, **form.headers(), **{name.replace("_", "-"): value for name, value in headers.items()}}
    return ground.wire.send(Sent("POST", "/main", (), own, (form.body(),)))


def hostile_forms(way: Way, key: str) -> Iterator[tuple[str, Form]]:
    """Every form that must be refused, by what is wrong with it."""
    for name, signer in way.wrong.items():
        signs = form_signer(signer)
        yield name, Form((("key", key),)) if signs is None else signs.form("main", {"key": key}, file=CONTENT)
    right = form_signer(way.right)
    assert right is not None
    good = right.form("main", {"key": key, "x-amz-meta-note": "1"}, file=CONTENT)
    yield "expired", evolve(right, seconds=-1).form("main", {"key": key}, file=CONTENT)
    yield "another bucket", right.form("other", {"key": key}, file=CONTENT)
    yield "another key", good.with_field("key", f"{key}-other")
    yield "field changed", good.with_field("x-amz-meta-note", "2")
    yield "field stripped", good.without("x-amz-meta-note")
    yield "field added", good.with_field("x-amz-meta-other", "1")
    yield "tagging added", good.with_field("tagging", "<Tagging><TagSet/></Tagging>")
    yield "no signature", good.without("x-amz-signature")
    yield "no policy", good.without("policy")
    yield "too long", right.form("main", {"key": key}, [["content-length-range", 0, 1]], CONTENT)
    if way.attacks is OF_SIGNATURES:
        yield "another signature", good.with_field("x-amz-signature", "0" * 64)
        yield "another policy", good.with_field("policy", right.form("main", {"key": key, "x-amz-meta-note": "2"})["policy"])


def test_forms(place: tuple[Way, Ground]) -> None:
    """The right one's form is stored; every other is refused, and after all of them everything is as it was."""
    way, ground = place
    right = form_signer(way.right)
    assert right is not None
    before = ground.state()
    for name, form in hostile_forms(way, "form"):
        status, answer = post(ground, form)
        assert refused(status, answer), (name, status, answer)
    good = right.form("main", {"key": "form"}, file=CONTENT)
    for headers in ({"authorization": "AWS4-HMAC-SHA256 x"}, {"x_amz_meta_a": "1"}, {"x_amz_tagging": "a=b"}):
        status, answer = post(ground, good, **headers)
        assert refused(status, answer), (headers, status, answer)
    sent = Sent("POST", "/main", (), {"host": ground.wire.host, **good.headers()}, (good.body(),))
    assert not ground.wire.break_off(sent).startswith(b"HTTP/1.1 2")
    assert ground.state() == before
    assert post(ground, good)[0] == 204
    assert (ground.data / "main" / "form").read_bytes() == CONTENT


def test_preflights(place: tuple[Way, Ground]) -> None:
    """What browsers ask beforehand is answered whoever asks, by the bucket's rules alone, and changes nothing."""
    way, ground = place
    rule = "<AllowedOrigin>http://page</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedHeader>*</AllowedHeader>"
    body = f"<CORSConfiguration><CORSRule>{rule}</CORSRule></CORSConfiguration>".encode()
    ground.do(Ask("PUT", "/other", (("cors", ""),), body=body))
    before = ground.state()
    asked = {"origin": "http://page", "access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    for signer in (way.right, *way.wrong.values()):
        ask = Ask("OPTIONS", "/other/secret", headers=asked)
        assert ground.wire.send(signer.sign(ask, "sha256", ground.wire.host))[0] == 200
        status, answer = ground.wire.send(signer.sign(evolve(ask, path="/bobs/secret"), "sha256", ground.wire.host))
        assert status == 403 and b"<Code>AccessForbidden</Code>" in answer
    bare = {"host": ground.wire.host, **asked}
    assert ground.wire.send(Sent("OPTIONS", "/other/secret", (), bare))[0] == 200
    assert ground.state() == before


def test_what_is_not_offered(place: tuple[Way, Ground]) -> None:
    """What the daemon does not offer is refused to whom may do nothing, and 501 to whom may do everything."""
    way, ground = place
    before = ground.state()
    for action in REGISTRY:
        route = action.route
        if route.offered or route.method == "*":
            continue
        path = {"service": "/", "bucket": "/main", "object": "/other/secret"}[route.on]
        ask = Ask(route.method, path, tuple((name, "") for name in sorted(route.query)), dict.fromkeys(route.headers, "x"))
        for name, signer in way.wrong.items():
            status, answer = ground.wire.send(signer.sign(ask, "sha256", ground.wire.host))
            assert 400 <= status < 500, (route.name, name, status, answer)
        status, answer = ground.wire.send(way.right.sign(ask, "sha256", ground.wire.host))
        assert status == 501, (route.name, answer)
    assert ground.state() == before


def test_the_signer_itself() -> None:
    """What is signed here is what botocore signs."""
    ask = Ask("PUT", "/b/a%20b", (("partNumber", "1"), ("uploadId", "x/y")), body=CONTENT)
    sent = Signer("AKIAALICE", "canary-alice").sign(ask, "sha256", "host:80")
    names = ("x-amz-meta-note", "host", "x-amz-content-sha256")
    request = AWSRequest("PUT", f"http://host:80{sent.target}", {name: sent.headers[name] for name in names}, CONTENT)
    signer = S3SigV4Auth(Credentials("AKIAALICE", "canary-alice"), "s3", "us-east-1")
    request.context["timestamp"] = sent.headers["x-amz-date"]
    request.headers["X-Amz-Date"] = sent.headers["x-amz-date"]
    assert signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request) in sent.headers["authorization"]
    assert set(HEADER_MODES) < set(MODES)
