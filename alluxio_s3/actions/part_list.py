"""The parts that CompleteMultipartUpload lists, held against those that arrived; and what they make."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from attrs import evolve, frozen

from alluxio_s3.actions.exchange import Limits
from alluxio_s3.actions.multipart import COMPOSITE, MAX_PARTS, check_same_algorithm, default_type
from alluxio_s3.actions.object_write import FULL_OBJECT
from alluxio_s3.actions.transfer import MAX_OBJECT_BYTES, check_size
from alluxio_s3.s3.checksums import ALGORITHMS, Algorithm, combine, composite, decode, encode, supplied
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers
from alluxio_s3.s3.xml import Element, parse
from alluxio_s3.storage import Part, Upload

_NUMBER = re.compile(r"[0-9]{1,10}")
_MD5 = re.compile(r"[0-9a-f]{32}")
_ELEMENTS: Mapping[str, str] = {one.element: one.name for one in ALGORITHMS.values()}


@frozen
class ListedPart:
    """A part as the client lists it: ``etag`` without quotes, ``checksums`` by algorithm as in ``storage.Part``."""

    number: int
    etag: str
    checksums: Mapping[str, str]


@frozen
class Checksum:
    """The checksum of a multipart object. ``value`` is as ``storage.Attributes`` has it, ``type`` COMPOSITE or FULL_OBJECT."""

    algorithm: Algorithm
    type: str
    value: str


def parse_part_list(body: bytes) -> list[ListedPart]:
    """The parts in a ``CompleteMultipartUpload`` document.

    Raises S3Error: MalformedXML (also for none, or more than 10,000), InvalidArgument for a number that no part has, InvalidPartOrder.
    """
    found = parse(body, "CompleteMultipartUpload").findall("Part")
    if not 1 <= len(found) <= MAX_PARTS:
        raise S3Error("MalformedXML")
    listed = [_listed(one) for one in found]
    if any(one.number >= following.number for one, following in pairwise(listed)):
        raise S3Error("InvalidPartOrder")
    return listed


def choose(listed: Sequence[ListedPart], arrived: Sequence[Part], upload: Upload, limits: Limits) -> list[Part]:
    """The parts that arrived and are ``listed``. Raises S3Error: InvalidPart, EntityTooSmall, EntityTooLarge."""
    by_number = {part.number: part for part in arrived}
    parts = []
    for one in listed:
        part = by_number.get(one.number)
        if part is not None and not part.checksums_kept:
            # It was held against them when it arrived; the store may know better.
            part = evolve(part, checksums=one.checksums)
        if part is None or part.etag != one.etag or any(part.checksums.get(name) != value for name, value in one.checksums.items()):
            raise S3Error("InvalidPart", UploadId=upload.upload_id, PartNumber=str(one.number), ETag=one.etag)
        parts.append(part)
    for part in parts[:-1]:
        if part.size < limits.min_part_bytes:
            raise S3Error(
                "EntityTooSmall",
                ProposedSize=str(part.size),
                MinSizeAllowed=str(limits.min_part_bytes),
                PartNumber=str(part.number),
                ETag=part.etag,
            )
    check_size(sum(part.size for part in parts), MAX_OBJECT_BYTES)
    return parts


def check_object_size(headers: Headers, parts: Sequence[Part]) -> None:
    """Raises S3Error InvalidRequest if ``x-amz-mp-object-size`` says another size than the parts have together."""
    said = headers.get("x-amz-mp-object-size")
    size = sum(part.size for part in parts)
    if said is not None and said.strip() != str(size):
        raise S3Error("InvalidRequest", f"The provided 'x-amz-mp-object-size' header does not match what was computed: {size}")


def etag_of(parts: Sequence[Part]) -> str | None:
    """S3's ETag of an object made of ``parts``: the MD5 of their MD5s, and how many. None, for the store to say, if
    the ETags of the parts are no MD5s.
    """
    whole = hashlib.md5(usedforsecurity=False)
    for part in parts:
        if not _MD5.fullmatch(part.etag):
            return None
        whole.update(bytes.fromhex(part.etag))
    return f"{whole.hexdigest()}-{len(parts)}"


def checksum_of(headers: Headers, upload: Upload, parts: Sequence[Part]) -> Checksum | None:
    """The checksum of the object, if the upload has an algorithm or the request brings a checksum; which must be right.

    Raises S3Error: BadDigest; InvalidRequest for another algorithm or type than the upload's, or when the parts have none
    to verify it with.
    """
    given = supplied(headers)
    if given is not None:
        check_same_algorithm(given[0], upload)
    if upload.checksum_algorithm is not None:
        algorithm = ALGORITHMS[upload.checksum_algorithm]
        kind = upload.checksum_type or default_type(algorithm)
    elif given is not None:
        algorithm = given[0]
        kind = FULL_OBJECT if algorithm.combines else COMPOSITE
    else:
        return None
    if headers.get("x-amz-checksum-type", kind).strip().upper() != kind:
        raise S3Error(
            "InvalidRequest",
            f"The upload was created using the {kind} checksum mode. The complete request must use the same checksum mode.",
        )
    value = _whole(algorithm, kind, parts)
    if given is None:
        return None if value is None else Checksum(algorithm, kind, value)
    if value is None:
        raise S3Error("InvalidRequest", f"The parts have no {algorithm.name} checksums to verify that of the object with.")
    # A composite may come with the number of parts or without it.
    if given[1] != value and not (kind == COMPOSITE and given[1] == value.rpartition("-")[0]):
        raise S3Error("BadDigest", f"The {algorithm.name} you specified did not match the calculated checksum.")
    return Checksum(algorithm, kind, value)


def _whole(algorithm: Algorithm, kind: str, parts: Sequence[Part]) -> str | None:
    if any(algorithm.name not in part.checksums for part in parts):
        return None
    digests = [decode(algorithm, part.checksums[algorithm.name]) for part in parts]
    if kind == COMPOSITE:
        return composite(algorithm, digests)
    return encode(combine(algorithm, [(digest, part.size) for digest, part in zip(digests, parts, strict=True)]))


def _listed(part: Element) -> ListedPart:
    number, etag = part.value("PartNumber", "").strip(), part.value("ETag")
    if etag is None or not _NUMBER.fullmatch(number):
        raise S3Error("MalformedXML")
    if not 1 <= int(number) <= MAX_PARTS:
        raise S3Error("InvalidArgument", f"PartNumber must be between 1 and {MAX_PARTS}", ArgumentName="PartNumber", ArgumentValue=number)
    checksums = {_ELEMENTS[child.name]: child.text.strip() for child in part.children if child.name in _ELEMENTS}
    # Some clients escape the quotes twice, some leave them out.
    return ListedPart(int(number), etag.strip().replace("&quot;", '"').strip('"'), checksums)
