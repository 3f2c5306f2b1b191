"""Every parser of foreign bytes is total: whatever comes, it gives a value or an error of S3, soon. `make fuzz` looks for longer."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 0.7
MOST_SECONDS = 0.05

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def corpus(target: Target) -> list[bytes]:
    """What a target has been fuzzed with that reached something new."""
    return [*target.seeds, *(path.read_bytes() for path in sorted((CORPUS / target.name).glob("*")))]


def try_it(target: Target, data: bytes) -> float:
    """Run *target*; the seconds of the processor that it took."""
    begun = time.process_time()
    with contextlib.suppress(target.expected):
        target.run(data)
    return time.process_time() - begun


def mutations(found: list[bytes], seed: str) -> Iterator[bytes]:
    """Bytes like those: changed, cut, joined, repeated."""
    chosen = random.Random(seed)
    while True:
        data = bytearray(chosen.choice(found))
        for _ in range(chosen.randrange(1, 4)):
            at = chosen.randrange(len(data) + 1)
            kind = chosen.randrange(6)
            if kind == 0 and data:
                data[at % len(data)] = chosen.randrange(256)
            elif kind == 1:
                data[at:at] = chosen.choice((b"\0", b"\r\n", b"%", b"\xff", b"\x1c", b":", b"=", b"/", b"0", b"-", b"\xc3\xa9", b"&", b";"))
            elif kind == 2:
                del data[at : at + chosen.randrange(1, 20)]
            elif kind == 3:
                other = chosen.choice(found)
                data[at:] = other[chosen.randrange(len(other) + 1) :]
            elif kind == 4:
                data[at:at] = data[at : at + chosen.randrange(1, 40)] * chosen.choice((1, 2, 30))
            else:
                data[at:at] = chosen.randbytes(chosen.randrange(1, 6))
        yield bytes(data[:4096])


@every_target
def test_bytes_give_a_value_or_an_error(target: Target) -> None:
    """What was found before, and for a moment things like it, raise nothing unforeseen and take less than 50 ms each."""
    found = corpus(target)
    for data in found:
        assert try_it(target, data) < MOST_SECONDS or try_it(target, data) < MOST_SECONDS, data
    deadline = time.monotonic() + SECONDS
    for data in mutations(found, target.name):
        try:
            assert try_it(target, data) < MOST_SECONDS or try_it(target, data) < MOST_SECONDS
        except Exception as problem:
            raise AssertionError(data) from problem
        if time.monotonic() >= deadline:
            break
