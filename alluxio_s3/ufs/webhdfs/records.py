"""What is kept with a file or directory besides its bytes: extended attributes of HDFS.

``user.alluxio-s3`` holds the record of ``ufs.local.record``, in as many pieces as HDFS's limit on one attribute makes necessary (``.1``,
``.2``, ...), and ``user.alluxio-s3.tags`` the tags, which so can be changed in one step. A NameNode may have extended attributes
turned off; then what only makes an object nicer (its type, the ETag of its bytes) is not kept, and what a user would miss is refused.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping

from attrs import define, evolve, field

from alluxio_s3.storage import Attributes, PermissionRefused, Unsupported
from alluxio_s3.ufs.local.record import Record, decode, encode
from alluxio_s3.ufs.webhdfs.inode import Inode
from alluxio_s3.ufs.webhdfs.namenode import NameNodes, inode_path
from alluxio_s3.ufs.webhdfs.refusals import NoExtendedAttributes

NAME = "user.alluxio-s3"
TAGS = f"{NAME}.tags"
# dfs.namenode.fs-limits.max-xattr-size is 16,384 bytes with the name; a few are left for what a site may have set.
_PIECE = 12_000
_MOST_PIECES = 9
_MOST_TAGS = 16_000
_COMPRESSED_FROM = 4_000
_MOST_INFLATED = 1 << 20
_NONE = Attributes()


@define
class Records:
    """Reads and writes them. They are addressed by inode, so that they never are another file's."""

    nodes: NameNodes
    refused: bool = field(default=False, init=False)

    async def read(self, inode: Inode) -> Record | None:
        """The record of ``inode``, with its tags; None if it has none, or we may not see it. Raises NoSuchPath when it has gone."""
        if self.refused:
            return None
        try:
            found = await self.nodes.ask(b"GET", inode_path(inode.number), "GETXATTRS", encoding="base64")
        except NoExtendedAttributes:
            self.refused = True
            return None
        except PermissionRefused:
            return None
        values = {one["name"]: _value(one.get("value")) for one in found["XAttrs"]}
        record = _joined(values)
        tags = _tags(values.get(TAGS))
        if tags:
            record = evolve(record or Record(), attributes=evolve(record.attributes if record else _NONE, tags=tags))
        return record

    async def seal(self, inode: Inode, attributes: Attributes) -> Record | None:
        """Keep ``attributes`` with a file that was written; what was kept, or None if that is nothing. Raises Unsupported."""
        if attributes == _NONE:
            return None
        return await self.write(inode, Record(attributes, inode.size, inode.modified_ns))

    async def write(self, inode: Inode, record: Record, *, fresh: bool = True) -> Record | None:
        """Keep ``record``; not ``fresh``: in place of one that may be there. Raises Unsupported for what can't be kept."""
        raw = _packed(encode(evolve(record, attributes=evolve(record.attributes, tags={}))))
        pieces = [raw[place : place + _PIECE] for place in range(0, len(raw), _PIECE)]
        if len(pieces) > _MOST_PIECES:
            raise Unsupported("", "Unsupported: the object's metadata is more than HDFS keeps with a file")
        pieces[0] = b"%d" % len(pieces) + pieces[0]
        try:
            for number in reversed(range(len(pieces))):
                await self._set(inode, f"{NAME}.{number}" if number else NAME, pieces[number])
            if record.attributes.tags or not fresh:
                await self.set_tags(inode, record.attributes.tags)
        except NoExtendedAttributes:
            self.refused = True
            kept = record.attributes
            if kept.user_metadata or kept.tags or kept.headers:
                raise Unsupported("", _REFUSED) from None
            return None
        return record

    async def set_tags(self, inode: Inode, tags: Mapping[str, str]) -> None:
        """Replace the tags, in one step. Raises Unsupported."""
        raw = _packed(json.dumps(dict(tags), separators=(",", ":"), ensure_ascii=False).encode())
        if len(raw) > _MOST_TAGS:
            raise Unsupported("", "Unsupported: these tags are more than HDFS keeps with a file")
        await self._set(inode, TAGS, raw)

    async def _set(self, inode: Inode, name: str, value: bytes) -> None:
        # 0s says base64. Both flags: whether it is there or not.
        encoded = f"0s{b64encode(value).decode()}"
        await self.nodes.ask(
            b"PUT", inode_path(inode.number), "SETXATTR", xattr_name=name, xattr_value=encoded, flag="CREATE,REPLACE", encoding="base64"
        )


_REFUSED = "Unsupported: this HDFS keeps no metadata and no tags: dfs.namenode.xattrs.enabled is false there"


def _value(encoded: object) -> bytes:
    if not isinstance(encoded, str) or not encoded.startswith("0s"):
        return b""
    try:
        return b64decode(encoded[2:])
    except ValueError:
        return b""


def _joined(values: Mapping[str, bytes]) -> Record | None:
    first = values.get(NAME, b"")
    if not first[:1].isdigit():
        return None
    rest = [values.get(f"{NAME}.{number}", b"") for number in range(1, int(first[:1]))]
    return decode(_unpacked(first[1:] + b"".join(rest)))


def _tags(raw: bytes | None) -> Mapping[str, str]:
    if not raw:
        return {}
    try:
        found = json.loads(_unpacked(raw))
    except ValueError:
        return {}
    texts = isinstance(found, dict) and all(isinstance(one, str) for pair in found.items() for one in pair)
    return found if texts else {}


def _packed(raw: bytes) -> bytes:
    return raw if len(raw) < _COMPRESSED_FROM else zlib.compress(raw)


def _unpacked(raw: bytes) -> bytes:
    """JSON begins with a brace; all else is compressed, or not ours."""
    if raw[:1] == b"{":
        return raw
    try:
        return zlib.decompressobj().decompress(raw, _MOST_INFLATED)
    except zlib.error:
        return b""
