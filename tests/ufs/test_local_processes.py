"""Several processes on one directory, and what the dead leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from threading import Thread

import pytest

from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes
from alluxio_s3.ufs.local.tree import Tree

PRELUDE = """
import sys
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes
from alluxio_s3.ufs.local import publish
from alluxio_s3.ufs.local.tree import Tree

tree = Tree.at(sys.argv[1], buckets=False, durability="rename")
name = sys.argv[2]

def put(key, data, condition=WriteCondition()):
    temporary = tree.staging.temporary(len(data))
    try:
        temporary.write(data)
        return publish.publish(tree, temporary, key, Attributes(), condition)
    finally:
        temporary.discard()
"""


def start(store, name, body):
    """Another process on the same directory, that runs ``body``."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(body), str(store.path), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_one_creator_wins_among_processes(directory):
    """Of processes that all want a key to be absent exactly one gets it, for each of many keys."""
    store = directory()
    body = """
        won = []
        for number in range(100):
            try:
                put(f"dir{number % 3}/{number}", name.encode(), WriteCondition(if_none_match=("*",)))
                won.append(number)
            except S3Error:
                pass
        print(*won)
        """
    processes = {name: start(store, name, body) for name in "abc"}
    won = {name: [int(number) for number in process.communicate()[0].split()] for name, process in processes.items()}
    assert sorted(number for numbers in won.values() for number in numbers) == list(range(100))
    for name, numbers in won.items():
        assert all(store.get(f"dir{number % 3}/{number}") == name.encode() for number in numbers)


def test_no_update_is_lost_among_processes(directory):
    """Processes that replace the version they saw lose none of each other's updates."""
    store = directory()
    store.put("counter", b"0")
    body = """
        from alluxio_s3.ufs.local.reader import open_object
        import os
        done = 0
        while done < 50:
            file = open_object(tree, "counter")
            value = int(os.read(file.descriptor.number, 100))
            try:
                put("counter", str(value + 1).encode(), WriteCondition(if_match=(file.status.etag,)))
                done += 1
            except S3Error:
                pass
        """
    processes = [start(store, name, body) for name in "abc"]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert store.get("counter") == b"150"


def test_what_the_dead_leave(directory):
    """The temporary files of a process that was killed go when the next one starts; those of the living stay."""
    store = directory()
    mine = store.tree.staging.temporary()
    mine.write(b"on its way")
    body = """
        temporary = tree.staging.temporary()
        temporary.write(b"never to be an object")
        print("ready", flush=True)
        sys.stdin.read()
        """
    victim, bystander = start(store, "victim", body), start(store, "bystander", body)
    for process in (victim, bystander):
        assert process.stdout.readline() == "ready\n"
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert len(store.reserved("tmp")) == 3
    other = Tree.at(str(store.path), buckets=False)
    other.staging.prepare()
    assert len(store.reserved("tmp")) == 2
    assert mine.is_there()
    other.close()
    bystander.communicate("")
    mine.discard()


def test_an_ended_run_leaves_nothing(directory):
    """Who closes the store takes its run's file along."""
    store = directory()
    other = Tree.at(str(store.path), buckets=False)
    other.staging.prepare()
    before = len(list(store.at(".alluxio-s3/tmp").iterdir()))
    other.close()
    assert len(list(store.at(".alluxio-s3/tmp").iterdir())) == before - 1


@pytest.mark.slow
def test_killed_at_any_system_call(directory, tmp_path):
    """Killed before any of the calls that make an object, a write leaves the old object or the new one, whole, with its own attributes.

    Then everything can be written again, and nothing temporary is left after the next start.
    """
    if not os.path.exists("/usr/bin/strace"):  # noqa: PTH110
        pytest.skip("strace is not installed")
    body = """
        import os
        for path in sys.argv[3].split():
            temporary = tree.staging.temporary(7)
            temporary.write(b"changed")
            publish.publish(tree, temporary, path, Attributes(etag="new", user_metadata={"v": "new"}), WriteCondition())
        """
    tried = 0
    for xattrs in (True, False):
        prelude = PRELUDE.replace('durability="rename"', f'durability="full", xattrs={xattrs}')
        script = tmp_path / f"write-{xattrs}.py"
        script.write_text(prelude + textwrap.dedent(body))
        for call, limit in (
            ("rename,renameat,renameat2", 6),
            ("fsync", 12),
            ("mkdir,mkdirat", 6),
            ("fsetxattr,setxattr", 6),
            ("unlink,unlinkat", 4),
        ):
            for nth in range(1, limit + 1):
                store = directory(xattrs=xattrs)
                store.put("old", b"old", Attributes(etag="old"))
                result = subprocess.run(
                    ["/usr/bin/strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={nth}",
                     sys.executable, str(script), str(store.path), "x", "old new/dir/key"],
                    check=False,
                )  # fmt: skip
                after = directory(store.path, xattrs=xattrs)
                after.tree.staging.prepare()
                assert after.reserved("tmp") == []
                for key in ("old", "new/dir/key"):
                    if after.at(key).exists():
                        status = after.status(key)
                        assert (status.etag, after.get(key)) in {("old", b"old"), ("new", b"changed")}
                    else:
                        assert key != "old"
                after.put("new/dir/key", b"again")
                assert after.get("new/dir/key") == b"again"
                tried += 1
                if result.returncode == 0:
                    break  # it makes no more such calls
    assert tried > 20


def test_threads_take_turns(directory):
    """Threads of one process exclude each other, too."""
    store = directory()
    store.put("counter", b"0")

    def count():
        done = 0
        while done < 30:
            try:
                etag = store.status("counter").etag
                value = int(store.get("counter"))
                store.put("counter", str(value + 1).encode(), condition=WriteCondition(if_match=(etag,)))
                done += 1
            except S3Error:
                pass

    threads = [Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("counter") == b"90"
