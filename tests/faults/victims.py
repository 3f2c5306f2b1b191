"""Processes that do one write to a local under-store each, to be killed in it.

`python -m tests.faults.victims DESCRIPTOR`: reads lists of jobs from a socket, has each done by a child of its own, and says how they
ended. It makes no call meanwhile that its children could be killed at; so whoever traces it may count theirs.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen

from alluxio_s3.cache.store import PageStore
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, NoSuchPath, NoSuchUpload, Part, Status, Upload
from alluxio_s3.ufs.local import publish, tags
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.reader import open_object
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.uploads import LocalUploads
from alluxio_s3.ufs.local.walk import list_keys
from alluxio_s3.ufs.local.windows import Windows
from tests.cache.page_files import made_store, put, thing
from tests.faults.bodies import body

KEY = "a/b/k"


@frozen
class Job:
    """What is to be done to `KEY` in the directory *place*: *act*, with a body of *length* bytes; *xattrs*: whether there are any.

    *old*: whether there is an object before. *upload*: the id of an upload whose parts have come, with their ETags.
    """

    act: str
    place: str
    length: int = 1000
    xattrs: bool = True
    old: bool = True
    upload: str = ""
    etags: tuple[str, ...] = ()


class AtOnce:
    """Runs what is for a thread at once."""

    async def run(self, function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    def begin(self, function: Any) -> None:
        function()

    tell = begin


def result_of(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that does not wait for anything."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def attributes(version: str, data: bytes) -> Attributes:
    """Of a version: each of them tells which one it is."""
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    # More than an inode of ext4 holds beside the rest.
    return Attributes(etag=etag, content_type=f"x/{version}", user_metadata={"v": version, "more": version * 60}, tags={"t": version})


class Shelf:
    """A worker's view of a directory."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tree = Tree.at(job.place, buckets=False, xattrs=job.xattrs)
        self.uploads = LocalUploads(self.tree, AtOnce())  # type: ignore[arg-type]

    def put(self, key: str, version: str, length: int) -> None:
        publish.check_place(self.tree, key)
        data = body(key, version, length)
        temporary = self.tree.staging.temporary(length)
        try:
            for at in range(0, length, 1 << 20):
                temporary.write(data[at : at + (1 << 20)])
            publish.publish(self.tree, temporary, key, attributes(version, data), ALWAYS)
        finally:
            temporary.discard()

    def begin_upload(self) -> Job:
        """Begin an upload to `KEY` whose two parts come; the job that can complete it."""
        data = body(KEY, "new", self.job.length)
        upload = result_of(self.uploads.create_upload(Upload("", KEY, 0)))
        etags = []
        half = self.job.length // 2
        for number, piece in ((1, data[:half]), (2, data[half:])):
            writer = result_of(self.uploads.create_part(upload, number, len(piece)))
            result_of(writer.write(piece))
            result_of(writer.commit(Attributes(etag=str(number)), ALWAYS))
            etags.append(str(number))
        return evolve(self.job, upload=upload.upload_id, etags=tuple(etags))

    def complete(self) -> str | None:
        """Complete the upload, now or earlier; the ETag."""
        data = body(KEY, "new", self.job.length)
        try:
            upload = result_of(self.uploads.upload(KEY, self.job.upload))
        except NoSuchUpload:
            done: Status | None = result_of(self.uploads.completed(KEY, self.job.upload))
            return None if done is None else done.etag
        parts = [Part(number, 0, 0, etag) for number, etag in enumerate(self.job.etags, 1)]
        status: Status = result_of(self.uploads.complete(upload, parts, attributes("new", data), ALWAYS))
        return status.etag

    def found(self) -> tuple[Status, bytes] | None:
        """What is at `KEY`."""
        try:
            file = open_object(self.tree, KEY)
        except NoSuchPath:
            return None
        with file.descriptor.held() as number:
            data = os.pread(number, file.status.size + 1, 0)
        file.descriptor.close()
        return file.status, data

    def listed(self) -> list[str]:
        """The keys of objects, no folders."""
        with storage_errors(""):
            listing = list_keys(self.tree, Windows(), "", "", 1000, "")
        names = [one if isinstance(one, str) else one.path for one in listing.entries]
        return [name for name in names if not name.endswith("/")]


def pages_of(job: Job) -> PageStore:
    """The page store in the place of a job."""
    return made_store(Path(job.place))


def _do(job: Job) -> None:
    if job.act == "fill":
        store = pages_of(job)
        for number in range(3):
            put(store, thing("object"), number)
        return
    shelf = Shelf(job)
    if job.act == "put":
        shelf.put(KEY, "new", job.length)
    elif job.act == "complete":
        shelf.complete()
    elif job.act == "tags":
        tags.set_tags(shelf.tree, KEY, {"t": "new"})
    elif job.act == "delete":
        publish.delete(shelf.tree, KEY, ALWAYS)


def encoded(jobs: list[Job]) -> bytes:
    """Jobs, for the socket."""
    return json.dumps([asdict(job) for job in jobs]).encode()


def _decoded(fields: Mapping[str, Any]) -> Job:
    return Job(**{**fields, "etags": tuple(fields["etags"])})


def main() -> None:
    """Do what comes, till the socket ends."""
    line = socket.socket(fileno=int(sys.argv[1]))
    line.send(b"ready")
    while raw := line.recv(1 << 20):
        ended = []
        for job in map(_decoded, json.loads(raw)):
            child = os.fork()
            if not child:
                status = 99
                try:
                    _do(job)
                    status = 0
                finally:
                    os._exit(status)
            ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        line.send(json.dumps(ended).encode())


if __name__ == "__main__":
    main()
