"""How a property is defined: one call that gives a field of ``Settings`` its name, kind, default and meaning."""

from __future__ import annotations

from typing import Any, TypeVar

from attrs import field, frozen

from alluxio_s3.settings.values import Kind

T = TypeVar("T")

WORKER_PREFIX = "alluxio.worker.s3."
PROXY_PREFIX = "alluxio.proxy.s3."
METADATA_KEY = "property"


@frozen
class Property:
    """A property of ``alluxio-site.properties``.

    ``default`` is written as in the file. ``ours`` marks a name that is this project's, there being no
    published one of Alluxio's; ``acted_on`` is false for one that is read and checked, but of which nothing in the
    daemon makes use yet; the value of a ``secret`` one is never shown. ``reload`` is what of the daemon takes a change while it runs
    (``alluxio_s3.reloading``), empty for one that needs a restart.
    """

    name: str
    kind: Kind[Any]
    default: str
    meaning: str
    aliases: tuple[str, ...] = ()
    ours: bool = False
    acted_on: bool = True
    secret: bool = False
    reload: str = ""

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every name by which it may be set; the first that is there wins.

        What is ``alluxio.worker.s3.x`` may be spelled ``alluxio.proxy.s3.x`` and the other way round.
        """
        for prefix in (WORKER_PREFIX, PROXY_PREFIX):
            if self.name.startswith(prefix):
                rest = self.name.removeprefix(prefix)
                return (WORKER_PREFIX + rest, PROXY_PREFIX + rest, *self.aliases)
        return (self.name, *self.aliases)


def setting(
    name: str,
    kind: Kind[T],
    default: str,
    meaning: str,
    *,
    aliases: tuple[str, ...] = (),
    ours: bool = False,
    acted_on: bool = True,
    secret: bool = False,
    reload: str = "",
) -> T:
    """An attrs field for a property; the arguments are those of ``Property``.

    It is typed as the value itself, so that mypy compares the kind with the field's annotation.
    """
    described = Property(name, kind, default, meaning, aliases, ours, acted_on, secret, reload)
    return field(default=kind.parse(default), metadata={METADATA_KEY: described}, repr=not secret)
