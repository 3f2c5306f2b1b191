"""What it costs to verify a signature: the same requests, each signed, to a daemon that reads signatures and to one that verifies them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from attrs import frozen

from benchmarks.http.load import Many, Sample, headers, requests_file
from benchmarks.http.processor import on_core
from benchmarks.http.servers import HOST, Server, daemon

KINDS = ("SIMPLE", "SIGV4")
GOAL_SECONDS = 15e-6
TITLE = "4 KiB GET signed with SIGV4, 64 connections"
_USER, _SECRET = "benchmark", "benchmarks-secret"


@frozen
class Signed:
    """``connections`` that each ask for the next of ``paths``, of ``size`` bytes each, with a signature of that request: wrk."""

    file: Path
    paths: Sequence[str]
    connections: int
    size: int

    def __call__(self, server: Server, seconds: float) -> Sample:
        """Run it: what is signed is good for a quarter of an hour. Raises LoadFailed."""
        fields = headers()
        lines = (f"GET {path} - {_signature(path, f'{HOST}:{server.port}', fields)}" for path in self.paths)
        return Many(requests_file(self.file, lines), self.connections, self.size).sent(server, seconds, fields)


def cost(scratch: Path, root: Path, load: Signed, rounds: int, seconds: float, cores: tuple[int, int]) -> dict[str, list[Sample]]:
    """The samples of each kind, taken in turn; the servers on the first of the ``cores``, the load on the second."""
    (scratch / "keys").write_text(f"[{_USER}]\naws_access_key_id = {_USER}\naws_secret_access_key = {_SECRET}\n", encoding="ascii")
    samples: dict[str, list[Sample]] = {kind: [] for kind in KINDS}
    with ExitStack() as stack:
        servers = {}
        for kind in KINDS:
            properties = {
                "alluxio.worker.s3.authentication.type": kind,
                "alluxio.worker.s3.authentication.keys.file": scratch / "keys",
            }
            own = scratch / kind
            own.mkdir()
            with on_core(cores[0]):
                servers[kind] = stack.enter_context(daemon(own, root, properties))
        with on_core(cores[1]):
            for kind in KINDS:
                load(servers[kind], seconds)
            for number in range(rounds):
                for kind in KINDS if number % 2 else reversed(KINDS):
                    samples[kind].append(load(servers[kind], seconds))
    return samples


def table(samples: dict[str, list[Sample]]) -> str:
    """All of it in Markdown."""
    simple, verified = (samples[kind] for kind in KINDS)
    rates = [median(one.rate for one in of) for of in (simple, verified)]
    costs = [median(one.processor for one in of) for of in (simple, verified)]
    more = median(one.processor - other.processor for one, other in zip(verified, simple, strict=True))
    said = "yes" if more <= GOAL_SECONDS else "**no**"
    return "\n".join(
        [
            f"| {TITLE} | read, as under SIMPLE | verified | more | asked |",
            "| --- | ---: | ---: | ---: | ---: |",
            f"| requests | {rates[0]:,.0f}/s | {rates[1]:,.0f}/s | | |",
            (
                f"| processor time per request | {costs[0] * 1e6:.1f} µs | {costs[1] * 1e6:.1f} µs | {more * 1e6:.1f} µs"
                f" | at most {GOAL_SECONDS * 1e6:.0f} µs: {said} |"
            ),
        ]
    )


def _signature(path: str, host: str, fields: dict[str, str]) -> str:
    """The signature of a GET that has ``fields``, over those that they say are signed ("Signature Version 4" in the S3 API reference)."""
    sent = {name.lower(): value for name, value in {**fields, "Host": host}.items()}
    names = sent["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    signed = "".join(f"{name}:{sent[name]}\n" for name in names.split(";"))
    request = "\n".join(("GET", path, "", signed, names, sent["x-amz-content-sha256"]))
    scope = sent["authorization"].partition("Credential=")[2].partition(",")[0].split("/")[1:]
    key = f"AWS4{_SECRET}".encode()
    for word in scope:
        key = hmac.digest(key, word.encode(), "sha256")
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", sent["x-amz-date"], "/".join(scope), digest))
    return hmac.digest(key, text.encode(), "sha256").hex()
