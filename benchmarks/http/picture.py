"""The ratios to nginx as bars, SVG."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from attrs import frozen

LEFT, TOP, PITCH, BAR, WIDTH = 300, 34, 36, 12, 820
SCALE = 400  # pixels from nothing to nginx

STYLE = """\
    text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; font-size: 13px; fill: #1c2733; }
    .value { font-size: 11px; fill: #53616f; }
    .ours { fill: #7fb0e3; }
    .rclone { fill: #e0b95c; }
    .nginx { stroke: #64727f; stroke-width: 1.5; stroke-dasharray: 4 4; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e8edf2; }
      .value { fill: #a9b5c1; }
      .ours { fill: #3f79b3; }
      .rclone { fill: #a3822f; }
      .nginx { stroke: #93a1ae; }
    }
"""


@frozen
class Bars:
    """How fast this daemon and rclone were, nginx being 1."""

    title: str
    ours: float
    rclone: float


def picture(rows: Sequence[Bars]) -> str:
    """One row above the other. What is beyond the edge is cut, and says its value."""
    height = TOP + len(rows) * PITCH + 34
    nginx = LEFT + SCALE
    drawn = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img"'
            ' aria-label="The speed of this daemon and of rclone, nginx being 1">\n'
        ),
        f"  <style>\n{STYLE}  </style>\n",
    ]
    for number, row in enumerate(rows):
        top = TOP + number * PITCH
        drawn += [
            f'  <text x="{LEFT - 12}" y="{top + BAR + 4}" text-anchor="end">{escape(row.title)}</text>\n',
            _bar("ours", top, row.ours),
            _bar("rclone", top + BAR + 1, row.rclone),
        ]
    drawn += [
        f'  <line class="nginx" x1="{nginx}" y1="{TOP - 8}" x2="{nginx}" y2="{height - 34}"/>\n',
        f'  <text x="{nginx}" y="{TOP - 14}" text-anchor="middle">nginx</text>\n',
        _legend("ours", LEFT, height - 14, "this daemon"),
        _legend("rclone", LEFT + 120, height - 14, "rclone serve s3"),
        "</svg>\n",
    ]
    return "".join(drawn)


def _bar(kind: str, top: int, value: float) -> str:
    width = min(round(value * SCALE), WIDTH - LEFT - 40)
    return (
        f'  <rect class="{kind}" x="{LEFT}" y="{top}" width="{width}" height="{BAR}"/>\n'
        f'  <text class="value" x="{LEFT + width + 5}" y="{top + BAR - 2}">{value:.2f}</text>\n'
    )


def _legend(kind: str, x: int, y: int, text: str) -> str:
    return f'  <rect class="{kind}" x="{x}" y="{y - 11}" width="{BAR}" height="{BAR}"/>\n  <text x="{x + BAR + 6}" y="{y}">{text}</text>\n'
