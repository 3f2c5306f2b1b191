"""The text of the configuration: the file, overrides of it, and references between properties."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import javaproperties
from attrs import frozen

from alluxio_s3.settings.definition import Property

FILE_NAME = "alluxio-site.properties"
MAX_FILE_BYTES = 1 << 20
MAX_VALUE_CHARS = 1 << 16
MAX_REFERENCE_DEPTH = 32
OVERRIDE = "-o"
_REFERENCE = re.compile(r"\$\{([^{}]*)\}")


class SettingsError(Exception):
    """The configuration cannot be used. The message says where, what was found and what was expected.

    ``line`` is 0 when the trouble is not in one line; ``name`` is the property, if one is to blame.
    """

    def __init__(self, message: str, *, path: str | None = None, line: int = 0, name: str = "") -> None:
        place = f"{path}:{line}: " if path and line else f"{path}: " if path else ""
        super().__init__(f"{place}{name}: {message}" if name else f"{place}{message}")
        self.path = path
        self.line = line
        self.name = name


@frozen
class Entry:
    """A property as it was written. ``path`` is the file, or ``-o`` for an override (its ``line`` is 0)."""

    name: str
    value: str
    path: str
    line: int

    @property
    def place(self) -> str:
        """Where it was written, for messages."""
        return f"{self.path}:{self.line}" if self.line else self.path

    def error(self, message: str) -> SettingsError:
        """An error about this entry."""
        return SettingsError(message, path=self.path, line=self.line, name=self.name)


def absolute(path: str, environ: Mapping[str, str], cwd: str) -> str:
    """``path`` seen from ``cwd``; ``~`` at its beginning is ``$HOME``."""
    if path == "~" or path.startswith("~/"):
        return str(Path(environ.get("HOME") or "/", path[2:]))
    return str(Path(cwd, path))


def find(path: str | None, environ: Mapping[str, str], cwd: str) -> str | None:
    """The file to read: ``path`` if it is given, else the first that is there, else None.

    The places are Alluxio's: ``$ALLUXIO_CONF_DIR``, ``conf`` in ``cwd``, ``~/.alluxio``, ``/etc/alluxio``. Raises
    SettingsError if ``path`` is given, but no file is there.
    """
    if path is not None:
        given = absolute(path, environ, cwd)
        if not Path(given).is_file():
            raise SettingsError("there is no such file", path=given)
        return given
    places = ["conf", "/etc/alluxio"]
    if environ.get("ALLUXIO_CONF_DIR"):
        places.insert(0, environ["ALLUXIO_CONF_DIR"])
    if environ.get("HOME"):
        places.insert(-1, "~/.alluxio")
    candidates = (Path(absolute(place, environ, cwd), FILE_NAME) for place in places)
    return next((str(candidate) for candidate in candidates if candidate.is_file()), None)


def read(path: str) -> list[Entry]:
    """The entries of a file, in order. Raises SettingsError."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}", path=path) from error
    if len(raw) > MAX_FILE_BYTES:
        raise SettingsError(f"is larger than {MAX_FILE_BYTES} bytes", path=path)
    return parse(raw, path)


def parse(raw: bytes, path: str) -> list[Entry]:
    """The entries of the bytes of a Java properties file. Raises SettingsError.

    UTF-8 is taken for what it is; what is not UTF-8 is Latin-1, which is what Java reads.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    entries: list[Entry] = []
    line = 1
    try:
        for element in javaproperties.parse(text):
            if isinstance(element, javaproperties.KeyValue):
                entries.append(Entry(element.key, element.value.strip(), path, line))
            line += len(re.findall(r"\r\n|\r|\n", element.source))
    except javaproperties.InvalidUEscapeError as error:
        raise SettingsError(f"malformed escape {error}", path=path, line=line) from error
    return entries


def parse_override(argument: str) -> Entry:
    """The entry of one ``-o name=value``. Raises SettingsError."""
    name, equals, value = argument.partition("=")
    if not equals or not name.strip():
        raise SettingsError(f"expected name=value, not {argument!r}", path=OVERRIDE)
    return Entry(name.strip(), value.strip(), OVERRIDE, 0)


class Texts:
    """The text of every property that is set, with references (``${other.name}``) put in.

    Later sources win over earlier ones, and in a source the last of two entries of the same name, as in Java.
    ``known`` are the daemon's own properties by each spelling: a reference may use any, and means the
    default of one that is not set.
    """

    def __init__(self, sources: Sequence[Iterable[Entry]], known: Mapping[str, Property]) -> None:
        self._sources = [{entry.name: entry for entry in source} for source in sources]
        self._known = known
        self._expanded: dict[str, str] = {}

    def find(self, names: Sequence[str]) -> Entry | None:
        """The entry that sets a property of these spellings: of the last source, the first spelling."""
        for source in reversed(self._sources):
            for name in names:
                if name in source:
                    return source[name]
        return None

    def names(self) -> list[str]:
        """Every name that is set, in order."""
        return list(dict.fromkeys(name for source in self._sources for name in source))

    def expand(self, entry: Entry) -> str:
        """The value of ``entry`` with references put in. Raises SettingsError: unknown, cyclic, too deep or too long."""
        return self._expand(entry, entry.value, (entry.name,))

    def _expand(self, entry: Entry, value: str, chain: tuple[str, ...]) -> str:
        pieces: list[str] = []
        length = end = 0
        for match in _REFERENCE.finditer(value):
            pieces += [value[end : match.start()], self._referenced(entry, match[1].strip(), chain)]
            end = match.end()
            length += len(pieces[-1]) + len(pieces[-2])
            if length > MAX_VALUE_CHARS:
                raise entry.error(f"is longer than {MAX_VALUE_CHARS} characters when its references are put in")
        return "".join([*pieces, value[end:]])

    def _referenced(self, entry: Entry, name: str, chain: tuple[str, ...]) -> str:
        """What stands for ``${name}``, found on the way ``chain`` from ``entry``."""
        known = self._known.get(name)
        target = self.find(known.spellings if known else (name,))
        if target is None:
            if known is None:
                raise entry.error(f"there is no property {name!r} for ${{{name}}}")
            return known.default
        if target.name in self._expanded:
            return self._expanded[target.name]
        if target.name in chain:
            raise entry.error(f"the reference ${{{name}}} leads back to itself: {' -> '.join((*chain, target.name))}")
        if len(chain) >= MAX_REFERENCE_DEPTH:
            raise entry.error(f"has references more than {MAX_REFERENCE_DEPTH} deep")
        self._expanded[target.name] = self._expand(entry, target.value, (*chain, target.name))
        return self._expanded[target.name]
