"""The step that makes an object visible: once, if its condition holds, and never told as done without proof."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from attrs import frozen

from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Unavailable
from alluxio_s3.ufs.s3.attributes import modified_of
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.client import Answer
from alluxio_s3.ufs.s3.failures import Refused, storage_error

# So often a condition is looked at anew when the object changes between the look and the write.
_ROUNDS = 6
_NO_CONDITIONS = frozenset({"", "NotImplemented", "InvalidArgument", "InvalidRequest", "BadRequest"})


@frozen
class Settled:
    """The headers that make a write depend on a condition; ``looked`` if the condition itself was judged by a look beforehand."""

    headers: Mapping[str, str]
    looked: bool


@frozen
class Published:
    """What a write made: its ETag, its time, and the headers of the answer."""

    etag: str
    modified_ns: int
    headers: Mapping[str, str]


async def publish(
    bucket: Bucket,
    path: str,
    condition: WriteCondition,
    write: Callable[[Mapping[str, str]], Awaitable[Answer]],
    read_etag: Callable[[Answer], str],
    expected: str | None,
    *,
    careful: bool = False,
) -> Published:
    """Have ``write``, given the headers of ``condition``, publish the object at ``path``. ``expected`` is its ETag, if that is known.

    S3 knows ``If-None-Match: *`` and ``If-Match`` with one ETag, which are handed on as they are. Of anything else we
    look whether it holds, and have the write depend on that nothing has changed since. For a store that takes no
    conditions on writes the look is all there is; ``careful`` has it also where stores are known to take them and not to mind them.
    Raises S3Error from ``condition.check``; Unavailable when the write may have been carried out, but no answer proves it.
    """
    settled = await _settle(bucket, path, condition, careful)
    for _ in range(_ROUNDS):
        try:
            answer = await write(settled.headers)
        except Refused as refused:
            if refused.repeated and refused.status in (404, 412):
                return await _proven(bucket, path, expected)
            if settled.headers and (refused.status == 501 or (refused.status == 400 and refused.code in _NO_CONDITIONS)):
                await _look(bucket, path, condition)
                settled = Settled({}, looked=False)
                continue
            if not (settled.headers and (refused.status == 412 or (refused.code == "NoSuchKey" and "If-Match" in settled.headers))):
                raise storage_error(refused, path) from None
            if "If-None-Match" in settled.headers and not settled.looked:
                raise S3Error("PreconditionFailed") from None
            # It has changed since, or it never matched, or the store wants its ETags without quotes.
            bucket.habits.learn(settled.headers, await _look(bucket, path, condition))
            settled = await _settle(bucket, path, condition, careful)
            continue
        etag = read_etag(answer)
        return published(answer, path, etag, expected) if etag else await _proven(bucket, path, expected, answered=True)
    raise Unavailable(path, "The object changed again and again.")


def published(answer: Answer, path: str, etag: str, expected: str | None) -> Published:
    """What ``answer`` tells of a write that it confirms. Raises Unavailable if the store holds something else than what it was given."""
    if expected is not None and etag != expected and _is_digest(answer.headers):
        raise Unavailable(path, "The S3 store holds something else than what it was given.")
    return Published(etag, modified_of(answer.headers), answer.headers)


async def delete(bucket: Bucket, path: str, condition: WriteCondition) -> None:
    """Remove the object at ``path``. Raises NoSuchPath; S3Error from ``condition.check``."""
    for _ in range(_ROUNDS):
        status = await bucket.head(path)
        condition.check(status.etag, status.size, status.modified_ns)
        headers = {} if condition == ALWAYS else {"If-Match": bucket.habits.match(status.etag)}
        try:
            await bucket.remove(path, headers)
        except Refused as refused:
            if headers and (refused.status == 501 or refused.code in _NO_CONDITIONS):
                await bucket.told(bucket.remove(path, {}), path)
                return
            if refused.status == 412 and not refused.repeated:
                bucket.habits.learn(headers, (await bucket.head(path)).etag)
                continue
            if refused.status in (404, 412) and refused.repeated:
                return  # gone, or replaced after it went
            raise storage_error(refused, path) from None
        return
    raise Unavailable(path, "The object changed again and again.")


async def _look(bucket: Bucket, path: str, condition: WriteCondition) -> str | None:
    """The ETag of what is there now, or None, if ``condition`` holds of it. Raises S3Error from ``condition.check``."""
    status = await bucket.found(path)
    if status is None:
        condition.check(None)
        return None
    condition.check(status.etag, status.size, status.modified_ns)
    return status.etag


async def _settle(bucket: Bucket, path: str, condition: WriteCondition, careful: bool) -> Settled:
    if condition == ALWAYS:
        return Settled({}, looked=False)
    if careful:
        etag = await _look(bucket, path, condition)
        return Settled({"If-None-Match": "*"} if etag is None else {"If-Match": bucket.habits.match(etag)}, looked=True)
    if condition == WriteCondition(if_none_match=("*",)):
        return Settled({"If-None-Match": "*"}, looked=False)
    if len(condition.if_match) == 1 and "*" not in condition.if_match and condition == WriteCondition(if_match=condition.if_match):
        return Settled({"If-Match": bucket.habits.match(condition.if_match[0])}, looked=False)
    return await _settle(bucket, path, condition, careful=True)


async def _proven(bucket: Bucket, path: str, expected: str | None, *, answered: bool = False) -> Published:
    """What is there, if it is what was written: an earlier try may have been the one that succeeded, or the answer does not tell."""
    status = await bucket.found(path)
    if status is None or (expected is None and not answered) or status.etag != (expected or status.etag):
        raise Unavailable(path, "The S3 store did not answer to a write, which it may have carried out.")
    return Published(status.etag, status.modified_ns, {})


def _is_digest(headers: Mapping[str, str]) -> bool:
    """Whether the ETag is made of the bytes: "Common response headers" says when it is not."""
    return not any(name.startswith("x-amz-server-side-encryption") for name in headers)
