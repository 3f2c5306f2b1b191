"""What is measured of the daemon while it is under load, and the picture of it."""

from __future__ import annotations

import contextlib
import http.client
import math
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from attrs import define, field, frozen

from tests.faults.leftovers import held
from tests.wire import authorization

EVERY_SECONDS = 2.0
PROBES = 20


@frozen
class Sample:
    """*at* seconds after the beginning: resident bytes, descriptors, threads; the median and the worst of some reads, in seconds."""

    at: float
    resident: int
    descriptors: int
    threads: int
    median: float | None
    worst: float | None


@define
class Sampler:
    """Looks at the process that *pid* tells of, and reads *target* of *endpoint*, every two seconds, in a thread of its own."""

    endpoint: str
    target: str
    pid: Callable[[], int]
    begun: float
    samples: list[Sample] = field(factory=list)
    _over: threading.Event = field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(60)

    def _run(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            with contextlib.suppress(OSError, KeyError, ValueError):  # it is dead just now
                now = held(self.pid())
                times = sorted(self._probe())
                middle = times[len(times) // 2] if times else None
                at = time.monotonic() - self.begun
                self.samples.append(Sample(at, now.resident, now.descriptors, now.threads, middle, times[-1] if times else None))

    def _probe(self) -> list[float]:
        times = []
        connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=20)
        with contextlib.suppress(OSError, http.client.HTTPException):
            for _ in range(PROBES):
                begun = time.perf_counter()
                connection.request("GET", self.target, headers={"Authorization": authorization("probe")})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    times.append(time.perf_counter() - begun)
        connection.close()
        return times


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which *share* of *values* are; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


WIDTH, LEFT, PANEL, GAP = 960, 70, 150, 46
COLOURS = {"kill": "#c0392b", "stop": "#8e44ad", "disk full": "#d68910", "cache full": "#b7950b"}


def picture(samples: Sequence[Sample], events: Sequence[tuple[float, str]], title: str) -> str:
    """An SVG of *samples*, with *events* (seconds, what) as lines."""
    end = max([sample.at for sample in samples], default=1.0)
    panels: list[tuple[str, list[list[tuple[float, float]]], bool]] = [
        ("resident memory, MiB", [[(one.at, one.resident / (1 << 20)) for one in samples]], False),
        ("descriptors", [[(one.at, float(one.descriptors)) for one in samples]], False),
        (
            "time of a read, ms: median and worst of 20",
            [
                [(one.at, one.median * 1000) for one in samples if one.median is not None],
                [(one.at, one.worst * 1000) for one in samples if one.worst is not None],
            ],
            True,
        ),
    ]
    height = 40 + len(panels) * (PANEL + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/><text x="{LEFT}" y="22" font-size="14">{escape(title)}</text>',
    ]
    for number, (name, lines, logarithmic) in enumerate(panels):
        parts += _panel(40 + number * (PANEL + GAP), name, lines, logarithmic, end, events)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(
    top: int, name: str, lines: list[list[tuple[float, float]]], logarithmic: bool, end: float, events: Sequence[tuple[float, str]]
) -> list[str]:
    values = [value for line in lines for _, value in line] or [1.0]
    scale = (lambda value: math.log10(max(value, 0.1))) if logarithmic else float
    low = scale(min(values)) if logarithmic else 0.0
    high = max(scale(max(values)), low + 1e-9) if logarithmic else max(max(values) * 1.1, 1.0)

    def x(at: float) -> float:
        return LEFT + at / end * (WIDTH - LEFT - 20)

    def y(value: float) -> float:
        return top + 16 + PANEL * (1 - (scale(value) - low) / (high - low))

    parts = [
        f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{top + 16}" y2="{top + 16 + PANEL}" stroke="{COLOURS.get(kind, "#d0d7de")}"'
        f' stroke-opacity="0.55"><title>{escape(kind)} at {at:.0f} s</title></line>'
        for at, kind in events
    ]
    parts.append(f'<text x="{LEFT}" y="{top + 10}" fill="#444">{escape(name)}</text>')
    parts += [
        f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#444">{value:.3g}</text>'
        for value in (min(values), max(values))
    ]
    for line, colour in zip(lines, ("#1f6feb", "#9aa7b4"), strict=False):
        points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
    parts.append(f'<text x="{WIDTH - 20}" y="{top + PANEL + 32}" text-anchor="end" fill="#444">{end / 60:.0f} min</text>')
    return parts
