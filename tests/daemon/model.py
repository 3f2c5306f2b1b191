"""S3 on a directory tree, as a model: what a bucket should hold after any sequence of requests."""

from __future__ import annotations

import hashlib

from attrs import define, field, frozen


@frozen
class Stored:
    """An object as the model knows it."""

    body: bytes
    etag: str
    metadata: dict[str, str] = field(factory=dict)
    tags: dict[str, str] = field(factory=dict)


def stored(body: bytes, metadata: dict[str, str] | None = None, tags: dict[str, str] | None = None) -> Stored:
    """An object that one PUT made."""
    return Stored(body, hashlib.md5(body).hexdigest(), dict(metadata or {}), dict(tags or {}))


def parents(key: str) -> list[str]:
    """The folders above ``key``, its own name left out: ``a/b/c`` gives ``a/`` and ``a/b/``."""
    segments = key.rstrip("/").split("/")
    return ["/".join(segments[:n]) + "/" for n in range(1, len(segments))]


@define
class Bucket:
    """The keys of a bucket. ``folders``: listings show directories that nobody made; ``tree``: the under-store has directories."""

    folders: bool
    tree: bool = True
    objects: dict[str, Stored] = field(factory=dict)
    uploads: dict[str, Upload] = field(factory=dict)

    def directories(self) -> set[str]:
        """Every directory that must be there: folders that were made, and the parents of what is there."""
        found = {key for key in self.objects if key.endswith("/")}
        for key in self.objects:
            found.update(parents(key))
        return found

    def shown(self) -> dict[str, Stored]:
        """Every key that a listing shows."""
        shown = dict(self.objects)
        if self.folders:
            for key in self.directories():
                shown.setdefault(key, stored(b""))
        return shown

    def conflict(self, key: str) -> bool:
        """Whether a directory tree cannot hold ``key`` beside what is there."""
        if not self.tree:
            return False
        if any(parent.rstrip("/") in self.objects for parent in parents(key)):
            return True
        if key.endswith("/"):
            return key.rstrip("/") in self.objects
        return f"{key}/" in self.directories()

    def delete(self, key: str) -> None:
        """What DeleteObject does: a folder with something in it stays as a directory."""
        self.objects.pop(key, None)

    def listing(self, prefix: str, delimiter: str) -> list[str]:
        """The entries of a whole listing: keys, and common prefixes marked by a leading ``/``."""
        entries: list[str] = []
        for key in sorted(self.shown()):
            if not key.startswith(prefix):
                continue
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            entry = key if at < 0 else "/" + key[: at + len(delimiter)]
            if not entries or entries[-1] != entry:
                entries.append(entry)
        return entries


@define
class Upload:
    """A multipart upload in progress."""

    key: str
    parts: dict[int, bytes] = field(factory=dict)

    def assembled(self, numbers: list[int]) -> Stored:
        """The object made of those parts."""
        digests = b"".join(hashlib.md5(self.parts[n]).digest() for n in numbers)
        etag = f"{hashlib.md5(digests).hexdigest()}-{len(numbers)}"
        return Stored(b"".join(self.parts[n] for n in numbers), etag)
