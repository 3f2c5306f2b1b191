"""A daemon under OIDC: tokens become temporary keys, with which unmodified SDKs work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.client import Config
from botocore.exceptions import ClientError
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.running import Daemon

ISSUER, AUDIENCE = "https://issuer.example", "alluxio-s3"
KEY = RSAKey.generate_key(2048, {"kid": "one"}, private=True)


def token(**changes: Any) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 600, "groups": ["readers"], **changes}
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A daemon that trusts one issuer, gives temporary keys, and lets readers read."""
    directory = tmp_path_factory.mktemp("sts")
    (directory / "jwks.json").write_text(json.dumps(KeySet([KEY]).as_dict(private=False)))
    (directory / "secret").write_text("canary-" + "5" * 40)
    (directory / "policy.toml").write_text('[[allow]]\ngroups = ["readers"]\nactions = ["read"]\nresources = ["b/*"]\n')
    (directory / "data" / "b").mkdir(parents=True)
    (directory / "data" / "b" / "k").write_bytes(b"bytes")
    daemon = Daemon(directory)
    try:
        yield daemon.start(
            {
                "alluxio.worker.s3.api.enabled": True,
                "alluxio.worker.rest.port": 0,
                "alluxio.worker.s3.bind.host": "127.0.0.1",
                "alluxio.dora.client.ufs.root": directory / "data",
                "alluxio.worker.s3.authentication.type": "OIDC",
                "alluxio.worker.s3.authentication.oidc.issuer": ISSUER,
                "alluxio.worker.s3.authentication.oidc.audience": AUDIENCE,
                "alluxio.worker.s3.authentication.oidc.jwks.uri": directory / "jwks.json",
                "alluxio.worker.s3.sts.secret.file": directory / "secret",
                "alluxio.worker.s3.authorization.policy.file": directory / "policy.toml",
            }
        )
    finally:
        daemon.stop()
    assert "canary" not in daemon.log


def sts(endpoint: str) -> Any:
    return boto3.client("sts", endpoint_url=endpoint, region_name="us-east-1", config=Config(signature_version=UNSIGNED))


def keys(endpoint: str, given: str, **options: Any) -> dict[str, Any]:
    answer = sts(endpoint).assume_role_with_web_identity(
        RoleArn="arn:aws:iam::000000000000:role/any", RoleSessionName="test", WebIdentityToken=given, **options
    )
    return dict(answer["Credentials"])


def s3(endpoint: str, key: str, secret: str, session: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=session,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_temporary_keys(endpoint: str) -> None:
    """The keys that a token becomes are its user's, with the user's groups, and no more than that."""
    given = keys(endpoint, token(), DurationSeconds=900)
    client = s3(endpoint, given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    assert client.get_object(Bucket="b", Key="k")["Body"].read() == b"bytes"
    assert code_of(lambda: client.put_object(Bucket="b", Key="k", Body=b"x")) == "AccessDenied"
    assert 0 < given["Expiration"].timestamp() - time.time() <= 900


def test_forged_keys(endpoint: str) -> None:
    """Another secret, another key's session token, and a token with other words in it get nobody in."""
    one, other = keys(endpoint, token()), keys(endpoint, token(sub="bob", groups=[]))

    def read(access_key: str, secret: str, session: str) -> Callable[[], Any]:
        return lambda: s3(endpoint, access_key, secret, session).get_object(Bucket="b", Key="k")

    assert code_of(read(one["AccessKeyId"], "wrong", one["SessionToken"])) == "SignatureDoesNotMatch"
    assert code_of(read(other["AccessKeyId"], other["SecretAccessKey"], one["SessionToken"])) == "InvalidToken"
    assert code_of(read(other["AccessKeyId"], other["SecretAccessKey"], other["SessionToken"])) == "AccessDenied"
    head, _, seal = other["SessionToken"].rpartition(".")
    assert code_of(read(other["AccessKeyId"], other["SecretAccessKey"], f"{head}A.{seal}")) == "InvalidToken"


def test_the_token_itself(endpoint: str) -> None:
    """The token is taken as a session token, too, whatever the keys beside it are."""
    assert s3(endpoint, "any", "any", token()).get_object(Bucket="b", Key="k")["Body"].read() == b"bytes"
    assert code_of(lambda: s3(endpoint, "any", "any", token(iss="https://other")).get_object(Bucket="b", Key="k")) == "InvalidToken"


def test_refused_exchanges(endpoint: str) -> None:
    """A token that is not good becomes no keys, and STS's own words say why."""
    assert code_of(lambda: keys(endpoint, token(aud="other"))) == "InvalidIdentityToken"
    assert code_of(lambda: keys(endpoint, token(exp=1))) == "ExpiredTokenException"
    assert code_of(lambda: keys(endpoint, "rubbish")) == "InvalidIdentityToken"
    assert code_of(lambda: keys(endpoint, token(), DurationSeconds=43_201)) == "ValidationError"
