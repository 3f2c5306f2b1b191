"""boto3 and aws-cli at a daemon that trusts a real OpenID provider (npm's oidc-provider), which changes its key meanwhile."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from attrs import frozen
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients.programs import REGION, SCRIPTS, TOOLS, Program, client_environment, installed
from tests.clients.samples import OVER_A_PART, digest_of, random_file
from tests.running import Daemon

pytestmark = pytest.mark.ci

AUDIENCE = "alluxio-s3"
POLICY = '[[allow]]\ngroups = ["trainers"]\nactions = ["all"]\nresources = ["*"]\n'
ROLE = "arn:aws:iam::000000000000:role/any"


class Provider:
    """The provider, in a process of its own."""

    def __init__(self) -> None:
        command = [str(installed("oidc-provider", "node")), str(SCRIPTS / "oidc_provider.mjs"), AUDIENCE]
        environment = {"PATH": "/usr/bin:/bin", "PACKAGES": str(TOOLS / "oidc-provider")}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.issuer = self._listening()

    def _listening(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("http"):
                return line.strip()
        raise AssertionError("the provider ended")

    def rotate(self) -> None:
        """Take a new key in place of the old one."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._listening() == self.issuer

    def token(self) -> str:
        """A new access token of the client ``trainer``."""
        secret = base64.b64encode(b"trainer:canary-of-the-client").decode()
        asked = urllib.request.Request(f"{self.issuer}/token", b"grant_type=client_credentials", {"Authorization": f"Basic {secret}"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return str(json.load(answer)["access_token"])

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)


@frozen
class Trusting:
    """A daemon, and whom it trusts."""

    endpoint: str
    provider: Provider


@pytest.fixture
def trusting(tmp_path: Path) -> Iterator[Trusting]:
    """A daemon that finds its provider's keys by discovery. At its end no token and no secret is in its log."""
    provider = Provider()
    (tmp_path / "data").mkdir()
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "sts").write_text("canary-" + "5" * 40)
    properties = {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.dora.client.ufs.root": tmp_path / "data",
        "alluxio.worker.s3.authentication.type": "OIDC",
        "alluxio.worker.s3.authentication.oidc.issuer": provider.issuer,
        "alluxio.worker.s3.authentication.oidc.audience": AUDIENCE,
        "alluxio.worker.s3.sts.secret.file": tmp_path / "sts",
        "alluxio.worker.s3.authorization.policy.file": tmp_path / "policy.toml",
    }
    try:
        with Daemon(tmp_path / "conf") as daemon:
            yield Trusting(daemon.start(properties), provider)
            daemon.stop()
            assert not daemon.trouble, daemon.trouble
            for secret in ("canary", "eyJ", "AS1."):
                assert secret not in daemon.log
    finally:
        provider.close()


def connect(endpoint: str, access_key: str, secret: str, session: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        aws_session_token=session,
        config=Config(retries={"total_max_attempts": 1}),
    )


def exchanged(endpoint: str, token: str) -> Any:
    """A client with temporary keys for ``token``."""
    sts = boto3.client("sts", endpoint_url=endpoint, region_name=REGION, config=Config(signature_version=UNSIGNED))
    keys = sts.assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="test", WebIdentityToken=token)["Credentials"]
    return connect(endpoint, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


def soon(call: Callable[[], Any]) -> Any:
    """What ``call`` gives once the daemon has asked the provider for its new key."""
    until = time.monotonic() + 20
    while True:
        try:
            return call()
        except ClientError as error:
            if "InvalidIdentityToken" not in str(error) or time.monotonic() > until:
                raise


def round_trip(s3: Any, bucket: str) -> None:
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"bytes")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"bytes"
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]


def test_boto3(trusting: Trusting) -> None:
    """boto3 gets in with the token as its session's and with temporary keys; after a new key, too, and what was given before holds on."""
    endpoint, provider = trusting.endpoint, trusting.provider
    old = provider.token()
    given = exchanged(endpoint, old)
    round_trip(given, "exchanged")
    round_trip(connect(endpoint, "any", "any", old), "in-session")
    provider.rotate()
    new = provider.token()
    round_trip(soon(lambda: exchanged(endpoint, new)), "exchanged-again")
    round_trip(connect(endpoint, "any", "any", new), "in-session-again")
    assert given.head_object(Bucket="exchanged", Key="k")["ContentLength"] == 5
    forged = new[:-8] + ("AAAAAAAA" if not new.endswith("AAAAAAAA") else "BBBBBBBB")
    with pytest.raises(ClientError, match="InvalidToken"):
        connect(endpoint, "any", "any", forged).list_buckets()
    with pytest.raises(ClientError, match="InvalidIdentityToken"):
        exchanged(endpoint, forged)


def test_aws_cli(trusting: Trusting, tmp_path: Path) -> None:
    """aws-cli exchanges a token from a file by itself, before and after a new key, and takes one as its session's."""
    endpoint, provider = trusting.endpoint, trusting.provider
    home = tmp_path / "home"
    home.mkdir()
    environment = client_environment(endpoint, home)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[name]
    token = tmp_path / "token"
    web = {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ENDPOINT_URL_STS": endpoint}
    aws = Program([str(installed("aws-cli", "aws"))], environment | web, tmp_path)
    sent = random_file(tmp_path / "sent", OVER_A_PART)
    token.write_text(provider.token())
    aws("s3", "mb", "s3://cli")
    aws("s3", "cp", "sent", "s3://cli/k")
    provider.rotate()
    token.write_text(provider.token())
    until = time.monotonic() + 60
    while aws.attempt("s3", "cp", "s3://cli/k", "got").returncode and time.monotonic() < until:
        pass
    assert digest_of(tmp_path / "got") == sent
    session = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_SESSION_TOKEN": provider.token()}
    aws = Program(aws.command, environment | session, tmp_path)
    assert "cli" in aws.text("s3", "ls")
