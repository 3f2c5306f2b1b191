"""Load by several processes, and what is looked at when it is over.

with Load(options, processes=4) as load:   # they begin
    ...                                    # faults; load.event("killed") after each kill -9
load.verify()                              # reads everything, through every endpoint, into the ledgers too
verdict = judge(Path(options.ledgers), options.seed)
assert verdict.clean, verdict.told()
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Container
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attrs import evolve

from tests.faults.exchange import Exchange
from tests.faults.generator import Options
from tests.faults.ledger import MAYBE, NO, OK, SUFFIX, Ledger, calls, may_be_lost
from tests.faults.reading import listing, looked_at, tag_of

ROOT = Path(__file__).resolve().parent.parent.parent


class Load:
    """*processes* of `tests.faults.generator` with *options*, their numbers from *first* on. A context manager."""

    def __init__(self, options: Options, processes: int = 2, first: int = 0) -> None:
        self.options = options
        self._numbers = range(first, first + processes)
        self._running: list[subprocess.Popen[bytes]] = []
        # Of each ledger: how much has been looked at, and how many calls had ended there.
        self._counted: dict[Path, tuple[int, int]] = {}
        self._ledger = Ledger(Path(options.ledgers), f"watch{first}-{time.monotonic_ns()}")

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.end()

    def begin(self) -> None:
        """Start the processes. May be done again after `end`."""
        for number in self._numbers:
            command = [sys.executable, "-m", "tests.faults.generator", evolve(self.options, number=number).encode()]
            self._running.append(subprocess.Popen(command, cwd=ROOT))

    @property
    def running(self) -> bool:
        """Whether all of them run."""
        return bool(self._running) and all(one.poll() is None for one in self._running)

    def last(self, seconds: float) -> None:
        """Let it go on for so long. Raises CalledProcessError as soon as one of the processes has failed."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for one in self._running:
                if one.poll():
                    raise subprocess.CalledProcessError(one.returncode, one.args)
            time.sleep(0.05)

    def wait(self) -> None:
        """Wait till they have ended by themselves, as `seconds` says."""
        for one in self._running:
            one.wait()

    def end(self) -> None:
        """Tell them to end, and wait for it. Raises CalledProcessError for one that has failed."""
        running, self._running = self._running, []
        for one in running:
            one.send_signal(signal.SIGTERM)
        for one in running:
            try:
                status = one.wait(2 * self.options.timeout + 10)
            except subprocess.TimeoutExpired:
                one.kill()
                status = one.wait()
            # One that is told to end before it has begun to listen for that has done nothing yet.
            if status not in (0, -signal.SIGTERM):
                raise subprocess.CalledProcessError(status, one.args)

    def event(self, kind: str, **fields: Any) -> None:
        """See `Ledger.event`."""
        self._ledger.event(kind, **fields)

    def until(self, count: int, seconds: float = 60.0) -> None:
        """Wait till *count* calls have ended. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.ended() < count:
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.02)

    def ended(self) -> int:
        """How many calls have ended, of all in the directory of the ledgers."""
        for path in Path(self.options.ledgers).glob(f"*{SUFFIX}"):
            offset, count = self._counted.get(path, (0, 0))
            if path.stat().st_size > offset:
                with path.open("rb") as file:
                    file.seek(offset)
                    whole = file.read().rpartition(b"\n")[0] + b"\n"
                if whole != b"\n":
                    self._counted[path] = offset + len(whole), count + whole.count(b'{"end"')
        return sum(count for _, count in self._counted.values())

    def settle(self, buckets: Container[str] | None = None) -> None:
        """Ask once more for each completion, in *buckets*, that is in doubt: the upload is still there, or has become the object.

        Unless a power cut may have taken a part of it, it has to be answered.
        """
        done, events = calls(Path(self.options.ledgers))
        decided = {call["upload"] for call in done if call["op"] == "complete" and call["outcome"] != MAYBE}
        exchange = Exchange((self.options.writers or self.options.endpoints)[0], self.options.user, self.options.timeout)
        for call in done:
            if call["op"] != "complete" or call["upload"] in decided or (buckets is not None and call["bucket"] not in buckets):
                continue
            decided.add(call["upload"])
            fields = {name: call[name] for name in ("bucket", "key", "shown", "content", "tags", "upload", "xml", "staged")}
            again = self._ledger.begin(op="complete", **fields)
            reply = exchange.ask("POST", f"{call['bucket']}/{call['key']}", {"uploadId": call["upload"]}, None, call["xml"].encode())
            etag = next(iter(reply.texts("ETag")), None)
            self._ledger.end(again, reply.outcome, status=reply.status, code=reply.code, etag=etag)
            if reply.outcome == NO and not any(may_be_lost(event, call["bucket"], *call["staged"]) for event in events):
                stuck = self._ledger.begin(op="again", bucket=call["bucket"], key=call["key"], upload=call["upload"], etag=None)
                self._ledger.end(stuck, NO, status=reply.status, told=reply.code)
        exchange.close()

    def verify(self, *, complete: bool = True) -> None:
        """Read every key that was ever written, its tags and all listings, through each endpoint; first `settle`, if *complete*."""
        if complete:
            self.settle()
        done, _ = calls(Path(self.options.ledgers))
        keys = sorted({(call["bucket"], call["key"]) for call in done if "shown" in call and call["op"] not in ("read", "again")})
        for endpoint in self.options.endpoints:
            exchange = Exchange(endpoint, self.options.user, self.options.timeout)
            for bucket, key in keys:
                call = self._ledger.begin(flushed=False, op="read", bucket=bucket, key=key, last=True)
                self._told(call, looked_at(exchange.ask("GET", f"{bucket}/{key}")))
                call = self._ledger.begin(flushed=False, op="read_tags", bucket=bucket, key=key, last=True)
                self._told(call, tag_of(exchange.ask("GET", f"{bucket}/{key}", {"tagging": ""})))
            for bucket in self.options.buckets:
                for prefix in sorted({key.partition("/")[0] + "/" for at, key in keys if at == bucket}):
                    call = self._ledger.begin(flushed=False, op="list", bucket=bucket, prefix=prefix, last=True)
                    self._told(call, listing(exchange, bucket, prefix, 100))
            exchange.close()

    def _told(self, call: str, told: dict[str, Any]) -> None:
        status = told["status"]
        self._ledger.end(call, OK if 200 <= status < 300 else NO if 400 <= status < 500 else MAYBE, flushed=False, **told)
