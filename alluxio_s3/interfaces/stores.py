"""What under-stores and tag stores promise. See the package for the rules that hold for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from zope.interface import Attribute, Interface

from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Listing, Mount, Part, PartPlace, Status, Upload


class IUnderFileSystem(Interface):
    """A store of objects under paths."""

    async def status(path: str) -> Status:
        """The object or folder at ``path``. Raises NoSuchPath.

        ``"a"`` and ``"a/"`` are different: a directory is found only with the slash.
        """

    async def list(prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """Keys that begin with ``prefix`` and are >= ``start``, in the byte order of their UTF-8.

        ``delimiter`` is ``""`` (every key) or ``"/"`` (what follows the first slash
        after ``prefix`` is folded into one ``str`` entry, ordered as that string). At most ``limit``
        entries (1 to 1,000). A key that is there during the whole call is never left out. Nothing under
        ``prefix`` is an empty listing, not an error. Memory must not grow with the store.
        """

    async def open(path: str) -> IObjectReader:
        """A reader of the object as it stands now. Raises NoSuchPath; PathConflict for a folder."""

    async def create(path: str, attributes: Attributes, length: int | None) -> IObjectWriter:
        """A writer of a new object at ``path``, or in place of the one there.

        ``attributes`` are those known before the bytes; ``length`` is the size if it is known. Nothing is
        visible until the writer's ``commit``. With a ``path`` that ends in ``/`` it makes
        a folder. Raises PathConflict, PathTooLong, NoSuchPath (the bucket is gone), NoSpace.
        """

    async def delete(path: str, condition: WriteCondition) -> None:
        """Remove the object at ``path``. Raises NoSuchPath; S3Error from ``condition.check``.

        Deleting a folder that still has something in it removes what made it the user's own (its
        attributes) and keeps what is in it.
        """

    async def close() -> None:
        """Let go of everything. Called once, when no request is in progress."""


class IObjectReader(Interface):
    """One version of one object, open for reading; holds until ``close`` even if it is replaced."""

    status: Status = Attribute("The Status of what is open.")

    def read(offset: int, count: int) -> AsyncIterator[bytes]:
        """``count`` bytes from ``offset``, in pieces of the store's choice (64 KiB to 1 MiB is good).

        The caller asks for a piece when it has room for it, and may stop early (``aclose``). Raises
        ObjectChanged when it cannot give exactly those bytes of that version; never fewer, never zeros.
        """

    async def close() -> None:
        """Let go of it. May be called twice."""


class IObjectWriter(Interface):
    """An object on its way in. Exactly one of ``commit`` and ``abort`` ends it."""

    async def write(data: bytes) -> None:
        """Append ``data`` (up to 1 MiB). Returns when the store can take more."""

    async def commit(attributes: Attributes, condition: WriteCondition) -> Status:
        """Make the object visible, whole and with ``attributes``, in one step, if ``condition`` holds.

        On any error (S3Error from ``condition.check`` included) nothing has changed, unless it is Unavailable, after which the
        object is the old or the new one. When it returns, the object is as durable as configured.
        """

    async def abort() -> None:
        """Forget it; what was at the path stays. Does nothing after ``commit`` or a second time."""


class IRangeCopier(Interface):
    """A writer that can take bytes from a reader without them passing through the daemon."""

    async def copy_from(reader: IObjectReader, offset: int, count: int) -> bool:
        """Append that range. False, with nothing written, if it can't for this reader."""


class IBucketContainer(Interface):
    """An under-store that can be mounted at ``/``: its top-level directories are buckets."""

    async def buckets() -> Sequence[Status]:
        """Every bucket as the Status of its folder (``"b/"``), by name. ``modified_ns`` is when it was created."""

    async def bucket(name: str) -> Status:
        """That bucket alone. Raises NoSuchPath."""

    async def create_bucket(name: str, attributes: Attributes) -> Status:
        """Make a bucket owned by ``attributes.owner``. Raises AlreadyExists."""

    async def delete_bucket(name: str) -> None:
        """Remove an empty bucket. Raises NoSuchPath, NotEmpty."""


class IAttributeUpdater(Interface):
    """An under-store that can change an object's attributes in place, bytes untouched."""

    async def set_tags(path: str, tags: Mapping[str, str]) -> None:
        """Replace the tags of the object, folder or bucket (``"b/"``; ``""`` is the root) at ``path``. Raises NoSuchPath."""


class ITagReader(Interface):
    """An under-store that keeps tags, but does not tell them with the Status: asking for them is a request of its own."""

    async def tags(path: str) -> Mapping[str, str]:
        """The tags of the object, folder or bucket (``"b/"``; ``""`` is the root) at ``path``. Raises NoSuchPath."""


class IPartLocator(Interface):
    """An under-store that knows the parts of its objects, but does not tell them with the Status: to ask for one is a request."""

    async def part(status: Status, number: int) -> PartPlace | None:
        """Where part ``number`` of the object of ``status`` is; None if the object has no parts, or the store does not know.

        Raises ObjectChanged when the store has another version by now.
        """


class IRemote(Interface):
    """An under-store elsewhere whose root is there without being asked for: its Status does not tell whether the store answers."""

    async def reach() -> None:
        """Have the store answer something. Raises what keeps it from that; that it refuses to answer just this to this user does not."""


class IEagerReading(Interface):
    """An under-store that can be asked for an object's first bytes while it is asked what the object is, in the time of one question."""

    async def open_reading(path: str, offset: int, count: int | None) -> IObjectReader:
        """``open``, for who will read ``count`` bytes from ``offset``, if there are so many; None: all that there are from there on.

        A read of other bytes is as good, and takes as long, as if that had not been said.
        """


class IReadOnly(Interface):
    """An under-store that takes no writes. What is kept about its objects elsewhere, such as tags, is not to be changed either."""


class IIdentified(Interface):
    """An under-store that can be told from every other, by every process that serves it, today and tomorrow."""

    identity: str = Attribute("Which one it is, such as its URI without credentials. What the daemon keeps about its objects goes by it.")


class IMultipartUploads(Interface):
    """Multipart uploads. Parts are never visible as objects."""

    async def create_upload(upload: Upload) -> Upload:
        """Begin; ``upload.upload_id`` and ``initiated_ns`` are ignored, the answer has them."""

    async def upload(path: str, upload_id: str) -> Upload:
        """An upload in progress. Raises NoSuchUpload, whatever the id looks like."""

    async def uploads(prefix: str) -> Sequence[Upload]:
        """All in progress whose path begins with ``prefix``, by path, then by time of initiation."""

    async def create_part(upload: Upload, number: int, length: int | None) -> IObjectWriter:
        """A writer of part ``number`` (1 to 10,000). ``commit`` (its Status has path ``""``) replaces an earlier part
        of that number; ``commit`` raises NoSuchUpload when the upload has ended meanwhile.
        """

    async def parts(upload: Upload) -> Sequence[Part]:
        """The parts that arrived, by number."""

    async def complete(upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        """Publish the object made of ``parts`` as ``IObjectWriter.commit`` does, and end the upload.

        Raises NoSuchUpload when it has ended meanwhile, S3Error from ``condition.check`` (the upload stays).
        """

    async def completed(path: str, upload_id: str) -> Status | None:
        """What an upload completed within the last day became (path and ETag are right; size may be), or None."""

    async def abort(upload: Upload) -> None:
        """Forget the upload and its parts. Raises NoSuchUpload."""

    async def expire(before_ns: int) -> int:
        """Abort the uploads in which nothing has happened since ``before_ns``; how many."""


class IRepeatedCompletions(Interface):
    """Multipart uploads of a store that itself knows what it has completed, whichever daemon asked for it. Optional."""

    async def complete_again(path: str, upload_id: str, parts: Sequence[Part]) -> Status | None:
        """What the store makes of a completion of ``parts`` (numbers, ETags and checksums count) of an upload that is over.

        None: it knows nothing of it.
        """


class ITagStore(Interface):
    """Where tags are kept. Objects, folders and buckets (the Status of their folder) can have tags."""

    travels = Attribute(
        "bool: whether tags given as ``Attributes.tags`` to a writer are enough, so that they appear and go together with the bytes."
        " If not, the daemon calls ``put`` after each ``commit``."
    )

    async def get(ufs: IUnderFileSystem, status: Status) -> Mapping[str, str]:
        """The tags of what ``status`` describes; empty if there are none."""

    async def put(ufs: IUnderFileSystem, status: Status, tags: Mapping[str, str]) -> None:
        """Replace them (empty: remove). Raises NoSuchPath, Unsupported (its message names the property to set)."""

    async def close() -> None:
        """Let go of everything."""


class IMountTable(Interface):
    """Which under-stores are mounted where: one truth for every process, and every worker, that reads it."""

    async def mounts() -> Sequence[Mount]:
        """All, by path."""

    async def add(mount: Mount) -> None:
        """Add one. Raises AlreadyExists when its path is taken."""

    async def remove(path: str) -> Mount:
        """Take one away; what it was. Raises NoSuchPath."""

    def watch(changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called, on the reactor's thread, whenever the table may have changed. Returns what ends that."""
