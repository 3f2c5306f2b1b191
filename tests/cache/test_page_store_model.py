"""The page store against a plain model, under whatever may be done to it and to its files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from alluxio_s3.storage import Status
from tests.cache.page_files import PAGE_BYTES, body, files, made_store, on_disk, put, read, thing

ROOM = 8 * (PAGE_BYTES + 4096)
paths = st.sampled_from(["a", "a/b", "c"])
numbers = st.integers(0, 3)
which = st.integers(0, 1000)


class PageStoreModel(RuleBasedStateMachine):
    """What was put comes out right or not at all; damage and old versions never do; the files never take more than their room."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.store = made_store(self.directory, ROOM)
        self.versions = dict.fromkeys(["a", "a/b", "c"], 0)
        self.known: dict[str, Status | None] = dict.fromkeys(self.versions)
        self.asked: list[tuple[str, int, int]] = []
        self.readers: list = []

    def teardown(self) -> None:
        for page, _ in self.readers:
            page.release()
        self.store.close()
        shutil.rmtree(self.directory)

    def version(self, path: str, back: int = 0):
        return thing(path, f"v{self.versions[path] - back}")

    @rule(path=paths, number=numbers, size=st.sampled_from([1, 4095, 4096, PAGE_BYTES]))
    def put_a_page(self, path: str, number: int, size: int) -> None:
        one = self.version(path)
        assert put(self.store, one, number, size)
        self.read_a_page(path, number, 0)

    @rule(path=paths, number=numbers, back=st.integers(0, 2))
    def read_a_page(self, path: str, number: int, back: int) -> None:
        one = self.version(path, back)
        found = read(self.store, one, number)
        assert found is None or body(one, number)[: len(found)] == found

    @rule(path=paths, number=numbers)
    def begin_to_read(self, path: str, number: int) -> None:
        one = self.version(path)
        page = self.store.open(one.version, number)
        if page is not None:
            self.readers.append((page, body(one, number, page.size)))

    @rule()
    def end_to_read(self) -> None:
        for page, expected in self.readers:
            assert os.pread(page.fileno(), page.size, 0) == expected
            page.check_unchanged()
            page.release()
        self.readers.clear()

    @rule(path=paths)
    def write_the_object(self, path: str) -> None:
        self.versions[path] += 1
        self.store.forget("mem://a", path)
        self.known[path] = None

    @rule(path=paths)
    def ask(self, path: str) -> None:
        known = self.store.recall("mem://a", path)
        assert known is not None
        assert known.status == self.known[path]
        self.asked.append((path, self.versions[path], known.generation))

    @rule()
    def answer(self) -> None:
        for path, version, generation in self.asked:
            status = Status(path, 1, version, "etag", f"v{version}")
            kept = self.store.learn("mem://a", path, generation, status, 1)
            assert not kept or version == self.versions[path], "an old answer followed a write"
            if kept:
                self.known[path] = status
        self.asked.clear()

    @rule(prefix=st.sampled_from(["", "a", "a/", "c"]))
    def free(self, prefix: str) -> None:
        self.store.free("mem://a", prefix)
        assert not self.store.objects("mem://a", prefix, "", 10)
        for path in self.versions:
            if path.startswith(prefix):
                self.known[path] = None

    @rule(at=which, offset=which, bit=st.integers(0, 7))
    def flip(self, at: int, offset: int, bit: int) -> None:
        found = files(self.directory)
        if found and not self.readers:
            path = found[at % len(found)]
            content = bytearray(path.read_bytes() or b"x")
            content[offset * 61 % len(content)] ^= 1 << bit
            path.write_bytes(content)

    @rule(at=which, length=which)
    def cut(self, at: int, length: int) -> None:
        found = files(self.directory)
        if found and not self.readers:
            path = found[at % len(found)]
            os.truncate(path, length * 61 % (path.stat().st_size + 1))

    @rule(one=which, other=which)
    def swap(self, one: int, other: int) -> None:
        found = files(self.directory)
        if found and not self.readers:
            first, second, between = found[one % len(found)], found[other % len(found)], self.directory / "between"
            first.rename(between)
            if second.exists():
                second.rename(first)
            between.rename(second)

    @rule(at=which)
    def lose(self, at: int) -> None:
        found = files(self.directory)
        if found:
            found[at % len(found)].unlink()

    @rule()
    def restart(self) -> None:
        self.end_to_read()
        held = {path.name for path in files(self.directory)}
        self.store.close()
        self.store = made_store(self.directory, ROOM)
        assert {path.name for path in files(self.directory)} == held

    @rule()
    def tend(self) -> None:
        self.store.tend()

    @invariant()
    def takes_no_more_than_its_room(self) -> None:
        assert on_disk(self.directory) <= ROOM
        assert self.store.stats().places[0].stored <= ROOM


@pytest.mark.slow
class TestPageStore(PageStoreModel.TestCase):
    """Every step checks the promise of the model."""

    settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
