"""How workers know each other on the peers' port: each request, and the head of each answer, carries a seal that only members can make.

A seal of a request is over its method and target (such requests have no body), who sends it and to which process of whom, the sender's
epoch, the time, and a number that each process of a sender uses once. It is good for some minutes, and once: a receiver remembers for each
sender the highest number that it saw and which of those below it, in a window, so what it remembers does not grow with the requests. Which
process answers a connection is asked first; so what one has taken is no good for another, nor for the one that comes after it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections import OrderedDict
from functools import lru_cache
from itertools import count
from urllib.parse import quote, unquote

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from alluxio_s3.interfaces import IMembers

HEADER = "alluxio-peer"
# Clocks of workers may differ by so much.
GOOD_SECONDS = 900.0
WINDOW = 8192
MOST_SENDERS = 4096
MAC_BYTES = 16


@lru_cache(maxsize=16)
def derived(secret: bytes, purpose: str) -> bytes:
    """The members' key for one purpose: what is made for one is no good for another."""
    return hmac.digest(secret, f"alluxio-s3 1 {purpose}".encode(), "sha256")


def mac(key: bytes, message: bytes, size: int = MAC_BYTES) -> bytes:
    """What only who has ``key`` can make of ``message``: BLAKE2b with a key (RFC 7693), a third of the work of an HMAC of OpenSSL."""
    return hashlib.blake2b(message, key=key, digest_size=size).digest()


class BadSeal(Exception):
    """The request is no member's, or it is an old one again."""


@frozen
class Sealed:
    """A request's seal, opened: who sent it, and the number of members' changes that they know of. ``mark`` is to be in the answer's."""

    worker: str
    epoch: int
    mark: str


class Seals:
    """Makes and opens them, for the worker that ``members`` calls ``me``; ``clock`` tells wall time."""

    def __init__(self, members: IMembers, clock: IReactorTime) -> None:
        self._members = members
        self._clock = clock
        # The name of this process among all that there ever are.
        self.process = os.urandom(8).hex()
        self._numbers = count(1)
        # For each sender: the highest number, and a bit for each of those in the window below it.
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def seal(self, receiver: str, method: str, target: str, process: str = "") -> tuple[str, str]:
        """The value of the header for a request to a process of the worker ``receiver``, and the mark that the answer to it will have.

        Without a ``process`` it is good for the question which one it is.
        """
        mine = self._members.me.worker
        mark = f"{self.process}-{next(self._numbers)}"
        fields = [quote(mine, safe=""), str(self._members.epoch), str(int(self._clock.seconds())), mark]
        return f"{' '.join(fields)} {self._mac('request', receiver, process, method, target, *fields)}", mark

    def open(self, value: str, method: str, target: str, *, greeting: bool = False) -> Sealed:
        """Whose request it is. Raises BadSeal. A ``greeting`` asks which process this is."""
        *fields, mac = value.split(" ")
        process = "" if greeting else self.process
        right = self._mac("request", self._members.me.worker, process, method, target, *fields)
        if len(fields) != 4 or not hmac.compare_digest(mac.encode(), right.encode()):
            raise BadSeal("the seal is no member's")
        worker, epoch, seconds, mark = fields
        if abs(self._clock.seconds() - int(seconds)) > GOOD_SECONDS:
            raise BadSeal("the seal is of another time: is the clock right?")
        sender, _, number = mark.partition("-")
        if not self._is_new(sender, int(number)):
            raise BadSeal("the seal has been used")
        return Sealed(unquote(worker), int(epoch), mark)

    def seal_answer(self, mark: str, status: int, length: int, told: str) -> str:
        """The value of the header for the answer to a request."""
        return self._mac("answer", mark, str(status), str(length), told)

    def is_answer(self, value: str, mark: str, status: int, length: int, told: str) -> bool:
        """Whether that is the seal of the answer to the request of that mark."""
        return hmac.compare_digest(value.encode(), self.seal_answer(mark, status, length, told).encode())

    def _mac(self, *parts: str) -> str:
        return mac(derived(self._members.secret, "peers"), json.dumps(parts).encode()).hex()

    def _is_new(self, sender: str, number: int) -> bool:
        highest, bits = self._seen.get(sender, (0, 0))
        if number > highest:
            bits = ((bits << (number - highest)) | 1) & ((1 << WINDOW) - 1) if number - highest < WINDOW else 1
            highest = number
        else:
            bit = 1 << (highest - number)
            if highest - number >= WINDOW or bits & bit:
                return False
            bits |= bit
        self._seen[sender] = (highest, bits)
        self._seen.move_to_end(sender)
        if len(self._seen) > MOST_SENDERS:
            self._seen.popitem(last=False)
        return True
