"""From the text of the configuration to ``Settings``: every value checked, every error in its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from alluxio_s3.settings.definition import PROXY_PREFIX, WORKER_PREFIX, Property
from alluxio_s3.settings.foreign import FOREIGN
from alluxio_s3.settings.properties import Settings, properties_of
from alluxio_s3.settings.source import Entry, SettingsError, Texts, absolute, find, parse_override, read

PLUGIN_PREFIX = "alluxio.worker.s3.plugin."
# Of the under-store at the root; the second is Alluxio's own. The first that is there wins.
ROOT_PREFIXES = ("alluxio.dora.client.ufs.root.option.", "alluxio.master.mount.table.root.option.")


@frozen
class Loaded:
    """The configuration as it was found.

    ``source_path`` is None if there is no file. ``warnings`` are for the operator to read at every start, ``notes`` for whoever looks for
    them. ``plugin_options`` are the properties ``alluxio.worker.s3.plugin.<plugin>.<option>``, by plugin and option, ``root_options``
    those of the under-store at the root, ``alluxio.dora.client.ufs.root.option.<option>``. ``kept`` is what files that it names held
    when they were last good, by path: for a process that starts in place of another while they are not.
    """

    settings: Settings
    source_path: str | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    plugin_options: Mapping[str, Mapping[str, str]] = field(factory=dict, repr=False)
    root_options: Mapping[str, str] = field(factory=dict, repr=False)
    kept: Mapping[str, bytes] = field(factory=dict, repr=False)


def load(path: str | None, overrides: Sequence[str], environ: Mapping[str, str], cwd: str) -> Loaded:
    """The configuration of a daemon that was started in ``cwd``.

    ``path`` is the file, or None to look for it (see ``source.find``); ``overrides`` are ``name=value`` and
    win over the file. Raises SettingsError.
    """
    found = find(path, environ, cwd)
    in_file = read(found) if found is not None else []
    given = [parse_override(argument) for argument in overrides]
    table = properties_of(Settings)
    known = {spelling: one for one in table.values() for spelling in one.spellings}
    texts = Texts([_shared(Texts([in_file, given], known), environ, cwd), in_file, given], known)
    for entry in given:
        if _is_unknown(entry.name, known):
            raise entry.error(f"there is no such property{_nearest(entry.name, known)}")
    entries = {attribute: texts.find(one.spellings) for attribute, one in table.items()}
    values = {attribute: _value(table[attribute], entry, texts, environ, cwd) for attribute, entry in entries.items() if entry is not None}
    settings = Settings(**values)
    _check_together(settings, entries)
    return Loaded(
        settings,
        found,
        warnings=(*_repeated(in_file), *_outvoted(table, texts), *_idle(settings, entries), *_unknown(texts, known)),
        notes=tuple(f"{name}: not a property of the S3 API" for name in texts.names() if _is_foreign(name, known)),
        plugin_options=_plugin_options(texts),
        root_options=_root_options(texts),
    )


def _shared(texts: Texts, environ: Mapping[str, str], cwd: str) -> list[Entry]:
    """What is for all workers of a cluster, from the copy that is kept here, if there is one yet."""
    one = properties_of(Settings)["settings_copy"]
    entry = texts.find(one.spellings)
    path = None if entry is None else _value(one, entry, texts, environ, cwd)
    return read(path) if path is not None and Path(path).is_file() else []


def _value(one: Property, entry: Entry, texts: Texts, environ: Mapping[str, str], cwd: str) -> Any:
    text = texts.expand(entry)
    try:
        value = one.kind.parse(text)
    except ValueError as error:
        shown = "the value" if one.secret else repr(text[:200])
        raise entry.error(f"expected {error}, not {shown}") from None
    if one.kind.name == "location" and value is not None and "://" not in value and value != "etcd":
        return absolute(value, environ, cwd)
    return value


def _check_together(settings: Settings, entries: Mapping[str, Entry | None]) -> None:
    """What must hold between properties."""

    def refuse(attribute: str, message: str) -> SettingsError:
        entry = entries[attribute]
        return entry.error(message) if entry is not None else SettingsError(message, name=properties_of(Settings)[attribute].name)

    if len(settings.page_store_dirs) != len(settings.page_store_sizes):
        raise refuse(
            "page_store_sizes",
            f"expected one size for each of the {len(settings.page_store_dirs)} directories of alluxio.worker.page.store.dirs,"
            f" not {len(settings.page_store_sizes)}",
        )
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        present, absent = ("tls_certificate", "tls_key") if settings.tls_key is None else ("tls_key", "tls_certificate")
        raise refuse(present, f"needs {properties_of(Settings)[absent].name} beside it")


def _repeated(entries: Sequence[Entry]) -> Iterator[str]:
    seen: dict[str, Entry] = {}
    for entry in entries:
        before = seen.get(entry.name)
        if before is not None and before.value != entry.value:
            yield f"{entry.place}: {entry.name} is set again; line {before.line} has no effect"
        seen[entry.name] = entry


def _outvoted(table: Mapping[str, Property], texts: Texts) -> Iterator[str]:
    for one in table.values():
        winner = texts.find(one.spellings)
        for spelling in one.spellings:
            other = texts.find((spelling,))
            if winner and other and other.name != winner.name and other.path == winner.path and other.value != winner.value:
                yield f"{other.place}: {spelling} has no effect, because {winner.name} is set too"


def _idle(settings: Settings, entries: Mapping[str, Entry | None]) -> Iterator[str]:
    for attribute, one in properties_of(Settings).items():
        entry = entries[attribute]
        if entry is not None and not one.acted_on and getattr(settings, attribute) != one.kind.parse(one.default):
            yield f"{entry.place}: {entry.name} is read, but not acted upon in this version"


def _unknown(texts: Texts, known: Mapping[str, Property]) -> Iterator[str]:
    for name in texts.names():
        entry = texts.find((name,))
        if entry is None or name in known or name.startswith(PLUGIN_PREFIX):
            continue
        reason = FOREIGN.get(name) or FOREIGN.get(name.replace(WORKER_PREFIX, PROXY_PREFIX, 1))
        if reason is not None:
            yield f"{entry.place}: {name} has no meaning here: {reason}"
        elif name.startswith((WORKER_PREFIX, PROXY_PREFIX)):
            yield f"{entry.place}: {name}: there is no such property{_nearest(name, known)}"


def _is_unknown(name: str, known: Mapping[str, Property]) -> bool:
    return name not in known and name not in FOREIGN and not name.startswith((PLUGIN_PREFIX, *ROOT_PREFIXES))


def _is_foreign(name: str, known: Mapping[str, Property]) -> bool:
    return name not in known and not name.startswith((WORKER_PREFIX, PROXY_PREFIX, *ROOT_PREFIXES))


def _nearest(name: str, known: Mapping[str, Property]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _root_options(texts: Texts) -> dict[str, str]:
    options: dict[str, str] = {}
    for prefix in ROOT_PREFIXES:
        for name in texts.names():
            entry = texts.find((name,))
            if name.startswith(prefix) and entry is not None:
                options.setdefault(name.removeprefix(prefix), texts.expand(entry))
    return options


def _plugin_options(texts: Texts) -> dict[str, dict[str, str]]:
    options: dict[str, dict[str, str]] = {}
    for name in texts.names():
        plugin, dot, option = name.removeprefix(PLUGIN_PREFIX).partition(".")
        entry = texts.find((name,))
        if name.startswith(PLUGIN_PREFIX) and dot and entry is not None:
            options.setdefault(plugin.lower(), {})[option] = texts.expand(entry)
    return options
