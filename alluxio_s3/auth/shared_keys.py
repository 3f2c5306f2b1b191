"""Access keys that all workers of a cluster have from one place: any number of texts, each in the form of a credentials file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.logger import Logger

from alluxio_s3.auth.access_keys import AccessKey, parse_access_keys
from alluxio_s3.interfaces import ISharedTexts
from alluxio_s3.s3.errors import S3Error

# What the property says in place of a file's path.
IN_ETCD = "etcd"


class Keys(Protocol):
    """Where keys are."""

    @property
    def value(self) -> Mapping[str, AccessKey]:
        """Those of now, by id. Raises S3Error ServiceUnavailable while nobody knows them."""


class SharedKeys:
    """The keys in the texts of ``source``. A text that can't be parsed any more leaves what it said before, and is told of once."""

    _log = Logger()

    def __init__(self) -> None:
        self.source: ISharedTexts | None = None
        self._version = 0
        self._parsed: dict[str, tuple[bytes, Mapping[str, AccessKey]]] = {}
        self._keys: Mapping[str, AccessKey] = {}

    @property
    def value(self) -> Mapping[str, AccessKey]:
        """See ``Keys``."""
        version = 0 if self.source is None else self.source.version
        if self.source is None or not version:
            raise S3Error("ServiceUnavailable", "The access keys are not known yet.", headers={"Retry-After": "1"})
        if version != self._version:
            self._version = version
            self._take(self.source.texts())
        return self._keys

    def _take(self, texts: Mapping[str, bytes]) -> None:
        before, self._parsed = self._parsed, {}
        if texts.keys() == before.keys() and all(before[name][0] == text for name, text in texts.items()):
            self._parsed = before
            return
        keys: dict[str, AccessKey] = {}
        for name in sorted(texts):
            known = before.get(name)
            found = known[1] if known is not None and known[0] == texts[name] else self._read(name, texts[name], known)
            self._parsed[name] = (texts[name], found)
            for one in sorted(found.keys() & keys.keys()):
                self._log.error("{name}: another text has the access key {key}; that one counts", name=name, key=one)
            keys = {**found, **keys}
        self._keys = keys
        self._log.info("{count} access keys were read", count=len(keys))

    def _read(self, name: str, text: bytes, known: tuple[bytes, Mapping[str, AccessKey]] | None) -> Mapping[str, AccessKey]:
        try:
            return parse_access_keys(text.decode())
        except UnicodeDecodeError:
            problem = "it is not UTF-8"
        except ValueError as error:
            problem = str(error)
        self._log.error("access keys {name}: {problem}; what it said before holds on", name=name, problem=problem)
        return {} if known is None else known[1]
