"""What the ledgers prove: each answer is compared with what could be so when it was given.

A write has happened by the end of its call if it was OK, by the first answer that showed it if it was MAYBE, never if it was NO. An
answer is right if it shows a write that had begun before the answer ended, and after whose end no other write that had happened before
the answer began had itself begun (a regular register, for every key, one for the object and one for its tags). What is wrong is one of

- L, lost: an older version, or nothing, where something newer is certain; other metadata, tags or ETag; not listed, or listed twice;
  a repeated completion that is refused; an object that can't be read when all is over.
- T, torn: a whole answer whose bytes are no version's.
- W, wrong bytes: an answer that ended as if it were whole, and has more or fewer bytes than its version.
- R, resurrected: an older version after a delete that was OK.
- F, a false no: what was refused has happened; what is there is said to be missing or forbidden, and found later.
- G, garbage: what is left over; that is looked for by `leftovers`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.faults.ledger import MAYBE, NO, OK, Fields, calls, may_be_lost
from tests.faults.reading import RIGHT, TORN, WRONG

PROPERTIES = "LTWRFG"

Key = tuple[str, str]


@define
class Write:
    """A write to a register: *value* is what it shows afterwards, None: nothing. *known*: when it had certainly happened."""

    id: str
    value: Any
    start: float
    end: float
    known: float
    outcome: str
    call: Mapping[str, Any]
    # When it was seen of a worker that answers from memory: in the store it had happened by then.
    seen: float = math.inf


@define
class Register:
    """All writes to one key's object, or to its tags."""

    writes: list[Write] = field(factory=lambda: [Write("", None, -math.inf, -math.inf, -math.inf, OK, {})])
    _times: list[float] = field(factory=list)
    _newest: list[float] = field(factory=list)
    # The same of the store itself.
    _stored_times: list[float] = field(factory=list)
    _stored_newest: list[float] = field(factory=list)
    # In the order in which they began: when, and when the last of those up to there had ended.
    _starts: list[float] = field(factory=list)
    _latest: list[float] = field(factory=list)
    _by_value: dict[Any, list[Write]] = field(factory=lambda: defaultdict(list))

    def of(self, value: Any) -> list[Write]:
        """The writes that show *value*. No more may come then."""
        if not self._by_value:
            for one in self.writes:
                self._by_value[one.value].append(one)
        return self._by_value.get(value, [])

    def settle(self) -> None:
        """No more comes, and nothing more is learned of those that came; look-ups may begin."""
        newest = stored = -math.inf
        for one in sorted(self.writes, key=lambda one: one.known):
            newest = max(newest, one.start)
            self._times.append(one.known)
            self._newest.append(newest)
        for one in sorted(self.writes, key=lambda one: min(one.known, one.seen)):
            stored = max(stored, one.start)
            self._stored_times.append(min(one.known, one.seen))
            self._stored_newest.append(stored)
        latest = -math.inf
        self.writes.sort(key=lambda one: one.start)
        for one in self.writes:
            latest = max(latest, one.end)
            self._starts.append(one.start)
            self._latest.append(latest)

    def superseded(self, one: Write, at: float) -> bool:
        """Whether at the time *at* something newer was certain."""
        place = bisect_left(self._times, at)
        return place > 0 and self._newest[place - 1] > one.end

    def possible(self, value: Any, start: float, end: float) -> list[Write]:
        """The writes that show *value* and that an answer given between *start* and *end* may have shown."""
        return [one for one in self.of(value) if one.outcome != NO and one.start < end and not self.superseded(one, start)]

    def values(self, start: float, end: float, *, stored: bool = False) -> set[Any]:
        """All that an answer given then may have shown; one that the store was asked for, if it is *stored*."""
        if not self._starts:  # it was only ever read
            self.settle()
        times, newest = (self._stored_times, self._stored_newest) if stored else (self._times, self._newest)
        place = bisect_left(times, start)
        certain = newest[place - 1] if place else -math.inf
        found = set()
        for at in range(bisect_left(self._starts, end) - 1, -1, -1):
            if self._latest[at] < certain:
                break
            one = self.writes[at]
            if one.outcome != NO and one.end >= certain:
                found.add(one.value)
        return found


@define
class Verdict:
    """*found* are the violations, each a property's letter and what happened; *counts* is what was done."""

    found: list[tuple[str, str]]
    counts: Mapping[str, int]
    seed: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing was wrong."""
        return not self.found

    def add(self, letter: str, what: str) -> None:
        """One more violation."""
        self.found.append((letter, what))

    def __str__(self) -> str:
        """The verdict in one line."""
        of = Counter(letter for letter, _ in self.found)
        done = " ".join(f"{name}={count}" for name, count in self.counts.items())
        broken = " ".join(f"{letter}={of[letter]}" for letter in PROPERTIES)
        return f"verdict={'clean' if self.clean else 'BROKEN'} seed={self.seed} {done} {broken}"

    def told(self, most: int = 20) -> str:
        """The line, and the first violations."""
        return "\n".join([str(self), *(f"  {letter}: {what}" for letter, what in self.found[:most])])


def judge(directory: Path, seed: int = 0, remembered: Container[str] = ()) -> Verdict:
    """The verdict on the ledgers in *directory*, written with *seed*.

    *remembered* are buckets that several workers answer from memory: who has seen a write there whose answer was MAYBE knows that it has
    happened, but another worker that could not be told of it may go on to show what was there before. Listings come from the store, which
    has it. What was OK all have been told of.
    """
    done, events = calls(directory)
    return _Court(done, events, seed, remembered).verdict()


class _Court:
    def __init__(self, done: Sequence[Fields], events: Sequence[Fields], seed: int, remembered: Container[str]) -> None:
        self._remembered = remembered
        self._calls = sorted(done, key=lambda call: call["start"])
        self._events = sorted(events, key=lambda event: event["at"])
        self._objects: dict[Key, Register] = defaultdict(Register)
        self._tags: dict[Key, Register] = defaultdict(Register)
        self._etags: dict[Key, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._of_upload: dict[tuple[str, str, str], list[Write]] = defaultdict(list)
        self._verdict = Verdict([], {}, seed)
        self._reads = [call for call in self._calls if call["op"] in ("read", "read_tags", "list")]

    def verdict(self) -> Verdict:
        for call in self._calls:
            self._take(call)
        self._learn()
        for register in [*self._objects.values(), *self._tags.values()]:
            register.settle()
        checks = {"read": self._read, "read_tags": self._read_tags, "list": self._list, "again": self._again}
        for call in self._calls:
            if call["op"] in checks and call["end"] is not None:
                checks[call["op"]](call)
        outcomes = Counter(call["outcome"] for call in self._calls if call["op"] not in ("read", "read_tags", "list"))
        self._verdict.counts = {
            "calls": len(self._calls),
            "OK": outcomes[OK],
            "NO": outcomes[NO],
            "MAYBE": outcomes[MAYBE],
            "reads": sum(call["outcome"] == OK for call in self._reads),
            "events": len(self._events),
        }
        return self._verdict

    def _take(self, call: Fields) -> None:
        key = (call["bucket"], call.get("key", ""))
        if call.get("bad") and call["outcome"] == OK:
            self._verdict.add("F", f"{_name(call)}: a body that is not what was announced was taken")
        for field_, registers in (("shown", self._objects), ("tags", self._tags)):
            if field_ in call and call["op"] not in ("read", "read_tags"):
                write = self._write(call, call[field_])
                same = self._of_upload[field_, call["bucket"], call["upload"]] if call.get("upload") else []
                if same and write.outcome != NO:  # the same completion, asked for once more
                    one = same[0]
                    one.end, one.known = max(one.end, write.end), min(one.known, write.known)
                    one.outcome = OK if OK in (one.outcome, write.outcome) else MAYBE
                elif not same:
                    registers[key].writes.append(write)
                    same.append(write)
        if call["outcome"] == OK and call.get("etag") and "shown" in call and call["op"] not in ("read", "again"):
            self._etags[key][call["shown"]].add(call["etag"].strip('"'))

    def _write(self, call: Fields, value: Any) -> Write:
        start, end, outcome = call["start"], call["end"], call["outcome"]
        known = end if outcome == OK else math.inf
        done = known
        for event in self._events:
            if event.get("bucket") not in (None, call["bucket"]) or start > event["over"]:
                continue
            if outcome == OK and may_be_lost(event, call["bucket"], start, end):
                outcome, known, done = MAYBE, math.inf, event["over"]
            elif outcome == MAYBE:
                done = min(done, event["over"])
        return Write(call["id"], value, start, done, known, outcome, call)

    def _learn(self) -> None:
        """What was seen has happened; unless the machine has stopped since."""
        for call in self._reads:
            if call["op"] == "list" or call["outcome"] != OK or call.get("bytes", RIGHT) != RIGHT:
                continue
            registers, value = (self._objects, call["shown"]) if call["op"] == "read" else (self._tags, call["tags"])
            shown = [one for one in registers[call["bucket"], call["key"]].of(value) if one.start < call["end"]]
            if len(shown) == 1 and shown[0].outcome == MAYBE and not self._cut_between(shown[0].start, math.inf, call["bucket"]):
                if call["bucket"] in self._remembered:
                    shown[0].seen = min(shown[0].seen, call["end"])
                else:
                    shown[0].known = min(shown[0].known, call["end"])
                shown[0].end = min(shown[0].end, call["end"])

    def _cut_between(self, start: float, end: float, bucket: str) -> bool:
        return any(
            event["event"] == "cut" and event.get("bucket") in (None, bucket) and start < event["at"] < end for event in self._events
        )

    def _read(self, call: Fields) -> None:
        register, name = self._objects[call["bucket"], call["key"]], _name(call)
        status, bytes_ = call.get("status"), call.get("bytes")
        if status == 403:
            self._verdict.add("F", f"{name}: forbidden")
        elif status == 404:
            self._missing(call, register)
        elif call["outcome"] != OK:
            if call.get("last"):
                self._verdict.add("L", f"{name}: can't be read when all is over: {status}")
        elif bytes_ in (TORN, WRONG):
            self._verdict.add("T" if bytes_ == TORN else "W", f"{name}: {status}, of version {call.get('shown')}")
        else:
            self._shown(call, register, call["shown"])
            etags = self._etags[call["bucket"], call["key"]].get(call["shown"])
            if etags and (call["etag"] or "").strip('"') not in etags:
                self._verdict.add("L", f"{name}: version {call['shown']} with the ETag {call['etag']}")
            if call.get("metadata") is False:
                self._verdict.add("L", f"{name}: version {call['shown']} with other metadata")

    def _missing(self, call: Fields, register: Register) -> None:
        if not register.possible(None, call["start"], call["end"]):
            later = any(
                other["op"] == "read" and other["outcome"] == OK and other["start"] > call["end"]
                for other in self._reads
                if (other["bucket"], other.get("key")) == (call["bucket"], call["key"])
            )
            expected = register.values(call["start"], call["end"])
            self._verdict.add("F" if later else "L", f"{_name(call)}: missing, where {_some(expected)} should be")

    def _shown(self, call: Fields, register: Register, value: Any) -> None:
        known = [one for one in register.of(value) if one.start < call["end"]]
        if register.possible(value, call["start"], call["end"]):
            return
        name = _name(call)
        if not known:
            self._verdict.add("T", f"{name}: shows {value}, which nobody wrote there")
        elif all(one.outcome == NO for one in known):
            self._verdict.add("F", f"{name}: shows {value}, which was refused")
        else:
            expected = register.values(call["start"], call["end"])
            self._verdict.add("R" if expected == {None} else "L", f"{name}: shows {value}, where {_some(expected)} should be")

    def _read_tags(self, call: Fields) -> None:
        register = self._tags[call["bucket"], call["key"]]
        if call["outcome"] == OK:
            self._shown(call, register, call["tags"])
        elif call.get("status") == 404:
            self._missing(call, register)
        elif call.get("last") and call["outcome"] != OK:
            self._verdict.add("L", f"{_name(call)}: can't be read when all is over: {call.get('status')}")

    def _list(self, call: Fields) -> None:
        if call["outcome"] != OK:
            if call.get("last"):
                self._verdict.add(
                    "L", f"the listing of {call['bucket']}/{call['prefix']} can't be read when all is over: {call.get('status')}"
                )
            return
        entries = {key: (etag.strip('"'), size) for key, etag, size in call["found"]}
        for key, count in Counter(key for key, _, _ in call["found"]).items():
            if count > 1:
                self._verdict.add("L", f"{call['bucket']}/{key}: listed {count} times")
        for (bucket, key), register in list(self._objects.items()):
            if bucket != call["bucket"] or not key.startswith(call["prefix"]):
                continue
            values = register.values(call["start"], call["end"], stored=True)
            if key not in entries:
                if None not in values:
                    self._verdict.add("L", f"{bucket}/{key}: not listed, where {_some(values)} should be")
            elif not any(self._is_entry(bucket, key, value, register, *entries[key]) for value in values - {None}):
                letter = "R" if values == {None} else "L"
                self._verdict.add(letter, f"{bucket}/{key}: listed as {entries[key]}, where {_some(values)} should be")

    def _is_entry(self, bucket: str, key: str, value: Any, register: Register, etag: str, size: int) -> bool:
        etags = self._etags[bucket, key].get(value)
        sizes = {one.call["content"][2] for one in register.of(value) if one.call.get("content")}
        return size in sizes and (not etags or etag in etags)

    def _again(self, call: Fields) -> None:
        if call["outcome"] == NO or (call["outcome"] == OK and call["etag"] and call.get("told") != call["etag"]):
            self._verdict.add("L", f"{_name(call)}: a completion, repeated, is answered {call.get('status')} {call.get('told')}")


def _name(call: Mapping[str, Any]) -> str:
    return f"{call['bucket']}/{call.get('key', '')} ({call['op']} {call['id']})"


def _some(values: Iterable[Any]) -> str:
    shown = sorted("nothing" if one is None else str(one) for one in values)
    return " or ".join(shown[:4]) + (" or others" if len(shown) > 4 else "")
