"""What is known of client programs: which follow a redirect. The table is ``clients.toml``, beside this module."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

FOLLOWS, RESIGNS, NEVER, UNKNOWN = "follows", "resigns", "never", "unknown"
_WORDS = frozenset({FOLLOWS, RESIGNS, NEVER, UNKNOWN})
_TABLE = Path(__file__).with_name("clients.toml")
# Any name may come; so many are remembered.
_REMEMBERED = 4096
_SHOWN = 256


@frozen
class Client:
    """A kind of client, by how its User-Agent begins, and what it ``holds``. See ``clients.toml`` for the words."""

    prefix: str
    may: str
    why: str
    shown: str
    holds: str = ""


_NOBODY = Client("", UNKNOWN, "nothing is known of it", "any other")


class Clients:
    """The table. Raises ValueError for one that makes no sense."""

    def __init__(self, entries: Sequence[Client]) -> None:
        for one in entries:
            if one.may not in _WORDS:
                raise ValueError(f"{one.prefix!r}: {one.may!r} is none of {', '.join(sorted(_WORDS))}")
        if len({(one.prefix, one.holds) for one in entries}) != len(entries):
            raise ValueError("a client is there twice")
        self.entries = tuple(entries)
        self._longest = sorted((one for one in entries if one.prefix), key=lambda one: (-len(one.prefix), -len(one.holds)))
        self._nameless = next((one for one in entries if not one.prefix), _NOBODY)
        self._known: dict[str, Client] = {}

    def find(self, agent: str) -> Client:
        """Who says ``agent`` of itself; "" is who says nothing."""
        agent = agent[:_SHOWN]
        found = self._known.get(agent)
        if found is None:
            found = self._find(agent)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[agent] = found
        return found

    def _find(self, agent: str) -> Client:
        if not agent:
            return self._nameless
        for one in self._longest:
            if agent.startswith(one.prefix) and one.holds in agent:
                return one
        return _NOBODY


def known_clients() -> Clients:
    """The table as it is installed."""
    with _TABLE.open("rb") as file:
        return Clients([Client(**one) for one in tomllib.load(file)["client"]])
