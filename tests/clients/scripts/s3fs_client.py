"""What test_s3fs.py runs: `s3fs_client.py FUNCTION ENDPOINT BUCKET DIRECTORY`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import s3fs

from tests.clients.samples import LARGE, MIB, PAGE, digest, random_bytes, random_tree, tree_digests


def connect(endpoint: str) -> s3fs.S3FileSystem:
    """As `docs/clients.md` shows, but without s3fs's own cache of listings."""
    return s3fs.S3FileSystem(
        key="alice",
        secret="anything",
        endpoint_url=endpoint,
        use_listings_cache=False,
        config_kwargs={"retries": {"total_max_attempts": 1}},
    )


def files(endpoint: str, bucket: str, _directory: str) -> None:
    """Files can be written in blocks and read with seeks, appended to, described, copied, moved and removed."""
    fs = connect(endpoint)
    body = random_bytes(LARGE)
    path = f"{bucket}/dir/large é.bin"
    with fs.open(path, "wb", block_size=5 * MIB) as file:
        for start in range(0, LARGE, 3 * MIB):
            file.write(body[start : start + 3 * MIB])
    assert fs.info(path)["size"] == LARGE
    assert fs.info(path)["type"] == "file"
    with fs.open(path, "rb") as file:
        file.seek(7 * MIB)
        assert file.read(PAGE) == body[7 * MIB : 7 * MIB + PAGE]
        file.seek(-10, 2)
        assert file.read() == body[-10:]
    assert digest(fs.cat_file(path)) == digest(body)
    assert fs.cat_file(path, start=5, end=15) == body[5:15]
    fs.pipe_file(f"{bucket}/small", b"abc")
    with fs.open(f"{bucket}/small", "ab") as file:
        file.write(b"def")
    assert fs.cat_file(f"{bucket}/small") == b"abcdef"
    fs.copy(path, f"{bucket}/copy")
    assert digest(fs.cat_file(f"{bucket}/copy")) == digest(body)
    fs.mv(f"{bucket}/copy", f"{bucket}/moved")
    assert not fs.exists(f"{bucket}/copy")
    fs.touch(f"{bucket}/empty")
    assert fs.size(f"{bucket}/empty") == 0
    fs.rm_file(f"{bucket}/moved")
    assert not fs.exists(f"{bucket}/moved")


def trees(endpoint: str, bucket: str, directory: str) -> None:
    """Trees can be put, listed, walked, found by pattern, got and removed."""
    fs = connect(endpoint)
    tree = random_tree(Path(directory) / "tree")
    fs.put(f"{directory}/tree", f"{bucket}/top", recursive=True)
    assert fs.isdir(f"{bucket}/top/deep")
    assert fs.isfile(f"{bucket}/top/one.bin")
    found = [name for name in fs.find(f"{bucket}/top") if not name.endswith("/")]
    assert sorted(found) == sorted(f"{bucket}/top/{name}" for name in tree)
    assert sorted(fs.glob(f"{bucket}/top/*.bin")) == sorted(f"{bucket}/top/{name}" for name in tree if "/" not in name)
    assert f"{bucket}/top/deep" in fs.ls(f"{bucket}/top", detail=False)
    assert fs.du(f"{bucket}/top") == sum(path.stat().st_size for path in (Path(directory) / "tree").rglob("*") if path.is_file())
    fs.get(f"{bucket}/top", f"{directory}/back", recursive=True)
    assert tree_digests(Path(directory) / "back") == tree
    fs.rm(f"{bucket}/top", recursive=True)
    assert not fs.exists(f"{bucket}/top/one.bin")
    assert fs.find(bucket) == []


def buckets(endpoint: str, bucket: str, _directory: str) -> None:
    """Buckets can be made, listed and removed; objects have metadata, tags and presigned URLs."""
    fs = connect(endpoint)
    fs.mkdir(f"{bucket}-two")
    assert f"{bucket}-two" in fs.ls("", detail=False)
    fs.rmdir(f"{bucket}-two")
    assert f"{bucket}-two" not in fs.ls("", detail=False)
    fs.pipe_file(f"{bucket}/k", b"x")
    fs.setxattr(f"{bucket}/k", copy_kwargs={"ContentType": "text/csv"}, owner="alice")
    assert fs.metadata(f"{bucket}/k") == {"owner": "alice"}
    fs.put_tags(f"{bucket}/k", {"a": "b"})
    assert fs.get_tags(f"{bucket}/k") == {"a": "b"}
    assert fs.exists(bucket)
    assert not fs.exists(f"{bucket}-absent")


def many_at_once(endpoint: str, bucket: str, _directory: str) -> None:
    """A hundred objects written and read at once from one event loop, as dask and zarr do, are all right."""

    async def both() -> None:
        fs = s3fs.S3FileSystem(key="alice", secret="anything", endpoint_url=endpoint, asynchronous=True)
        session = await fs.set_session()
        bodies = {f"{bucket}/many/{number}": random_bytes(PAGE) for number in range(100)}
        await asyncio.gather(*(fs._pipe_file(name, body) for name, body in bodies.items()))  # its documented names for callers with a loop
        got = await asyncio.gather(*(fs._cat_file(name) for name in bodies))
        assert [digest(body) for body in got] == [digest(body) for body in bodies.values()]
        await session.close()

    asyncio.run(both())


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
