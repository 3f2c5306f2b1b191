"""Clients that speak HTTPS to a load balancer which speaks HTTP to the daemon: they sign less and send checksums as trailers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.clients.programs import ACCESS_KEY, REGION, SECRET_KEY, Program, client_environment, installed, on_the_system, script
from tests.clients.samples import LARGE, PAGE, SIZES, digest, digest_of, random_bytes, random_file
from tests.clients.test_boto3_objects import Unseekable
from tests.clients.tls_front import TlsFront


@pytest.fixture
def front(endpoint: str, tmp_path: Path) -> Iterator[TlsFront]:
    with TlsFront(endpoint, tmp_path) as serving:
        yield serving


@pytest.fixture
def secure(front: TlsFront, home: Path) -> dict[str, str]:
    """The environment of a client program that goes through the front and trusts it."""
    certificate = str(front.certificate)
    return client_environment(front.endpoint, home) | {"AWS_CA_BUNDLE": certificate, "NODE_EXTRA_CA_CERTS": certificate}


@pytest.fixture
def s3_secure(front: TlsFront, s3: Any) -> Any:
    """A boto3 client that goes through the front; the plain one has cleared its environment."""
    return boto3.client(
        "s3",
        endpoint_url=front.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
        verify=str(front.certificate),
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.mark.ci
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
@pytest.mark.needs("checksums")
def test_boto3_trailers(s3_secure: Any, bucket: str, algorithm: str) -> None:
    """boto3 sends aws-chunked bodies with the checksum behind them; they are stored without the framing, and HEAD shows none of it."""
    for size in SIZES:
        body = random_bytes(size)
        s3_secure.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm=algorithm, ContentEncoding="gzip")
        head = s3_secure.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert (head["ContentLength"], head["ContentEncoding"]) == (size, "gzip")
        assert head[f"Checksum{algorithm}"]
        assert digest(s3_secure.get_object(Bucket=bucket, Key="k")["Body"].read()) == digest(body)


@pytest.mark.ci
@pytest.mark.parametrize("size", [PAGE, LARGE])
def test_boto3_streams(s3_secure: Any, bucket: str, size: int) -> None:
    """Unseekable streams go up whole or in parts, with trailers."""
    body = random_bytes(size)
    s3_secure.upload_fileobj(Unseekable(body), bucket, "k")
    back = io.BytesIO()
    s3_secure.download_fileobj(bucket, "k", back)
    assert digest(back.getvalue()) == digest(body)
    assert "ContentEncoding" not in s3_secure.head_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize("version", [pytest.param("1", marks=pytest.mark.ci), "2"])
def test_aws_cli(secure: dict[str, str], bucket: str, tmp_path: Path, version: str) -> None:
    """The AWS command line copies a file there and back."""
    program = installed("aws-cli", "aws") if version == "1" else on_the_system("aws")
    aws = Program([str(program), "--endpoint-url", secure["ENDPOINT"]], secure, tmp_path)
    for size in (PAGE, LARGE):
        sent = random_file(tmp_path / "sent", size)
        aws("s3", "cp", "sent", f"s3://{bucket}/k")
        aws("s3", "cp", f"s3://{bucket}/k", "got")
        assert digest_of(tmp_path / "got") == sent


@pytest.mark.ci
def test_curl(secure: dict[str, str], front: TlsFront, bucket: str, tmp_path: Path) -> None:
    """curl signs, puts and gets."""
    sent = random_file(tmp_path / "sent", LARGE)
    credentials = ["--user", f"{ACCESS_KEY}:{SECRET_KEY}", "--aws-sigv4", f"aws:amz:{REGION}:s3"]
    options = ["-sS", "--fail-with-body", "--cacert", str(front.certificate), *credentials]
    curl = Program([str(on_the_system("curl")), *options], secure, tmp_path)
    curl("-T", "sent", f"{front.endpoint}/{bucket}/k")
    assert digest(curl(f"{front.endpoint}/{bucket}/k")) == sent


@pytest.mark.ci
@pytest.mark.parametrize("function", [pytest.param("streams", marks=pytest.mark.needs("checksums")), "uploads"])
def test_javascript(secure: dict[str, str], front: TlsFront, bucket: str, tmp_path: Path, function: str) -> None:
    """The JavaScript SDK's streams and uploads work as they do without TLS."""
    node = [str(installed("javascript", "node")), str(Path(__file__).parent / "scripts" / "javascript_client.mjs")]
    packages = str(installed("javascript", "node").parent.parent)
    Program(node, secure | {"PACKAGES": packages}, tmp_path)(function, front.endpoint, bucket)


@pytest.mark.ci
def test_pyarrow(secure: dict[str, str], front: TlsFront, bucket: str, tmp_path: Path) -> None:
    """pyarrow's streams work as they do without TLS."""
    script("pyarrow", "pyarrow_client.py", secure, tmp_path)("files", front.endpoint, bucket, tmp_path)
