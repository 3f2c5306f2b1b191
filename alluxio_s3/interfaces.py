"""What the rooms of the house, and plugins, promise each other.

Every method that is ``async`` may be called from the reactor thread only, must not block it, and
may be cancelled (its Deferred is cancelled when the client goes away): release what you hold in
``finally`` and let ``CancelledError`` pass. Unless a method says otherwise it raises the
``StorageError`` of ``alluxio_s3.storage`` that fits, and any other exception is an internal error
to the client. Paths, values and errors are described in ``alluxio_s3.storage``.

A store needs ``IUnderFileSystem``, ``IObjectReader`` and ``IObjectWriter``. The others are for
stores that can do better than the daemon can from outside; the daemon asks with
``IBucketContainer(ufs, None)`` and falls back to its own way. ``alluxio_s3.testing`` has the
contract suite that checks an implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from attrs import frozen
from zope.interface import Attribute, Interface

from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.s3.sigv4 import Signature
from alluxio_s3.storage import Attributes, Listing, Mount, Part, Provenance, Status, Upload
from alluxio_s3.threads import Threads


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


class IFileBacked(Interface):
    """A reader whose bytes are one open local file, at the same offsets (so sendfile can serve it)."""

    def fileno() -> int:
        """The open file descriptor; the reader's to close."""

    def check_unchanged() -> None:
        """Raise ObjectChanged if the bytes may not be those of ``status`` any more. Does not wait (an fstat)."""


class IHotReader(IFileBacked):
    """A reader of what is open already, shared with other readers."""

    status: Status = Attribute("As IObjectReader's.")
    rendered: dict[object, object] = Attribute("What earlier readers of this very version made of its status, to be used again.")

    def release() -> None:
        """What IObjectReader's ``close`` does, without waiting. Called once."""


@frozen
class Span:
    """``count`` bytes of ``file`` from ``offset``: a stretch of an object. Whoever has sent it calls ``file.release()``."""

    file: IHotReader
    offset: int
    count: int


class ISpanReader(Interface):
    """A reader some of whose bytes are in local files (so sendfile can serve them), others not."""

    def spans(offset: int, count: int) -> AsyncIterator[bytes | Span]:
        """What ``read`` gives, with a Span for what is in a file and is proven to be right."""


class ICachedReader(Interface):
    """A reader before whose store a cache stands. What is asked of it here comes before its bytes."""

    async def prepare(offset: int, count: int) -> Provenance:
        """Make sure that these bytes can be given, as far as that can be known before they are, and say where they come from.

        Raises ObjectChanged when the store has another version by now: opening it again may help. Unavailable.
        """

    async def load(offset: int, count: int) -> None:
        """Have these bytes in the cache, with less haste than what clients wait for. Raises what ``read`` raises."""

    async def resident(offset: int, count: int) -> int:
        """How many of these bytes are in the cache."""


class IHotObject(IHotReader):
    """An object that is open since it was read lately; what it says is right only if it is proven afterwards."""

    def is_current() -> bool:
        """Whether its path still means what is open here, untouched since it was opened. Does not wait (a stat).

        To be asked when all has been read that is to be proven. False: it is of no use any more.
        """


class IHotObjects(Interface):
    """An under-store that keeps open what was read lately."""

    def hot(path: str) -> IHotObject | None:
        """What was the object at ``path``, or None if to know that would mean to wait. Raises nothing. It is to be proven, and released."""


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


class IPrincipal(Interface):
    """Who is asking."""

    name: str = Attribute("The user's name: the owner of what it makes. Never empty.")
    how: str = Attribute("How it came to be known, for logs: an authenticator's word, such as ``simple`` or ``anonymous``.")


class IMember(Interface):
    """A principal that belongs to groups or has roles."""

    groups: frozenset[str] = Attribute("The names of its groups.")
    roles: frozenset[str] = Attribute("The names of its roles.")


class ISigner(Interface):
    """A principal whose request was signed."""

    signature: Signature | None = Attribute("The signature, verified; the chunks of the body are verified with it. None: they are not.")


class IAuthorizer(Interface):
    """Says who may do what."""

    async def authorize(principal: IPrincipal, action: str, bucket: str, key: str) -> None:
        """Return if ``principal`` may do ``action`` (``s3:GetObject``). Raises S3Error: AccessDenied, ServiceUnavailable if none can tell.

        ``bucket`` and ``key`` are what it is done to, as parsed; empty for the service and for a whole bucket. A listing's
        ``key`` is its prefix.
        """


class IQuickAuthorizer(Interface):
    """An authorizer that can tell without waiting for anything."""

    def allows(principal: IPrincipal, action: str, bucket: str, key: str) -> bool:
        """Whether ``authorize`` would return."""


class IAuthenticator(Interface):
    """Finds out who is asking."""

    async def authenticate(head: RequestHead) -> IPrincipal:
        """Who sent ``head``. Raises S3Error; never returns anything for a request that is to be refused."""


class IQuickAuthenticator(Interface):
    """An authenticator that can tell who is asking without waiting for anything, for the plainest of requests."""

    def identify(authorization: bytes | None) -> IPrincipal | None:
        """Who sent a request with that one Authorization header (or none) and no other credentials.

        None if it takes ``authenticate`` to tell. For the same request it is whom ``authenticate`` returns.
        """


class IRequestBody(Interface):
    """The body of a request, as it comes off the wire (transfer coding removed)."""

    length = Attribute("int | None: Content-Length; None for a chunked body.")

    async def read() -> bytes:
        """The next bytes, at most 512 KiB; empty at the end. The first call answers ``Expect: 100-continue``.

        While nothing is read the client is held back. Raises S3Error IncompleteBody when the client leaves early,
        RequestTimeout when it stalls.
        """


class ITally(Interface):
    """A figure that only grows."""

    def add(amount: float = 1) -> None:
        """Add ``amount``, which is not negative."""


class ISpread(Interface):
    """A figure of which it matters how it is spread: durations, sizes."""

    def observe(value: float) -> None:
        """One more."""


class IMetrics(Interface):
    """The figures of this process that operators see. For the reactor's thread.

    Names, meanings and labels are literals where these are called: ``docs/metrics.md`` is printed from the calls. A name begins with
    ``alluxio_s3_`` and is as https://prometheus.io/docs/practices/naming/ has it (base units; counters end with ``_total``). Asking for a
    name again gives the same figure; with another kind or other labels, ValueError. What gives the figure for some values of the labels
    makes it at the first call: keep the figure, which is faster. There must be few different values.
    """

    def counter(name: str, meaning: str) -> ITally:
        """A figure that only grows."""

    def counters(name: str, meaning: str, labels: Sequence[str]) -> Callable[..., ITally]:
        """The same for each of several values of the labels, which what is returned takes (``str``, in that order)."""

    def histogram(name: str, meaning: str, bounds: Sequence[float]) -> ISpread:
        """A distribution over buckets with these upper bounds, ascending."""

    def histograms(name: str, meaning: str, bounds: Sequence[float], labels: Sequence[str]) -> Callable[..., ISpread]:
        """The same for each of several values of the labels."""

    def gauge(name: str, meaning: str, read: Callable[[], float]) -> None:
        """A figure that goes up and down: ``read`` tells it when it is asked for, without waiting. Those of several processes add up."""


class IPluginFactory(Interface):
    """What an entry point names: how to build a plugin. See ``alluxio_s3.plugins``."""

    def build(options: Mapping[str, str], reactor: object, threads: Threads) -> object:
        """A new plugin. Raises ValueError with a message for the operator when an option is wrong.

        ``options`` are the properties ``alluxio.worker.s3.plugin.<name>.<option>``; beside them an under-store gets ``uri`` (as
        configured) and ``buckets`` (``true`` when it is mounted at ``/``), an authenticator ``user`` (the daemon's own).
        """
