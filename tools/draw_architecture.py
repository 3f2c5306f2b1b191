"""Draws docs/architecture.svg from the imports of the code: python -m tools.draw_architecture

Rooms are boxes, each in its layer; an arrow is an import, and is left out where others lead there already. A dashed arrow
is an entry point: the room is found by name, not imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

from attrs import frozen

from tools import rooms

COLUMN, GAP, HEIGHT, PITCH = 118, 14, 58, 94
LEFT, TOP, COLUMNS = 104, 26, 9
WIDTH = LEFT + COLUMNS * (COLUMN + GAP) + 10
CLEARANCE, APART, MARGIN = 5, 18, 20

# Where each room is drawn: row from the top, first column, number of columns.
PLACES: Mapping[str, tuple[int, float, float]] = {
    "tap": (0, 0, 4),
    "cli": (0, 4, 3),
    "testing": (0, 7, 2),
    "supervisor": (1, 0, 4),
    "gateway": (2, 0, 8),
    "reloading": (3, 0, 8),
    "listening": (4, 0, 2),
    "stores": (4, 2, 5),
    "admission": (4, 7, 1),
    "http": (5, 0, 2),
    "actions": (6, 1, 1),
    "plugins": (6, 5.5, 3.5),
    "ops": (7, 0, 1),
    "namespace": (7, 1, 2),
    "cache": (7, 3, 1),
    "cluster": (7, 4, 1),
    "ufs": (7, 5, 1),
    "tags": (7, 6, 1),
    "auth": (7, 7, 1),
    "settings": (7, 8, 1),
    "interfaces": (8, 0, 9),
    "s3": (9, 0, 6),
    "threads": (9, 6, 3),
    "storage": (10, 0, 9),
}
# Rooms that take the place of a neighbour which is still empty.
SPREADS: Mapping[str, str] = {"namespace": "cache", "tap": "cli"}
# Whatever builds something reads it: the arrows would say no more, and hide the others.
READ_BY_BUILDERS = "settings"
ROW_TITLES = ("doors", "supervision", "wiring", "renewal", "assembly", "wire", "actions", "rooms", "promises", "protocol", "vocabulary")

STYLE = """\
    text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; }
    .name { font-size: 15px; font-weight: 600; fill: #1c2733; }
    .purpose { font-size: 11px; fill: #53616f; }
    .title { font-size: 12px; font-style: italic; fill: #7a8794; }
    .box { stroke-width: 1.25; }
    .row0 { fill: #f1f3f5; stroke: #adb7c1; }
    .row1 { fill: #f1f3f5; stroke: #adb7c1; }
    .row2 { fill: #f1f3f5; stroke: #adb7c1; }
    .row3 { fill: #f1f3f5; stroke: #adb7c1; }
    .row4 { fill: #f1f3f5; stroke: #adb7c1; }
    .row5 { fill: #e4effb; stroke: #7fb0e3; }
    .row6 { fill: #e2f3ec; stroke: #76c0a0; }
    .row7 { fill: #fdf3dc; stroke: #e0b95c; }
    .row8 { fill: #f2eafa; stroke: #b394d6; }
    .row9 { fill: #fbe9e6; stroke: #df9a8d; }
    .row10 { fill: #f1f3f5; stroke: #adb7c1; }
    .import { stroke: #64727f; stroke-width: 1.5; fill: none; }
    .entry { stroke: #64727f; stroke-width: 1.5; stroke-dasharray: 4 4; fill: none; }
    .head { fill: #64727f; }
    @media (prefers-color-scheme: dark) {
      .name { fill: #e8edf2; }
      .purpose { fill: #a9b5c1; }
      .title { fill: #8794a1; }
      .row0, .row1, .row2, .row3, .row4, .row10 { fill: #232b33; stroke: #56626e; }
      .row5 { fill: #16304a; stroke: #3f79b3; }
      .row6 { fill: #153529; stroke: #3c8d6b; }
      .row7 { fill: #3a2f14; stroke: #a3822f; }
      .row8 { fill: #30243f; stroke: #7f61a4; }
      .row9 { fill: #3c2320; stroke: #a8604f; }
      .import, .entry { stroke: #93a1ae; }
      .head { fill: #93a1ae; }
    }
"""


@frozen
class Box:
    """A room on the picture."""

    room: str
    row: int
    left: int
    right: int

    @property
    def top(self) -> int:
        """The height of its upper edge, from the top of the picture."""
        return TOP + self.row * PITCH

    @property
    def middle(self) -> int:
        """The middle between left and right."""
        return (self.left + self.right) // 2


@frozen
class Arrow:
    """A straight line down from one box to another, ``x`` from the left."""

    upper: Box
    lower: Box
    x: int
    kind: str


def picture() -> str:
    """The whole picture, SVG."""
    boxes = {room: _box(room) for room in rooms.rooms()}
    height = TOP + (max(box.row for box in boxes.values()) + 1) * PITCH - (PITCH - HEIGHT) + 44
    return "".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img"'
                ' aria-label="The rooms of alluxio_s3 and what imports what">\n'
            ),
            f"  <style>\n{STYLE}  </style>\n",
            *_titles({box.row for box in boxes.values()}),
            *(_draw_arrow(arrow) for arrow in _arrows(boxes)),
            *(_draw_box(box) for box in boxes.values()),
            *_legend(height - 16),
            "</svg>\n",
        ]
    )


def _box(room: str) -> Box:
    if room not in PLACES:
        raise LookupError(f"the room {room!r} has no place in tools/draw_architecture.py")
    row, first, columns = PLACES[room]
    if room in SPREADS and SPREADS[room] not in rooms.rooms():
        columns += PLACES[SPREADS[room]][2]
    left = LEFT + round(first * (COLUMN + GAP))
    return Box(room, row, left, left + round(columns * (COLUMN + GAP)) - GAP)


def _arrows(boxes: Mapping[str, Box]) -> list[Arrow]:
    drawn: list[Arrow] = []
    named = _found_by_name()
    pairs = [(upper, lower, "import") for upper, lower in sorted(_reduced(rooms.edges() | named) - named) if lower != READ_BY_BUILDERS]
    pairs += [(upper, lower, "entry") for upper, lower in sorted(named)]
    # Those with the least room to choose from go first.
    pairs.sort(key=lambda pair: (min(boxes[pair[0]].right - boxes[pair[0]].left, boxes[pair[1]].right - boxes[pair[1]].left), pair))
    for upper, lower, kind in pairs:
        drawn.append(Arrow(boxes[upper], boxes[lower], _clear_x(boxes[upper], boxes[lower], boxes, drawn), kind))
    return drawn


def _reduced(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The edges that no longer way replaces."""

    def reachable(start: str, skipped: tuple[str, str]) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            here = waiting.pop()
            for upper, lower in edges:
                if upper == here and (upper, lower) != skipped and lower not in found:
                    found.add(lower)
                    waiting.append(lower)
        return found

    return {edge for edge in edges if edge[1] not in reachable(edge[0], edge)}


def _found_by_name() -> set[tuple[str, str]]:
    """From ``plugins`` to the rooms that the daemon's own entry points are in."""
    groups = ("alluxio_s3.ufs", "alluxio_s3.authenticators", "alluxio_s3.tag_stores")
    values = [entry.value for group in groups for entry in entry_points(group=group) if entry.dist and entry.dist.name == "alluxio-s3"]
    return {("plugins", value.split(".")[1]) for value in values}


def _clear_x(upper: Box, lower: Box, boxes: Mapping[str, Box], drawn: list[Arrow]) -> int:
    """Where a line can go down from ``upper`` to ``lower`` past the boxes between, and not beside another line."""
    between = [box for box in boxes.values() if upper.row < box.row < lower.row]
    wanted = min(upper, lower, key=lambda box: box.right - box.left).middle
    candidates = range(max(upper.left, lower.left) + MARGIN, min(upper.right, lower.right) - MARGIN)

    def is_clear(x: int) -> bool:
        if any(box.left - CLEARANCE <= x <= box.right + CLEARANCE for box in between):
            return False
        rows = range(upper.row, lower.row)
        return not any(abs(arrow.x - x) < APART and set(range(arrow.upper.row, arrow.lower.row)) & set(rows) for arrow in drawn)

    clear = [x for x in candidates if is_clear(x)]
    if not clear:
        raise LookupError(f"there is no way for an arrow from {upper.room} to {lower.room}: move them in PLACES")
    return min(clear, key=lambda x: abs(x - wanted))


def _draw_box(box: Box) -> str:
    width = box.right - box.left
    return (
        f'  <rect class="box row{box.row}" x="{box.left}" y="{box.top}" width="{width}" height="{HEIGHT}" rx="9"/>\n'
        f'  <text class="name" x="{box.middle}" y="{box.top + 26}" text-anchor="middle">{box.room}</text>\n'
        f'  <text class="purpose" x="{box.middle}" y="{box.top + 44}" text-anchor="middle">{rooms.PURPOSES[box.room]}</text>\n'
    )


def _draw_arrow(arrow: Arrow) -> str:
    start, end = arrow.upper.top + HEIGHT, arrow.lower.top
    return (
        f'  <path class="{arrow.kind}" d="M{arrow.x} {start}V{end - 8}"/>\n'
        f'  <path class="head" d="M{arrow.x - 4.5} {end - 9}h9L{arrow.x} {end - 1}z"/>\n'
    )


def _titles(rows: set[int]) -> Iterator[str]:
    for row in sorted(rows):
        yield f'  <text class="title" x="{LEFT - 18}" y="{TOP + row * PITCH + 34}" text-anchor="end">{ROW_TITLES[row]}</text>\n'


def _legend(y: int) -> Iterator[str]:
    yield f'  <path class="import" d="M{LEFT} {y - 4}h30"/>\n'
    yield f'  <path class="head" d="M{LEFT + 29} {y - 8.5}v9l8 -4.5z"/>\n'
    yield f'  <text class="purpose" x="{LEFT + 46}" y="{y}">imports (left out where other arrows lead there, and to settings)</text>\n'
    yield f'  <path class="entry" d="M{LEFT + 420} {y - 4}h30"/>\n'
    yield f'  <path class="head" d="M{LEFT + 449} {y - 8.5}v9l8 -4.5z"/>\n'
    yield f'  <text class="purpose" x="{LEFT + 466}" y="{y}">found by entry point</text>\n'


if __name__ == "__main__":
    print(picture(), end="")
