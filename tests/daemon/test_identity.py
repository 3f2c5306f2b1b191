"""Daemons that verify who is asking and rule what they may do, with a real client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError

from tests.running import Daemon

KEYS = """
[alice]
aws_access_key_id = AKIAALICE
aws_secret_access_key = canary-alice

[bob]
aws_access_key_id = AKIABOB
aws_secret_access_key = canary-bob
groups = readers
"""
POLICY = """
[[allow]]
users = ["alice"]
actions = ["all"]
resources = ["*"]

[[allow]]
groups = ["readers"]
actions = ["read"]
resources = ["models/public/*"]

[[allow]]
groups = ["readers"]
actions = ["delete", "write"]
resources = ["models/scratch/*"]

[[allow]]
users = ["anonymous"]
actions = ["read"]
resources = ["open/*"]

[[deny]]
users = ["*"]
actions = ["delete"]
resources = ["models/public/frozen*"]
"""
Client = Callable[..., Any]


def client(endpoint: str, key: str, secret: str, **settings: Any) -> Any:
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path", "payload_signing_enabled": True}, **settings)
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret, config=config
    )


def plain(endpoint: str, method: str, target: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body of the answer to a request without credentials."""
    connection = HTTPConnection(urlsplit(endpoint).netloc, timeout=20)
    try:
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A daemon that asks for signatures, and has a policy."""
    directory = tmp_path_factory.mktemp("identity")
    (directory / "keys").write_text(KEYS)
    (directory / "policy.toml").write_text(POLICY)
    (directory / "data").mkdir()
    daemon = Daemon(directory)
    try:
        endpoint = daemon.start(properties(directory, "SIGV4"))
        alice = client(endpoint, "AKIAALICE", "canary-alice")
        for bucket in ("models", "open"):
            alice.create_bucket(Bucket=bucket)
        for key in ("public/a", "public/frozen", "secret/a", "scratch/a"):
            alice.put_object(Bucket="models", Key=key, Body=key.encode())
        alice.put_object(Bucket="open", Key="a", Body=b"open")
        yield endpoint
    finally:
        daemon.stop()
    assert "canary" not in daemon.log


def properties(directory: Path, kind: str) -> dict[str, object]:
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.worker.s3.connection.keep.alive.enabled": True,
        "alluxio.dora.client.ufs.root": directory / "data",
        "alluxio.worker.s3.authentication.type": kind,
        "alluxio.worker.s3.authentication.keys.file": directory / "keys",
        "alluxio.worker.s3.authorization.policy.file": directory / "policy.toml",
    }


def test_users_get_what_they_may(endpoint: str) -> None:
    """Whom the policy allows it reads, lists, writes and deletes; from a small file the quick way too."""
    bob = client(endpoint, "AKIABOB", "canary-bob")
    for _ in range(3):
        assert bob.get_object(Bucket="models", Key="public/a")["Body"].read() == b"public/a"
    assert [one["Key"] for one in bob.list_objects_v2(Bucket="models", Prefix="public/")["Contents"]][1:] == ["public/a", "public/frozen"]
    bob.put_object(Bucket="models", Key="scratch/b", Body=b"b" * 100_000)
    bob.delete_object(Bucket="models", Key="scratch/b")


def test_users_get_nothing_else(endpoint: str) -> None:
    """Everything else is refused and changes nothing: keys, listings, copies from what may not be read, tags that may not be set."""
    bob = client(endpoint, "AKIABOB", "canary-bob")
    alice = client(endpoint, "AKIAALICE", "canary-alice")
    for call in (
        lambda: bob.get_object(Bucket="models", Key="secret/a"),
        lambda: bob.list_objects_v2(Bucket="models"),
        lambda: bob.list_objects_v2(Bucket="models", Prefix="sec"),
        lambda: bob.put_object(Bucket="models", Key="public/b", Body=b"x"),
        lambda: bob.copy_object(Bucket="models", Key="scratch/c", CopySource="models/secret/a"),
        bob.list_buckets,
        lambda: bob.create_bucket(Bucket="bobs"),
        lambda: bob.get_object(Bucket="nowhere", Key="a"),
        lambda: alice.delete_object(Bucket="models", Key="public/frozen"),
    ):
        assert code_of(call) == "AccessDenied"
    assert sorted(one["Key"] for one in alice.list_objects_v2(Bucket="models")["Contents"] if not one["Key"].endswith("/")) == [
        "public/a",
        "public/frozen",
        "scratch/a",
        "secret/a",
    ]


def test_batches(endpoint: str) -> None:
    """Of a batch the keys that may be deleted are, the others are refused one by one."""
    alice, bob = client(endpoint, "AKIAALICE", "canary-alice"), client(endpoint, "AKIABOB", "canary-bob")
    alice.put_object(Bucket="models", Key="scratch/z", Body=b"z")
    answer = bob.delete_objects(Bucket="models", Delete={"Objects": [{"Key": "scratch/z"}, {"Key": "secret/a"}]})
    assert [one["Key"] for one in answer["Deleted"]] == ["scratch/z"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("secret/a", "AccessDenied")]
    assert alice.get_object(Bucket="models", Key="secret/a")["Body"].read() == b"secret/a"


def test_impostors(endpoint: str) -> None:
    """A wrong secret, an unknown key, and a body that is not what was signed get nobody in."""
    assert code_of(client(endpoint, "AKIAALICE", "wrong").list_buckets) == "SignatureDoesNotMatch"
    assert code_of(client(endpoint, "AKIANOBODY", "x").list_buckets) == "InvalidAccessKeyId"
    assert code_of(client(endpoint, "AKIAALICE", "canary-alice", signature_version="s3").list_buckets) == "NotImplemented"


def test_nobody(endpoint: str) -> None:
    """Without credentials only what is open to everybody is open."""
    assert plain(endpoint, "GET", "/open/a") == (200, b"open")
    assert plain(endpoint, "GET", "/models/public/a")[0] == 403
    assert plain(endpoint, "PUT", "/open/b", b"x")[0] == 403
    assert plain(endpoint, "GET", "/")[0] == 403


def test_presigned(endpoint: str) -> None:
    """A presigned URL lets its bearer in, until a header of S3's is added to it."""
    url = client(endpoint, "AKIAALICE", "canary-alice", signature_version="s3v4").generate_presigned_url(
        "get_object", Params={"Bucket": "models", "Key": "secret/a"}
    )
    target = url.removeprefix(endpoint)
    assert plain(endpoint, "GET", target) == (200, b"secret/a")
    assert plain(endpoint, "GET", target, x_amz_checksum_mode="ENABLED")[0] == 403
    assert plain(endpoint, "GET", target.replace("secret/a", "public/a"))[0] == 403


def test_policy_under_simple(tmp_path: Path) -> None:
    """A policy rules under SIMPLE, too, on the quick way as on the long one."""
    (tmp_path / "keys").write_text(KEYS)
    (tmp_path / "policy.toml").write_text(POLICY.replace("anonymous", "nobody"))
    (tmp_path / "data" / "models" / "public").mkdir(parents=True)
    (tmp_path / "data" / "models" / "public" / "a").write_bytes(b"a")
    (tmp_path / "data" / "models" / "secret").write_bytes(b"s")
    daemon = Daemon(tmp_path)
    try:
        endpoint = daemon.start(properties(tmp_path, "SIMPLE"))
        for _ in range(3):
            assert client(endpoint, "alice", "any").get_object(Bucket="models", Key="secret")["Body"].read() == b"s"
            assert code_of(lambda: client(endpoint, "bob", "any").get_object(Bucket="models", Key="secret")) == "AccessDenied"
            assert plain(endpoint, "GET", "/models/secret")[0] == 403
    finally:
        daemon.stop()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alluxio.worker.s3.authentication.keys.file": ""}, "alluxio.worker.s3.authentication.keys.file"),
        ({"alluxio.worker.s3.authorization.policy.file": "/nowhere"}, "/nowhere: No such file"),
        ({"alluxio.worker.s3.authentication.type": "OIDC"}, "oidc.issuer"),
    ],
)
def test_wrong_configuration(tmp_path: Path, change: dict[str, object], said: str) -> None:
    """A daemon that can't know who is asking does not start, and says what is missing."""
    (tmp_path / "keys").write_text(KEYS)
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "data").mkdir()
    with pytest.raises(Exception, match=said):
        Daemon(tmp_path).start({**properties(tmp_path, "SIGV4"), **change})
