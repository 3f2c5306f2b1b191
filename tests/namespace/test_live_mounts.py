"""What the mount table says becomes what the namespace has."""

from __future__ import annotations

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from alluxio_s3.namespace.live_mounts import CLOSE_SECONDS, LAST_RETRY_SECONDS, SET_UP_SECONDS, TABLE_RETRY_SECONDS, LiveMounts, Store
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.namespace.staged_uploads import StagedUploads
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Mount, Unavailable
from alluxio_s3.ufs.memory import MemoryUnderFileSystem

A = Mount("/a", "memory://a")
B = Mount("/b", "memory://b")


@define(eq=False)
class Table:
    """A table that a test writes; ``trouble`` is what reading it raises."""

    held: list[Mount] = field(factory=list)
    trouble: Exception | None = None
    watcher: object = None

    async def mounts(self):
        if self.trouble is not None:
            raise self.trouble
        return list(self.held)

    def watch(self, changed):
        self.watcher = changed
        return lambda: setattr(self, "watcher", None)

    def set(self, *mounts, trouble=None):
        self.held, self.trouble = list(mounts), trouble
        if self.watcher is not None:
            self.watcher()


class Recorded(MemoryUnderFileSystem):
    """A store that tells whether it was closed, and may hang in closing."""

    closed = False
    closing = None

    async def close(self):
        self.closed = True
        if self.closing is not None:
            await self.closing
        await super().close()


@define(eq=False)
class Scene:
    """Live mounts on a table. ``broken`` are the URIs that cannot be built, ``slow`` those whose building waits for its Deferred."""

    clock: Clock = field(factory=Clock)
    table: Table = field(factory=Table)
    broken: set[str] = field(factory=set)
    slow: dict[str, Deferred] = field(factory=dict)
    built: list[Recorded] = field(factory=list)
    ended: list[Recorded] = field(factory=list)
    namespace: Namespace = field(init=False)
    live: LiveMounts = field(init=False)

    def __attrs_post_init__(self):
        self.namespace = Namespace(MemoryUnderFileSystem(self.clock), "alluxio")
        self.live = LiveMounts(self.namespace, self.table, self.build, self.clock)

    async def build(self, mount, *, at_leisure):
        if at_leisure and mount.uri in self.slow:
            await self.slow[mount.uri]
        if mount.uri in self.broken:
            raise ValueError(f"no {mount.uri}")
        ufs = Recorded(self.clock, buckets=False)
        self.built.append(ufs)
        return Store(ufs, lambda: self.ended.append(ufs))

    def start(self, *first):
        self.table.held = list(first)
        self.live.first = first
        self.live.start()
        return self

    def names(self):
        return sorted(self.namespace.mounts)


@pytest.fixture
def scene():
    made = Scene()
    yield made
    Deferred.fromCoroutine(made.live.close())
    made.clock.advance(CLOSE_SECONDS)
    assert made.built == [one for one in made.built if one.closed]
    assert sorted(map(id, made.ended)) == sorted(map(id, made.built))
    assert made.clock.getDelayedCalls() == []


def code(scene, bucket):
    """How a request finds the bucket."""
    try:
        scene.namespace.locate(bucket)
    except S3Error as error:
        return error.code
    return None


def test_what_is_there_at_the_start(scene):
    """The mounts of the table are there when it has started, broken ones too, and none is built twice."""
    scene.broken.add("memory://b")
    scene.start(A, B)
    assert scene.names() == ["a", "b"]
    assert (code(scene, "a"), code(scene, "b")) == (None, "ServiceUnavailable")
    assert scene.namespace.broken == {"b": "no memory://b"}
    assert len(scene.built) == 1


def test_coming_and_going(scene):
    """What is added is there, what is removed is not, and what stays keeps its store."""
    scene.start(A)
    (kept,) = scene.built
    scene.table.set(A, B)
    assert scene.names() == ["a", "b"]
    scene.table.set(A)
    assert scene.names() == ["a"]
    assert scene.namespace.mounts["a"].ufs is kept
    assert [one.closed for one in scene.built] == [False, True]


def test_requests_keep_what_they_began_with(scene):
    """A store is closed when the last request has ended that began before its removal, and not when a later one has."""
    scene.start(A)
    (store,) = scene.built
    early = scene.namespace.visits.enter()
    scene.table.set()
    late = scene.namespace.visits.enter()
    assert not store.closed
    scene.namespace.visits.leave(early)
    assert store.closed
    scene.namespace.visits.leave(late)


def test_other_options_are_another_store(scene):
    """A mount that was changed gets a new store; the time of mounting alone changes nothing but itself."""
    scene.start(A)
    scene.table.set(Mount("/a", A.uri, {}, 7))
    assert len(scene.built) == 1
    assert scene.namespace.mounts["a"].since_ns == 7
    scene.table.set(Mount("/a", A.uri, {"readonly": "true"}))
    old, new = scene.built
    assert scene.namespace.mounts["a"].ufs is new
    assert (old.closed, new.closed) == (True, False)


def test_the_old_store_serves_until_the_new_one_does(scene):
    """While the store of a changed mount is being set up there is no moment without one; if that takes too long it is 503."""
    scene.start(A)
    (old,) = scene.built
    scene.slow["memory://new"] = Deferred()
    scene.table.set(Mount("/a", "memory://new"))
    assert scene.namespace.mounts["a"].ufs is old
    scene.clock.advance(SET_UP_SECONDS)
    assert code(scene, "a") == "ServiceUnavailable"
    assert old.closed
    scene.slow["memory://new"].callback(None)
    assert scene.namespace.mounts["a"].ufs is scene.built[1]


def test_changed_twice(scene):
    """A change that comes while another is being set up takes its place, and the first store serves until then."""
    scene.start(A)
    (old,) = scene.built
    cancelled = []
    scene.slow["memory://1"] = Deferred(cancelled.append)
    scene.slow["memory://2"] = Deferred()
    scene.table.set(Mount("/a", "memory://1"))
    scene.table.set(Mount("/a", "memory://2"))
    assert scene.namespace.mounts["a"].ufs is old
    assert len(cancelled) == 1
    scene.slow["memory://2"].callback(None)
    assert scene.namespace.mounts["a"].ufs is scene.built[1]
    assert old.closed


def test_a_slow_one_holds_up_nobody(scene):
    """While one mount is being set up others come and go; removed meanwhile, it is given up."""
    scene.start()
    scene.slow["memory://a"] = Deferred()
    scene.table.set(A, B)
    assert scene.names() == ["b"]
    scene.clock.advance(SET_UP_SECONDS)
    assert scene.names() == ["a", "b"]
    scene.table.set(B)
    assert scene.names() == ["b"]
    assert len(scene.built) == 1


def test_a_broken_one_heals(scene):
    """What cannot be built is tried again, ever more slowly but at least each minute, until it can be."""
    scene.broken.add("memory://a")
    scene.start(A)
    waits = []
    for _ in range(10):
        (call,) = scene.clock.getDelayedCalls()
        waits.append(call.getTime() - scene.clock.seconds())
        scene.clock.advance(waits[-1])
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1.0, LAST_RETRY_SECONDS)
    scene.broken.clear()
    scene.clock.advance(LAST_RETRY_SECONDS)
    assert code(scene, "a") is None
    assert scene.namespace.mounts["a"].trouble == ""


def test_a_table_that_cannot_be_read(scene):
    """Mounts stay as they are while the table cannot be read, which is tried again by itself."""
    scene.start(A)
    scene.table.set(B, trouble=Unavailable(message="torn"))
    assert scene.names() == ["a"]
    scene.table.trouble = None
    scene.clock.advance(TABLE_RETRY_SECONDS)
    assert scene.names() == ["b"]


def test_a_store_that_hangs_in_closing(scene):
    """It is left alone after a while, and its threads with it."""
    scene.start(A)
    (store,) = scene.built
    store.closing = Deferred()
    scene.table.set()
    assert scene.ended == []
    scene.clock.advance(CLOSE_SECONDS)
    assert scene.ended == [store]


def test_the_end(scene):
    """In the end all is closed, also what requests were waited for, and the table is followed no more."""
    scene.start(A, B)
    scene.namespace.visits.enter()
    scene.table.set(B)
    closed = Deferred.fromCoroutine(scene.live.close())
    assert closed.called
    assert scene.table.watcher is None
    assert scene.namespace.mounts == {}
    assert all(one.closed for one in scene.built)


def test_uploads_of_what_was_mounted_before(scene):
    """Uploads to a mount are its own store's: one in its place has others, and the staging of the old one is closed with it."""

    class WithoutUploads(Recorded):
        def __conform__(self, interface):
            return None

    stagings = []

    def stage(uri, ufs):
        stagings.append((uri, Recorded(scene.clock, buckets=False)))
        return StagedUploads(ufs, stagings[-1][1], scene.clock)

    async def build(mount, *, at_leisure):
        ufs = WithoutUploads(scene.clock, buckets=False)
        scene.built.append(ufs)
        return Store(ufs, lambda: scene.ended.append(ufs))

    scene.namespace.stage, scene.live.build = stage, build
    scene.start(A)
    place = scene.namespace.locate("a")
    uploads = scene.namespace.uploads(place)
    visit = scene.namespace.visits.enter()
    scene.table.set(Mount("/a", "memory://other"))
    assert scene.namespace.uploads(place) is uploads
    assert scene.namespace.uploads(scene.namespace.locate("a")) is not uploads
    scene.namespace.visits.leave(visit)
    assert [(uri, staging.closed) for uri, staging in stagings] == [("memory://a", True), ("memory://other", False)]


def test_giving_up_is_no_failure(scene):
    """A building that was cancelled is neither broken nor tried again."""
    scene.start()
    scene.slow["memory://a"] = Deferred()
    scene.table.set(A)
    scene.table.set()
    scene.clock.advance(LAST_RETRY_SECONDS)
    assert scene.built == []
