"""The bytes of an object, asked for while the store is still asked what the object is: both come in the time of one."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from alluxio_s3.storage import Status
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.client import Answer, Order
from alluxio_s3.ufs.s3.failures import Refused


class Ahead:
    """``count`` bytes from ``offset`` of what is at ``path`` (None: to its end), asked for now. One of ``take`` and ``give_up`` ends it."""

    def __init__(self, bucket: Bucket, path: str, offset: int, count: int | None) -> None:
        self._offset = offset
        self._stop = None if count is None else offset + count
        last = "" if count is None else str(offset + count - 1)
        headers = {"Range": f"bytes={offset}-{last}"} if offset or last else {}
        self._asking: Deferred[Answer] = Deferred.fromCoroutine(bucket.client.stream(Order("GET", bucket.key(path), headers=headers)))

    async def take(self, status: Status, offset: int, end: int) -> Answer | None:
        """The answer, if it is these bytes of that version; None if they have to be asked for. Raises Unavailable if there is no answer."""
        stop = status.size if self._stop is None else min(self._stop, status.size)
        if (offset, end) != (self._offset, stop):
            self.give_up()
            return None
        try:
            answer = await self._asking
        except Refused:
            return None
        if self._is_right(answer, status, offset, end):
            return answer
        answer.stop()
        return None

    def give_up(self) -> None:
        """The bytes are not wanted."""
        _ = self._asking.addCallbacks(Answer.stop, lambda _: None)
        self._asking.cancel()

    def _is_right(self, answer: Answer, status: Status, offset: int, end: int) -> bool:
        if answer.headers.get("etag", "").removeprefix("W/").strip('"') != status.etag:
            return False
        whole = answer.status == 200 and (offset, end) == (0, status.size)
        if not whole and (answer.status != 206 or answer.headers.get("content-range") != f"bytes {offset}-{end - 1}/{status.size}"):
            return False
        return answer.flow is not None and answer.flow.length == end - offset
