"""Every property that the daemon knows, once: the single list.

Each class is a section of the configuration page, which is printed from here; ``Settings`` is all of them. To add
a property, add a field to its section.
"""

from __future__ import annotations

from attrs import fields, frozen

from alluxio_s3.settings.authentication import Authentication
from alluxio_s3.settings.cluster import Cluster
from alluxio_s3.settings.definition import METADATA_KEY, Property, setting
from alluxio_s3.settings.limits import Limits
from alluxio_s3.settings.logs import Logs
from alluxio_s3.settings.operation import Operation
from alluxio_s3.settings.values import boolean, choice, duration, host, integer, location, many, name, optional_text, port, size, text


@frozen(slots=False, kw_only=True)
class Endpoint:
    """Where the S3 API is served. It is at the root of the endpoint, path-style: `/<bucket>/<key>`."""

    api_enabled: bool = setting(
        "alluxio.worker.s3.api.enabled", boolean(), "false", "Serve the S3 API. The daemon does not start without it."
    )
    bind_host: str = setting("alluxio.worker.s3.bind.host", host(), "0.0.0.0", "The address to listen on.", ours=True)  # noqa: S104 - Alluxio's default
    rest_port: int = setting("alluxio.worker.rest.port", port(), "29998", "The port of plain HTTP. 0 picks a free one, which is printed.")
    endpoints: tuple[str, ...] = setting(
        "alluxio.worker.s3.endpoints",
        many(text()),
        "",
        "Twisted endpoint strings to serve on instead of the address and the port above, such as `systemd:domain=INET:index=0`,"
        " `unix:/run/alluxio-s3.sock`. The ports above and below are faster than `tcp:29998` and `ssl:29996:...`.",
        ours=True,
    )
    https_port: int = setting("alluxio.worker.s3.https.port", port(), "29996", "The port of HTTPS. 0 picks a free one, which is printed.")
    only_https: bool = setting(
        "alluxio.worker.s3.only.https.access",
        boolean(),
        "false",
        "Serve HTTPS only. The daemon does not start without a certificate.",
    )
    region: str = setting(
        "alluxio.worker.s3.region", text(), "us-east-1", "The region that clients are told: GetBucketLocation, HeadBucket.", ours=True
    )


@frozen(slots=False, kw_only=True)
class Tls:
    """The certificate of the HTTPS endpoint, and whose certificates it trusts. [HTTPS](https.md) tells how to set it up."""

    tls_enabled: bool = setting("alluxio.network.tls.enabled", boolean(), "false", "Serve HTTPS as well as HTTP.")
    tls_certificate: str | None = setting(
        "alluxio.network.tls.server.cert", location(), "", "The server's certificate and its chain, PEM.", reload="certificates"
    )
    tls_key: str | None = setting(
        "alluxio.network.tls.server.key", location(), "", "The private key of the certificate, PEM.", ours=True, reload="certificates"
    )
    tls_ca: str | None = setting(
        "alluxio.network.tls.ca.cert",
        location(),
        "",
        "The certificates of those whom clients' certificates must come from, PEM.",
        reload="certificates",
    )
    tls_client_auth: str = setting(
        "alluxio.network.tls.client.auth",
        choice("none", "optional", "required"),
        "none",
        "Whether clients show certificates of their own: they are not asked (`none`), they may (`optional`), or they must (`required`).",
        ours=True,
        reload="certificates",
    )
    tls_keystore: str | None = setting(
        "alluxio.network.tls.keystore.path",
        location(),
        "",
        "A PKCS12 key store that holds certificate and key, instead of the two PEM files.",
        reload="certificates",
    )
    tls_keystore_password: str = setting(
        "alluxio.network.tls.keystore.password", text(), "", "The key store's password.", secret=True, reload="certificates"
    )
    tls_key_password: str = setting(
        "alluxio.network.tls.keystore.key.password",
        text(),
        "",
        "The password of the PEM key, if it is encrypted. In a PKCS12 key store it can only be that of the store.",
        secret=True,
        reload="certificates",
    )


@frozen(slots=False, kw_only=True)
class Connections:
    """How connections are kept, and how long the daemon waits for a client."""

    keep_alive: bool = setting(
        "alluxio.worker.s3.connection.keep.alive.enabled",
        boolean(),
        "false",
        "Keep a connection open after an answer. Off unless set, as in Alluxio; most clients are much faster with it.",
        reload="connections",
    )
    idle_max_ms: int = setting(
        "alluxio.worker.s3.connection.idle.max.time",
        duration(),
        "0sec",
        "Close a kept connection on which nothing has happened for so long. `0sec`: never.",
        reload="connections",
    )
    header_timeout_ms: int = setting(
        "alluxio.worker.s3.header.timeout",
        duration(),
        "30sec",
        "How long the head of a request, and the beginning of TLS before it, may take to arrive. `0`: forever.",
        ours=True,
        reload="limits",
    )
    body_stall_ms: int = setting(
        "alluxio.worker.s3.body.stall.timeout",
        duration(),
        "30sec",
        "How long a client may neither send nor take a byte in the middle of a body. `0`: forever.",
        ours=True,
        reload="limits",
    )
    drain_ms: int = setting(
        "alluxio.worker.s3.drain.timeout",
        duration(),
        "30sec",
        "How long the daemon lets requests finish when it is told to stop; then it cuts them.",
        ours=True,
        reload="connections",
    )
    drain_notice_ms: int = setting(
        "alluxio.worker.s3.drain.notice",
        duration(),
        "0sec",
        "How long the daemon, told to stop, still serves while `/ready` says that it is not ready, so that load balancers send what is"
        " new elsewhere before it is refused. A second signal ends it.",
        ours=True,
        reload="connections",
    )
    processes: int = setting(
        "alluxio.worker.s3.processes",
        integer(1, 1024),
        "1",
        "How many processes serve the endpoint: one for each core is good for many clients."
        " More than one have a parent that keeps them running.",
        ours=True,
    )
    io_threads: int = setting(
        "alluxio.worker.s3.io.threads",
        integer(1, 1024),
        "16",
        "How many threads do what may block: opening, reading, syncing files.",
        ours=True,
    )


@frozen(slots=False, kw_only=True)
class UnderStores:
    """What is behind the buckets. Only top-level directories are buckets; objects at the root cannot be reached."""

    ufs_root: str | None = setting(
        "alluxio.dora.client.ufs.root",
        location(),
        "",
        "The under-store mounted at `/`, a local directory or a URI: its top-level directories are buckets. Its options are"
        " `alluxio.dora.client.ufs.root.option.<option>`, or as Alluxio has them, `alluxio.master.mount.table.root.option.<option>`."
        " Without one there are mounts only, and clients can't make buckets.",
    )
    mount_table: str | None = setting(
        "alluxio.worker.s3.mount.table",
        location(),
        "",
        "Where [mounts](mounts.md) are kept: a file, which need not be there yet, or `etcd`, for a cluster; none: there are no mounts.",
        ours=True,
    )
    staging_dir: str | None = setting(
        "alluxio.worker.s3.staging.dir",
        location(),
        "",
        "Where the parts of multipart uploads wait if the under-store has no uploads of its own; none: a directory for temporary files.",
        ours=True,
    )
    durability: str = setting(
        "alluxio.worker.s3.durability",
        choice("full", "data", "rename"),
        "full",
        "What has reached the disk when a write to a local directory is answered: bytes and name (`full`), the bytes (`data`),"
        " or neither for certain (`rename`).",
        ours=True,
    )
    xattr_change: bool = setting(
        "alluxio.underfs.xattr.change.enabled",
        boolean(),
        "true",
        "Whether extended attributes of files may be changed. Object tags on a local directory need it, unless the tag store is another.",
    )
    delete_type: str = setting(
        "alluxio.proxy.s3.deletetype",
        choice("ALLUXIO_AND_UFS", "ALLUXIO_ONLY"),
        "ALLUXIO_AND_UFS",
        "Whether a delete goes to the under-store, or only takes the object out of the cache. Mounts may have their own (`deletetype`).",
    )
    s3_endpoint: str | None = setting(
        "alluxio.underfs.s3.endpoint", optional_text(), "", "The endpoint of S3 under-stores; none: Amazon's. Mounts may have their own."
    )
    s3_region: str | None = setting("alluxio.underfs.s3.region", optional_text(), "", "The region of S3 under-stores.")
    s3_path_style: str | None = setting(
        "alluxio.underfs.s3.disable.dns.buckets",
        optional_text(),
        "",
        "`true`: the bucket of an S3 under-store is in the path of its URLs, `false`: in the host's name; none: as its endpoint suggests.",
    )
    s3_access_key: str | None = setting(
        "s3a.accessKeyId", optional_text(), "", "The access key for S3 under-stores; none: AWS's own chain of sources."
    )
    s3_secret_key: str | None = setting("s3a.secretKey", optional_text(), "", "The secret key for S3 under-stores.", secret=True)


@frozen(slots=False, kw_only=True)
class Api:
    """How the S3 actions behave."""

    list_folders: bool = setting(
        "alluxio.worker.s3.list.folders.enabled",
        boolean(),
        "true",
        "List sub-directories as 0-byte `dir/` keys, as Alluxio documents it. `false`: exactly S3's listing, in which only what a"
        " client created is there.",
        ours=True,
    )
    put_md5: bool = setting(
        "alluxio.worker.s3.put.md5.enabled",
        boolean(),
        "true",
        "Make the MD5 of the bytes the ETag of a PUT and of a part, as S3 does. `false` saves the hashing, most of what a large PUT"
        " costs: the ETag is then made of a CRC64NVME and the size, and never taken for an MD5; that of a multipart object is opaque.",
        ours=True,
        reload="limits",
    )
    cors_dir: str | None = setting(
        "alluxio.worker.s3.cors.path",
        location(),
        "",
        "The directory of the [CORS rules](cors.md) of buckets and mounts, a file for each; none: `.alluxio-s3/cors` in the local directory"
        " that is mounted at `/`.",
        ours=True,
    )
    metadata_max_bytes: int = setting(
        "alluxio.proxy.s3.header.metadata.max.size",
        size(),
        "2KB",
        "How much user metadata an object may have. `0`: no limit.",
        reload="limits",
    )
    bucket_naming_restrictions: bool = setting(
        "alluxio.proxy.s3.bucket.naming.restrictions.enabled",
        boolean(),
        "false",
        "Hold the names of new buckets to the rules of AWS S3.",
        reload="limits",
    )
    complete_keepalive_enabled: bool = setting(
        "alluxio.proxy.s3.complete.multipart.upload.keepalive.enabled",
        boolean(),
        "true",
        "Send white space while CompleteMultipartUpload works, so that load balancers do not cut it. Alluxio's default is `false`."
        " S3's own behaviour, and what its clients expect, is `true`.",
        reload="limits",
    )
    complete_keepalive_ms: int = setting(
        "alluxio.proxy.s3.complete.multipart.upload.keepalive.time.interval",
        duration(minimum=100),
        "10sec",
        "How often it does. Alluxio's default is `30sec`, which is too late for a balancer that waits as long.",
        reload="limits",
    )
    multipart_min_part_bytes: int = setting(
        "alluxio.proxy.s3.complete.multipart.upload.min.part.size",
        size(),
        "5MB",
        "The least size of a part but the last. `0`: no limit.",
        reload="limits",
    )
    upload_cleaner_enabled: bool = setting(
        "alluxio.proxy.s3.multipart.upload.cleaner.enabled",
        boolean(),
        "true",
        "Abort multipart uploads that were abandoned. Alluxio's default is `false`.",
    )
    upload_cleaner_timeout_ms: int = setting(
        "alluxio.proxy.s3.multipart.upload.cleaner.timeout",
        duration(minimum=60_000),
        "7day",
        "How long nothing must have happened in an upload for it to be abandoned. Alluxio's default is `10min`, less than some"
        " clients pause.",
    )


@frozen(slots=False, kw_only=True)
class Tagging:
    """Tags of objects and buckets, and where they are kept."""

    tagging_restrictions: bool = setting(
        "alluxio.proxy.s3.tagging.restrictions.enabled",
        boolean(),
        "true",
        "Hold tags to the rules of AWS S3: at most 10, keys of 128 and values of 256 characters.",
        reload="limits",
    )
    tag_store: str = setting(
        "alluxio.worker.s3.tag.store",
        name(),
        "object",
        "Where tags are kept: `object` (with the object), `embedded` (a file of the daemon's), or the name of a plugin.",
        ours=True,
    )
    tag_store_path: str | None = setting(
        "alluxio.worker.s3.tag.store.path", location(), "", "The file of the `embedded` tag store.", ours=True
    )


@frozen(slots=False, kw_only=True)
class Cache:
    """The page store: what was read from the under-stores, on local disks."""

    page_store_dirs: tuple[str, ...] = setting(
        "alluxio.worker.page.store.dirs", many(text()), "", "Directories for pages, the daemon's own; none: no cache."
    )
    page_store_sizes: tuple[int, ...] = setting(
        "alluxio.worker.page.store.sizes", many(size()), "", "How much each of them may hold, in the same order."
    )
    page_size: int = setting("alluxio.worker.page.store.page.size", size(minimum=1), "1MB", "The size of a page.")


SECTIONS: tuple[type, ...] = (
    Endpoint,
    Connections,
    Limits,
    Operation,
    Logs,
    UnderStores,
    Api,
    Tagging,
    Authentication,
    Tls,
    Cluster,
    Cache,
)


@frozen(slots=False, kw_only=True)
class Settings(Endpoint, Connections, Limits, Operation, Logs, UnderStores, Api, Tagging, Authentication, Tls, Cluster, Cache):
    """The value of every property. ``Settings()`` is all defaults; ``settings.load`` reads a file."""


def properties_of(section: type) -> dict[str, Property]:
    """The properties of a section (or of ``Settings``) by attribute, in the order of the list."""
    return {one.name: one.metadata[METADATA_KEY] for one in fields(section)}
