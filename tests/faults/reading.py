"""What an answer to a read says of an object: which version it claims to be, and whether its bytes are that version's."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.faults.bodies import note, piece
from tests.faults.exchange import Exchange, Reply

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

RIGHT, TORN, WRONG, CUT = "right", "torn", "wrong", "cut"


def metadata(shown: str, content: tuple[str, str, int]) -> dict[str, str]:
    """The headers that make a write tell its version, and of what its body was made."""
    return {
        "x-amz-meta-v": shown,
        "x-amz-meta-content": json.dumps(content),
        "x-amz-meta-note": note(shown),
        "Content-Type": f"application/x-{note(shown)}",
    }


def looked_at(reply: Reply, *, head: bool = False) -> dict[str, Any]:
    """An answer to a GET or HEAD for the ledger: `status`, `shown`, `content`, `etag`, and `bytes`, one of

    `right`; `torn`: as many as there should be, but others; `wrong`: more or fewer, though the answer ended as if it were whole;
    `cut`: visibly not whole.
    """
    if reply.status not in (200, 206):
        return {"status": reply.status, "bytes": CUT}
    headers = reply.headers
    told: dict[str, Any] = {"status": reply.status, "shown": headers.get("x-amz-meta-v"), "etag": headers.get("etag"), "content": None}
    try:
        told["content"] = content = json.loads(headers.get("x-amz-meta-content", ""))
        key, version, length = content
    except ValueError:
        return told | {"bytes": TORN}
    told["metadata"] = headers.get("x-amz-meta-note") == note(told["shown"] or "") and headers.get("content-type", "").endswith(
        note(told["shown"] or "")
    )
    start, end = 0, length
    if reply.status == 206:
        match = _RANGE.fullmatch(headers.get("content-range", ""))
        if match is None or int(match[3]) != length:
            return told | {"bytes": WRONG}
        start, end = int(match[1]), int(match[2]) + 1
    if head:
        return told | {"bytes": RIGHT if headers.get("content-length") == str(end - start) else WRONG}
    if len(reply.body) != end - start:
        return told | {"bytes": WRONG}
    return told | {"bytes": RIGHT if reply.body == piece(key, version, length, start, end) else TORN}


def tag_of(reply: Reply) -> dict[str, Any]:
    """An answer to GetObjectTagging for the ledger: `status`, and `tags`, the value of the one tag `t` (empty: there is none)."""
    if reply.status != 200:
        return {"status": reply.status}
    return {"status": 200, "tags": next(iter(reply.texts("Value")), "")}


def listing(exchange: Exchange, bucket: str, prefix: str, page: int) -> dict[str, Any]:
    """All of a prefix, *page* keys at a time, for the ledger: `status`, and `found`, of [key, ETag, size]."""
    found: list[tuple[str, str, int]] = []
    token = ""
    while True:
        query = {"list-type": "2", "prefix": prefix, "max-keys": str(page)} | ({"continuation-token": token} if token else {})
        reply = exchange.ask("GET", bucket, query)
        if reply.status != 200:
            return {"status": reply.status}
        for entry in reply.elements("Contents"):
            fields = {child.tag.rpartition("}")[2]: child.text or "" for child in entry}
            if not fields["Key"].endswith("/"):
                found.append((fields["Key"], fields["ETag"], int(fields["Size"])))
        token = next(iter(reply.texts("NextContinuationToken")), "")
        if not token:
            return {"status": 200, "found": found}
