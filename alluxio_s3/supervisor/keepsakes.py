"""What files of the configuration held when they were last good, for children that start while they are not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import define, field

from alluxio_s3.reloading import Part
from alluxio_s3.settings import Loaded, SettingsError

_Stamp = tuple[int, ...] | None


@define
class Keepsakes:
    """The files of ``parts``, as ``look`` found them last. ``contents`` are those that were good, by path."""

    parts: Sequence[Part]
    contents: dict[str, bytes] = field(factory=dict)
    _stamps: dict[str, tuple[_Stamp, ...]] = field(factory=dict, init=False)

    def look(self, loaded: Loaded) -> bool:
        """See which files have changed, and keep those that are good. Returns whether anything was kept. Reads files."""
        kept = False
        for part in self.parts:
            paths = [path for path in part.files(loaded.settings) if path is not None]
            stamps = tuple(map(_stamp, paths))
            if not paths or self._stamps.get(part.name) == stamps:
                continue
            self._stamps[part.name] = stamps
            kept |= self._keep(part, paths, loaded)
        return kept

    def _keep(self, part: Part, paths: Sequence[str], loaded: Loaded) -> bool:
        try:
            found = {path: Path(path).read_bytes() for path in paths if Path(path).exists()}
            part.check(loaded)
        except (OSError, SettingsError):  # whoever serves says so
            return False
        self.contents.update(found)
        return True


def _stamp(path: str) -> _Stamp:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
