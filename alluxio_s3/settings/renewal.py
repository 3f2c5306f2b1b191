"""A configuration that was read again while the daemon runs: what of it can be taken, and what has to wait for a restart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import evolve

from alluxio_s3.settings.loading import PLUGIN_PREFIX, ROOT_PREFIXES, Loaded
from alluxio_s3.settings.properties import Settings, properties_of

# Whose plugins take options while the daemon runs: the properties that name them.
_RENEWED_PLUGINS = ("authentication_type", "authorization_type")


def renewed(old: Loaded, new: Loaded) -> tuple[Loaded, tuple[str, ...]]:
    """``new`` with all that needs a restart as it was in ``old``, and the names of the properties of which that keeps a change."""
    table = properties_of(Settings)
    waiting = [name for name in _changed(old.settings, new.settings) if not table[name].reload]
    settings = evolve(new.settings, **{name: getattr(old.settings, name) for name in waiting})
    taken = {str(getattr(new.settings, name) or "").lower() for name in _RENEWED_PLUGINS}
    plugins = {**old.plugin_options, **{name: options for name, options in new.plugin_options.items() if name in taken}}
    for name in taken - set(new.plugin_options):
        plugins.pop(name, None)
    names = [table[name].name for name in waiting]
    names += [f"{PLUGIN_PREFIX}{name}" for name in {*plugins, *new.plugin_options} if plugins.get(name) != new.plugin_options.get(name)]
    if old.root_options != new.root_options:
        names.append(f"{ROOT_PREFIXES[0]}*")
    return evolve(new, settings=settings, plugin_options=plugins, root_options=old.root_options), tuple(sorted(names))


def same(part: str, old: Loaded, new: Loaded) -> bool:
    """Whether what ``part`` of the daemon is made from is so in both (see ``Property.reload``)."""
    table = properties_of(Settings)
    return old.plugin_options == new.plugin_options and all(table[name].reload != part for name in _changed(old.settings, new.settings))


def without(part: str, old: Loaded, new: Loaded) -> Loaded:
    """``new`` with everything that ``part`` is made from as it is in ``old``."""
    table = properties_of(Settings)
    kept = {name: getattr(old.settings, name) for name, one in table.items() if one.reload == part}
    return evolve(new, settings=evolve(new.settings, **kept))


def _changed(old: Settings, new: Settings) -> Iterator[str]:
    values: Any = (old, new)
    for name in properties_of(Settings):
        before, after = (getattr(one, name) for one in values)
        if before != after:
            yield name
