"""What test_pyarrow.py runs: `pyarrow_client.py FUNCTION ENDPOINT BUCKET DIRECTORY`."""

from __future__ import annotations

import os
import sys

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from tests.clients.samples import LARGE, MIB, PAGE, digest, random_bytes


def connect(endpoint: str) -> fs.S3FileSystem:
    """As `docs/clients.md` shows."""
    scheme, host = endpoint.split("://")
    return fs.S3FileSystem(
        access_key="alice",
        secret_key="anything",
        endpoint_override=host,
        scheme=scheme,
        region="us-east-1",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
        tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE"),
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
    )


def dataset(endpoint: str, bucket: str, _directory: str) -> None:
    """A partitioned dataset can be written, discovered, filtered and overwritten."""
    s3 = connect(endpoint)
    rows = 100_000
    table = pa.table(
        {"number": pa.array(range(rows)), "day": pa.array([f"2026-01-0{1 + row % 3}" for row in range(rows)]), "word": ["wörd"] * rows}
    )
    ds.write_dataset(table, f"{bucket}/warehouse/table", filesystem=s3, format="parquet", partitioning=["day"], partitioning_flavor="hive")
    found = ds.dataset(f"{bucket}/warehouse/table", filesystem=s3, format="parquet", partitioning="hive")
    assert found.count_rows() == rows
    assert len(found.files) == 3
    got = found.to_table(columns=["number"], filter=(ds.field("day") == "2026-01-02") & (ds.field("number") < 100))
    assert sorted(got["number"].to_pylist()) == [row for row in range(100) if row % 3 == 1]
    small = table.slice(0, 9)
    ds.write_dataset(
        small,
        f"{bucket}/warehouse/table",
        filesystem=s3,
        format="parquet",
        partitioning=["day"],
        partitioning_flavor="hive",
        existing_data_behavior="delete_matching",
    )
    again = ds.dataset(f"{bucket}/warehouse/table", filesystem=s3, format="parquet", partitioning="hive")
    assert sorted(again.to_table()["number"].to_pylist()) == list(range(9))


def parquet(endpoint: str, bucket: str, _directory: str) -> None:
    """One parquet file larger than a part can be written, its footer read alone, and single columns read."""
    s3 = connect(endpoint)
    table = pa.table({"noise": [random_bytes(MIB) for _ in range(12)], "number": list(range(12))})
    pq.write_table(table, f"{bucket}/file é.parquet", filesystem=s3, row_group_size=4)
    assert pq.read_metadata(f"{bucket}/file é.parquet", filesystem=s3).num_row_groups == 3
    assert pq.read_table(f"{bucket}/file é.parquet", filesystem=s3, columns=["number"])["number"].to_pylist() == list(range(12))
    assert pq.read_table(f"{bucket}/file é.parquet", filesystem=s3).equals(table)


def files(endpoint: str, bucket: str, _directory: str) -> None:
    """Streams, random reads, metadata, copies, moves and removals work."""
    s3 = connect(endpoint)
    for size in (0, 1, PAGE, LARGE):
        body = random_bytes(size)
        with s3.open_output_stream(f"{bucket}/dir/{size}", metadata={"Content-Type": "text/csv", "owner": "alice"}) as stream:
            stream.write(body)
        with s3.open_input_stream(f"{bucket}/dir/{size}") as stream:
            assert stream.metadata()["Content-Type"] == b"text/csv"
            assert digest(stream.read()) == digest(body)
        with s3.open_input_file(f"{bucket}/dir/{size}") as file:
            assert file.size() == size
            assert file.read_at(100, size // 2) == body[size // 2 : size // 2 + 100]
        info = s3.get_file_info(f"{bucket}/dir/{size}")
        assert (info.type, info.size) == (fs.FileType.File, size)
    s3.copy_file(f"{bucket}/dir/{PAGE}", f"{bucket}/copy")
    s3.move(f"{bucket}/copy", f"{bucket}/moved")
    assert s3.get_file_info(f"{bucket}/copy").type == fs.FileType.NotFound
    s3.delete_file(f"{bucket}/moved")
    assert s3.get_file_info(f"{bucket}/moved").type == fs.FileType.NotFound


def directories(endpoint: str, bucket: str, _directory: str) -> None:
    """Directories can be made, seen, listed and removed with what is in them; so can buckets."""
    s3 = connect(endpoint)
    s3.create_dir(f"{bucket}/a/b/c", recursive=True)
    with s3.open_output_stream(f"{bucket}/a/b/file") as stream:
        stream.write(b"x")
    assert s3.get_file_info(f"{bucket}/a/b").type == fs.FileType.Directory
    assert s3.get_file_info(f"{bucket}/a/b/file/").type != fs.FileType.Directory
    listed = {info.path: info.type for info in s3.get_file_info(fs.FileSelector(bucket, recursive=True))}
    assert listed == {
        f"{bucket}/a": fs.FileType.Directory,
        f"{bucket}/a/b": fs.FileType.Directory,
        f"{bucket}/a/b/c": fs.FileType.Directory,
        f"{bucket}/a/b/file": fs.FileType.File,
    }
    s3.delete_dir_contents(f"{bucket}/a/b")
    assert s3.get_file_info(f"{bucket}/a/b/file").type == fs.FileType.NotFound
    s3.delete_dir(f"{bucket}/a")
    assert s3.get_file_info(f"{bucket}/a").type == fs.FileType.NotFound
    s3.create_dir(f"{bucket}-two")
    assert f"{bucket}-two" in [info.path for info in s3.get_file_info(fs.FileSelector(""))]
    s3.delete_dir(f"{bucket}-two")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
