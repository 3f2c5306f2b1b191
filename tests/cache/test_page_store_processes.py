"""Several processes on one page store, and processes that are killed."""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alluxio_s3.storage import Status
from tests.cache.page_files import PAGE_BYTES, body, files, made_store, on_disk, put, read, thing

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE_ON_DISK = PAGE_BYTES + 4096
ROOM = 8 * PAGE_ON_DISK


def child(work):
    """Do ``work`` in a process of its own; its number."""
    process = os.fork()
    if not process:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - a child must not go on as its parent
            sys.stderr.write(f"in the child: {error!r}\n")
            os._exit(99)
    return process


def ended(process):
    """How a process ended: its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def settle(store):
    """Have all repaired."""
    store.tend()
    while not store.is_settled:
        store.tend()
    store.tend()


def check_order(store, directory):
    """The index is of what is on the disk, exactly, and it is all right."""
    [place] = store.stats().places
    assert place.stored == on_disk(directory)
    assert place.pages == len(files(directory))
    assert not list((directory / "fills").iterdir())
    for version in store.objects("mem://a", "", "", 1000):
        numbers = [number for number in range(4) if store.holds(thing(version.path).version, number)]
        assert version.pages == len(numbers)
        for number in numbers:
            assert read(store, thing(version.path), number) == body(thing(version.path), number)


def kill_before(step, module):
    """Have this process killed (as by kill -9) before the ``step``-th line that it does in a module from now on."""
    left = step

    def line(frame, event, _):
        nonlocal left
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return line

    def call(frame, event, _):
        return line if frame.f_code.co_filename.endswith(module) else None

    sys.settrace(call)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "stride"), [("cache/stock.py", 2), ("cache/directory.py", 5), ("cache/index.py", 23)])
def test_killed_at_every_step(tmp_path, module, stride):
    """Wherever a process dies that puts pages for which others have to go: there is never more on the disk than may be, the next
    start is warm and right, and after a while everything is in order.
    """
    directory = tmp_path / "pages"
    for step in range(0, 10_000, stride):
        store = made_store(directory, ROOM)
        settle(store)
        for number in range(8):
            put(store, thing(f"before/{number}"))
        store.close()

        def work(step=step):
            mine = made_store(directory, ROOM)
            kill_before(step, module)
            for number in range(2):
                put(mine, thing(f"new/{step}/{number}"))
            sys.settrace(None)

        how = ended(child(work))
        assert how in (0, -signal.SIGKILL)
        assert on_disk(directory) <= ROOM
        store = made_store(directory, ROOM)
        warm = [number for number in range(8) if read(store, thing(f"before/{number}")) is not None]
        assert len(warm) >= 5
        for number in range(2):
            assert read(store, thing(f"new/{step}/{number}")) in (None, body(thing(f"new/{step}/{number}"), 0))
        assert put(store, thing("after"))
        assert on_disk(directory) <= ROOM
        settle(store)
        check_order(store, directory)
        store.free("mem://a", "")
        assert store.stats().places[0].stored == on_disk(directory) == 0
        store.close()
        if how == 0:
            assert step > 50, "it was to be killed, but had nothing to do"
            return
    raise AssertionError("it does not end")


FILLER = """
import sys
from pathlib import Path
from tests.cache.page_files import made_store, put, thing
store = made_store(Path(sys.argv[1]), int(sys.argv[2]))
for number in range(12):
    put(store, thing(f"new/{number}"))
store.forget("mem://a", "new/1")
store.free("mem://a", "new/1")
store.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("call", "nth"), [("pwrite64", 5), ("pwrite64", 20), ("pwrite64", 37), ("pwritev", 3), ("fsync", 3), ("flock", 4)])
def test_killed_inside_the_index(tmp_path, call, nth):
    """A process that dies while the index itself writes harms neither the index nor the pages."""
    if not Path("/usr/bin/strace").exists():
        pytest.skip("strace is not installed")
    directory = tmp_path / "pages"
    store = made_store(directory, ROOM)
    for number in range(8):
        put(store, thing(f"before/{number}"))
    store.close()
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={nth}"]
    script = [sys.executable, "-c", FILLER, str(directory), str(ROOM)]
    subprocess.run(["/usr/bin/strace", "-f", "-o", "/dev/null", *inject, *script], check=False, capture_output=True, cwd=ROOT)
    assert on_disk(directory) <= ROOM
    store = made_store(directory, ROOM)
    assert sum(read(store, thing(f"before/{number}")) is not None for number in range(8)) >= 4
    settle(store)
    check_order(store, directory)
    assert put(store, thing("after"))
    store.close()


def busy(directory, seed, rounds):
    """Put, read and free at random; everything that is read has to be right."""
    chance = random.Random(seed)
    store = made_store(directory, ROOM)
    assert store.stats().places[0].on
    for count in range(rounds):
        one, number = thing(f"{chance.randrange(6)}"), chance.randrange(4)
        if chance.random() < 0.5:
            assert put(store, one, number) or not store.holds(one.version, number)
        elif chance.random() < 0.9:
            assert read(store, one, number) in (None, body(one, number))
        else:
            store.free("mem://a", one.path)
        if not count % 20:
            store.tend()
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_pages(tmp_path, processes):
    """Processes that put, read, evict and free pages at once give right bytes only, and never take more than there is."""
    directory = tmp_path / "pages"
    working = [child(lambda seed=seed: busy(directory, seed, 1000)) for seed in range(processes)]
    store = made_store(directory, ROOM)
    looks = 0
    while working:
        with store._stock.index.writing():  # nobody makes room or uses it up meanwhile
            assert on_disk(directory) <= ROOM
        looks += 1
        for process in list(working):
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                assert status == 0
                working.remove(process)
    assert looks > 10
    settle(store)
    check_order(store, directory)
    store.close()


@pytest.mark.slow
def test_killed_at_random(tmp_path):
    """Processes that are killed in the middle of their work, one after the other, while another serves, leave everything right."""
    directory = tmp_path / "pages"
    chance = random.Random(5)
    processes = []
    for seed in range(12):  # all before there is a store here, which is not for forked processes
        go, ready = os.pipe(), os.pipe()

        def work(seed=seed, go=go, ready=ready):
            os.read(go[0], 1)
            os.write(ready[1], b"x")
            busy(directory, seed, 1_000_000)

        processes.append((child(work), go[1], ready[0]))
    store = made_store(directory, ROOM)
    for process, go, ready in processes:
        os.write(go, b"x")
        os.read(ready, 1)
        for _ in range(chance.randrange(20, 200)):
            one, number = thing(f"{chance.randrange(6)}"), chance.randrange(4)
            assert read(store, one, number) in (None, body(one, number))
            put(store, one, number)
        os.kill(process, signal.SIGKILL)
        assert ended(process) == -signal.SIGKILL
        assert on_disk(directory) <= ROOM
    store.tend()
    for number in range(20):
        assert put(store, thing(f"after/{number}")), "the dead keep the room that was promised to them"
    assert on_disk(directory) <= ROOM
    store.close()
    store = made_store(directory, ROOM)
    settle(store)
    check_order(store, directory)
    store.close()


def test_what_others_evict_frees_its_room(tmp_path):
    """A page that one process evicts is let go of by another that has it open, when it tends to its store."""
    directory = tmp_path / "pages"
    store = made_store(directory, ROOM)
    put(store, thing("a"))
    store.close()
    ready, go = os.pipe(), os.pipe()

    def open_pages():
        links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        return [link for link in links if link.is_relative_to(directory / "pages")]

    def work():
        other = made_store(directory, ROOM)
        assert read(other, thing("a")) == body(thing("a"), 0)
        assert open_pages()
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        assert open_pages()
        other.tend()
        assert not open_pages()
        other.close()

    process = child(work)
    os.read(ready[0], 1)
    store = made_store(directory, ROOM)
    assert store.free("mem://a", "").objects == 1
    os.write(go[1], b"x")
    assert ended(process) == 0
    store.close()


@pytest.mark.slow
def test_no_old_answer_follows_a_write(tmp_path):
    """While processes ask and remember, and another writes and forgets, nobody recalls what was so before a write that has ended, nor
    has to if the state has not changed since it recalled last.
    """
    directory = tmp_path / "pages"
    made_store(directory).close()
    shared = mmap.mmap(-1, 24)  # what the under-store has; the last write that ended; whether it is over

    def number(at):
        return int.from_bytes(shared[at : at + 8], "little")

    def change(at, to):
        shared[at : at + 8] = to.to_bytes(8, "little")

    def ask():
        store = made_store(directory)
        learned = kept = 0
        looked = b""
        known = None
        while not number(16):
            ended_before = number(8)
            state = store.state()
            if state != looked:
                looked, known = state, store.recall("mem://a", "key")
            else:
                kept += 1
            assert known is not None
            if known.status is None:
                learned += store.learn("mem://a", "key", known.generation, Status("key", 1, 1, "e", str(number(0))), 1)
            else:
                assert int(known.status.validator) >= ended_before
        assert learned
        assert kept
        store.close()

    def write():
        store = made_store(directory)
        for version in range(1, 1500):
            change(0, version)
            store.forget("mem://a", "key")
            change(8, version)
        change(16, 1)
        store.close()

    assert [ended(process) for process in [child(ask), child(ask), child(write)]] == [0, 0, 0]
