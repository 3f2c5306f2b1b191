"""The page store: what comes out is what went in, or nothing; and never more than there is room for."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alluxio_s3.cache import session
from alluxio_s3.cache.alarm import Alarm
from alluxio_s3.cache.directory import Directory
from alluxio_s3.cache.keys import CachedObject, Freed, Known, version_key
from alluxio_s3.cache.page import verified_size
from alluxio_s3.cache.store import PageStore, Place
from alluxio_s3.storage import Attributes, ObjectChanged, Status
from tests.cache.page_files import PAGE_BYTES, body, content, files, later_ns, made_store, on_disk, put, read, thing


@pytest.fixture
def store(tmp_path):
    """A store of 16 pages at most."""
    made = made_store(tmp_path / "pages")
    yield made
    made.close()


def test_a_page_comes_back(store):
    """What was put is found, with its size, and is hot from then on."""
    one = thing("a/b")
    assert store.hot(one.version, 0) is None
    assert store.open(one.version, 0) is None
    assert put(store, one)
    assert put(store, one, 3, 100)
    assert store.holds(one.version, 3)
    assert not store.holds(one.version, 1)
    page = store.open(one.version, 3)
    assert page is not None
    assert page.size == 100
    assert content(page) == body(one, 3, 100)
    hot = store.hot(one.version, 3)
    assert hot is page
    assert content(hot) == body(one, 3, 100)
    assert read(store, one) == body(one, 0)


def test_a_page_twice_is_one(store, tmp_path):
    """To put a page that is there is to have it once."""
    one = thing("a")
    assert put(store, one)
    taken = store.stats().places[0].stored
    assert put(store, one)
    assert store.stats().places[0].stored == taken == on_disk(tmp_path / "pages")


@given(st.tuples(*[st.text(max_size=8)] * 3), st.tuples(*[st.text(max_size=8)] * 3))
def test_versions_have_keys_of_their_own(one, other):
    """Two versions share a key only if identity, path and validator are equal, wherever one ends and the next begins."""
    assert (version_key(*one) == version_key(*other)) is (one == other)


def test_a_new_page_is_not_believed_at_once(tmp_path):
    """A page whose file was written so recently that a change could bear the same time is verified each time."""
    store = PageStore([Place(str(tmp_path / "pages"), 1 << 20)], PAGE_BYTES, wall_ns=lambda: 0)
    one = thing("a")
    put(store, one)
    assert read(store, one) == body(one, 0)
    assert store.hot(one.version, 0) is None
    store.close()


def test_what_the_disk_would_give_is_verified(store, tmp_path):
    """A page whose bytes are no longer in memory is not hot: what the disk gives instead is verified first."""
    one = thing("a")
    put(store, one)
    assert read(store, one) == body(one, 0)
    store.hot(one.version, 0).release()
    descriptor = os.open(files(tmp_path / "pages")[0], os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT)
        pytest.skip("this file system keeps it in memory")
    except BlockingIOError:
        pass
    except OSError:
        pytest.skip("this file system does not tell what is in memory")
    finally:
        os.close(descriptor)
    assert store.hot(one.version, 0) is None
    assert read(store, one) == body(one, 0)
    store.hot(one.version, 0).release()


DAMAGE = {
    "flipped": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "flipped at the end": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 0x80])),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "cut to pieces": lambda path: path.write_bytes(path.read_bytes()[:4096]),
    "empty": lambda path: path.write_bytes(b""),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "gone": lambda path: path.unlink(),
    "another kind": lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
}


@pytest.mark.parametrize("opened", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_a_miss(store, tmp_path, damage, opened):
    """A page that is not as it was written is a miss, even if it was open; then there is room for it again, and it can be put again."""
    one = thing("a")
    put(store, one)
    if opened:
        assert read(store, one) == body(one, 0)
    damage(files(tmp_path / "pages")[0])
    assert read(store, one) is None
    assert not files(tmp_path / "pages")
    assert store.stats().places[0].stored == 0
    assert not store.objects("mem://a", "", "", 10)
    assert put(store, one)
    assert read(store, one) == body(one, 0)


@pytest.mark.parametrize("opened", [True, False], ids=["open", "closed"])
def test_pages_that_changed_places_are_misses(store, tmp_path, opened):
    """A page under the name of another, of another number or another version, is a miss, though it is whole."""
    one, other = thing("a", "v1"), thing("a", "v2")
    for version in (one, other):
        for number in (0, 1):
            put(store, version, number)
            if opened:
                read(store, version, number)
    found = files(tmp_path / "pages")
    for path, source in zip(found, [*found[1:], found[0]], strict=True):
        shutil.copy(source, path.with_suffix(path.suffix + ".new"))
    for path in found:
        path.with_suffix(path.suffix + ".new").rename(path)
    assert [read(store, version, number) for version in (one, other) for number in (0, 1)] == [None] * 4


def test_a_reader_keeps_its_page(store, tmp_path):
    """Who reads a page reads on after it has been evicted; when it has been changed in place it is told."""
    one = thing("a")
    put(store, one)
    page = store.open(one.version, 0)
    store.free("mem://a", "")
    assert store.hot(one.version, 0) is None
    page.check_unchanged()
    assert content(page) == body(one, 0)
    put(store, one)
    page = store.open(one.version, 0)
    with files(tmp_path / "pages")[0].open("r+b") as file:
        file.write(b"x")
    with pytest.raises(ObjectChanged):
        page.check_unchanged()
    page.release()


def test_open_files_are_few(tmp_path):
    """No more pages are open than was said, and none when the store is closed."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    store = made_store(tmp_path / "pages", open_files=3)
    session = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(10):
        put(store, thing("a", pages=10), number)
        read(store, thing("a", pages=10), number)
    assert len(list(Path("/proc/self/fd").iterdir())) <= session + 3
    store.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1  # the alarm's memory goes with the store


def test_there_is_never_more_than_fits(store, tmp_path):
    """Whatever comes, the pages' files take no more of the disk than they may; pages that were read stay before others."""
    favourite = thing("favourite")
    put(store, favourite)
    for number in range(100):
        assert put(store, thing(f"scan/{number}"))
        assert read(store, favourite) == body(favourite, 0)
        store.tend()
        assert on_disk(tmp_path / "pages") <= 1 << 20
    [place] = store.stats().places
    assert place.stored == on_disk(tmp_path / "pages")
    assert place.pages == len(files(tmp_path / "pages")) >= 14
    assert place.evictions == 101 - place.pages


def test_what_was_asked_for_stays(store):
    """Pages that somebody wants loaded stay in a cache that is full of others, where pages that were only read once do not."""
    for number in range(16):
        put(store, thing(f"old/{number}"))
    for number in range(8):
        assert store.put(thing(f"loaded/{number}"), 0, memoryview(body(thing(f"loaded/{number}"), 0)), wanted=True)
    for number in range(40):
        put(store, thing(f"once/{number}"))
    held = [one.path for one in store.objects("mem://a", "", "", 100)]
    assert sum(path.startswith("loaded/") for path in held) >= 6
    assert sum(path.startswith("once/") for path in held) <= 10


def test_a_page_too_large_is_not_kept(tmp_path):
    """A page for which there can be no room is not kept, and nothing goes for it."""
    store = made_store(tmp_path / "pages", size=PAGE_BYTES)
    assert put(store, thing("small"), 0, 1000)
    assert not put(store, thing("large"))
    assert not store.put(thing("none"), 0, memoryview(b""))
    assert not store.put(thing("longer"), 0, memoryview(bytes(PAGE_BYTES + 1)))
    store.close()


def test_pages_survive_a_restart(tmp_path):
    """A store that is opened again has its pages, and knows whose they are."""
    one = thing("a")
    for _ in range(3):
        store = made_store(tmp_path / "pages")
        put(store, one)
        store.close()
    store = made_store(tmp_path / "pages")
    assert store.is_settled
    assert read(store, one) == body(one, 0)
    assert [each.path for each in store.objects("mem://a", "", "", 10)] == ["a"]
    store.close()


def test_what_is_known_survives_a_restart(tmp_path):
    """What is known of paths is known after a restart, and nothing is left in shared memory by a store that was closed."""
    store = made_store(tmp_path / "pages")
    shared = Alarm(str(tmp_path / "pages"))._path
    assert shared.exists()
    status = Status("a", 1, 2, "etag", "v", Attributes(headers={"a": "b"}, part_sizes=(1, 2)))
    assert store.learn("mem://a", "a", store.recall("mem://a", "a").generation, status, 3)
    generation = store.recall("mem://a", "a").generation
    for _ in range(3):
        store.close()
        assert not shared.exists()
        store = made_store(tmp_path / "pages")
        assert store.recall("mem://a", "a") == Known(generation, status, 3)
    store.forget("mem://a", "a")
    store.close()
    store = made_store(tmp_path / "pages")
    assert store.recall("mem://a", "a").status is None
    store.close()


def test_another_boot_starts_empty(tmp_path):
    """An index that was not left in order by the boot before is not believed, and its pages go; in order, they stay."""
    one = thing("a")
    for boot, kept in (("any", True), ("0000", False)):
        store = made_store(tmp_path / "pages")
        put(store, one)
        store.close()
        origin = tmp_path / "pages/index/origin"
        origin.write_text(json.dumps({**json.loads(origin.read_text()), "boot": boot}))
        store = made_store(tmp_path / "pages")
        store.tend()
        assert (read(store, one) is not None) is kept
        assert bool(files(tmp_path / "pages")) is kept
        assert put(store, one)
        store.close()


@pytest.mark.parametrize("name", ["index/origin", "index/data.mdb", "index/lock.mdb", "origin.json"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 20000])
def test_a_damaged_index_is_an_empty_cache(tmp_path, name, content):
    """Whatever has become of the files beside the pages, the store starts, and gives no wrong byte."""
    one = thing("a")
    store = made_store(tmp_path / "pages")
    put(store, one)
    store.close()
    (tmp_path / "pages" / name).write_bytes(content)
    store = made_store(tmp_path / "pages")
    store.tend()
    assert read(store, one) in (None, body(one, 0))
    assert put(store, one)
    assert read(store, one) == body(one, 0)
    store.close()


@pytest.mark.parametrize("left", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_an_index_cut_short_is_an_empty_cache(tmp_path, left):
    """An index whose file has lost its end is recognised before it is read, which would end the process."""
    store = made_store(tmp_path / "pages", 8 << 20)
    for number in range(100):
        put(store, thing(f"{number}" * 50), 0, 4000)
    store.close()
    index = tmp_path / "pages/index/data.mdb"
    os.truncate(index, int(index.stat().st_size * left))
    store = made_store(tmp_path / "pages")
    while not store.stats().places[0].on:
        store.tend()
    assert put(store, thing("a"))
    assert read(store, thing("a")) == body(thing("a"), 0)
    store.close()


def test_an_index_that_ends_processes_is_made_anew(tmp_path):
    """When processes have ended soon after their start again and again, the cache begins empty; not when one of them has lasted."""
    seconds = [0.0]
    for lasting in (True, False):
        store = made_store(tmp_path / "pages")
        put(store, thing("a"))
        store.close()
        for _ in range(session.MOST_STARTS):
            store = made_store(tmp_path / "pages", clock=lambda: seconds[0])
            assert read(store, thing("a")) is not None
            if lasting:
                seconds[0] += 11
                store.tend()
            left = (tmp_path / "pages/index/origin").read_bytes()
            store.close()
            (tmp_path / "pages/index/origin").write_bytes(left)  # as if it had been killed
        store = made_store(tmp_path / "pages")
        store.tend()
        assert (read(store, thing("a")) is not None) is lasting
        store.close()


def test_pages_of_another_size_go(tmp_path):
    """With another page size the cache begins empty; while other processes use the one before, that is an error."""
    store = made_store(tmp_path / "pages")
    put(store, thing("a"))
    with pytest.raises(ValueError, match="other processes"):
        made_store(tmp_path / "pages", page_bytes=4096)
    store.close()
    store = made_store(tmp_path / "pages", page_bytes=4096)
    store.tend()
    assert read(store, thing("a")) is None
    assert not files(tmp_path / "pages")
    assert put(store, thing("a"), 0, 4096)
    store.close()


def test_others_must_not_reach_the_pages(tmp_path):
    """A directory that others may enter is refused with a message; one that the store makes is closed to them."""
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ValueError, match="chmod 700"):
        made_store(tmp_path / "open")
    made_store(tmp_path / "a/b").close()
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700


def test_directories_get_pages_by_their_size(tmp_path):
    """Pages go to several directories by their sizes, and all are found."""
    places = [Place(str(tmp_path / "one"), 1 << 20), Place(str(tmp_path / "two"), 3 << 20)]
    store = PageStore(places, 4096, wall_ns=later_ns)
    for number in range(256):
        assert put(store, thing("a", pages=256), number, 4096 - 64)
    one, two = store.stats().places
    assert 40 < one.pages < 90
    assert two.pages == 256 - one.pages
    assert all(read(store, thing("a", pages=256), number) for number in range(256) if store.holds(thing("a", pages=256).version, number))
    store.close()
    # Without one of them its pages are gone, and the others are there.
    store = PageStore(places[1:], 4096, wall_ns=later_ns)
    store.close()


def test_listing_is_in_order_and_in_pages(store):
    """Versions are told in the order of their paths' UTF-8, with what is kept of them, and page by page none is left out."""
    paths = sorted(["a", "a/b", "a0", "é", "\U0001f600", "z" * 450 + "b", "z" * 450 + "a", "z" * 401], key=str.encode)
    for path in paths:
        put(store, thing(path), 1, 1000)
    put(store, CachedObject("mem://b", "a", "v", 10), 0, 10)
    found = store.objects("mem://a", "", "", 100)
    assert [one.path for one in found] == paths
    assert {(one.pages, one.stored, one.size, one.validator) for one in found} == {(1, 1000, 4 * PAGE_BYTES, "v1")}
    assert sorted(one.rank for one in found) == list(range(8))
    assert [one.path for one in store.objects("mem://a", "a", "", 100)] == ["a", "a/b", "a0"]
    paged, start = [], ""
    while page := store.objects("mem://a", "", start, 1):
        paged.append(page[0].path)
        start = page[0].path + "\0"
    assert paged == paths


def test_free_frees_what_begins_so(store, tmp_path):
    """Free removes pages and knowledge under a prefix, and nothing else."""
    for path in ("a/1", "a/2", "b"):
        put(store, thing(path), 0)
        put(store, thing(path, "v2"), 1)
    before = store.recall("mem://a", "a/2")
    assert store.free("mem://a", "a/") == Freed(4, 4 * PAGE_BYTES)
    assert [one.path for one in store.objects("mem://a", "", "", 10)] == ["b", "b"]
    assert len(files(tmp_path / "pages")) == 2
    assert not store.learn("mem://a", "a/2", before.generation, None, 1)
    assert store.free("mem://a", "") == Freed(2, 2 * PAGE_BYTES)
    assert store.stats().places[0].stored == on_disk(tmp_path / "pages") == 0
    assert store.free("mem://a", "") == Freed(0, 0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=12).filter(lambda text: text.isprintable()), max_size=6, unique=True), st.text(max_size=2))
def test_listings_agree_with_a_plain_one(tmp_path_factory, paths, prefix):
    """What is listed under a prefix is what a list of all would give."""
    store = made_store(tmp_path_factory.mktemp("pages") / "pages")
    for path in paths:
        put(store, thing(path), 0, 10)
    expected = sorted((path for path in paths if path.startswith(prefix)), key=str.encode)
    assert [one.path for one in store.objects("mem://a", prefix, "", 100)] == expected
    store.close()


@pytest.mark.slow
def test_every_bit_counts(tmp_path):
    """Whichever single bit of a page's file is flipped, the page is no good any more."""
    store = made_store(tmp_path / "pages")
    one = thing("a")
    put(store, one, 0, 1000)
    store.close()
    path = files(tmp_path / "pages")[0]
    whole = path.read_bytes()
    descriptor = os.open(path, os.O_RDWR)
    assert verified_size(descriptor, one.version, 0, len(whole)) == 1000
    for at, byte in enumerate(whole):
        for bit in range(8):
            os.pwrite(descriptor, bytes([byte ^ 1 << bit]), at)
            assert verified_size(descriptor, one.version, 0, len(whole)) is None
        os.pwrite(descriptor, bytes([byte]), at)
    assert verified_size(descriptor, one.version, 0, len(whole)) == 1000
    os.close(descriptor)


@pytest.mark.slow
def test_threads_share_a_store(tmp_path):
    """Threads of one process that put, read, free and tend at once get right bytes only, and the sums are right in the end."""
    store = made_store(tmp_path / "pages", open_files=5)

    def work(seed):
        chance = random.Random(seed)
        for _ in range(300):
            one, number = thing(f"{chance.randrange(6)}"), chance.randrange(4)
            what = chance.random()
            if what < 0.5:
                put(store, one, number)
            elif what < 0.95:
                assert read(store, one, number) in (None, body(one, number))
            else:
                store.free("mem://a", one.path)
            if not seed and what < 0.2:
                store.tend()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, seed) for seed in range(4)]:
            done.result()
    store.tend()
    [place] = store.stats().places
    assert place.stored == on_disk(tmp_path / "pages") <= 1 << 20
    assert place.pages == len(files(tmp_path / "pages"))
    store.close()


def test_a_lack_of_descriptors_is_not_the_disks(tmp_path):
    """When the process has no descriptor left, pages are misses, but their directory stays in use, and they are there afterwards."""
    store = made_store(tmp_path / "pages")
    one = thing("a")
    put(store, one)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        for _ in range(5):
            assert store.open(one.version, 0) is None
            assert not put(store, thing("b"))
            store.tend()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert read(store, one) == body(one, 0)
    assert put(store, thing("b"))
    store.close()


def test_processes_that_begin_at_once_use_one_directory(tmp_path):
    """What another process has just made, and not yet marked as its own, is not taken for what another index has left."""
    place = tmp_path / "pages"
    for name in ("pages", "fills"):
        (place / name).mkdir(mode=0o700, parents=True)
    place.chmod(0o700)
    directory = Directory(str(place), 1 << 20, time.monotonic)
    directory.prepare("an index")
    assert directory.on
    assert directory.discarded() == []


def test_an_index_that_is_lost_while_it_is_asked(store, monkeypatch):
    """Another thread may find it lost at any time: who asks then is told of nothing, and nothing fails."""
    asked = [
        (lambda: store.stored([thing("a").version]), [0]),
        (lambda: store.objects("mem://a", "", "", 1), []),
        (lambda: store.free_object("mem://a", "a"), None),
    ]
    for ask, nothing in asked:
        looks = iter([store._stock])
        with monkeypatch.context() as patch:
            patch.setattr(PageStore, "_stock", property(lambda _, looks=looks: next(looks, None)), raising=False)
            assert ask() == nothing
