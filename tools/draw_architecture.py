"""Draws docs/architecture.svg from the imports of the code: python -m tools.draw_architecture

Each layer is a row, the highest first, and may use those below. A room tells which others it uses, but for what those use anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from attrs import frozen

from tools import rooms

WIDTH, LEFT, GAP, TOP, HEIGHT, PITCH = 1300, 104, 10, 12, 66, 76
# Whatever builds something reads it: to say so each time would say nothing.
READ_BY_BUILDERS = "settings"
# So many letters of the small print are as wide as 100 units.
LETTERS = 18

COLOURED = ("wire", "actions", "rooms", "promises", "protocol")
STYLE = """\
    text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; }
    .name { font-size: 15px; font-weight: 600; fill: #1c2733; }
    .purpose { font-size: 11px; fill: #53616f; }
    .uses { font-size: 10.5px; fill: #6b7884; font-style: italic; }
    .title { font-size: 12px; font-style: italic; fill: #7a8794; }
    .box { stroke-width: 1.25; }
    .plain { fill: #f1f3f5; stroke: #adb7c1; }
    .wire { fill: #e4effb; stroke: #7fb0e3; }
    .actions { fill: #e2f3ec; stroke: #76c0a0; }
    .rooms { fill: #fdf3dc; stroke: #e0b95c; }
    .promises { fill: #f2eafa; stroke: #b394d6; }
    .protocol { fill: #fbe9e6; stroke: #df9a8d; }
    @media (prefers-color-scheme: dark) {
      .name { fill: #e8edf2; }
      .purpose { fill: #a9b5c1; }
      .uses { fill: #94a1ae; }
      .title { fill: #8794a1; }
      .plain { fill: #232b33; stroke: #56626e; }
      .wire { fill: #16304a; stroke: #3f79b3; }
      .actions { fill: #153529; stroke: #3c8d6b; }
      .rooms { fill: #3a2f14; stroke: #a3822f; }
      .promises { fill: #30243f; stroke: #7f61a4; }
      .protocol { fill: #3c2320; stroke: #a8604f; }
    }
"""


@frozen
class Box:
    """A room on the picture, ``row`` from the top."""

    room: str
    layer: str
    row: int
    left: int
    width: int

    @property
    def top(self) -> int:
        """The height of its upper edge, from the top of the picture."""
        return TOP + self.row * PITCH

    @property
    def middle(self) -> int:
        """The middle between left and right."""
        return self.left + self.width // 2


def picture() -> str:
    """The whole picture, SVG."""
    boxes = list(_boxes())
    uses = _used()
    height = TOP + (max(box.row for box in boxes) + 1) * PITCH
    return "".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img"'
                ' aria-label="The rooms of alluxio_s3, by layers, and what each uses">\n'
            ),
            f"  <style>\n{STYLE}  </style>\n",
            *_titles(boxes),
            *(_draw_box(box, uses.get(box.room, [])) for box in boxes),
            "</svg>\n",
        ]
    )


def _boxes() -> Iterator[Box]:
    there = set(rooms.rooms())
    layers = [(layer.title, [room for room in layer.rooms if room in there]) for layer in reversed(rooms.LAYERS)]
    for row, (title, inside) in enumerate([one for one in layers if one[1]]):
        width = (WIDTH - LEFT - GAP - GAP * (len(inside) - 1)) // len(inside)
        for number, room in enumerate(inside):
            yield Box(room, title, row, LEFT + number * (width + GAP), width)


def _used() -> dict[str, list[str]]:
    """What each room uses, but for what leads there by another."""
    found: dict[str, list[str]] = {}
    for upper, lower in sorted(_reduced(rooms.edges())):
        if lower != READ_BY_BUILDERS:
            found.setdefault(upper, []).append(lower)
    return found


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


def _draw_box(box: Box, uses: list[str]) -> str:
    kind = box.layer if box.layer in COLOURED else "plain"
    letters = box.width * LETTERS // 100
    lines = [("purpose", line) for line in wrap(rooms.PURPOSES[box.room], letters)]
    lines += [("uses", line) for line in wrap(f"uses {', '.join(uses)}", letters)] if uses else []
    return (
        f'  <rect class="box {kind}" x="{box.left}" y="{box.top}" width="{box.width}" height="{HEIGHT}" rx="9"/>\n'
        f'  <text class="name" x="{box.middle}" y="{box.top + 22}" text-anchor="middle">{box.room}</text>\n'
        + "".join(
            f'  <text class="{kind}" x="{box.middle}" y="{box.top + 39 + 14 * number}" text-anchor="middle">{line}</text>\n'
            for number, (kind, line) in enumerate(lines)
        )
    )


def _titles(boxes: list[Box]) -> Iterator[str]:
    for row, title in sorted({(box.row, box.layer) for box in boxes}):
        yield f'  <text class="title" x="{LEFT - 14}" y="{TOP + row * PITCH + HEIGHT // 2 + 4}" text-anchor="end">{title}</text>\n'


if __name__ == "__main__":
    print(picture(), end="")
