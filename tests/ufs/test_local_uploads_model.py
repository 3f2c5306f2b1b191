"""Multipart uploads of the local directory against a model of them, whatever is done to them in whatever order."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSuchUpload, Part, Upload
from alluxio_s3.testing.workbench import outcome_of
from alluxio_s3.ufs.local.parts import stored_parts
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.upload_directories import location
from alluxio_s3.ufs.local.uploads import LocalUploads

KEYS = st.sampled_from(["a", "dir/b"])
NUMBERS = st.sampled_from([1, 2, 3, 4, 10_000])
SIZES = st.sampled_from([1000, 7, 999, 0, 1001, 2500, 1000, 1000])


class AtOnce:
    """Runs what is for a thread at once: here one thing is done after the other."""

    async def run(self, function, *arguments):
        return function(*arguments)


def now(work):
    """The result of a coroutine that does not wait for anything."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


class Uploads(RuleBasedStateMachine):
    """``objects`` are the bytes of each key; ``open`` the parts (ETag and bytes) of each upload in progress."""

    begun = Bundle("begun")
    writing = Bundle("writing")

    @initialize(target=begun, xattrs=st.booleans())
    def start(self, xattrs):
        self.root = Path(tempfile.mkdtemp(prefix="alluxio-s3-"))
        self.tree = Tree.at(str(self.root), buckets=False, durability="rename", xattrs=xattrs)
        self.uploads = LocalUploads(self.tree, AtOnce())
        self.objects = {}
        self.open = {}
        self.ended = {}
        self.serial = 0
        return self.begin("a")

    @precondition(lambda self: len(self.open) < 2)
    @rule(target=begun, key=KEYS)
    def begin(self, key):
        upload = now(self.uploads.create_upload(Upload("", key, 0)))
        self.open[upload.upload_id] = {}
        return upload

    @rule(target=writing, upload=begun, number=NUMBERS, size=SIZES, known=st.booleans())
    def begin_part(self, upload, number, size, known):
        self.serial += 1
        data = (b"%06d." % self.serial * 400)[:size]
        writer = now(outcome_of(self.uploads.create_part(upload, number, size if known else None)))
        if upload.upload_id not in self.open:
            assert isinstance(writer, NoSuchUpload)
            return None
        now(writer.write(data[: size // 2]))
        return (upload, number, data, writer, f"etag-{self.serial}")

    @rule(part=consumes(writing))
    def finish_part(self, part):
        if part is not None:
            upload, number, data, writer, etag = part
            now(outcome_of(writer.write(data[len(data) // 2 :])))
            result = now(outcome_of(writer.commit(Attributes(etag=etag), ALWAYS)))
            if upload.upload_id in self.open:
                assert (result.size, result.etag) == (len(data), etag)
                self.open[upload.upload_id][number] = (etag, data)
            else:
                assert isinstance(result, NoSuchUpload)

    @rule(part=consumes(writing))
    def abort_part(self, part):
        if part is not None:
            now(part[3].abort())

    @rule(upload=begun, number=NUMBERS, size=SIZES)
    def send_part(self, upload, number, size):
        part = self.begin_part(upload, number, size, known=True)
        self.agrees()
        self.finish_part(part)

    def chosen(self, upload, data):
        """Some of the parts, and what the object of them is."""
        stored = self.open[upload.upload_id]
        numbers = sorted(data.draw(st.sets(st.sampled_from(sorted(stored))))) if stored else []
        return [Part(number, len(stored[number][1]), 0, stored[number][0]) for number in numbers], b"".join(
            stored[number][1] for number in numbers
        )

    @rule(upload=begun, data=st.data(), everything=st.booleans())
    def complete(self, upload, data, everything):
        if upload.upload_id not in self.open:
            assert isinstance(now(outcome_of(self.uploads.complete(upload, [], Attributes(), ALWAYS))), NoSuchUpload)
            return
        parts, expected = self.chosen(upload, data)
        if everything:
            stored = self.open[upload.upload_id]
            parts = [Part(number, 0, 0, stored[number][0]) for number in sorted(stored)]
            expected = b"".join(stored[number][1] for number in sorted(stored))
        self.serial += 1
        status = now(self.uploads.complete(upload, parts, Attributes(etag=f"object-{self.serial}"), ALWAYS))
        assert (status.size, status.etag) == (len(expected), f"object-{self.serial}")
        self.objects[upload.path] = expected
        del self.open[upload.upload_id]
        self.ended[upload.upload_id] = (upload.path, status.etag)

    @rule(upload=begun, data=st.data(), way=st.sampled_from(["condition", "etag", "number"]))
    def complete_in_vain(self, upload, data, way):
        if upload.upload_id in self.open:
            parts, _ = self.chosen(upload, data)
            condition = ALWAYS
            if way == "condition":
                there = upload.path in self.objects
                condition = WriteCondition(if_none_match=("*",)) if there else WriteCondition(if_match=("x",))
            elif way == "etag" and parts:
                parts[-1] = Part(parts[-1].number, 0, 0, "another")
            else:
                parts = [*parts, Part(77, 1, 0, "never sent")]
            assert isinstance(now(outcome_of(self.uploads.complete(upload, parts, Attributes(etag="vain"), condition))), S3Error)

    @rule(upload=begun)
    def abort(self, upload):
        result = now(outcome_of(self.uploads.abort(upload)))
        if upload.upload_id in self.open:
            assert result is None
            del self.open[upload.upload_id]
        else:
            assert isinstance(result, NoSuchUpload)

    @invariant()
    def agrees(self):
        if not hasattr(self, "root"):
            return
        on_disk = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}
        assert {name for name in on_disk if not name.startswith(".alluxio-s3/")} == set(self.objects)
        for key, expected in self.objects.items():
            assert (self.root / key).read_bytes() == expected
        assert {upload.upload_id for upload in now(self.uploads.uploads(""))} == set(self.open)
        for upload_id, stored in self.open.items():
            [upload] = [one for one in now(self.uploads.uploads("")) if one.upload_id == upload_id]
            found = [(part.number, part.etag, part.size) for part in now(self.uploads.parts(upload))]
            assert found == [(number, stored[number][0], len(stored[number][1])) for number in sorted(stored)]
            self.bytes_agree(upload)
        for upload_id, (path, etag) in self.ended.items():
            assert now(self.uploads.completed(path, upload_id)).etag == etag
        assert not list((self.root / ".alluxio-s3" / "ended").glob("*"))

    def bytes_agree(self, upload):
        """Behind the scenes: the bytes of every part that arrived are as they were sent."""
        with self.tree.staging.directory(location(upload.upload_id)) as directory:
            for number, one in stored_parts(directory).items():
                file = os.open(one.data, os.O_RDONLY, dir_fd=directory)
                assert os.pread(file, one.part.size, one.offset) == self.open[upload.upload_id][number][1]
                os.close(file)

    def teardown(self):
        if hasattr(self, "root"):
            self.tree.close()
            shutil.rmtree(self.root)


TestUploads = Uploads.TestCase
TestUploads.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
