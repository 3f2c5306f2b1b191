"""Buckets: which there are, making and removing them, and what little can be asked about one."""

from __future__ import annotations

import re
from contextlib import suppress

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.registry import BUCKET, SERVICE, Action, action
from alluxio_s3.actions.transfer import read_body
from alluxio_s3.actions.unsupported import check_canned_acl
from alluxio_s3.namespace.mounts import Entry
from alluxio_s3.s3.buckets import check_new_bucket_name
from alluxio_s3.s3.conditions import iso_date
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.listing import ContinuationToken, owner_xml
from alluxio_s3.s3.xml import document, element, parse, tag
from alluxio_s3.storage import NoSuchPath, Unsupported

XML = {"Content-Type": "application/xml"}
MAX_BUCKETS = 10_000  # of one page: ListBuckets in the API reference

_REGION_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")


@action(
    "ListBuckets",
    method="GET",
    on=SERVICE,
    accepts={"bucket-region", "continuation-token", "max-buckets", "prefix"},
    permission="s3:ListAllMyBuckets",
)
class ListBuckets(Action):
    """Every bucket and mount, by name; in pages if the client asks for them."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error InvalidArgument."""
        query = call.query
        region = call.services.region
        prefix = query.get("prefix") or ""
        limit = _max_buckets(query.get("max-buckets"))
        token = query.get("continuation-token")
        start = ContinuationToken.decode(token) if token else ""
        found = [one for one in await call.services.namespace.buckets() if one.name.startswith(prefix) and one.name >= start]
        if query.get("bucket-region", region) != region:
            found = []
        following = found[limit].name if len(found) > limit else None
        body = (
            owner_xml(call.principal.name)
            + element("Buckets", *(_bucket_element(bucket, region) for bucket in found[:limit]))
            + tag("Prefix", prefix or None)
            + tag("ContinuationToken", following and ContinuationToken.encode(following))
        )
        return Response(headers=XML, body=document("ListAllMyBucketsResult", body))


@action("CreateBucket", method="PUT", on=BUCKET)
class CreateBucket(Action):
    """Makes a bucket. To make one's own again is no error, as in S3's us-east-1."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error: BucketAlreadyExists, InvalidBucketName, IllegalLocationConstraintException, NotImplemented and what
        ``Namespace.create_bucket`` raises.
        """
        limits = call.services.limits
        check_new_bucket_name(call.bucket, restricted=limits.bucket_naming_restrictions)
        check_canned_acl(call.headers)
        if call.headers.get("x-amz-bucket-object-lock-enabled", "false").lower() != "false":
            raise S3Error("NotImplemented", "Object lock is not offered here.", Header="x-amz-bucket-object-lock-enabled")
        body = await read_body(call, limits.xml_body_bytes, required=False)
        if body:
            _check_configuration(body)
        try:
            await call.services.namespace.create_bucket(call.bucket, call.principal.name)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise
        else:
            await _forget_rules(call)
        return Response(headers={"Location": f"/{call.bucket}"})


@action("HeadBucket", method="HEAD", on=BUCKET, permission="s3:ListBucket")
class HeadBucket(Action):
    """Whether a bucket is there."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error NoSuchBucket."""
        await call.services.namespace.bucket(call.bucket)
        return Response(
            headers={
                "x-amz-bucket-region": call.services.region,
                "x-amz-access-point-alias": "false",
                "Content-Type": "application/xml",
            }
        )


@action("DeleteBucket", method="DELETE", on=BUCKET)
class DeleteBucket(Action):
    """Removes an empty bucket, its tags and its CORS rules."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error: NoSuchBucket, BucketNotEmpty, InvalidRequest for a mount."""
        namespace, tags = call.services.namespace, call.services.tags
        bucket = await namespace.bucket(call.bucket)
        await namespace.delete_bucket(call.bucket)
        if not tags.travels:
            # Else the next bucket of that name would inherit them.
            with suppress(NoSuchPath, Unsupported):
                await tags.put(bucket.place.ufs, bucket.status, {})
        await _forget_rules(call)
        return Response(204)


@action("GetBucketLocation", method="GET", on=BUCKET, query={"location"})
class GetBucketLocation(Action):
    """The region; empty for us-east-1, as clients expect of S3."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error NoSuchBucket."""
        await call.services.namespace.bucket(call.bucket)
        region = call.services.region
        return Response(headers=XML, body=document("LocationConstraint", "" if region == "us-east-1" else region))


@action("GetBucketVersioning", method="GET", on=BUCKET, query={"versioning"})
class GetBucketVersioning(Action):
    """Says that versioning was never switched on."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error NoSuchBucket."""
        await call.services.namespace.bucket(call.bucket)
        return Response(headers=XML, body=document("VersioningConfiguration", ""))


async def _forget_rules(call: Call) -> None:
    """Those of CORS that an earlier bucket of that name had are not for the next one."""
    if call.services.cors is not None and await call.services.cors.rules(call.bucket):
        await call.services.cors.keep(call.bucket, ())


def _bucket_element(bucket: Entry, region: str) -> str:
    return element("Bucket", tag("Name", bucket.name), tag("CreationDate", iso_date(bucket.created_ns)), tag("BucketRegion", region))


def _max_buckets(value: str | None) -> int:
    if not value:
        return MAX_BUCKETS
    if not (value.isascii() and value.isdigit() and len(value) < 9 and 1 <= int(value) <= MAX_BUCKETS):
        raise S3Error(
            "InvalidArgument",
            f"Argument max-buckets must be an integer between 1 and {MAX_BUCKETS}",
            ArgumentName="max-buckets",
            ArgumentValue=value,
        )
    return int(value)


def _check_configuration(body: bytes) -> None:
    """Any region will do for there is only one; what else a configuration can ask for is not offered."""
    configuration = parse(body, "CreateBucketConfiguration")
    for child in configuration.children:
        if child.name != "LocationConstraint":
            raise S3Error("NotImplemented", f"CreateBucketConfiguration/{child.name} is not offered here.")
    constraint = configuration.value("LocationConstraint", "").strip()
    if constraint and not _REGION_NAME.fullmatch(constraint):
        raise S3Error("IllegalLocationConstraintException", LocationConstraint=constraint)
