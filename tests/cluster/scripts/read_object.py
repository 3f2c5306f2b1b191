"""What test_redirected_clients.py runs: `read_object.py LIBRARY ENDPOINT BUCKET KEY...` writes the SHA-256 of what the library reads.

The objects are lines of 64 letters, since some libraries read nothing but tables.
"""

from __future__ import annotations

# ruff: noqa: PLC0415  each library is in an environment of its own
import hashlib
import os
import sys
from urllib.parse import urlsplit

KEYS = {"access_key": "alice", "secret_key": "anything"}
OPTIONS = {"aws_access_key_id": "alice", "aws_secret_access_key": "anything", "aws_region": "us-east-1", "aws_allow_http": "true"}


def _lines(values: object) -> bytes:
    return "".join(f"{value}\n" for value in values).encode()  # type: ignore[attr-defined]


def minio(endpoint: str, bucket: str, key: str) -> bytes:
    from minio import Minio

    response = Minio(urlsplit(endpoint).netloc, secure=False, region="us-east-1", **KEYS).get_object(bucket, key)
    try:
        return response.read()
    finally:
        response.close()


def _arrow(endpoint: str) -> object:
    from pyarrow import fs

    return fs.S3FileSystem(endpoint_override=urlsplit(endpoint).netloc, scheme="http", region="us-east-1", **KEYS)


def pyarrow(endpoint: str, bucket: str, key: str) -> bytes:
    with _arrow(endpoint).open_input_file(f"{bucket}/{key}") as stream:
        return stream.read()


def s3fs(endpoint: str, bucket: str, key: str) -> bytes:
    from s3fs import S3FileSystem

    return S3FileSystem(key="alice", secret="anything", endpoint_url=endpoint).cat(f"{bucket}/{key}")


def obstore(endpoint: str, bucket: str, key: str) -> bytes:
    from obstore.store import S3Store

    where = {"endpoint": endpoint, "region": "us-east-1", "access_key_id": "alice", "secret_access_key": "anything"}
    store = S3Store(bucket, **where, client_options={"allow_http": True}, virtual_hosted_style_request=False)
    return bytes(store.get(key).bytes())


def polars(endpoint: str, bucket: str, key: str) -> bytes:
    import polars as pl

    options = OPTIONS | {"aws_endpoint_url": endpoint}
    frame = pl.scan_csv(f"s3://{bucket}/{key}", has_header=False, storage_options=options).collect()
    return _lines(frame.to_series())


def deltalake(endpoint: str, bucket: str, key: str) -> bytes:
    from deltalake.fs import DeltaStorageHandler

    handler = DeltaStorageHandler(f"s3://{bucket}", OPTIONS | {"aws_endpoint_url": endpoint})
    return bytes(handler.open_input_file(key).read())


def torch(endpoint: str, bucket: str, key: str) -> bytes:
    from s3torchconnector import S3ClientConfig, S3IterableDataset, S3MapDataset

    where = {"region": "us-east-1", "endpoint": endpoint, "s3client_config": S3ClientConfig(force_path_style=True, max_attempts=1)}
    (found,) = S3IterableDataset.from_objects([f"s3://{bucket}/{key}"], **where)
    body = found.read()
    assert S3MapDataset.from_objects([f"s3://{bucket}/{key}"], **where)[0].read() == body
    return body


def runai(endpoint: str, bucket: str, key: str) -> bytes:
    # As it reads the weights of a model: a range of a file that it knows the length of.
    import boto3
    from runai_model_streamer.file_streamer import FileStreamer
    from runai_model_streamer.file_streamer.requests_iterator import FileChunks

    size = boto3.client("s3", endpoint_url=endpoint).head_object(Bucket=bucket, Key=key)["ContentLength"]
    with FileStreamer() as streamer:
        streamer.stream_files([FileChunks(0, f"s3://{bucket}/{key}", [0], [size])])
        ((_, _, tensor),) = streamer.get_chunks()
        return tensor.tobytes() if hasattr(tensor, "tobytes") else bytes(tensor.numpy())


def opendal(endpoint: str, bucket: str, key: str) -> bytes:
    from opendal import Operator

    where = {"bucket": bucket, "endpoint": endpoint, "region": "us-east-1"}
    return bytes(Operator("s3", **where, access_key_id="alice", secret_access_key="anything").read(key))


def lance(endpoint: str, bucket: str, key: str) -> bytes:
    import tempfile
    from pathlib import Path

    import lance
    from lance.file import LanceFileSession

    # Datasets give this name; the session, which alone reads any file, gives that of the library beneath.
    options = OPTIONS | {"aws_endpoint": endpoint, "user_agent": f"pylance/{lance.__version__}"}
    with tempfile.TemporaryDirectory() as directory:
        LanceFileSession(f"s3://{bucket}", options).download_file(key, f"{directory}/read")
        return Path(directory, "read").read_bytes()


def pyiceberg(endpoint: str, bucket: str, key: str) -> bytes:
    from pyiceberg.io.pyarrow import PyArrowFileIO

    names = {"s3.endpoint": endpoint, "s3.access-key-id": "alice", "s3.secret-access-key": "anything", "s3.region": "us-east-1"}
    with PyArrowFileIO(names).new_input(f"s3://{bucket}/{key}").open() as stream:
        return stream.read()


def daft(endpoint: str, bucket: str, key: str) -> bytes:
    import daft
    from daft.io import IOConfig, S3Config

    where = S3Config(endpoint_url=endpoint, region_name="us-east-1", key_id="alice", access_key="anything", use_ssl=False)
    frame = daft.from_pydict({"urls": [f"s3://{bucket}/{key}"]})
    config = IOConfig(s3=where)
    return frame.select(daft.col("urls").download(io_config=config)).to_pydict()["urls"][0]


def tensorstore(endpoint: str, bucket: str, key: str) -> bytes:
    import tensorstore as ts

    spec = {"driver": "s3", "bucket": bucket, "endpoint": endpoint, "aws_region": "us-east-1", "path": ""}
    spec["aws_credentials"] = {"type": "environment"}
    return ts.KvStore.open(spec).result().read(key).result().value


def tiledb(endpoint: str, bucket: str, key: str) -> bytes:
    import tiledb

    settings = {
        "vfs.s3.endpoint_override": urlsplit(endpoint).netloc,
        "vfs.s3.scheme": "http",
        "vfs.s3.region": "us-east-1",
        "vfs.s3.use_virtual_addressing": "false",
        "vfs.s3.aws_access_key_id": "alice",
        "vfs.s3.aws_secret_access_key": "anything",
    }
    vfs = tiledb.VFS(ctx=tiledb.Ctx(settings))
    with vfs.open(f"s3://{bucket}/{key}", "rb") as stream:
        return stream.read()


def duckdb(endpoint: str, bucket: str, key: str) -> bytes:
    from pathlib import Path

    import duckdb
    import duckdb_extension_httpfs

    (extension,) = Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension")
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{extension}'")
    where = f"ENDPOINT '{urlsplit(endpoint).netloc}', URL_STYLE 'path', USE_SSL false, REGION 'us-east-1'"
    connection.execute(f"CREATE SECRET (TYPE s3, KEY_ID 'alice', SECRET 'anything', {where})")
    return connection.execute(f"SELECT content FROM read_text('s3://{bucket}/{key}')").fetchone()[0].encode()


def gdal(endpoint: str, bucket: str, key: str) -> bytes:
    import pyogrio

    settings = {"AWS_S3_ENDPOINT": urlsplit(endpoint).netloc, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    pyogrio.set_gdal_config_options({**settings, "GDAL_DISABLE_READDIR_ON_OPEN": "YES"})
    _, _, _, (values,) = pyogrio.raw.read(f"CSV:/vsis3/{bucket}/{key}", HEADERS="NO")
    return _lines(values)


def boto3(endpoint: str, bucket: str, key: str) -> bytes:
    import boto3

    return boto3.client("s3", endpoint_url=endpoint).get_object(Bucket=bucket, Key=key)["Body"].read()


def s3transfer(endpoint: str, bucket: str, key: str) -> bytes:
    import io

    import boto3

    body = io.BytesIO()
    boto3.client("s3", endpoint_url=endpoint).download_fileobj(bucket, key, body)
    return body.getvalue()


def webdataset(endpoint: str, bucket: str, key: str) -> bytes:
    # For http:// it runs curl.
    from webdataset.gopen import gopen

    with gopen(f"{endpoint}/{bucket}/{key}") as stream:
        return stream.read()


def main(library: str, endpoint: str, bucket: str, *keys: str) -> None:
    for key in keys:
        sys.stdout.write(hashlib.sha256(globals()[library](endpoint, bucket, key)).hexdigest() + "\n")
    sys.stdout.flush()
    os._exit(0)  # some have threads that don't end


if __name__ == "__main__":
    main(*sys.argv[1:])
