"""Who owns what: a consistent ring, the same for everybody who knows the same members. Pure.

The ring is cut into strata of equal length. In each, a worker has one point for each whole unit of its weight, and one more in as many
strata as the rest of it says; where, its id alone decides. A path belongs to the first point at or after its own. So whoever joins
takes a little from everybody and nothing else moves, and the share of one of a thousand stays within a tenth of the mean: its points
are ``STRATA``, and shares vary by one over the root of that. A stratum is sorted when it is first needed, and kept in order as members
come and go.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b, shake_128

STRATA = 2048
# Of the 64 bits of a path: the first choose the stratum, those that follow the position in it.
_STRATUM_SHIFT = 64 - 11
_POSITION_BITS = 48
_POSITION_SHIFT = _STRATUM_SHIFT - _POSITION_BITS
_POSITION_MASK = (1 << _POSITION_BITS) - 1
# A point in a sorted stratum is its position, then the number of the worker.
_NUMBER_BITS = 16
_NUMBER_MASK = (1 << _NUMBER_BITS) - 1
MAX_WORKERS = 1 << _NUMBER_BITS
# Weights count in steps of this.
WEIGHT_STEPS = 256
MAX_WEIGHT = 100.0
# With more changes at once, sorting anew costs less than keeping in order.
_FEW = 8

_Points = tuple["array[int]", ...]


def place(path: str) -> int:
    """Where on the ring ``path`` is: 64 bits."""
    return int.from_bytes(blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class Ring:
    """The workers, by weight. ``change`` makes it another; a new one is empty."""

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights: dict[str, float] = {}
        self._points: dict[str, _Points] = {}
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._free: list[int] = []
        self._strata: list[array[int] | None] = [None] * STRATA
        # The rows of points of all, with what counts of each and whose it is.
        self._rows: list[tuple[array[int], int, int]] | None = None
        self.change(weights or {})

    @property
    def workers(self) -> Collection[str]:
        """The ids of all that are on it."""
        return self._weights.keys()

    def change(self, weights: Mapping[str, float]) -> None:
        """Have these workers on it, and no others: a weight of 2 owns twice what a weight of 1 does. Raises ValueError: too many."""
        if len(weights) > MAX_WORKERS:
            raise ValueError(f"a ring takes up to {MAX_WORKERS} workers")
        # One of no weight would own nothing; if all were so, nobody would.
        wanted = {worker: _stepped(weight) for worker, weight in weights.items()}
        gone = [worker for worker, weight in self._weights.items() if wanted.get(worker) != weight]
        come = [worker for worker, weight in wanted.items() if self._weights.get(worker) != weight]
        keep = len(gone) + len(come) <= _FEW
        self._rows = None
        if not keep:
            self._strata = [None] * STRATA
        for worker in gone:
            self._leave(worker, in_order=keep)
        for worker in come:
            self._join(worker, wanted[worker], in_order=keep)

    def owner(self, path: str) -> str:
        """The id of the worker that owns ``path``. Raises LookupError for an empty ring."""
        at = place(path)
        points = self._strata[at >> _STRATUM_SHIFT]
        if points is not None:
            index = bisect_left(points, (at >> _POSITION_SHIFT & _POSITION_MASK) << _NUMBER_BITS)
            if index < len(points):
                return self._names[points[index] & _NUMBER_MASK]
        for name in self._walk(at):
            return name
        raise LookupError("nobody is on the ring")

    def owners(self, path: str, count: int, without: Collection[str] = ()) -> list[str]:
        """The first ``count`` workers that ``path`` comes to, the owner first, of those not in ``without``; fewer if there are no more."""
        there = len(self._weights) - sum(worker in self._weights for worker in without)
        found: dict[str, None] = {}
        if min(count, there) > 0:
            for name in self._walk(place(path)):
                if name not in without:
                    found[name] = None
                    if len(found) == min(count, there):
                        break
        return list(found)

    def shares(self) -> dict[str, float]:
        """What part of all paths each worker owns, from the lengths of its arcs: exact."""
        lengths = [0] * len(self._names)
        before, first = 0, None
        for number in range(STRATA):
            for point in self._stratum(number):
                at = (number << _POSITION_BITS) + (point >> _NUMBER_BITS) + 1
                first = point & _NUMBER_MASK if first is None else first
                lengths[point & _NUMBER_MASK] += at - before
                before = at
        whole = STRATA << _POSITION_BITS
        if first is not None:
            lengths[first] += whole - before
        return {worker: lengths[number] / whole for worker, number in self._numbers.items()}

    def _walk(self, at: int) -> Iterator[str]:
        """The worker of each point from there on, once round."""
        if not self._weights:
            return
        start = at >> _STRATUM_SHIFT
        points = self._stratum(start)
        index = bisect_left(points, (at >> _POSITION_SHIFT & _POSITION_MASK) << _NUMBER_BITS)
        for point in points[index:]:
            yield self._names[point & _NUMBER_MASK]
        for number in range(start + 1, start + STRATA):
            for point in self._stratum(number % STRATA):
                yield self._names[point & _NUMBER_MASK]
        for point in points[:index]:
            yield self._names[point & _NUMBER_MASK]

    def _stratum(self, number: int) -> array[int]:
        """Its points, in order."""
        points = self._strata[number]
        if points is None:
            if self._rows is None:
                self._rows = [
                    (row, share, self._numbers[worker])
                    for worker, rows in self._points.items()
                    for row, share in zip(rows, _rows(self._weights[worker]), strict=True)
                ]
            found = [
                row[number] & ~_NUMBER_MASK | own
                for row, share, own in self._rows
                if share == WEIGHT_STEPS or row[number] >> _NUMBER_BITS & (WEIGHT_STEPS - 1) < share
            ]
            found.sort()
            points = self._strata[number] = array("Q", found)
        return points

    def _join(self, worker: str, weight: float, *, in_order: bool) -> None:
        if self._free:
            number = self._free.pop()
            self._names[number] = worker
        else:
            number = len(self._names)
            self._names.append(worker)
        self._numbers[worker], self._weights[worker] = number, weight
        self._points[worker] = _points(worker, len(_rows(weight)))
        if in_order:
            for stratum, point in self._own(worker):
                stratum.insert(bisect_left(stratum, point), point)

    def _leave(self, worker: str, *, in_order: bool) -> None:
        if in_order:
            for stratum, point in self._own(worker):
                del stratum[bisect_left(stratum, point)]
        del self._weights[worker], self._points[worker]
        self._free.append(self._numbers.pop(worker))

    def _own(self, worker: str) -> Iterator[tuple[array[int], int]]:
        """The points of a worker in the strata that are sorted."""
        own = self._numbers[worker]
        for row, share in zip(self._points[worker], _rows(self._weights[worker]), strict=True):
            for stratum, value in zip(self._strata, row, strict=True):
                if stratum is not None and value >> _NUMBER_BITS & (WEIGHT_STEPS - 1) < share:
                    yield stratum, value & ~_NUMBER_MASK | own


def _stepped(weight: float) -> float:
    steps = round(min(weight, MAX_WEIGHT) * WEIGHT_STEPS) if weight > 0 else 0
    return max(1, steps) / WEIGHT_STEPS


def _rows(weight: float) -> list[int]:
    """How much of each row of points counts, in steps: all of the first ones, a part of the last."""
    steps = round(weight * WEIGHT_STEPS)
    whole, rest = divmod(steps, WEIGHT_STEPS)
    return [WEIGHT_STEPS] * whole + ([rest] if rest else [])


def _points(worker: str, rows: int) -> _Points:
    """The points of a worker: rows of one for each stratum. A worker that grows keeps those it has."""
    return tuple(_row(worker, number) for number in range(rows))


@lru_cache(maxsize=4096)
def _row(worker: str, number: int) -> array[int]:
    """Shared by all rings, and changed by none."""
    row = array("Q", shake_128(f"{number}\0{worker}".encode("utf-8", "surrogatepass")).digest(8 * STRATA))
    if sys.byteorder != "little":
        row.byteswap()
    return row
