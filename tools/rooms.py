"""The rooms of the house, their layers, and which room imports which: read from the code.

A room is a package or a module directly in ``alluxio_s3``. A room may import those of lower layers only;
rooms of one layer do not know each other. ``tests/test_house.py`` holds the code to it, ``tools/draw_architecture.py`` draws it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "alluxio_s3"


@frozen
class Layer:
    """Rooms of one height; ``title`` is what they have in common."""

    title: str
    rooms: tuple[str, ...]


LAYERS: tuple[Layer, ...] = (
    Layer("vocabulary", ("storage", "memory")),
    Layer("protocol", ("s3", "threads", "clocks")),
    Layer("promises", ("interfaces",)),
    Layer("fronts", ("forwarding",)),
    Layer("rooms", ("ufs", "namespace", "tags", "auth", "cache", "cluster", "settings", "ops")),
    Layer("actions", ("actions", "plugins")),
    Layer("wire", ("http", "dashboard")),
    Layer("clustering", ("clustering",)),
    Layer("assembly", ("listening", "stores", "admission", "sharing")),
    Layer("renewal", ("reloading",)),
    Layer("inspection", ("inspection",)),
    Layer("wiring", ("gateway",)),
    Layer("supervision", ("supervisor",)),
    Layer("doors", ("tap", "cli", "testing")),
)

# What each room is for, in the words of the drawing.
PURPOSES: Mapping[str, str] = {
    "storage": "values and errors of stores",
    "memory": "whether there is enough",
    "threads": "for what may block",
    "clocks": "for waits, for dates",
    "s3": "the protocol, pure: no I/O",
    "interfaces": "what rooms and plugins promise each other",
    "forwarding": "one store before another",
    "ufs": "under-stores",
    "namespace": "buckets and mounts",
    "tags": "of objects, buckets",
    "auth": "who is asking",
    "cache": "pages on local disks",
    "cluster": "who holds what",
    "settings": "every property",
    "ops": "logs and metrics",
    "actions": "a class per action",
    "plugins": "found by entry point, checked",
    "http": "bytes in, bytes out, one pipeline",
    "dashboard": "pages for operators, live",
    "clustering": "membership, as configured",
    "listening": "ports and their transports",
    "stores": "under-stores, built as configured",
    "admission": "identity and policy, built",
    "sharing": "peers and redirects, built",
    "reloading": "what changes while it serves",
    "inspection": "what there is to know, told",
    "gateway": "everything is built here",
    "supervisor": "several processes, one daemon",
    "tap": "twistd alluxio-s3",
    "cli": "alluxio-s3",
    "testing": "contract suites",
}


def rank(room: str) -> int:
    """The number of a room's layer. Raises KeyError for a room that is in none."""
    for number, layer in enumerate(LAYERS):
        if room in layer.rooms:
            return number
    raise KeyError(room)


def modules() -> Iterator[Path]:
    """Every module of the package, in order."""
    yield from sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a module is in; empty for the package itself."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """The dotted names that a module imports, wherever in it, and the lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def rooms() -> list[str]:
    """The rooms that hold code, lowest layer first, and in a layer in its order.

    A package of which there is only an ``__init__.py`` without a statement is a room that is still empty.
    """
    found = {room_of(path) for path in modules() if _has_code(path)} - {""}
    return sorted(found, key=lambda room: (rank(room), LAYERS[rank(room)].rooms.index(room)))


def lines(room: str) -> int:
    """How many lines of code a room has, blank ones and all."""
    return sum(len(path.read_text().splitlines()) for path in modules() if room_of(path) == room)


def edges() -> set[tuple[str, str]]:
    """Which room imports which, as (importer, imported)."""
    found = set()
    for path in modules():
        for name, _line in imported(path):
            parts = name.split(".")
            if parts[0] == "alluxio_s3" and len(parts) > 1 and parts[1] != "__version__" and room_of(path) not in ("", parts[1]):
                found.add((room_of(path), parts[1]))
    return found


def _has_code(path: Path) -> bool:
    body = ast.parse(path.read_text()).body
    return any(not isinstance(node, ast.Expr) and not (isinstance(node, ast.ImportFrom) and node.module == "__future__") for node in body)
