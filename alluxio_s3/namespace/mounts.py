"""Where buckets are: the root under-store's top-level directories, and mounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from attrs import define, field, frozen

from alluxio_s3.interfaces import IBucketContainer, IMetrics, IMultipartUploads, IUnderFileSystem
from alluxio_s3.namespace.staged_uploads import StagedUploads
from alluxio_s3.namespace.visits import Visits
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import AlreadyExists, Attributes, NoSuchPath, NoSuchUpload, NotEmpty, Status, StorageError

_BROKEN = (
    "The under-store that is mounted as this bucket could not be set up. The daemon goes on trying; its log and"
    " `alluxio-s3 mount list --check` say what is wrong."
)


@frozen
class Place:
    """The under-store that holds a bucket's keys, and what stands before them there (``""`` or ``"b/"``).

    ``mount`` is the URI of what is mounted; empty for the root.
    """

    ufs: IUnderFileSystem
    prefix: str
    mount: str = field(default="", eq=False)

    def path(self, key: str) -> str:
        """The path of ``key`` in the under-store."""
        return self.prefix + key

    def key(self, path: str) -> str:
        """The key of ``path``, which must be below this place."""
        return path[len(self.prefix) :]


@frozen
class Bucket:
    """A bucket that is there."""

    name: str
    place: Place
    owner: str
    created_ns: int
    status: Status


@frozen
class Entry:
    """A bucket as it is listed."""

    name: str
    created_ns: int


@frozen(eq=False)
class Mounted:
    """A mount as it stands: ``ufs`` is its under-store, or None while it has none, and then ``trouble`` says to the operator why.

    ``uri`` is where the store is, ``since_ns`` when it was mounted.
    """

    uri: str
    ufs: IUnderFileSystem | None
    since_ns: int = 0
    trouble: str = ""


class MountSource(Protocol):
    """What puts mounts into a namespace while it is in use."""

    def start(self) -> None:
        """Begin to. Raises nothing."""

    async def close(self) -> None:
        """Take them all away, and let go of their under-stores."""


@define
class Namespace:
    """Buckets and keys on one side, under-stores and paths on the other.

    ``root`` is the under-store mounted at ``/``, whose top-level directories are buckets;
    ``mounts`` are the others, by the name under which each is a bucket; a mount hides a root directory of its name. They are changed by
    putting another mapping in their place. ``owner`` is who owns what has no owner of its own: the daemon's user. ``stage`` gives multipart
    uploads to a store that has none of its own; its first argument is the mount's URI (``""`` for the root). ``source`` is where
    mounts come from. ``visits`` are the requests under way: whoever uses what a Place names is one of them.
    """

    root: IUnderFileSystem | None
    owner: str
    stage: Callable[[str, IUnderFileSystem], IMultipartUploads] | None = None
    mounts: Mapping[str, Mounted] = field(factory=dict)
    source: MountSource | None = field(default=None, init=False)
    visits: Visits = field(factory=Visits, init=False)
    _uploads: dict[int, IMultipartUploads] = field(factory=dict, init=False)

    def measure(self, metrics: IMetrics) -> None:
        """See ``IMeasured``."""
        metrics.gauge("alluxio_s3_mounts", "Mounts beside the root.", lambda: len(self.mounts))
        metrics.gauge("alluxio_s3_mounts_broken", "Those of them whose under-store could not be set up.", lambda: len(self.broken))

    def trouble(self) -> str:
        """Which mounts an operator should look at; empty if none."""
        return f"broken: {', '.join(sorted(self.broken))}" if self.broken else ""

    def locate(self, bucket: str) -> Place:
        """Where the keys of ``bucket`` are, or would be, without asking a store.

        Raises S3Error: NoSuchBucket, ServiceUnavailable for a mount whose under-store could not be set up.
        """
        mounted = self.mounts.get(bucket)
        if mounted is not None:
            if mounted.ufs is None:
                raise S3Error("ServiceUnavailable", _BROKEN, headers={"Retry-After": "1"}, BucketName=bucket)
            return Place(mounted.ufs, "", mounted.uri)
        if self.root is None:
            raise S3Error("NoSuchBucket", BucketName=bucket)
        return Place(self.root, f"{bucket}/")

    @property
    def broken(self) -> Mapping[str, str]:
        """The mounts that have no under-store, and what is the trouble with each, for the operator."""
        return {name: mounted.trouble for name, mounted in self.mounts.items() if mounted.ufs is None}

    async def bucket(self, name: str) -> Bucket:
        """The bucket, looked up. Raises S3Error NoSuchBucket."""
        place = self.locate(name)
        container = IBucketContainer(place.ufs, None) if place.prefix else None
        try:
            status = await (container.bucket(name) if container else place.ufs.status(place.prefix))
        except NoSuchPath:
            raise S3Error("NoSuchBucket", BucketName=name) from None
        return self._bucket(name, place, status)

    async def expect_owner(self, name: str, owner: str | None) -> None:
        """Raise S3Error AccessDenied unless the bucket is ``owner``'s, NoSuchBucket; nothing if nobody is expected (None).

        For who would rather be refused than talk to somebody else's bucket.
        """
        if owner is not None and (await self.bucket(name)).owner != owner:
            raise S3Error("AccessDenied", "The bucket is not owned by whom the request expects.", BucketName=name)

    async def buckets(self) -> list[Entry]:
        """Every bucket and mount, by name. Mounts are not asked: one that hangs must not hide the others."""
        container = self._container()
        found = {} if container is None else {one.path.rstrip("/"): one.modified_ns for one in await container.buckets()}
        found |= {name: mounted.since_ns for name, mounted in self.mounts.items()}
        return [Entry(name, found[name]) for name in sorted(found)]

    async def create_bucket(self, name: str, owner: str) -> Bucket:
        """Make a bucket. Raises S3Error: BucketAlreadyExists; InvalidRequest when nothing is mounted at the root."""
        container = self._container()
        if name in self.mounts:
            raise S3Error("BucketAlreadyExists", "A mount has that name.", BucketName=name)
        if container is None or self.root is None:
            raise S3Error(
                "InvalidRequest",
                "Buckets cannot be made here: no under-store is mounted at '/' (property alluxio.dora.client.ufs.root)."
                " Mount an under-store under the name of the bucket instead.",
            )
        try:
            status = await container.create_bucket(name, Attributes(owner=owner))
        except AlreadyExists:
            bucket = await self.bucket(name)
            code = "BucketAlreadyOwnedByYou" if bucket.owner == owner else "BucketAlreadyExists"
            raise S3Error(code, BucketName=name) from None
        return self._bucket(name, Place(self.root, f"{name}/"), status)

    async def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket and the uploads to it. Raises S3Error: NoSuchBucket, BucketNotEmpty; InvalidRequest for a mount."""
        if name in self.mounts:
            raise S3Error("InvalidRequest", "This bucket is a mount; an administrator unmounts it.", BucketName=name)
        container = self._container()
        if container is None:
            raise S3Error("NoSuchBucket", BucketName=name)
        try:
            await container.delete_bucket(name)
        except NoSuchPath:
            raise S3Error("NoSuchBucket", BucketName=name) from None
        except NotEmpty:
            raise S3Error("BucketNotEmpty", BucketName=name) from None
        await self._forget_uploads(name)

    def uploads(self, place: Place) -> IMultipartUploads:
        """The multipart uploads of the under-store of ``place``: its own, or staged ones.

        Raises S3Error NotImplemented, and StorageError where they cannot be staged.
        """
        found = self._uploads.get(id(place.ufs))
        if found is None:
            found = IMultipartUploads(place.ufs, None)
            if found is None and self.stage is not None:
                found = self.stage(place.mount, place.ufs)
            if found is None:
                raise S3Error("NotImplemented", "The under-store of this bucket does not take multipart uploads.")
            self._uploads[id(place.ufs)] = found
        return found

    def all_uploads(self) -> list[IMultipartUploads]:
        """The multipart uploads of every under-store, but of those where they cannot be had now: who wants to upload is told why."""
        places = [Place(one.ufs, "", one.uri) for one in self.mounts.values() if one.ufs is not None]
        if self.root is not None:
            places.insert(0, Place(self.root, ""))
        found = []
        for place in places:
            with suppress(S3Error, StorageError):
                found.append(self.uploads(place))
        return found

    async def let_go(self, ufs: IUnderFileSystem) -> None:
        """Close an under-store that nobody uses any more, and the staging of its uploads."""
        uploads = self._uploads.pop(id(ufs), None)
        if isinstance(uploads, StagedUploads):
            await uploads.staging.close()
        await ufs.close()

    def start(self) -> None:
        """Have the mounts that there are, and follow what becomes of them."""
        if self.source is not None:
            self.source.start()

    async def close(self) -> None:
        """Let go of every under-store."""
        if self.source is not None:
            await self.source.close()
        stores = [self.root, *(one.ufs for one in self.mounts.values())]
        self.mounts = {}
        for ufs in stores:
            if ufs is not None:
                await self.let_go(ufs)

    async def _forget_uploads(self, bucket: str) -> None:
        """Abort what was being uploaded to ``bucket``, or it would go on in the next bucket of that name, perhaps another owner's."""
        place = self.locate(bucket)
        try:
            uploads = self.uploads(place)
        except S3Error:
            return  # the store takes none
        for upload in await uploads.uploads(place.prefix):
            with suppress(NoSuchUpload):  # it has ended meanwhile
                await uploads.abort(upload)

    def _container(self) -> IBucketContainer | None:
        return None if self.root is None else IBucketContainer(self.root, None)

    def _bucket(self, name: str, place: Place, status: Status) -> Bucket:
        return Bucket(name, place, status.attributes.owner or self.owner, status.modified_ns, status)
