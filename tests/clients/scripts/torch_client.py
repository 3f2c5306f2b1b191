"""What test_torch.py runs: `torch_client.py FUNCTION ENDPOINT BUCKET DIRECTORY`."""

from __future__ import annotations

import sys

import torch
from s3torchconnector import S3Checkpoint, S3ClientConfig, S3IterableDataset, S3MapDataset, S3ReaderConstructor
from torch.utils.data import DataLoader

from tests.clients.samples import LARGE, PAGE, digest, random_bytes

REGION = "us-east-1"


def settings() -> S3ClientConfig:
    """As `docs/clients.md` shows."""
    return S3ClientConfig(force_path_style=True, max_attempts=1)


def checkpoints(endpoint: str, bucket: str) -> S3Checkpoint:
    return S3Checkpoint(region=REGION, endpoint=endpoint, s3client_config=settings())


def fill(endpoint: str, bucket: str) -> dict[str, bytes]:
    """Write some objects with the connector's own writer."""
    bodies = {f"train/{number:02}/é {number}.bin": random_bytes(size) for number, size in enumerate((0, 1, PAGE, PAGE, LARGE))}
    for key, body in bodies.items():
        with checkpoints(endpoint, bucket).writer(f"s3://{bucket}/{key}") as writer:
            writer.write(body)
    return bodies


def datasets(endpoint: str, bucket: str, _directory: str) -> None:
    """The documentation's example: a map-style and an iterable dataset from a prefix, item by item and through a loader."""
    bodies = fill(endpoint, bucket)
    expected = {key: digest(body) for key, body in bodies.items()}
    uri = f"s3://{bucket}/train/"

    mapped = S3MapDataset.from_prefix(uri, region=REGION, endpoint=endpoint, s3client_config=settings())
    items = [mapped[index] for index in range(len(mapped))]
    assert {item.bucket for item in items} == {bucket}
    assert {item.key: digest(item.read()) for item in items if not item.key.endswith("/")} == expected

    iterable = S3IterableDataset.from_prefix(uri, region=REGION, endpoint=endpoint, s3client_config=settings())
    assert {item.key: digest(item.read()) for item in iterable if not item.key.endswith("/")} == expected

    def load(item: object) -> tuple[str, str]:
        return item.key, digest(item.read())

    for reader in (S3ReaderConstructor.sequential(), S3ReaderConstructor.range_based()):
        dataset = S3IterableDataset.from_prefix(
            uri, region=REGION, endpoint=endpoint, transform=load, s3client_config=settings(), reader_constructor=reader
        )
        pairs = [pair for keys, digests in DataLoader(dataset, batch_size=2) for pair in zip(keys, digests, strict=True)]
        assert {key: value for key, value in pairs if not key.endswith("/")} == expected


def checkpoint(endpoint: str, bucket: str, _directory: str) -> None:
    """A model's state, several parts large, goes through a checkpoint writer and comes back equal."""
    store = checkpoints(endpoint, bucket)
    model = torch.nn.Sequential(torch.nn.Linear(1024, 2048), torch.nn.ReLU(), torch.nn.Linear(2048, 1024))
    uri = f"s3://{bucket}/checkpoints/epoch0.ckpt"
    with store.writer(uri) as writer:
        torch.save(model.state_dict(), writer)
    with store.reader(uri) as reader:
        state = torch.load(reader)
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    # An epoch later: the same name again.
    with torch.no_grad():
        model[0].bias.add_(1)
    with store.writer(uri) as writer:
        torch.save(model.state_dict(), writer)
    with store.reader(uri) as reader:
        assert torch.equal(torch.load(reader)["0.bias"], model[0].bias)


def random_access(endpoint: str, bucket: str, _directory: str) -> None:
    """A reader can seek: pieces of an object read in any order are right."""
    body = random_bytes(LARGE)
    store = checkpoints(endpoint, bucket)
    with store.writer(f"s3://{bucket}/large") as writer:
        writer.write(body)
    for constructor in (S3ReaderConstructor.sequential(), S3ReaderConstructor.range_based(buffer_size=PAGE)):
        dataset = S3MapDataset.from_objects(
            f"s3://{bucket}/large", region=REGION, endpoint=endpoint, s3client_config=settings(), reader_constructor=constructor
        )
        reader = dataset[0]
        for start in (LARGE - 100, 0, 12_345_678, 7):
            reader.seek(start)
            assert reader.read(50) == body[start : start + 50]


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
