"""The running daemon against a model of S3: whatever the sequence of requests, the two agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule, run_state_machine_as_test

from tests.daemon.model import Bucket, Stored, Upload, stored
from tests.running import Daemon
from tests.under_stores import UnderStore
from tests.wire import Answer, Wire

# Few, so that they meet, and odd where order, escaping and folders matter.
KEYS = [
    "a",
    "a/",
    "a-",
    "a-b/c",
    "a.b",
    "a/b",
    "a/b/",
    "a/b-",
    "a/b/c",
    "a/b/c/d",
    "a0",
    "A",
    "b/a",
    "b/a/",
    "b/b",
    "x y+z%/é",
    "日/",
    "\U0001f600",
]
BODIES = st.one_of(st.binary(max_size=40), st.sampled_from([bytes(70_000), b"x" * 300_000]))
PARTS = st.one_of(st.binary(min_size=1, max_size=20), st.just(b"p" * 4096))
SMALL = st.dictionaries(st.sampled_from(["one", "two"]), st.text("ab1", min_size=1, max_size=5), max_size=2)


def keys() -> st.SearchStrategy[str]:
    """A key; some name folders."""
    return st.sampled_from(KEYS)


class Sequences(RuleBasedStateMachine):
    """Random requests to one bucket of a daemon."""

    uploads = Bundle("uploads")
    wire: Wire
    folders: bool
    tree: bool
    count = 0

    @initialize()
    def make_bucket(self) -> None:
        type(self).count += 1
        self.bucket = f"bucket-{self.folders}-{self.count}".lower()
        self.model = Bucket(self.folders, self.tree)
        assert self.wire("PUT", self.bucket).status == 200

    def send(self, method: str, key: str = "", **rest: Any) -> Answer:
        answer = self.wire(method, self.bucket, key, **rest)
        assert answer.status < 500, answer
        return answer

    def check_object(self, answer: Answer, wanted: Stored) -> None:
        assert answer.status == 200
        assert answer.headers["etag"] == f'"{wanted.etag}"'
        assert answer.headers["content-length"] == str(len(wanted.body))
        metadata = {name.removeprefix("x-amz-meta-"): value for name, value in answer.headers.items() if name.startswith("x-amz-meta-")}
        assert metadata == wanted.metadata

    @rule(key=keys(), body=BODIES, metadata=SMALL, tags=SMALL, condition=st.sampled_from(["", "", "", "absent", "same", "other"]))
    def put(self, key: str, body: bytes, metadata: dict[str, str], tags: dict[str, str], condition: str) -> None:
        if key.endswith("/"):
            body = b""
        headers = {f"x-amz-meta-{name}": value for name, value in metadata.items()} | ({"x-amz-tagging": urlencode(tags)} if tags else {})
        present = self.model.shown().get(key)
        refused: set[int] = set()
        if condition == "absent":
            headers["If-None-Match"] = "*"
            refused = {412} if present else set()
        elif condition == "same":
            headers["If-Match"] = f'"{present.etag if present else "0" * 32}"'
            refused = set() if present else {404}
        elif condition == "other":
            headers["If-Match"] = f'"{"1" * 32}"'
            refused = {412} if present else {404}
        answer = self.send("PUT", key, headers=headers, body=body)
        if refused:
            assert answer.status in refused | ({400} if self.model.conflict(key) else set())
        elif self.model.conflict(key):
            assert (answer.status, answer.code) == (400, "InvalidRequest")
        else:
            self.model.objects[key] = stored(body, metadata, tags)
            assert answer.status == 200
            assert answer.headers["etag"] == f'"{self.model.objects[key].etag}"'

    @rule(key=keys())
    def get_and_head(self, key: str) -> None:
        wanted = self.model.shown().get(key)
        got, head = self.send("GET", key), self.send("HEAD", key)
        if wanted is None:
            assert (got.status, got.code, head.status, head.body) == (404, "NoSuchKey", 404, b"")
        else:
            self.check_object(got, wanted)
            self.check_object(head, wanted)
            assert got.body == wanted.body

    @rule(key=keys(), first=st.integers(0, 50), last=st.one_of(st.none(), st.integers(0, 60)), suffix=st.booleans())
    def get_range(self, key: str, first: int, last: int | None, suffix: bool) -> None:
        wanted = self.model.shown().get(key)
        answer = self.send("GET", key, headers={"Range": f"bytes=-{first}" if suffix else f"bytes={first}-{'' if last is None else last}"})
        if wanted is None:
            assert answer.status == 404
            return
        if suffix:
            expected = wanted.body[-first:] if first else b""
        else:
            expected = wanted.body[first:] if last is None else wanted.body[first : last + 1]
        if (not suffix and last is not None and last < first) or (suffix and first and not wanted.body):
            assert (answer.status, answer.body) == (200, wanted.body)
        elif expected:
            assert (answer.status, answer.body) == (206, expected)
        else:
            assert answer.status == 416

    @rule(key=keys(), matching=st.booleans())
    def get_conditional(self, key: str, matching: bool) -> None:
        wanted = self.model.shown().get(key)
        etag = wanted.etag if wanted and matching else "2" * 32
        if_match = self.send("GET", key, headers={"If-Match": f'"{etag}"'}).status
        if_none = self.send("GET", key, headers={"If-None-Match": f'"{etag}"'}).status
        assert (if_match, if_none) == ((404, 404) if wanted is None else (200, 304) if matching else (412, 200))

    @rule(key=keys())
    def delete(self, key: str) -> None:
        assert self.send("DELETE", key).status == 204
        self.model.delete(key)

    @rule(doomed=st.lists(keys(), min_size=1, max_size=4))
    def delete_many(self, doomed: list[str]) -> None:
        body = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in doomed)
        answer = self.wire("POST", self.bucket, query={"delete": ""}, body=f"<Delete>{body}</Delete>".encode())
        assert answer.status == 200
        assert sorted(answer.texts("Deleted/Key")) == sorted(doomed)
        for key in doomed:
            self.model.delete(key)

    @rule(source=keys(), key=keys(), replace=st.booleans(), metadata=SMALL)
    def copy(self, source: str, key: str, replace: bool, metadata: dict[str, str]) -> None:
        found = self.model.shown().get(source)
        if source.endswith("/") or key.endswith("/"):
            return
        headers = {"x-amz-copy-source": quote(f"/{self.bucket}/{source}")}
        if replace:
            headers |= {"x-amz-metadata-directive": "REPLACE"} | {f"x-amz-meta-{name}": value for name, value in metadata.items()}
        answer = self.send("PUT", key, headers=headers)
        if found is None:
            assert (answer.status, answer.code) in [(404, "NoSuchKey"), (400, "InvalidRequest")]
        elif (source == key and not replace) or self.model.conflict(key):
            assert (answer.status, answer.code) == (400, "InvalidRequest")
        else:
            assert answer.status == 200
            made = stored(found.body, metadata if replace else found.metadata, found.tags)
            self.model.objects[key] = made
            assert answer.texts("ETag") == [f'"{made.etag}"']

    @rule(key=keys(), tags=SMALL)
    def put_tags(self, key: str, tags: dict[str, str]) -> None:
        document = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, value in tags.items())
        body = f"<Tagging><TagSet>{document}</TagSet></Tagging>".encode()
        answer = self.send("PUT", key, query={"tagging": ""}, body=body)
        held = self.model.objects.get(key)
        if held is not None:
            assert answer.status == 200
            self.model.objects[key] = Stored(held.body, held.etag, held.metadata, tags)
        elif key not in self.model.shown():
            assert (answer.status, answer.code) == (404, "NoSuchKey")
        else:
            self.send("DELETE", key, query={"tagging": ""})

    @rule(key=keys())
    def get_tags(self, key: str) -> None:
        answer = self.send("GET", key, query={"tagging": ""})
        wanted = self.model.shown().get(key)
        if wanted is None:
            assert answer.status == 404
        else:
            assert dict(zip(answer.texts("TagSet/Tag/Key"), answer.texts("TagSet/Tag/Value"), strict=True)) == wanted.tags

    @rule(target=uploads, key=keys())
    def begin_upload(self, key: str) -> Any:
        if key.endswith("/"):
            return multiple()
        answer = self.send("POST", key, query={"uploads": ""})
        if self.model.conflict(key):
            assert answer.status in (200, 400)
            return multiple()
        assert answer.status == 200
        upload_id = answer.texts("UploadId")[0]
        self.model.uploads[upload_id] = Upload(key)
        return upload_id

    @rule(upload_id=uploads, number=st.integers(1, 4), body=PARTS)
    def put_part(self, upload_id: str, number: int, body: bytes) -> None:
        upload = self.model.uploads[upload_id]
        answer = self.send("PUT", upload.key, query={"partNumber": str(number), "uploadId": upload_id}, body=body)
        assert answer.status == 200
        upload.parts[number] = body
        assert answer.headers["etag"] == f'"{stored(body).etag}"'

    @rule(upload_id=uploads)
    def list_parts(self, upload_id: str) -> None:
        upload = self.model.uploads[upload_id]
        answer = self.send("GET", upload.key, query={"uploadId": upload_id})
        assert [int(n) for n in answer.texts("Part/PartNumber")] == sorted(upload.parts)
        assert [int(n) for n in answer.texts("Part/Size")] == [len(upload.parts[n]) for n in sorted(upload.parts)]

    @rule(upload_id=consumes(uploads), drop=st.integers(0, 4))
    def complete(self, upload_id: str, drop: int) -> None:
        upload = self.model.uploads.pop(upload_id)
        numbers = [number for number in sorted(upload.parts) if number != drop]
        document = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>&quot;{stored(upload.parts[n]).etag}&quot;</ETag></Part>" for n in numbers
        )
        body = f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>".encode()
        answer = self.send("POST", upload.key, query={"uploadId": upload_id}, body=body)
        if not numbers or self.model.conflict(upload.key):
            assert answer.status == 400
            assert self.send("DELETE", upload.key, query={"uploadId": upload_id}).status == 204
        else:
            made = upload.assembled(numbers)
            assert answer.texts("ETag") == [f'"{made.etag}"']
            self.model.objects[upload.key] = made
            again = self.send("POST", upload.key, query={"uploadId": upload_id}, body=body)
            assert (again.status, again.texts("ETag")) == (200, answer.texts("ETag"))

    @rule(upload_id=consumes(uploads))
    def abort(self, upload_id: str) -> None:
        upload = self.model.uploads.pop(upload_id)
        assert self.send("DELETE", upload.key, query={"uploadId": upload_id}).status == 204
        assert self.send("GET", upload.key, query={"uploadId": upload_id}).status == 404

    @rule(
        prefix=st.sampled_from(["", "", "a", "a/", "a/b", "a-", "b/", "x y", "日/", "nothing"]),
        delimiter=st.sampled_from(["", "/", "/", "a", "-", "/a"]),
        size=st.integers(1, 5),
        version=st.sampled_from([1, 2]),
    )
    def page_through(self, prefix: str, delimiter: str, size: int, version: int) -> None:
        """Paging with any page size gives the whole listing once."""
        query = {"prefix": prefix, "delimiter": delimiter, "max-keys": str(size)} | ({"list-type": "2"} if version == 2 else {})
        entries: list[str] = []
        while True:
            answer = self.send("GET", query={name: value for name, value in query.items() if value})
            page = sorted(
                answer.texts("Contents/Key") + ["/" + p for p in answer.texts("CommonPrefixes/Prefix")], key=lambda e: e.removeprefix("/")
            )
            assert len(page) <= size
            entries += page
            if answer.texts("IsTruncated") != ["true"]:
                break
            assert page
            if version == 2:
                query["continuation-token"] = answer.texts("NextContinuationToken")[0]
            else:
                query["marker"] = answer.texts("NextMarker")[0] if delimiter else page[-1]
        assert entries == self.model.listing(prefix, delimiter)

    @invariant()
    def listing_agrees(self) -> None:
        """One listing of everything shows every key once, in order, with its size and ETag."""
        if not hasattr(self, "model"):
            return
        answer = self.send("GET", query={"list-type": "2"})
        shown = self.model.shown()
        assert answer.texts("Contents/Key") == sorted(shown)
        assert [int(size) for size in answer.texts("Contents/Size")] == [len(shown[key].body) for key in sorted(shown)]
        assert answer.texts("Contents/ETag") == [f'"{shown[key].etag}"' for key in sorted(shown)]
        assert sorted(self.send("GET", query={"uploads": ""}).texts("Upload/UploadId")) == sorted(self.model.uploads)

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        if self.model.objects or self.model.uploads:
            for upload_id, upload in self.model.uploads.items():
                self.send("DELETE", upload.key, query={"uploadId": upload_id})
            if self.model.objects:
                assert self.wire("DELETE", self.bucket).code == "BucketNotEmpty"
            for key in sorted(self.model.shown(), reverse=True):
                self.send("DELETE", key)
        assert self.wire("DELETE", self.bucket).status == 204


@pytest.fixture(params=[True, False], ids=["folders", "exact"])
def wire_of(request: Any, tmp_path: Path, under_store: UnderStore) -> Iterator[tuple[Wire, bool, bool]]:
    """A daemon with each setting of alluxio.worker.s3.list.folders.enabled; and whether its store is a tree of directories."""
    root = under_store.root(tmp_path)
    tree = under_store.lack("directories") is None
    with Daemon(tmp_path / "conf") as daemon:
        endpoint = daemon.start(
            {
                "alluxio.worker.s3.api.enabled": True,
                "alluxio.worker.rest.port": 0,
                "alluxio.worker.s3.bind.host": "127.0.0.1",
                "alluxio.worker.s3.connection.keep.alive.enabled": True,
                "alluxio.worker.s3.list.folders.enabled": request.param,
                "alluxio.proxy.s3.complete.multipart.upload.min.part.size": 0,
                **root.properties,
            }
        )
        wire = Wire(endpoint)
        yield wire, request.param and tree, tree
        wire.close()
        daemon.stop()
        assert daemon.trouble == []
    leftovers = [path for path in (root.data or tmp_path / "staging").rglob("*") if path.is_file() and path.name != "lock"]
    assert [path for path in leftovers if "completed" not in path.parts] == [], "every bucket was emptied and deleted, and so was all of it"


@pytest.mark.slow
def test_any_sequence_agrees_with_the_model(wire_of: tuple[Wire, bool, bool]) -> None:
    """2,000 random steps, on each setting of folder entries: the daemon does what the model of S3 does."""

    class Machine(Sequences):
        wire, folders, tree = wire_of

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(max_examples=40, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)),
    )
