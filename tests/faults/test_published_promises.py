"""docs/reliability.md: every row has its promise, and what is said to prove it is there."""

from __future__ import annotations

import re

from tests.faults.load import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (A[0-9]+) \|(.*)\|$", PAGE, re.MULTILINE)


def test_every_row_is_there_once() -> None:
    """A1 to A27, in order, each with a promise, a figure and a proof."""
    assert [row for row, _ in ROWS] == [f"A{number}" for number in range(1, 28)]
    for row, cells in ROWS:
        assert len([cell for cell in cells.split("|") if cell.strip()]) == 3, row


def test_what_proves_them_exists() -> None:
    """Every file that the page names is there, every test that it names is in that file, every command is in the Makefile."""
    named = re.findall(r"`((?:tests|benchmarks|docs)/[\w/.-]+?)(?:::(\w+))?`", PAGE)
    assert len(named) > 10
    for path, test in named:
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), (path, test)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = re.findall(r"`make ([a-z-]+)", PAGE)
    assert "test-faults" in commands
    assert set(commands) <= targets
