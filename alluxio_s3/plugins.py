"""Under-stores, authenticators and tag stores, found by the name that the configuration gives them.

A distribution offers them as entry points; the daemon's own are entered in the same way, in ``setup.py``. An
entry point names a factory (``IPluginFactory``): an object, or a class that is called without arguments. Only the
one that is configured is ever imported. What is wrong with a plugin is said at start, with the name of the
distribution it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast

from attrs import frozen
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyClass, verifyObject

from alluxio_s3.interfaces import IPluginFactory
from alluxio_s3.settings import SettingsError
from alluxio_s3.storage import StorageError
from alluxio_s3.threads import Threads

T = TypeVar("T")

UFS = "alluxio_s3.ufs"
AUTHENTICATORS = "alluxio_s3.authenticators"
AUTHORIZERS = "alluxio_s3.authorizers"
TAG_STORES = "alluxio_s3.tag_stores"


class PluginError(SettingsError):
    """The configuration names a plugin that is not there, or not what it has to be."""


@frozen
class Factory:
    """A plugin's factory, and where it came from."""

    group: str
    name: str
    distribution: str
    factory: IPluginFactory


def build_plugin(group: str, name: str, interface: type[T], options: Mapping[str, str], reactor: object, threads: Threads) -> T:
    """A new plugin of that name, which provides ``interface``. Raises PluginError."""
    found = load_factory(group, name)
    try:
        plugin = found.factory.build(options, reactor, threads)
    except (ValueError, StorageError) as error:
        raise PluginError(f"{group} plugin {found.name!r} of {found.distribution}: {error}") from error
    check_plugin(interface, plugin, found.distribution)
    return cast("T", plugin)


def load_factory(group: str, name: str) -> Factory:
    """The factory of the plugin ``name`` (in any case) of ``group``.

    Raises PluginError: there is none (the message lists those there are), two distributions offer it, it cannot be
    imported, or it is no factory.
    """
    offered = list(entry_points(group=group))
    found = [entry for entry in offered if entry.name.lower() == name.lower()]
    if not found:
        known = ", ".join(sorted({entry.name for entry in offered})) or "none"
        raise PluginError(f"there is no {group} plugin {name!r}; installed: {known}")
    if len(found) > 1:
        owners = " and ".join(sorted(_distribution(entry) for entry in found))
        raise PluginError(f"{group} plugin {name!r} is offered by {owners}; uninstall all but one")
    return Factory(group, found[0].name, _distribution(found[0]), _factory(found[0]))


def check_plugin(interface: type, plugin: object, distribution: str) -> None:
    """That ``plugin``, which came from ``distribution``, provides ``interface``. Raises PluginError that says what is missing."""
    try:
        verifyObject(interface, plugin)
    except Invalid as error:
        raise PluginError(_complaint(interface, plugin, distribution, error)) from error


def _factory(entry: EntryPoint) -> IPluginFactory:
    distribution = _distribution(entry)
    try:
        loaded: Any = entry.load()
    except Exception as error:
        raise PluginError(f"{entry.group} plugin {entry.name!r} of {distribution} cannot be imported: {error!r}") from error
    try:
        if isinstance(loaded, type):
            verifyClass(IPluginFactory, loaded)
            loaded = loaded()
        verifyObject(IPluginFactory, loaded)
    except (Invalid, TypeError) as error:
        raise PluginError(_complaint(IPluginFactory, loaded, distribution, error)) from error
    factory: IPluginFactory = loaded
    return factory


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unnamed distribution"


def _complaint(interface: type, plugin: object, distribution: str, error: Exception) -> str:
    what = plugin if isinstance(plugin, type) else type(plugin)
    detail = " ".join(str(error).split())
    return f"{what.__module__}.{what.__qualname__} of {distribution} is not a good {interface.__name__}: {detail}"
