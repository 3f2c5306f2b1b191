"""One user's floods: as many requests as are answered, on many connections, of each kind; and what another user waits meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import selectors
import socket
import statistics
import time
from collections.abc import Collection, Iterator
from typing import Any

from attrs import define, frozen

from benchmarks.load.scene import Served, connected, head, put_ahead, served, time_of

# Of the other user's reads, in a second.
RATE = 300.0
# What a round is, in seconds: the other user alone, a pause, the flood, the other user in the midst of it, and a pause. Those who run
# before others have the cores for less than a second at a time, so no other program is let in between.
ROUND_SECONDS = 2.4
ALONE, FLOOD, BESIDE = (0.0, 0.7), (1.0, 1.85), (1.1, 1.8)
# Of how many rounds together the 99th percentiles are taken.
TOGETHER = 4
# What the flood's client takes at a time: while the kernel copies more for it, the other user's on the same core has to wait.
BUFFER = 128 << 10
KEYS = 1000


@frozen
class Flood:
    """*connections* of a user that each ask *request* again as soon as they have an answer; `{}` in it is the connection's number."""

    what: str
    connections: int
    request: bytes
    body: bytes = b""
    anew: bool = False
    """Whether each request has a connection of its own."""

    def of(self, number: int) -> bytes:
        """The request of a connection."""
        length = b"Content-Length: %d\r\n" % len(self.body) if self.body else b""
        return head(self.request.replace(b"{}", b"%d" % number), b"flood", length) + self.body


FLOODS = (
    Flood("small reads", 256, b"GET /b/small"),
    Flood("HEADs", 256, b"HEAD /b/small"),
    Flood("small reads, each on a new connection", 64, b"GET /b/small", anew=True),
    Flood("reads of 64 MiB", 32, b"GET /b/large"),
    Flood("listings of 1,000 keys", 64, b"GET /many?list-type=2"),
    Flood("writes of 4 KiB", 64, b"PUT /b/w{}", bytes(4096)),
    Flood("reads of what is not there", 256, b"GET /b/missing"),
    Flood("requests that are malformed", 64, b"GET /b/../small", anew=True),
)


@define
class Asking:
    """A connection that asks again and again."""

    socket: socket.socket
    request: bytes
    is_head: bool
    left: int = -1

    def ask(self) -> None:
        """Once."""
        self.left = -1
        self.socket.sendall(self.request)

    def take(self, buffer: memoryview) -> bool:
        """Take what has come: whether that was the end of an answer. Raises ConnectionError when the other end has closed."""
        got = self.socket.recv_into(buffer)
        if not got:
            raise ConnectionError
        if self.left < 0:
            top, _, rest = bytes(buffer[: min(got, 8192)]).partition(b"\r\n\r\n")
            length = int(top.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            self.left = 0 if self.is_head else length - len(rest) - max(0, got - 8192)
        else:
            self.left -= got
        return self.left <= 0


def pour(address: tuple[str, int], flood: Flood, begin: float, rounds: int, told: Any) -> None:
    """In a process of its own: the flood in each round; how many answers it had goes to *told*."""
    put_ahead(rank=2)
    buffer = memoryview(bytearray(BUFFER))
    count = 0
    for number in range(rounds):
        started = begin + number * ROUND_SECONDS
        with selectors.DefaultSelector() as chosen, contextlib.ExitStack() as opened:

            def come(own: int) -> Asking:
                client = opened.enter_context(connected(address))
                asking = Asking(client, flood.of(own), flood.request.startswith(b"HEAD"))
                chosen.register(client, selectors.EVENT_READ, (own, asking))
                return asking

            sleep_until(started + FLOOD[0] - 0.2)
            clients = [come(own) for own in range(flood.connections)]
            sleep_until(started + FLOOD[0])
            for asking in clients:
                asking.ask()
            while time.monotonic() < started + FLOOD[1]:
                for key, _ in chosen.select(0.01):
                    own, asking = key.data
                    ended = closed = False
                    try:
                        ended = asking.take(buffer)
                    except OSError:
                        closed = True
                    if closed or (ended and flood.anew):
                        chosen.unregister(asking.socket)
                        asking.socket.close()
                        asking = come(own)
                        ended = True
                    if ended:
                        count += not closed
                        asking.ask()
    told.put(count)


def read(address: tuple[str, int], begin: float, rounds: int, told: Any) -> None:
    """In a process of its own: the other user's reads, in each round alone and beside the flood; their times go to *told*."""
    put_ahead(rank=3)
    request = head(b"GET /b/small")
    times: list[tuple[list[float], list[float]]] = []
    with connected(address) as client:
        for number in range(rounds):
            pair: tuple[list[float], list[float]] = ([], [])
            for into, (since, until) in zip(pair, (ALONE, BESIDE), strict=True):
                at = begin + number * ROUND_SECONDS + since
                for asked in range(int((until - since) * RATE)):
                    sleep_until(at + asked / RATE)
                    into.append(time_of(client, request))
            times.append(pair)
    told.put(times)


def sleep_until(moment: float) -> None:
    """As *time.monotonic* tells it."""
    time.sleep(max(0.0, moment - time.monotonic()))


@define
class Beside:
    """The 99th percentiles of another user's reads, alone and beside a flood, of some rounds each; and the flood's answers a second."""

    pairs: list[tuple[float, float]]
    rate: float

    @property
    def ratio(self) -> float:
        """How much longer it takes beside the flood: the median."""
        return statistics.median(beside / alone for alone, beside in self.pairs)


def p99(times: list[float]) -> float:
    """The time within which 99 of 100 are."""
    return sorted(times)[int(len(times) * 0.99)]


def measured(one: Served, flood: Flood, groups: int) -> Beside:
    """Another user's reads alone and beside *flood*, in turn.

    The first round does not count: in it the daemon begins threads, which have its main thread's rank until they are told theirs.
    """
    context = multiprocessing.get_context("spawn")
    rounds, begin = 1 + groups * TOGETHER, time.monotonic() + 5
    answers, times = context.Queue(), context.Queue()
    clients = [
        context.Process(target=pour, args=(one.address, flood, begin, rounds, answers)),
        context.Process(target=read, args=(one.address, begin, rounds, times)),
    ]
    for client in clients:
        client.start()
    sleep_until(begin + ROUND_SECONDS)
    put_ahead(one.daemon.pid)  # with the threads that it has begun since
    found = times.get(timeout=rounds * ROUND_SECONDS + 60)
    count = answers.get(timeout=60)
    for client in clients:
        client.join()
    pairs = []
    for at in range(1, rounds, TOGETHER):
        alone, beside = (list(itertools.chain(*times)) for times in zip(*found[at : at + TOGETHER], strict=True))
        pairs.append((p99(alone), p99(beside)))
    return Beside(pairs, count / rounds / (FLOOD[1] - FLOOD[0]))


def floods(rounds: int, only: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Each flood, or ``only`` those of such names, beside which another user reads 300 times a second."""
    with served() as one:
        many = one.root / "many"
        many.mkdir()
        for number in range(KEYS):
            (many / f"key-{number:04}").write_bytes(b"")
        for flood in FLOODS:
            if only and flood.what not in only:
                continue
            found = measured(one, flood, rounds)
            alone, beside = (statistics.median(pair[at] for pair in found.pairs) * 1000 for at in (0, 1))
            told = f"p99 of another user {alone:.2f} ms alone, {beside:.2f} ms beside: {found.ratio:.1f} times"
            yield f"a flood on {flood.connections} connections: {flood.what}", f"{told}; the flood has {found.rate:,.0f} answers a second"
