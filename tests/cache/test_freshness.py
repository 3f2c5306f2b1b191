"""How long what the store said is believed, and that writes are seen at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from alluxio_s3.cache.fills import RUN_BYTES
from alluxio_s3.cache.freshness import CachePolicy, Moments
from alluxio_s3.cache.ufs import CachedUnderFileSystem
from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IEagerReading,
    IHotObjects,
    IIdentified,
    IMultipartUploads,
    IObjectReader,
    IRemote,
    IUnderFileSystem,
)
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, NoSuchPath, ObjectChanged, Provenance, Unavailable, Upload
from alluxio_s3.testing.workbench import read
from tests.cache.stores import PAGE, Bench, Trouble, turn

OLD, NEW = b"old" * PAGE, b"newer" * PAGE


@pytest_twisted.ensureDeferred
async def test_strong_sees_every_change(bench: Callable[..., Bench]) -> None:
    """The store is asked at each read, and its pages are kept by what it says."""
    made = bench()
    made.trouble.put_now("a", OLD)
    assert await made.get("a") == OLD
    made.trouble.put_now("a", NEW)
    assert await made.get("a") == NEW
    assert (await made.ufs.status("a")).size == len(NEW)
    asked = made.trouble.asked
    assert await made.get("a") == NEW
    assert made.trouble.asked == asked + 1


@implementer(IEagerReading)
class Eager(Trouble):
    """A store that notes what will be read."""

    def __init__(self) -> None:
        super().__init__()
        self.announced: list[tuple[str, int, int | None]] = []

    async def open_reading(self, path: str, offset: int, count: int | None) -> IObjectReader:
        self.announced.append((path, offset, count))
        return await self.open(path)


@pytest_twisted.ensureDeferred
async def test_bytes_are_asked_for_early_past_the_cache(bench: Callable[..., Bench]) -> None:
    """A mount whose pages are not kept tells the store what will be read, when it asks it at all."""
    made = bench(freshness="max_age", max_age=10, pages="never", store=Eager())
    store = made.trouble
    assert isinstance(store, Eager)
    store.put_now("a", OLD)
    for _ in range(2):
        reader = await IEagerReading(made.ufs).open_reading("a", 1, 2)
        assert await read(reader, 1, 2) == OLD[1:3]
        await reader.close()
    assert store.announced == [("a", 1, 2)]
    with pytest.raises(NoSuchPath):
        await IEagerReading(made.ufs).open_reading("b", 0, None)
    assert IEagerReading(made.another(CachePolicy(pages="second_touch")), None) is None


@pytest_twisted.ensureDeferred
async def test_bytes_are_asked_for_early_by_the_first_reader(bench: Callable[..., Bench]) -> None:
    """Where pages are kept the store is told of those of a first run, whole, and of none once there are some, or if it fails."""
    made = bench(store=Eager())
    store = made.trouble
    assert isinstance(store, Eager)
    with pytest.raises(NoSuchPath):
        await IEagerReading(made.ufs).open_reading("a", 0, None)
    store.put_now("a", OLD)
    for _ in range(2):
        reader = await IEagerReading(made.ufs).open_reading("a", PAGE + 1, PAGE)
        await reader.prepare(PAGE + 1, PAGE)
        await reader.begin(PAGE + 1, PAGE)
        assert await read(reader, PAGE + 1, PAGE) == OLD[PAGE + 1 : 2 * PAGE + 1]
        await reader.close()
        await made.settled()
    whole = RUN_BYTES // PAGE * PAGE
    assert store.announced == [("a", 0, whole), ("a", PAGE, 2 * PAGE)]
    assert store.reads == [("a", PAGE, 2 * PAGE)]
    made.cache.leads.close()


@pytest_twisted.ensureDeferred
async def test_max_age_asks_when_the_time_is_over(bench: Callable[..., Bench]) -> None:
    """What the store said is good for so many seconds, to the second, and no longer."""
    made = bench(freshness="max_age", max_age=10)
    made.trouble.put_now("a", OLD)
    assert await made.get("a") == OLD
    await made.settled()
    made.trouble.put_now("a", NEW)
    asked = made.trouble.asked
    made.now += 10
    assert await made.get("a") == OLD
    assert (await made.ufs.status("a")).provenance == Provenance(age=10)
    assert made.trouble.asked == asked
    made.now += 0.1
    assert await made.get("a") == NEW


@pytest_twisted.ensureDeferred
async def test_immutable_asks_once(bench: Callable[..., Bench]) -> None:
    """What was read once is never asked for again."""
    made = bench(freshness="immutable")
    made.trouble.put_now("a", OLD)
    assert await made.get("a") == OLD
    await made.settled()
    made.trouble.put_now("a", NEW)
    made.now += 10**9
    asked = made.trouble.asked
    assert await made.get("a") == OLD
    assert made.trouble.asked == asked


@pytest_twisted.ensureDeferred
async def test_versions_are_never_mixed(bench: Callable[..., Bench]) -> None:
    """Where pages of what is remembered are missing and the store has another version a read fails; the next one sees that version."""
    made = bench(freshness="immutable")
    made.trouble.put_now("a", OLD)
    assert await made.get("a", 0, 10) == OLD[:10]
    await made.settled()
    made.trouble.put_now("a", NEW)
    with pytest.raises(ObjectChanged):
        await made.get("a")
    assert await made.get("a") == NEW


@pytest_twisted.ensureDeferred
async def test_nothing_is_remembered_only_when_asked(bench: Callable[..., Bench]) -> None:
    """That there is nothing at a path is believed for as long as the mount says, which is not at all unless it does."""
    plain, negative = bench("plain", freshness="immutable"), bench("negative", freshness="strong", negative_max_age=5)
    for made, believed in ((plain, False), (negative, True)):
        with pytest.raises(NoSuchPath):
            await made.ufs.status("a")
        made.trouble.put_now("a", OLD)
        if believed:
            with pytest.raises(NoSuchPath):
                await made.ufs.open("a")
            made.now += 6
        assert await made.get("a") == OLD


@pytest_twisted.ensureDeferred
async def test_a_store_that_is_down_is_stood_in_for_only_when_asked(bench: Callable[..., Bench]) -> None:
    """With stale_if_error what is there is given for so long, and says so; what is not there fails."""
    plain, lasting = bench("plain"), bench("lasting", stale_if_error=60)
    for made in (plain, lasting):
        made.trouble.put_now("a", OLD)
        made.trouble.put_now("b", OLD)
        await made.get("a")
        await made.get("b", 0, 1)
        await made.settled()
        made.trouble.faults.down = True
        made.now += 60
    with pytest.raises(Unavailable):
        await plain.get("a")
    assert await lasting.get("a") == OLD
    reader = await lasting.ufs.open("a")
    assert await reader.prepare(0, 1) == Provenance(age=60, unreachable=True)
    await reader.close()
    with pytest.raises(Unavailable):
        await lasting.get("b")
    lasting.now += 1
    with pytest.raises(Unavailable):
        await lasting.get("a")


@pytest_twisted.ensureDeferred
async def test_answers_say_where_they_come_from(bench: Callable[..., Bench]) -> None:
    """The provenance of a range: missed and kept, partly there, there; in strong mode there and validated."""
    for freshness, hit in (("immutable", Provenance(age=0)), ("strong", Provenance("stale", validated=True))):
        made = bench(freshness, freshness=freshness)
        made.trouble.put_now("a", OLD)
        said = []
        for count in (10, len(OLD), len(OLD)):
            reader = await made.ufs.open("a")
            said.append(await reader.prepare(0, count))
            await reader.close()
            await made.get("a", 0, count)
            await made.settled()
        assert [one.forward for one in said] == ["uri-miss", "partial", hit.forward]
        assert [one.stored for one in said] == [True, True, False]
        assert said[2] == hit


@pytest_twisted.ensureDeferred
async def test_writes_are_seen_at_once(bench: Callable[..., Bench]) -> None:
    """A write, a delete, new tags and a completed upload are seen by the next read of every mount of the store, whatever it remembers."""
    made = bench(freshness="immutable", negative_max_age=100)
    other = made.another(CachePolicy(freshness="immutable", negative_max_age=100))
    with pytest.raises(NoSuchPath):
        await other.status("a")
    await made.put("a", OLD)
    assert (await other.status("a")).size == len(OLD)
    await made.put("a", NEW)
    assert (await other.status("a")).size == len(NEW)
    await IAttributeUpdater(made.ufs).set_tags("a", {"k": "v"})
    assert (await other.status("a")).attributes.tags == {"k": "v"}
    uploads = IMultipartUploads(made.ufs)
    upload = await uploads.create_upload(Upload("", "a", 0))
    writer = await uploads.create_part(upload, 1, 3)
    await writer.write(b"123")
    await writer.commit(Attributes(), ALWAYS)
    await uploads.complete(upload, await uploads.parts(upload), Attributes(etag="e"), ALWAYS)
    assert (await other.status("a")).size == 3
    await made.ufs.delete("a", ALWAYS)
    with pytest.raises(NoSuchPath):
        await other.status("a")
    await made.put("dir/", b"")
    assert (await other.status("dir/")).is_folder


@pytest_twisted.ensureDeferred
async def test_what_was_asked_before_a_write_is_not_learned_after_it(bench: Callable[..., Bench]) -> None:
    """A look at the store that began before a write and ends after it leaves nothing old behind."""
    made = bench(freshness="immutable")
    made.trouble.put_now("a", OLD)
    answer: Deferred[None] = Deferred()
    status = made.trouble.status

    async def slow(path: str) -> object:
        found = await status(path)
        await answer
        return found

    made.ufs._inner.status = slow  # type: ignore[attr-defined,method-assign]
    looking = Deferred.fromCoroutine(made.ufs.status("a"))
    await made.put("a", NEW)
    answer.callback(None)
    assert (await looking).size == len(OLD)
    made.ufs._inner.status = status  # type: ignore[attr-defined,method-assign]
    assert (await made.ufs.status("a")).size == len(NEW)


@pytest_twisted.ensureDeferred
async def test_a_write_whose_client_leaves_is_seen_when_it_is_done(bench: Callable[..., Bench]) -> None:
    """A commit goes on to its end when nobody waits for it, and what is remembered goes with it."""
    made = bench(freshness="immutable")
    made.trouble.put_now("a", OLD)
    writer = await made.ufs.create("a", Attributes(), len(NEW))
    await writer.write(NEW)
    inner, go = writer.writer, Deferred()
    begun: list[object] = []

    class Slow:
        async def commit(self, attributes: Attributes, condition: object) -> object:
            begun.append(condition)
            await go
            return await inner.commit(attributes, condition)

        async def abort(self) -> None:
            await inner.abort()

    writer.writer = Slow()
    committing = Deferred.fromCoroutine(writer.commit(Attributes(), ALWAYS))
    committing.addErrback(lambda _: None)
    while not begun:
        await turn()
    committing.cancel()
    aborting = Deferred.fromCoroutine(writer.abort())
    assert (await made.ufs.status("a")).size == len(OLD)
    go.callback(None)
    await aborting
    while (await made.ufs.status("a")).size != len(NEW):
        await turn()
    assert await made.get("a") == NEW


@pytest_twisted.ensureDeferred
async def test_small_objects_are_hot(bench: Callable[..., Bench]) -> None:
    """An object of one page that was read is open without a wait while it is fresh, with its age; not after a write, nor in strong mode."""
    assert IHotObjects(bench("strong").ufs, None) is None
    made = bench(freshness="max_age", max_age=10)
    made.trouble.put_now("a", b"small")
    hot = IHotObjects(made.ufs)
    assert hot.hot("a") is None
    while (found := hot.hot("a")) is None:  # a page is kept open when its time of change is past
        await made.get("a")
    found.release()
    made.now += 3
    found = hot.hot("a")
    assert found is not None
    assert found.status.provenance == Provenance(age=3)
    assert found.status.size == 5
    assert found.is_current()
    found.rendered[""] = "kept"
    found.release()
    again = hot.hot("a")
    assert again is not None
    assert again.rendered == {"": "kept"}
    again.release()
    made.now += 1
    later = hot.hot("a")
    assert later is not None
    assert later.rendered == {"": "kept"}
    assert later.status.provenance == Provenance(age=4)
    later.release()
    made.now += 10
    assert hot.hot("a") is None
    await made.get("a")
    await made.put("a", b"other")
    assert hot.hot("a") is None


def test_it_is_a_store(bench: Callable[..., Bench]) -> None:
    """It is what it stands before, its optional interfaces included."""
    made = bench()
    verifyObject(IUnderFileSystem, made.ufs)
    verifyObject(IIdentified, made.ufs)
    assert IIdentified(made.ufs).identity == made.trouble.identity
    for interface in (IMultipartUploads, IAttributeUpdater, IBucketContainer):
        assert verifyObject(interface, interface(made.ufs))


def test_moments_know_the_start_of_the_machine() -> None:
    """A moment before the machine started has no age, whatever the clock says; one in the future has none either."""
    first, second = Moments(lambda: 50.0, "one"), Moments(lambda: 60.0, "two")
    assert second.age(first.now()) is None
    assert first.age(second.now()) is None
    assert first.age(first.now() - 5000) == 5
    assert first.age(first.now() + 1) is None


@implementer(IRemote)
class RemoteTrouble(Trouble):
    """A store elsewhere."""

    async def reach(self) -> None:
        self._ask()


@pytest_twisted.ensureDeferred
async def test_whether_the_store_answers_is_not_remembered(bench: Callable[..., Bench]) -> None:
    """It is asked each time, however long its word is good; but not of a mount that serves on while its store is silent."""
    made = bench()
    for store in (RemoteTrouble(), Trouble()):
        cached = CachedUnderFileSystem(store, made.cache, CachePolicy("immutable"))
        await cached.status("")
        remote = IRemote(cached)
        await remote.reach()
        store.faults.down = True
        with pytest.raises(Unavailable):
            await remote.reach()
    assert IRemote(CachedUnderFileSystem(store, made.cache, CachePolicy(stale_if_error=60)), None) is None
