"""The ledger checker, before a daemon and a front that lies about it: whatever the lie, it is found out."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.faults.bodies import body, piece
from tests.faults.daemons import Daemon, free_port, make_bucket, properties
from tests.faults.generator import Generator, Options
from tests.faults.judgement import Register, Verdict, judge
from tests.faults.ledger import Ledger
from tests.faults.leftovers import garbage, held
from tests.faults.load import Load

_numbers = itertools.count(1)

Answer = tuple[int, dict[str, str], bytes]
Ask = Callable[[], Answer]
# From the method, the target, and how to ask the daemon, to what the client is told.
Lie = Callable[[str, str, Ask], Answer]


OF_THE_CONNECTION = ("Content-Length", "Transfer-Encoding", "Connection")


class Front(ThreadingHTTPServer):
    """A proxy that says what *lie* makes of an answer."""

    def __init__(self, upstream: str, lie: Lie) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                request = (self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length") or 0)), dict(self.headers))

                def ask() -> Answer:
                    connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=30)
                    connection.connect()
                    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection.request(*request)
                    answer = connection.getresponse()
                    told = (answer.status, dict(answer.getheaders()), answer.read())
                    connection.close()
                    return told

                status, headers, told = lie(self.command, self.path, ask)
                self.send_response_only(status)
                length = headers.get("Content-Length") if self.command == "HEAD" else None
                headers = {
                    name: value for name, value in headers.items() if name not in ("Content-Length", "Transfer-Encoding", "Connection")
                }
                for name, value in (headers | {"Content-Length": length or str(len(told))}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(told)

        super().__init__(("127.0.0.1", 0), Handler)
        self.daemon_threads = True
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    root: Path = tmp_path_factory.mktemp("checker")
    (root / "data").mkdir()
    with Daemon(root) as made:
        made.start(properties(free_port(), root / "data", {"alluxio.worker.s3.durability": "rename"}))
        yield made


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A directory for ledgers, flushed in no time: nothing is cut here."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


def verdict_on(daemon: Daemon, ledgers: Path, lie: Lie, steps: int = 100, **more: Any) -> Verdict:
    """What the checker says of the daemon behind a front. *more*: of the options."""
    upstream = re.findall(r"Serving S3 at (\S+)", daemon.log)[0]
    front = Front(upstream, lie)
    settled = {"seed": 5, "buckets": (f"bucket-{next(_numbers)}",), "keys": 6, "largest": 1 << 20}
    options = Options([front.endpoint], str(ledgers), **(settled | more))
    make_bucket(upstream, options.buckets[0])
    ledger = Ledger(ledgers, "g0")
    generator = Generator(options, ledger)
    for _ in range(steps):
        generator.step()
    Load(options, 0).verify()
    front.shutdown()
    front.server_close()
    return judge(ledgers, 5)


def once_more(kind: Callable[[str, str, Answer], bool], change: Callable[[Answer], Answer], every: int = 4) -> Lie:
    """Lie about each *every*-th answer that is of a *kind*."""
    seen = itertools.count(1)

    def lie(method: str, target: str, ask: Ask) -> Answer:
        answer = ask()
        return change(answer) if kind(method, target, answer) and next(seen) % every == 0 else answer

    return lie


def is_object(target: str) -> bool:
    return "?" not in target and target.count("/") > 1


def is_read(method: str, target: str, answer: Answer) -> bool:
    return method == "GET" and is_object(target) and answer[0] == 200 and len(answer[2]) > 10_000


def unasked(method: str, told: Answer) -> Lie:
    """Tell of every other request with *method* for an object what was *told*, and do nothing."""
    seen = itertools.count(1)

    def lie(asked: str, target: str, ask: Ask) -> Answer:
        return told if asked == method and is_object(target) and next(seen) % 2 == 0 else ask()

    return lie


def truncated(answer: Answer) -> Answer:
    return answer[0], answer[1], answer[2][:-1]


def zero_filled(answer: Answer) -> Answer:
    return answer[0], answer[1], answer[2][:-4096] + bytes(4096)


def emptied(answer: Answer) -> Answer:
    return answer[0], answer[1], b""


def old_tags() -> Lie:
    """Answer each question for tags as the first one of that key was answered."""
    first: dict[str, Answer] = {}

    def lie(method: str, target: str, ask: Ask) -> Answer:
        answer = ask()
        return first.setdefault(target, answer) if method == "GET" and "tagging" in target and answer[0] == 200 else answer

    return lie


def unlisted(answer: Answer) -> Answer:
    return answer[0], answer[1], re.sub(rb"<Contents>.*?</Contents>", b"", answer[2], count=1)


def listed_twice(answer: Answer) -> Answer:
    return answer[0], answer[1], re.sub(rb"(<Contents>.*?</Contents>)", rb"\1\1", answer[2], count=1)


def is_listing(method: str, target: str, answer: Answer) -> bool:
    return "list-type" in target and b"<Contents>" in answer[2]


def is_write(method: str, target: str, answer: Answer) -> bool:
    return method == "PUT" and is_object(target) and answer[0] == 200


def of_other_metadata(answer: Answer) -> Answer:
    return answer[0], {**answer[1], "x-amz-meta-note": "another"}, answer[2]


FORBIDDEN = (403, {}, b"<Error><Code>AccessDenied</Code></Error>")
INVALID_PART = (400, {}, b"<Error><Code>InvalidPart</Code></Error>")
MISSING = (404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
LIES = {
    "a write that was not done": ("L", unasked("PUT", (200, {"ETag": '"' + hashlib.md5(b"").hexdigest() + '"'}, b""))),
    "other metadata": ("L", once_more(is_read, of_other_metadata)),
    "old tags": ("L", old_tags()),
    "not listed": ("L", once_more(is_listing, unlisted, 1)),
    "listed twice": ("L", once_more(is_listing, listed_twice, 1)),
    "zeros at the end": ("T", once_more(is_read, zero_filled)),
    "a short body": ("W", once_more(is_read, truncated)),
    "an empty body with an ETag": ("W", once_more(is_read, emptied)),
    "a delete that was not done": ("R", unasked("DELETE", (204, {}, b""))),
    "refused and done": ("F", once_more(is_write, lambda _: FORBIDDEN)),
    "missing for once": ("F", once_more(is_read, lambda _: MISSING)),
    "forbidden for once": ("F", once_more(is_read, lambda _: FORBIDDEN)),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_found_out(daemon: Daemon, in_memory: Path, lie: str) -> None:
    """Each property has its lies; each is told as a violation of that property."""
    letter, front = LIES[lie]
    verdict = verdict_on(daemon, in_memory, front)
    assert letter in {found for found, _ in verdict.found}, verdict.told()
    assert str(verdict).startswith("verdict=BROKEN seed=5 ")


def test_the_truth_is_believed(daemon: Daemon, in_memory: Path) -> None:
    """The same front without a lie, and one that loses answers visibly, are clean."""

    def lossy(method: str, target: str, ask: Ask) -> Answer:
        status, headers, told = ask()
        return (500, {}, b"") if method == "PUT" and next(losses) % 7 == 0 else (status, headers, told)

    losses = itertools.count(1)
    verdict = verdict_on(daemon, in_memory / "honest", lambda method, target, ask: ask())
    assert verdict.clean, verdict.told()
    assert verdict.counts["reads"] > 20
    verdict = verdict_on(daemon, in_memory / "lossy", lossy)
    assert verdict.clean, verdict.told()
    assert verdict.counts["MAYBE"] > 3


def test_writes_that_come_late_are_no_lies(daemon: Daemon, in_memory: Path) -> None:
    """A write that was given up and comes after the next one, as over a network that was cut, is not held against the daemon."""
    given_up: dict[str, Ask] = {}
    writes = itertools.count(1)
    came = []

    def tardy(method: str, target: str, ask: Ask) -> Answer:
        if method != "PUT" or not is_object(target):
            return ask()
        if target in given_up:
            answer = ask()
            came.append(given_up.pop(target)())
            return answer
        if next(writes) % 3:
            return ask()
        given_up[target] = ask
        return 500, {}, b""

    verdict = verdict_on(daemon, in_memory, tardy, 300, late=True, keys=3, mix={"put": 4, "copy": 4, "read": 2})
    assert verdict.clean, verdict.told()
    assert len(came) > 5


@pytest.mark.parametrize(("staged", "letters"), [((10, 90), ["L"]), ((10, 150), []), ((120, 220), []), ((210, 220), ["L"])])
def test_a_part_that_a_power_cut_took(daemon: Daemon, in_memory: Path, staged: tuple[int, int], letters: list[str]) -> None:
    """A completion that is asked again has to be answered, unless its parts had been asked for before the power was back."""
    front = Front(re.findall(r"Serving S3 at (\S+)", daemon.log)[0], lambda method, target, ask: INVALID_PART)
    options = Options([front.endpoint], str(in_memory), seed=5, buckets=("b",))
    ledger, load = Ledger(in_memory, "g0"), Load(options, 0)
    ledger.begin(op="complete", bucket="b", key="k", shown="1", content=["k", "1", 1], tags="1", upload="u", xml="<x/>", staged=staged)
    ledger.event("cut", bucket="b", grace=0, at=100, over=200)
    load.settle()
    front.shutdown()
    front.server_close()
    assert [letter for letter, _ in judge(in_memory, 5).found] == letters


def test_garbage_is_seen(daemon: Daemon, tmp_path: Path) -> None:
    """A temporary file that stays, and descriptors that are not given back, are told; nothing is told of a daemon that is as it was."""
    before = held(daemon.pid, tmp_path)
    assert garbage(before, lambda: held(daemon.pid, tmp_path), seconds=1) == []
    (tmp_path / ".alluxio-s3" / "tmp").mkdir(parents=True)
    (tmp_path / ".alluxio-s3" / "tmp" / "0123.4").write_bytes(b"left")
    found = garbage(before, lambda: held(daemon.pid, tmp_path), seconds=0)
    assert [one.rpartition("/")[2] for one in found] == ["0123.4"]
    assert garbage(before, lambda: held(daemon.pid), descriptors=-1, threads=-1, resident=-(1 << 30), seconds=0) != []


def test_bodies_are_one_of_a_kind() -> None:
    """A piece is the piece of the whole; no two blocks, versions, keys or lengths have the same bytes."""
    whole = body("k", "1.1", 50_000)
    assert len(whole) == 50_000
    assert piece("k", "1.1", 50_000, 4000, 12_345) == whole[4000:12_345]
    blocks = [whole[at : at + 4096] for at in range(0, 50_000, 4096)]
    blocks += [body(*one)[:4096] for one in (("l", "1.1", 50_000), ("k", "1.2", 50_000), ("k", "1.1", 50_001))]
    assert len(set(blocks)) == len(blocks)


def test_what_was_never_written_is_not_there() -> None:
    """Of a key that was only read, an answer may show nothing, and nothing else."""
    assert Register().values(1.0, 2.0) == {None}


def test_a_write_in_doubt_that_was_seen(tmp_path: Path) -> None:
    """It is certain for all, but for workers that answer from memory; for them too it has happened before what is written after it."""
    ledger = Ledger(tmp_path, "g0")

    def write(shown: str, outcome: str) -> None:
        call = ledger.begin(op="put", bucket="b", key="k", shown=shown)
        ledger.end(call, outcome, status={"OK": 200, "MAYBE": 503}[outcome])

    def read(shown: str) -> None:
        ledger.end(ledger.begin(op="read", bucket="b", key="k"), "OK", status=200, shown=shown, bytes="right", etag=None)

    write("1", "OK")
    write("2", "MAYBE")
    for shown in ("1", "2", "1"):
        read(shown)
    assert [letter for letter, _ in judge(tmp_path).found] == ["L"]
    assert judge(tmp_path, remembered=["b"]).clean
    write("3", "OK")
    read("2")
    assert [letter for letter, _ in judge(tmp_path, remembered=["b"]).found] == ["L"]


def test_a_listing_after_a_write_in_doubt_that_was_seen(tmp_path: Path) -> None:
    """Workers that answer from memory ask the store for listings: what was seen of it is listed, or it is lost."""
    ledger = Ledger(tmp_path, "g0")

    def write(number: int, outcome: str) -> None:
        call = ledger.begin(op="put", bucket="b", key="p/k", shown=str(number), content=["p/k", number, number])
        ledger.end(call, outcome, status={"OK": 200, "MAYBE": 503}[outcome], etag=f'"{number}"')

    def read(number: int) -> None:
        told = {"status": 200, "shown": str(number), "bytes": "right", "etag": f'"{number}"'}
        ledger.end(ledger.begin(op="read", bucket="b", key="p/k"), "OK", **told)

    def listed(number: int) -> None:
        call = ledger.begin(op="list", bucket="b", prefix="p/")
        ledger.end(call, "OK", status=200, found=[["p/k", f'"{number}"', number]])

    write(1, "OK")
    write(2, "MAYBE")
    for number in (1, 2):
        listed(number)
    read(2)
    read(1)
    listed(2)
    assert judge(tmp_path, remembered=["b"]).clean
    listed(1)
    assert [letter for letter, _ in judge(tmp_path, remembered=["b"]).found] == ["L"]
