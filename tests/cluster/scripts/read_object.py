"""What test_redirected_clients.py runs: `read_object.py LIBRARY ENDPOINT BUCKET KEY` writes the SHA-256 of what the library reads."""

from __future__ import annotations

# ruff: noqa: PLC0415  each library is in an environment of its own
import hashlib
import sys
from urllib.parse import urlsplit

KEYS = {"access_key": "alice", "secret_key": "anything"}


def minio(endpoint: str, bucket: str, key: str) -> bytes:
    from minio import Minio

    response = Minio(urlsplit(endpoint).netloc, secure=False, region="us-east-1", **KEYS).get_object(bucket, key)
    try:
        return response.read()
    finally:
        response.close()


def pyarrow(endpoint: str, bucket: str, key: str) -> bytes:
    from pyarrow import fs

    files = fs.S3FileSystem(endpoint_override=urlsplit(endpoint).netloc, scheme="http", region="us-east-1", **KEYS)
    with files.open_input_file(f"{bucket}/{key}") as stream:
        return stream.read()


def s3fs(endpoint: str, bucket: str, key: str) -> bytes:
    from s3fs import S3FileSystem

    files = S3FileSystem(key="alice", secret="anything", endpoint_url=endpoint)
    return files.cat(f"{bucket}/{key}")


def obstore(endpoint: str, bucket: str, key: str) -> bytes:
    from obstore.store import S3Store

    store = S3Store(
        bucket,
        endpoint=endpoint,
        region="us-east-1",
        access_key_id="alice",
        secret_access_key="anything",
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
    )
    return bytes(store.get(key).bytes())


def torch(endpoint: str, bucket: str, key: str) -> bytes:
    from s3torchconnector import S3ClientConfig, S3MapDataset

    settings = S3ClientConfig(force_path_style=True, max_attempts=1)
    uri = f"s3://{bucket}/{key}"
    return S3MapDataset.from_objects([uri], region="us-east-1", endpoint=endpoint, s3client_config=settings)[0].read()


def main(library: str, endpoint: str, bucket: str, key: str) -> None:
    body = globals()[library](endpoint, bucket, key)
    sys.stdout.write(hashlib.sha256(body).hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
