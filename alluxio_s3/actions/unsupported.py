"""What S3 has and the daemon has not, told apart from what nobody has.

A sub-resource (``?acl``) or a header (``x-amz-server-side-encryption``) that would be ignored changes what a request
means: an object would be stored unencrypted, or deleted when only its annotation was to go. So each that S3's
own model knows is an action that answers 501 NotImplemented, for every method.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.registry import ANY, BUCKET, OBJECT, REGISTRY, Action, Route
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers

# By sub-resource, S3's names of the operations on it; the other methods are refused by the sub-resource's own.
_ON_BUCKETS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "abac": {"GET": "GetBucketAbac", "PUT": "PutBucketAbac"},
        "accelerate": {"GET": "GetBucketAccelerateConfiguration", "PUT": "PutBucketAccelerateConfiguration"},
        "acl": {"GET": "GetBucketAcl", "PUT": "PutBucketAcl"},
        "analytics": {
            "GET": "GetBucketAnalyticsConfiguration",
            "PUT": "PutBucketAnalyticsConfiguration",
            "DELETE": "DeleteBucketAnalyticsConfiguration",
        },
        "encryption": {"GET": "GetBucketEncryption", "PUT": "PutBucketEncryption", "DELETE": "DeleteBucketEncryption"},
        "intelligent-tiering": {
            "GET": "GetBucketIntelligentTieringConfiguration",
            "PUT": "PutBucketIntelligentTieringConfiguration",
            "DELETE": "DeleteBucketIntelligentTieringConfiguration",
        },
        "inventory": {
            "GET": "GetBucketInventoryConfiguration",
            "PUT": "PutBucketInventoryConfiguration",
            "DELETE": "DeleteBucketInventoryConfiguration",
        },
        "lifecycle": {
            "GET": "GetBucketLifecycleConfiguration",
            "PUT": "PutBucketLifecycleConfiguration",
            "DELETE": "DeleteBucketLifecycle",
        },
        "logging": {"GET": "GetBucketLogging", "PUT": "PutBucketLogging"},
        "metadataAnnotationTable": {"PUT": "UpdateBucketMetadataAnnotationTableConfiguration"},
        "metadataConfiguration": {
            "GET": "GetBucketMetadataConfiguration",
            "POST": "CreateBucketMetadataConfiguration",
            "DELETE": "DeleteBucketMetadataConfiguration",
        },
        "metadataInventoryTable": {"PUT": "UpdateBucketMetadataInventoryTableConfiguration"},
        "metadataJournalTable": {"PUT": "UpdateBucketMetadataJournalTableConfiguration"},
        "metadataTable": {
            "GET": "GetBucketMetadataTableConfiguration",
            "POST": "CreateBucketMetadataTableConfiguration",
            "DELETE": "DeleteBucketMetadataTableConfiguration",
        },
        "metrics": {
            "GET": "GetBucketMetricsConfiguration",
            "PUT": "PutBucketMetricsConfiguration",
            "DELETE": "DeleteBucketMetricsConfiguration",
        },
        "notification": {"GET": "GetBucketNotificationConfiguration", "PUT": "PutBucketNotificationConfiguration"},
        "object-lock": {"GET": "GetObjectLockConfiguration", "PUT": "PutObjectLockConfiguration"},
        "ownershipControls": {
            "GET": "GetBucketOwnershipControls",
            "PUT": "PutBucketOwnershipControls",
            "DELETE": "DeleteBucketOwnershipControls",
        },
        "policy": {"GET": "GetBucketPolicy", "PUT": "PutBucketPolicy", "DELETE": "DeleteBucketPolicy"},
        "policyStatus": {"GET": "GetBucketPolicyStatus"},
        "publicAccessBlock": {"GET": "GetPublicAccessBlock", "PUT": "PutPublicAccessBlock", "DELETE": "DeletePublicAccessBlock"},
        "replication": {"GET": "GetBucketReplication", "PUT": "PutBucketReplication", "DELETE": "DeleteBucketReplication"},
        "requestPayment": {"GET": "GetBucketRequestPayment", "PUT": "PutBucketRequestPayment"},
        "session": {"GET": "CreateSession"},
        "versions": {"GET": "ListObjectVersions"},
        "website": {"GET": "GetBucketWebsite", "PUT": "PutBucketWebsite", "DELETE": "DeleteBucketWebsite"},
    }
)
_ON_OBJECTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "acl": {"GET": "GetObjectAcl", "PUT": "PutObjectAcl"},
        "annotation": {"GET": "GetObjectAnnotation", "PUT": "PutObjectAnnotation", "DELETE": "DeleteObjectAnnotation"},
        "encryption": {"PUT": "UpdateObjectEncryption"},
        "legal-hold": {"GET": "GetObjectLegalHold", "PUT": "PutObjectLegalHold"},
        "renameObject": {"PUT": "RenameObject"},
        "restore": {"POST": "RestoreObject"},
        "retention": {"GET": "GetObjectRetention", "PUT": "PutObjectRetention"},
        "select": {"POST": "SelectObjectContent"},
        "torrent": {"GET": "GetObjectTorrent"},
    }
)
_GRANTS = ("x-amz-grant-full-control", "x-amz-grant-read", "x-amz-grant-read-acp", "x-amz-grant-write", "x-amz-grant-write-acp")
HEADERS_ON_OBJECTS = (
    *_GRANTS,
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
)
# The canned lists that give nobody more than the owner has.
_OWNER_ONLY = frozenset({"private", "bucket-owner-read", "bucket-owner-full-control"})


class Unsupported(Action):
    """An operation of S3 that the daemon does not offer."""

    def __init__(self, route: Route) -> None:
        self.route = route

    async def run(self, call: Call) -> Response:  # noqa: ARG002  # every call alike
        """Raises S3Error NotImplemented, always."""
        route = self.route
        if route.headers:
            (header,) = route.headers
            raise S3Error("NotImplemented", f"The header {header} implies functionality that is not offered here.", Header=header)
        raise S3Error("NotImplemented", f"{route.name} is not offered here.")


def check_canned_acl(headers: Headers) -> None:
    """Raises S3Error NotImplemented if ``x-amz-acl`` asks for more than what is anyway so: all to the owner."""
    acl = headers.get("x-amz-acl")
    if acl is not None and acl not in _OWNER_ONLY:
        raise S3Error("NotImplemented", f"Access control lists are not offered here: x-amz-acl: {acl}.", Header="x-amz-acl")


def _routes() -> Iterator[Route]:
    none: frozenset[str] = frozenset()

    def route(name: str, method: str, on: str, query: frozenset[str] = none, headers: frozenset[str] = none) -> Route:
        return Route(name, method, on, query, headers, accepts=none, permission=f"s3:{name}", offered=False)

    for on, table in ((BUCKET, _ON_BUCKETS), (OBJECT, _ON_OBJECTS)):
        for key, names in table.items():
            for method, name in names.items():
                yield route(name, method, on, query=frozenset({key}))
            yield route(f"{on}?{key}", ANY, on, query=frozenset({key}))
    yield route("PutBucketVersioning", "PUT", BUCKET, query=frozenset({"versioning"}))
    for method in ("HEAD", "POST", "DELETE"):
        yield route(f"{method} {BUCKET}?versioning", method, BUCKET, query=frozenset({"versioning"}))
    for method in ("HEAD", "POST"):
        yield route(f"{method} {BUCKET}?cors", method, BUCKET, query=frozenset({"cors"}))
    for method in ("HEAD", "PUT", "POST", "DELETE"):
        yield route(f"{method} {OBJECT}?attributes", method, OBJECT, query=frozenset({"attributes"}))
    for on, headers in ((BUCKET, _GRANTS), (OBJECT, HEADERS_ON_OBJECTS)):
        for header in headers:
            yield route(f"{on} with {header}", ANY, on, headers=frozenset({header}))


for _route in _routes():
    REGISTRY.add(Unsupported(_route))
