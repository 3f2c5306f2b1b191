"""The page store on a disk that is full, read-only, failing, or taken away."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from alluxio_s3.cache.directory import Directory
from alluxio_s3.cache.store import PageStore, Place
from alluxio_s3.storage import Attributes, Status
from tests.cache.page_files import PAGE_BYTES, body, files, later_ns, on_disk, put, read, thing
from tests.faults.disks import Disk, lack


class Clock:
    """A clock that stands still until it is told otherwise."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    """The store's clock."""
    return Clock()


@pytest.fixture
def made(clock):
    """Makes a store."""
    stores = []

    def make(*directories, size=1 << 20):
        stores.append(PageStore([Place(str(one), size) for one in directories], PAGE_BYTES, clock, wall_ns=later_ns))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def mounted(tmp_path):
    """Mounts a tmpfs with the options given, and unmounts it."""
    places = []

    def mount(place: Path, options: str) -> Path:
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "tmpfs", str(place)], check=False, capture_output=True)
        if done.returncode:
            pytest.skip("this user cannot mount")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def failing(monkeypatch, verb, number, path):
    """Have a verb of ``Directory`` fail in one of them; what ends that."""
    original = getattr(Directory, verb)

    def fail(self, *arguments):
        if self.path == str(path):
            raise OSError(number, os.strerror(number))
        return original(self, *arguments)

    monkeypatch.setattr(Directory, verb, fail)
    return lambda: monkeypatch.setattr(Directory, verb, original)


def test_a_disk_with_less_room(made, mounted, tmp_path):
    """A disk that has less room than the store may take serves with what it has; when there is more again, that is used."""
    disk = mounted(tmp_path / "disk", "size=2m")
    index, pages = tmp_path / "index", disk / "pages"
    store = made(index, pages, size=8 << 20)
    other = disk / "other"
    other.write_bytes(bytes(1 << 20))
    kept = 0
    for number in range(200):
        one = thing(f"{number}")
        kept += put(store, one)
        assert read(store, one) in (None, body(one, 0))
        if not number % 10:
            store.tend()
    assert kept > 100
    assert 0 < on_disk(pages) < 1 << 20
    assert all(place.on for place in store.stats().places)
    other.unlink()
    for _ in range(60):
        store.tend()
    for number in range(200):
        put(store, thing(f"again/{number}"))
    assert on_disk(pages) > 1 << 20


def test_a_full_disk_of_the_index(made, mounted, tmp_path):
    """When the index itself has no room, nothing fails, nothing wrong is told, and a path that cannot be forgotten is not believed."""
    disk = mounted(tmp_path / "disk", "size=1m")
    store = made(disk / "pages", size=512 << 10)
    assert put(store, thing("a"))
    known = store.recall("mem://a", "a")
    old = Status("a", 1, 1, "etag", "old")
    assert store.learn("mem://a", "a", known.generation, old, 1)
    with (disk / "other").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    metadata = Attributes(user_metadata={"a": "b" * 1000})
    learned = [
        store.learn("mem://a", f"{number}", known.generation, Status(f"{number}", 1, 1, "e", "v", metadata), 1) for number in range(300)
    ]
    assert not all(learned)
    store.forget("mem://a", "a")
    assert store.recall("mem://a", "a") is None or store.recall("mem://a", "a").status is None
    for number in range(20):
        put(store, thing(f"full/{number}"))
        assert read(store, thing(f"full/{number}")) in (None, body(thing(f"full/{number}"), 0))
    (disk / "other").unlink()
    store.tend()
    known = store.recall("mem://a", "a")
    assert known is not None
    assert known.status is None
    assert store.learn("mem://a", "a", known.generation, old, 1)
    for _ in range(60):
        store.tend()
    assert put(store, thing("b"))


def test_a_read_only_disk(made, mounted, clock, tmp_path):
    """A disk that becomes read-only gives what it has, takes nothing, and is off until it can be written again."""
    disk = mounted(tmp_path / "disk", "size=16m")
    store = made(tmp_path / "index", disk / "pages", size=1 << 20)
    mine = [one for one in (thing(f"{number}") for number in range(8)) if put(store, one)]
    on_it = next(one for one in mine if any(path.name.startswith(one.version.hex()) for path in files(disk / "pages")))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert read(store, on_it) == body(on_it, 0)
    for number in range(60):
        put(store, thing(f"more/{number}"))
    assert [place.on for place in store.stats().places] == [True, False]
    assert read(store, thing("more/59")) == body(thing("more/59"), 0)
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    clock.now += 30
    store.tend()
    assert not store.stats().places[1].on
    clock.now += 31
    store.tend()
    assert store.stats().places[1].on
    assert on_disk(disk / "pages") <= 1 << 20
    assert sum(put(store, thing(f"again/{number}")) for number in range(20)) == 20


@pytest.mark.parametrize("verb", ["write", "publish"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOENT])
def test_a_dying_disk_turns_itself_off(made, clock, tmp_path, monkeypatch, verb, number):
    """After three errors within a minute a directory is left alone and the others serve; it is tried again after a minute."""
    one, two = tmp_path / "one", tmp_path / "two"
    store = made(one, two)
    heal = failing(monkeypatch, verb, number, two)
    for count in range(20):
        put(store, thing(f"{count}"))
    assert [place.on for place in store.stats().places] == [True, False]
    assert sum(put(store, thing(f"more/{count}")) for count in range(10)) == 10
    heal()
    clock.now += 61
    store.tend()
    assert on_disk(two) == 0
    assert [place.on for place in store.stats().places] == [True, True]
    for count in range(20):
        assert put(store, thing(f"again/{count}"))
    assert on_disk(two) == store.stats().places[1].stored > 0


def test_errors_now_and_then_are_borne(made, clock, tmp_path, monkeypatch):
    """Fewer than three errors in a minute turn nothing off."""
    store = made(tmp_path / "one")
    for _ in range(6):
        heal = failing(monkeypatch, "write", errno.EIO, tmp_path / "one")
        assert not put(store, thing("a"))
        heal()
        assert put(store, thing("b"))
        clock.now += 31
    assert store.stats().places[0].on


def test_a_directory_is_taken_away_under_load(made, clock, tmp_path):
    """When somebody removes all the files, reads are misses at once, nothing fails, and a minute later the store works again."""
    store = made(tmp_path / "one")
    for number in range(8):
        put(store, thing(f"{number}"))
        read(store, thing(f"{number}"))
    reader = store.open(thing("0").version, 0)
    shutil.rmtree(tmp_path / "one")
    for number in range(30):
        put(store, thing(f"{number}"))
        assert read(store, thing(f"{number}")) is None
    assert os.pread(reader.fileno(), PAGE_BYTES, 0) == body(thing("0"), 0)
    reader.check_unchanged()
    reader.release()
    known = store.recall("mem://a", "a")
    assert known is None or known.status is None
    for _ in range(3):
        store.tend()
        clock.now += 61
    store.tend()
    assert store.stats().places[0].on
    assert put(store, thing("a"))
    assert read(store, thing("a")) == body(thing("a"), 0)
    assert [one.path for one in store.objects("mem://a", "", "", 10)] == ["a"]


def test_a_write_is_known_where_the_index_was_replaced(made, tmp_path):
    """What a process forgets whose index was taken away, another that has begun a new one in its place forgets too."""
    before = made(tmp_path / "one")
    shutil.rmtree(tmp_path / "one")
    after = made(tmp_path / "one")
    after.tend()
    known = after.recall("mem://a", "a")
    assert after.learn("mem://a", "a", known.generation, Status("a", 1, 1, "etag", "old"), 1)
    assert after.recall("mem://a", "a").status is not None
    before.forget("mem://a", "a")
    known = after.recall("mem://a", "a")
    assert known is None or known.status is None


def test_one_of_two_directories_is_taken_away(made, clock, tmp_path):
    """When one of the directories loses its files the other serves, and the room that they took is found again."""
    store = made(tmp_path / "one", tmp_path / "two")
    for number in range(20):
        put(store, thing(f"{number}"))
    shutil.rmtree(tmp_path / "two")
    for number in range(20):
        assert read(store, thing(f"{number}")) in (None, body(thing(f"{number}"), 0))
    for number in range(20):
        put(store, thing(f"more/{number}"))
    for _ in range(3):
        clock.now += 61
        store.tend()
    assert [place.on for place in store.stats().places] == [True, True]
    for number in range(20):
        assert put(store, thing(f"again/{number}"))
    for place, directory in zip(store.stats().places, ("one", "two"), strict=True):
        assert place.stored == on_disk(tmp_path / directory) > 0


def test_there_is_no_cache_without_its_first_directory(made, clock, tmp_path):
    """A store whose first directory cannot be used serves nothing, fails nothing, and begins when it can."""
    (tmp_path / "one").write_bytes(b"")
    store = made(tmp_path / "one")
    assert not put(store, thing("a"))
    assert read(store, thing("a")) is None
    assert store.recall("mem://a", "a") is None
    assert not store.learn("mem://a", "a", 0, None, 1)
    store.forget("mem://a", "a")
    assert not store.stats().places[0].on
    assert store.objects("mem://a", "", "", 1) == []
    assert store.free("mem://a", "").objects == 0
    (tmp_path / "one").unlink()
    clock.now += 61
    store.tend()
    assert put(store, thing("a"))


def test_what_is_known_is_bounded(made, tmp_path):
    """No more paths are remembered than was said; what was asked before one of them was dropped is not learned after it."""
    store = made(tmp_path / "one")
    store._knowledge._most = 100
    first = store.recall("mem://a", "first")
    for number in range(500):
        generation = store.recall("mem://a", f"{number}").generation
        assert store.learn("mem://a", f"{number}", generation, Status(f"{number}", 1, 1, "e", "v"), 1)
    known = [number for number in range(500) if store.recall("mem://a", f"{number}").status is not None]
    assert 36 <= len(known) <= 100
    assert not store.learn("mem://a", "first", first.generation, None, 1)


def test_an_index_on_a_disk_that_turns_read_only(made, clock, tmp_path):
    """A cache whose index cannot be written any more is given up after three errors; reads find nothing, and nothing fails."""
    disk = Disk("ext4", tmp_path / "mortal")
    reason = lack("mkfs.ext4", "losetup") or disk.make()
    if reason:
        pytest.skip(reason)
    try:
        disk.place.chmod(0o700)
        store = made(disk.place)
        assert put(store, thing("a"), 0)
        assert read(store, thing("a"), 0) == body(thing("a"), 0)
        disk.turn_read_only()
        for number in range(1, 4):
            assert store.stats().places[0].on
            assert not put(store, thing("a"), number)
        assert not store.stats().places[0].on
        assert read(store, thing("a"), 0) is None
        clock.now += 61
        store.tend()
        assert not store.stats().places[0].on
    finally:
        disk.close()
