"""The under-store on fsspec keeps the contract on servers of the APIs of Google's and Azure's stores, and on OpenSSH's SFTP."""

from __future__ import annotations

import getpass
import uuid

import fsspec
import pytest

from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.workbench import ODD_NAMES, Workbench, together
from tests.ufs.fsspec_contract import FsspecContract
from tests.ufs.servers.started import Started, is_installed

# The key that every Azurite has for this account; it is in its documentation.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PRINTABLE = tuple(name for name in ODD_NAMES if name.isprintable())


def started(name, tmp_path_factory):
    if not is_installed(name):
        pytest.skip(f"the server of tests/ufs/servers/{name}.sh is not installed: make test-ufs")
    with Started(name, tmp_path_factory.mktemp(name) / "data") as server:
        yield server


@pytest.fixture(scope="module")
def gcs(tmp_path_factory):
    yield from started("gcs", tmp_path_factory)


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    yield from started("azure", tmp_path_factory)


@pytest.fixture(scope="module")
def sftp(tmp_path_factory):
    yield from started("sftp", tmp_path_factory)


class GcsContract(FsspecContract):
    """On gcp-storage-emulator."""

    odd_names = PRINTABLE

    @pytest.fixture(autouse=True)
    def server(self, gcs, monkeypatch):
        self.endpoint = f"http://127.0.0.1:{gcs.port}"
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", self.endpoint)
        # Else gcsfs asks by gRPC what kind of bucket it is, which the emulator has not.
        monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        self.bucket = f"bucket-{uuid.uuid4()}"
        filesystem = fsspec.filesystem("gs", token="anon", endpoint_url=self.endpoint, project="test", skip_instance_cache=True)
        filesystem.mkdir(self.bucket)

    def place(self):
        return {"uri": f"fsspec+gs://{self.bucket}/some/where", "token": "anon", "endpoint_url": self.endpoint, "project": "test"}


@pytest.mark.servers
class TestGcsRoot(GcsContract):
    """Mounted at ``/``."""


@pytest.mark.servers
class TestGcsMount(GcsContract):
    """As one bucket."""

    buckets = False


class AzureContract(FsspecContract):
    """On Azurite."""

    odd_names = PRINTABLE

    @pytest.fixture(autouse=True)
    def server(self, azure):
        self.connection = (
            f"DefaultEndpointsProtocol=http;AccountName={AZURITE_ACCOUNT};AccountKey={AZURITE_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{azure.port}/{AZURITE_ACCOUNT};"
        )
        self.container = f"container-{uuid.uuid4()}"
        filesystem = fsspec.filesystem("abfs", connection_string=self.connection, skip_instance_cache=True)
        filesystem.mkdir(self.container)

    def place(self):
        return {"uri": f"fsspec+abfs://{self.container}/some/where", "connection_string": self.connection}


@pytest.mark.servers
class TestAzureRoot(AzureContract):
    """Mounted at ``/``."""


@pytest.mark.servers
class TestAzureMount(AzureContract):
    """As one bucket."""

    buckets = False


class SftpContract(FsspecContract):
    """On sshd, as whoever runs the tests."""

    odd_names = PRINTABLE

    @pytest.fixture(autouse=True)
    def server(self, sftp, tmp_path):
        self.sftp, self.root = sftp, tmp_path / "root"
        self.root.mkdir()

    def place(self):
        who = {"host": "127.0.0.1", "port": str(self.sftp.port), "username": getpass.getuser()}
        return {"uri": f"fsspec+sftp://127.0.0.1{self.root}", "key_filename": str(self.sftp.directory / "key"), **who}


@pytest.mark.servers
class TestSftpRoot(SftpContract):
    """Mounted at ``/``."""


@pytest.mark.servers
class TestSftpMount(SftpContract):
    """As one bucket."""

    buckets = False

    @in_reactor
    async def test_many_calls_at_once(self, store: Workbench) -> None:
        """Sixty reads at once over a few connections all end, each with its own bytes: answers are never mixed up."""
        bodies = {f"k{number}": bytes([number]) * (100_000 + number) for number in range(12)}
        for key, body in bodies.items():
            await store.put(key, body)
        names = list(bodies) * 5
        got = await together(*(store.get(name) for name in names))
        assert got == [bodies[name] for name in names]
