"""What is asked again and again of small directories, such as by who polls a folder, answered without another look at all of it.

An answer is kept with *looks*: what stat(2) said of the directory and of each entry. As long as it says the same of all of them
the answer is what it was: names cannot come, go or change their files without a trace in the directory, nor a file's bytes and
attributes without one in the file. It is asked on the reactor's own thread, because what was asked a moment ago is in the kernel's memory.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from attrs import define, frozen

from alluxio_s3.storage import Listing, Status
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.identity import has_settled, untouched
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.windows import is_hidden

T = TypeVar("T")

# An answer that takes more looks than this is as well asked of a thread; nor is a larger directory searched for what could change in it.
MOST_ENTRIES = 64
MOST_NAMES = 512
# How much is kept in all.
MOST_LOOKS = 4096
MOST_QUESTIONS = 1024
# What nobody has asked for so long may have left the kernel's memory.
IDLE_SECONDS = 30.0


@frozen
class Look:
    """What stat(2) said of ``path``; ``follow``: of what it leads to, if it is a symbolic link."""

    path: str
    found: os.stat_result
    follow: bool = False

    def stands(self, root: int) -> bool:
        """Whether it says the same now, of the same path in the directory ``root``. Raises OSError."""
        return untouched(self.found, os.stat(self.path, dir_fd=root, follow_symlinks=self.follow))


@define
class _Kept:
    """An answer and what proves it; without looks only that somebody asked."""

    asked_at: float
    answer: Any = None
    looks: Sequence[Look] = ()


class Polled:
    """The answers that were asked for last. Belongs to the reactor's thread.

    Nothing is kept where a look may wait for another machine, nor with ``keeps`` false. ``seconds`` is a monotonic clock, ``now_ns``
    tells wall time.
    """

    def __init__(
        self,
        tree: Tree,
        threads: Threads,
        *,
        keeps: bool,
        seconds: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tree = tree
        self._threads = threads
        self._seconds = seconds
        self._now_ns = now_ns
        self._keeps = keeps and tree.root.is_at_once
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._looks = 0

    async def ask(self, question: Hashable, look: Callable[[], T], prove: Callable[[T, int], Sequence[Look]]) -> T:
        """What ``look`` returns, or what it returned last time, if that is proven still to be so; raises what it raises.

        ``look`` and ``prove`` run in a thread. ``prove`` gets the answer and the wall time in nanoseconds before it was looked for; its
        looks, all of them later than the answer, prove it. Without any it cannot be proven.
        """
        if not self._keeps:
            return await self._threads.run(look)
        now = self._seconds()
        kept = self._taken(question)
        lately = kept is not None and now - kept.asked_at < IDLE_SECONDS
        if kept is not None and lately and kept.looks and self._stand(kept.looks):
            kept.asked_at = now
            self._put(question, kept)
            answer: T = kept.answer
            return answer
        # To prove costs as much as to look: that is for who asks twice.
        self._put(question, _Kept(now))
        if not lately:
            return await self._threads.run(look)
        answer, looks = await self._threads.run(self._proven, look, prove)
        if looks:
            self._taken(question)
            self._put(question, _Kept(now, answer, looks))
        return answer

    def _proven(self, look: Callable[[], T], prove: Callable[[T, int], Sequence[Look]]) -> tuple[T, Sequence[Look]]:
        looked_ns = self._now_ns()
        answer = look()
        try:
            looks = prove(answer, looked_ns)
        except OSError:
            looks = ()
        return answer, looks if all(has_settled(one.found, looked_ns) for one in looks) else ()

    def _stand(self, looks: Sequence[Look]) -> bool:
        root = self._tree.root.fd
        try:
            return all(look.stands(root) for look in looks)
        except OSError:
            return False

    def _taken(self, question: Hashable) -> _Kept | None:
        kept = self._kept.pop(question, None)
        if kept is not None:
            self._looks -= len(kept.looks)
        return kept

    def _put(self, question: Hashable, kept: _Kept) -> None:
        self._kept[question] = kept
        self._looks += len(kept.looks)
        while self._looks > MOST_LOOKS or len(self._kept) > MOST_QUESTIONS:
            self._taken(next(iter(self._kept)))


def bucket_looks(tree: Tree, name: str, _: Status, looked_ns: int) -> Sequence[Look]:
    """What proves the Status of a bucket. Blocks; raises OSError."""
    found = os.stat(name, dir_fd=tree.root.fd)
    if not has_settled(found, looked_ns):
        return ()
    with tree.records.sidecars() as sidecars, tree.root.directory(f"{name}/") as directory:
        if not tree.records.is_with_file(b"/proc/self/fd/%d" % directory, os.fstat(directory), directory, sidecars):
            return ()
    return (Look(name, os.stat(name, dir_fd=tree.root.fd), follow=True),)


def listing_looks(tree: Tree, prefix: str, delimiter: str, listing: Listing, looked_ns: int) -> Sequence[Look]:
    """What proves a listing of all that begins with ``prefix``. Blocks; raises OSError."""
    base = prefix[: prefix.rfind("/") + 1]
    at = base or "."
    if (
        not (listing.complete and 0 < len(listing.entries) <= MOST_ENTRIES)
        or (tree.buckets and not base)
        or not has_settled(os.stat(at, dir_fd=tree.root.fd), looked_ns)
    ):
        return ()
    keys = {one if isinstance(one, str) else one.path for one in listing.entries}
    with tree.records.sidecars() as sidecars, tree.root.directory(base) as directory:
        if not _shows_all(directory, base, prefix, keys, by_folder=delimiter == "/" and tree.folders):
            return ()
        looks = []
        for one in listing.entries:
            key = one if isinstance(one, str) else one.path
            inside = f"/proc/self/fd/{directory}/{key[len(base) :]}"
            if key == base:
                shown = tree.records.is_with_file(inside[:-1].encode(), os.fstat(directory), directory, sidecars)
            else:
                looks.append(Look(key.rstrip("/"), os.stat(key.rstrip("/"), dir_fd=tree.root.fd, follow_symlinks=False)))
                shown = isinstance(one, str) or tree.records.is_with_file(inside.encode(), looks[-1].found, None, sidecars)
            if not shown:
                return ()
    return (Look(at, os.stat(at, dir_fd=tree.root.fd), follow=True), *looks)


def _shows_all(directory: int, base: str, prefix: str, keys: set[str], *, by_folder: bool) -> bool:
    """Whether each name in ``directory`` that begins with ``prefix`` is among ``keys``, and what it is cannot change unseen.

    A link may lead elsewhere at any time; what is below a directory in it (unless ``by_folder``) is more than one look can tell.
    """
    with os.scandir(directory) as entries:
        for count, entry in enumerate(entries):
            if count == MOST_NAMES:
                return False
            if not (base + entry.name).startswith(prefix) or is_hidden(entry.name):
                continue
            if entry.is_symlink():
                return False
            if entry.is_dir(follow_symlinks=False):
                if not by_folder or f"{base}{entry.name}/" not in keys:
                    return False
            elif entry.is_file(follow_symlinks=False) and base + entry.name not in keys:
                return False
    return True
