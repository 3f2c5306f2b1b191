"""The ledger: what was asked of the daemon and what it said, written down before and after each call and flushed to the disk.

One file for each process that writes, `<name>.ledger`, of lines of JSON. A call has two lines with one id: the first, `{"begin": ...}`,
says what is about to be asked, the second, `{"end": ...}`, how it ended; a call without a second line ended as MAYBE. Times are
of the monotonic clock, which all processes of a machine share, in nanoseconds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUFFIX = ".ledger"

OK, NO, MAYBE = "OK", "NO", "MAYBE"

Fields = dict[str, Any]


class Ledger:
    """A file of one process. What *name* makes of it must be new: a ledger is never gone on with."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._file = os.open(directory / (name + SUFFIX), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._name = name
        self._number = 0

    def begin(self, *, flushed: bool = True, **fields: Any) -> str:
        """Write that a call begins, with *fields*; its id. What no line is missed of need not be *flushed*: what only reads."""
        self._number += 1
        call = f"{self._name}.{self._number}"
        self._write({"begin": call, "at": time.monotonic_ns(), **fields}, flushed=flushed)
        return call

    def end(self, call: str, outcome: str, *, flushed: bool = True, **fields: Any) -> None:
        """Write how the call with the id *call* ended: OK, NO or MAYBE, and what was answered."""
        self._write({"end": call, "at": time.monotonic_ns(), "outcome": outcome, **fields}, flushed=flushed)

    def event(self, kind: str, **fields: Any) -> None:
        """Write that something happened to the daemon, *at* some time, by default just now.

        `killed`: it is dead, so what is MAYBE has happened by now or never will. `cut`: so is the machine, which began then; what was OK
        during the *grace* seconds before may be lost (all of it, if that is None). What is answered while the power is being cut is no
        answer of a machine without power: it is MAYBE. A *bucket* says that it happened only there.
        """
        now = time.monotonic_ns()
        self._write({"event": kind, "at": now, "over": now, **fields})

    def _write(self, fields: Fields, *, flushed: bool = True) -> None:
        os.write(self._file, json.dumps(fields, separators=(",", ":")).encode() + b"\n")
        if flushed:
            os.fdatasync(self._file)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def lines(directory: Path) -> Iterator[Fields]:
    """All that is written in the ledgers of *directory*, each in its own order. A line that its writer did not live to end is left out."""
    for path in sorted(directory.glob("*" + SUFFIX)):
        for line in path.read_bytes().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def may_be_lost(event: Fields, bucket: str, start: float, end: float | None) -> bool:
    """Whether a power cut may have taken what *bucket* answered at *end* to who had asked at *start*."""
    if event["event"] != "cut" or event.get("bucket") not in (None, bucket) or end is None or start > event["over"]:
        return False
    grace = event.get("grace", 0)
    return grace is None or end > event["at"] - grace * 1e9


def calls(directory: Path) -> tuple[list[Fields], list[Fields]]:
    """The calls in the ledgers of *directory*, each with `start`, `end` (None: it has no second line) and `outcome`; and the events."""
    begun: dict[str, Fields] = {}
    events: list[Fields] = []
    for line in lines(directory):
        if "event" in line:
            events.append(line)
        elif "begin" in line:
            call = line.pop("begin")
            begun[call] = {**line, "id": call, "start": line.pop("at"), "end": None, "outcome": MAYBE}
        elif line["end"] in begun:
            call = begun[line.pop("end")]
            call.update({**line, "end": line.pop("at")})
    return list(begun.values()), events
