"""Mounts of stores that are somewhere else, and of one that hangs, in a real daemon."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.cli.test_mount_command import CANARY, LARGE, Scene, refusal

HANGING = """
import threading
from zope.interface import implementer
from alluxio_s3.interfaces import IPluginFactory
from alluxio_s3.ufs.flat import FlatUnderFileSystem, IFlatStore

@implementer(IFlatStore)
class Hanging:
    def scan(self, start, limit): threading.Event().wait()
    def read(self, version, offset, count): threading.Event().wait()
    def put(self, path, data, size, record, check): threading.Event().wait()
    def remove(self, path, check): threading.Event().wait()
    def close(self): threading.Event().wait()

@implementer(IPluginFactory)
class Factory:
    def build(self, options, reactor, threads):
        if "password" in options:
            raise RuntimeError("I do not like " + options["password"])
        return FlatUnderFileSystem(Hanging(), threads, identity=options["uri"], buckets=False)
"""


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a plugin known to the daemons of this test, for hanging://, every call of whose store hangs."""
    place = tmp_path / "plugins"
    info = place / "hanging-1.0.dist-info"
    info.mkdir(parents=True)
    (place / "hanging.py").write_text(HANGING)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[alluxio_s3.ufs]\nhanging = hanging:Factory\n")
    monkeypatch.setenv("PYTHONPATH", str(place))


@pytest.fixture
def scenes(tmp_path: Path) -> Iterator[tuple[Scene, Scene]]:
    """Two daemons that are not running yet; neither must log trouble."""
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    far, near = Scene(tmp_path / "far"), Scene(tmp_path / "near")
    with far.daemon, near.daemon:
        yield far, near
    assert far.daemon.trouble == near.daemon.trouble == []


def test_a_mount_of_another_s3(scenes: tuple[Scene, Scene]) -> None:
    """A prefix of a bucket elsewhere is a bucket here: it is read, written, listed and uploaded to, and its keys are in no log."""
    far, near = scenes
    far.start()
    near.start(root=False)
    far.s3.create_bucket(Bucket="there")
    far.s3.put_object(Bucket="there", Key="prefix/k", Body=b"far", Metadata={"a": "b"})
    options = (
        *("--option", f"alluxio.underfs.s3.endpoint={far.s3.meta.endpoint_url}"),
        # On a busy machine the other daemon takes its time.
        *("--option", "alluxio.underfs.s3.request.timeout=300s"),
        *("--option", "alluxio.underfs.s3.socket.timeout=300s"),
        *("--option", "s3a.accessKeyId=alice"),
        *("--option", "s3a.secretKey=-"),
    )
    said = near.run("add", "--path", "/missing", "--ufs-uri", "s3://not-there", *options, told=CANARY, status=1)
    assert "does not exist. Nothing was mounted" in said
    near.run("add", "--path", "/here", "--ufs-uri", "s3://there/prefix", *options, told=CANARY)
    near.wait(lambda: near.buckets() == ["here"])
    got = near.s3.get_object(Bucket="here", Key="k")
    assert (got["Body"].read(), got["Metadata"]) == (b"far", {"a": "b"})
    content = os.urandom(LARGE)
    near.s3.put_object(Bucket="here", Key="dir/large", Body=content)
    assert far.s3.get_object(Bucket="there", Key="prefix/dir/large")["Body"].read() == content
    assert [one["Key"] for one in near.s3.list_objects_v2(Bucket="here")["Contents"]][-2:] == ["dir/large", "k"]
    upload = near.s3.create_multipart_upload(Bucket="here", Key="up")["UploadId"]
    part = near.s3.upload_part(Bucket="here", Key="up", UploadId=upload, PartNumber=1, Body=content)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    near.s3.complete_multipart_upload(Bucket="here", Key="up", UploadId=upload, MultipartUpload=parts)
    assert near.s3.get_object(Bucket="here", Key="up")["Body"].read() == content
    near.s3.delete_object(Bucket="here", Key="k")
    with pytest.raises(ClientError):
        far.s3.head_object(Bucket="there", Key="prefix/k")
    assert CANARY not in said + near.run("list") + near.daemon.log + far.daemon.log


@pytest.mark.usefixtures("hanging")
def test_a_store_that_hangs(scenes: tuple[Scene, Scene]) -> None:
    """Requests to a store that hangs hold up nobody else's, however many they are; it can be unmounted, and the daemon stops in time."""
    _, near = scenes
    near.properties |= {"alluxio.worker.s3.io.threads": 2, "alluxio.worker.s3.drain.timeout": "1sec"}
    near.start()
    near.s3.create_bucket(Bucket="healthy")
    near.run("add", "--path", "/stuck", "--ufs-uri", "hanging://x", "--no-check")
    near.wait(lambda: near.buckets() == ["healthy", "stuck"])
    stuck = [threading.Thread(target=ask, args=(near, "stuck"), daemon=True) for _ in range(8)]
    for one in stuck:
        one.start()
    for number in range(20):
        near.s3.put_object(Bucket="healthy", Key=str(number), Body=b"x")
    assert near.buckets() == ["healthy", "stuck"]
    near.run("remove", "--path", "/stuck")
    near.wait(lambda: near.buckets() == ["healthy"])
    near.run("add", "--path", "/stuck", "--ufs-uri", "hanging://y", "--no-check")
    near.wait(lambda: near.buckets() == ["healthy", "stuck"])
    near.daemon.stop(timeout=30)


def ask(scene: Scene, bucket: str) -> None:
    """One request, of which nobody expects anything."""
    with contextlib.suppress(BotoCoreError, ClientError):
        scene.s3.get_object(Bucket=bucket, Key="k")


def test_every_process_follows(scenes: tuple[Scene, Scene]) -> None:
    """With several processes a mount is there in all of them within seconds, and gone from all."""
    _, near = scenes
    near.properties |= {"alluxio.worker.s3.processes": 3, "alluxio.worker.s3.connection.keep.alive.enabled": False}
    near.start()

    def everywhere(names: list[str]) -> bool:
        # Each request comes to any of the processes.
        return all(near.buckets() == names for _ in range(30))

    near.run("add", "--path", "/mounted", "--ufs-uri", str(near.store("store")))
    near.wait(lambda: everywhere(["mounted"]))
    near.run("remove", "--path", "/mounted")
    near.wait(lambda: everywhere([]))
    assert near.daemon.stop() in (0, -signal.SIGTERM)


@pytest.mark.usefixtures("hanging")
def test_a_store_that_tells_secrets(scenes: tuple[Scene, Scene]) -> None:
    """What a plugin says of a secret that it was given is masked, in the log and on the command line; clients are told nothing of it."""
    _, near = scenes
    near.start()
    mount = ("--path", "/telling", "--ufs-uri", "hanging://x", "--option", "password=-")
    said = near.run("add", *mount, told=CANARY, status=1) + near.run("add", "--no-check", *mount, told=CANARY)
    near.wait_for("/telling is broken: RuntimeError: I do not like ******")
    with pytest.raises(ClientError) as refused:
        near.s3.list_objects_v2(Bucket="telling")
    assert refusal(refused) == (503, "ServiceUnavailable")
    assert "I do not like ******" in said
    assert CANARY not in said + near.daemon.log + str(refused.value)
