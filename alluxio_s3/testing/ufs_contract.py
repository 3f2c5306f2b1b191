"""What the daemon relies on in an under-store, as tests.

A plugin's author writes::

    class TestMyStore(UfsContract):
        async def make_ufs(self):
            return MyUnderFileSystem(...)   # fresh and empty

and pytest runs the suite: everything that ``alluxio_s3.interfaces`` promises of IUnderFileSystem, and of those
optional interfaces that the store provides (the tests of the others are skipped).
"""

from __future__ import annotations

from alluxio_s3.testing.commit_contract import CommitContract
from alluxio_s3.testing.folder_contract import FolderContract
from alluxio_s3.testing.listing_contract import ListingContract
from alluxio_s3.testing.object_contract import ObjectContract
from alluxio_s3.testing.tag_contract import TagStoreContract
from alluxio_s3.testing.upload_contract import UploadContract

__all__ = ["TagStoreContract", "UfsContract"]


class UfsContract(ObjectContract, CommitContract, ListingContract, FolderContract, UploadContract):
    """All suites for one store. Subclass it and give ``make_ufs``."""
