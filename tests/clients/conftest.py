"""The daemon under test, a bucket for each test, and the clients that most tests need."""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from attrs import frozen
from botocore.config import Config

from tests.clients.programs import ACCESS_KEY, REGION, SECRET_KEY, access_keys, client_environment
from tests.running import Daemon
from tests.under_stores import UnderStore


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory drives a running daemon."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.clients)


@frozen
class Served:
    """A server: its *endpoint*, the directory under it, if that is one, and whether it is a daemon of *ours*."""

    endpoint: str
    data: Path | None
    ours: bool = True


@pytest.fixture(scope="session")
def daemon(request: pytest.FixtureRequest) -> Iterator[Served]:
    """The daemon that all client tests share.

    `ALLUXIO_S3_TEST_ENDPOINT` names a server that runs already, and is used instead. Otherwise one is started here, and at
    the end it must be alive, must have logged no trouble, and must leave at SIGTERM. `ALLUXIO_S3_TEST_AUTHENTICATION` is how it knows
    its users, SIMPLE by default: with SIGV4 nearly all of these tests must pass, too.
    """
    endpoint = os.environ.get("ALLUXIO_S3_TEST_ENDPOINT")
    if endpoint:
        yield Served(endpoint.rstrip("/"), None, ours=False)
        return
    store: UnderStore = request.getfixturevalue("under_store")
    with tempfile.TemporaryDirectory(prefix="alluxio-s3-clients-") as scratch, Daemon(Path(scratch) / "conf") as running:
        root = store.root(Path(scratch))
        properties = {
            "alluxio.worker.s3.api.enabled": True,
            "alluxio.worker.rest.port": 0,
            "alluxio.worker.s3.bind.host": "127.0.0.1",
            "alluxio.worker.s3.connection.keep.alive.enabled": True,
            "alluxio.underfs.xattr.change.enabled": True,
            "alluxio.worker.s3.authentication.type": os.environ.get("ALLUXIO_S3_TEST_AUTHENTICATION", "SIMPLE"),
            "alluxio.worker.s3.authentication.keys.file": access_keys(Path(scratch)),
            **root.properties,
        }
        yield Served(running.start(properties), root.data)
        assert running.alive, f"the daemon died:\n{running.log[-4000:]}"
        status = running.stop()
        assert not running.trouble, "the daemon logged:\n" + "\n".join(running.trouble)
        # When all is closed, twistd ends itself by the signal that stopped it.
        assert status == -signal.SIGTERM, f"left with status {status}:\n{running.log[-4000:]}"


@pytest.fixture
def endpoint(daemon: Served) -> str:
    """Where the daemon serves, such as `http://127.0.0.1:43210`."""
    return daemon.endpoint


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home directory."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def environment(endpoint: str, home: Path) -> dict[str, str]:
    """The environment of a client program; see `client_environment`."""
    return client_environment(endpoint, home)


@pytest.fixture
def make_client(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function that makes a boto3 S3 client for the daemon; its keyword arguments are botocore's `Config`'s.

    The client is what a user gets by default, but for one thing: it tries once, since a 5xx that a retry covers up is still a fault.
    """
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))

    def make(**config: Any) -> Any:
        settings: dict[str, Any] = {"retries": {"total_max_attempts": 1}} | config
        return boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            config=Config(**settings),
        )

    return make


@pytest.fixture
def s3(make_client: Any) -> Any:
    """A boto3 client with default settings."""
    return make_client()


@pytest.fixture
def new_bucket(s3: Any) -> Any:
    """A function that makes a bucket of the test's own and returns its name."""

    def make() -> str:
        name = f"clients-{uuid.uuid4().hex[:12]}"
        s3.create_bucket(Bucket=name)
        return name

    return make


@pytest.fixture
def bucket(new_bucket: Any) -> str:
    """A bucket of the test's own, by name."""
    return new_bucket()
