"""CORS of a real daemon: rules of buckets and mounts, what browsers ask beforehand, and the headers of every kind of answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.running import Daemon
from tests.wire import Answer, Wire

ONE, OTHER = "http://one.example", "http://other.example"
ALLOWING, EXPOSED, AGE = "access-control-allow-origin", "access-control-expose-headers", "access-control-max-age"
RULES = f"""<CORSConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><CORSRule><AllowedOrigin>{ONE}</AllowedOrigin>
<AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader>
<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule><CORSRule><AllowedOrigin>*</AllowedOrigin>
<AllowedMethod>HEAD</AllowedMethod></CORSRule></CORSConfiguration>""".encode()


def properties(directory: Path, **more: object) -> dict[str, object]:
    (directory / "data").mkdir(exist_ok=True)
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.dora.client.ufs.root": directory / "data",
        "alluxio.worker.s3.connection.keep.alive.enabled": True,
        "alluxio.underfs.xattr.change.enabled": True,
        "alluxio.worker.s3.durability": "rename",
        **{name.replace("__", "."): value for name, value in more.items()},
    }


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, str, Path]]:
    """A daemon under SIGV4 whose policy lets everybody do everything."""
    directory = tmp_path_factory.mktemp("cors")
    (directory / "keys").write_text("[alice]\naws_access_key_id=alice\naws_secret_access_key=canary\n")
    (directory / "policy").write_text('[[allow]]\nusers=["*"]\nactions=["all"]\nresources=["*"]\n')
    with Daemon(directory / "conf") as running:
        endpoint = running.start(
            properties(
                directory,
                alluxio__worker__s3__authentication__type="SIGV4",
                alluxio__worker__s3__authentication__keys__file=directory / "keys",
                alluxio__worker__s3__authorization__policy__file=directory / "policy",
            )
        )
        yield running, endpoint, directory
        running.stop()
    assert running.trouble == []


class Anonymous(Wire):
    """Sends no credentials."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self._authorization = ""

    def ask(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """One request, as it is."""
        self._connection.request(method, target, body or None, dict(headers or {}))
        answer = self._connection.getresponse()
        data = answer.read()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, data)


@pytest.fixture
def wire(daemon: tuple[Daemon, str, Path]) -> Iterator[Anonymous]:
    """A connection; the bucket ``rules`` has ``RULES`` and the objects ``small`` and ``large``, ``plain`` has no rules."""
    made = Anonymous(daemon[1])
    for bucket in ("rules", "plain"):
        assert made.ask("PUT", f"/{bucket}").status == 200
        assert made.ask("PUT", f"/{bucket}/small", body=b"small").status == 200
    assert made.ask("PUT", "/rules/large", body=b"x" * 100_000).status == 200
    assert made.ask("PUT", "/rules?cors", body=RULES).status == 200
    yield made
    made.close()


def cors_of(answer: Answer) -> dict[str, str]:
    """The headers that are about CORS."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


FULL = {
    ALLOWING: ONE,
    "access-control-allow-methods": "GET, PUT",
    EXPOSED: "ETag",
    AGE: "60",
    "access-control-allow-credentials": "true",
}


def test_rules_are_kept_and_removed(wire: Anonymous) -> None:
    """What was put is given back; what was deleted is no more; a bucket without rules says so."""
    answer = wire.ask("GET", "/rules?cors")
    assert answer.status == 200
    assert [rule.findtext("AllowedMethod") for rule in answer.xml] == ["GET", "HEAD"]
    assert answer.texts("CORSRule/AllowedHeader") == ["x-amz-*"]
    assert wire.ask("DELETE", "/rules?cors").status == 204
    assert (wire.ask("GET", "/rules?cors").status, wire.ask("GET", "/rules?cors").code) == (404, "NoSuchCORSConfiguration")
    assert wire.ask("DELETE", "/rules?cors").status == 204
    for method, body in (("GET", b""), ("PUT", RULES), ("DELETE", b"")):
        answer = wire.ask(method, "/absent?cors", body=body)
        assert (answer.status, answer.code) == (404, "NoSuchBucket")
    assert wire.ask("POST", "/rules?cors").status == 501


def test_bad_rules_change_nothing(wire: Anonymous) -> None:
    """A document that is refused leaves the rules as they were."""
    before = wire.ask("GET", "/rules?cors").body
    for body, status in ((b"", 400), (b"<CORSConfiguration/>", 400), (b"x" * (65 << 10), 400), (RULES.replace(b"GET", b"PATCH"), 400)):
        assert wire.ask("PUT", "/rules?cors", body=body).status == status
    assert wire.ask("GET", "/rules?cors").body == before


def preflight(wire: Anonymous, target: str, origin: str | None, method: str | None, requested: str | None = None) -> Answer:
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": requested}
    return wire.ask("OPTIONS", target, {name: value for name, value in headers.items() if value is not None})


@pytest.mark.parametrize("target", ["/rules", "/rules/small", "/rules/absent", "/rules/a/b?uploads", "/rules/small?X-Amz-Signature=1"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_preflight_that_is_allowed(wire: Anonymous, target: str, method: str) -> None:
    """Before any credentials are looked at, and whatever the key, what a rule allows is answered with 200 and all that it says."""
    answer = preflight(wire, target, ONE, method, "X-Amz-Date, x-amz-acl")
    assert (answer.status, answer.body) == (200, b"")
    assert cors_of(answer) == {**FULL, "access-control-allow-headers": "x-amz-date, x-amz-acl"}
    assert answer.headers["vary"] == "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


def test_preflight_for_everybody(wire: Anonymous) -> None:
    """A rule of ``*`` says ``*``, and nothing of credentials."""
    answer = preflight(wire, "/rules/small", OTHER, "HEAD")
    assert (answer.status, cors_of(answer)) == (200, {ALLOWING: "*", "access-control-allow-methods": "HEAD"})


@pytest.mark.parametrize(
    ("target", "origin", "method", "requested", "status", "code", "message"),
    [
        ("/rules", None, "GET", None, 400, "BadRequest", "Insufficient information. Origin request header needed."),
        ("/rules", ONE, None, None, 400, "BadRequest", "Invalid Access-Control-Request-Method: null"),
        ("/rules", ONE, "PATCH", None, 400, "BadRequest", "Invalid Access-Control-Request-Method: PATCH"),
        ("/rules", ONE, "get", None, 400, "BadRequest", "Invalid Access-Control-Request-Method: get"),
        ("/rules", ONE, "DELETE", None, 403, "AccessForbidden", "CORSResponse: This CORS request is not allowed."),
        ("/rules", OTHER, "GET", None, 403, "AccessForbidden", "CORSResponse: This CORS request is not allowed."),
        ("/rules", "null", "GET", None, 403, "AccessForbidden", "CORSResponse: This CORS request is not allowed."),
        ("/rules/small", ONE, "GET", "authorization", 403, "AccessForbidden", "CORSResponse: This CORS request is not allowed."),
        ("/rules/small", OTHER, "HEAD", "x-amz-date", 403, "AccessForbidden", "CORSResponse: This CORS request is not allowed."),
        ("/plain", ONE, "GET", None, 403, "AccessForbidden", "CORSResponse: CORS is not enabled for this bucket."),
        ("/absent/key", ONE, "GET", None, 403, "AccessForbidden", "CORSResponse: CORS is not enabled for this bucket."),
        ("/", ONE, "GET", None, 403, "AccessForbidden", "CORSResponse: CORS is not enabled for this bucket."),
        ("/rules/a//b", ONE, "GET", None, 400, "InvalidArgument", "This key is not supported"),
    ],
)
def test_preflight_that_is_not(
    wire: Anonymous,
    target: str,
    origin: str | None,
    method: str | None,
    requested: str | None,
    status: int,
    code: str,
    message: str,
) -> None:
    """What no rule allows is refused as S3 does it, with nothing that a browser could take for leave."""
    answer = preflight(wire, target, origin, method, requested)
    assert (answer.status, answer.code) == (status, code)
    assert (answer.xml.findtext("Message") or "").startswith(message)
    assert not cors_of(answer)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/rules/small", 200),
        ("GET", "/rules/large", 200),
        ("GET", "/rules/absent", 404),
        ("GET", "/rules", 200),
        ("GET", "/rules?list-type=2", 200),
        ("GET", "/rules?acl", 501),
        ("GET", "/rules/small?bad", 400),
        ("PUT", "/rules/put", 200),
    ],
)
def test_answers_to_pages(wire: Anonymous, method: str, target: str, status: int) -> None:
    """Every answer to a page of an origin that may ask, errors too, lets it read the answer; without an Origin nothing is said."""
    answer = wire.ask(method, target, {"Origin": ONE}, b"x" if method == "PUT" else b"")
    assert (answer.status, cors_of(answer)) == (status, FULL)
    assert wire.ask(method, target, None, b"x" if method == "PUT" else b"").headers.keys().isdisjoint({ALLOWING, "vary"})


def test_ways_of_one_object(wire: Anonymous) -> None:
    """The short way and the long way say the same of CORS, again and again, in whatever order pages and others ask."""
    for _ in range(3):
        assert not cors_of(wire.ask("GET", "/rules/small"))
        assert cors_of(wire.ask("GET", "/rules/small", {"Origin": ONE})) == FULL
        assert cors_of(wire.ask("GET", "/rules/small", {"oRiGiN": ONE, "Range": "bytes=0-1"})) == FULL
        assert cors_of(wire.ask("HEAD", "/rules/small", {"Origin": ONE})) == {ALLOWING: "*", "access-control-allow-methods": "HEAD"}
        not_changed = wire.ask("GET", "/rules/small", {"Origin": ONE, "If-None-Match": "*"})
        assert (not_changed.status, cors_of(not_changed)) == (304, FULL)


@pytest.mark.parametrize("target", ["/plain/small", "/absent/small", "/"])
def test_no_rules_no_headers(wire: Anonymous, target: str) -> None:
    """Where there are no rules a page gets its answer as anybody does, and no leave to read it."""
    answer = wire.ask("GET", target, {"Origin": ONE})
    assert not cors_of(answer) and "vary" not in answer.headers


def test_other_origins_and_methods(wire: Anonymous) -> None:
    """What no rule speaks of gets no leave, but caches are told that it depends on the origin."""
    for answer in (
        wire.ask("GET", "/rules/small", {"Origin": OTHER}),
        wire.ask("DELETE", "/rules/none", {"Origin": ONE}),
    ):
        assert not cors_of(answer)
        assert answer.headers["vary"].startswith("Origin")


def test_refusals_of_credentials(wire: Anonymous) -> None:
    """A page reads why its credentials are no good: errors that come before anything was looked at have the headers, too."""
    bad = {"Origin": ONE, "Authorization": "AWS4-HMAC-SHA256 nonsense"}
    answer = wire.ask("GET", "/rules/small", bad)
    assert (answer.status, cors_of(answer)) == (400, FULL)


def client(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="alice",
        aws_secret_access_key="canary",
        config=Config(retries={"max_attempts": 1}),
    )


def test_boto3(daemon: tuple[Daemon, str, Path]) -> None:
    """boto3 puts, gets and deletes rules, every field of them."""
    s3 = client(daemon[1])
    s3.create_bucket(Bucket="boto")
    rule = {
        "ID": "all",
        "AllowedMethods": ["GET", "POST"],
        "AllowedOrigins": [ONE, "https://*.example"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag", "x-amz-version-id"],
        "MaxAgeSeconds": 5,
    }
    s3.put_bucket_cors(Bucket="boto", CORSConfiguration={"CORSRules": [rule, {"AllowedMethods": ["PUT"], "AllowedOrigins": ["*"]}]})
    assert s3.get_bucket_cors(Bucket="boto")["CORSRules"] == [rule, {"AllowedMethods": ["PUT"], "AllowedOrigins": ["*"]}]
    s3.delete_bucket_cors(Bucket="boto")
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket="boto")


def test_the_next_bucket_of_that_name_has_none(wire: Anonymous) -> None:
    """Rules go with their bucket, and a bucket that is gone has none."""
    assert wire.ask("PUT", "/brief").status == 200
    assert wire.ask("PUT", "/brief?cors", body=RULES).status == 200
    assert wire.ask("DELETE", "/brief").status == 204
    assert preflight(wire, "/brief/k", ONE, "GET").status == 403
    assert wire.ask("PUT", "/brief").status == 200
    assert wire.ask("GET", "/brief?cors").status == 404
    assert wire.ask("PUT", "/brief?cors", body=RULES).status == 200
    assert wire.ask("PUT", "/brief").status == 200  # one's own again
    assert wire.ask("GET", "/brief?cors").status == 200


def test_processes_restarts_and_mounts(tmp_path: Path) -> None:
    """What one process was told all go by with the next request, of mounts too, and after a restart."""
    table = tmp_path / "mounts.json"
    (tmp_path / "mounted").mkdir()
    more = {
        "alluxio.worker.s3.processes": 2,
        "alluxio.worker.s3.mount.table": table,
        "alluxio.worker.s3.cors.path": tmp_path / "rules",
    }
    table.write_text(json.dumps({"version": 1, "mounts": [{"path": "/mounted", "uri": str(tmp_path / "mounted"), "options": {}}]}))
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(properties(tmp_path) | more)
        wires = [Wire(endpoint) for _ in range(12)]
        assert wires[0]("PUT", "bucket").status == 200
        for bucket in ("bucket", "mounted"):
            for number, wire in enumerate(wires):
                rules = RULES.replace(b">60<", b">%d<" % number)
                assert wire("PUT", bucket, query={"cors": ""}, body=rules).status == 200
                asked = {"Origin": ONE, "Access-Control-Request-Method": "PUT"}
                told = {one("OPTIONS", bucket, headers=asked).headers[AGE] for one in wires}
                assert told == {str(number)}
        daemon.stop()
        wire = Wire(daemon.start(properties(tmp_path) | more))
        assert wire("GET", "mounted", "absent", headers={"Origin": ONE}).headers[AGE] == "11"
        assert sorted(one.name for one in (tmp_path / "rules").iterdir()) == ["bucket", "mounted"]
        (tmp_path / "rules" / "bucket").write_text("nonsense")
        assert wire("OPTIONS", "bucket", headers={"Origin": ONE, "Access-Control-Request-Method": "PUT"}).status == 403
        while "is not a CORS configuration" not in daemon.log:
            assert daemon.alive
        daemon.stop()


def test_a_root_that_takes_no_writes(tmp_path: Path) -> None:
    """Rules are not kept in a root that is read-only, which stays as it is."""
    (tmp_path / "data" / "bucket").mkdir(parents=True)
    with Daemon(tmp_path / "conf") as daemon:
        option = "alluxio.dora.client.ufs.root.option.readonly"
        wire = Wire(daemon.start(properties(tmp_path) | {option: True}))
        answer = wire("PUT", "bucket", query={"cors": ""}, body=RULES)
        assert answer.status == 501 and b"alluxio.worker.s3.cors.path" in answer.body
        daemon.stop()
        wire = Wire(daemon.start(properties(tmp_path) | {option: True, "alluxio.worker.s3.cors.path": tmp_path / "rules"}))
        assert wire("PUT", "bucket", query={"cors": ""}, body=RULES).status == 200
        daemon.stop()
    assert not (tmp_path / "data" / ".alluxio-s3" / "cors").exists()


def test_without_a_place_for_rules(tmp_path: Path) -> None:
    """Where no local directory is at the root and none is named, rules are refused with the property to set."""
    with Daemon(tmp_path / "conf") as daemon:
        wire = Wire(daemon.start(properties(tmp_path) | {"alluxio.dora.client.ufs.root": "memory://"}))
        assert wire("PUT", "bucket").status == 200
        answer = wire("PUT", "bucket", query={"cors": ""}, body=RULES)
        assert answer.status == 501 and b"alluxio.worker.s3.cors.path" in answer.body
        assert wire("OPTIONS", "bucket", headers={"Origin": ONE, "Access-Control-Request-Method": "PUT"}).status == 403
        daemon.stop()
