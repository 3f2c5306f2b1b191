"""What S3's own users take for granted, asked of the running daemon through boto3, in the groups of Ceph's s3-tests.

The daemon lists folders as S3 does (`alluxio.worker.s3.list.folders.enabled=false`), and takes parts of 64 KiB, so
that the tests are quick.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from attrs import frozen
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.running import Daemon
from tests.under_stores import UnderStore
from tests.wire import Wire

MIN_PART = 64 << 10


@frozen
class Served:
    """The daemon, where it serves, and the directory under it, if that is what its under-store is."""

    daemon: Daemon
    endpoint: str
    data: Path | None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        split = urlsplit(self.endpoint)
        return split.hostname or "", split.port or 0


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, under_store: UnderStore) -> Iterator[Served]:
    """The daemon that all these tests share. At the end it must be alive and must have logged no trouble."""
    scratch = tmp_path_factory.mktemp("conformance")
    root = under_store.root(scratch)
    with Daemon(scratch / "conf") as daemon:
        endpoint = daemon.start(
            {
                "alluxio.worker.s3.api.enabled": True,
                "alluxio.worker.rest.port": 0,
                "alluxio.worker.s3.bind.host": "127.0.0.1",
                "alluxio.worker.s3.connection.keep.alive.enabled": True,
                "alluxio.underfs.xattr.change.enabled": True,
                "alluxio.worker.s3.list.folders.enabled": False,
                "alluxio.proxy.s3.complete.multipart.upload.min.part.size": MIN_PART,
                "alluxio.worker.s3.durability": "rename",
                **root.properties,
            }
        )
        yield Served(daemon, endpoint, root.data)
        assert daemon.alive, f"the daemon died:\n{daemon.log[-4000:]}"
        daemon.stop()
        assert daemon.trouble == []


@pytest.fixture(scope="session")
def s3(served: Served) -> Any:
    """A boto3 client that tries once, since a retry would hide a fault, and leaves metadata as it is given."""
    return boto3.client(
        "s3",
        endpoint_url=served.endpoint,
        aws_access_key_id="conformance",
        aws_secret_access_key="secret",
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, max_pool_connections=50),
    )


@pytest.fixture
def wire(served: Served) -> Iterator[Wire]:
    """A client that says exactly what a test wants said."""
    client = Wire(served.endpoint, "conformance")
    yield client
    client.close()


@pytest.fixture
def new_bucket(s3: Any) -> Callable[[], str]:
    """A function that makes a bucket of the test's own and returns its name."""

    def make() -> str:
        name = f"conf-{uuid.uuid4().hex[:12]}"
        s3.create_bucket(Bucket=name)
        return name

    return make


@pytest.fixture
def bucket(new_bucket: Callable[[], str]) -> str:
    """A bucket of the test's own."""
    return new_bucket()


@pytest.fixture
def put(s3: Any, bucket: str) -> Callable[..., None]:
    """A function that puts objects: each holds its key, but folders nothing."""

    def put_all(*keys: str) -> None:
        for key in keys:
            s3.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else key.encode())

    return put_all


@contextmanager
def refused(status: int, code: str) -> Iterator[Any]:
    """The block must fail with that status and code; the holder's ``response`` is what was answered."""
    with pytest.raises(ClientError) as caught:
        yield caught
    response = caught.value.response
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == (status, code)


def status_of(call: Callable[..., Any], **arguments: Any) -> int:
    """The HTTP status of a call, whether it succeeds or not."""
    try:
        return int(call(**arguments)["ResponseMetadata"]["HTTPStatusCode"])
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
