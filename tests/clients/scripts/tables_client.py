"""What test_tables.py runs: `tables_client.py FUNCTION ENDPOINT BUCKET DIRECTORY`."""

from __future__ import annotations

import sys

import obstore
import polars as pl
from deltalake import DeltaTable, write_deltalake
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from tests.clients.samples import LARGE, PAGE, digest, random_bytes


def settings(endpoint: str) -> dict[str, str]:
    """What the libraries on Rust's object_store take, as `docs/clients.md` shows."""
    return {
        "aws_access_key_id": "alice",
        "aws_secret_access_key": "anything",
        "aws_region": "us-east-1",
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true",
    }


def delta(endpoint: str, bucket: str, _directory: str) -> None:
    """A Delta table is written, appended to by two writers of the same version, updated, vacuumed and read."""
    uri = f"s3://{bucket}/delta/table"
    options = settings(endpoint) | {"aws_conditional_put": "etag"}
    for start in (0, 10, 20):
        frame = pl.DataFrame({"number": range(start, start + 10)})
        write_deltalake(uri, frame, mode="append", storage_options=options)
    first, second = (DeltaTable(uri, storage_options=options) for _ in range(2))
    for table, start in ((first, 30), (second, 40)):
        write_deltalake(table, pl.DataFrame({"number": range(start, start + 10)}), mode="append")
    table = DeltaTable(uri, storage_options=options)
    assert table.version() == 4
    table.delete("number < 5")
    table.optimize.compact()
    table.create_checkpoint()
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    got = pl.read_delta(uri, storage_options=options)
    assert sorted(got["number"].to_list()) == list(range(5, 50))


def polars_frames(endpoint: str, bucket: str, _directory: str) -> None:
    """polars writes parquet, and scans it by pattern, with a filter and a part of the columns."""
    options = settings(endpoint)
    for number in range(3):
        frame = pl.DataFrame({"part": [number] * 1000, "row": range(1000)})
        frame.write_parquet(f"s3://{bucket}/frames/part={number}/é.parquet", storage_options=options)
    scan = pl.scan_parquet(f"s3://{bucket}/frames/**/*.parquet", storage_options=options)
    got = scan.filter(pl.col("row") < 2).select("part").collect()
    assert sorted(got["part"].to_list()) == [0, 0, 1, 1, 2, 2]
    pl.LazyFrame({"row": range(100_000)}).sink_parquet(f"s3://{bucket}/sunk.parquet", storage_options=options)
    assert pl.read_parquet(f"s3://{bucket}/sunk.parquet", storage_options=options).height == 100_000


def obstore_objects(endpoint: str, bucket: str, _directory: str) -> None:
    """obstore puts (in parts and on conditions), gets, reads ranges, lists, copies, renames and deletes."""
    store = S3Store(
        bucket,
        access_key_id="alice",
        secret_access_key="anything",
        region="us-east-1",
        endpoint=endpoint,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    body = random_bytes(LARGE)
    obstore.put(store, "dir/large é", body, use_multipart=True, attributes={"Content-Type": "text/csv", "owner": "alice"})
    got = obstore.get(store, "dir/large é")
    assert got.attributes["Content-Type"] == "text/csv"
    assert digest(bytes(got.bytes())) == digest(body)
    assert bytes(obstore.get_range(store, "dir/large é", start=100, length=50)) == body[100:150]
    pieces = obstore.get_ranges(store, "dir/large é", starts=[0, LARGE - 10], lengths=[10, 10])
    assert [bytes(piece) for piece in pieces] == [body[:10], body[-10:]]
    first = obstore.put(store, "cas", random_bytes(PAGE), mode="create")
    try:
        obstore.put(store, "cas", b"again", mode="create")
    except AlreadyExistsError:
        pass
    else:
        raise AssertionError("created twice")
    second = obstore.put(store, "cas", b"second", mode={"e_tag": first["e_tag"]})
    try:
        obstore.put(store, "cas", b"third", mode={"e_tag": first["e_tag"]})
    except PreconditionError:
        pass
    else:
        raise AssertionError("a stale ETag was taken")
    assert obstore.head(store, "cas")["e_tag"] == second["e_tag"]
    obstore.copy(store, "cas", "copy")
    obstore.rename(store, "copy", "renamed")
    listed = [entry["path"] for page in obstore.list(store) for entry in page]
    assert sorted(path for path in listed if path != "dir") == ["cas", "dir/large é", "renamed"]
    folded = obstore.list_with_delimiter(store)
    assert folded["common_prefixes"] == ["dir"]
    obstore.delete(store, ["cas", "renamed", "dir/large é"])
    assert [entry["path"] for page in obstore.list(store) for entry in page if entry["size"]] == []


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
