"""Forms as browsers send them, and their policies as somebody signs them; independent of the daemon's code and of botocore."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from tests.daemon.signer import REGION

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


@frozen
class Form:
    """A form: ``fields`` in order, then ``file`` (None: none) called ``filename``."""

    fields: tuple[tuple[str, str], ...]
    file: bytes | None = b"The content of the file."
    filename: str | None = "a.txt"

    def __getitem__(self, name: str) -> str:
        return dict(self.fields)[name]

    def with_field(self, name: str, value: str) -> Form:
        """With another value of a field, or one more."""
        if name not in dict(self.fields):
            return evolve(self, fields=(*self.fields, (name, value)))
        return evolve(self, fields=tuple((one, value if one == name else old) for one, old in self.fields))

    def without(self, *names: str) -> Form:
        """Without some fields."""
        return evolve(self, fields=tuple(pair for pair in self.fields if pair[0] not in names))

    def body(self, boundary: str = BOUNDARY) -> bytes:
        """The body of the request."""
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in self.fields
        ]
        if self.file is not None:
            called = "" if self.filename is None else f'; filename="{self.filename}"'
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"{called}\r\nContent-Type: text/plain\r\n\r\n'
            parts.append(head.encode() + self.file + b"\r\n")
        return b"".join([*parts, f"--{boundary}--\r\n".encode()])

    def headers(self, boundary: str = BOUNDARY) -> dict[str, str]:
        """Those that say what the body is."""
        return {"content-type": f"multipart/form-data; boundary={boundary}"}


@frozen
class FormSigner:
    """Signs policies with ``secret``, as of ``age`` seconds ago, for ``seconds``; ``token`` is the session's."""

    access_key: str
    secret: str
    token: str | None = None
    age: float = 0
    seconds: float = 86400
    region: str = REGION
    service: str = "s3"

    def form(
        self, bucket: str, fields: Mapping[str, str], more: Sequence[Any] = (), file: bytes | None = b"The content of the file."
    ) -> Form:
        """A form with ``fields``, each of which a condition names as it is; ``more`` are conditions beside these or, by name, instead."""
        now = time.time() - self.age
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        fields = {
            **fields,
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": f"{self.access_key}/{scope}",
            "x-amz-date": stamp,
            **({} if self.token is None else {"x-amz-security-token": self.token}),
        }
        spoken = {one[1][1:].lower() for one in more if isinstance(one, list) and isinstance(one[1], str) and one[1].startswith("$")}
        conditions = [*({name: value} for name, value in {"bucket": bucket, **fields}.items() if name.lower() not in spoken), *more]
        return self.sign(fields, {"expiration": end_of(time.time() + self.seconds), "conditions": conditions}, file)

    def sign(self, fields: Mapping[str, str], policy: Any, file: bytes | None = b"The content of the file.") -> Form:
        """A form with ``fields``, those of credentials among them, and a policy (a document, or its text) with its signature."""
        text = policy if isinstance(policy, str) else json.dumps(policy)
        encoded = base64.b64encode(text.encode()).decode()
        key = f"AWS4{self.secret}".encode()
        for word in fields["x-amz-credential"].split("/")[-4:]:
            key = hmac.digest(key, word.encode(), "sha256")
        signature = hmac.new(key, encoded.encode(), hashlib.sha256).hexdigest()
        return Form((*fields.items(), ("policy", encoded), ("x-amz-signature", signature)), file)

    def form_v2(self, bucket: str, fields: Mapping[str, str]) -> Form:
        """The same with version 2 of the signature."""
        conditions = [{name: value} for name, value in {"bucket": bucket, **fields}.items()]
        text = json.dumps({"expiration": end_of(time.time() + self.seconds), "conditions": conditions})
        encoded = base64.b64encode(text.encode())
        signature = base64.b64encode(hmac.digest(self.secret.encode(), encoded, "sha1")).decode()
        return Form((*fields.items(), ("AWSAccessKeyId", self.access_key), ("policy", encoded.decode()), ("signature", signature)))


def end_of(seconds: float) -> str:
    """A time as policies have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))
