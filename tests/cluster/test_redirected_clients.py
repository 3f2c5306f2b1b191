"""Real client programs read what another worker owns: redirected or served, and always the right bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from attrs import frozen
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients.programs import client_environment, installed, on_the_system
from tests.cluster.trio import MIB, Trio, get, run, running_trio

SIZES = {"small": 4096, "large": 5 * MIB + 77}
SCRIPT = Path(__file__).parent / "scripts" / "read_object.py"
# What libraries and programs do: those that are redirected, and those that are served.
FOLLOWERS = ("minio", "pyarrow", "s3fs", "obstore", "rclone", "s5cmd", "wget")
STOPPERS = ("boto3", "aws", "torch", "curl", "s3cmd", "javascript")
# Under ``always`` curl follows if it is told to, and s3cmd by <Endpoint>.
FOLLOWERS_IF_ASKED = (*FOLLOWERS, "curl", "s3cmd")

pytestmark = pytest.mark.clients


@frozen
class Reader:
    """Reads objects through worker 0 with one client after another."""

    trio: Trio
    home: Path

    def __call__(self, client: str, key: str) -> bytes:
        """What it reads. Fails the test where it fails."""
        endpoint = self.trio.endpoints[0]
        environment = client_environment(endpoint, self.home) | {"RCLONE_CONFIG": "/dev/null"}
        if client == "boto3":
            return self._boto3(endpoint, key)
        if client in ("minio", "pyarrow", "s3fs", "obstore", "torch"):
            tool = "tables" if client == "obstore" else client
            python = installed(tool, "python")
            done = run([str(python), str(SCRIPT), client, endpoint, "objects", key], environment)
            assert done.returncode == 0, done.stderr.decode()[-3000:]
            return done.stdout
        done = run(self._command(client, endpoint, key), environment)
        assert done.returncode == 0, (done.stdout[-300:] + done.stderr[-3000:]).decode("utf-8", "replace")
        return hashlib.sha256(done.stdout).hexdigest().encode()

    def _boto3(self, endpoint: str, key: str) -> bytes:
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        keys = {"aws_access_key_id": "alice", "aws_secret_access_key": "anything"}
        s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config, **keys)
        return hashlib.sha256(s3.get_object(Bucket="objects", Key=key)["Body"].read()).hexdigest().encode()

    def _command(self, client: str, endpoint: str, key: str) -> list[str]:
        url = f"{endpoint}/objects/{key}"
        netloc = endpoint.removeprefix("http://")
        if client == "aws":
            return [str(installed("aws-cli", "aws")), "--endpoint-url", endpoint, "s3", "cp", f"s3://objects/{key}", "-"]
        if client == "s5cmd":
            return [str(installed("s5cmd", "s5cmd")), "--endpoint-url", endpoint, "cat", f"s3://objects/{key}"]
        if client == "rclone":
            options = f"provider=Other,endpoint='{endpoint}',access_key_id=alice,secret_access_key=anything,region=us-east-1"
            return [str(on_the_system("rclone")), "--low-level-retries", "1", "cat", f":s3,{options}:objects/{key}"]
        if client == "s3cmd":
            keys = ["--access_key=alice", "--secret_key=anything", f"--host={netloc}", f"--host-bucket={netloc}", "--no-ssl"]
            return [str(on_the_system("s3cmd")), *keys, "--quiet", "get", f"s3://objects/{key}", "-"]
        if client == "wget":
            return [str(on_the_system("wget")), "-q", "-O", "-", url]
        if client == "curl":
            return [str(on_the_system("curl")), "-sSfL", url]
        node = installed("javascript", "node")
        code = (
            "const {S3Client, GetObjectCommand} = require('@aws-sdk/client-s3');"
            f"const s3 = new S3Client({{endpoint: '{endpoint}', region: 'us-east-1', forcePathStyle: true}});"
            f"s3.send(new GetObjectCommand({{Bucket: 'objects', Key: '{key}'}})).then(async answer =>"
            " { process.stdout.write(Buffer.from(await answer.Body.transformToByteArray())); })"
            ".catch(error => { console.error(error); process.exit(1); });"
        )
        return ["env", f"NODE_PATH={node.parent.parent / 'node_modules'}", str(node), "-e", code]


def filled(trio: Trio) -> dict[str, bytes]:
    """Objects of every owner and size, by key."""
    found = {}
    for owner, name in ((0, "large"), (1, "large"), (2, "small")):
        key = trio.key(owner, name)
        found[key] = os.urandom(SIZES[name])
        trio.put(key, found[key])
    return found


def redirects(trio: Trio) -> int:
    """How many answers of worker 0 were redirects."""
    return sum('" 307 ' in line for line in trio.log(0).splitlines())


@pytest.fixture(scope="module", params=["SIMPLE"])
def auto(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Trio]:
    """Three workers under ``auto``."""
    with running_trio(tmp_path_factory.mktemp("auto"), {"alluxio.worker.s3.authentication.type": request.param}) as trio:
        trio.contents = filled(trio)
        yield trio


@pytest.mark.parametrize("client", [*FOLLOWERS, *STOPPERS])
def test_under_auto_every_client_reads_the_right_bytes(auto: Trio, client: str, tmp_path: Path) -> None:
    """Whoever owns an object, and whatever its size, every client reads it; those that follow are redirected for what is large."""
    reader = Reader(auto, tmp_path)
    for key, data in auto.contents.items():
        before = redirects(auto)
        assert reader(client, key) == hashlib.sha256(data).hexdigest().encode(), key
        sent = client in FOLLOWERS and auto.owner(key) != 0 and len(data) > MIB
        settle(auto)
        assert (redirects(auto) > before) == sent, key


def settle(trio: Trio) -> None:
    """Return when worker 0 has written down what it has served: it does so within a second."""
    marker = os.urandom(8).hex()
    get(f"{trio.endpoints[0]}/objects/{marker}")
    for _ in range(300):
        if marker in trio.log(0):
            return
        run(["sleep", "0.02"], {})
    raise AssertionError("the access log is not written")


@pytest.mark.parametrize("client", FOLLOWERS_IF_ASKED)
def test_under_always_every_follower_reads_the_right_bytes(always: Trio, client: str, tmp_path: Path) -> None:
    """Every client that can follow a redirect does, for small objects too."""
    reader = Reader(always, tmp_path)
    for key, data in always.contents.items():
        assert reader(client, key) == hashlib.sha256(data).hexdigest().encode(), key


def test_under_always_boto3_does_not(always: Trio, tmp_path: Path) -> None:
    """What ``always`` costs: clients that stop at a redirect fail, and say what it was."""
    with pytest.raises(ClientError, match="TemporaryRedirect"):
        Reader(always, tmp_path)("boto3", always.key(1, "large"))


@pytest.mark.parametrize("client", [*FOLLOWERS, *STOPPERS])
def test_under_never_everybody_is_served(never: Trio, client: str, tmp_path: Path) -> None:
    """With redirects switched off every client reads everything through any worker."""
    reader = Reader(never, tmp_path)
    for key, data in never.contents.items():
        assert reader(client, key) == hashlib.sha256(data).hexdigest().encode(), key
    assert not redirects(never)


@pytest.fixture(scope="module")
def always(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    """Three workers under ``always``, whatever the size."""
    properties = {"alluxio.worker.s3.redirect.policy": "always", "alluxio.worker.s3.redirect.min.size": "1"}
    with running_trio(tmp_path_factory.mktemp("always"), properties) as trio:
        trio.contents = filled(trio)
        yield trio


@pytest.fixture(scope="module")
def never(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    """Three workers that don't redirect."""
    with running_trio(tmp_path_factory.mktemp("never"), {"alluxio.worker.s3.redirect.enabled": False}) as trio:
        trio.contents = filled(trio)
        yield trio
