"""Listings: complete, in order, in pages."""

from __future__ import annotations

from random import Random

import pytest

from alluxio_s3.storage import Status
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.store_fixture import StoreFixture
from alluxio_s3.testing.workbench import ODD_NAMES, Workbench, expected_entries, together

# "/" is an ordinary byte of the order: "!" to "." come before it, "0" and on after it.
AROUND_SLASH = ("a!", "a-b", "a-c/d", "a.b", "a/b", "a/b!", "a/b-c/d", "a/b0", "a/c/d", "a0", "a1/b", "b")


def grow(random: Random, count: int) -> list[str]:
    """``count`` keys or fewer in a random tree, none of which is a folder above another."""
    names = random.sample(ODD_NAMES, 5)
    keys: set[str] = set()
    for _ in range(count):
        key = "/".join(random.choice(names) for _ in range(random.choice((1, 1, 2, 3, 4))))
        above = {key[:place] for place in range(len(key)) if key[place] == "/"}
        if not above & keys and not any(other.startswith(f"{key}/") for other in keys):
            keys.add(key)
    return sorted(keys)


class ListingContract(StoreFixture):
    """What must hold of ``list``."""

    @in_reactor
    async def test_nothing(self, store: Workbench) -> None:
        """Where nothing is, the listing is empty and complete: in an empty store, or under a prefix that is not there."""
        for prefix in ("", "a", "a/", "a/b/c/"):
            for delimiter in ("", "/"):
                page = await store.page(prefix, delimiter=delimiter)
                assert page.complete
                assert [entry for entry in page.entries if not isinstance(entry, Status) or entry.path != store.prefix] == []
        await store.put("object", b"1")
        for prefix in ("object/", "object/a", "objects", "p", "obj/"):
            assert await store.keys({"object"}, prefix) == []

    @in_reactor
    async def test_order(self, store: Workbench) -> None:
        """Keys come in the order of their bytes, in which ``/`` is a byte like any other."""
        await together(*(store.put(key) for key in AROUND_SLASH))
        assert await store.keys(AROUND_SLASH) == [(key, False) for key in sorted(AROUND_SLASH)]

    @in_reactor
    async def test_delimiter(self, store: Workbench) -> None:
        """With the delimiter what follows the first slash after the prefix is folded into one entry, in its own place."""
        await together(*(store.put(key) for key in AROUND_SLASH))
        assert await store.keys(AROUND_SLASH, delimiter="/") == [
            ("a!", False), ("a-b", False), ("a-c/", True), ("a.b", False), ("a/", True), ("a0", False), ("a1/", True), ("b", False)
        ]  # fmt: skip
        assert await store.keys(AROUND_SLASH, "a/", delimiter="/") == [
            ("a/b", False), ("a/b!", False), ("a/b-c/", True), ("a/b0", False), ("a/c/", True)
        ]  # fmt: skip
        assert await store.keys(AROUND_SLASH, "a-", delimiter="/") == [("a-b", False), ("a-c/", True)]
        assert await store.keys(AROUND_SLASH, "a", "a/c", delimiter="/") == [("a/", True), ("a0", False), ("a1/", True)]

    @in_reactor
    async def test_start(self, store: Workbench) -> None:
        """A listing begins with the first key that is >= ``start``, be it there or not, before the prefix or after it."""
        await together(*(store.put(key) for key in AROUND_SLASH))
        for start in (*AROUND_SLASH, "", "a", "a/", "a/b-c/", "a/b-c/e", "a/z", "c", "a1/b\0"):
            for prefix in ("", "a/", "b"):
                found = await store.keys(AROUND_SLASH, prefix, start)
                assert found == expected_entries(AROUND_SLASH, prefix, start, ""), (prefix, start)

    @in_reactor
    async def test_limit(self, store: Workbench) -> None:
        """A page holds at most ``limit`` entries, says whether more follow, and the pages together are everything."""
        await together(*(store.put(f"{number // 10}/{number:04}") for number in range(95)))
        made = [f"{number // 10}/{number:04}" for number in range(95)]
        for limit in (1, 7, 95, 1000):
            assert await store.keys(made, limit=limit) == expected_entries(made, "", "", "")
            assert await store.keys(made, limit=limit, delimiter="/") == expected_entries(made, "", "", "/")
        assert (await store.page(limit=1000)).complete
        assert not (await store.page(limit=94)).complete
        assert not (await store.page(limit=9, delimiter="/")).complete

    @pytest.mark.parametrize("seed", range(6))
    @in_reactor
    async def test_any_tree(self, store: Workbench, seed: int) -> None:
        """Whatever the tree, prefix, start, limit and delimiter, the listing is exactly what the keys say."""
        random = Random(seed)  # noqa: S311 # the same tree in every run
        made = grow(random, 40)
        await together(*(store.put(key, b"x" * len(key)) for key in made))
        for key in random.sample(made, len(made) // 4):
            await store.delete(key)
            made.remove(key)
        for _ in range(60):
            key = random.choice(made)
            prefix = random.choice(("", key[: random.randrange(len(key) + 1)], key[: key.rfind("/") + 1]))
            other = random.choice(made)
            start = random.choice(("", other, f"{other}\0", other[: random.randrange(len(other) + 1)], f"{prefix}~"))
            delimiter, limit = random.choice(("", "/")), random.choice((1, 2, 5, 1000))
            found = await store.keys(made, prefix, start, limit, delimiter)
            assert found == expected_entries(made, prefix, start, delimiter), (prefix, start, limit, delimiter)

    @in_reactor
    async def test_entries_are_whole(self, store: Workbench) -> None:
        """An entry says of its object what ``status`` says: size, time, ETag, validator."""
        await together(*(store.put(key, b"x" * len(key)) for key in AROUND_SLASH))
        for entry in (await store.page()).entries:
            assert isinstance(entry, Status)
            if not entry.is_folder:
                status = await store.ufs.status(entry.path)
                facts = (status.size, status.modified_ns, status.etag, status.validator)
                assert (entry.size, entry.modified_ns, entry.etag, entry.validator) == facts

    @in_reactor
    async def test_nothing_is_left_out(self, store: Workbench) -> None:
        """A key that is there all the time is in every listing, whatever comes and goes around it."""
        lasting = [f"d{number % 5}/{number:03}" for number in range(60)]
        await together(*(store.put(key) for key in lasting))

        async def churn(number: int) -> None:
            for round_ in range(10):
                for key in (f"d{round_ % 5}/{number}-{round_}", f"d{number}-{round_}/x"):
                    await store.put(key, b"1")
                    await store.delete(key)

        async def watch() -> None:
            for limit in (1000, 7, 1):
                found = {entry.path for entry in await store.walk(limit=limit) if isinstance(entry, Status)}
                assert {store.path(key) for key in lasting} <= found

        await together(churn(1), churn(2), watch(), watch())
