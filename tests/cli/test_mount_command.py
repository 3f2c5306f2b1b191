"""``alluxio-s3 mount`` and a real daemon that follows it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.running import Daemon, DaemonFailed

COMMAND = str(Path(sys.executable).with_name("alluxio-s3"))
CANARY = "canary-5eCr3t/value+1"
LARGE = 24 << 20


class Scene:
    """A daemon with a mount table, the directory under it, and the command line beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.table = directory / "state" / "mounts.json"
        self.daemon = Daemon(directory / "conf")
        self.properties: dict[str, object] = {
            "alluxio.worker.s3.api.enabled": True,
            "alluxio.worker.rest.port": 0,
            "alluxio.worker.s3.bind.host": "127.0.0.1",
            "alluxio.worker.s3.connection.keep.alive.enabled": True,
            "alluxio.worker.s3.durability": "rename",
            "alluxio.worker.s3.mount.table": self.table,
        }
        self.s3: Any = None

    def start(self, *, root: bool = True) -> None:
        data = self.store("root")
        endpoint = self.daemon.start(self.properties | ({"alluxio.dora.client.ufs.root": data} if root else {}))
        # Without retries, and with a small buffer, so that a download can stand still.
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=300, connect_timeout=300)
        keys = {"aws_access_key_id": "alice", "aws_secret_access_key": "x"}
        self.s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config, **keys)

    def store(self, name: str) -> Path:
        """A directory to mount."""
        made = self.directory / name
        made.mkdir(exist_ok=True)
        return made

    def run(self, *arguments: str, status: int = 0, told: str | None = None, more: dict[str, str] | None = None) -> str:
        """Run ``alluxio-s3 mount``; all that it says."""
        ended = subprocess.run(
            self.line(arguments), input=told, capture_output=True, text=True, timeout=120, env=environment(more), check=False
        )
        said = ended.stdout + ended.stderr
        assert "Traceback" not in said, said
        assert ended.returncode == status, said
        return said

    def line(self, arguments: Sequence[str]) -> list[str]:
        return [COMMAND, "mount", *arguments, "-o", f"alluxio.worker.s3.mount.table={self.table}"]

    def buckets(self) -> list[str]:
        return [one["Name"] for one in self.s3.list_buckets()["Buckets"]]

    def wait(self, true: Callable[[], bool]) -> None:
        """Return when ``true`` is, and the daemon has not followed yet."""
        pause = threading.Event()
        for _ in range(2400):
            if true():
                return
            pause.wait(0.05)
        raise AssertionError(self.daemon.log)

    def wait_for(self, text: str) -> None:
        """Return when the daemon has logged it."""
        with self.daemon._changed:
            assert self.daemon._changed.wait_for(lambda: text in self.daemon.log, 60), self.daemon.log


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ALLUXIO_")} | (more or {})


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A daemon that is not running yet; it must not log trouble."""
    made = Scene(tmp_path)
    with made.daemon:
        yield made
        if made.daemon.alive:
            assert made.daemon.stop() == -signal.SIGTERM
    assert made.daemon.trouble == []


def test_a_mount_comes_and_goes_while_the_daemon_runs(scene: Scene) -> None:
    """A directory that is mounted is a bucket within seconds, takes reads and writes, hides a bucket of its name, and goes as it came."""
    scene.start()
    scene.s3.create_bucket(Bucket="mounted")
    scene.s3.put_object(Bucket="mounted", Key="below", Body=b"root")
    store = scene.store("store")
    (store / "before").write_bytes(b"was there")
    assert "Mounted" in scene.run("add", "--path", "/mounted", "--ufs-uri", f"file://{store}")
    scene.run("add", "--path", "/second", "--ufs-uri", str(scene.store("other")))
    scene.wait(lambda: scene.buckets() == ["mounted", "second"])
    assert scene.s3.get_object(Bucket="mounted", Key="before")["Body"].read() == b"was there"
    scene.s3.put_object(Bucket="mounted", Key="a/b", Body=b"new")
    assert (store / "a" / "b").read_bytes() == b"new"
    assert [one["Key"] for one in scene.s3.list_objects_v2(Bucket="mounted")["Contents"]] == ["a/", "a/b", "before"]
    with pytest.raises(ClientError) as refused:
        scene.s3.delete_bucket(Bucket="mounted")
    assert refusal(refused) == (400, "InvalidRequest")
    scene.run("remove", "--path", "/mounted")
    scene.run("remove", "--path", "/second")
    scene.wait(lambda: scene.buckets() == ["mounted"])
    assert scene.s3.get_object(Bucket="mounted", Key="below")["Body"].read() == b"root"
    assert (store / "a" / "b").read_bytes() == b"new"


def test_mounts_outlive_the_daemon(scene: Scene) -> None:
    """After a restart the mounts are there with the first request, without a root too; then no bucket can be made, and that is said."""
    scene.run("add", "--path", "/mounted", "--ufs-uri", str(scene.store("store")))
    for _ in range(2):
        scene.start(root=False)
        assert scene.buckets() == ["mounted"]
        with pytest.raises(ClientError, match="Mount an under-store under the name of the bucket") as refused:
            scene.s3.create_bucket(Bucket="other")
        assert refusal(refused)[0] == 400
        assert scene.daemon.stop() == -signal.SIGTERM


def slow_download(scene: Scene, key: str) -> Any:
    """A download that has begun, of which nobody takes more than the first bytes for now."""
    body = scene.s3.get_object(Bucket="mounted", Key=key)["Body"]
    return body, body.read(1000)


def slow_upload(scene: Scene, target: str, content: bytes) -> http.client.HTTPConnection:
    """An upload of which half has been sent, and taken."""
    connection = http.client.HTTPConnection(urlsplit(scene.s3.meta.endpoint_url).netloc, timeout=60)
    connection.putrequest("PUT", target)
    connection.putheader("Content-Length", str(len(content)))
    connection.endheaders(content[: len(content) // 2])
    return connection


def test_a_download_outlives_its_mount(scene: Scene) -> None:
    """A request that began before its mount was removed gets every byte of what it asked for, and so does a write; then all is let go."""
    scene.start()
    store = scene.store("store")
    content = os.urandom(1 << 20) * (LARGE >> 20)
    (store / "large").write_bytes(content)
    # With a rate limit the bytes pass through the daemon; without they are sent from the file. Both must last.
    for options in ((), ("--option", "rate.limit=60")):
        scene.run("add", "--path", "/mounted", "--ufs-uri", str(store), *options)
        scene.wait(lambda: scene.buckets() == ["mounted"])
        body, first = slow_download(scene, "large")
        upload = slow_upload(scene, "/mounted/sent", content)
        scene.run("remove", "--path", "/mounted")
        scene.wait(lambda: scene.buckets() == [])
        with pytest.raises(ClientError) as refused:
            scene.s3.get_object(Bucket="mounted", Key="large")
        assert refusal(refused) == (404, "NoSuchBucket")
        assert first + body.read() == content
        upload.send(content[LARGE // 2 :])
        assert upload.getresponse().status == 200
        upload.close()
        assert (store / "sent").read_bytes() == content
        (store / "sent").unlink()
    scene.wait(lambda: open_below(scene.daemon.pid, store) == [])


def open_below(pid: int, directory: Path) -> list[str]:
    """What the process has open in a directory."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(str(descriptor.readlink()))
    return [name for name in found if name.startswith(str(directory))]


def test_a_mount_that_is_changed(scene: Scene) -> None:
    """Other options or another place are another store from then on: a bucket becomes read-only, and writable again."""
    scene.start()
    one, two = scene.store("one"), scene.store("two")
    for store in (one, two):
        (store / "k").write_bytes(store.name.encode())

    def mounted(store: Path, *options: str) -> None:
        if scene.table.exists() and json.loads(scene.table.read_text())["mounts"]:
            scene.run("remove", "--path", "/mounted")
        scene.run("add", "--path", "/mounted", "--ufs-uri", str(store), *options)

    def reads() -> bytes:
        try:
            return scene.s3.get_object(Bucket="mounted", Key="k")["Body"].read()
        except ClientError:
            return b""

    mounted(one, "--option", "readonly=true")
    scene.wait(lambda: reads() == b"one")
    with pytest.raises(ClientError) as refused:
        scene.s3.put_object(Bucket="mounted", Key="k", Body=b"x")
    assert refusal(refused) == (403, "AccessDenied")
    with pytest.raises(ClientError) as refused:
        scene.s3.create_multipart_upload(Bucket="mounted", Key="k")
    assert refusal(refused) == (403, "AccessDenied")
    mounted(two, "--option", "deletetype=ALLUXIO_ONLY")
    scene.wait(lambda: reads() == b"two")
    scene.s3.delete_object(Bucket="mounted", Key="k")
    assert reads() == b"two"
    scene.s3.put_object(Bucket="mounted", Key="k", Body=b"new")
    assert reads() == b"new"
    assert (one / "k").read_bytes() == b"one"


def test_a_broken_mount(scene: Scene) -> None:
    """What cannot be set up is listed, answers 503 with what to do, keeps nobody else from being served, and heals by itself."""
    scene.start()
    missing = scene.directory / "not-there-yet"
    said = scene.run("add", "--path", "/broken", "--ufs-uri", str(missing), status=1)
    assert "No such file or directory" in said
    assert "Nothing was mounted" in said
    scene.run("add", "--path", "/broken", "--ufs-uri", str(missing), "--no-check")
    scene.run("add", "--path", "/nowhere", "--ufs-uri", "nonsense://x/y", "--no-check")
    scene.wait(lambda: scene.buckets() == ["broken", "nowhere"])
    for bucket in ("broken", "nowhere"):
        with pytest.raises(ClientError, match="could not be set up") as refused:
            scene.s3.get_object(Bucket=bucket, Key="k")
        assert refusal(refused) == (503, "ServiceUnavailable")
    scene.wait_for("/nowhere is broken: there is no alluxio_s3.ufs plugin 'nonsense'")
    assert "broken" in scene.run("list", "--check", status=1)
    missing.mkdir()

    def works() -> bool:
        try:
            scene.s3.put_object(Bucket="broken", Key="k", Body=b"x")
        except ClientError:
            return False
        return True

    scene.wait(works)
    assert (missing / "k").read_bytes() == b"x"


def test_a_table_that_is_broken(scene: Scene) -> None:
    """A half-written table keeps the mounts as they are and says why; one that is whole again counts. None starts with a broken one."""
    scene.start()
    scene.run("add", "--path", "/mounted", "--ufs-uri", str(scene.store("store")))
    scene.wait(lambda: scene.buckets() == ["mounted"])
    whole = scene.table.read_text()
    scene.table.write_text(whole[: len(whole) // 2])
    scene.wait_for("the mounts stay as they are")
    assert scene.buckets() == ["mounted"]
    assert "is no mount table" in scene.run("list", status=1)
    assert "is no mount table" in scene.run("add", "--path", "/x", "--ufs-uri", str(scene.store("x")), status=1)
    scene.table.write_text(whole.replace("/mounted", "/renamed"))
    scene.wait(lambda: scene.buckets() == ["renamed"])
    scene.daemon.stop()
    scene.table.write_text("{}")
    with pytest.raises(DaemonFailed, match=f"alluxio-s3: {scene.table} is no mount table"):
        scene.start()


def test_no_change_is_lost(scene: Scene) -> None:
    """Of many processes that change the table at once none undoes what another did, and its file is never more than its owner's."""
    store = scene.store("store")
    names = [f"/m{number}" for number in range(8)]
    adding = [["add", "--path", name, "--ufs-uri", str(store), "--no-check"] for name in names]
    running = [subprocess.Popen(scene.line(one), env=environment(), stdout=subprocess.DEVNULL) for one in adding]
    assert [one.wait(120) for one in running] == [0] * len(running)
    assert [one["path"] for one in json.loads(scene.run("list", "--json"))] == names
    assert scene.table.stat().st_mode & 0o777 == 0o600
    assert "already" in scene.run(*adding[0], status=1)


def test_secrets_are_shown_nowhere(scene: Scene) -> None:
    """A secret comes from a file, the environment or standard input, never from the command line; it is not listed, nor logged."""
    (scene.directory / "secret").write_text(f"{CANARY}\n")
    scene.start()
    add = ("--ufs-uri", "nonsense://bucket", "--no-check", "--option", "s3a.accessKeyId=visible", "--option")
    said = scene.run("add", "--path", "/a", *add, f"s3a.secretKey={CANARY}", status=2)
    assert "=@FILE" in said
    said += scene.run("add", "--path", "/a", *add, f"s3a.secretKey=@{scene.directory / 'secret'}")
    said += scene.run("add", "--path", "/b", *add, "some.new.token=env:THE_SECRET", more={"THE_SECRET": CANARY})
    said += scene.run("add", "--path", "/c", *add, "sasToken=-", told=f"{CANARY}\n")
    said += scene.run("list", "--check", status=1) + scene.run("list", "--json")
    said += scene.run("add", "--path", "/d", "--ufs-uri", f"s3://key:{CANARY}@bucket/", status=2)
    said += scene.run("list", "-o", f"s3a.secretKey={CANARY}", status=2)
    # A store that complains of its own options, with the secret among what it complains of.
    said += scene.run("add", "--path", "/d", "--ufs-uri", str(scene.store("d")), "--option", "password=-", told=CANARY, status=1)
    assert "visible" in said
    scene.wait_for("/c is broken")
    assert CANARY not in said
    assert CANARY not in scene.daemon.log
    assert json.loads(scene.table.read_text())["mounts"][0]["options"]["s3a.secretKey"] == CANARY
    assert CANARY.encode() not in Path(f"/proc/{scene.daemon.pid}/cmdline").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--path", "/a/b", "--ufs-uri", "/"), "the name of a bucket"),
        (("--path", "a", "--ufs-uri", "/"), "begins with '/'"),
        (("--path", "/.alluxio-s3", "--ufs-uri", "/"), "the name of a bucket"),
        (("--path", "/a", "--ufs-uri", "relative/path"), "an absolute path or scheme://"),
        (("--path", "/a", "--ufs-uri", "/", "--option", "readonly"), "NAME=VALUE"),
        (("--path", "/a", "--ufs-uri", "/", "--option", "readonly=perhaps"), "expected true or false"),
        (("--path", "/a", "--ufs-uri", "/", "--option", "token=@/no/such/file"), "cannot be read"),
        (("--path", "/a", "--ufs-uri", "/", "--option", "token=env:NO_SUCH_NAME"), "is empty"),
        (("--path", "/a"), "--ufs-uri"),
    ],
)
def test_what_is_told_wrongly(scene: Scene, arguments: tuple[str, ...], complaint: str) -> None:
    """A mistake on the command line ends with status 2 and says what was expected; nothing is mounted."""
    assert complaint in scene.run("add", *arguments, status=2)
    assert not scene.table.exists()


def test_without_a_table(tmp_path: Path) -> None:
    """Where no mounts are kept the command says which property to set."""
    ended = subprocess.run([COMMAND, "mount", "list"], capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False)
    assert ended.returncode == 2
    assert "alluxio.worker.s3.mount.table" in ended.stderr
