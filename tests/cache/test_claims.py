"""Claims on pages, between processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alluxio_s3.cache.claims import Claims

ONE, OTHER = b"1" * 16, b"2" * 16
PAGES = 12
# Another process, which does what it is told in lines, and answers with lines.
_NEIGHBOUR = """
import json, sys
from alluxio_s3.cache.claims import Claims
claims = Claims(sys.argv[1])
for line in sys.stdin:
    name, version, *numbers = json.loads(line)
    given = range(*numbers) if name == "take" else numbers
    print(json.dumps(getattr(claims, name)(version.encode(), given)), flush=True)
"""


class Neighbour:
    """The claims of another process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def take(self, version: bytes, numbers: range) -> int:
        """See Claims."""
        return int(self._done("take", version, numbers.start, numbers.stop))

    def give_back(self, version: bytes, numbers: list[int]) -> None:
        """See Claims."""
        self._done("give_back", version, *numbers)

    def _done(self, *words: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([word.decode() if isinstance(word, bytes) else word for word in words]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def neighbour(path: Path) -> Iterator[Neighbour]:
    """Another process with the same file."""
    with subprocess.Popen(
        [sys.executable, "-c", _NEIGHBOUR, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Neighbour(process)
        finally:
            process.kill()


STEPS = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from([ONE, OTHER]),
        st.one_of(
            st.tuples(st.integers(0, PAGES), st.integers(0, PAGES)).map(lambda ends: range(min(ends), max(ends))),
            st.sets(st.integers(0, PAGES - 1)).map(sorted),
        ),
    ),
    max_size=30,
)


def test_two_processes_claim_what_the_other_has_not(tmp_path: Path) -> None:
    """Whatever two processes claim and give back: each gets all pages up to the first that the other has, and gives back what it says."""
    with neighbour(tmp_path / "claims") as other:

        @given(STEPS)
        @settings(deadline=None)
        def compare(steps: list[tuple[bool, bytes, range | list[int]]]) -> None:
            mine = Claims(str(tmp_path / "claims"))
            held: dict[bool, set[tuple[bytes, int]]] = {True: set(), False: set()}
            try:
                for is_mine, version, numbers in steps:
                    who: Claims | Neighbour = mine if is_mine else other
                    if isinstance(numbers, list):
                        who.give_back(version, numbers)
                        held[is_mine] -= {(version, number) for number in numbers}
                        continue
                    expected = next((at for at, number in enumerate(numbers) if (version, number) in held[not is_mine]), len(numbers))
                    assert who.take(version, numbers) == expected
                    held[is_mine] |= {(version, number) for number in numbers[:expected]}
            finally:
                mine.close()
                for version in (ONE, OTHER):
                    other.give_back(version, list(range(PAGES)))

        compare()


def test_a_process_that_dies_has_no_claims(tmp_path: Path) -> None:
    """Its claims are gone with it."""
    mine = Claims(str(tmp_path / "claims"))
    with neighbour(tmp_path / "claims") as other:
        assert other.take(ONE, range(2, 5)) == 3
        assert mine.take(ONE, range(6)) == 2
    assert mine.take(ONE, range(6)) == 6


def test_gives_every_claim_where_there_can_be_no_locks(tmp_path: Path) -> None:
    """Without a file to lock each process fetches what it needs."""
    claims = Claims(str(tmp_path / "missing" / "claims"))
    assert claims.take(ONE, range(3)) == 3
    claims.give_back(ONE, [0, 1, 2])
    claims.close()
