"""Tags of objects that are made, copied and read, wherever the tags are kept."""

from __future__ import annotations

import pytest
import pytest_twisted
from attrs import evolve
from zope.interface import implementer_only

from alluxio_s3.interfaces import IUnderFileSystem
from alluxio_s3.namespace.mounts import Mounted, Namespace
from alluxio_s3.tags.embedded import EmbeddedTagStore
from alluxio_s3.ufs.memory import MemoryUnderFileSystem

TARGET = "/bucket/k"


@pytest_twisted.async_yield_fixture(params=["carried", "embedded"])
async def bench(bench, request, tmp_path):
    """A bench with each of the tag stores."""
    if request.param == "embedded":
        store = EmbeddedTagStore(str(tmp_path / "tags"), bench.services.threads)
        bench.services = evolve(bench.services, tags=store)
        yield bench
        await store.close()
    else:
        yield bench


async def tags(bench, target: str = TARGET) -> dict[str, str]:
    """The tags of an object; HEAD must know how many."""
    found = dict(await bench.services.tags.get(bench.store, await bench.status(target)))
    head = await bench.ask("HEAD", target)
    assert head.headers.get("x-amz-tagging-count", "0") == str(len(found))
    return found


@pytest_twisted.ensureDeferred
async def test_tags_come_and_go_with_their_object(bench):
    """A put brings its tags and none of its predecessor's."""
    await bench.ask("PUT", TARGET, {"x-amz-tagging": "a=1&b=2"}, b"x")
    assert await tags(bench) == {"a": "1", "b": "2"}
    await bench.ask("PUT", TARGET, {"x-amz-tagging": "c=3"}, b"y")
    assert await tags(bench) == {"c": "3"}
    await bench.ask("PUT", TARGET, {}, b"z")
    assert await tags(bench) == {}
    await bench.ask("PUT", TARGET, {"x-amz-tagging": "a=1"}, b"x")
    await bench.ask("DELETE", TARGET)
    await bench.ask("PUT", TARGET, {}, b"x")
    assert await tags(bench) == {}


@pytest_twisted.ensureDeferred
async def test_tags_are_copied(bench):
    """A copy has the tags of its source, or those it is given instead."""
    await bench.ask("PUT", TARGET, {"x-amz-tagging": "a=1"}, b"x")
    source = {"x-amz-copy-source": "bucket/k"}
    await bench.ask("PUT", "/bucket/copy", source)
    assert await tags(bench, "/bucket/copy") == {"a": "1"}
    await bench.ask("PUT", "/bucket/copy", source | {"x-amz-tagging-directive": "REPLACE", "x-amz-tagging": "b=2"})
    assert await tags(bench, "/bucket/copy") == {"b": "2"}
    await bench.ask("PUT", "/bucket/copy", source | {"x-amz-tagging-directive": "REPLACE"})
    assert await tags(bench, "/bucket/copy") == {}


@implementer_only(IUnderFileSystem)
class NamelessStore(MemoryUnderFileSystem):
    """A store that cannot be told from another, so nothing can be kept about its objects."""


@pytest.mark.parametrize("bench", ["embedded"], indirect=True)
@pytest_twisted.ensureDeferred
async def test_tags_that_cannot_be_kept(bench):
    """A put whose tags have no place is refused before it changes anything; one without tags is not."""
    mounts = {"nameless": Mounted("memory://nameless", NamelessStore(bench.clock, buckets=False))}
    bench.services = evolve(bench.services, namespace=Namespace(bench.store, "daemon", mounts=mounts))
    await bench.ask("PUT", "/nameless/k", {}, b"before")
    error = await bench.refusal("PUT", "/nameless/k", {"x-amz-tagging": "a=1"}, b"after")
    assert error.code == "NotImplemented"
    assert (await bench.ask("GET", "/nameless/k")).body == b"before"
    await bench.ask("PUT", "/nameless/copy", {"x-amz-copy-source": "nameless/k"})
    assert (await bench.ask("HEAD", "/nameless/copy")).status == 200
