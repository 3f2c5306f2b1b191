"""One process of load: asks for things at random, one after another, and writes each into its ledger.

`python -m tests.faults.generator OPTIONS`, where OPTIONS is `Options` as JSON; ends on SIGTERM, or after `seconds`. A key under
`w<number>/` has one writer, the process of that number; those under `hot/` have all of them. Every process reads all.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import attrs
from attrs import field, frozen

from tests.faults.bodies import body, piece
from tests.faults.exchange import Exchange, Reply
from tests.faults.ledger import MAYBE, NO, OK, Ledger
from tests.faults.reading import listing, looked_at, metadata, tag_of

MIX: Mapping[str, int] = {
    "put": 30,
    "hot": 10,
    "upload": 6,
    "copy": 5,
    "delete": 7,
    "batch": 2,
    "tags": 8,
    "bad": 3,
    "read": 35,
    "head": 8,
    "list": 5,
    "read_tags": 6,
}
"""How often each thing is done, in any unit."""

SIZES: Mapping[str, float] = {"none": 1, "tiny": 2, "small": 2, "around": 1, "middle": 1, "large": 1}
"""How often a body is of each size, in any unit: `large` is of a MiB up to the largest."""

_LENGTHS = {
    "none": (0, 0),
    "tiny": (1, 200),
    "small": (1000, 20_000),
    "around": (65_000, 66_000),
    "middle": (100_000, 400_000),
    "million": (400_000, 1 << 20),
}
_NO_WRITES = frozenset({"read", "head", "list", "read_tags"})


@frozen
class Options:
    """What a process of load does.

    *endpoints*: of the daemon, or of several that show the same buckets: each request goes to one of them at random. *writers*, if
    given, takes the writes, and *endpoints* the reads. *buckets* are there already. *seconds* 0: until it is told to end. *rate*: requests
    a second at most, 0: as many as go. *keys*: how many of its own in each bucket. *largest*: bytes of a body. *mix*, *sizes*: MIX, SIZES.
    *agent*: the program that it says it is, if any. *late*: a write whose client has given up may still come after the next, as where
    networks are cut and made whole again; copies are then of bytes that are named by their ETag, with metadata of their own.
    """

    endpoints: Sequence[str]
    ledgers: str
    number: int = 0
    seed: int = 0
    buckets: Sequence[str] = ("ledger",)
    writers: Sequence[str] = ()
    seconds: float = 0.0
    rate: float = 0.0
    keys: int = 24
    hot: int = 4
    largest: int = 3 << 20
    timeout: float = 30.0
    user: str = "tester"
    agent: str = ""
    late: bool = False
    mix: Mapping[str, int] = field(factory=lambda: MIX)
    sizes: Mapping[str, float] = field(factory=lambda: SIZES)

    def encode(self) -> str:
        """As an argument."""
        return json.dumps(attrs.asdict(self))


@frozen
class Held:
    """What a key holds for certain: what its metadata *shown*, what bytes, and the ETag that the daemon told."""

    shown: str
    content: tuple[str, str, int]
    etag: str | None


class Generator:
    """Does what *options* say, with *ledger*."""

    def __init__(self, options: Options, ledger: Ledger) -> None:
        self.options = options
        self.ledger = ledger
        self.random = random.Random(f"{options.seed}/{options.number}")  # it has to come again
        self._exchanges = {
            endpoint: Exchange(endpoint, options.user, options.timeout, options.agent)
            for endpoint in {*options.endpoints, *options.writers}
        }
        self._serial = 0
        # Of its own keys; None: nothing; not there: that is not certain.
        self._held: dict[tuple[str, str], Held | None] = {}
        self._todo = list(options.mix)
        self._weights = [options.mix[one] for one in self._todo]

    def step(self) -> None:
        """Do one thing."""
        getattr(self, "_" + self.random.choices(self._todo, self._weights)[0])()

    def run(self, keep_on: list[bool]) -> None:
        """Do one thing after another, until *keep_on* is empty or the time is over."""
        begun = time.monotonic()
        done = 0
        while keep_on and not (self.options.seconds and time.monotonic() - begun >= self.options.seconds):
            self.step()
            done += 1
            if self.options.rate:
                time.sleep(max(0.0, begun + done / self.options.rate - time.monotonic()))

    # What it is done to.

    def _bucket(self) -> str:
        return self.random.choice(self.options.buckets)

    def _own(self) -> str:
        number = self.random.randrange(self.options.keys)
        return f"w{self.options.number}/d{number % 5}/k{number}"

    def _any(self) -> str:
        chance = self.random.random()
        if self.options.hot and (chance < 0.2 or not self.options.keys):
            return f"hot/{self.random.randrange(self.options.hot)}"
        return self._own()

    def _length(self) -> int:
        kind = self.random.choices(list(self.options.sizes), list(self.options.sizes.values()))[0]
        low, high = _LENGTHS.get(kind, (1 << 20, max(self.options.largest, 1 << 20)))
        return min(self.random.randint(low, high), self.options.largest)

    def _version(self) -> str:
        self._serial += 1
        return f"{self.options.number}.{self._serial}"

    def _reader(self) -> Exchange:
        return self._exchanges[self.random.choice(self.options.endpoints)]

    def _writer(self) -> Exchange:
        return self._exchanges[self.random.choice(self.options.writers or self.options.endpoints)]

    # Writes.

    def _record(self, call: str, reply: Reply, **fields: Any) -> str:
        self.ledger.end(call, reply.outcome, status=reply.status, code=reply.code if reply.status >= 300 else "", **fields)
        return reply.outcome

    def _remember(self, bucket: str, key: str, outcome: str, now: Held | None) -> None:
        if outcome == OK:
            self._held[bucket, key] = now
        elif outcome == MAYBE:
            self._held.pop((bucket, key), None)

    def _put(self, key: str | None = None, headers: Mapping[str, str] | None = None, *, bad: bool = False) -> None:
        bucket, key, version = self._bucket(), key or self._own(), self._version()
        content = (key, version, self._length())
        data = body(*content)
        sent = {**metadata(version, content), **(headers or {})}
        tags = ""
        if self.random.random() < 0.4:
            tags = version
            sent["x-amz-tagging"] = f"t={tags}"
        if self.random.random() < 0.05 and not bad:
            sent["If-None-Match"] = "*"
        call = self.ledger.begin(op="put", bucket=bucket, key=key, shown=version, content=content, tags=tags, bad=bad)
        reply = self._writer().ask("PUT", f"{bucket}/{key}", None, sent, data)
        etag = reply.headers.get("etag")
        self._remember(bucket, key, self._record(call, reply, etag=etag), Held(version, content, etag))

    def _hot(self) -> None:
        if self.options.hot:
            self._put(f"hot/{self.random.randrange(self.options.hot)}")

    def _bad(self) -> None:
        md5 = base64.b64encode(hashlib.md5(b"another body", usedforsecurity=False).digest()).decode()
        crc = {"x-amz-checksum-crc32": "AAAAAQ=="}
        self._put(headers=self.random.choice(({"Content-MD5": md5}, crc)), bad=True)

    def _copy(self) -> None:
        certain = [(bucket, key) for (bucket, key), held in self._held.items() if held is not None and not key.startswith("hot/")]
        if not certain:
            return
        bucket, source = self.random.choice(certain)
        key, version = self._own(), self._version()
        held = self._held[bucket, source]
        if key == source or held is None:
            return
        shown, content = held.shown, held.content
        sent = {"x-amz-copy-source": f"/{bucket}/{source}", "x-amz-tagging-directive": "REPLACE", "x-amz-tagging": f"t={version}"}
        if self.random.random() < 0.5 or self.options.late:
            shown = version
            sent |= {"x-amz-metadata-directive": "REPLACE", **metadata(version, content)}
        if self.options.late and held.etag:
            sent["x-amz-copy-source-if-match"] = held.etag
        call = self.ledger.begin(op="copy", bucket=bucket, key=key, shown=shown, content=content, tags=version)
        reply = self._writer().ask("PUT", f"{bucket}/{key}", None, sent)
        etag = next(iter(reply.texts("ETag")), None)
        self._remember(bucket, key, self._record(call, reply, etag=etag), Held(shown, content, etag))

    def _upload(self) -> None:
        bucket, key, version = self._bucket(), self._own(), self._version()
        length = self.random.choice((self._length(), self.random.randint(5 << 20, 7 << 20) if self.options.largest >= 7 << 20 else 70_000))
        content, writer = (key, version, length), self._writer()
        reply = writer.ask("POST", f"{bucket}/{key}", {"uploads": ""}, {**metadata(version, content), "x-amz-tagging": f"t={version}"})
        upload = next(iter(reply.texts("UploadId")), "")
        if reply.status != 200 or not upload:
            return
        cuts = [0, length] if length < 5 << 20 else [0, 5 << 20, length]
        etags, begun = [], time.monotonic_ns()
        for number, (start, end) in enumerate(itertools.pairwise(cuts), 1):
            data = piece(*content, start, end)
            reply = writer.ask("PUT", f"{bucket}/{key}", {"partNumber": str(number), "uploadId": upload}, None, data)
            if reply.status != 200:
                self._give_up(bucket, key, upload, reply)
                return
            etags.append(reply.headers.get("etag", ""))
        if self.random.random() < 0.1:
            writer.ask("DELETE", f"{bucket}/{key}", {"uploadId": upload})
            return
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{escape(etag)}</ETag></Part>" for n, etag in enumerate(etags, 1))
        xml = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        fields = {"bucket": bucket, "key": key, "shown": version, "content": content, "tags": version, "upload": upload, "xml": xml}
        call = self.ledger.begin(op="complete", staged=(begun, time.monotonic_ns()), **fields)
        reply = writer.ask("POST", f"{bucket}/{key}", {"uploadId": upload}, None, xml.encode())
        etag = next(iter(reply.texts("ETag")), None)
        outcome = self._record(call, reply, etag=etag)
        self._remember(bucket, key, outcome, Held(version, content, etag))
        if outcome == OK and self.random.random() < 0.3:
            call = self.ledger.begin(op="again", bucket=bucket, key=key, upload=upload, etag=etag)
            reply = self._writer().ask("POST", f"{bucket}/{key}", {"uploadId": upload}, None, xml.encode())
            self._record(call, reply, told=next(iter(reply.texts("ETag")), None))

    def _give_up(self, bucket: str, key: str, upload: str, reply: Reply) -> None:
        """As clients do: parts that nobody wants any more would fill a small store. One that was not answered is left as it is."""
        if reply.status:
            self._writer().ask("DELETE", f"{bucket}/{key}", {"uploadId": upload})

    def _delete(self) -> None:
        bucket, key = self._bucket(), self._any()
        call = self.ledger.begin(op="delete", bucket=bucket, key=key, shown=None, tags=None)
        self._remember(bucket, key, self._record(call, self._writer().ask("DELETE", f"{bucket}/{key}")), None)

    def _batch(self) -> None:
        bucket, keys = self._bucket(), sorted({self._own() for _ in range(3)})
        calls = {key: self.ledger.begin(op="delete", bucket=bucket, key=key, shown=None, tags=None) for key in keys}
        xml = "<Delete>" + "".join(f"<Object><Key>{key}</Key></Object>" for key in keys) + "</Delete>"
        md5 = base64.b64encode(hashlib.md5(xml.encode(), usedforsecurity=False).digest()).decode()
        reply = self._writer().ask("POST", bucket, {"delete": ""}, {"Content-MD5": md5}, xml.encode())
        deleted = {child.text for one in reply.elements("Deleted") for child in one if child.tag.endswith("Key")}
        for key, call in calls.items():
            outcome = reply.outcome if reply.outcome != OK else OK if key in deleted else MAYBE
            self.ledger.end(call, outcome, status=reply.status)
            self._remember(bucket, key, outcome, None)

    def _tags(self) -> None:
        bucket, key, version = self._bucket(), self._own(), self._version()
        if self._held.get((bucket, key)) is None:
            return
        xml = f"<Tagging><TagSet><Tag><Key>t</Key><Value>{version}</Value></Tag></TagSet></Tagging>"
        call = self.ledger.begin(op="tags", bucket=bucket, key=key, tags=version)
        self._record(call, self._writer().ask("PUT", f"{bucket}/{key}", {"tagging": ""}, None, xml.encode()))

    # Reads.

    def _read(self) -> None:
        bucket, key = self._bucket(), self._any()
        call = self.ledger.begin(flushed=False, op="read", bucket=bucket, key=key)
        headers = {}
        if self.random.random() < 0.25:
            start = self.random.choice((0, self.random.randrange(1 << 17)))
            headers["Range"] = f"bytes={start}-{start + self.random.randrange(1 << 18)}"
        reader = self._reader()
        self._told(call, looked_at(reader.ask("GET", f"{bucket}/{key}", None, headers)) | {"via": reader.endpoint})

    def _head(self) -> None:
        bucket, key = self._bucket(), self._any()
        call = self.ledger.begin(flushed=False, op="read", bucket=bucket, key=key)
        reader = self._reader()
        self._told(call, looked_at(reader.ask("HEAD", f"{bucket}/{key}"), head=True) | {"via": reader.endpoint})

    def _list(self) -> None:
        bucket, prefix = self._bucket(), f"w{self.options.number}/"
        call = self.ledger.begin(flushed=False, op="list", bucket=bucket, prefix=prefix)
        self._told(call, listing(self._reader(), bucket, prefix, self.random.choice((3, 10, 1000))))

    def _read_tags(self) -> None:
        bucket, key = self._bucket(), self._own()
        call = self.ledger.begin(flushed=False, op="read_tags", bucket=bucket, key=key)
        self._told(call, tag_of(self._reader().ask("GET", f"{bucket}/{key}", {"tagging": ""})))

    def _told(self, call: str, told: Mapping[str, Any]) -> None:
        status = told["status"]
        self.ledger.end(call, OK if 200 <= status < 300 else NO if 400 <= status < 500 else MAYBE, flushed=False, **told)


def main() -> None:
    """Read the options and do as they say."""
    given = json.loads(sys.argv[1])
    options = Options(**given)
    keep_on = [True]
    signal.signal(signal.SIGTERM, lambda *_: keep_on.clear())
    ledger = Ledger(Path(options.ledgers), f"g{options.number}-{time.monotonic_ns()}")
    Generator(options, ledger).run(keep_on)
    ledger.close()


if __name__ == "__main__":
    main()
