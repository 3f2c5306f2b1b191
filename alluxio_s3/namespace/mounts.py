"""Where buckets are: the root under-store's top-level directories, and mounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from attrs import define, field, frozen

from alluxio_s3.interfaces import IBucketContainer, IMultipartUploads, IUnderFileSystem
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import AlreadyExists, Attributes, NoSuchPath, NoSuchUpload, NotEmpty, Status


@frozen
class Place:
    """The under-store that holds a bucket's keys, and what stands before them there (``""`` or ``"b/"``)."""

    ufs: IUnderFileSystem
    prefix: str

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


@define
class Namespace:
    """Buckets and keys on one side, under-stores and paths on the other.

    ``root`` is the under-store mounted at ``/``, whose top-level directories are buckets;
    ``mounts`` are the others, by the name under which each is a bucket; a mount hides a root directory of its name.
    ``owner`` is who owns what has no owner of its own: the daemon's user. ``stage`` gives multipart
    uploads to a store that has none of its own; its first argument is the mount's name (``""`` for the root).
    """

    root: IUnderFileSystem | None
    owner: str
    stage: Callable[[str, IUnderFileSystem], IMultipartUploads] | None = None
    mounts: Mapping[str, IUnderFileSystem] = field(factory=dict)
    _uploads: dict[str, IMultipartUploads] = field(factory=dict, init=False)

    def locate(self, bucket: str) -> Place:
        """Where the keys of ``bucket`` are, or would be, without asking a store. Raises S3Error NoSuchBucket."""
        mounted = self.mounts.get(bucket)
        if mounted is not None:
            return Place(mounted, "")
        if self.root is None:
            raise S3Error("NoSuchBucket", BucketName=bucket)
        return Place(self.root, f"{bucket}/")

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

    async def buckets(self) -> list[Bucket]:
        """Every bucket and mount, by name."""
        found: dict[str, Bucket] = {}
        container = self._container()
        if container is not None and self.root is not None:
            for status in await container.buckets():
                name = status.path.rstrip("/")
                found[name] = self._bucket(name, Place(self.root, f"{name}/"), status)
        for name in self.mounts:
            found[name] = await self.bucket(name)
        return [found[name] for name in sorted(found)]

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
        """The multipart uploads of the under-store of ``place``: its own, or staged ones. Raises S3Error NotImplemented."""
        name = "" if place.ufs is self.root else next(name for name, ufs in self.mounts.items() if ufs is place.ufs)
        found = self._uploads.get(name)
        if found is None:
            found = IMultipartUploads(place.ufs, None)
            if found is None and self.stage is not None:
                found = self.stage(name, place.ufs)
            if found is None:
                raise S3Error("NotImplemented", "The under-store of this bucket does not take multipart uploads.")
            self._uploads[name] = found
        return found

    def all_uploads(self) -> list[IMultipartUploads]:
        """The multipart uploads of every under-store that has some."""
        places = [Place(ufs, "") for ufs in (self.root, *self.mounts.values()) if ufs is not None]
        return [self.uploads(place) for place in places]

    async def close(self) -> None:
        """Let go of every under-store."""
        for ufs in (self.root, *self.mounts.values()):
            if ufs is not None:
                await ufs.close()

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
